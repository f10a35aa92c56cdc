"""The store on SQLite: one file, one writer thread per process, every acknowledged write synced to disk."""
