"""What a disk may hold after power was lost: what was synced, and of everything since then some sectors or none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.crash.effects import Effect

SECTOR = 512
Entry = tuple[dict[str, Any], bytes]


@dataclass
class Contents:
    """One file: what is certainly on the disk, and what was asked since its last sync."""

    certain: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Entry]] = field(default_factory=list)
    is_certain: bool = False  # whether its name is on the disk

    def sync(self, began: int) -> None:
        """Everything that was asked before the sync began is certain now."""
        for number, entry in self.pending:
            if number < began:
                change(self.certain, *entry)
        self.pending = [(number, entry) for number, entry in self.pending if number >= began]
        self.is_certain = True


def change(content: bytearray, entry: dict[str, Any], data: bytes) -> None:
    place = entry["number"]
    if entry["do"] == "truncate":
        del content[place:]
        return
    content.extend(b"\0" * (place - len(content)))
    content[place : place + len(data)] = data


@dataclass(frozen=True)
class Image:
    """The files after power was lost behind so many entries of a journal, and what had been seen and acknowledged by then."""

    files: dict[str, bytes]
    effects: list[Effect]


def images(journal: Sequence[Entry], cuts: Sequence[int], seed: int) -> "list[tuple[str, Image]]":
    """Three at each cut: nothing unsynced is there, all of it is, or some of it is, in pieces."""
    chance = Random(seed)
    wanted, found = set(cuts), []
    contents: dict[str, Contents] = {}
    effects: list[Effect] = []
    for number, (entry, data) in enumerate(journal, 1):
        note(contents, effects, number, entry, data)
        if number in wanted:
            found += [
                (f"cut {number}, {kept} kept", Image(files_of(contents, kept, chance), list(effects))) for kept in ("none", "all", "some")
            ]
    return found


def note(contents: dict[str, Contents], effects: list[Effect], number: int, entry: dict[str, Any], data: bytes) -> None:
    match entry["do"]:
        case "effect":
            effects.append(Effect(entry["at"], 0, entry["what"], entry["data"]))
        case "write" | "truncate":
            contents.setdefault(entry["file"], Contents()).pending.append((number, (entry, data)))
        case "sync":
            contents.setdefault(entry["file"], Contents()).sync(entry["number"])
        case "delete":
            contents.pop(entry["file"], None)


def files_of(contents: dict[str, Contents], kept: str, chance: Random) -> dict[str, bytes]:
    files = {}
    for name, one in contents.items():
        if kept == "none" and not one.is_certain:
            continue
        content = bytearray(one.certain)
        for _, (entry, data) in one.pending:
            for place, piece in pieces(entry, data, kept, chance):
                change(content, entry | {"number": place}, piece)
        files[name] = bytes(content)
    return files


def pieces(entry: dict[str, Any], data: bytes, kept: str, chance: Random) -> list[tuple[int, bytes]]:
    """What of one write has reached the disk."""
    place = entry["number"]
    if kept == "all":
        return [(place, data)]
    if kept == "none" or chance.random() < 0.3:
        return []
    if entry["do"] == "truncate" or chance.random() < 0.3:
        return [(place, data)]
    return [(place + begin, data[begin : begin + SECTOR]) for begin in range(0, len(data), SECTOR) if chance.random() < 0.5]


def lay_out(image: Image, folder: Path) -> str:
    """Write the files there; the path of the store."""
    folder.mkdir(parents=True)
    for name, content in image.files.items():
        (folder / Path(name).name).write_bytes(content)
    return str(folder / "store.db")
