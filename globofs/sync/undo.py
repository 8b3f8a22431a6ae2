"""`undo` and `redo`: the reverse of an operation, as an operation of its own.

Nothing is remembered beside the journal. The stack is read off this node's operations, newest
first: an `undo` names the operation it reversed, a `redo` the undo that it took back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from globofs.errors import NoSuchVersion, NothingToUndo
from globofs.events import Emit, Problem, Progress, ignore
from globofs.store.commit import Draft
from globofs.store.heads import differ, winner
from globofs.store.history import operations_of
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.views import Operation, OperationKey, Version
from globofs.sync._versions import batched, deletion, draft_of, writable
from globofs.sync.results import Cancelled, EditResult, never

PAGE = 200


def undo(
    node: Node,
    operation: OperationKey | None = None,
    *,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> EditResult:
    """Put back what `operation`, or this node's last one that is not undone, changed.

    Paths that were changed since are left alone and listed. Raises NothingToUndo.
    """
    writable(node)
    view = View(node)
    if operation is None:
        operation = next_undo(own_operations(node))
        if operation is None:
            raise NothingToUndo(verb="undo")
    return _reverse(node, view, "undo", operation, emit, cancelled)


def redo(node: Node, *, emit: Emit = ignore, cancelled: Cancelled = never) -> EditResult:
    """Take back this node's last undo, if nothing else was done since. Raises NothingToUndo."""
    writable(node)
    view = View(node)
    operation = next_redo(own_operations(node))
    if operation is None:
        raise NothingToUndo(verb="redo")
    return _reverse(node, view, "redo", operation, emit, cancelled)


def next_undo(newest_first: Iterable[Operation]) -> OperationKey | None:
    """What `undo` would reverse: the newest operation with versions that is still in force."""
    void: set[int] = set()
    for operation in newest_first:
        if operation.key.number in void:
            continue
        if operation.verb == "undo":
            void.add(target_of(operation))
        elif operation.versions:
            return operation.key
    return None


def next_redo(newest_first: Iterable[Operation]) -> OperationKey | None:
    """What `redo` would reverse: the newest undo in force, unless something new came after."""
    void: set[int] = set()
    for operation in newest_first:
        if operation.key.number in void:
            continue
        if operation.verb == "redo":
            void.add(target_of(operation))
        elif operation.verb == "undo":
            return operation.key
        elif operation.versions:
            return None
    return None


def target_of(operation: Operation) -> int:
    """The number of the operation of this node that an `undo` or `redo` reversed; else -1."""
    if len(operation.args) != 1 or not operation.args[0].isdigit():
        return -1
    return int(operation.args[0])


def own_operations(node: Node) -> Iterator[Operation]:
    """This node's operations, newest first, by their place in its journal."""
    before: int | None = None
    while page := operations_of(node, node.uuid, PAGE, before):
        yield from page
        before = page[-1].key.number


def _reverse(
    node: Node,
    view: View,
    verb: str,
    key: OperationKey,
    emit: Emit,
    cancelled: Cancelled,
) -> EditResult:
    first, last = _ends(view.versions_of_operation(key))
    if not first:
        raise NoSuchVersion(
            f"operation {key.number}: made no versions; `globofs log --operations` lists them"
        )
    drafts: list[Draft] = []
    problems: list[Problem] = []
    for path, after in last.items():
        draft = _draft_before(view, first[path], after)
        if draft is None:
            problems.append(Problem(path, "was changed since, left as it is", warning=True))
        else:
            drafts.append(draft)
    done: list[bytes] = []
    args = (str(key.number),) if key.node == node.uuid else (str(key.number), key.node)
    with node.operation(verb, args) as operation:
        for batch in batched(drafts):
            if cancelled():
                break
            done += [one.draft.path for one in operation.commit(batch) if not one.skipped]
            emit(Progress(verb, files=len(done), files_total=len(drafts)))
    return EditResult(
        versions=len(done),
        operation=operation.key if done else None,
        paths=tuple(done),
        skipped=tuple(problem.path for problem in problems),
        undone=key,
        problems=tuple(problems),
    )


def _ends(versions: Iterable[Version]) -> tuple[dict[bytes, Version], dict[bytes, Version]]:
    """The first and the last version that an operation made of each path, in path order."""
    first: dict[bytes, Version] = {}
    last: dict[bytes, Version] = {}
    for version in sorted(versions, key=lambda version: (version.path, version.time)):
        first.setdefault(version.path, version)
        last[version.path] = version
    return first, last


def _draft_before(view: View, first: Version, after: Version) -> Draft | None:
    """A draft of what was there before an operation; None where its result is no longer there."""
    heads = view.heads(after.path)
    if not heads or differ(heads) or winner(heads).content != after.content:
        return None
    before = [found for found in map(view.version_by_id, first.parents) if found is not None]
    if not before:
        return deletion(after.path)
    return draft_of(view, winner(before), after.path)
