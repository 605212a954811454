"""The second factor: codes of an authenticator app (RFC 6238), asked for after the password of who has set it up.

A code is taken once, and wrong ones are counted in the row: so neither several api processes nor a restart give
anybody more guesses. Tokens need none: they are 190 random bits, and were made by who had signed in.
"""
