"""The numbered migrations of the SQLite store: never edited once released."""
