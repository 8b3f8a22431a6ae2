"""Where our own journal ends: the last append may have reached the disk with a page missing.

An append is many frames in one write and one sync. When power is lost before that sync returns,
later frames of it may be on the disk and earlier ones not. Nobody was told of any of them, so
everything behind the first break of the chain is as torn as a frame that is cut in half: it is
not read, and the next append cuts it off. A break that another append follows is something else,
damage to what was reported, and hides only itself; so does one below `known`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from globofs import limits
from globofs.format.record import FIRST_PREV, MARKER, Damage, Found, scan
from globofs.store import fsio

_READ_FIRST = 128 * limits.KIB


class Last(NamedTuple):
    """The newest record of a journal: its number and id; 0 and zeros for an empty one."""

    seq: int
    id: bytes


EMPTY: Final = Last(0, FIRST_PREV)


class Break(NamedTuple):
    """The last record before a break (number and id), and the offset behind it."""

    seq: int
    id: bytes
    offset: int


def broken_off(
    items: Iterable[Found | Damage], own: str, before: tuple[int, bytes], known: int
) -> Break | None:
    """Where the last append of a segment breaks off; None when it is whole.

    `before` is the last record of the segments before this one; records up to number `known`
    are durable for sure.
    """
    last = Break(*before, 0)
    end = 0
    broken: Break | None = None
    for item in items:
        if isinstance(item, Damage) or item.record.origin != own or item.record.seq <= last.seq:
            end = item.end
            continue
        follows = item.record.seq == last.seq + 1 and item.record.prev == last.id
        if broken is not None and follows and item.offset > end:
            broken = None  # an append of its own: what stands before it was reported
        elif broken is None and not follows and item.record.seq > known and last.seq >= known:
            broken = last
        last = Break(item.record.seq, item.id, item.end)
        end = item.end
    return broken


def last_in(path: str, origin: str) -> Last | None:
    """The newest valid record of a file in which numbers rise, read from its end."""
    try:
        fd = fsio.open_regular(path)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(fd).st_size
        length = _READ_FIRST
        while True:
            start = max(0, size - length)
            data = fsio.pread_all(fd, start, size - start)
            at = data.rfind(MARKER)
            while at >= 0:
                for item in scan(data[at:], final=True):
                    if isinstance(item, Found) and item.record.origin == origin:
                        return Last(item.record.seq, item.id)
                at = data.rfind(MARKER, 0, at)
            if start == 0:
                return None
            length *= 4
    finally:
        os.close(fd)
