"""Where a part of the engine is tested at work, it works on the stage of the acceptance tests."""

from tests.acceptance.conftest import stage

__all__ = ["stage"]
