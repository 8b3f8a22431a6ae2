"""Files: what changes something, and what the lower pane shows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from globofs import errors
from globofs.speech import command
from globofs.tui import words
from globofs.tui.model import places
from globofs.tui.model.check import Check
from globofs.tui.model.tree import is_directory, parent
from globofs.tui.screens.dialogs import AskDialog
from globofs.tui.screens.files_programs import FilesPrograms
from globofs.tui.widgets.paint import Span

if TYPE_CHECKING:
    pass


class FilesActs(FilesPrograms):
    """The Files screen, as far as it changes anything."""

    def why_not(self, action: str) -> str:
        """What cannot be done with the present selection, in words."""
        needs_row = {
            "add_again", "restore", "restore_to", "diff", "inspect", "facts", "rename", "delete", "fetch", "pin", "copy",
            "mark", "why", "bump", "export", "editor", "open_copy", "compare",
        }  # fmt: skip
        if action in needs_row and self.selected is None:
            return "nothing is selected"
        if action in ("restore", "restore_to") and not self.restorable():
            return (
                "this is the version shown; choose an older one in the timeline"
                if action == "restore"
                else ""
            )
        if action in ("now", "travel_on") and self.wish.at is None:
            return "this is now"
        if action in ("rename", "delete", "add", "add_again") and self.wish.at is not None:
            return "the past cannot be changed; T goes back to now"
        if action in ("next_match", "previous_match") and not self.wish.filter:
            return "there is no filter; / begins one"
        return ""

    # --- content --------------------------------------------------------------------------

    def _show(self, mode: str) -> None:
        self.mode = mode
        if self.has_class("-mid"):
            self.detail_open = True
            self.focus_pane("detail")
        elif self.has_class("-narrow") or self.zoomed:
            self.focus_pane("detail")
        self.look()
        self.refresh_chrome()

    def do_diff(self) -> None:
        """Show the difference."""
        self._show("diff")

    def do_inspect(self) -> None:
        """Show the content."""
        self._show("preview")

    def do_facts(self) -> None:
        """Show what the manifest says."""
        self._show("facts")

    def do_diff_base(self) -> None:
        """Before, or now."""
        self.base = "now" if self.base == "before" else "before"
        self.mode = "diff"
        self.remember_place()
        self.look()
        self.refresh_chrome()

    def do_compare(self) -> None:
        """Take the version under the cursor as A, or let go of A."""
        version = self.version()
        if version is None:
            return
        same = self.compare is not None and self.compare.id == version.id
        self.compare = None if same else version
        self.mode = "diff"
        self.time_source.compare = b"" if same else version.id
        self.time_source.serial += 1
        self.versions.refresh()
        self.look()
        if not same:
            self.globofs.say(
                "A is set: move to another version to compare · Esc ends it", timeout=3
            )

    def do_open_version(self) -> None:
        """Show what a version changed; go to the moment of an operation."""
        moment = self.moment()
        if moment is None:
            return
        if moment.operation is not None:
            self.with_moments(
                lambda: self.travel_to(moment.operation.last if moment.operation else None)
            )
            return
        self._show("diff")

    def do_preview_down(self) -> None:
        """Scroll the text beside the list."""
        self.detail.move(max(1, self.detail.size.height // 2))

    def do_preview_up(self) -> None:
        """Scroll it back."""
        self.detail.move(-max(1, self.detail.size.height // 2))

    # --- add, rename, delete --------------------------------------------------------------

    def do_add(self) -> None:
        """Ask for a folder, then add it."""
        below = self._directory()
        where: Span = (f"in {words.shown_path(below)}", "muted")
        hints: list[list[Span]] = [
            [
                ("It lands ", "faint"),
                where if below else ("at the top of the volume", "muted"),
                (" under its own name; what is unchanged is not read again.", "faint"),
            ],
        ]
        self.app.push_screen(
            AskDialog(
                "Add a folder",
                "A folder or file of this machine",
                lambda text: places.source(text, self.globofs.volume.directory),
                value=os.path.expanduser("~/"),
                slow=True,
                hints=hints,
                complete=places.complete,
            ),
            lambda place: self._add(place, below) if place else None,
        )

    def do_add_again(self) -> None:
        """What changed in the folder that the selection came from."""
        entry = self.selected
        if entry is None:
            return
        volume, path, directory = self.globofs.volume, entry.path, is_directory(entry)

        def got(place: str | None) -> None:
            if place is None:
                name = words.shown_path(path)
                self.globofs.say(
                    f"{name} came from no folder of this machine; a adds one", "warning"
                )
            elif directory:
                self._add(f"{place}/", path)  # with the slash it lands as this directory itself
            else:
                self._add(place, parent(path))

        self.bridge.ask(
            "detail", "origin", lambda: volume.came_from(path), got, self.globofs.say_why
        )

    def _directory(self) -> bytes:
        entry = self.selected
        if entry is None:
            return b""
        if is_directory(entry) and entry.path in self.wish.opened:
            return entry.path
        return parent(entry.path)

    def _add(self, place: str, below: bytes) -> None:
        volume = self.globofs.volume

        def done(result: Any) -> str:
            parts = [
                f"{n:,} {what}"
                for n, what in (
                    (result.added, "new"),
                    (result.changed, "changed"),
                    (result.unchanged, "unchanged"),
                )
                if n
            ]
            what = f"{words.plural(result.files, 'file')}: {', '.join(parts) or 'nothing'}"
            if not (result.added or result.changed):
                return f"Nothing changed there, {words.plural(result.files, 'file')} looked at"
            later = (
                " · A takes in what changes later" if result.added and not result.changed else ""
            )
            return f"Added {what}{later} · z undoes"

        self.globofs.verb(
            "add",
            f"adding {words.safe(place)}",
            lambda emit, cancelled: volume.add([place], to=below, emit=emit, cancelled=cancelled),
            done,
            line=command("add", place, to=words.safe(below) if below else None),
            after=lambda _: self._done_here(),
        )

    def do_rename(self) -> None:
        """Ask for the new path."""
        entry = self.selected
        if entry is None:
            return
        old = entry.path

        def check(text: str) -> Check:
            from globofs.format.names import parse_path

            try:
                new = parse_path(text)
            except errors.GlobofsError as error:
                return Check(False, error.message)
            if new == old:
                return Check(None, "the name it has")
            return Check(True, f"its history comes along to {words.shown_path(new)}", new)

        self.app.push_screen(
            AskDialog(
                "Rename",
                "The new path in the volume",
                check,
                value=old.decode("utf-8", "surrogateescape"),
            ),
            lambda new: self._rename(old, new) if new else None,
        )

    def _rename(self, old: bytes, new: bytes) -> None:
        volume = self.globofs.volume
        self.globofs.verb(
            "mv",
            "renaming",
            lambda emit, cancelled: volume.mv(old, new, emit=emit, cancelled=cancelled),
            lambda r: f"Renamed to {words.shown_path(new)} · z undoes",
            line=command("mv", old, new),
            after=lambda _: self._renamed(new),
        )

    def _renamed(self, new: bytes) -> None:
        if self.builder is not None:
            self.builder.forget()
        self.reveal(new)

    def do_delete(self) -> None:
        """Delete; one toast, one key brings it back."""
        paths = self.chosen()
        volume = self.globofs.volume
        self.globofs.verb(
            "rm",
            "deleting",
            lambda emit, cancelled: volume.rm(paths, emit=emit, cancelled=cancelled),
            lambda r: f"Deleted {words.plural(r.versions, 'file')}, history kept · z undoes",
            line=command("rm", *paths),
            after=lambda _: self._done_here(),
        )

    # --- moving content -------------------------------------------------------------------

    def do_fetch(self) -> None:
        """Bring the selected version, or everything selected, here."""
        volume, version, paths = self.globofs.volume, self.version(), self.chosen()
        one = (
            version if self.versions.has_focus and version is not None and version.missing else None
        )

        def work(emit: Any, cancelled: Any) -> int:
            if one is not None:
                return sum(len(piece) for piece in volume.read(one, emit=emit, cancelled=cancelled))
            return sum(volume.mirror(path, emit=emit, cancelled=cancelled).bytes for path in paths)

        def after(_: Any) -> None:
            if self.builder is not None:
                self.builder.forget()
            self.refresh_tree()
            self.follow()

        what = words.shown_path(paths[0]) if len(paths) == 1 else words.plural(len(paths), "thing")
        self.globofs.verb(
            "mirror",
            f"fetching {what}",
            work,
            lambda count: (
                f"Fetched {what}, {words.size_words(count)}"
                if count
                else f"{what} was here already"
            ),
            line=command("mirror", *paths),
            after=after,
        )

    def do_pin(self) -> None:
        """Pin, or take the pin back."""
        paths, volume = self.chosen(), self.globofs.volume
        pinned = [path for path in paths if path in self.tree_source.pins]

        def work(emit: Any, cancelled: Any) -> Any:
            result = None
            for path in paths:
                done = volume.unpin if pinned else volume.pin
                result = done(path, emit=emit, cancelled=cancelled)
            return result

        def after(result: Any) -> None:
            self.tree_source.pins = frozenset(getattr(result, "pins", ()))
            self.tree_source.serial += 1
            self.tree_list.refresh()

        verb = "unpin" if pinned else "pin"
        said = "No longer pinned" if pinned else "Pinned: kept here, also what comes later"
        self.globofs.verb(
            verb, f"{verb}ning", work, lambda r: said, line=command(verb, *paths), after=after
        )

    def do_bump(self) -> None:
        """Before everything else."""
        for path in self.chosen():
            self.globofs.steer("bump", path)

    def do_why(self) -> None:
        """Why it is not here, or not there."""
        if self.selected is not None:
            self.globofs.tell_why(self.selected.path)
