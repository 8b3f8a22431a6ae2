"""Files, what it looks like: three panes, their titles, and how they share the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from globofs.store.views import Entry, Version
from globofs.tui import words
from globofs.tui.keys import Action
from globofs.tui.model.timeline import Moment
from globofs.tui.model.tree import Wish
from globofs.tui.screens.base import ListPane, TextPane
from globofs.tui.screens.lists import Filtering, FilterRow
from globofs.tui.widgets.paint import cut, width_of
from globofs.tui.widgets.tree_rows import TimelineSource, TreeSource

#: what a newcomer looks for here comes first; what steers transfers is less needed than in Sync
PRIORITIES = {
    "find": 3, "travel": 5, "mark": 6, "changed": 7, "deleted": 8, "inspect": 9, "add": 10,
    "why": 12, "bump": 26,
}  # fmt: skip


class FilesPanes(Filtering):
    """What the mode looks like. What it shows is `wish`."""

    context: ClassVar[str] = "files"
    panes: ClassVar[tuple[str, ...]] = ("tree", "versions", "detail")
    filters: ClassVar[str] = "tree"

    def __init__(self) -> None:
        super().__init__()
        self.wish = Wish()
        self.tree_source = TreeSource(self.glyphs)
        self.time_source = TimelineSource(self.glyphs)
        self.mode = "diff"
        self.base = "before"
        self.compare: Version | None = None
        self.selected: Entry | None = None
        self.marked_bytes = 0  # of all marks together
        self.detail_open = False  # shown at all where panes are stacked

    def compose(self) -> ComposeResult:
        """Tree beside (or over) timeline and content."""
        yield self.title_bar
        yield self.banner
        with Horizontal(id="files-body"):
            with Vertical(id="tree-pane"):
                yield ListPane(self.tree_source, "files.tree", id="tree")
                yield FilterRow("part of a name; Enter keeps it, Esc ends it")
            with Vertical(id="files-right"):
                yield ListPane(self.time_source, "files.versions", id="versions")
                yield TextPane("files.detail", id="detail")
        yield self.hint_bar

    # --- the panes ------------------------------------------------------------------------

    @property
    def tree_list(self) -> ListPane:
        """The tree's list."""
        return self.query_one("#tree", ListPane)

    @property
    def versions(self) -> ListPane:
        """The timeline's list."""
        return self.query_one("#versions", ListPane)

    @property
    def detail(self) -> TextPane:
        """The text below it."""
        return self.query_one("#detail", TextPane)

    def moment(self) -> Moment | None:
        """The row under the timeline's cursor."""
        return self.time_source.moment(self.versions.cursor)

    def version(self) -> Version | None:
        """The version under the timeline's cursor."""
        moment = self.moment()
        return moment.version if moment is not None else None

    # --- titles and arrangement -----------------------------------------------------------

    def _titles(self) -> None:
        glyphs = self.glyphs
        root = self.tree_source.rows.root
        name = " Volume "
        if root is not None:
            name = f" {words.plural(root.files, 'file')} {glyphs.separator} {words.size_words(root.size)} "
        self.tree_list.entitle(self.caption(name), self.caption(self._tree_foot()))
        entry = self.selected
        path = words.shown_path(entry.path) if entry is not None else ""
        count = len(self.time_source)
        what = "operations below" if self.time_source.timeline.is_directory else "versions"
        if count == 1:
            what = what.replace("operations", "operation").replace("versions", "version")
        room = max(self.versions.size.width, self.detail.size.width) - 4
        more = "+" if self.time_source.timeline.more else ""
        foot = f"{count:,}{more} {what}" if count else ""
        self.versions.entitle(
            self.caption(_tail(path, room - 20) or "Versions"), self.caption(foot)
        )
        page = self.detail.page_shown
        title = page.title or "Content"
        if self.versions.has_class("-gone") and path:
            version = self.version()
            when = f" {words.moment(version.time, self.globofs.now())}" if version else ""
            rest = f"{when} {self.glyphs.separator} {title}"
            title = _tail(path, room - len(rest)) + rest
        self.detail.entitle(self.caption(title), self.caption(page.note))

    def count_marks(self) -> None:
        """Add up what is marked: when that changes, not whenever titles are said."""
        found = (self.tree_source.find(key) for key in self.tree_list.marks)
        rows = (self.tree_source.row(index) for index in found if index is not None)
        self.marked_bytes = sum(row.entry.size for row in rows if row is not None)

    def _tree_foot(self) -> str:
        parts = []
        if self.tree_list.marks:
            marked = words.size_words(self.marked_bytes)
            parts.append(f"{len(self.tree_list.marks):,} marked, {marked}")
        if self.tree_list.range_from is not None:
            parts.append(f"range of {len(self.tree_list.range_keys()):,}")
        if self.wish.filter:
            capped = "the first " if self.tree_source.rows.capped else ""
            parts.append(
                f"filter: {words.safe(self.wish.filter)}, {capped}{len(self.tree_source):,} rows"
            )
        if self.wish.sort != "name" or self.wish.reverse:
            parts.append(f"by {self.wish.sort}" + (", reversed" if self.wish.reverse else ""))
        if self.wish.deleted:
            parts.append("with deleted")
        if not self.wish.hidden:
            parts.append("without hidden")
        return f" {f' {self.glyphs.separator} '.join(parts)} " if parts else ""

    def fit_panes(self) -> None:
        """Panes side by side, stacked, or one at a time."""
        if not self.is_mounted or not self.query("#detail"):
            return
        lone = self.zoomed or self.has_class("-narrow")
        mid = self.has_class("-mid")
        focused = self.focused.id if self.focused is not None else "tree"
        if focused not in self.panes:
            focused = "tree"
        gone = {pane: lone and pane != focused for pane in self.panes}
        if not lone and mid:
            gone["detail"] = not self.detail_open
            gone["tree"] = gone["versions"] = self.detail_open
        self.query_one("#tree").set_class(gone["tree"], "-gone")
        self.query_one("#tree-pane").set_class(gone["tree"], "-gone")
        self.versions.set_class(gone["versions"], "-gone")
        self.detail.set_class(gone["detail"], "-gone")
        self.query_one("#files-right").set_class(gone["versions"] and gone["detail"], "-gone")
        if self.is_ready:
            self._titles()

    def on_descendant_focus(self) -> None:
        """In a narrow terminal the focused pane is the one shown."""
        super().on_descendant_focus()
        if self.has_class("-mid") and self.focused is not None and self.focused.id != "detail":
            self.detail_open = False
        self.fit_panes()

    def focus_pane(self, id: str) -> None:
        """Focus a pane, showing it first where it is not shown."""
        self.detail_open = id == "detail"
        if id == "tree":
            self.query_one("#tree-pane").remove_class("-gone")
        else:
            self.query_one("#files-right").remove_class("-gone")
        super().focus_pane(id)

    def pane_open(self, id: str) -> bool:
        """Tab leaves out the content while it is not shown."""
        return id != "detail" or not self.has_class("-mid") or self.detail_open

    def priority_of(self, action: Action) -> int:
        """What steers transfers is less needed here than in Sync."""
        if action.id == "add" and not len(self.tree_source):
            return 0
        if action.id == "diff_base" and self.focused is self.tree_list:
            return 17  # there is no difference to be seen from there yet
        return PRIORITIES.get(action.id, action.priority)

    def urgent(self, action: Action) -> bool:
        """The way back from a content that hides everything else."""
        return action.id == "escape" and (self.zoomed or self.detail_open)

    def remember_place(self) -> None:
        """Where the cursor is, for the next start."""
        if self.selected is None or not self.globofs.is_open:
            return
        places = dict(self.globofs.habits.places)
        places[self.globofs.volume.uuid] = self.selected.path.decode("utf-8", "surrogateescape")
        self.globofs.habits = replace(
            self.globofs.habits,
            places=places,
            sort=self.wish.sort,
            reverse=self.wish.reverse,
            hidden=self.wish.hidden,
            deleted=self.wish.deleted,
            diff_base=self.base,
        )


def _tail(path: str, room: int) -> str:
    """A path in so many cells, its last name first of all."""
    if width_of(path) <= room:
        return path
    name = path.rpartition("/")[2]
    if width_of(name) + 2 > room:
        return cut(name, max(8, room))
    while width_of(path) + 1 > room:
        path = path[1:]
    return f"…{path}"
