"""What stands below the timeline: a difference, a preview, or the facts of a version.

Runs in the bridge's `content` lane. Reads only what this node holds: nothing is fetched because a
cursor moved. What is not here is said, with who should have it and the key that fetches it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from globofs.limits import DIFF_BYTES, PREVIEW_BYTES
from globofs.speech import long_age, version_number
from globofs.store.views import Entry, Version
from globofs.tui import words
from globofs.tui.model import difference as differences
from globofs.tui.model import text, threeway
from globofs.tui.model.several import joined
from globofs.tui.model.text import Line, Page
from globofs.tui.model.timeline import SIGNS, Moment, kind_of, of_versions
from globofs.tui.model.tree import is_directory

if TYPE_CHECKING:
    from globofs.store.views import Operation
    from globofs.volume import Volume

OPERATION_ROWS: Final = 500
CONTENTS_MOST: Final = 12  # files that an operation wrote whose differences are shown at once
GLANCE_BYTES: Final = 32 * 1024  # of each of them
BLOCK_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What to show: of `entry`, the row `moment` of its timeline, in `mode`."""

    entry: Entry
    moment: Moment | None
    mode: str  # diff, preview, facts
    base: str  # before, now
    compare: Version | None
    newest: Version | None
    now: int
    since: int | None = None  # the tree shows what changed since then
    then: Version | None = None  # the version of that time
    rows: int = 0  # of the place it is shown in


def read(volume: Volume, asked: Asked) -> Page:
    """The page."""
    moment = asked.moment
    if moment is not None and moment.operation is not None:
        if asked.base == "now":
            return since_page(volume, moment.operation, asked.entry.path)
        return operation_page(volume, moment.operation, asked.entry.path)
    if moment is None or moment.version is None:
        return directory_page(asked.entry) if is_directory(asked.entry) else Page()
    version = moment.version
    if asked.mode == "facts":
        return facts_page(volume, version, asked.now)
    if asked.mode == "preview":
        return preview_page(volume, version)
    return difference(volume, asked, version, moment.before)


def version_page(volume: Volume, version: Version, rows: int = 0) -> Page:
    """What a version changed against the one it was made from, in `rows` of a screen."""
    moments = of_versions(volume.history(version.path), volume.node_name)
    moment = next((one for one in moments if one.version and one.version.id == version.id), None)
    before = moment.before if moment is not None else None
    if version.kind == "directory":
        return Page("A directory", words=("A directory was made",))
    if before is None:
        return preview_page(volume, version)
    return compare(volume, before, version, "Diff from the version before", rows)


def difference(volume: Volume, asked: Asked, version: Version, before: Version | None) -> Page:
    """The difference wished for; a first version is shown whole."""
    if asked.compare is not None and asked.compare.id != version.id:
        then = words.moment(asked.compare.time, asked.now)
        return compare(volume, asked.compare, version, f"Diff from A ({then})", asked.rows)
    if asked.base == "now" and asked.newest is not None:
        if asked.newest.id == version.id:
            page = preview_page(volume, version)
            return Page(
                "Preview: this is the newest", page.lines, page.gutter, page.note, page.words
            )
        return compare(volume, version, asked.newest, "Diff to now", asked.rows)
    if asked.since is not None and asked.newest is not None and asked.newest.id == version.id:
        if asked.then is None:
            return replace(preview_page(volume, version), title="Preview: new since then")
        return compare(volume, asked.then, version, "Diff since then", asked.rows)
    if before is None:
        page = preview_page(volume, version)
        return Page("Preview: the first version", page.lines, page.gutter, page.note, page.words)
    return compare(volume, before, version, "Diff from the version before", asked.rows)


def compare(volume: Volume, old: Version, new: Version, title: str, rows: int = 0) -> Page:
    """Two versions against each other, with as much of what they share as `rows` of a screen have
    room for; a missing side counts as empty."""
    if old.content == new.content:
        return Page(title, words=("The same content", ""))
    missing = [side for side in (old, new) if side.kind == "file" and side.missing]
    if missing:
        return absent_page(volume, missing[0], title)
    if max(old.size, new.size) > DIFF_BYTES:
        return Page(title, blocks_lines(volume, old, new), note="too large to compare by line")
    left, right = (_content(volume, side, DIFF_BYTES) for side in (old, new))
    if left is None or right is None:
        return absent_page(volume, new, title)
    if not text.is_text(left) or not text.is_text(right):
        return Page(title, blocks_lines(volume, old, new, left, right), note="binary")
    heads = [
        f"{words.safe(volume.node_name(v.node))}, {words.exact_time(v.time)}" for v in (old, new)
    ]
    page, counted = differences.diff_page(left, right, title, (heads[0], heads[1]), rows)
    if not page.lines:
        return Page(title, words=("The same text", _mode_words(old, new)))
    return replace(page, note=page.note or f"+{counted.added:,} −{counted.removed:,} lines")


