"""Plans: sizes and prices."""
