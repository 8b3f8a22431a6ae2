"""Files, its panes: the tree, the timeline of what is selected, its content or difference."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from globofs import errors
from globofs.snapshots import Snapshot
from globofs.store.views import Entry, Version
from globofs.tui import words
from globofs.tui.keys import FREE, Action
from globofs.tui.model import detail, timeline
from globofs.tui.model.text import Page
from globofs.tui.model.timeline import Moment, Timeline
from globofs.tui.model.tree import Builder, TreeRows, Wish, is_directory, parent
from globofs.tui.screens.base import Debounce, ListPane, ModeScreen, TextPane
from globofs.tui.widgets.paint import lay_out
from globofs.tui.widgets.tree_rows import TimelineSource, TreeSource
from globofs.tui.widgets.virtual_list import VirtualList

FOLLOW_SECONDS = 0.05  # the timeline follows the cursor after it rested so long
LOOK_SECONDS = 0.06  # and the content after that
#: actions about a row of the timeline: they wait for that of the row just gone to
OF_A_VERSION = frozenset(
    {"restore", "restore_to", "diff", "inspect", "facts", "open_version", "compare", "fetch", "editor"}
)  # fmt: skip
#: what a newcomer looks for here comes first; what steers transfers is less needed than in Sync
PRIORITIES = {
    "find": 3, "travel": 5, "mark": 6, "changed": 7, "deleted": 8, "inspect": 9, "add": 10,
    "why": 12, "bump": 26,
}  # fmt: skip
FRESH_SECONDS = 0.4  # between two looks at a tree that keeps changing


class FilesView(ModeScreen):
    """What the mode looks like. What it shows is `wish`; the model's workers answer with rows."""

    context: ClassVar[str] = "files"
    panes: ClassVar[tuple[str, ...]] = ("tree", "versions", "detail")

    def __init__(self) -> None:
        super().__init__()
        self.wish = Wish()
        self.builder: Builder | None = None
        self.tree_source = TreeSource(self.glyphs)
        self.time_source = TimelineSource(self.glyphs)
        self.mode = "diff"
        self.base = "before"
        self.compare: Version | None = None
        self.selected: Entry | None = None
        self.detail_open = False  # shown at all where panes are stacked
        self._tree_serial = -1
        self._cost = 0.0  # seconds the last reading of the tree took
        self._fresh: Any = None

    def compose(self) -> ComposeResult:
        """Tree beside (or over) timeline and content."""
        yield self.title_bar
        yield self.banner
        with Horizontal(id="files-body"):
            with Vertical(id="tree-pane"):
                yield ListPane(self.tree_source, "files.tree", id="tree")
                with Horizontal(id="filter-row"):
                    yield Static("/", id="filter-label", markup=False)
                    yield Input(
                        id="filter-input", placeholder="part of a name; Enter keeps it, Esc ends it"
                    )
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

    def ready(self) -> None:
        """Take the habits over; open what is open already."""
        habits = self.globofs.habits
        self.wish = replace(
            self.wish,
            sort=habits.sort,
            reverse=habits.reverse,
            hidden=habits.hidden,
            deleted=habits.deleted,
        )
        self.base = habits.diff_base if habits.diff_base in ("before", "now") else "before"
        self.follow_soon = Debounce(self, FOLLOW_SECONDS, self.follow)
        self.look_soon = Debounce(self, LOOK_SECONDS, self.look)
        self.tree_list.words = ("reading the tree", "")
        self._titles()
        if self.globofs.is_open:
            self.volume_opened()

    def volume_opened(self) -> None:
        """There is a volume: show it, at the place left last time."""
        volume = self.globofs.volume
        self.builder = Builder(volume)
        self.bridge.ask(
            "state", "pins", lambda: frozenset(volume.node.state.pins()), self._got_pins
        )
        place = self.globofs.habits.places.get(volume.uuid)
        if place is not None:
            path = place.encode("utf-8", "surrogateescape")
            above = []
            while path := parent(path):
                above.append(path)
            self.wish = replace(self.wish, opened=frozenset(above))
            self.tree_list.remember(place.encode("utf-8", "surrogateescape"))
        self.refresh_tree()

    def _got_pins(self, pins: frozenset[bytes]) -> None:
        self.tree_source.pins = pins
        self.tree_source.serial += 1
        self.tree_list.refresh()

    def take(self, snapshot: Snapshot) -> None:
        """Read the tree again once it changed, but not more often than it can be read."""
        super().take(snapshot)
        if snapshot.tree_serial != self._tree_serial and self._fresh is None:
            first = self._tree_serial < 0
            self._tree_serial = snapshot.tree_serial
            if not first:
                pause = max(FRESH_SECONDS, min(5.0, self._cost * 8))
                self._fresh = self.set_timer(pause, self._reread)
        dim = bool(snapshot.error)
        for pane in (self.tree_list, self.versions, self.detail):
            if pane.dim != dim:
                pane.dim = dim
                pane.refresh()

    def age(self) -> None:
        """The ages of what is on the screen."""
        for source, pane in (
            (self.tree_source, self.tree_list),
            (self.time_source, self.versions),
        ):
            source.now = self.globofs.now()
            source.serial += 1
            pane.refresh()

    def _reread(self) -> None:
        self._fresh = None
        if self.builder is not None:
            self.builder.forget()
        self.refresh_tree()
        self.follow()

    # --- tree -----------------------------------------------------------------------------

    def refresh_tree(self, reveal: bytes | None = None) -> None:
        """Ask for the rows of the present wish."""
        builder, wish = self.builder, self.wish
        if builder is None:
            return
        if reveal is not None:
            self.tree_list.remember(reveal)

        def find() -> tuple[TreeRows, float]:
            began = time.monotonic()
            return builder.build(wish), time.monotonic() - began

        def got(answer: tuple[TreeRows, float]) -> None:
            self._cost = answer[1]
            self._got_tree(answer[0])

        self.bridge.ask("tree", "tree", find, got, self._no_tree)

    def _got_tree(self, rows: TreeRows) -> None:
        self.tree_source.set(rows, self.globofs.now())
        self.tree_list.words = self._empty_words()
        if self.tree_list.marks:
            self.tree_list.marks = {key for key in self.tree_list.marks if key in rows.where}
        self.tree_list.reload()
        self._ask_changed()
        self._titles()
        self._select()
        if self.selected is not None and self.selected.path != self.time_source.timeline.path:
            self.follow_soon()
        self.refresh_chrome()

    def _ask_changed(self) -> None:
        """When the directories on the screen last changed, where there is a column for it."""
        builder, at, source = self.builder, self.wish.at, self.tree_source
        shown = lay_out(source.columns, self.tree_list.size.width - 2)
        if builder is None or not any(source.columns[index].key == "when" for index, _ in shown):
            return
        rows = (source.row(index) for index in self.tree_list.seen())
        asked = [row.entry for row in rows if row is not None and is_directory(row.entry)]

        def got(found: dict[bytes, int]) -> None:
            if found.items() - source.changed.items():
                source.changed = source.changed | found
                source.serial += 1
                self.tree_list.refresh()

        def find() -> dict[bytes, int]:
            return {entry.path: builder.changed(entry, at) for entry in asked}

        self.bridge.ask("state", "changed", find, got, lambda _: None)

    def _no_tree(self, error: errors.GlobofsError) -> None:
        self.tree_list.words = ("The tree cannot be read", error.message)
        self.tree_list.refresh()

    def _empty_words(self) -> tuple[str, ...]:
        if self.wish.filter:
            return (
                f"Nothing is called {words.safe(self.wish.filter)}",
                "Esc shows everything again",
            )
        if self.wish.since is not None:
            return ("Nothing changed since then", "Esc shows everything again")
        if self.wish.at is not None:
            return ("There was nothing yet", "] steps on in time, T goes back to now")
        return ("No files yet", "a adds a folder", "3 shows peers to receive from")

    def on_virtual_list_moved(self, message: VirtualList.Moved) -> None:
        """The cursor is elsewhere: what stands beside it follows, once it rests."""
        if message.list.id == "tree":
            self._select()
            self.follow_soon()
            self._ask_changed()
        else:
            self.look_soon()
        self.refresh_chrome()

    def on_virtual_list_opened(self, message: VirtualList.Opened) -> None:
        """A double click opens."""
        self.globofs.perform("open" if message.list.id == "tree" else "open_version")

    def _select(self) -> None:
        row = self.tree_source.row(self.tree_list.cursor)
        entry = row.entry if row is not None else None
        if (entry and entry.path) != (self.selected and self.selected.path):
            self.compare = None
            self.time_source.compare = b""
        self.selected = entry
        if entry is None:
            self.time_source.set(Timeline(b"", False), self.globofs.now(), self.wish.at, b"")
            self.versions.words = ("No file is selected",)
            self.versions.reload()
            self.detail.show(Page())
            self._titles()

    def not_yet(self, action: str) -> bool:
        """What is about a version waits for the timeline of the row the cursor is on, and of the
        moment shown: the version marked in it is where its cursor goes."""
        if not self.globofs.is_open:
            return False
        self._select()
        entry = self.selected
        if entry is None or (
            entry.path == self.time_source.timeline.path and self.wish.at == self.time_source.at
        ):
            return False
        if action not in OF_A_VERSION and (action in FREE or self.focused is self.tree_list):
            return False
        self.follow()
        return True

    # --- timeline -------------------------------------------------------------------------

    def follow(self) -> None:
        """Ask for the timeline of the selected row."""
        entry = self.selected
        if entry is None or not self.globofs.is_open:
            return
        volume, path, directory = self.globofs.volume, entry.path, is_directory(entry)
        self.bridge.ask(
            "detail",
            "timeline",
            lambda: timeline.read(volume, path, directory),
            self._got_timeline,
            self._no_timeline,
        )

    def _got_timeline(self, found: Timeline) -> None:
        entry = self.selected
        if entry is None or found.path != entry.path:
            return
        new = found.path != self.time_source.timeline.path
        key: Hashable = None if new else self.versions.current_key
        shown_id = entry.version if self.wish.at is not None or is_directory(entry) else b""
        if not shown_id:
            shown_id = next((m.version.id for m in found.moments if m.shown and m.version), b"")
        if shown_id != self.time_source.shown_id:
            key = None  # another version is shown now: the cursor goes there
        self.time_source.set(found, self.globofs.now(), self.wish.at, shown_id)
        self.versions.words = ("No version yet", "a directory without operations of its own")
        if key is None or not self.versions.go_to_key(key):
            self.versions.reload(keep=False)
            self.versions.go_to(self.time_source.find(shown_id) or 0)
        else:
            self.versions.reload()
        self._titles()
        self.look_soon()

    def _no_timeline(self, error: errors.GlobofsError) -> None:
        self.globofs.ahead.clear()
        self.time_source.set(Timeline(b"", False), self.globofs.now(), None, b"")
        self.versions.words = ("This history cannot be read", error.message)
        self.versions.reload(keep=False)

    def moment(self) -> Moment | None:
        """The row under the timeline's cursor."""
        return self.time_source.moment(self.versions.cursor)

    def version(self) -> Version | None:
        """The version under the timeline's cursor."""
        moment = self.moment()
        return moment.version if moment is not None else None

    # --- content --------------------------------------------------------------------------

    def look(self) -> None:
        """Ask for what the lower pane should show."""
        entry, moment = self.selected, self.moment()
        if entry is None or not self.globofs.is_open:
            return
        asked = detail.Asked(
            entry=entry,
            moment=moment,
            mode=self.mode,
            base=self.base,
            compare=self.compare,
            newest=next((m.version for m in self.time_source.timeline.moments if m.shown), None),
            now=self.globofs.now(),
        )
        volume = self.globofs.volume
        self.bridge.ask(
            "content",
            "detail",
            lambda: detail.read(volume, asked),
            self._got_detail,
            lambda error: self._got_detail(Page("", words=("This cannot be shown", error.message))),
        )

    def _got_detail(self, page: Page) -> None:
        same = (
            page.title == self.detail.page_shown.title
            and page.lines == self.detail.page_shown.lines
        )
        self.detail.show(page, keep=same)
        self._titles()

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
        room = max(10, max(self.versions.size.width, self.detail.size.width) - 24)
        if len(path) > room:
            path = "…" + path[-room:]
        more = "+" if self.time_source.timeline.more else ""
        foot = f"{count:,}{more} {what}" if count else ""
        self.versions.entitle(self.caption(path or "Versions"), self.caption(foot))
        page = self.detail.page_shown
        title = page.title or "Content"
        if self.versions.has_class("-gone") and path:
            version = self.version()
            when = f" {words.moment(version.time, self.globofs.now())}" if version else ""
            path = "…" + path[-(room - 20) :] if len(path) > room - 20 else path
            title = f"{path}{when} {self.glyphs.separator} {title}"
        self.detail.entitle(self.caption(title), self.caption(page.note))

    def _tree_foot(self) -> str:
        parts = []
        if self.tree_list.marks:
            size = 0
            for path in self.tree_list.marks:
                index = self.tree_source.find(path)
                row = self.tree_source.row(index) if index is not None else None
                size += row.entry.size if row is not None else 0
            parts.append(f"{len(self.tree_list.marks):,} marked, {words.size_words(size)}")
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
