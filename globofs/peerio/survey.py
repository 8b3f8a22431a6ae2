"""What is read of a peer outside of rounds: before it becomes one, and for `status`.

Everything here may hang; callers run it in a peer's pool.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from globofs import limits
from globofs.errors import BadPath, FormatError, PeerError, PeerOffline
from globofs.format.applied import Applied
from globofs.format.names import from_disk
from globofs.peerio import files
from globofs.peerio.directory import NodeFacts, PeerDirectory, decode_applied, find_node

FILES_COUNTED: Final = 10_000
"""Of a volume that is looked over, so many files are counted at most, and one more."""


class Standing(NamedTuple):
    """What a peer acknowledges, and whether anything can be written there."""

    applied: Applied
    writable: bool


def standing(directory: PeerDirectory) -> Standing:
    """Three small reads of the right directory. Raises PeerOffline, PeerWrong, OSError."""
    node = directory.check()
    applied = decode_applied(directory.read_applied()) or {}
    return Standing(applied, os.access(f"{node}/upstream", os.W_OK | os.X_OK))


class Surveyed(NamedTuple):
    """What lies at a path that is to become a peer."""

    facts: NodeFacts
    applied: Applied
    paths: tuple[bytes, ...]  # of files it shows, `FILES_COUNTED` + 1 at most


def survey(path: str, *, count: bool) -> Surveyed:
    """The node whose volume directory is `path`; with `count`, also the files in its tree.

    Raises PeerOffline where there is none, PeerError for one that cannot be a peer, OSError.
    """
    try:
        facts = find_node(path)
    except FormatError as error:
        raise PeerError(peer=path, reason=str(error.fields["reason"])) from error
    if facts is None:
        raise PeerOffline(peer=path, reason="no node's directory is there; is it mounted?")
    if not facts.uuid:
        raise PeerError(peer=path, reason=f"{facts.directory}/config names no uuid")
    applied: Applied = {}
    with suppress(OSError, FormatError):
        data = files.read_regular(f"{facts.directory}/upstream/applied", "", limits.APPLIED_BYTES)
        applied = decode_applied(data) or {}
    found: list[bytes] = []
    if count:
        for one in _files(f"{facts.directory}/root"):
            found.append(one)
            if len(found) > FILES_COUNTED:
                break
    return Surveyed(facts, applied, tuple(found))


def _files(root: str) -> Iterator[bytes]:
    """The paths that a tree shows, by its directories: no manifest is read, no link followed."""
    for directory, below, _ in os.walk(root):
        if "versions" in below and directory != root:
            with suppress(BadPath):
                yield from_disk(os.path.relpath(directory, root))
        below[:] = sorted(name for name in below if name not in ("versions", "hashes"))
