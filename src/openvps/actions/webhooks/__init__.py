"""Webhooks: an account's events, sent to addresses that it names, signed as in the Standard Webhooks specification.

Deliveries are rows, added by the trigger that adds the event (migration 0018), so that none is lost or made up. A job
of the worker sends them, one at a time of a server and in order.
"""
