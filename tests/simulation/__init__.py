"""Deterministic simulation: the shipped engine and SQLite store on virtual time, with seeded faults and the promises checked throughout."""
