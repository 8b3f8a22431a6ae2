"""Files: bringing things back, in the volume, to the folder they came from, or elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from globofs.speech import command, exact_time, long_age, version_number
from globofs.store.views import Version
from globofs.tui import words
from globofs.tui.model import places
from globofs.tui.screens.dialogs import AskDialog
from globofs.tui.screens.files_travel import FilesTravel
from globofs.tui.widgets.paint import Span

if TYPE_CHECKING:
    from globofs.sync.results import RestorePlan, RestoreResult


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be restored, as it was when, and where to."""

    paths: Sequence[bytes]
    version: Version | None
    at: int | None
    to: str | None = None  # outside; None: in the volume
    back: bool = False  # `to` is the folder it came from


class FilesRestore(FilesTravel):
    """The Files screen, as far as it restores."""

    def restorable(self) -> bool:
        """Whether `r` would do anything with what is selected."""
        entry = self.selected
        if entry is None:
            return False
        if (
            self.tree_list.marks
            or self.tree_list.range_from is not None
            or self.wish.at is not None
        ):
            return self.wish.at is not None or bool(self.tree_list.marks)
        moment = self.moment()
        if entry.kind == "deleted":
            return True
        if moment is None:
            return False
        if moment.operation is not None:
            return self.versions.cursor > 0
        return not moment.shown

    # --- restore --------------------------------------------------------------------------

    def _target(self) -> tuple[list[bytes], Version | None, int | None]:
        """Paths, and the version or the moment they go back to."""
        paths = self.chosen()
        if self.tree_list.marks or self.tree_list.range_from is not None:
            return paths, None, self.wish.at
        moment = self.moment()
        entry = self.selected
        if moment is not None and moment.operation is not None:
            if self.versions.cursor > 0 and (self.wish.at is None or self.versions.has_focus):
                return paths, None, moment.operation.last
            return paths, None, self.wish.at
        version = moment.version if moment is not None else None
        if self.wish.at is not None and not self.versions.has_focus:
            return paths, None, self.wish.at
        if version is not None and version.kind == "deleted" and entry is not None:
            return paths, None, None if entry.kind == "deleted" else version.time
        return paths, version, None

    def do_restore(self) -> None:
        """Bring the selection back: at once when simple, after a plan when not."""
        self._restore(None)

    def do_restore_to(self) -> None:
        """Ask for a directory outside, then plan."""
        entry = self.selected
        if entry is None:
            return
        volume, path = self.globofs.volume, entry.path
        self.bridge.ask(
            "detail",
            "origin",
            lambda: places.origin(volume, path),
            self._ask_target,
            lambda _: self._ask_target(None),
            modal=True,
        )

    def _ask_target(self, origin: str | None) -> None:
        if self.selected is None:
            return
        name = words.safe(self.selected.name)
        hints: list[list[Span]] = []
        if origin is not None:
            there = words.safe(origin)
            hints = [
                [("It came from ", "faint"), (there, "muted"), (" on this machine.", "faint")],
                [("There, what lies in its place now is added first.", "faint")],
            ]
        home = os.path.expanduser("~/")

        def answered(place: str | None) -> None:
            if place:
                self._restore(place, back=origin is not None and place.rstrip("/") == origin)

        self.app.push_screen(
            AskDialog(
                "Restore to a directory",
                f"The directory to write {name} into",
                places.target,
                value=f"{origin}/" if origin is not None else home,
                slow=True,
                hints=hints,
                complete=places.complete,
            ),
            answered,
        )

    def _restore(self, to: str | None, back: bool = False) -> None:
        wanted = Wanted(*self._target(), to, back)
        if not wanted.paths:
            return
        volume = self.globofs.volume
        paths, version, at = wanted.paths, wanted.version, wanted.at

        def find() -> RestorePlan:
            if back:
                return volume.plan_back(paths, version=version, at=at)
            return volume.plan_restore(paths, version=version, at=at, to=to, force=to is not None)

        self.bridge.ask(
            "detail",
            "plan",
            find,
            lambda plan: self._planned(plan, wanted),
            self.globofs.say_why,
            modal=True,
        )

    def _planned(self, plan: RestorePlan, wanted: Wanted) -> None:
        if not plan.files:
            skipped = [item for item in plan.items if item.action == "skip"]
            reason = f": {words.safe(skipped[0].reason)}" if skipped else "; it is so already"
            self.globofs.say(f"Nothing to restore{reason}", "warning")
            return
        if plan.files == 1 and not plan.fetch_bytes and not plan.outside_overwrites:
            self._do_restore(plan, wanted)
            return
        from globofs.tui.screens.plan import PlanDialog

        paths, moment = wanted.paths, wanted.at
        if moment is None and wanted.version is not None:
            moment = wanted.version.time
        when = f" as of {exact_time(moment)}" if moment is not None else ""
        what = words.shown_path(paths[0]) if len(paths) == 1 else words.plural(len(paths), "thing")
        title = f"Restore {what}{when}"

        def answered(yes: bool | None) -> None:
            if yes:
                self._do_restore(plan, wanted)

        self.app.push_screen(PlanDialog(plan, title, "r" if wanted.to is None else "R"), answered)

    def _do_restore(self, plan: RestorePlan, wanted: Wanted) -> None:
        volume = self.globofs.volume
        origins: list[str | None] = []

        def work(emit: Any, cancelled: Any) -> RestoreResult:
            which: dict[str, Any] = {"version": wanted.version, "at": wanted.at, "plan": plan}
            which |= {"emit": emit, "cancelled": cancelled}
            if wanted.back:
                return volume.restore_back(wanted.paths, **which)
            force = bool(plan.outside_overwrites)
            result = volume.restore(wanted.paths, to=wanted.to, force=force, **which)
            if wanted.to is None:
                origins.append(volume.came_from(wanted.paths[0]))
            return result

        self.globofs.verb(
            "restore",
            "restoring",
            work,
            lambda result: _said(result, wanted, next(iter(origins), None), self.globofs.now()),
            line=_line(wanted),
            after=lambda _: self._done_here(),
        )

    def _done_here(self) -> None:
        self.tree_list.marks.clear()
        self.tree_list.range_from = None
        if self.builder is not None:
            self.builder.forget()
        if self.wish.at is not None:
            self.travel_to(None)
        else:
            self.refresh_tree()
            self.follow()


def _said(result: RestoreResult, wanted: Wanted, origin: str | None, now: int) -> str:
    """The toast: what came back, from when and where to, and what would take it further or back."""
    if result.missing:
        lost = words.plural(len(result.missing), "file")
        return f"{lost} not restored: nobody reachable holds the content"
    what = f"Restored {words.plural(result.files, 'file')}"
    then = wanted.version.time if wanted.version is not None else wanted.at
    if then is not None:
        what += f" as of {long_age(then, now)} ({exact_time(then)[:16]})"
    if wanted.back:
        kept = "; what lay there is kept as a version" if result.versions else ""
        return f"{what} to {words.safe(wanted.to or '')} and in the volume{kept} · z undoes that"
    if wanted.to is not None:
        return f"{what} to {words.safe(wanted.to)}"
    alone = f" in the volume alone, R also in {words.safe(origin)}" if origin is not None else ""
    return f"{what}{alone} · z undoes"


def _line(wanted: Wanted) -> str:
    """The command that does the same."""
    version = wanted.version
    return command(
        "restore",
        *wanted.paths,
        version=version_number(version.time) if version is not None else None,
        at=exact_time(wanted.at) if wanted.at is not None else None,
        to=wanted.to,
        force=wanted.back,
    )
