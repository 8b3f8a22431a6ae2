"""A volume laid out by hand after the plan: manifests and blocks, but no journal.

Before the first write every manifest under `root/` is journaled verbatim, oldest first; where one
names no parents its record names the version before. A `latest` that is no version becomes one.
What was journaled already is known by its id, so an adoption that was killed is simply resumed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from globofs import limits
from globofs.errors import BadPath, FormatError
from globofs.events import Emit, Problem, ignore
from globofs.format import kinds, manifest
from globofs.format.names import from_disk
from globofs.format.record import FIRST_PREV, encode_record
from globofs.format.text import parse_time
from globofs.store import fsio
from globofs.store.apply import apply_items
from globofs.store.apply_records import Item
from globofs.store.commit import Operation, Verbatim
from globofs.store.portions import chunks, marks

if TYPE_CHECKING:
    from globofs.store.parts import NodeParts

LATEST: Final = "latest"
NOTE: Final = "taking over what was laid out by hand"
_NAME = re.compile(r"(?P<time>\d{1,10}\.\d{9})(?:-[0-9a-f]{8})?")


class _Place(NamedTuple):
    """A manifest on disk, in the order in which it is journaled."""

    time: int
    path: bytes
    id: bytes
    file: str
    parents: tuple[bytes, ...] | None  # the version before, where the manifest names none


def needs_adoption(node: NodeParts) -> bool:
    """Whether the own journal is empty, or ends inside an adoption that was killed."""
    if node.journal.last().seq == 0:
        return True
    index = node.index
    unclosed = index.one(
        "SELECT 1 FROM op WHERE node = ? AND number = 1 AND closed = 0", (node.uuid,)
    )
    first = index.one("SELECT fields FROM event WHERE origin = ? AND seq = 1", (node.uuid,))
    return bool(unclosed and first and first[0] == f"text={_note().fields()[0][1]}")


def adopt(node: NodeParts, *, emit: Emit = ignore) -> int:
    """Take over manifests that no journal knows; how many. Read-only: into the index alone."""
    places = _unknown(node, _collect(node, emit))
    if not places:
        return 0
    if node.readonly:
        return _apply_only(node, places, emit)
    with Operation(node, "adopt", emit=emit) as operation:
        return _journal(operation, places, emit)


def _note() -> kinds.NoteRecord:
    return kinds.NoteRecord(NOTE)


def _journal(operation: Operation, places: list[_Place], emit: Emit) -> int:
    operation.record(_note())
    return operation.commit_verbatim(_texts(places, emit))


def _apply_only(node: NodeParts, places: list[_Place], emit: Emit) -> int:
    """The same records, but nowhere on disk: for a volume that may not be written."""
    node.index.to_memory()
    items: list[Item] = []
    prev, now = FIRST_PREV, node.clock.now_ns()
    for seq, (text, made, parents, _) in enumerate(_texts(places, emit), 1):
        named = made.parents if parents is None else parents
        whole = kinds.VersionRecord.of(made, text).decode(node.uuid, text)
        entry = kinds.VersionRecord.of(whole._replace(parents=named), text)
        record = kinds.make_record(seq, node.uuid, prev, 1, now, entry)
        prev = encode_record(record)[1]
        items.append(Item(record, prev, entry, whole._replace(parents=named)))
    return apply_items(node.index, items, emit=emit).versions


def _texts(places: list[_Place], emit: Emit) -> Iterator[Verbatim]:
    for place in places:
        try:
            text = fsio.read_file(place.file, limits.MANIFEST_BYTES)
            made = manifest.decode(text, where=place.file, path=place.path, version=place.time)
        except (OSError, FormatError) as error:
            emit(Problem(place.path, f"{place.file} left out: {error}"))
            continue
        yield Verbatim(text, made, place.parents)


def _unknown(node: NodeParts, places: list[_Place]) -> list[_Place]:
    known: set[bytes] = set()
    for chunk in chunks([place.id for place in places]):
        sql = f"SELECT id FROM version WHERE id IN ({marks(chunk)})"
        known.update(row[0] for row in node.index.rows(sql, chunk))
    return [place for place in places if place.id not in known]


def _collect(node: NodeParts, emit: Emit) -> list[_Place]:
    """Every manifest below `root/`, oldest first."""
    found: list[_Place] = []
    root = node.root()
    stack = [root]
    while stack:
        directory = stack.pop()
        try:
            entries = list(os.scandir(directory))
        except FileNotFoundError:
            continue
        except OSError as error:
            emit(Problem(b"", f"{directory} cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                continue
            if entry.name == "versions" and directory != root:
                relative = os.path.relpath(directory, root)
                try:
                    path = from_disk(relative)
                except BadPath as error:
                    emit(Problem(b"", f"{directory} left out: {error}"))
                    continue
                found += _of_path(path, entry.path, emit)
            elif entry.name != "hashes":
                stack.append(entry.path)
    found.sort()
    return found


def _of_path(path: bytes, directory: str, emit: Emit) -> list[_Place]:
    """The manifests of one path in their order, each with the one before as its parent."""
    made: list[tuple[int, bytes, str, bool]] = []
    latest: tuple[bytes, str] | None = None
    for name in sorted(os.listdir(directory)):
        file = os.path.join(directory, name)
        match = _NAME.fullmatch(name)
        if match is None and name != LATEST:
            continue
        try:
            text = fsio.read_file(file, limits.MANIFEST_BYTES)
            if match is None:
                latest = (text, file)
                continue
            time = parse_time(match["time"])
            decoded = manifest.decode(text, where=file, path=path, version=time)
        except (OSError, FormatError) as error:
            emit(Problem(path, f"{file} left out: {error}"))
            continue
        made.append((time, manifest.manifest_id(text), file, bool(decoded.parents)))
    if latest is not None:
        _add_latest(path, latest, made, emit)
    made.sort()
    places: list[_Place] = []
    for number, (time, version, file, has_parents) in enumerate(made):
        parents = None if has_parents or not number else (made[number - 1][1],)
        places.append(_Place(time, path, version, file, parents))
    return places


def _add_latest(
    path: bytes,
    latest: tuple[bytes, str],
    made: list[tuple[int, bytes, str, bool]],
    emit: Emit,
) -> None:
    text, file = latest
    version = manifest.manifest_id(text)
    if any(version == known for _, known, _, _ in made):
        return
    newest = max((time for time, _, _, _ in made), default=0)
    try:
        try:
            decoded = manifest.decode(text, where=file, path=path)
        except FormatError:
            # It does not say when it was made: the file may, and it is later than the others.
            time = max(os.stat(file).st_mtime_ns, newest + 1)
            decoded = manifest.decode(text, where=file, path=path, version=time)
    except (OSError, FormatError) as error:
        emit(Problem(path, f"{file} left out: {error}"))
        return
    made.append((decoded.version, version, file, bool(decoded.parents)))
