"""Mode 1, Files. Built in four storeys: `files_view` (panes), `files_find` (moving, marking,
finding), `files_travel` (time), `files_acts` (what changes something)."""

from __future__ import annotations

from globofs.tui.screens.files_acts import FilesActs


class FilesScreen(FilesActs):
    """The mode, whole."""


SCREEN = FilesScreen
