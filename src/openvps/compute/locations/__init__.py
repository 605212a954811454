"""Locations and their cells: where there is room."""
