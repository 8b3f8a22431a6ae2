"""Mode 5, Log: every operation, newest first, and what each wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical

from globofs import errors, speech
from globofs.store.views import Operation, OperationKey, Version
from globofs.tui import words
from globofs.tui.keys import FREE
from globofs.tui.model import detail, timeline
from globofs.tui.model.text import Page
from globofs.tui.screens.base import ListPane, TextPane
from globofs.tui.screens.lists import Filtering, FilterRow, Rereading
from globofs.tui.screens.pace import Debounce
from globofs.tui.widgets.paint import Cell, Column, cut_middle
from globofs.tui.widgets.virtual_list import Rows, VirtualList

PAGE = 500
FILES_MAX = 2000
Named = tuple[list[Operation], dict[str, str]]  # operations; what the nodes of them are called
COLUMNS = (
    Column("when", "when", 15),
    Column("what", "operation", 0, minimum=28, middle=True),
    Column("node", "by", 8, "left", 2),
    Column("count", "items", 6, "right", 1),
    Column("bytes", "size", 9, "right", 3),
)
FILE_COLUMNS = (
    Column("sign", "", 1),
    Column("path", "path", 0, minimum=16, middle=True),
    Column("size", "size", 9, "right", 1),
)


class OperationRows(Rows):
    """Operations. A row is made when it is looked at: thousands of them grow older together."""

    def __init__(self, cells_of: Callable[[Operation], tuple[Cell, ...]]) -> None:
        super().__init__(COLUMNS)
        self._cells_of = cells_of
        self.shown: Sequence[Operation] = ()

    def show(self, operations: Sequence[Operation]) -> None:
        """Show these from now on."""
        self.shown = operations
        self.replace([op.key for op in operations], ())

    def cells(self, index: int) -> tuple[Cell, ...]:
        return self._cells_of(self.shown[index])


class LogScreen(Filtering, Rereading):
    """The mode."""

    context: ClassVar[str] = "log"
    panes: ClassVar[tuple[str, ...]] = ("operations", "log-files", "log-detail")
    filters: ClassVar[str] = "operations"
    reads: ClassVar[str] = "operations"
    unreadable: ClassVar[str] = "The log cannot be read"

    def __init__(self) -> None:
        super().__init__()
        self.rows = OperationRows(self._cells)
        self.file_rows = Rows(FILE_COLUMNS)
        self.found: list[Operation] = []
        self.names: dict[str, str] = {}
        self.files: list[Version] = []
        self._files_of: OperationKey | None = None  # the operation that wrote them
        self.filter = ""
        self.more = False

    def compose(self) -> ComposeResult:
        """Operations beside their files."""
        yield self.title_bar
        yield self.banner
        with Container(classes="split"):
            with Vertical(classes="left"):
                yield ListPane(self.rows, "log.operations", id="operations")
                yield FilterRow("words of an operation, a node; Esc ends it")
            with Vertical(classes="right"):
                yield ListPane(self.file_rows, "log.files", id="log-files")
                yield TextPane("log.detail", id="log-detail")
        yield self.hint_bar

    @property
    def op_list(self) -> ListPane:
        """The operations."""
        return self.query_one("#operations", ListPane)

    @property
    def file_list(self) -> ListPane:
        """What the one under the cursor wrote."""
        return self.query_one("#log-files", ListPane)

    def ready(self) -> None:
        """Ask for the newest."""
        self.op_list.words = ("reading the log",)
        self.op_list.stick = True
        self.op_list.entitle(self.caption("Operations"))
        self.follow_soon = Debounce(self, 0.05, self._follow)
        self.look_soon = Debounce(self, 0.06, self._look)
        if self.globofs.is_open:
            self.volume_opened()

    def volume_opened(self) -> None:
        """Read from the newest, as many as were shown."""
        limit = max(PAGE, len(self.found))
        find = self._fresh.timed(self._finding(limit))
        self.bridge.ask("tree", "log", find, lambda answer: self._got(answer, limit), self.not_read)

    def _finding(self, limit: int, before: int | None = None) -> Callable[[], Named]:
        """How to read operations, and what the nodes that did them are called."""
        volume = self.globofs.volume

        def find() -> Named:
            found = volume.operations(limit=limit, before=before)
            nodes = {op.key.node for op in found}
            return found, {node: volume.node_name(node) for node in nodes}

        return find

    def age(self) -> None:
        """The ages of the operations."""
        self.rows.serial += 1
        self.op_list.repaint()

    def _got(self, answer: Named, limit: int) -> None:
        self.found, self.names = answer
        self.more = len(self.found) >= limit
        self._draw()

    def _draw(self) -> None:
        wanted = self.filter.lower()
        self.rows.show(
            [op for op in self.found if wanted in self._search(op)] if wanted else [*self.found]
        )
        self.op_list.words = (
            ("Nothing happened yet",)
            if not wanted
            else ("No operation is called so", "Esc shows all")
        )
        more = "+" if self.more else ""
        foot = f"filter: {self.filter}" if wanted else ""
        number, _, noun = words.plural(len(self.found), "operation").partition(" ")
        count = f"{number}{more} {noun}"
        self.op_list.entitle(self.caption(count), self.caption(foot))
        self.op_list.reload()
        self.follow_soon()
        self.refresh_chrome()

    def _search(self, op: Operation) -> str:
        return f"{words.operation(op)} {op.verb} {self.names.get(op.key.node, '')}".lower()

    def _cells(self, op: Operation) -> tuple[Cell, ...]:
        style = "warn" if op.interrupted else "accent" if op.open else ""
        note = "  interrupted" if op.interrupted else "  running" if op.open else ""
        return (
            ((words.moment(op.last, self.globofs.now()), "muted"),),
            ((words.operation(op, count_too=False), style), (note, style)),
            ((words.safe(self.names.get(op.key.node, op.key.node[:8])), "muted"),),
            words.count(op.versions),
            ((words.size_words(op.bytes) if op.bytes else "", "muted"),),
        )

    def here(self) -> Operation | None:
        """The operation under the cursor."""
        shown, at = self.rows.shown, self.op_list.cursor
        return shown[at] if at < len(shown) else None

    def file_here(self) -> Version | None:
        """What it wrote, under the cursor of the files."""
        at = self.file_list.cursor
        return self.files[at] if at < len(self.files) else None

    def on_virtual_list_moved(self, message: VirtualList.Moved) -> None:
        """Its files follow; near the end, older operations are read."""
        if message.list.id != "operations":
            self.look_soon()
            return
        self.follow_soon()
        if self.more and not self.filter and message.index > len(self.found) - 50:
            self._older()

    def _older(self) -> None:
        self.more = False

        def got(answer: Named) -> None:
            found, names = answer
            self.names |= names
            known = {op.key for op in self.found}
            self.found += [op for op in found if op.key not in known]
            self.more = len(found) >= PAGE
            self._draw()

        def failed(error: errors.GlobofsError) -> None:
            self.more = True
            self.globofs.say_why(error)

        # Those of the last one's nanosecond may stand on both sides of the border: once more.
        self.bridge.ask("tree", "older", self._finding(PAGE, self.found[-1].last + 1), got, failed)

    def not_yet(self, action: str) -> bool:
        """What is about the files of an operation waits for those of the one gone to."""
        op = self.here()
        if op is None or op.key == self._files_of:
            return False
        if action != "go_moment" and (action in FREE or not self.file_list.has_focus):
            return False
        self._follow()
        return True

    def _follow(self) -> None:
        op = self.here()
        if op is None:
            self._files_of = None
            self.file_rows.replace([], [])
            self.file_list.words = ("",)
            self.file_list.reload(keep=False)
            return
        volume = self.globofs.volume
        self.bridge.ask(
            "detail",
            "operation",
            lambda: volume.operation_versions(op.key, limit=FILES_MAX),
            lambda found: self._got_files(op, found),
            lambda error: self._no_files(op, error),
        )

    def _got_files(self, op: Operation, found: list[Version]) -> None:
        self.files, self._files_of = found, op.key
        cells: list[tuple[Cell, ...]] = []
        for version in found:
            path = words.shown_path(version.path)
            renamed = version.from_path is not None and version.from_path != version.path
            name: Cell = (
                ((path, ""), (f"  from {words.shown_path(version.from_path or b'')}", "muted"))
                if renamed
                else path
            )
            size = words.size_words(version.size) if version.kind == "file" else ""
            cells.append(((timeline.SIGNS[timeline.kind_of(version)],), name, ((size, "muted"),)))
        self.file_rows.replace([version.id for version in found], cells)
        self.file_list.words = ("It wrote nothing",)
        capped = f"the first {FILES_MAX:,} of " if op.versions > len(found) else ""
        self.file_list.border_title = self.caption(
            f" {capped}{words.plural(op.versions, 'version')} "
        )
        line = cut_middle(speech.equivalent(op), max(12, self.file_list.size.width - 4))
        self.file_list.border_subtitle = self.caption(line if op.verb else "")
        self.file_list.reload(keep=False)
        self.file_list.go_to(0)
        self.refresh_chrome()  # what can be done with a file was pale until there were some

    def _no_files(self, op: Operation, error: errors.GlobofsError) -> None:
        self._got_files(op, [])
        self.file_list.words = ("Its files cannot be read", error.message)
        self.file_list.refresh()

    def _look(self) -> None:
        """What the version under the cursor changed."""
        pane, version = self.query_one("#log-detail", TextPane), self.file_here()
        if version is None:
            pane.show(Page())
            return
        volume, rows = self.globofs.volume, pane.size.height

        def show(page: Page) -> None:
            pane.show(page)
            name = words.safe(version.path.rpartition(b"/")[2])
            pane.border_title = self.caption(f"{name} {self.glyphs.separator} {page.title}")
            pane.border_subtitle = self.caption(page.note)

        self.bridge.ask(
            "content",
            "log-detail",
            lambda: detail.version_page(volume, version, rows),
            show,
            lambda error: show(Page("", words=("This cannot be shown", error.message))),
        )

    # --- actions --------------------------------------------------------------------------

    def why_not(self, action: str) -> str:
        """There must be an operation; only this node's can be undone here."""
        op = self.here()
        if action in ("go_moment", "revert", "show_file", "copy") and op is None:
            return "there is no operation yet"
        if action in ("fetch", "why") and self.file_here() is None:
            return "it wrote no file"
        if action == "fetch" and (version := self.file_here()) is not None and not version.missing:
            return "its content is here"
        ours = self.globofs.volume.uuid if self.globofs.is_open else ""
        if action == "revert" and op is not None and op.key.node != ours:
            node = self.names.get(op.key.node, "another node")
            return f"it was done on {node}; restore from a moment instead"
        return ""

    def do_go_moment(self) -> None:
        """The tree just after this operation."""
        op = self.here()
        if op is not None:
            path = self.files[0].path if self.files else b""
            newest = self.op_list.cursor == 0 and not self.filter
            self.globofs.show_in_files(path, None if newest else op.last)

    def do_revert(self) -> None:
        """Reverse this operation."""
        op = self.here()
        if op is not None:
            self.globofs.undo_operation(op.key)

    def do_show_file(self) -> None:
        """The file in Files."""
        version = self.file_here()
        if version is not None:
            self.globofs.show_in_files(version.path)

    def do_fetch(self) -> None:
        """Bring the content of the version under the cursor here."""
        volume, version = self.globofs.volume, self.file_here()
        if version is None:
            return

        def work(emit: Any, cancelled: Any) -> int:
            return sum(len(piece) for piece in volume.read(version, emit=emit, cancelled=cancelled))

        self.globofs.verb(
            "mirror",
            f"fetching {words.shown_path(version.path)}",
            work,
            lambda count: f"Fetched {words.size_words(count)}",
            after=lambda _: self._fetched(version),
        )

    def _fetched(self, version: Version) -> None:
        held = version._replace(missing=0)
        self.files = [held if one.id == version.id else one for one in self.files]
        self._look()

    def do_why(self) -> None:
        """Why the file is not here, or not there."""
        version = self.file_here()
        if version is not None:
            self.globofs.tell_why(version.path)

    def do_copy(self) -> None:
        """The equivalent command to the clipboard."""
        op = self.here()
        if op is not None:
            text = speech.equivalent(op)
            self.app.copy_to_clipboard(text)
            self.globofs.say(f"Copied {text}", timeout=3)

    def do_travel(self) -> None:
        """To the moment of the operation."""
        self.do_go_moment()

    def do_travel_back(self) -> None:
        """One operation back: one row down."""
        self.op_list.move(1)

    def do_travel_on(self) -> None:
        """One row up."""
        self.op_list.move(-1)

    def filtered(self, text: str) -> None:
        """Only operations with a word."""
        self.filter = text
        self._draw()

    def step_out(self) -> bool:
        """The filter, then back to the operations."""
        if self.filter:
            self.filter_box.value = ""
            return True
        if self.file_list.has_focus:
            self.focus_pane("operations")
            return True
        return super().step_out()


SCREEN = LogScreen
