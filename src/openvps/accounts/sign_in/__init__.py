"""Signing in: a password for a short-lived token, and the invite that a first password is set with."""
