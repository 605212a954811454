"""Sessions: a browser that is signed in to the console.

A session acts with a token: the one that was typed, or one made for it when a password was. So permissions, expiry,
revocation, rate limit and audit log are those of tokens, and there is no second way to be let in. The browser keeps
256 random bits in a cookie; here is their digest.
"""
