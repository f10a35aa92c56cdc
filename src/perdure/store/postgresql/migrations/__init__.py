"""The numbered migrations, applied in order and never edited."""
