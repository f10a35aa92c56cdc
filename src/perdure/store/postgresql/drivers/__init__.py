"""Connections that a transactional step may ask for besides asyncpg's, each loaded when a step asks for it."""
