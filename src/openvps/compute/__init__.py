"""What is sold: servers, and what a server is made of."""
