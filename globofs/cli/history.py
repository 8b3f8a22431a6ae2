"""`log`, `diff`, `undo`, `redo`, `conflicts`: what happened, and taking it back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from globofs.cli.context import DONE, Context
from globofs.cli.output import operation_id, path_fields, paths_fields, problem_fields
from globofs.cli.paint import OF_CHANGE
from globofs.errors import UsageError, printable
from globofs.speech import (
    columns,
    equivalent,
    ljust,
    plural,
    rjust,
    safe,
    short_time,
    shown_path,
    size_words,
    version_number,
)

if TYPE_CHECKING:
    from globofs.cli.paint import Style
    from globofs.store.views import Operation, OperationKey, Version
    from globofs.sync.results import Change, DiffResult, EditResult

PAGE = 500
T = TypeVar("T")


def version_fields(context: Context, version: Version) -> dict[str, Any]:
    """A version for JSON."""
    fields: dict[str, Any] = {
        **path_fields(version.path),
        "version": version_number(version.time),
        "id": version.id.hex(),
        "node": version.node,
        "node_name": context.volume.node_name(version.node),
        "kind": version.kind,
        "size": version.size,
        "mode": f"{version.mode & 0o7777:04o}",
        "mtime": version_number(version.mtime),
        "parents": [parent.hex() for parent in version.parents],
        "blocks": version.blocks,
        "held": version.held,
        "head": version.head,
        "shown": version.shown,
        "pruned": version.pruned,
        "operation": operation_id(version.operation),
    }
    if version.from_path is not None:
        fields.update(path_fields(version.from_path, "from"))
    return fields


def operation_fields(context: Context, operation: Operation) -> dict[str, Any]:
    """An operation for JSON."""
    return {
        "operation": operation_id(operation.key),
        "verb": operation.verb,
        **paths_fields([os.fsencode(arg) for arg in operation.args], "args"),
        "node": operation.key.node,
        "node_name": context.volume.node_name(operation.key.node),
        "time": version_number(operation.time),
        "last": version_number(operation.last),
        "versions": operation.versions,
        "bytes": operation.bytes,
        "interrupted": operation.interrupted,
    }


# --- log --------------------------------------------------------------------------------------


def log(context: Context) -> int:
    """The timeline of a file, or of everything below a directory; or the operations."""
    if context.args.limit < 0:
        raise UsageError("--limit wants a number that is not negative")
    path = context.path(context.args.path)
    if context.args.operations:
        return _log_operations(context, path)
    versions = _versions(context, path)
    if context.out.as_json:
        context.out.rows(version_fields(context, version) for version in versions)
        return DONE
    width = _widest_node(context)
    for version in versions:
        context.out.line(_version_line(context, version, path, width))
    return DONE


def _versions(context: Context, path: bytes) -> Iterator[Version]:
    limit = context.args.limit
    volume = context.volume
    own = volume.history(path, limit=limit) if path else []
    entry = volume.view().entry(path, deleted=True)
    directory = not path or (entry is not None and (entry.kind == "directory" or entry.below > 0))
    if own and not directory:
        return iter(own)
    below = volume.history_below(path, limit=1)
    if not below and not own and path:
        raise volume.no_such_path(path)
    return _below(context, path, limit)


def _below(context: Context, path: bytes, limit: int) -> Iterator[Version]:
    """Everything below a directory, newest first."""

    def page(size: int, before: int | None) -> list[Version]:
        return context.volume.history_below(path, limit=size, before=before)

    return _paged(context, page, lambda one: one.row, lambda one: one.time, limit)


def _paged(
    context: Context,
    page_of: Callable[[int, int | None], list[T]],
    key_of: Callable[[T], object],
    time_of: Callable[[T], int],
    limit: int,
) -> Iterator[T]:
    """What `page_of` (how many, before when) gives, newest first, page by page. Things of one
    nanosecond may stand on both sides of a page's border, so a page begins where the last one
    ended."""
    before: int | None = None
    seen: set[object] = set()
    count = 0
    while not context.cancelled():
        page = page_of(PAGE + len(seen), before)
        fresh = [one for one in page if key_of(one) not in seen]
        for one in fresh:
            yield one
            count += 1
            if limit and count >= limit:
                return
        if len(fresh) < PAGE:
            return
        last = time_of(page[-1])
        seen = {key_of(one) for one in page if time_of(one) == last}
        before = last + 1


def _widest_node(context: Context) -> int:
    """Columns that the name of any node takes: rows are printed as they come."""
    return max(columns(safe(name)) for name in context.volume.node_names().values())


def _version_line(context: Context, version: Version, path: bytes, width: int) -> str:
    size = "deleted" if version.kind == "deleted" else size_words(version.size)
    if version.kind in ("directory", "symlink"):
        size = version.kind
    marks = []
    if version.shown:
        marks.append("now")
    elif version.head:
        marks.append("other side")
    if version.pruned:
        marks.append("pruned")
    elif version.held != "all":
        marks.append({"part": "partly here", "none": "not here"}[version.held])
    if version.from_path is not None:
        marks.append(f"was {safe(version.from_path)}")
    name = "" if version.path == path else f"  {safe(version.path)}"
    note = f"  ({', '.join(marks)})" if marks else ""
    note = context.out.paint(note, "warn" if version.head and not version.shown else "dim")
    when = short_time(version.time, context.now)
    node = ljust(safe(context.volume.node_name(version.node)), width)
    return f"{version_number(version.time)}  {when:<15}  {node}  {size:>10}{name}{note}"


def _log_operations(context: Context, path: bytes) -> int:
    rows = _operations(context, path)
    if context.out.as_json:
        context.out.rows(operation_fields(context, operation) for operation in rows)
        return DONE
    width = _widest_node(context)
    for operation in rows:
        when = short_time(operation.time, context.now)
        node = safe(context.volume.node_name(operation.key.node))
        note = context.out.paint("  (interrupted)", "warn") if operation.interrupted else ""
        what = safe(equivalent(operation))
        count = plural(operation.versions, "version")
        size = size_words(operation.bytes)
        number = str(operation.key.number)
        if operation.key.node != context.volume.uuid:
            number = f"{node}:{number}"  # as `undo` wants it
        number, node = rjust(number, 8 + width), ljust(node, width)
        context.out.line(f"{number}  {when:<15}  {node}  {what}  {count}, {size}{note}")
    return DONE


def _operations(context: Context, path: bytes) -> Iterator[Operation]:
    def page(size: int, before: int | None) -> list[Operation]:
        return context.volume.operations(limit=size, before=before, below=path)

    limit = context.args.limit
    return _paged(context, page, lambda one: one.key, lambda one: one.last, limit)


# --- diff -------------------------------------------------------------------------------------


def diff(context: Context) -> int:
    """What changed; exit status 0 either way."""
    path = context.path(context.args.path)
    result = context.volume.diff(
        path,
        old=context.version_or_time(path, context.args.old),
        new=context.version_or_time(path, context.args.new),
        **context.listening,
    )
    if context.out.as_json:
        context.out.document(_diff_fields(result))
    else:
        for line in map(_diff_line, result.lines):
            style: Style | None = "bold" if line.startswith(("--- ", "+++ ")) else None
            context.out.line(context.out.paint(line, style or OF_CHANGE.get(line[:1])))
        for line in map(_change_line, result.changes):
            context.out.line(context.out.paint(line, OF_CHANGE[line[:1]]))
        if result.kind != "text" or not result.lines:
            context.out.line(safe(result.summary))
        if result.capped:
            context.out.say("globofs: there is more than is shown")
    return context.finish(result.problems, missing=int(result.kind == "missing"))


def _diff_line(line: str) -> str:
    """A line of a text: tabs stay, everything else that could steer a terminal is escaped."""
    return "\t".join(safe(part) for part in line.rstrip("\n").split("\t"))


def _change_line(change: Change) -> str:
    mark = {"added": "+", "changed": "~", "deleted": "-", "renamed": ">"}[change.change]
    old = f"{safe(change.old_path)} -> " if change.old_path is not None else ""
    return f"{mark} {old}{safe(change.path)}"


def _diff_fields(result: DiffResult) -> dict[str, Any]:
    return {
        **path_fields(result.path),
        "kind": result.kind,
        "summary": result.summary,
        "lines": [line.rstrip("\n") for line in result.lines],
        "changes": [
            {
                **path_fields(change.path),
                "change": change.change,
                "kind": change.kind,
                "old": version_number(change.old.time) if change.old else None,
                "new": version_number(change.new.time) if change.new else None,
                **(path_fields(change.old_path, "old_path") if change.old_path else {}),
            }
            for change in result.changes
        ],
        "old": version_number(result.old.time) if result.old else None,
        "new": version_number(result.new.time) if result.new else None,
        "capped": result.capped,
        "problems": problem_fields(result.problems),
    }


# --- undo, redo -------------------------------------------------------------------------------


def parse_operation(context: Context, text: str) -> OperationKey:
    """An OPERATION: the number of one of this node, or `<node>:<number>` with the node's name, its
    uuid or how that begins, as `log --operations` shows them. Raises `UsageError`."""
    from globofs.store.views import OperationKey

    node, _, number = text.rpartition(":")
    if not number.isdecimal():
        raise UsageError(
            f"{printable(text)}: not an operation; `globofs log --operations` shows them"
        )
    if not node:
        return OperationKey(context.volume.uuid, int(number))
    known = context.volume.node_names()
    named = [uuid for uuid, name in known.items() if name == node]
    matching = named or [uuid for uuid in known if uuid.startswith(node)]
    if len(matching) != 1:
        raise UsageError(f"{printable(node)}: no node, or several, whose name or uuid begins so")
    return OperationKey(matching[0], int(number))


def edit_fields(result: EditResult) -> dict[str, Any]:
    """What `rm`, `mv`, `undo`, `redo`, `resolve` did, for JSON."""
    return {
        "versions": result.versions,
        "operation": operation_id(result.operation),
        "undone": operation_id(result.undone),
        **paths_fields(result.paths),
        **paths_fields(result.skipped, "skipped"),
        "problems": problem_fields(result.problems),
    }


def report_edit(context: Context, result: EditResult, done: str) -> int:
    """Say what an edit did; the status to end with."""
    if context.out.as_json:
        context.out.document(edit_fields(result))
    else:
        context.out.say(f"globofs: {done}: {plural(result.versions, 'new version')}")
    return context.finish(result.problems)


def undo(context: Context) -> int:
    """Reverse an operation."""
    text = context.args.operation
    key = parse_operation(context, text) if text else None
    result = context.volume.undo(key, **context.listening)
    done = "undone" if result.versions else "nothing is left to undo of"
    return report_edit(context, result, f"{done} {_did(context, result.undone)}")


def redo(context: Context) -> int:
    """Take the last undo back."""
    result = context.volume.redo(**context.listening)
    return report_edit(context, result, f"took back {_did(context, result.undone)}")


def _did(context: Context, key: OperationKey | None) -> str:
    """An operation in a sentence: its number, and the command it was."""
    operation = None if key is None else context.volume.view().operation(key)
    if key is None or operation is None:
        return "nothing"
    return f"{key.number} ({safe(equivalent(operation))})"


# --- conflicts --------------------------------------------------------------------------------


def conflicts(context: Context) -> int:
    """List what was changed in two places, with all sides."""
    found = context.volume.conflicts()
    if context.out.as_json:
        context.out.rows(
            {
                **path_fields(conflict.path),
                "winner": version_number(conflict.winner.time),
                "sides": [_side_fields(context, side) for side in conflict.sides],
            }
            for conflict in found
        )
        return DONE
    for conflict in found:
        context.out.line(context.out.paint(shown_path(conflict.path), "bold"))
        for side in conflict.sides:
            mark = "shown" if side.id == conflict.winner.id else "other"
            size = "deleted" if side.kind == "deleted" else size_words(side.size)
            when = short_time(side.time, context.now)
            node = safe(context.volume.node_name(side.node))
            number = version_number(side.time)
            context.out.line(f"  {mark}  {number}  {when:<15}  {node}  {size}")
    how = "; `globofs resolve PATH` with --version NUMBER takes a side, --keep-both keeps all"
    context.out.say(f"globofs: {plural(len(found), 'conflict')}{how if found else ''}")
    return DONE


def _side_fields(context: Context, side: Version) -> dict[str, Any]:
    return {
        "version": version_number(side.time),
        "id": side.id.hex(),
        "node": side.node,
        "node_name": context.volume.node_name(side.node),
        "kind": side.kind,
        "size": side.size,
        "held": side.held,
    }
