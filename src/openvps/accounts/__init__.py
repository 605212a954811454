"""Who: accounts, their tokens and SSH keys, and the one guard."""
