"""Versions and operations as the index answers with them: rows into `views`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from globofs.errors import FormatError
from globofs.format import manifest
from globofs.format.manifest import Manifest
from globofs.store.portions import chunks, marks
from globofs.store.views import Block, OperationKey, Version

if TYPE_CHECKING:
    from globofs.store.index import Index

VERSION_COLUMNS: Final = (
    "v.row, v.id, p.path, v.time, v.node, v.kind, v.size, v.mode, v.mtime, v.target, v.parents,"
    " v.from_path, v.from_id, v.blocks, v.missing, v.content, o.node, o.number, v.head,"
    " p.shown = v.row, v.pruned"
)
VERSION_TABLES: Final = " FROM version v JOIN path p ON p.no = v.path JOIN op o ON o.no = v.op "
_SELECT: Final = f"SELECT {VERSION_COLUMNS}{VERSION_TABLES}"


def split_ids(packed: bytes) -> tuple[bytes, ...]:
    """Ids of 32 bytes that stand one behind the other."""
    return tuple([packed[at : at + 32] for at in range(0, len(packed), 32)])


def to_version(row: Sequence[Any]) -> Version:
    """A row of `VERSION_COLUMNS` as a `Version`."""
    parents = split_ids(row[10])
    flags = (row[18] != 0, row[19] != 0, row[20] != 0)
    operation = OperationKey(row[16], row[17])
    return Version._make((*row[:10], parents, *row[11:16], operation, *flags))


def select(index: Index, condition: str, args: Sequence[Any] = ()) -> list[Version]:
    """The versions for which an SQL condition (with its ORDER and LIMIT) holds."""
    return [to_version(row) for row in index.rows(_SELECT + condition, args)]


def by_ids(index: Index, ids: Iterable[bytes]) -> dict[bytes, Version]:
    """Versions by their ids, those that are known."""
    found: dict[bytes, Version] = {}
    for chunk in chunks(ids):
        for version in select(index, f"WHERE v.id IN ({marks(chunk)})", chunk):
            found[version.id] = version
    return found


def blocks_of(index: Index, row: int) -> list[tuple[Block, bool]]:
    """The blocks of a version in their order, each with whether it is on this node."""
    found = index.one("SELECT list FROM version WHERE row = ?", (row,))
    if found is None:
        return []
    packed = array("I", found[0])
    numbers = packed[0::2]
    known = _known_blocks(index, dict.fromkeys(numbers))
    return [
        (Block(known[no][0], size), known[no][1])
        for no, size in zip(numbers, packed[1::2], strict=True)
    ]


def missing_of_many(index: Index, rows: Iterable[int]) -> dict[int, list[Block]]:
    """The blocks of many versions that are not on this node, in their order, by their rows."""
    found: dict[int, list[Block]] = {}
    for row, numbers, known in _listed(index, rows):
        found[row] = [
            Block(known[no][0], size)
            for no, size in zip(numbers[0::2], numbers[1::2], strict=True)
            if not known[no][1]
        ]
    return found


def blocks_by_id(index: Index, version: bytes) -> list[Block]:
    """The blocks of the version of that id, in their order. KeyError if it is not known."""
    found = index.one("SELECT list FROM version WHERE id = ?", (version,))
    if found is None:
        raise KeyError(version.hex())
    packed = array("I", found[0])
    known = _known_blocks(index, dict.fromkeys(packed[0::2]))
    return [Block(known[no][0], size) for no, size in zip(packed[0::2], packed[1::2], strict=True)]


class Content(NamedTuple):
    """What a file of a directory holds: its name, and id and blocks of the version shown."""

    name: bytes
    id: bytes
    blocks: list[Block]


def contents_after(
    index: Index, directory: bytes, name: bytes, size: int, limit: int
) -> list[Content]:
    """The files of `directory` that come after `name`, of at most `size` bytes and wholly on this
    node, by name: two questions for all of them."""
    sql = (
        "SELECT p.name, v.id, v.list FROM path p JOIN version v ON v.row = p.shown"
        " WHERE p.parent = (SELECT no FROM path WHERE path = ?) AND p.name > ? AND p.d_live = 0"
        " AND p.kind = 'file' AND p.size <= ? AND p.missing = 0 ORDER BY p.name LIMIT ?"
    )
    found = [
        (label, version, array("I", listed))
        for label, version, listed in index.rows(sql, (directory, name, size, limit))
    ]
    known = _known_blocks(index, {no for _, _, packed in found for no in packed[0::2]})
    return [
        Content(
            label,
            version,
            [Block(known[no][0], n) for no, n in zip(packed[0::2], packed[1::2], strict=True)],
        )
        for label, version, packed in found
    ]


def blocks_of_many(index: Index, rows: Iterable[int]) -> dict[int, list[Block]]:
    """The blocks of many versions in their order, by their rows: two questions for 900 of them."""
    found: dict[int, list[Block]] = {}
    for row, numbers, known in _listed(index, rows):
        found[row] = [
            Block(known[no][0], size) for no, size in zip(numbers[0::2], numbers[1::2], strict=True)
        ]
    return found


def _listed(
    index: Index, rows: Iterable[int]
) -> Iterator[tuple[int, array[int], dict[int, tuple[bytes, bool]]]]:
    """Versions with their lists of block numbers and sizes, and what is known of those blocks:
    two questions for 900 of them."""
    for chunk in chunks(rows):
        sql = f"SELECT row, list FROM version WHERE row IN ({marks(chunk)})"
        packed = {row: array("I", listed) for row, listed in index.rows(sql, chunk)}
        known = _known_blocks(index, {no for numbers in packed.values() for no in numbers[0::2]})
        for row, numbers in packed.items():
            yield row, numbers, known


class VersionText(NamedTuple):
    """What the index can tell of a version: the exact text of its manifest, and its blocks."""

    text: bytes | None  # None where a text made again is not what was written (see `manifests`)
    blocks: list[tuple[Block, bool]]  # in their order, each with whether it is on this node


NO_TEXTS: Final[Mapping[bytes, VersionText]] = {}
"""For a caller that knows no version's text itself: all are asked of the index."""
_MANIFEST: Final = (
    "SELECT v.row, v.id, v.list, v.pending, v.extra, v.kind, p.path, v.time, v.node, v.parents,"
    " v.size, v.mode, v.mtime, v.target, v.from_path, v.from_id"
    " FROM version v JOIN path p ON p.no = v.path WHERE v.row IN "
)


