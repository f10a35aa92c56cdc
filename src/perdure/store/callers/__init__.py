"""Connections that callers bring: a start or a signal is written into the transaction that they have open."""
