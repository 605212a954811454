"""SSH keys of an account: what servers are made with."""
