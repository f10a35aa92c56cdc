"""Where runs live: one protocol, one folder per database."""
