"""The balance: append, hold, release. Knows nothing about servers."""
