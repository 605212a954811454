"""Machines: the only room that speaks to an engine. Everybody else speaks `protocol`."""
