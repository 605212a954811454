"""Terminals: a ticket for the serial console of one's server.

The api has no engine: it writes a ticket, and the console process (`openvps console`), which has, takes it once and
carries bytes. What may end a terminal that is open is asked of the same tables every few seconds.
"""