def version_texts(index: Index, rows: Iterable[int]) -> dict[int, VersionText]:
    """Manifests and blocks of many versions, by their rows: two questions for 900 of them."""
    found: dict[int, VersionText] = {}
    for chunk in chunks(rows):
        listed = index.rows(f"{_MANIFEST}({marks(chunk)})", chunk)
        packed = {row[0]: array("I", row[2]) for row in listed}
        known = _known_blocks(index, {no for numbers in packed.values() for no in numbers[0::2]})
        for row in listed:
            numbers = packed[row[0]]
            blocks = [
                (Block(known[no][0], size), known[no][1])
                for no, size in zip(numbers[0::2], numbers[1::2], strict=True)
            ]
            found[row[0]] = VersionText(None if row[3] else _rewritten(row, blocks), blocks)
    return found


def _known_blocks(index: Index, numbers: Iterable[int]) -> dict[int, tuple[bytes, bool]]:
    known: dict[int, tuple[bytes, bool]] = {}
    for chunk in chunks(numbers):
        sql = f"SELECT no, id, held FROM block WHERE no IN ({marks(chunk)})"
        for no, block, held in index.db.execute(sql, chunk):
            known[no] = (block, bool(held))
    return known


def _rewritten(row: Sequence[Any], blocks: Sequence[tuple[Block, bool]]) -> bytes | None:
    extra: tuple[tuple[str, str], ...] = ()
    if row[4]:
        parts = [line.partition("=") for line in row[4].split("\n") if line]
        extra = tuple([(key, value) for key, _, value in parts])
    values: list[Any] = list(row[5:])
    values[4] = split_ids(values[4])
    values += [tuple([block for block, _ in blocks]), extra]
    try:
        text = manifest.encode(Manifest(*values))
    except FormatError:
        return None
    return text if manifest.manifest_id(text) == row[1] else None


def rewritten_manifest(index: Index, row: int) -> bytes | None:
    """The exact text of a manifest, made again from the index.

    `None` where that is not what was written: a hand-made manifest is only in its journal, and a
    large one is a block, which may not be here.
    """
    known = version_texts(index, (row,)).get(row)
    return known.text if known else None
