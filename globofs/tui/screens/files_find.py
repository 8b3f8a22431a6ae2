"""Files: moving in the tree, marking, filtering, sorting, finding, copying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from globofs.speech import version_number
from globofs.tui import words
from globofs.tui.model.tree import is_directory, parent
from globofs.tui.screens.dialogs import Choice, ChoiceDialog, PickDialog
from globofs.tui.screens.files_view import FilesView
from globofs.tui.screens.help import rank
from globofs.tui.widgets.paint import Column
from globofs.tui.widgets.tree_rows import state_spans

if TYPE_CHECKING:
    from globofs.store.views import Entry

FOUND_MAX = 400


class FilesFind(FilesView):
    """The Files screen, as far as moving and finding go."""

    # --- opening and closing --------------------------------------------------------------

    def do_open(self) -> None:
        """Open or close a directory; go to the versions of a file."""
        entry = self.selected
        if entry is None:
            return
        if not is_directory(entry):
            self.focus_pane("versions")
            return
        opened = self.wish.opened ^ {entry.path}
        self.wish = replace(self.wish, opened=opened)
        self.refresh_tree(entry.path)

    def do_into(self) -> None:
        """Open the directory, then go in; from a file to its versions, then its content."""
        focused = self.focused.id if self.focused is not None else ""
        if focused == "tree":
            entry = self.selected
            if entry is not None and is_directory(entry):
                if entry.path not in self.wish.opened:
                    self.do_open()
                else:
                    self.tree_list.move(1)
                return
            self.focus_pane("versions")
        elif focused == "versions":
            self.focus_pane("detail")
        elif focused == "detail":
            self.detail.sideways(8)

    def do_out(self) -> None:
        """Close the directory, or go to its parent; one pane back."""
        focused = self.focused.id if self.focused is not None else ""
        if focused == "detail":
            if not self.detail.sideways(-8):
                self.focus_pane("versions")
            return
        if focused == "versions":
            self.focus_pane("tree")
            return
        entry = self.selected
        if entry is None:
            return
        if is_directory(entry) and entry.path in self.wish.opened:
            self.wish = replace(self.wish, opened=self.wish.opened - {entry.path})
            self.refresh_tree(entry.path)
        elif above := parent(entry.path):
            self.tree_list.go_to_key(above)

    def reveal(self, path: bytes, at: int | None = None) -> None:
        """Put the cursor on a path, opening what is above it."""
        opened = set(self.wish.opened)
        above = path
        while above := parent(above):
            opened.add(above)
        self.wish = replace(self.wish, opened=frozenset(opened), filter="", since=None)
        if at is not None:
            self.wish = replace(self.wish, at=at)
            self.globofs.at = at
        self.set_focus(self.tree_list)
        self.refresh_tree(path)

    # --- marks ----------------------------------------------------------------------------

    def chosen(self) -> list[bytes]:
        """What an action is for: the marks, else the range, else the row under the cursor."""
        tree = self.tree_list
        if tree.marks:
            order = self.tree_source.rows.where
            return sorted(
                (k for k in tree.marks if isinstance(k, bytes)), key=lambda k: order.get(k, 0)
            )
        if tree.range_from is not None:
            return [key for key in tree.range_keys() if isinstance(key, bytes)]
        return [self.selected.path] if self.selected is not None else []

    def _marks_changed(self) -> None:
        self.tree_list.refresh()
        self.count_marks()
        self._titles()
        self.refresh_chrome()

    def do_mark(self) -> None:
        """Mark the row (or the range), go on."""
        tree = self.tree_list
        if tree.range_from is not None:
            tree.marks |= set(tree.range_keys())
            tree.range_from = None
        elif tree.current_key is not None:
            tree.marks ^= {tree.current_key}
            tree.move(1)
        self._marks_changed()

    def do_range(self) -> None:
        """Begin a range, or turn it into marks."""
        tree = self.tree_list
        if tree.range_from is None:
            tree.range_from = tree.cursor
        else:
            tree.marks |= set(tree.range_keys())
            tree.range_from = None
        self._marks_changed()

    def do_invert(self) -> None:
        """Mark what is not marked among the siblings of the cursor's row."""
        if self.selected is None:
            return
        above = parent(self.selected.path)
        siblings = {row.path for row in self.tree_source.rows.rows if parent(row.path) == above}
        self.tree_list.marks ^= siblings
        self._marks_changed()

    # --- filter ---------------------------------------------------------------------------

    def do_filter(self) -> None:
        """Type a part of a name; the tree shows what matches as you type."""
        self.filter_box.value = self.wish.filter
        super().do_filter()

    def filtered(self, text: str) -> None:
        """The tree shows what matches, in its place."""
        if text != self.wish.filter:
            self.wish = replace(self.wish, filter=text)
            self.refresh_tree()

    def close_filter(self, *, keep: bool) -> None:
        """Without the filter, the cursor stays on what was found."""
        if not keep and self.wish.filter:
            place = self.selected.path if self.selected is not None else None
            opened = set(self.wish.opened)
            above = place or b""
            while above := parent(above):
                opened.add(above)
            self.wish = replace(self.wish, filter="", opened=frozenset(opened))
            self.refresh_tree(place)
        super().close_filter(keep=keep)

    def do_next_match(self) -> None:
        """The next row whose own name matches."""
        self._match(1)

    def do_previous_match(self) -> None:
        """The match before."""
        self._match(-1)

    def _match(self, step: int) -> None:
        wanted = self.wish.filter.lower()
        rows = self.tree_source.rows.rows
        if not wanted or not rows:
            return
        for offset in range(1, len(rows) + 1):
            index = (self.tree_list.cursor + step * offset) % len(rows)
            if wanted in words.safe(rows[index].entry.name).lower():
                self.tree_list.go_to(index)
                return

    # --- what the tree shows --------------------------------------------------------------

    def do_sort(self) -> None:
        """Choose the order."""
        rows: list[tuple[str, str, Any]] = [
            ("n", "by name, directories first", ("name", False)),
            ("s", "by size, largest first", ("size", False)),
            ("m", "by time of the last change, newest first", ("time", False)),
            ("v", "by number of versions", ("versions", False)),
            ("x", "by state: conflicts, partly here, remote, here", ("state", False)),
            ("N", "by name, reversed", ("name", True)),
            ("S", "by size, smallest first", ("size", True)),
            ("M", "by time, oldest first", ("time", True)),
        ]
        self.app.push_screen(ChoiceDialog("Order", rows), self._sorted)

    def _sorted(self, found: tuple[str, bool] | None) -> None:
        if found is not None:
            self.wish = replace(self.wish, sort=found[0], reverse=found[1])
            self.remember_place()
            self.refresh_tree()

    def do_hidden(self) -> None:
        """Names with a dot in front."""
        self.wish = replace(self.wish, hidden=not self.wish.hidden)
        self.remember_place()
        self.refresh_tree()

    def do_deleted(self) -> None:
        """Deleted files among the others."""
        self.wish = replace(self.wish, deleted=not self.wish.deleted)
        self.remember_place()
        self.refresh_tree()
        shown = "shown" if self.wish.deleted else "no longer shown"
        self.globofs.say(f"Deleted files are {shown}", timeout=2)

    # --- find -----------------------------------------------------------------------------

    def do_find(self) -> None:
        """Fuzzy find over the whole volume."""
        volume, glyphs = self.globofs.volume, self.glyphs

        def find(text: str) -> Sequence[Choice]:
            if not text.strip():
                return []
            found = volume.find(text, limit=FOUND_MAX)
            if len(found) < 20 and "/" not in text and "*" not in text:
                known = {entry.path for entry in found}
                loose = volume.find("*" + "*".join(text.replace(" ", "")) + "*", limit=FOUND_MAX)
                found = [*found, *(entry for entry in loose if entry.path not in known)]
            ranked = sorted(found, key=lambda e: (_rank(text, e), len(e.path), e.path))
            return [
                Choice(
                    entry.path,
                    (
                        words.shown_path(entry.path),
                        words.size_words(entry.size) if entry.kind != "deleted" else "",
                        state_spans(entry, glyphs, int(entry.conflict)),
                    ),
                )
                for entry in ranked
            ]

        columns = (
            Column("path", "path", 0, middle=True),
            Column("size", "size", 9, "right"),
            Column("state", "content", 10),
        )
        dialog = PickDialog(
            "Find in the whole volume", columns, find, slow=True,
            placeholder="letters of a name, in order; a/b looks at paths",
            empty="nothing in the volume has these letters in its name, in this order",
            begin="type letters of a name",
        )  # fmt: skip
        self.app.push_screen(dialog, self._found)

    def _found(self, path: bytes | None) -> None:
        if path is None:
            return
        self.reveal(path)

    # --- copy -----------------------------------------------------------------------------

    def do_copy(self) -> None:
        """Choose what goes to the clipboard."""
        entry, version = self.selected, self.version()
        if entry is None:
            return
        rows: list[tuple[str, str, Any]] = [
            ("p", "the path", words.shown_path(entry.path)),
            ("n", "the name", words.safe(entry.name)),
        ]
        if version is not None:
            rows.append(("v", "the version's number", version_number(version.time)))
            rows.append(("h", "the version's id", version.id.hex()))
        self.app.push_screen(ChoiceDialog("Copy", rows), self._copied)

    def _copied(self, text: str | None) -> None:
        if text is not None:
            self.app.copy_to_clipboard(text)
            self.globofs.say(f"Copied {text}", timeout=3)


def _rank(text: str, entry: Entry) -> int:
    name = rank(text.lower(), words.safe(entry.name).lower())
    return name if name is not None else 1000
