"""Operating-system images, built from the distributions' own packages.

`recipes` says what goes in, `sources` where it comes from, `build` makes the file; `overlay/` is laid over what the
packages installed, `templates/` is what the engine fills in for each server.
"""
