"""The mail sequence: sixty days of it, stopped in the middle, killed everywhere."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest

from examples.email_sequence import SEQUENCE, User, onboard, send
from perdure import testing
from perdure.testing import Signal, VirtualEngine

KIM = User("Kim", "kim@example.com")
START = datetime(2026, 5, 1, 8, tzinfo=UTC)


@pytest.fixture(autouse=True)
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUTBOX", str(tmp_path / "outbox"))
    return tmp_path / "outbox"


def subjects(outbox: Path) -> list[str]:
    return sorted(message_from_bytes(file.read_bytes())["Subject"] for file in outbox.glob("*.eml"))


async def test_each_mail_is_sent_on_its_day(outbox: Path) -> None:
    async with testing.engine([onboard], start=START) as engine:
        assert await engine.finish(await engine.start(onboard, KIM)) == "finished"
        assert [(call.at - START).days for call in engine.calls(send)] == list(SEQUENCE)
    assert subjects(outbox) == sorted(SEQUENCE.values())


@pytest.mark.parametrize(("day", "mails"), [(1, 1), (6.99, 2), (7, 2), (45, 4)])
async def test_it_stops_on_the_day_the_user_says_so(day: float, mails: int, outbox: Path) -> None:
    async with testing.engine([onboard]) as engine:
        run = await engine.start(onboard, KIM)
        engine.at(timedelta(days=day), run.signal, "stop", "unsubscribed")
        await engine.skip(days=90)
        assert await run.result() == "unsubscribed"
    assert len(subjects(outbox)) == mails


async def test_wherever_the_process_is_killed_no_mail_is_sent_twice(outbox: Path) -> None:
    def empty(_engine: VirtualEngine) -> Callable[[], list[str]]:
        for file in outbox.glob("*.eml"):
            file.unlink()
        return lambda: subjects(outbox)

    stop = Signal("stop", "active", after=timedelta(days=20))
    report = await testing.crash_everywhere(onboard, KIM, signals=[stop], prepare=empty)
    assert report.ending.result == "active"
    assert report.ending.effects == sorted(list(SEQUENCE.values())[:3])
