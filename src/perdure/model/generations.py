"""What a generation takes over from the one before: of a failed run up to which record, and from which seed it draws."""

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPoint:
    """The records before `position` are kept, and of the later ones those that are no failure; None where `obstacle` forbids it."""

    position: int | None
    obstacle: str = ""

    def encoded(self) -> bytes:
        told = {"retry_from": self.position} if self.position is not None else {"not_retryable": self.obstacle}
        return json.dumps(told).encode()


def seed_of(seed: bytes, key_generation: int) -> bytes:
    """Of what a generation draws: a retry draws what the generation before it drew, a run that continues as new draws anew."""
    return hashlib.sha256(b"%d/%b" % (key_generation, seed)).digest() if key_generation else seed


def retry_point_of(payload: bytes | None) -> RetryPoint | None:
    """What `encoded` wrote; None for anything else."""
    try:
        told = json.loads(payload or b"null")
    except ValueError:  # put back: whoever asks is told that nothing is known
        return None
    match told:
        case {"retry_from": int(position)}:
            return RetryPoint(position)
        case {"not_retryable": str(obstacle)}:
            return RetryPoint(None, obstacle)
    return None
