"""What the verbs hand back: frozen, complete, without I/O.

Counts are files unless a name says else, sizes are bytes. `problems` names everything that was
not done (or was done with a caveat: `warning`), each with its reason; a verb that returns has
done everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from globofs.events import Problem
from globofs.store.views import Kind, OperationKey, Version
from globofs.sync.added import AddResult as AddResult

VolumePath = bytes  # `bytes` is also a count in some results


def failed(problems: tuple[Problem, ...]) -> bool:
    """Whether any problem is more than a warning: the command then ends with status 1."""
    return any(not problem.warning for problem in problems)


@dataclass(frozen=True, slots=True)
class EditResult:
    """What `rm`, `mv`, `undo`, `redo` and `resolve` wrote: one operation."""

    versions: int = 0
    operation: OperationKey | None = None
    paths: tuple[bytes, ...] = ()  # of the new versions
    skipped: tuple[bytes, ...] = ()  # changed since, left alone; each also is a problem
    undone: OperationKey | None = None  # the operation that `undo` or `redo` reversed
    problems: tuple[Problem, ...] = ()


Action = Literal["create", "replace", "same", "delete", "skip"]


class PlanItem(NamedTuple):
    """One path of a restore: what would happen to it, from which version, and where."""

    path: bytes
    action: Action
    version: Version | None = None
    target: str | None = None  # on disk, when restoring out of the volume
    reason: str = ""  # why it is skipped, or what is worth knowing
    parents: tuple[bytes, ...] | None = None  # in the volume: what stood there when planned


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """A restore before it happens. Made from the index alone: it never waits for a peer."""

    items: tuple[PlanItem, ...] = ()
    files: int = 0  # that would be written or deleted
    bytes: int = 0  # of those
    fetch_blocks: int = 0  # not held here
    fetch_bytes: int = 0
    sources: tuple[tuple[str, int], ...] = ()  # expected: node name, bytes
    outside_overwrites: int = 0  # files on disk, outside the volume, that would be replaced
    to: str | None = None
    force: bool = False
    args: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore did; `operation` is None when it wrote outside the volume."""

    files: int = 0
    bytes: int = 0
    versions: int = 0
    deleted: int = 0
    same: int = 0
    fetched_bytes: int = 0
    operation: OperationKey | None = None
    missing: tuple[VolumePath, ...] = ()  # paths whose content no reachable peer holds (exit 3)
    plan: RestorePlan | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One row of a directory's diff."""

    path: bytes
    change: Literal["added", "changed", "deleted", "renamed"]
    kind: Kind
    old: Version | None = None
    new: Version | None = None
    old_path: bytes | None = None


@dataclass(frozen=True, slots=True)
class DiffResult:
    """`lines` for text, `summary` always; `changes` for a directory. `capped`: there is more."""

    path: bytes
    kind: Literal["text", "binary", "directory", "same", "missing"]
    summary: str = ""
    lines: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    old: Version | None = None
    new: Version | None = None
    capped: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path with several different heads; the winner is what every node shows."""

    path: bytes
    winner: Version
    sides: tuple[Version, ...]  # all heads, the winner first


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """`missing`: blocks that current versions name and this node does not hold; no damage."""

    checked: int = 0
    earlier: int = 0  # of them, found sound by a check that was stopped and that this one ended
    bytes: int = 0  # of the blocks, also of those
    damaged: int = 0
    repaired: int = 0
    missing: int = 0
    sampled: bool = False
    interrupted: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def remaining(self) -> int:
        """Damage that is still there: the command ends with status 1 while it is not 0."""
        return self.damaged - self.repaired


@dataclass(frozen=True, slots=True)
class EvictResult:
    """What was let go, and what stays with the reasons (counts by reason)."""

    blocks: int = 0
    bytes: int = 0
    waiting: int = 0  # seen at enough keepers once; evictable when seen again
    next_at: int | None = None  # ns: when a second look may let the waiting ones go
    kept: tuple[tuple[str, int], ...] = ()  # reason, blocks
    dry_run: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class PinResult:
    """The pins after the change."""

    path: bytes
    pinned: bool
    pins: tuple[bytes, ...] = ()
    missing_blocks: int = 0  # to fetch, now wanted
    missing_bytes: int = 0
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class CopyCount:
    """Who holds the content of a path. `state`: here, seen, expected (not probed) or offline."""

    node: str  # uuid
    name: str
    keeper: bool | None  # None: it has not said so yet
    blocks: int
    total: int
    state: Literal["here", "seen", "expected", "offline"] = "expected"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What `prune` keeps of each path's history. Current versions and heads always stay."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within_seconds: float = 0.0
    paths: tuple[bytes, ...] = ()  # below these only; empty: everywhere


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What a prune would drop, dropped, set aside and deleted."""

    versions: int = 0  # now pruned
    kept: int = 0
    blocks: int = 0  # without a version now: set aside
    bytes: int = 0
    deleted_blocks: int = 0  # after the grace period and every node's consent
    deleted_bytes: int = 0
    waiting: tuple[str, ...] = ()  # what deletion still waits for, in sentences
    operation: OperationKey | None = None
    dry_run: bool = False
    problems: tuple[Problem, ...] = ()
