"""Files: time as a second axis. The same tree as it was at a moment; the cursor stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from globofs import errors, speech
from globofs.store.views import Operation
from globofs.tui import words
from globofs.tui.model.check import Check
from globofs.tui.model.timeline import SIGNS
from globofs.tui.screens.dialogs import AskDialog, Choice, PickDialog
from globofs.tui.screens.files_find import FilesFind
from globofs.tui.widgets.paint import Column, Span

MOMENTS_MAX = 2000
COLUMNS = (
    Column("when", "when", 19),
    Column("ago", "", 15, "left", 2),
    Column("what", "just after", 0, minimum=20),
    Column("node", "by", 10, "left", 1),
)


class FilesTravel(FilesFind):
    """The Files screen, as far as time goes."""

    def __init__(self) -> None:
        super().__init__()
        self._moments: Sequence[Operation] = ()
        self._names: dict[str, str] = {}

    def travel_words(self) -> tuple[Span, ...]:
        """Time travel and "changed since" are said as long as they last."""
        key = self.globofs.keymap
        if self.wish.at is not None:
            found = next((op for op in self._moments if op.last <= (self.wish.at or 0)), None)
            after = ""
            if found is not None:
                node = words.safe(self._names.get(found.key.node, ""))
                after = f"{node} {words.operation(found)}"
            return (  # what there is no room for is cut: keys are in the hints as well
                (f"{self.glyphs.clock} AS OF ", "strong"),
                (words.exact_time(self.wish.at), "accent strong"),
                ("  ", ""), (key.key_for(key.actions["now"]), "key"), (" now  ", "muted"),
                (f"after: {after}  " if after else "", ""),
                ("[ ]", "key"), (" step  ", "muted"), ("r", "key"), (" restores", "muted"),
            )  # fmt: skip
        if self.wish.since is not None:
            return (
                ("CHANGED SINCE ", "strong"),
                (words.exact_time(self.wish.since)[:16], "accent strong"),
                (f"   {self._changes() or 'nothing'}   ", ""),
                ("Esc", "key"), (" ends it", "muted"),
            )  # fmt: skip
        return ()

    def _changes(self) -> str:
        """How much is new, changed and gone since the moment asked about."""
        counts = Counter(self.tree_source.rows.kinds.values())
        return ", ".join(f"{counts[kind]:,} {kind}" for kind in SIGNS if counts[kind])

    def with_moments(self, then: Any, *, modal: bool = False) -> None:
        """Get the operations, then go on; `modal` with a dialog."""
        volume = self.globofs.volume

        def find() -> tuple[list[Operation], dict[str, str]]:
            found = volume.operations(limit=MOMENTS_MAX)
            return found, {node: volume.node_name(node) for node in {op.key.node for op in found}}

        def got(answer: tuple[list[Operation], dict[str, str]]) -> None:
            self._moments = sorted(answer[0], key=lambda op: -op.last)
            self._names = answer[1]
            then()

        self.bridge.ask("detail", "moments", find, got, self.globofs.say_why, modal=modal)

    def travel_to(self, at: int | None) -> None:
        """Show the tree of a moment, or of now."""
        self.wish = replace(self.wish, at=at)
        self.globofs.at = at
        self.tree_list.marks.clear()
        path = self.selected.path if self.selected is not None else None
        self.refresh_tree(path)
        self.follow_soon()
        self.refresh_chrome()

    def do_travel_back(self) -> None:
        """One operation back."""
        self.with_moments(self._back)

    def _back(self) -> None:
        moments = self._moments
        if self.wish.at is None:
            if len(moments) > 1:
                self.travel_to(moments[1].last)
            else:
                self.globofs.say("There is nothing before the first operation", timeout=3)
            return
        older = [op.last for op in moments if op.last < self.wish.at]
        current = next((op.last for op in moments if op.last <= self.wish.at), None)
        if current is not None and current < self.wish.at:
            self.travel_to(current)
        elif older:
            self.travel_to(older[0])
        else:
            self.globofs.say("This is just after the first operation", timeout=3)

    def do_travel_on(self) -> None:
        """One operation on."""
        self.with_moments(self._on)

    def _on(self) -> None:
        if self.wish.at is None:
            self.globofs.say("This is now", timeout=2)
            return
        newer = [op.last for op in self._moments if op.last > self.wish.at]
        if len(newer) <= 1:
            self.travel_to(None)
        else:
            self.travel_to(newer[-1])

    def do_now(self) -> None:
        """Back to the present."""
        if self.wish.at is not None:
            self.travel_to(None)

    def do_travel(self) -> None:
        """Type a time, or choose an operation."""
        self.with_moments(self._ask_moment, modal=True)

    def _ask_moment(self) -> None:
        now = self.globofs.now()
        rows = [
            Choice(
                op.last,
                (
                    words.exact_time(op.last),
                    ((speech.long_age(op.last, now), "muted"),),
                    words.operation(op),
                    ((words.safe(self._names.get(op.key.node, "")), "muted"),),
                ),
                f"{words.exact_time(op.last)} {words.operation(op)}".lower(),
            )
            for op in self._moments
        ]

        def typed(text: str) -> int | None:
            try:
                return speech.parse_time(text, now)
            except errors.GlobofsError:
                return None

        def find(text: str) -> list[Choice]:
            at = typed(text) if text else None
            if at is not None:
                return [row for row in rows if row.value <= at]
            return [row for row in rows if text.lower() in row.search]

        dialog = PickDialog(
            "Time travel", COLUMNS, find, typed=typed,
            placeholder="2h ago · yesterday 18:00 · last week · or words of an operation",
            empty="nothing happened before then",
            foot="Enter shows the tree of that moment · Esc leaves",
        )  # fmt: skip
        self.app.push_screen(dialog, self._picked)

    def _picked(self, at: int | None) -> None:
        if at is not None:
            self.travel_to(None if at >= self.globofs.now() else at)

    def do_changed(self) -> None:
        """Only what changed since a moment."""
        now = self.globofs.now()

        def check(text: str) -> Check:
            if not text.strip():
                return Check(
                    None, "yesterday · last week · 2h ago · 2026-11-20 · a version's number"
                )
            try:
                since = speech.parse_time(text, now, start=True)
            except errors.GlobofsError as error:
                return Check(False, error.message)
            return Check(True, f"{speech.long_age(since, now)}: {words.exact_time(since)}", since)

        self.app.push_screen(
            AskDialog(
                "Changed since",
                "Only what changed since then; yesterday, last week, 2h ago, 2026-11-20 …",
                check,
                value="yesterday",
                example=True,
            ),
            self._since,
        )

    def _since(self, since: int | None) -> None:
        if since is not None:
            self.wish = replace(self.wish, since=since, deleted=True)
            self.refresh_tree(self.selected.path if self.selected is not None else None)
            self.refresh_chrome()

    def step_out(self) -> bool:
        """Esc: range, filter, marks, changed since, content, enlarged pane, time travel."""
        tree = self.tree_list
        if tree.range_from is not None:
            tree.range_from = None
            self._marks_changed()
        elif self.wish.filter:
            self.close_filter(keep=False)
        elif tree.marks:
            tree.marks.clear()
            self._marks_changed()
        elif self.compare is not None:
            self.compare = None
            self.time_source.compare = b""
            self.time_source.serial += 1
            self.versions.refresh()
            self.look()
        elif self.wish.since is not None:
            self.wish = replace(self.wish, since=None, deleted=self.globofs.habits.deleted)
            self.refresh_tree(self.selected.path if self.selected is not None else None)
            self.refresh_chrome()
        elif self.zoomed:
            self.do_shrink()
        elif self.detail_open or (self.focused is not None and self.focused.id == "detail"):
            self.focus_pane("versions")
        elif self.focused is not None and self.focused.id == "versions":
            self.focus_pane("tree")
        elif self.wish.at is not None:
            self.travel_to(None)
        else:
            return False
        return True
