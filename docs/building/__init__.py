"""What the documentation is built with, beyond Sphinx: see `docs/conf.py`."""
