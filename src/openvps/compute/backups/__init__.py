"""Backups: a server's disk in a store of its own, which outlives the server, its cell and us."""
