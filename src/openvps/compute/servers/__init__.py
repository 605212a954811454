"""Servers: the heart."""
