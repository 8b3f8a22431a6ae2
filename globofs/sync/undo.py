"""`undo` and `redo`: the reverse of an operation, as an operation of its own.

Nothing is remembered beside the journal. The stack is read off this node's operations, newest
first: an `undo` names the operation it reversed, a `redo` the undo that it took back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from globofs.errors import NoSuchVersion, NothingToUndo
from globofs.events import Cancelled, Emit, Problem, Progress, ignore, never, problems_to
from globofs.format import kinds
from globofs.limits import BATCH_RECORDS, PARENTS_MAX
from globofs.store.commit import Draft
from globofs.store.heads import rank, winner
from globofs.store.history import operations_of, reversed_key
from globofs.store.index import HeadInfo
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.versions import blocks_of_many, by_ids
from globofs.store.views import Block, Operation, OperationKey, Version
from globofs.sync._versions import deletion, draft_of
from globofs.sync.results import EditResult

PAGE = 200
CHANGED: Final = "was changed since, left as it is"


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
    node.writable()
    view = View(node)
    if operation is None:
        operation = next_undo(own_operations(node))
        if operation is None:
            raise NothingToUndo(verb="undo")
    return _reverse(node, view, "undo", operation, emit, cancelled)


def redo(node: Node, *, emit: Emit = ignore, cancelled: Cancelled = never) -> EditResult:
    """Take back this node's last undo, if nothing else was done since. Raises NothingToUndo."""
    node.writable()
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
            if operation.versions:  # one that changed nothing has nothing to be taken back
                return operation.key
        elif operation.versions:
            return None
    return None


def target_of(operation: Operation) -> int:
    """The number of the operation of this node that an `undo` or `redo` reversed; else -1."""
    key = reversed_key(operation)
    return key.number if key is not None and key.node == operation.key.node else -1


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
    made = _by_path(view.versions_of_operation(key))
    if not made:
        raise NoSuchVersion(
            f"operation {key.number}: there is none, or it changed no file;"
            " `globofs log --operations` lists them"
        )
    drafts: list[list[Draft]] = []
    problems: list[Problem] = []
    parents = {parent for versions in made.values() for one in versions for parent in one.parents}
    known = by_ids(node.index, parents)
    blocks = blocks_of_many(node.index, [one.row for one in known.values() if one.blocks])
    infos = node.index.path_infos(list(made))
    for path, versions in made.items():
        found = _drafts_before(path, versions, infos[path].heads, known, blocks)
        if isinstance(found, str):
            problems.append(Problem(path, found, warning=True))
        else:
            drafts.append(found)
    done: list[bytes] = []
    total = sum(map(len, drafts))
    args = (str(key.number),) if key.node == node.uuid else (str(key.number), key.node)
    with node.operation(verb, args, late=True, emit=problems_to(emit)) as operation:
        for batch in _batches(drafts):
            if cancelled():
                break
            done += [one.draft.path for one in operation.commit(batch) if not one.skipped]
            emit(Progress(verb, files=len(done), files_total=total))
        if not done and not cancelled():
            # Said in the journal all the same: the next one then reverses what came before.
            operation.record(kinds.NoteRecord(f"{verb} of {key.number}: nothing to change"))
    return EditResult(
        versions=len(done),
        operation=operation.key if done else None,
        paths=tuple(done),
        skipped=tuple(problem.path for problem in problems),
        undone=key,
        problems=tuple(problems),
    )


def _batches(groups: Iterable[list[Draft]]) -> Iterator[list[Draft]]:
    """The drafts in batches; those of one path stay together, as what stands side by side."""
    batch: list[Draft] = []
    for group in groups:
        if batch and len(batch) + len(group) > BATCH_RECORDS:
            yield batch
            batch = []
        batch += group
    if batch:
        yield batch


def _by_path(versions: Iterable[Version]) -> dict[bytes, list[Version]]:
    """What an operation made of each path, oldest first, in path order."""
    found: dict[bytes, list[Version]] = {}
    for version in sorted(versions, key=lambda version: (version.path, version.time)):
        found.setdefault(version.path, []).append(version)
    return found


def _drafts_before(
    path: bytes,
    made: Sequence[Version],
    heads: Sequence[HeadInfo],
    known: Mapping[bytes, Version],
    blocks: Mapping[int, Sequence[Block]],
) -> list[Draft] | str:
    """Drafts of what was there before an operation made `made` of a path, or why it is left.

    What stood in conflict before it (`resolve`) does so again: each side becomes a version.
    """
    inner = {parent for version in made for parent in version.parents}
    after = {version.content for version in made if version.id not in inner}
    now = {head.content for head in heads}
    if now != after:
        conflict = len(now) > 1 and after <= now
        return "is in conflict now, left as it is" if conflict else CHANGED
    own = {version.id for version in made}
    sides: dict[bytes, list[Version]] = {}
    for parent in inner - own:
        if parent in known:
            sides.setdefault(known[parent].content, []).append(known[parent])
    parents = tuple(head.id for head in heads[-PARENTS_MAX:])
    if not sides:
        return [deletion(path, parents)]
    before = sorted((winner(side) for side in sides.values()), key=rank)
    if any(version.pruned for version in before):
        return "what was there before was pruned"
    drafts = [draft_of(one, blocks.get(one.row, ()), path, parents=parents) for one in before]
    # Of a conflict both sides are written, also the one that was taken: it is the present content.
    return drafts if len(drafts) == 1 else [replace(one, if_changed=False) for one in drafts]
