"""Keys that come faster than answers, and what the hints say meanwhile."""

from __future__ import annotations

from textual import events

from globofs.tui.widgets.chrome import HintBar
from tests.test_8_tui_screens import Bench, bench


async def burst(b: Bench, *keys: str) -> None:
    """Press without waiting for anything in between, as a fast hand or a paste does."""
    for key in keys:
        character = key if len(key) == 1 else None
        b.app.post_message(events.Key(key, character))
    await b.settle()


async def test_a_pane_is_focused_before_the_next_key() -> None:
    async with bench() as b:
        await burst(b, "tab", "down")
        assert b.screen.focused.id == "versions"
        assert b.screen.tree_list.cursor == 0


async def test_what_is_about_a_version_waits_for_the_row_gone_to() -> None:
    async with bench() as b:
        await b.keys("D")
        rows = b.screen.tree_source.rows.rows
        at = next(i for i, row in enumerate(rows) if row.entry.kind != "directory")
        await burst(b, "home", *["down"] * at, "d")
        assert b.screen.selected.path == rows[at].entry.path
        assert b.screen.time_source.timeline.path == rows[at].entry.path
        assert not b.screen._waiting


async def test_while_a_filter_is_typed_no_hint_names_a_letter() -> None:
    async with bench() as b:
        await b.keys("slash")
        bar = b.screen.query_one(HintBar)
        assert [hint.key for hint in bar.hints] == ["Enter", "Esc"]
        await b.keys("escape")
        assert any(hint.key == "f" for hint in bar.hints)
