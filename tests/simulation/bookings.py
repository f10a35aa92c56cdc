"""What transactional steps wrote into a table of the user's own: it is there exactly where the record of the step is, and once."""

from collections import Counter
from typing import Any

import apsw

from tests.simulation.world import World

TABLE = "create table bookings (key text not null, serial integer not null) strict"


class Bookings:
    """The oracle of G5. A record names the body that it comes from, and so does the row that this body wrote."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._recorded: dict[int, str] = {}
        self._is_to_be_checked = False

    def book(self, db: apsw.Connection, key: str, serial: int) -> None:
        """By a body, inside the transaction that may record it."""
        self._is_to_be_checked = True
        if list(db.execute("select 1 from bookings where key = ?", (key,))):
            self._world.violate(f"G5: a body of {key} began though what it writes is there already")
        db.execute("insert into bookings values (?, ?)", (key, serial)).fetchall()

    def was_recorded(self, where: str, result: dict[str, Any]) -> None:
        if result.get("is_booked"):
            self._is_to_be_checked = True
            self._recorded[result["serial"]] = where
            self._world.saw("a transactional step was recorded")

    def check(self, db: apsw.Connection) -> None:
        """After any commit, whoever made it."""
        if not self._is_to_be_checked:
            return
        self._is_to_be_checked = False
        there = Counter(serial for (serial,) in db.execute("select serial from bookings").fetchall())
        for serial in there.keys() | self._recorded.keys():
            if there[serial] != (serial in self._recorded):
                where = self._recorded.get(serial, "nowhere")
                self._world.violate(f"G5: what body {serial} wrote is there {there[serial]} times; it is recorded {where}")
