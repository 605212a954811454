"""Money: turns rate periods into charges, and sets an account's standing. Beside compute: neither knows the other."""
