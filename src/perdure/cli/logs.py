"""What a worker says, on standard error."""

import logging
import sys

from perdure.logging import RunContext


def begin_logging(*, is_quiet: bool, is_debug: bool) -> None:
    """Everything that goes through `logging`, the user's own included, with its run; --quiet leaves warnings, --debug adds details."""
    level = logging.DEBUG if is_debug else logging.WARNING if is_quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RunContext())
    logging.basicConfig(handlers=[handler], level=level, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s%(run_context)s")
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
