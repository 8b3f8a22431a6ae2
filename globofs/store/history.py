"""The past: versions of a path or below it, operations, and what a user calls a version."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from globofs.errors import AmbiguousVersion, FormatError, NoSuchVersion
from globofs.format.text import format_time, unescape
from globofs.limits import SECOND_NS
from globofs.store import heads, versions
from globofs.store.portions import chunks, marks
from globofs.store.running import running_operations
from globofs.store.views import Operation, OperationKey, Version

if TYPE_CHECKING:
    from globofs.store.index import Index
    from globofs.store.node import Node

FEW_BELOW: Final = 20_000
"""A directory with no more versions below is asked path by path, a larger one by time."""
FOREIGN_OPEN_NS: Final = 600 * SECOND_NS
"""An unclosed operation of another node counts as still running for so long."""
RENAMES_MOST: Final = 1000
REVERSED_DEEP: Final = 3
"""A redo reverses an undo, which reversed something: so far is looked. Strangers may name circles."""

_BELOW: Final = (
    "WITH RECURSIVE below(no) AS (SELECT no FROM path WHERE path = ?"
    " UNION ALL SELECT p.no FROM path p JOIN below b ON p.parent = b.no) "
)
_OPERATION: Final = (
    "SELECT node, number, verb, args, time, last, versions, bytes, closed FROM op o "
)


def history(index: Index, path: bytes, follow: bool, at: int | None) -> list[Version]:
    """Versions of a path not after `at`, newest first; then those it was renamed from."""
    latest = 2**62 if at is None else at
    found: list[Version] = []
    seen: set[bytes] = set()
    while True:
        part = versions.select(
            index,
            "WHERE p.path = ? AND v.time <= ? ORDER BY v.time DESC, v.id DESC",
            (path, latest),
        )
        part = [version for version in part if version.id not in seen]
        found += part
        seen.update(version.id for version in part)
        renamed = _renamed_from(part) if follow else None
        if renamed is None or len(seen) > RENAMES_MOST * 1000:
            return found
        origin = index.one("SELECT time FROM version WHERE id = ?", (renamed.from_id,))
        path = renamed.from_path or b""
        latest = origin[0] if origin else renamed.time - 1


def _renamed_from(part: list[Version]) -> Version | None:
    """The oldest version of a path if the path began with it by a rename."""
    for version in reversed(part):
        if version.from_path is not None and version.from_path != version.path:
            return version
        if version.kind != "deleted":
            return None
    return None


def _versions_below(index: Index, path: bytes) -> int:
    found = index.one("SELECT d_versions + nversions FROM path WHERE path = ?", (path,))
    return int(found[0]) if found else 0


def history_below(
    index: Index, path: bytes, limit: int = 200, before: int | None = None
) -> list[Version]:
    """Versions of everything at and below a path, newest first, older than `before`."""
    latest = 2**62 if before is None else before - 1
    order = "ORDER BY v.time DESC, v.row DESC LIMIT ?"
    if not path:
        return versions.select(index, f"WHERE v.time <= ? {order}", (latest, limit))
    if _versions_below(index, path) <= FEW_BELOW:
        sql = (
            f"{_BELOW} SELECT {versions.VERSION_COLUMNS}{versions.VERSION_TABLES}"
            f" WHERE v.path IN below AND v.time <= ? {order}"
        )
        return [versions.to_version(row) for row in index.rows(sql, (path, latest, limit))]
    condition = f"WHERE v.time <= ? AND (p.path = ? OR substr(p.path, 1, ?) = ?) {order}"
    prefix = path + b"/"
    return versions.select(index, condition, (latest, path, len(prefix), prefix, limit))


def versions_of_operation(
    index: Index, key: OperationKey, limit: int = 0, below: bytes = b""
) -> list[Version]:
    """What an operation wrote at and below a path, by path; `limit` 0 is all."""
    inside = "AND (p.path = ? OR p.path > ? AND p.path < ?) " if below else ""
    condition = (
        "WHERE v.op = (SELECT no FROM op WHERE node = ? AND number = ?) "
        f"{inside}ORDER BY p.path, v.time LIMIT ?"
    )
    span = (below, below + b"/", below + b"0") if below else ()  # "0" comes after "/"
    return versions.select(index, condition, (*key, *span, limit or -1))


def operations(
    node: Node, limit: int = 200, before: int | None = None, below: bytes = b""
) -> list[Operation]:
    """Operations, newest first, whose last version is older than `before`."""
    index = node.index
    latest = 2**62 if before is None else before - 1
    told = "last <= ? AND (versions > 0 OR closed = 1)"
    order = "ORDER BY last DESC, no DESC LIMIT ?"
    if not below:
        return _operations(node, f"WHERE {told} {order}", (latest, limit))
    if _versions_below(index, below) <= FEW_BELOW:
        sql = f"{_BELOW} SELECT DISTINCT v.op FROM version v WHERE v.path IN below"
        numbers = [row[0] for row in index.rows(sql, (below,))]
        found: list[Operation] = []
        for chunk in chunks(numbers):
            condition = f"WHERE no IN ({marks(chunk)}) AND {told}"
            found += _operations(node, condition, (*chunk, latest))
        found.sort(key=lambda op: (op.last, op.key), reverse=True)
        return found[:limit]
    prefix = below + b"/"
    touched = (
        "EXISTS (SELECT 1 FROM version v JOIN path p ON p.no = v.path WHERE v.op = o.no"
        " AND (p.path = ? OR substr(p.path, 1, ?) = ?))"
    )
    args = (latest, below, len(prefix), prefix, limit)
    return _operations(node, f"WHERE {told} AND {touched} {order}", args)


def operation(node: Node, key: OperationKey) -> Operation | None:
    """One operation by its name."""
    found = _operations(node, "WHERE node = ? AND number = ?", key)
    return found[0] if found else None


def reversed_key(operation: Operation) -> OperationKey | None:
    """The operation that an `undo` or `redo` says it reversed."""
    words = operation.args
    if operation.verb not in ("undo", "redo") or not 1 <= len(words) <= 2:
        return None
    if not (words[0].isascii() and words[0].isdigit() and len(words[0]) < 19):
        return None
    return OperationKey(words[1] if len(words) == 2 else operation.key.node, int(words[0]))


def _with_reversed(node: Node, found: list[Operation], deep: int) -> list[Operation]:
    """The same, each `undo` and `redo` with what it reversed, as far as this node knows it."""
    wanted = {op.key: key for op in found if (key := reversed_key(op)) is not None}
    known = operations_by_key(node, wanted.values(), deep - 1) if wanted and deep else {}
    return [
        replace(op, reverses=known[wanted[op.key]]) if wanted.get(op.key) in known else op
        for op in found
    ]


def operations_by_key(
    node: Node, keys: Iterable[OperationKey], deep: int = REVERSED_DEEP
) -> dict[OperationKey, Operation]:
    """Those of the operations named that this node knows."""
    known: dict[OperationKey, Operation] = {}
    for chunk in chunks(dict.fromkeys(keys)):
        pairs = ", ".join("(?, ?)" for _ in chunk)
        given = tuple(word for key in chunk for word in key)
        # Not `(node, number) IN ..`: that would look at every operation there is.
        condition = f"JOIN (VALUES {pairs}) w ON o.node = w.column1 AND o.number = w.column2"
        known |= {op.key: op for op in _operations(node, condition, given, deep)}
    return known


def _operations(
    node: Node, condition: str, args: tuple[Any, ...], deep: int = REVERSED_DEEP
) -> list[Operation]:
    rows = node.index.rows(_OPERATION + condition, args)
    unclosed = any(not row[8] for row in rows)
    running = running_operations(node) if unclosed else set()
    now = node.clock.now_ns()
    made: list[Operation] = []
    for origin, number, verb, args_text, time, last, count, size, closed in rows:
        if closed:
            live = False
        elif origin == node.uuid:
            live = number in running
        else:
            live = now - last < FOREIGN_OPEN_NS
        made.append(
            Operation(
                key=OperationKey(origin, number),
                verb=verb,
                args=_arguments(args_text),
                time=time,
                last=last,
                versions=count,
                bytes=size,
                interrupted=not closed and not live,
                open=live,
            )
        )
    return _with_reversed(node, made, deep)


def _arguments(text: str) -> tuple[str, ...]:
    """Arguments as they were given; what a stranger wrote wrongly is shown as it is."""
    made: list[str] = []
    for line in text.split("\n") if text else []:
        try:
            made.append(os.fsdecode(unescape(line)))
        except FormatError:
            made.append(line)
    return tuple(made)


def current_heads(index: Index, path: bytes) -> list[Version]:
    """The heads of a path as of now, the shown one first."""
    found = versions.select(
        index, "WHERE v.head = 1 AND v.path = (SELECT no FROM path WHERE path = ?)", (path,)
    )
    return sorted(found, key=heads.rank, reverse=True)


def by_prefix(index: Index, path: bytes, text: str) -> Version:
    """The version of a path that a user means: its number or a unique prefix of it, a prefix of
    its id, or `-N`, the N-th before the newest. Raises NoSuchVersion, AmbiguousVersion."""
    known = history(index, path, True, None)
    if text.startswith("-") and text[1:].isdigit():
        back = int(text[1:])
        if back < len(known):
            return known[back]
        raise NoSuchVersion(path=path, version=text)
    exact: list[Version] = []
    matching: list[Version] = []
    for version in known:
        name = format_time(version.time)
        full = f"{name}-{version.id.hex()[:8]}"
        if text in (name, full, version.id.hex()):
            exact.append(version)
        if text and (full.startswith(text) or (len(text) >= 4 and _is_id(version, text))):
            matching.append(version)
    found = exact or matching
    if not found:
        raise NoSuchVersion(path=path, version=text)
    if len(found) > 1:
        names = ", ".join(f"{format_time(v.time)}-{v.id.hex()[:8]}" for v in found[:5])
        more = "" if len(found) <= 5 else f" and {len(found) - 5} more"
        raise AmbiguousVersion(path=path, version=text, candidates=names + more)
    return found[0]


def _is_id(version: Version, text: str) -> bool:
    return version.id.hex().startswith(text.lower())


def operations_of(
    node: Node, uuid: str, limit: int = 200, before: int | None = None
) -> list[Operation]:
    """Operations of one node in the order of its journal, newest first, numbered below `before`."""
    latest = 2**62 if before is None else before - 1
    condition = "WHERE node = ? AND number <= ? ORDER BY number DESC LIMIT ?"
    return _operations(node, condition, (uuid, latest, limit))
