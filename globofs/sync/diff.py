"""`diff`: two versions of a file, or a directory at two moments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from globofs.errors import ContentMissing, printable
from globofs.events import Cancelled, Problem, never
from globofs.format import names
from globofs.format.text import format_time
from globofs.limits import DIFF_BYTES, DIFF_LINES
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.views import Entry, Version
from globofs.sync._textdiff import counts, is_text, opcodes, unified
from globofs.sync.results import Change, DiffResult
from globofs.sync.suggest import no_such_path

LOOK_BYTES = 8192
"""How much of a file decides whether it is text."""


class Reader(Protocol):
    """What gives the bytes of a version: `sync.pull.Puller`."""

    def iter_version(self, version: Version) -> Iterator[bytes]:
        """The content, piece by piece. Raises ContentMissing."""


def diff(
    node: Node,
    reader: Reader,
    path: bytes = b"",
    *,
    old: Version | int | None = None,
    new: Version | int | None = None,
    cancelled: Cancelled = never,
) -> DiffResult:
    """What changed at `path` between `old` and `new`: versions, or moments.

    Without `new`, now; without `old`, the version before it, or for a directory the moment
    before the last operation that touched it. Raises NoSuchPath, NoSuchVersion.
    """
    view = View(node)
    versions = isinstance(old, Version) or isinstance(new, Version)
    entry = view.entry(path) if path else None
    if not versions and (not path or (entry is not None and entry.kind == "directory")):
        return _directories(node, path, old, new, cancelled)
    history = view.history(path, follow=True)
    if not history and any(True for _ in view.children(path, deleted=True)):
        return _directories(node, path, old, new, cancelled)
    if not history:
        raise no_such_path(view, path)
    newer = _pick(node, path, new, history)
    if newer is None:
        newer = next((one for one in history if one.shown), history[0])
        if isinstance(new, int):
            newer = None
    older = _pick(node, path, old, history)
    if older is None and old is None and newer is not None:
        older = _before(newer, history)
    return _files(view, reader, path, older, newer, cancelled)


def _pick(
    node: Node, path: bytes, asked: Version | int | None, history: list[Version]
) -> Version | None:
    """The version that was asked for: itself, or the one shown at a moment."""
    if asked is None or isinstance(asked, Version):
        return asked
    at = View(node, asked).entry(path)
    if at is None:
        return next((one for one in history if one.time <= asked), None)
    return next((one for one in history if one.id == at.version), None)


def _before(version: Version, history: list[Version]) -> Version | None:
    """The version that `version` was made from, else the one before it in time."""
    for parent in version.parents:
        found = next((one for one in history if one.id == parent), None)
        if found is not None:
            return found
    place = next((n for n, one in enumerate(history) if one.id == version.id), len(history))
    return history[place + 1] if place + 1 < len(history) else None


# --- files ----------------------------------------------------------------------------------


def _files(
    view: View,
    reader: Reader,
    path: bytes,
    old: Version | None,
    new: Version | None,
    cancelled: Cancelled,
) -> DiffResult:
    if old is not None and new is not None and old.content == new.content:
        return DiffResult(path, "same", "no difference", old=old, new=new)
    if _has_no_text(old) and _has_no_text(new):
        return DiffResult(path, "binary", _summary(view, old, new), old=old, new=new)
    try:
        before, after = _text(reader, old, cancelled), _text(reader, new, cancelled)
    except ContentMissing as error:
        problem = Problem(path, error.reason)
        summary = _summary(view, old, new)
        return DiffResult(path, "missing", summary, old=old, new=new, problems=(problem,))
    summary = _summary(view, old, new)
    if before is None or after is None:
        return DiffResult(path, "binary", summary, old=old, new=new)
    codes = opcodes(before, after)
    added, removed = counts(codes)
    lines: list[str] = []
    capped = _cut(old) or _cut(new)
    for line in unified(before, after, (_label(old, path), _label(new, path))):
        if len(lines) >= DIFF_LINES:
            capped = True
            break
        lines.append(line)
    words = f"{added:,} {'line' if added == 1 else 'lines'} added, {removed:,} removed; {summary}"
    return DiffResult(path, "text", words, tuple(lines), old=old, new=new, capped=capped)


def _has_no_text(version: Version | None) -> bool:
    return version is None or version.kind != "file"


def _cut(version: Version | None) -> bool:
    return version is not None and version.kind == "file" and version.size > DIFF_BYTES


def _text(reader: Reader, version: Version | None, cancelled: Cancelled) -> list[str] | None:
    """The lines of a version, at most `DIFF_BYTES` of it; None if it is no text."""
    if version is None or version.kind in ("deleted", "directory"):
        return []
    if version.kind == "symlink":
        return [printable(version.target) + "\n"]
    pieces: list[bytes] = []
    size = 0
    for piece in reader.iter_version(version):
        pieces.append(piece)
        if size < LOOK_BYTES and not is_text(piece[:LOOK_BYTES]):
            return None
        size += len(piece)
        if size >= DIFF_BYTES or cancelled():
            break
    data = b"".join(pieces)[:DIFF_BYTES]
    if not is_text(data):
        return None
    text = data.decode("utf-8", "ignore")
    lines = text.split("\n")
    ended = [line + "\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended


def _label(version: Version | None, path: bytes) -> str:
    if version is None or version.kind == "deleted":
        return "/dev/null"
    return f"{printable(version.path or path)}\t{format_time(version.time)}"


def _summary(view: View, old: Version | None, new: Version | None) -> str:
    """What can be said without reading the content."""
    if new is None or new.kind == "deleted":
        return "deleted" if old is not None else "was not there"
    if old is None or old.kind == "deleted":
        return f"added: {new.kind}, {new.size} bytes"
    words = []
    if old.path != new.path:
        words.append(f"renamed from {printable(old.path)}")
    if old.kind != new.kind:
        words.append(f"{old.kind} became {new.kind}")
    if old.mode != new.mode:
        words.append(f"mode {old.mode:04o} became {new.mode:04o}")
    if old.size != new.size:
        words.append(f"{old.size} bytes became {new.size}")
    elif new.kind == "file":
        words.append(f"{new.size} bytes")
    if old.blocks and new.blocks:
        had = {block.id for block, _ in view.blocks_of(old)}
        shared = sum(block.size for block, _ in view.blocks_of(new) if block.id in had)
        words.append(f"{shared} bytes in blocks of both")
    return ", ".join(words)


# --- directories ------------------------------------------------------------------------------


def _directories(
    node: Node,
    path: bytes,
    old: Version | int | None,
    new: Version | int | None,
    cancelled: Cancelled,
) -> DiffResult:
    now = new if isinstance(new, int) else None
    before = old if isinstance(old, int) else _moment_before(node, path, now)
    old_view, new_view = View(node, before), View(node, now)
    changes: list[Change] = []
    for gone, come in _pairs(old_view.walk(path), new_view.walk(path)):
        if cancelled():
            break
        change = _change(old_view, new_view, gone, come)
        if change is not None:
            changes.append(change)
    changes = _join_renames(changes)
    counted = {
        word: sum(change.change == word for change in changes)
        for word in ("added", "changed", "deleted", "renamed")
    }
    words = ", ".join(f"{count} {word}" for word, count in counted.items() if count)
    if not changes:
        return DiffResult(path, "same", "no difference")
    return DiffResult(path, "directory", words, changes=tuple(changes))


def _moment_before(node: Node, path: bytes, now: int | None) -> int:
    """The moment before the last operation that touched `path`; 0 if none did."""
    view = View(node)
    before = None if now is None else now + 1
    for operation in view.operations(1, before=before, below=path or None):
        times = [
            version.time
            for version in view.versions_of_operation(operation.key)
            if names.is_below(version.path, path)
        ]
        return min(times, default=operation.time) - 1
    return 0


def _pairs(
    old: Iterator[Entry], new: Iterator[Entry]
) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Two walks in path order, joined by path."""
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        if right is None or (left is not None and _order(left) < _order(right)):
            yield left, None
            left = next(old, None)
        elif left is None or _order(right) < _order(left):
            yield None, right
            right = next(new, None)
        else:
            yield left, right
            left, right = next(old, None), next(new, None)


