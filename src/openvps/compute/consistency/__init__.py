"""Whether engine and database agree, both ways: what is in a cell and nobody's, what a row names and isn't there."""
