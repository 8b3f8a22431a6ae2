"""From changed files to who should act: what notification of `upstream/`, `state/`, `run/` means."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from globofs import limits
from globofs.engine.watch import Watcher
from globofs.engine.work import Work

PLACES: Final = ("upstream", "state", "run")


class Hearing:
    """Watches the node's directory. All callbacks run in the watcher's thread and return at once:
    `anything()` for every change, `heard(uuids)` when those nodes wrote to us, `own()` when our
    own journal has something new that peers may hear."""

    def __init__(
        self,
        work: Work,
        *,
        anything: Callable[[], None],
        heard: Callable[[frozenset[str]], None],
        own: Callable[[], None],
    ) -> None:
        self._work = work
        self._anything = anything
        self._heard = heard
        self._own = own
        self._upstream = work.directory("upstream") + os.sep
        self._applied = b""
        places = [path for name in PLACES if os.path.isdir(path := work.directory(name))]
        readonly = f"the volume is {work.readonly}" if work.readonly else ""
        self.watcher = Watcher(
            places,
            self._announced,
            probe_directory=work.directory("run"),
            poll_seconds=work.poll_seconds,
            ignored=is_noise,
            polling_only=readonly or ("" if places else "there is nothing to watch yet"),
        )

    def _announced(self, paths: frozenset[str]) -> None:
        uuids = {self._writer(path) for path in paths if path.startswith(self._upstream)}
        self._anything()
        ours = {self._work.uuid, "applied"}
        if others := frozenset(uuids - ours):
            self._heard(others)
        if uuids & ours and self._news():
            self._own()

    def _writer(self, path: str) -> str:
        """Who wrote a file below `upstream/`: `<origin>/updates/…` or `<origin>/via/<writer>/…`."""
        parts = path[len(self._upstream) :].split(os.sep)
        return parts[2] if len(parts) > 2 and parts[1] == "via" else parts[0]

    def _news(self) -> bool:
        """Whether `applied` says something else than when we last looked: our own rounds write
        it too, and would otherwise wake themselves for ever."""
        try:
            with open(self._upstream + "applied", "rb") as file:
                found = file.read(limits.APPLIED_BYTES)
        except OSError:
            return True
        if found == self._applied:
            return False
        self._applied = found
        return True


def is_noise(path: str) -> bool:
    """Whether a changed file says nothing: snapshots, marks, temporary files."""
    name = os.path.basename(path)
    return name.endswith(".json") or name.startswith((".", "tmp", "op-", "peer-"))