def three_way(
    volume: Volume, common: Version | None, left: Version, right: Version, names: tuple[str, str]
) -> Page:
    """What each of two sides made of the version they have in common."""
    if common is None:
        return Page(
            "Three-way",
            words=("No common version", "Each side was added by itself · p compares them"),
        )
    title = f"1 {names[0]}, 2 {names[1]}, from {words.exact_time(common.time)[:16]}"
    texts = []
    for side in (common, left, right):
        if side.kind == "file" and side.missing:
            return absent_page(volume, side, title)
        data = _content(volume, side, DIFF_BYTES) if side.size <= DIFF_BYTES else None
        if data is None or not text.is_text(data):
            page = compare(volume, common, right, title)
            return replace(page, title=f"From the common version to {names[1]}")
        texts.append(data)
    return threeway.page(texts[0], texts[1], texts[2], names, title)


def _mode_words(old: Version, new: Version) -> str:
    if old.mode != new.mode:
        return f"only the mode changed: {old.mode & 0o7777:o} to {new.mode & 0o7777:o}"
    return "only line ends differ" if old.size != new.size else ""


def _content(volume: Volume, version: Version, limit: int) -> bytes | None:
    if version.kind == "symlink":
        return version.target + b"\n"
    if version.kind != "file":
        return b""
    return volume.read_held(version, limit)


def preview_page(volume: Volume, version: Version) -> Page:
    """The content: highlighted text, or what a binary is."""
    title = "Preview"
    if version.kind == "deleted":
        return Page(title, words=("Deleted here", "r on an older version brings that one back"))
    if version.kind == "symlink":
        return Page(title, words=(f"A link to {words.safe(version.target)}",))
    if version.kind == "directory":
        return Page(title, words=("A directory",))
    if version.size == 0:
        return Page(title, words=("An empty file",))
    data = volume.read_held(version, PREVIEW_BYTES)
    if data is None:
        return absent_page(volume, version, title)
    name = version.path.rpartition(b"/")[2].decode("utf-8", "replace")
    if text.is_text(data):
        return text.text_page(data, name, version.size)
    return text.binary_page(data, name, version.size)


def absent_page(volume: Volume, version: Version, title: str) -> Page:
    """Not here: how much, who should have it, and the key that fetches it."""
    blocks = words.plural(version.missing, "block")
    when = words.exact_time(version.time)[:16]
    whose = f"{volume.node_name(version.node)} wrote it and should have it"
    if version.node == volume.uuid:  # restored without a look, or let go of since
        whose = "it was made here of what others hold"
    return Page(
        title,
        words=(
            "Not on this node",
            f"{blocks} of the version of {when} to fetch",
            whose,
            "b fetches it now · w says why",
        ),
    )


def blocks_lines(
    volume: Volume, old: Version, new: Version, left: bytes = b"", right: bytes = b""
) -> tuple[Line, ...]:
    """Two binaries compared by their blocks: how much is shared."""
    before = {block.id for block, _ in volume.blocks(old)}
    now = [block for block, _ in volume.blocks(new)]
    shared = sum(block.size for block in now if block.id in before)
    lines: list[Line] = []
    for label, side, data in (("before", old, left), ("after", new, right)):
        kind = text.describe(data) if data else side.kind
        size = words.size_words(side.size) if side.kind == "file" else ""
        lines.append(((f"{label:<8}", "muted"), (f"{kind}  ", "strong"), (size, "")))
    change = words.signed_size(new.size - old.size)
    lines += [(), (("change  ", "muted"), (change, "good" if new.size >= old.size else "warn"))]
    if new.size:
        lines.append(
            (
                ("shared  ", "muted"),
                (f"{words.size_words(shared)} of {words.size_words(new.size)}", ""),
                (f"  ({shared * 100 // new.size} % of the blocks were there before)", "muted"),
            )
        )
    return tuple(lines)


def facts_page(volume: Volume, version: Version, now: int) -> Page:
    """Everything a manifest says, and which blocks are here."""
    rows = [
        ("path", words.shown_path(version.path)),
        ("version", version_number(version.time)),
        ("made", f"{words.exact_time(version.time)}  ({long_age(version.time, now)})"),
        ("by", words.safe(volume.node_name(version.node))),
        ("kind", version.kind),
        ("size", words.plural(version.size, "byte") if version.kind == "file" else ""),
        ("mode", f"{version.mode & 0o7777:04o}"),
        ("modified", words.exact_time(version.mtime) if version.mtime else ""),
        ("link to", words.safe(version.target)),
        ("renamed from", words.shown_path(version.from_path) if version.from_path else ""),
        ("id", version.id.hex()),
    ]
    rows += [("made from", parent.hex()) for parent in version.parents]
    lines: list[Line] = [((f"{name:<13}", "muted"), (value, "")) for name, value in rows if value]
    blocks = volume.blocks(version)
    if blocks:
        held = sum(here for _, here in blocks)
        lines += [(), ((f"{words.plural(len(blocks), 'block')}, {held:,} here", "strong"),)]
        for block, here in blocks[:BLOCK_ROWS]:
            mark = ("here    ", "good") if here else ("remote  ", "primary")
            lines.append(
                (mark, (f"{words.size_words(block.size):>9}  ", ""), (block.id.hex(), "muted"))
            )
    note = "" if len(blocks) <= BLOCK_ROWS else f"the first {BLOCK_ROWS} blocks"
    return Page("Details", tuple(lines), note=note)


