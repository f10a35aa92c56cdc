"""Frozen data, the one table of transitions, and the arithmetic of retries. No I/O, no clock."""
