"""F35: power is lost at any moment, and of what was not synced any part is gone; nothing that was acknowledged is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.crash import checker, power_loss
from tests.crash.disk import read_journal
from tests.crash.harness import Harness, result, signal, start
from tests.crash.options import SHORT_LEASE
from tests.crash.power_loss import Entry, Image
from tests.crash.sampling import SOME_AND_ALL, chosen
from tests.crash.store_view import StoreView

LANES = (
    (start("sequence", "line", 6), result("line")),
    (start("everything", "all", 3), *(signal("all", number) for number in (1, 2, 3)), result("all")),
    (start("either", "deadline", 0.1), result("deadline"), start("sequence", "later", 3), result("later")),
)


def recorded_journal(harness: Harness, **more: object) -> list[Entry]:
    """All that one undisturbed process did to the disk, with its acknowledgements in between."""
    path = str(harness.folder / "journal")
    worker = harness.launch(lanes=LANES, journal=path, wal_pages_most=30, **more)
    assert worker.wait() == 0, harness.said()
    return read_journal(path)


def objections(image: Image, folder: Path) -> list[str]:
    """What is wrong with the store in this image."""
    view = StoreView(power_loss.lay_out(image, folder))
    try:
        recover(view.path)
        return checker.violations(checker.gather(view, image.effects))
    except apsw.Error as error:
        return [f"it cannot be read: {error}"]
    finally:
        view.close()
        shutil.rmtree(folder)


def recover(path: str) -> None:
    """As whoever opens it first would."""
    if Path(path).exists():
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        db.execute("select count(*) from sqlite_schema")
        db.close()


@SOME_AND_ALL
def test_f35_b95_nothing_acknowledged_is_lost_with_the_power(harness: Harness, share: str) -> None:
    journal = recorded_journal(harness)
    assert {"write", "sync", "truncate"} <= {entry["do"] for entry, _ in journal}
    assert any(entry["do"] == "write" and entry["file"].endswith(".db") for entry, _ in journal[len(journal) // 2 :]), "no WAL was copied"
    wrong = {}
    cuts = chosen(range(1, len(journal) + 1), 70, share)
    for number, (name, image) in enumerate(power_loss.images(journal, cuts, seed=len(journal))):
        if said := objections(image, harness.folder / f"image-{number}"):
            wrong[name] = said
    assert not wrong


def test_f35_without_syncs_the_same_images_lose(harness: Harness) -> None:
    """The control: if this finds nothing, neither would the test above."""
    journal = recorded_journal(harness, unsafe=True)
    cuts = chosen(range(1, len(journal) + 1), 12, "some")
    lost = power_loss.images(journal, cuts, seed=1)
    found = [said for number, (_, image) in enumerate(lost) for said in objections(image, harness.folder / f"image-{number}")]
    assert any("acknowledged_but_lost" in said for said in found)


@pytest.mark.parametrize("part", [1, 2, 3])
def test_f35_a_worker_goes_on_from_what_the_disk_kept(new_harness: Callable[[], Harness], part: int) -> None:
    first = new_harness()
    first.settings |= SHORT_LEASE  # its worker is dead in the image, but its lock is not there to tell
    journal = recorded_journal(first)
    cut = len(journal) * part // 4
    (*_, (_, image)) = power_loss.images(journal, [cut], seed=part)
    after = new_harness()
    lost = after.folder / "after"
    after.path = after.store.path = power_loss.lay_out(image, lost)
    after.server.effects.extend(image.effects)
    after.heal(*LANES)
    assert {run.state for run in after.store.runs()} == {"completed"}
