"""The store protocol on PostgreSQL."""
