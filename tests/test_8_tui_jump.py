"""`;`: letters on rows."""

from __future__ import annotations

from tests.test_8_tui_screens import _utc, bench

__all__ = ["_utc"]


async def test_a_letter_goes_to_its_row_in_any_pane() -> None:
    async with bench(size=(80, 24)) as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("semicolon")
        versions = b.screen.versions
        label = versions.labels[1]
        assert any(row.startswith(label) for row in b.rows("versions"))
        await b.keys(*label)
        assert b.screen.focused.id == "versions"
        assert versions.cursor == 1
        assert not versions.labels
        assert not b.screen.tree_list.labels


async def test_any_other_key_ends_it_and_does_nothing_else() -> None:
    async with bench() as b:
        await b.keys("semicolon", "escape")
        assert not b.screen.tree_list.labels
        await b.keys("down")
        assert b.screen.tree_list.cursor == 1
