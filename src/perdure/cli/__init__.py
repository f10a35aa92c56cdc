"""The command line: run workers, start runs, look at them and answer them."""
