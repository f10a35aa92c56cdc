"""Whom a worker tells of troubles: a command of the user, a webhook, or both."""

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from perdure.cli.complaints import Complaint
from perdure.cli.output import json_text
from perdure.model.troubles import Trouble

WEBHOOK_SECONDS = 20.0  # below the time that on_trouble has
_OUTPUT_CHARACTERS_MOST = 500

Alarm = Callable[[Trouble], Awaitable[None]]


def alarm_of(command: str | None, webhook: str | None, namespace: str) -> Alarm | None:
    """Complains of what could never work. Where both are given, a failure of one repeats both."""
    alarms: list[Alarm] = []
    if command is not None:
        alarms.append(_command_alarm(_words(command), namespace))
    if webhook is not None:
        _check_address(webhook)
        alarms.append(_webhook_alarm(webhook, namespace))
    if not alarms:
        return None

    async def tell(trouble: Trouble) -> None:
        await asyncio.gather(*(alarm(trouble) for alarm in alarms))

    return tell


def document_of(trouble: Trouble, namespace: str) -> dict[str, Any]:
    """What is sent."""
    return {
        "kind": trouble.kind,
        "run_id": trouble.run_id,
        "workflow": trouble.workflow,
        "namespace": namespace,
        "error": trouble.error,
        "at": trouble.at,
        "key": trouble.key,
    }


# ── a command ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise Complaint(
            f"--on-trouble-command cannot be read: {error}", "quote it for the shell: --on-trouble-command 'notify --run'"
        ) from error
    if not words:
        raise Complaint("--on-trouble-command is empty", "name a program, or leave the option out")
    if shutil.which(words[0]) is None:
        raise Complaint(f"--on-trouble-command: there is no program {words[0]!r} here", "correct the name, or give its whole path")
    return words


def _command_alarm(words: list[str], namespace: str) -> Alarm:
    async def tell(trouble: Trouble) -> None:
        """Raises RuntimeError where it ends with another status than 0."""
        document = json_text(document_of(trouble, namespace)).encode()
        names = {"PERDURE_TROUBLE": trouble.kind, "PERDURE_TROUBLE_RUN": trouble.run_id, "PERDURE_TROUBLE_WORKFLOW": trouble.workflow}
        pipe = subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, env=os.environ | names, start_new_session=True
        )
        try:
            _, said = await process.communicate(document)
        except BaseException:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # its time is over, or the worker stops: it is started again
                await process.wait()
            raise
        if process.returncode:
            text = said.decode(errors="replace").strip()[-_OUTPUT_CHARACTERS_MOST:]
            raise RuntimeError(f"{words[0]} ended with status {process.returncode}{': ' + text if text else ''}")

    return tell


# ── a webhook ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Complaint(f"--on-trouble-webhook {url!r} is no web address", "give one that begins with https:// or http://")


def _webhook_alarm(url: str, namespace: str) -> Alarm:
    async def tell(trouble: Trouble) -> None:
        """Raises where the answer is not 2xx."""
        await asyncio.to_thread(_post, url, json_text(document_of(trouble, namespace)).encode(), trouble.key)

    return tell


def _post(url: str, body: bytes, key: str) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, "User-Agent": "perdure"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the scheme was checked when the worker began
    try:
        with _OPENER.open(request, timeout=WEBHOOK_SECONDS):
            return
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(_OUTPUT_CHARACTERS_MOST).decode(errors="replace")
        raise RuntimeError(f"the webhook answered {error.code}: {text}") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without its body and look delivered: it is an error instead."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)