def _order(entry: Entry) -> list[bytes]:
    return entry.path.split(b"/")


def _change(old_view: View, new_view: View, old: Entry | None, new: Entry | None) -> Change | None:
    if old is not None and new is not None:
        if old.version == new.version:
            return None
        before, after = old_view.version_by_id(old.version), new_view.version_by_id(new.version)
        if before is None and after is None:
            return None
        if before is not None and after is not None and before.content == after.content:
            return None
        return Change(new.path, "changed", new.kind, before, after)
    one = new or old
    assert one is not None
    if not one.version:
        return None  # a directory that no version names comes and goes with what is in it
    if new is not None:
        return Change(new.path, "added", new.kind, None, new_view.version_by_id(new.version))
    return Change(one.path, "deleted", one.kind, old_view.version_by_id(one.version), None)


def _join_renames(changes: list[Change]) -> list[Change]:
    """A deletion and an addition that names it as its origin are one rename."""
    gone = {change.path: change for change in changes if change.change == "deleted"}
    joined: list[Change] = []
    used: set[bytes] = set()
    for change in changes:
        origin = change.new.from_path if change.new is not None else None
        if change.change == "added" and origin in gone and origin not in used:
            assert origin is not None
            used.add(origin)
            old = gone[origin].old
            joined.append(Change(change.path, "renamed", change.kind, old, change.new, origin))
        else:
            joined.append(change)
    return [c for c in joined if not (c.change == "deleted" and c.path in used)]