def operation_page(volume: Volume, operation: Operation, below: bytes) -> Page:
    """What an operation did below a directory, file by file."""
    found = volume.operation_versions(operation.key, limit=OPERATION_ROWS + 2, below=below)
    prefix = below + b"/" if below else b""
    inside = [version for version in found if version.path != below]
    lines = [_written(version, prefix) for version in inside[:OPERATION_ROWS]]
    kinds = Counter(kind_of(version) for version in inside)
    note = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    if len(inside) > OPERATION_ROWS:
        note = f"the first {OPERATION_ROWS}"
    title = words.operation(operation, count_too=False)
    title = title[0].upper() + title[1:]
    if not lines:
        return Page(title, words=("It made this directory, and nothing in it",))
    return joined(Page(title, tuple(lines), note=note), _contents(volume, inside, prefix))


def _contents(
    volume: Volume, versions: Sequence[Version], prefix: bytes
) -> list[tuple[Line, Page]]:
    """What became of each file, where an operation wrote few: nobody should have to go to a file
    to see what was done to it. It is made whenever the cursor rests, so it has to be cheap."""
    files = [one for one in versions if one.kind in ("file", "symlink")]
    if len(files) > CONTENTS_MOST:
        return []
    view = volume.view()
    found: list[tuple[Line, Page]] = []
    for version in files:
        origin = next(iter(version.parents), version.from_id)
        before = view.version_by_id(origin) if origin is not None else None
        page = _glance(volume, before, version)
        path = words.safe(version.path[len(prefix) :]) if len(versions) > 1 else page.title
        found.append((((path, "strong"), (f"  {page.note}" if page.note else "", "muted")), page))
    return found


def _glance(volume: Volume, before: Version | None, version: Version) -> Page:
    """A version at a glance: its difference, or its beginning where it is the first."""
    if before is not None and before.kind != "deleted":
        if max(before.size, version.size) > GLANCE_BYTES and not version.missing:
            return Page("Changed", words=("Too large to be compared here",))
        return compare(volume, before, version, "Diff from the version before")
    if version.kind == "symlink" or not version.size:
        return preview_page(volume, version)
    data = volume.read_held(version, GLANCE_BYTES // 8)
    if data is None:
        return absent_page(volume, version, "New")
    if not text.is_text(data):
        return Page("New", words=(text.describe(data),))
    name = version.path.rpartition(b"/")[2].decode("utf-8", "replace")
    return replace(text.text_page(data, name, version.size), title="New")


def since_page(volume: Volume, operation: Operation, below: bytes) -> Page:
    """What differs below a directory between just after an operation, and now."""
    changed = list(islice(volume.view().changed_since(operation.last, below), OPERATION_ROWS + 1))
    then = volume.view(operation.last)
    prefix = below + b"/" if below else b""
    lines: list[Line] = []
    kinds: Counter[str] = Counter()
    for entry in changed[:OPERATION_ROWS]:
        old = then.entry(entry.path)
        if entry.kind == "directory" or entry.version == (old.version if old else b""):
            continue
        if entry.kind == "deleted" and old is None:
            continue  # came and went since
        kind = "deleted" if entry.kind == "deleted" else "new" if old is None else "changed"
        kinds[kind] += 1
        sign, style = SIGNS[kind]
        before = old.size if old is not None else 0
        size = words.signed_size((0 if kind == "deleted" else entry.size) - before)
        path = words.safe(entry.path[len(prefix) :])
        lines.append(((f"{sign} ", style), (path, ""), (f"  {size}", "muted")))
    title = f"From just after {words.exact_time(operation.last)[:16]} to now"
    if not lines:
        return Page(title, words=("The same as now", ""))
    note = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    if len(changed) > OPERATION_ROWS:
        note = f"the first {OPERATION_ROWS}"
    return Page(title, tuple(lines), note=note)


def _written(version: Version, prefix: bytes) -> Line:
    """A file that an operation wrote, as a line."""
    sign, style = SIGNS[kind_of(version)]
    size = words.size_words(version.size) if version.kind == "file" else ""
    slash = "/" if version.kind == "directory" else ""
    renamed: Line = ()
    if version.from_path is not None and version.from_path != version.path:
        renamed = ((f"  from {words.shown_path(version.from_path)}", "muted"),)
    path = words.safe(version.path[len(prefix) :]) + slash
    return ((f"{sign} ", style), (path, ""), (f"  {size}", "muted"), *renamed)


def directory_page(entry: Entry) -> Page:
    """A directory in numbers."""
    rows = [
        ("files", words.count(entry.files)),
        ("size", words.size_words(entry.size)),
        ("versions", words.count(entry.below or entry.versions)),
        ("not here", words.size_words(entry.missing_bytes) if entry.missing_bytes else "nothing"),
        ("conflicts", words.count(entry.conflicts) if entry.conflicts else "none"),
    ]
    return Page("Directory", tuple(((f"{name:<11}", "muted"), (value, "")) for name, value in rows))
