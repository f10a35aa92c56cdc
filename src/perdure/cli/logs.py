"""What a worker says, on standard error."""

import logging
import sys


def begin_logging(*, is_quiet: bool, is_debug: bool) -> None:
    """Everything that goes through `logging`, the user's own included; --quiet leaves warnings, --debug adds details."""
    level = logging.DEBUG if is_debug else logging.WARNING if is_quiet else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s")
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
