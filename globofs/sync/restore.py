"""`restore`: old content made current again, or written out of the volume.

In the volume it makes new versions that list the old blocks: no data moves, nothing is
rewritten. Out of the volume it follows a plan (`_plan`) and writes by `_write_out`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from globofs.errors import TargetExists, UnsafeTarget
from globofs.events import Cancelled, Emit, Progress, ignore, never, problems_to
from globofs.limits import BATCH_RECORDS
from globofs.store.commit import Draft
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.store.versions import blocks_of_many
from globofs.store.views import Version
from globofs.sync._plan import beside, plan_back, plan_here, plan_restore, safe_to_replace
from globofs.sync._sources import came_from
from globofs.sync._versions import deletion, draft_of
from globofs.sync._write_out import write_out
from globofs.sync.pull import Puller
from globofs.sync.results import PlanItem, RestorePlan, RestoreResult

__all__ = [
    "beside",
    "came_from",
    "plan_back",
    "plan_here",
    "plan_restore",
    "restore",
    "safe_to_replace",
]


def restore(
    node: Node,
    puller: Puller,
    paths: Sequence[bytes],
    *,
    version: Version | None = None,
    at: int | None = None,
    to: str | None = None,
    delete: bool = False,
    force: bool = False,
    dry_run: bool = False,
    plan: RestorePlan | None = None,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> RestoreResult:
    """Restore `paths` as they were (product.md's rules), or carry out a `plan` made before.

    With `dry_run` only the plan is made. A path that cannot be restored is a problem; raises
    NoSuchPath, TargetExists, UnsafeTarget where it is the only one.
    """
    if plan is None:
        plan = plan_restore(node, paths, version=version, at=at, to=to, delete=delete, force=force)
    if dry_run:
        return RestoreResult(
            files=plan.files, bytes=plan.bytes, same=_same(plan), plan=plan, problems=plan.problems
        )
    if plan.to is None:
        return _inside(node, plan, emit, cancelled)
    _refuse_lone(plan)
    return _outside(node, puller, plan, emit, cancelled)


def _same(plan: RestorePlan) -> int:
    return sum(item.action == "same" for item in plan.items)


def _inside(node: Node, plan: RestorePlan, emit: Emit, cancelled: Cancelled) -> RestoreResult:
    node.writable()
    total = sum(item.action in ("create", "replace", "delete") for item in plan.items)
    files = size = versions = deleted = done = 0
    said = problems_to(emit)
    with node.operation("restore", plan.args, late=True, emit=said) as operation:
        for batch in chunks(_drafts(node, plan.items), BATCH_RECORDS):
            if cancelled():
                break
            for made in operation.commit(batch):
                if made.skipped:
                    continue
                versions += 1
                if made.draft.kind == "deleted":
                    deleted += 1
                elif made.draft.kind != "directory":
                    files += 1
                    size += made.draft.size
            done += len(batch)
            emit(Progress("restore", files=done, files_total=total, path=batch[-1].path))
    return RestoreResult(
        files=files,
        bytes=size,
        versions=versions,
        deleted=deleted,
        same=_same(plan),
        operation=operation.key,
        plan=plan,
        problems=plan.problems,
    )


def _drafts(node: Node, items: Sequence[PlanItem]) -> Iterator[Draft]:
    """What came since the plan was made is nothing it had in hand: it stays, a conflict."""
    for some in chunks(item for item in items if item.action in ("create", "replace", "delete")):
        rows = [item.version.row for item in some if item.version and item.version.blocks]
        blocks = blocks_of_many(node.index, rows)
        for item in some:
            if item.action == "delete":
                yield deletion(item.path, item.parents)
            elif item.version is not None:
                listed = blocks.get(item.version.row, ())
                yield draft_of(item.version, listed, item.path, parents=item.parents)


def _refuse_lone(plan: RestorePlan) -> None:
    """One thing that cannot be restored is an error, not a list with one problem."""
    if len(plan.items) != 1 or plan.items[0].action != "skip" or plan.items[0].target is None:
        return
    item = plan.items[0]
    if item.reason.startswith("exists"):
        raise TargetExists(path=item.target)
    raise UnsafeTarget(path=item.target, reason=item.reason)


def _outside(
    node: Node, puller: Puller, plan: RestorePlan, emit: Emit, cancelled: Cancelled
) -> RestoreResult:
    assert plan.to is not None
    written = write_out(node, puller, plan, emit, cancelled)
    return RestoreResult(
        files=written.files,
        bytes=written.bytes,
        deleted=written.deleted,
        same=_same(plan),
        fetched_bytes=written.fetched_bytes,
        missing=tuple(written.missing),
        plan=plan,
        problems=(*plan.problems, *written.problems),
    )
