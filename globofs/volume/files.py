"""Verbs that make versions, or write them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from globofs.events import Emit, Problem, ignore, never
from globofs.volume.base import Verbs

if TYPE_CHECKING:
    from globofs.events import Cancelled
    from globofs.store.views import OperationKey, Version
    from globofs.sync.results import AddResult, DiffResult, EditResult, RestorePlan, RestoreResult


class FileVerbs(Verbs):
    """Verbs that make versions, or write them out."""

    def add(
        self,
        sources: Sequence[str],
        *,
        to: bytes = b"",
        delete: bool = False,
        checksum: bool = False,
        exclude: Sequence[str] = (),
        yes: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> AddResult:
        """Snapshot files or trees of this machine into the volume, below `to`."""
        from globofs.sync.add import add

        return add(
            self.node,
            sources,
            to=to,
            delete=delete,
            checksum=checksum,
            exclude=exclude,
            yes=yes,
            emit=emit,
            cancelled=cancelled,
        )

    def rm(
        self, paths: Sequence[bytes], *, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> EditResult:
        """Record `paths`, and all below them, as deleted; history is kept."""
        from globofs.sync.edit import rm

        return rm(self.node, paths, emit=emit, cancelled=cancelled)

    def mv(
        self, old: bytes, new: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> EditResult:
        """Rename a file or a whole directory; costs no data, the timeline follows."""
        from globofs.sync.edit import mv

        return mv(self.node, old, new, emit=emit, cancelled=cancelled)

    def plan_restore(
        self,
        paths: Sequence[bytes],
        *,
        version: Version | None = None,
        at: int | None = None,
        to: str | None = None,
        delete: bool = False,
        force: bool = False,
    ) -> RestorePlan:
        """What `restore` would do; from the index alone, never waits for a peer."""
        from globofs.sync.restore import plan_restore

        return plan_restore(
            self.node, paths, version=version, at=at, to=to, delete=delete, force=force
        )

    def restore(
        self,
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
        """Make old content current again, or write it out below `to`."""
        from globofs.sync.restore import restore

        return restore(
            self.node,
            self.puller,
            paths,
            version=version,
            at=at,
            to=to,
            delete=delete,
            force=force,
            dry_run=dry_run,
            plan=plan,
            emit=emit,
            cancelled=cancelled,
        )

    def came_from(self, path: bytes) -> str | None:
        """Where on this machine `path` was added from; None where it came from nowhere here."""
        from globofs.sync.restore import came_from

        return came_from(self.node, path)

    def plan_back(
        self, paths: Sequence[bytes], *, version: Version | None = None, at: int | None = None
    ) -> RestorePlan:
        """What `restore_back` would do. Looks at the folders, never waits for a peer."""
        from globofs.sync.restore import plan_back

        return plan_back(self.node, paths, version=version, at=at)

    def restore_back(
        self,
        paths: Sequence[bytes],
        *,
        version: Version | None = None,
        at: int | None = None,
        plan: RestorePlan | None = None,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> RestoreResult:
        """Restore `paths` to the folders they came from: what lies there now is added, then the
        old content becomes current in the volume and is written to the folders. A file that could
        not be added is not replaced. One undo takes back what changed in the volume."""
        from globofs.sync.restore import beside, plan_here, safe_to_replace
        from globofs.sync.results import RestoreResult

        plan = plan or self.plan_back(paths, version=version, at=at)
        problems: list[Problem] = []
        for place, to in beside(self.node, paths):
            added = self.add([place], to=to, emit=emit, cancelled=cancelled)
            problems += [problem for problem in added.problems if not problem.warning]
        if cancelled():
            return RestoreResult(plan=plan, problems=tuple(problems))
        here = self.restore(paths, plan=plan_here(self.node, plan), emit=emit, cancelled=cancelled)
        safe = safe_to_replace(self.node, plan)
        out = self.restore(paths, plan=safe, emit=emit, cancelled=cancelled)
        return replace(
            out,
            versions=here.versions,
            operation=here.operation,
            problems=(*problems, *here.problems, *out.problems),
        )

    def undo(
        self,
        operation: OperationKey | None = None,
        *,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> EditResult:
        """Reverse `operation`, or this node's last one; paths changed since are left alone."""
        from globofs.sync.undo import undo

        return undo(self.node, operation, emit=emit, cancelled=cancelled)

    def redo(self, *, emit: Emit = ignore, cancelled: Cancelled = never) -> EditResult:
        """Reverse this node's last undo, if nothing else was done since."""
        from globofs.sync.undo import redo

        return redo(self.node, emit=emit, cancelled=cancelled)

    def resolve(
        self,
        paths: Sequence[bytes],
        *,
        version: bytes | Mapping[bytes, bytes] | None = None,
        with_file: str | None = None,
        keep_both: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> EditResult:
        """Settle conflicts, in one operation: one side (its version id, or one for each path),
        a merged file, or both under two names."""
        from globofs.sync.resolve import resolve

        return resolve(
            self.node,
            paths,
            version=version,
            with_file=with_file,
            keep_both=keep_both,
        )

    def diff(
        self,
        path: bytes = b"",
        *,
        old: Version | int | None = None,
        new: Version | int | None = None,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> DiffResult:
        """What changed between two versions, two moments, or the one before and now."""
        from globofs.sync.diff import diff

        return diff(self.node, self.puller, path, old=old, new=new, cancelled=cancelled)
