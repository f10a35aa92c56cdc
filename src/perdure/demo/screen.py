"""What a viewer sees while it goes on: a line for every event, and on a terminal one more that keeps changing."""

import os
import sys
import time
from typing import TextIO

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class Screen:
    """Lines with the seconds since the start before them."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._is_live = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._has_colours = self._is_live and not os.environ.get("NO_COLOR")
        self._began = time.monotonic()
        self._status = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def write(self, text: str = "") -> None:
        """A line as it is."""
        self._out.write(f"{self._erased()}{text}\n{self._status}")
        self._out.flush()

    def tell(self, event: str, colour: str = "") -> None:
        """A line about something that happened now."""
        self.write(f"{self.styled(f'{self.seconds:6.1f} s', 'dim')}  {self.styled(event, colour)}")

    def show(self, status: str) -> None:
        """Change the last line; only a terminal has one that can change."""
        if self._is_live:
            self._out.write(f"{self._erased()}{status}")
            self._out.flush()
            self._status = status

    def clear(self) -> None:
        """Take the changing line away."""
        self._out.write(self._erased())
        self._status = ""

    def styled(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colour and self._has_colours else text

    def _erased(self) -> str:
        return "\r\x1b[K" if self._status else ""
