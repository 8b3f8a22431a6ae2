"""The plan of a restore, before it happens: what, how much, from whom, what would be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from globofs.tui import words
from globofs.tui.screens.base import ListPane
from globofs.tui.screens.dialogs import Modal
from globofs.tui.widgets.chrome import Lines
from globofs.tui.widgets.paint import Column, Span, wrapped
from globofs.tui.widgets.virtual_list import Rows, VirtualList

if TYPE_CHECKING:
    from globofs.sync.results import RestorePlan

COLUMNS = (
    Column("action", "", 10),
    Column("path", "path", 0, minimum=20, middle=True),
    Column("size", "size", 9, "right", 2),
    Column("version", "version of", 15, "left", 3),
    Column("note", "", 0, "left", 4, 14),
)
STYLES = {
    "create": "good", "replace": "accent", "same": "muted", "delete": "bad", "skip": "warn",
}  # fmt: skip
ACTION_WORDS = {
    "create": "bring back", "replace": "replace", "same": "same", "delete": "delete", "skip": "skip",
}  # fmt: skip
ROWS_MAX = 14


class PlanDialog(Modal):
    """Answers True when confirmed. The key that opened it confirms; Enter too, unless something
    outside the volume would be overwritten."""

    def __init__(self, plan: RestorePlan, title: str, key: str = "r") -> None:
        super().__init__()
        self._plan = plan
        self._title = title
        self._key = key

    def compose(self) -> ComposeResult:
        """Counts, warnings, items, the way on."""
        plan = self._plan
        told = any(item.reason for item in plan.items)
        source = Rows(COLUMNS if told else COLUMNS[:-1])
        now = self.globofs.now()
        items = sorted(plan.items, key=lambda item: (item.action == "same", item.path))
        source.replace(
            [item.path for item in items],
            [
                (
                    ((ACTION_WORDS[item.action], STYLES[item.action]),),
                    words.shown_path(item.path),
                    words.size_words(item.version.size) if item.version is not None else "",
                    ((words.moment(item.version.time, now) if item.version else "", "muted"),),
                    ((words.safe(item.reason), "warn" if item.action == "skip" else "muted"),),
                )[: len(source.columns)]
                for item in items
            ],
        )
        danger = " -danger" if plan.outside_overwrites else ""
        with Vertical(classes=f"dialog -wide{danger}") as box:
            box.border_title = self.caption(f" {self._title} ")
            box.border_subtitle = self.caption(f" {self._foot()} ")
            yield Lines(self._head, id="plan-head")
            yield ListPane(source, "menu", id="plan-list")

    def on_mount(self) -> None:
        """As high as its content."""
        super().on_mount()
        rows = self.query_one("#plan-list", VirtualList)
        rows.remove_class("pane")
        rows.styles.height = min(ROWS_MAX, len(self._plan.items)) + 1
        self.set_focus(rows)
        width = min(110, int(self.app.size.width * 0.94)) - 4
        self.query_one("#plan-head").styles.height = len(self._head(width)) + 1

    def _foot(self) -> str:
        also = "" if self._plan.outside_overwrites else " or Enter"
        return f"{self._key}{also} does it · Esc leaves all as it is"

    def _head(self, width: int) -> Sequence[Sequence[Span]]:
        return [part for line in self._said() for part in wrapped(line, width)]

    def _said(self) -> Sequence[Sequence[Span]]:
        plan, glyphs = self._plan, self.glyphs
        same = sum(item.action == "same" for item in plan.items)
        gone = sum(item.action == "delete" for item in plan.items)
        first: list[Span] = [
            (words.plural(plan.files, "file"), "strong"),
            (f", {words.size_words(plan.bytes)}", ""),
        ]
        if same:
            first.append((f" · {same:,} already so", "muted"))
        if gone:
            first.append((f" · {gone:,} made later would be deleted", "bad"))
        lines: list[list[Span]] = [first]
        if plan.fetch_bytes:
            sources = ", ".join(f"{words.safe(n)} {words.size_words(b)}" for n, b in plan.sources)
            lines.append(
                [
                    (f"{glyphs.down} ", "primary"),
                    (f"{words.size_words(plan.fetch_bytes)} to fetch", "primary"),
                    (
                        f", expected from {sources}" if sources else ", nobody known holds them",
                        "muted",
                    ),
                ]
            )
        else:
            lines.append([(f"{glyphs.held} ", "good"), ("all content is here", "muted")])
        if plan.to is not None:
            lines.append([(f"{glyphs.link} ", "accent"), (f"written to {words.safe(plan.to)}", "")])
        if plan.outside_overwrites:
            count = words.plural(plan.outside_overwrites, "file")
            lines.append(
                [(f"{glyphs.warning} {count} outside the volume would be replaced", "bad")]
            )
        elif plan.to is None:
            lines.append(
                [
                    ("  in the volume: new versions, ", "muted"),
                    ("z", "key"),
                    (" undoes", "muted"),
                ]
            )
        for problem in plan.problems[:4]:
            text = f"{words.shown_path(problem.path)}: {words.safe(problem.reason)}"
            lines.append([(f"{glyphs.warning} ", "warn"), (text, "warn")])
        return lines

    def other_key(self, key: str) -> bool:
        """The same key again confirms."""
        if key == self._key:
            self.dismiss(True)
            return True
        return False

    def do_choose(self) -> None:
        """Enter confirms what can be undone."""
        if not self._plan.outside_overwrites:
            self.dismiss(True)

    def do_escape(self) -> None:
        """No."""
        self.dismiss(False)
