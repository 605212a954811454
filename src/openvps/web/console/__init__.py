"""The console at `/`: pages for people, made of what the API answers.

It has no rules of its own. A page asks the API's own routes, in this process, as the session's account
(`inside.py`): permission, limits, idempotency and audit log are the API's, and what the API can't do, no page can.
"""
