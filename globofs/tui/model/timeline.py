"""The timeline of a path: its versions, or for a directory the operations below it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from globofs.store.views import Operation, OperationKey, Version
from globofs.tui import words

if TYPE_CHECKING:
    from globofs.volume import Volume

OPERATIONS_SHOWN = 500
NOTHING: Final[Mapping[OperationKey, Operation]] = {}
#: how a list marks what became of a path: sign and style
SIGNS: Final = {"new": ("+", "good"), "changed": ("~", "accent"), "deleted": ("−", "bad")}


def kind_of(version: Version) -> str:
    """`new`, `changed` or `deleted`: what a version made of its path."""
    return "deleted" if version.kind == "deleted" else "changed" if version.parents else "new"


@dataclass(frozen=True, slots=True)
class Moment:
    """One row: a version of the file, or an operation below the directory.

    `before` is the version it was made from (None for the first); `change` says what it did, and
    `like` is the time of the older version whose content it brought back.
    """

    key: object
    time: int
    node: str
    change: str
    size: int | None
    version: Version | None = None
    operation: Operation | None = None
    before: Version | None = None
    like: int | None = None
    shown: bool = False  # the version every node shows at the moment looked at
    rival: bool = False  # a head that is not shown: the other side of a conflict
    made: str = ""  # of a version: what the operation that wrote it did


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rows of one path, newest first."""

    path: bytes
    is_directory: bool
    moments: tuple[Moment, ...] = ()
    more: bool = False

    def index_of(self, key: object) -> int | None:
        """Where a row is."""
        for index, moment in enumerate(self.moments):
            if moment.key == key:
                return index
        return None


def read(volume: Volume, path: bytes, is_directory: bool) -> Timeline:
    """Ask the index; runs in the bridge's `detail` lane."""
    if is_directory:
        found = volume.operations(limit=OPERATIONS_SHOWN + 1, below=path)
        below = path.decode("utf-8", "surrogateescape")
        moments = [_of_operation(op, volume.node_name, below) for op in found[:OPERATIONS_SHOWN]]
        return Timeline(path, True, tuple(moments), len(found) > OPERATIONS_SHOWN)
    versions = volume.history(path)
    made_by = volume.view().operations_by_key({version.operation for version in versions})
    return Timeline(path, False, tuple(of_versions(versions, volume.node_name, made_by)))


def of_versions(
    versions: Sequence[Version],
    name: Callable[[str], str],
    made_by: Mapping[OperationKey, Operation] = NOTHING,
) -> list[Moment]:
    """Rows of versions, newest first, each with what changed against its predecessor. `made_by`
    are the operations that wrote them, as far as they are known."""
    by_id = {version.id: version for version in versions}
    heads = sum(version.head for version in versions)
    seen: dict[tuple[str, bytes], Version] = {}  # the newest of each content, so far
    rows = []
    for version in reversed(versions):
        before = next((by_id[one] for one in version.parents if one in by_id), None)
        if before is None and version.from_id is not None:
            before = by_id.get(version.from_id)
        like = seen.get((version.kind, version.content))
        operation = made_by.get(version.operation)
        verb = operation.verb if operation is not None else ""
        change, is_like = change_words(version, before, like, verb)
        rows.append(
            Moment(
                key=version.id,
                time=version.time,
                node=name(version.node),
                change=change,
                size=None if version.kind == "deleted" else version.size,
                version=version,
                before=before,
                like=like.time if is_like and like is not None else None,
                shown=version.shown,
                rival=version.head and not version.shown and heads > 1,
                made=_made(version, operation),
            )
        )
        seen[version.kind, version.content] = version
    return rows[::-1]


def _made(version: Version, operation: Operation | None) -> str:
    """What the operation that wrote a version did, as seen from the directory it lies in."""
    if operation is None:
        return ""
    above = version.path.rpartition(b"/")[0].decode("utf-8", "surrogateescape")
    return words.operation(operation, below=above)


def change_words(
    version: Version, before: Version | None, like: Version | None, verb: str = ""
) -> tuple[str, bool]:
    """What a version did, in a few words: `+1.2 KiB`, `deleted`, `renamed from x`, `undo, as`; and
    whether the time of `like`, the last one of the same content, belongs behind them. `verb` is
    that of the operation that wrote it."""
    if version.pruned:
        return "pruned", False
    by = f"{verb}, " if verb in ("undo", "redo") else ""
    if version.kind == "deleted":
        return f"{by}deleted", False
    if version.from_path is not None and version.from_path != version.path:
        old, new = version.from_path.rpartition(b"/"), version.path.rpartition(b"/")
        moved = f"moved from {words.shown_path(old[0])}" if old[2] == new[2] else ""
        return by + (moved or f"renamed from {words.safe(old[2])}"), False
    if len(version.parents) > 1 and not by:
        return "settles a conflict", False
    if before is None:
        return f"{by}first version", False
    if before.kind != "deleted" and before.content == version.content:
        return f"{by}same content", False
    if like is not None:
        return ("back to" if verb == "restore" else f"{by}as"), True
    if before.kind == "deleted":
        return f"{by}came back", False
    if before.size == version.size and before.mode != version.mode:
        return f"{by}mode {version.mode & 0o7777:o}", False
    return by + words.signed_size(version.size - before.size), False


def _of_operation(op: Operation, name: Callable[[str], str], below: str) -> Moment:
    change = words.operation(op, count_too=False, below=below)
    if op.interrupted:
        change += " (interrupted)"
    return Moment(
        key=op.key,
        time=op.last,
        node=name(op.key.node),
        change=change,
        size=op.bytes,
        operation=op,
    )
