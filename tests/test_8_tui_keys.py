"""The one table of keys: no clashes, remapping that says what is wrong, and what is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from globofs.tui import glyphs, keys
from globofs.tui.widgets.chrome import Hint, HintBar
from globofs.tui.widgets.paint import width_of


@pytest.mark.parametrize("name", ["default", "vim"])
def test_no_two_actions_share_a_key_in_one_context(name: str) -> None:
    assert keys.clashes(keys.preset(name)) == []


def test_every_action_is_done_by_somebody() -> None:
    from globofs.tui.app import GlobofsApp
    from globofs.tui.screens import conflicts, files, log, peers, start, sync

    homes = [GlobofsApp, *(m.SCREEN for m in (conflicts, files, log, peers, start, sync))]
    for action in keys.ACTIONS:
        assert any(hasattr(home, f"do_{action.id}") for home in homes), action.id


def test_no_ctrl_chord_is_the_only_way_to_what_the_product_needs() -> None:
    only = [a.id for a in keys.ACTIONS if all(key.startswith("ctrl+") for key in a.keys)]
    assert set(only) <= {"theme", "doctor", "redraw"}  # all of them are in the palette too


def test_a_nearer_context_wins() -> None:
    keymap = keys.Keymap()
    found = keymap.resolve("a", ["files.tree", "files", "any"])
    assert found is not None
    assert found.id == "add"
    found = keymap.resolve("a", ["peers", "any"])
    assert found is not None
    assert found.id == "peer_add"
    assert keymap.resolve("F", ["files", "any"]) is None


def test_remapping_takes_effect_and_says_what_is_wrong() -> None:
    text = "# mine\nrestore = x\nrestor = y\n\nundo = d  # taken\n"
    actions, problems = keys.remap(keys.ACTIONS, keys.read_wishes(text))
    by_id = {action.id: action for action in actions}
    assert by_id["restore"].keys == ("x",)
    assert by_id["undo"].keys == ("d",)  # counts in every mode that has no nearer d
    assert problems == ["line 3: no action is named restor; nearest is restore"]


def test_a_clash_names_line_and_key_and_changes_nothing() -> None:
    actions, problems = keys.remap(keys.ACTIONS, keys.read_wishes("restore = d\n"))
    assert next(a for a in actions if a.id == "restore").keys == ("r",)
    assert len(problems) == 1
    assert problems[0].startswith("line 1: key d: files")


def test_the_users_file_is_found_below_xdg(tmp_path: Path) -> None:
    (tmp_path / "globofs").mkdir()
    (tmp_path / "globofs" / "keys.conf").write_text("find = ctrl+f\nnonsense = q\n")
    keymap, problems = keys.load({"XDG_CONFIG_HOME": str(tmp_path)})
    assert keymap.resolve("ctrl+f", ["files"]) is not None
    assert problems == [f"{tmp_path}/globofs/keys.conf: line 2: no action is named nonsense"]


def test_the_table_of_the_readme_has_every_action() -> None:
    table = keys.table_markdown()
    assert table.count("\n") == len(keys.ACTIONS) + 2
    assert "| `r` | Files | Bring this version back" in table


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_hints_fit_and_count_what_they_leave_out(width: int) -> None:
    bar = HintBar()
    keymap = keys.Keymap()
    valid = keymap.valid(["files.tree", "files", "any"])
    bar.hints = tuple(
        Hint(keymap.key_for(a), a.label, a.id, a.priority) for a in valid if a.priority
    )
    bar.others = sum(not a.priority for a in valid)
    parts = bar.spans(width)
    assert sum(width_of(text) for text, _, _ in parts) <= width
    shown = len({action for _, _, action in parts if action and action != "help"})
    left = next(int(text.strip(" +")) for text, _, _ in parts if text.startswith("+"))
    assert shown + left == len(valid)
    assert parts[-1][0] == "?"


@pytest.mark.parametrize("name", sorted(glyphs.SETS))
def test_every_symbol_is_one_cell(name: str) -> None:
    for field, glyph in glyphs.all_glyphs(glyphs.SETS[name]).items():
        if field in ("spinner", "bars", "fills", "bar_givers"):
            assert all(width_of(one) == 1 for one in glyph)
        elif field not in ("folder", "file", "link"):
            assert width_of(glyph) == 1, field
    if name == "ascii":
        assert all(glyph.isascii() for glyph in glyphs.all_glyphs(glyphs.SETS[name]).values())


def test_the_linux_console_gets_plain_symbols() -> None:
    assert glyphs.choose(None, {"TERM": "linux", "LANG": "C.UTF-8"}) is glyphs.ASCII
    assert glyphs.choose(None, {"TERM": "xterm", "LANG": "de_DE.UTF-8"}) is glyphs.UNICODE
    assert glyphs.choose("nerd", {}) is glyphs.NERD


def test_the_readme_has_the_table_in_force() -> None:
    readme = Path(__file__).parent.parent / "README.md"
    if not readme.exists() or "<!-- keys:" not in readme.read_text(encoding="utf-8"):
        pytest.skip("README.md has no place for the table")
    assert keys.table_markdown() in readme.read_text(encoding="utf-8")
