"""Changes under way and done, keyed by kind, subject and account."""
