"""Verbs that look after what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from globofs.events import Emit, ignore, never
from globofs.volume.base import Verbs

if TYPE_CHECKING:
    from globofs.events import Cancelled
    from globofs.sync.results import Policy, PruneResult, VerifyResult


class CareVerbs(Verbs):
    """Verbs that look after what is stored."""

    def verify(
        self,
        *,
        repair: bool = False,
        sample: float | None = None,
        restart: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> VerifyResult:
        """Read blocks and manifests and check them; `sample` is the share to read, 0 to 1.

        Goes on where an earlier one was stopped, but with `restart`.
        """
        from globofs.sync.verify import verify

        return verify(
            self.node,
            self.puller if repair else None,
            repair=repair,
            sample=sample,
            restart=restart,
            emit=emit,
            cancelled=cancelled,
        )

    def prune(
        self,
        policy: Policy,
        dry_run: bool = False,
        *,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> PruneResult:
        """Let old versions go by `policy`, then collect blocks without a version."""
        from globofs.sync.prune import prune

        return prune(self.node, policy, dry_run=dry_run, emit=emit, cancelled=cancelled)

    def moved(
        self, *, force: bool = False, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> None:
        """Note that the volume was moved or restored to where it lies now, and is used nowhere
        else: the node speaks for itself again, once it has heard a peer, or by `force`. Raises
        Unsupported where none can be heard; ReadOnlyVolume, Locked, Interrupted, OSError."""
        from globofs.sync.moved import settle_in

        settle_in(self.node, self.peers, force=force, emit=emit, cancelled=cancelled)
