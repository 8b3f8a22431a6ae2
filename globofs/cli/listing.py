"""`ls` and `find`: what is in the volume, now or at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from globofs.cli.context import DONE, Context
from globofs.cli.output import path_fields
from globofs.errors import printable
from globofs.speech import safe, short_time, size_words, version_number

if TYPE_CHECKING:
    from globofs.store.views import Entry

_MARKS = {"directory": "d", "file": "-", "symlink": "l", "deleted": "x"}


def entry_fields(entry: Entry) -> dict[str, Any]:
    """An entry for JSON."""
    fields: dict[str, Any] = {
        **path_fields(entry.path),
        "kind": entry.kind,
        "size": entry.size,
        "mtime": version_number(entry.mtime),
        "mode": f"{entry.mode & 0o7777:04o}",
        "version": version_number(entry.time) if entry.time else None,
        "node": entry.node or None,
        "versions": entry.versions,
        "held": entry.held,
        "conflict": entry.conflict,
        "id": entry.version.hex() or None,
    }
    if entry.kind == "symlink":
        fields.update(path_fields(entry.target, "target"))
    if entry.kind == "directory":
        fields["files"] = entry.files
        fields["conflicts"] = entry.conflicts
    return fields


def ls(context: Context) -> int:
    """List one directory, everything below it, or one file."""
    args = context.args
    at = context.time(args.at)
    view = context.volume.view(at)
    path = context.path(args.path)
    entry = view.entry(path, deleted=args.deleted)
    if path and entry is None:
        raise context.volume.no_such_path(path, args.at or "")
    single = entry is not None and entry.kind != "directory" and not entry.below
    if single and entry is not None:
        entries: Iterable[Entry] = [entry]
    elif args.recursive:
        entries = view.walk(path, deleted=args.deleted)
    else:
        entries = view.children(path, deleted=args.deleted)
    full = args.recursive or single
    if _show(context, entries, long=args.long, full=full) == 0 and not path:
        was = f"was at that moment ({args.at})" if args.at else "is"
        context.out.say(f"globofs: nothing {was} in the volume; `globofs add FOLDER` puts it there")
    return DONE


def find(context: Context) -> int:
    """Find by name, deleted things too. Nothing found is no failure."""
    found = context.volume.find(context.args.pattern)
    if _show(context, found, long=context.args.long, full=True) == 0:
        context.out.say(f"globofs: nothing is or was called {printable(context.args.pattern)}")
    return DONE


def _show(context: Context, entries: Iterable[Entry], *, long: bool, full: bool) -> int:
    """Print them as they come; how many there were."""
    count = 0

    def counted() -> Iterator[Entry]:
        nonlocal count
        for entry in entries:
            count += 1
            yield entry

    if context.out.as_json:
        context.out.rows(map(entry_fields, counted()))
    elif long:
        context.out.table(list(_long(context, counted(), full)), right=(1, 3))
    else:
        for entry in counted():
            context.out.line(_name(context, entry, full))
    return count


def _name(context: Context, entry: Entry, full: bool) -> str:
    name = safe(entry.path if full else entry.name)
    if entry.kind == "directory":
        return context.out.paint(f"{name}/", "place")
    return context.out.paint(f"{name} (deleted)", "dim") if entry.kind == "deleted" else name


def _long(context: Context, entries: Iterable[Entry], full: bool) -> Iterator[tuple[str, ...]]:
    for entry in entries:
        when = entry.mtime if entry.kind != "deleted" else entry.time
        notes = "conflict" if entry.conflict else ""
        if entry.kind == "directory" and entry.conflicts:
            notes = f"{entry.conflicts} in conflict"
        arrow = f" -> {safe(entry.target)}" if entry.kind == "symlink" else ""
        yield (
            f"{_MARKS[entry.kind]}{_permissions(entry.mode)}",
            size_words(entry.size),
            short_time(when, context.now) if when else "",
            f"{entry.versions}v",
            entry.held if entry.blocks else "",
            context.out.paint(notes, "warn"),
            _name(context, entry, full) + arrow,
        )


def _permissions(mode: int) -> str:
    return "".join(
        letter if mode >> (8 - place) & 1 else "-" for place, letter in enumerate("rwxrwxrwx")
    )
