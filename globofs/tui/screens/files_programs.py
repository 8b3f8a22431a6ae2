"""Files: versions in other programs, and out to a directory."""

from __future__ import annotations

import os

from globofs.store.views import Version
from globofs.tui import programs, words
from globofs.tui.model import places
from globofs.tui.model.tree import is_directory
from globofs.tui.screens.dialogs import AskDialog
from globofs.tui.screens.files_restore import FilesRestore


class FilesPrograms(FilesRestore):
    """The Files screen, as far as it hands versions to other programs."""

    def _copyable(self) -> Version | None:
        version = self.version()
        if version is None or version.kind != "file":
            self.globofs.say("Only a file can be opened in another program", "warning", 3)
            return None
        return version

    def do_open_copy(self) -> None:
        """A copy of this version in the program the system has for it."""
        if (version := self._copyable()) is not None:
            programs.open_copy(self.globofs, version)

    def do_editor(self) -> None:
        """A copy of this version in $EDITOR, else $PAGER."""
        if (version := self._copyable()) is not None:
            programs.show_copy(self.globofs, version)

    def do_export(self) -> None:
        """Every version of the file into a directory, named by node and time."""
        if self.selected is None or is_directory(self.selected):
            return
        versions = [m.version for m in self.time_source.timeline.moments if m.version is not None]
        files = [version for version in versions if version.kind == "file"]
        self.app.push_screen(
            AskDialog(
                "Export all versions",
                f"The directory to write {words.plural(len(files), 'version')} into",
                places.target,
                value=os.path.expanduser("~/"),
                slow=True,
                complete=places.complete,
            ),
            lambda place: self.globofs.export(files, place) if place else None,
        )
