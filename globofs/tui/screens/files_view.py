"""Files, its panes: the tree, the timeline of what is selected, its content or difference."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from globofs import errors
from globofs.snapshots import Snapshot
from globofs.tui import words
from globofs.tui.keys import FREE
from globofs.tui.model import detail, timeline
from globofs.tui.model.text import Page
from globofs.tui.model.timeline import Timeline
from globofs.tui.model.tree import Builder, TreeRows, Wish, is_directory, parent
from globofs.tui.screens.files_panes import FilesPanes
from globofs.tui.screens.pace import Debounce, Freshness
from globofs.tui.widgets.paint import lay_out
from globofs.tui.widgets.virtual_list import VirtualList

FOLLOW_SECONDS = 0.05  # the timeline follows the cursor after it rested so long
LOOK_SECONDS = 0.06  # and the content after that
#: actions about a row of the timeline: they wait for that of the row just gone to
OF_A_VERSION = frozenset(
    {"restore", "restore_to", "diff", "inspect", "facts", "open_version", "compare", "fetch", "editor"}
)  # fmt: skip


class FilesView(FilesPanes):
    """What the mode shows: the model's workers answer `wish` with rows, and the rest follows."""

    def __init__(self) -> None:
        super().__init__()
        self.builder: Builder | None = None
        self._fresh = Freshness(self, self._reread)

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
            "state",
            "pins",
            lambda: frozenset(volume.node.state.pins()),
            self._got_pins,
            self.globofs.say_why,
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
        self._fresh.take(snapshot.tree_serial)
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
            pane.repaint()

    def _reread(self) -> None:
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

        def find() -> TreeRows:
            return builder.build(wish) if reveal is None else builder.build_with(reveal, wish)

        def got(rows: TreeRows) -> None:
            self._give_way(rows.wish)
            self._got_tree(rows)

        self.bridge.ask("tree", "tree", self._fresh.timed(find), got, self._no_tree)

    def _give_way(self, shown: Wish) -> None:
        """What was gone to is shown, though the wish would have left it out."""
        if shown.deleted and not self.wish.deleted:
            self.wish = replace(self.wish, deleted=True)
            self.globofs.say("It is deleted: such files are shown now · D hides them", timeout=4)
        if shown.hidden and not self.wish.hidden:
            self.wish = replace(self.wish, hidden=True)
            self.globofs.say("It is hidden: such files are shown now · . hides them", timeout=4)

    def _got_tree(self, rows: TreeRows) -> None:
        self.tree_source.set(rows, self.globofs.now())
        self.tree_list.words = self._empty_words()
        if self.tree_list.marks:
            self.tree_list.marks = {key for key in self.tree_list.marks if key in rows.where}
            self.count_marks()
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
        shown = lay_out(source.columns, self.tree_list.room)
        if builder is None or not any(source.columns[index].key == "when" for index, _ in shown):
            return
        rows = (source.row(index) for index in self.tree_list.seen())
        asked = [row.entry for row in rows if row is not None and is_directory(row.entry)]

        def got(found: dict[bytes, int]) -> None:
            if found.items() - source.changed.items():
                source.changed = source.changed | found
                source.serial += 1
                self.tree_list.repaint()

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

    # --- content --------------------------------------------------------------------------

    def look(self) -> None:
        """Ask for what the lower pane should show."""
        entry, moment = self.selected, self.moment()
        if entry is None or not self.globofs.is_open:
            return
        moments, since = self.time_source.timeline.moments, self.wish.since
        asked = detail.Asked(
            entry=entry,
            moment=moment,
            mode=self.mode,
            base=self.base,
            compare=self.compare,
            newest=next((m.version for m in moments if m.shown), None),
            now=self.globofs.now(),
            since=since,
            then=next((m.version for m in moments if since and m.time <= since), None),
            rows=self.detail.size.height,
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
