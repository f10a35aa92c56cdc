"""Mails to a new user over sixty days, until the user is active or wants no more. Each mail becomes a file in the folder `outbox`.

perdure worker examples/email_sequence.py &
perdure run start onboard --id user-1 --input '{"user": {"name": "Kim", "address": "kim@example.com"}}'
perdure run signal user-1 stop --payload '"unsubscribed"'
"""

import asyncio
import os
from dataclasses import dataclass
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path

from perdure import info, receive, set_status, step, workflow

SEQUENCE = {0: "Welcome", 2: "Three things to try", 7: "How is it going?", 30: "A month already", 60: "May we ask you something?"}
"""Days after the start, and what is sent then."""


@dataclass
class User:
    name: str
    address: str


@step
def send(user: User, subject: str) -> str:
    """A plain `def` runs in a thread. The file is named by the idempotency key: a repeat after a crash writes the same file again."""
    mail = EmailMessage()
    mail["To"], mail["Subject"] = user.address, subject
    mail.set_content(f"Hello {user.name},\n\n{subject}\n")
    folder = Path(os.environ.get("OUTBOX", "outbox"))
    folder.mkdir(exist_ok=True)
    name = sha256(str(info().idempotency_key).encode()).hexdigest()[:16]
    (folder / f"{name}.eml").write_bytes(bytes(mail))
    return name


@workflow
async def onboard(user: User) -> str:
    """How it ended: `finished`, or the reason why it was stopped."""
    sent_until = 0
    try:
        for day, subject in SEQUENCE.items():
            await stopped_within(86_400 * (day - sent_until))
            await send(user, subject)
            sent_until = day
            set_status(f"sent: {subject}")
    except Stopped as stopped:
        return str(stopped)
    return "finished"


class Stopped(Exception):
    """The user wants no more mails, or needs none."""


async def stopped_within(seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            raise Stopped(await receive("stop", str))
    except TimeoutError:
        return
