"""Mode 4, Conflicts: both sides named by node and time, compared, settled one by one or together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical

from globofs.speech import command, version_number
from globofs.store.views import Version
from globofs.tui import words
from globofs.tui.keys import Action
from globofs.tui.model import detail
from globofs.tui.model.text import Page
from globofs.tui.screens.base import ListPane, TextPane
from globofs.tui.screens.lists import Rereading
from globofs.tui.screens.pace import Debounce
from globofs.tui.widgets.paint import Cell, Column
from globofs.tui.widgets.tree_rows import state_spans
from globofs.tui.widgets.virtual_list import Rows, VirtualList

if TYPE_CHECKING:
    from globofs.sync.results import Conflict

LIST_COLUMNS = (
    Column("path", "path", 0, minimum=16, middle=True),
    Column("sides", "between", 0, "left", 1, 14),
    Column("when", "since", 15, "right", 2),
)
SIDE_COLUMNS = (
    Column("mark", "", 1),
    Column("node", "by", 0, minimum=10),
    Column("when", "when", 19),
    Column("note", "", 12, "left", 1),
    Column("size", "size", 9, "right", 3),
    Column("held", "content", 10, "left", 2),
)
SETTLED_AMONG = 200  # operations looked through for the last that settled one


class ConflictsScreen(Rereading):
    """The mode."""

    context: ClassVar[str] = "conflicts"
    panes: ClassVar[tuple[str, ...]] = ("conflicts", "sides", "compare")
    reads: ClassVar[str] = "conflicts"
    unreadable: ClassVar[str] = "The conflicts cannot be read"

    def __init__(self) -> None:
        super().__init__()
        self.rows = Rows(LIST_COLUMNS)
        self.side_rows = Rows(SIDE_COLUMNS)
        self.found: list[Conflict] = []
        self.names: dict[str, str] = {}
        self.from_common = False  # the difference starts at the version both were made from

    def compose(self) -> ComposeResult:
        """List beside the sides and their difference."""
        yield self.title_bar
        yield self.banner
        with Container(classes="split"):
            yield ListPane(self.rows, "conflicts.list", id="conflicts")
            with Vertical(classes="right"):
                yield ListPane(self.side_rows, "conflicts.sides", id="sides")
                yield TextPane("conflicts.detail", id="compare")
        yield self.hint_bar

    @property
    def path_list(self) -> ListPane:
        """The conflicts."""
        return self.query_one("#conflicts", ListPane)

    @property
    def sides(self) -> ListPane:
        """The sides of the one under the cursor."""
        return self.query_one("#sides", ListPane)

    @property
    def text(self) -> TextPane:
        """Their difference."""
        return self.query_one("#compare", TextPane)

    def ready(self) -> None:
        """Look."""
        self.query_one("#conflicts").add_class("left")
        self.path_list.words = ("looking for conflicts",)
        self.look_soon = Debounce(self, 0.05, self._compare)
        self.text.border_title = self.caption(" Difference ")
        if self.globofs.is_open:
            self.volume_opened()

    def volume_opened(self) -> None:
        """Ask for the list."""
        volume = self.globofs.volume

        def find() -> tuple[list[Conflict], dict[str, str], int]:
            found = volume.conflicts()
            nodes = {side.node for conflict in found for side in conflict.sides}
            last = 0
            if not found:
                done = volume.operations(limit=SETTLED_AMONG)
                last = next((one.last for one in done if one.verb == "resolve"), 0)
            return found, {node: volume.node_name(node) for node in nodes}, last

        self.bridge.ask("tree", "conflicts", self._fresh.timed(find), self._got, self.not_read)

    def verb_ended(self) -> None:
        """An undo may have brought a conflict back."""
        self.volume_opened()

    def _got(self, answer: tuple[list[Conflict], dict[str, str], int]) -> None:
        self.found, self.names, last = answer
        now = self.globofs.now()
        self.rows.replace(
            [conflict.path for conflict in self.found],
            [
                (
                    words.shown_path(conflict.path),
                    ((" and ".join(self._names(conflict)), "muted"),),
                    ((words.moment(max(side.time for side in conflict.sides), now), "muted"),),
                )
                for conflict in self.found
            ],
        )
        settled = (f"The last one was settled {words.moment(last, now)}",) if last else ()
        self.path_list.words = (
            "No conflicts",
            *settled,
            "Where two nodes change a file at once,",
            "both sides stand here",
        )
        count = self.globofs.conflicts = len(self.found)
        self.path_list.border_title = self.caption(f" {words.plural(count, 'conflict')} ")
        self.path_list.reload()
        self._sides()
        self.refresh_chrome()

    def _names(self, conflict: Conflict) -> list[str]:
        names = [words.safe(self.names.get(side.node, side.node[:8])) for side in conflict.sides]
        return list(dict.fromkeys(names))

    def _called(self, *sides: Version) -> list[str]:
        """Whose two sides are; when each was made, where one node made both."""
        names = [words.safe(self.names.get(side.node, side.node[:8])) for side in sides]
        if len(set(names)) == len(names):
            return names
        times = [words.exact_time(side.time) for side in sides]
        same_day = len({time[:10] for time in times}) == 1
        return [
            f"{name} {time[11:] if same_day else time}"
            for name, time in zip(names, times, strict=True)
        ]

    def here(self) -> Conflict | None:
        """The conflict under the cursor."""
        return (
            self.found[self.path_list.cursor] if self.path_list.cursor < len(self.found) else None
        )

    def side(self) -> Version | None:
        """The side under the cursor."""
        conflict = self.here()
        if conflict is None or self.sides.cursor >= len(conflict.sides):
            return None
        return conflict.sides[self.sides.cursor]

    def on_virtual_list_moved(self, message: VirtualList.Moved) -> None:
        """Another conflict, or another side."""
        if message.list.id == "conflicts":
            self._sides()
        self.look_soon()

    def _sides(self) -> None:
        conflict = self.here()
        if conflict is None:
            self.side_rows.replace([], [])
            self.sides.words = ("",)
            self.sides.border_title = self.caption("Sides")
            self.sides.border_subtitle = self.caption("")
            self.sides.reload(keep=False)
            self.bridge.drop("compare")
            self._show(Page("Difference", words=("Nothing to settle", "")))
            return
        newest = max(side.time for side in conflict.sides)
        self.side_rows.replace(
            [side.id for side in conflict.sides],
            [self._side_cells(conflict, side, newest) for side in conflict.sides],
        )
        self.sides.border_title = self.caption(f" {words.shown_path(conflict.path)} ")
        self.sides.border_subtitle = self.caption(" Enter takes a side · a keeps both ")
        self.sides.reload()
        self.look_soon()

    def _side_cells(self, conflict: Conflict, side: Version, newest: int) -> tuple[Cell, ...]:
        shown = side.id == conflict.winner.id
        note = "newer" if side.time == newest else "older"
        if side.kind == "deleted":
            note = "deleted it"
        return (
            ((self.glyphs.current, "accent"),) if shown else "",
            ((words.safe(self.names.get(side.node, side.node[:8])), "strong"),),
            words.exact_time(side.time),
            ((note + (", shown" if shown else ""), "accent" if shown else "muted"),),
            words.size_words(side.size) if side.kind == "file" else "",
            state_spans(side, self.glyphs),
        )

    def _compare(self) -> None:
        conflict, side = self.here(), self.side()
        if conflict is None or side is None:
            return
        other = conflict.winner
        if side.id == other.id:
            other = next((one for one in conflict.sides if one.id != side.id), side)
        volume = self.globofs.volume
        title = f"From {' to '.join(self._called(other, side))}"
        rows = self.text.size.height

        def find() -> Page:
            if not self.from_common:
                return detail.compare(volume, other, side, title, rows)
            two = sorted((other, side), key=lambda one: (one.id != conflict.winner.id, -one.time))
            called = self._called(*two)
            common = volume.common_version(conflict.sides)
            return detail.three_way(volume, common, two[0], two[1], (called[0], called[1]))

        self.bridge.ask(
            "content",
            "compare",
            find,
            self._show,
            lambda error: self._show(Page(title, words=("This cannot be compared", error.message))),
        )

    def do_common(self) -> None:
        """Side against side, or both against the version they were made from."""
        self.from_common = not self.from_common
        self._compare()
        self.refresh_chrome()

    def label_of(self, action: Action) -> str:
        """`p` names what it shows next."""
        if action.id == "common":
            return "Side to side" if self.from_common else "Three-way"
        if action.id == "take" and self.path_list.has_focus:
            return "Choose a side"
        return super().label_of(action)

    def _show(self, page: Page) -> None:
        self.text.show(page)
        self.text.border_title = self.caption(f" {page.title} ")
        self.text.border_subtitle = self.caption(f" {page.note} " if page.note else "")

    # --- settling -------------------------------------------------------------------------

    def why_not(self, action: str) -> str:
        """There must be something to settle."""
        needs = {"take", "keep_both", "merge", "fetch", "why", "mark", "common"}
        return "there is no conflict" if action in needs and self.here() is None else ""

    def chosen(self) -> list[bytes]:
        """Marked conflicts, else the one under the cursor."""
        if self.path_list.marks:
            return [
                conflict.path for conflict in self.found if conflict.path in self.path_list.marks
            ]
        conflict = self.here()
        return [conflict.path] if conflict is not None else []

    def do_take(self) -> None:
        """One side becomes the file; from the list, the cursor goes to the sides first."""
        if self.path_list.has_focus and not self.path_list.marks:
            self.focus_pane("sides")
            return
        side = self.side()
        paths = self.chosen()
        if side is None or not paths:
            return
        if len(paths) > 1:
            self._take_many(paths, side.node)
            return
        self._settle(
            paths,
            f"Settled: the side of {words.safe(self.names.get(side.node, ''))} of {words.exact_time(side.time)}",
            version=side.id,
            line=command("resolve", *paths, version=version_number(side.time)),
        )

    def _take_many(self, paths: list[bytes], node: str) -> None:
        """The side of one node, wherever it has one; one operation, so one undo."""
        volume, found = self.globofs.volume, {c.path: c for c in self.found}
        sides = {
            path: side.id
            for path in paths
            for side in reversed(found[path].sides)
            if side.node == node
        }
        name = words.safe(self.names.get(node, node[:8]))
        left = len(paths) - len(sides)
        rest = f"; {words.plural(left, 'conflict')} without one left as they are" if left else ""
        self.globofs.verb(
            "resolve",
            "settling",
            lambda emit, cancelled: volume.resolve(
                list(sides), version=sides, emit=emit, cancelled=cancelled
            ),
            lambda _: (
                f"Settled {words.plural(len(sides), 'conflict')}: the side of {name}{rest} · z undoes"
            ),
            after=lambda _: self._settled(),
        )

    def do_keep_both(self) -> None:
        """Both stay."""
        paths = self.chosen()
        self._settle(
            paths,
            "Settled: both are kept",
            keep_both=True,
            line=command("resolve", *paths, keep_both=True),
        )

    def _settle(self, paths: list[bytes], said: str, *, line: str, **how: Any) -> None:
        volume = self.globofs.volume
        self.globofs.verb(
            "resolve",
            "settling",
            lambda emit, cancelled: volume.resolve(paths, emit=emit, cancelled=cancelled, **how),
            lambda result: f"{said} · z undoes",
            line=line,
            after=lambda _: self._settled(),
        )

    def _settled(self) -> None:
        self.path_list.marks.clear()
        self.volume_opened()

    def do_merge(self) -> None:
        """Both sides in the user's merge tool; the result settles."""
        conflict = self.here()
        if conflict is not None:
            from globofs.tui.merging import merge

            merge(self.globofs, conflict, self._settled)

    def do_fetch(self) -> None:
        """Bring both sides here."""
        conflict = self.here()
        if conflict is None:
            return
        volume = self.globofs.volume

        def work(emit: Any, cancelled: Any) -> int:
            return sum(
                len(piece)
                for side in conflict.sides
                if side.missing
                for piece in volume.read(side, emit=emit, cancelled=cancelled)
            )

        self.globofs.verb(
            "mirror",
            "fetching both sides",
            work,
            lambda count: f"Fetched {words.size_words(count)}",
            after=lambda _: self.volume_opened(),
        )

    def do_why(self) -> None:
        """Why a side is not here."""
        conflict = self.here()
        if conflict is not None:
            self.globofs.tell_why(conflict.path)

    def do_mark(self) -> None:
        """Mark a conflict."""
        key = self.path_list.current_key
        if key is not None:
            self.path_list.marks ^= {key}
            self.path_list.move(1)
            self.path_list.refresh()

    def do_range(self) -> None:
        """A range of conflicts."""
        rows = self.path_list
        if rows.range_from is None:
            rows.range_from = rows.cursor
        else:
            rows.marks |= set(rows.range_keys())
            rows.range_from = None
        rows.refresh()

    def do_invert(self) -> None:
        """Mark the others."""
        self.path_list.marks ^= {conflict.path for conflict in self.found}
        self.path_list.refresh()

    def step_out(self) -> bool:
        """Marks, then back to the list."""
        if self.path_list.marks or self.path_list.range_from is not None:
            self.path_list.marks.clear()
            self.path_list.range_from = None
            self.path_list.refresh()
            return True
        if self.focused is not None and self.focused.id in ("sides", "compare"):
            self.focus_pane("conflicts")
            return True
        return super().step_out()


SCREEN = ConflictsScreen
