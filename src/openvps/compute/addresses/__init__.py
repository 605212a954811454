"""Addresses: pools, taking, resting."""
