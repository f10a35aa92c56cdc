"""Values, arguments and failures to bytes and back: JSON by type hints, never pickle, never an import that data asks for."""
