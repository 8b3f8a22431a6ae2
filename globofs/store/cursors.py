"""How far each journal file was read: rows of the table `cursor`, by what the file begins with.

A file is known by its first bytes because `latest` gets another name when it is closed.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from globofs.store import fsio

PRINT_BYTES: Final = 96
"""Enough for the first record's marker, length and checksum: no two files share them."""


class Cursor(NamedTuple):
    """How far a journal file was read, and what `stat` said of it then."""

    name: str
    print: bytes
    offset: int
    size: int
    mtime: int


def first_bytes(path: str) -> bytes:
    """What a journal file is known by; shorter while nothing whole stands in it."""
    return fsio.read_range(path, 0, PRINT_BYTES)


def load(db: sqlite3.Connection) -> dict[str, dict[bytes, Cursor]]:
    """Every cursor, by directory below `upstream/` and print."""
    found: dict[str, dict[bytes, Cursor]] = {}
    sql = "SELECT directory, name, print, offset, size, mtime FROM cursor"
    for directory, *rest in db.execute(sql):
        cursor = Cursor(*rest)
        found.setdefault(directory, {})[cursor.print] = cursor
    return found


def keep(db: sqlite3.Connection, directory: str, cursor: Cursor) -> None:
    """One cursor a file, by its print. A file whose name is another's now has none until it is
    met under its new one: how far it was read stays known, or closed segments were read twice."""
    db.execute(
        "UPDATE cursor SET name = '' WHERE directory = ? AND name = ? AND print <> ?",
        (directory, cursor.name, cursor.print),
    )
    db.execute(
        "INSERT OR REPLACE INTO cursor(directory, name, print, offset, size, mtime)"
        " VALUES(?, ?, ?, ?, ?, ?)",
        (directory, *cursor),
    )


def advance(db: sqlite3.Connection, directory: str, made: Cursor, start: int) -> None:
    """Move a file's cursor to `made`, where all before `start` was read already."""
    sql = "SELECT offset FROM cursor WHERE directory = ? AND print = ?"
    found = db.execute(sql, (directory, made.print)).fetchone()
    if (found[0] if found else 0) == start:
        keep(db, directory, made)
