"""`;` puts letters on rows; `W` wraps texts; presets."""

from __future__ import annotations

from globofs.tui import keys
from tests import helpers_tui as fake
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


async def test_long_lines_go_on_below_where_that_is_wished() -> None:
    long = " ".join(f"word{number}" for number in range(60)) + " 山の地図" * 30 + " the end"
    volume = fake.full_volume()
    key = volume.operation("add", ("/home/anna",), fake.SECOND)
    volume.put(key, "long.md", f"# t\n{long}\n".encode())
    async with bench(volume=volume) as b:
        await b.go_to(b"long.md")
        await b.keys("i")

        def shown() -> str:
            lines = [
                b.screen.detail.render_line(y).text for y in range(b.screen.detail.size.height)
            ]
            return "".join(line[4:].rstrip("\n ") for line in lines)

        assert "the end" not in shown()
        await b.keys("W")
        assert "the end" in shown()
        assert shown().count("山の地図") >= 20
        assert b.app.habits.wrap
        await b.keys("2", "1", "W")
        assert "the end" not in shown()


def test_the_arrows_preset_moves_by_arrows_only() -> None:
    keymap = keys.Keymap(keys.preset("arrows"))
    for key, action in (("down", "down"), ("end", "last"), ("j", ""), ("G", ""), ("r", "restore")):
        found = keymap.resolve(key, ["files.tree", "files", "any"])
        assert (found.id if found else "") == action
    assert not keys.clashes(keys.preset("arrows"))
