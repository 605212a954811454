"""Snapshots: a server's disk as it was, kept beside it in the engine."""
