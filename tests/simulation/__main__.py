"""`python -m tests.simulation --seed 7 --trace` plays one seed, `--seconds 60` as many as fit; what fails is printed with its command."""

import sys

from tests.simulation.campaign import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
