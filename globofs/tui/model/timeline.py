"""The timeline of a path: its versions, or for a directory the operations below it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from globofs.store.views import Operation, Version
from globofs.tui import words

if TYPE_CHECKING:
    from globofs.volume import Volume

OPERATIONS_SHOWN = 500
#: how a list marks what became of a path: sign and style
SIGNS: Final = {"new": ("+", "good"), "changed": ("~", "accent"), "deleted": ("−", "bad")}


def kind_of(version: Version) -> str:
    """`new`, `changed` or `deleted`: what a version made of its path."""
    return "deleted" if version.kind == "deleted" else "changed" if version.parents else "new"


@dataclass(frozen=True, slots=True)
class Moment:
    """One row: a version of the file, or an operation below the directory.

    `before` is the version it was made from (None for the first); `change` says what it did.
    """

    key: object
    time: int
    node: str
    change: str
    size: int | None
    version: Version | None = None
    operation: Operation | None = None
    before: Version | None = None
    shown: bool = False  # the version every node shows at the moment looked at
    rival: bool = False  # a head that is not shown: the other side of a conflict


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
    return Timeline(path, False, tuple(of_versions(versions, volume.node_name)))


def of_versions(versions: Sequence[Version], name: Callable[[str], str]) -> list[Moment]:
    """Rows of versions, newest first, each with what changed against its predecessor."""
    by_id = {version.id: version for version in versions}
    heads = sum(version.head for version in versions)
    rows = []
    for index, version in enumerate(versions):
        before = next((by_id[one] for one in version.parents if one in by_id), None)
        if before is None and version.from_id is not None:
            before = by_id.get(version.from_id)
        rows.append(
            Moment(
                key=version.id,
                time=version.time,
                node=name(version.node),
                change=change_words(version, before, versions[index + 1 :]),
                size=None if version.kind == "deleted" else version.size,
                version=version,
                before=before,
                shown=version.shown,
                rival=version.head and not version.shown and heads > 1,
            )
        )
    return rows


def change_words(version: Version, before: Version | None, older: Sequence[Version]) -> str:
    """What a version did, in a few words: `+1.2 KiB`, `deleted`, `renamed from x`, `as 14:02`."""
    if version.kind == "deleted":
        return "deleted"
    if version.pruned:
        return "pruned"
    if version.from_path is not None and version.from_path != version.path:
        return f"renamed from {words.safe(version.from_path.rpartition(b'/')[2])}"
    if len(version.parents) > 1:
        return "settles a conflict"
    if before is None:
        return "first version"
    for one in older:
        if one.content == version.content and one.id != before.id and one.kind == version.kind:
            return f"as {words.exact_time(one.time)[5:16]}"
    if before.kind == "deleted":
        return "came back"
    if before.content == version.content:
        return "same content"
    if before.size == version.size and before.mode != version.mode:
        return f"mode {version.mode & 0o7777:o}"
    return words.signed_size(version.size - before.size)


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
