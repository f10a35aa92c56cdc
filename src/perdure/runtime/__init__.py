"""Code + history -> commands. Deterministic; no I/O, no clock."""
