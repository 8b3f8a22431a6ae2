"""`rm` and `mv`: versions that say so. History stays, no data moves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from globofs.errors import NoSuchPath, TargetExists, UsageError, printable
from globofs.events import Cancelled, Emit, Problem, Progress, ignore, never, problems_to
from globofs.format import names
from globofs.limits import BATCH_RECORDS
from globofs.store.commit import Committed, Draft, Operation
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.store.query import View
from globofs.store.versions import blocks_of_many, by_ids
from globofs.store.views import Entry
from globofs.sync._versions import deletion, draft_of, live_at, parents_of
from globofs.sync.results import EditResult
from globofs.sync.suggest import no_such_path

Parents = Mapping[bytes, tuple[bytes, ...]]
"""By path, the versions that a verb had in hand when it looked."""


def rm(
    node: Node, paths: Sequence[bytes], *, emit: Emit = ignore, cancelled: Cancelled = never
) -> EditResult:
    """Record `paths`, and everything below them, as deleted: one operation.

    A path that is not there is a problem and does not keep the others; raises NoSuchPath where
    it is the only one.
    """
    node.writable()
    view = View(node)
    doomed: dict[bytes, Entry] = {}
    problems: list[Problem] = []
    for path in paths:
        if not path:
            raise UsageError("the root of the volume cannot be removed; name what is in it")
        try:
            doomed.update((entry.path, entry) for entry in live_at(view, path))
        except NoSuchPath as error:
            if len(paths) == 1:
                raise
            problems.append(Problem(path, error.message.partition(": ")[2]))
    if not doomed:
        return EditResult(problems=tuple(problems))
    seen = parents_of(view, doomed.values())
    args = tuple(map(os.fsdecode, paths))
    with node.operation("rm", args, late=True) as operation:
        drafts = _deletions(doomed.values(), seen)
        made = _commit(operation, "rm", drafts, len(doomed), emit, cancelled)
    return _result(operation, made, problems)


def mv(
    node: Node, old: bytes, new: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never
) -> EditResult:
    """Rename the file or directory `old` to `new`: one operation, the timeline follows.

    Raises NoSuchPath, TargetExists where anything lives at `new`, UsageError for a directory
    that would go into itself.
    """
    node.writable()
    if not old or not new:
        raise UsageError("the root of the volume cannot be renamed")
    names.check_path(new)
    if new == old:
        raise UsageError(f"{printable(old)}: has that name already")
    if names.is_below(new, old):
        raise UsageError(f"{printable(new)}: lies within {printable(old)} itself")
    view = View(node)
    moved = live_at(view, old)
    _check_free(view, new)
    seen = parents_of(view, [*moved, *view.walk(new, deleted=True)])
    args = (os.fsdecode(old), os.fsdecode(new))
    with node.operation("mv", args, late=True, emit=problems_to(emit)) as operation:
        drafts = _moves(view, moved, old, new, seen)
        made = _commit(operation, "mv", drafts, 2 * len(moved), emit, cancelled)
    return _result(operation, made, [])


def _check_free(view: View, new: bytes) -> None:
    entry = view.entry(new)
    if entry is not None and entry.kind != "deleted":
        where = printable(new)
        raise TargetExists(f"{where}: exists already in the volume; rename it first", path=new)
    for above in names.ancestors(new):
        entry = view.entry(above)
        if entry is not None and entry.kind not in ("directory", "deleted"):
            where = printable(above)
            raise TargetExists(f"{where}: is a {entry.kind}, not a directory", path=above)


def _deletions(entries: Iterable[Entry], seen: Parents) -> Iterator[Draft]:
    """An edit that was made since the look is no version we had in hand: it stays, a conflict."""
    for entry in entries:
        yield deletion(entry.path, seen[entry.path])


def _moves(
    view: View, moved: list[Entry], old: bytes, new: bytes, seen: Parents
) -> Iterator[Draft]:
    """New names first, so that a killed `mv` leaves things twice rather than not at all."""
    for some in chunks(moved):
        versions = by_ids(view.index, [entry.version for entry in some])
        blocks = blocks_of_many(view.index, [one.row for one in versions.values() if one.blocks])
        for entry in some:
            version = versions.get(entry.version)
            if version is None:
                raise no_such_path(view, entry.path)
            path = new + entry.path[len(old) :]
            yield draft_of(
                version,
                blocks.get(version.row, ()),
                path,
                parents=seen.get(path, ()),
                from_path=entry.path,
                from_id=version.id,
            )
    yield from _deletions(moved, seen)


def _commit(
    operation: Operation,
    verb: str,
    drafts: Iterator[Draft],
    total: int,
    emit: Emit,
    cancelled: Cancelled,
) -> list[Committed]:
    made: list[Committed] = []
    done = 0
    for batch in chunks(drafts, BATCH_RECORDS):
        if cancelled():
            break
        made += [one for one in operation.commit(batch) if not one.skipped]
        done += len(batch)
        emit(Progress(verb, files=done, files_total=total, path=batch[-1].path))
    return made


def _result(operation: Operation, made: list[Committed], problems: list[Problem]) -> EditResult:
    return EditResult(
        versions=len(made),
        operation=operation.key if made else None,
        paths=tuple(one.draft.path for one in made),
        problems=tuple(problems),
    )
