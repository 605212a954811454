"""Operating systems and the images built of them."""
