"""Versions in other programs: the opener, the editor, and less in a real terminal."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from globofs.tui import merging, programs
from globofs.volume import Volume
from tests import helpers_tui as fake
from tests.helpers_tmux import needs_tmux, terminal
from tests.test_8_tui_screens import _utc, bench

__all__ = ["_utc"]


def program(place: Path, text: str) -> str:
    """A shell script to be called as a program."""
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return str(place)


async def test_o_opens_a_read_only_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = program(tmp_path / "show", f'cp "$1" {tmp_path}/seen; stat -c %a "$1" > {tmp_path}/mode')
    monkeypatch.setenv("GLOBOFS_OPEN", line)
    async with bench() as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("o")
        await b.until(lambda: b.toasts() and "opens a copy of" in b.toasts()[-1])
        assert (tmp_path / "seen").read_text() == fake.NOTES[3]
        assert (tmp_path / "mode").read_text().strip() == "400"
        assert [Path(copy).name for copy in b.app.copies] == ["notes.md"]
        for copy in b.app.copies:
            programs.tidy(copy)


async def test_what_is_not_there_to_open_with_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOBOFS_OPEN", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    async with bench() as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("o")
        await b.until(b.toasts)
        assert "xdg-open is not installed, and $GLOBOFS_OPEN is not set" in b.toasts()[-1]


def test_an_opener_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(programs.NoProgram, match="exit 3"):
        programs.launch([program(tmp_path / "no", "exit 3")], "x")


def test_the_editor_comes_before_the_pager() -> None:
    assert programs.pager({"EDITOR": "ed -s", "PAGER": "more"}) == ["ed", "-s"]
    assert programs.pager({"PAGER": "more"}) == ["more"]
    assert programs.pager({}) == ["less"]


async def test_a_merge_takes_what_one_side_changed_and_runs_no_disk_work_on_the_ui_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VISUAL", "MERGETOOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EDITOR", "edit")
    seen: list[str] = []

    def edited(app: Any, line: list[str], then: Any) -> None:
        path = Path(line[-1])
        seen.append(path.read_text())
        path.write_text("rope\nboth\n")
        stat, ui = os.stat, threading.get_ident()

        def elsewhere(*args: Any, **how: Any) -> Any:
            assert threading.get_ident() != ui
            return stat(*args, **how)

        monkeypatch.setattr(programs.os, "stat", elsewhere)
        then(0)

    monkeypatch.setattr(merging.programs, "in_terminal", edited)
    async with bench() as b:
        await b.keys("4")
        await b.settle()
        await b.keys("E")
        await b.until(lambda: b.volume.done)
        assert "<<<<<<< " in seen[0]
        assert "||||||| " in seen[0]
        assert b.volume.done[-1][0] == "resolve"
        await b.settle()
        assert "with the merged file" in b.toasts()[-1]


class TestTerminal:
    """At a real terminal."""

    pytestmark = needs_tmux

    def test_less_shows_a_copy_and_the_ui_comes_back(self, tmp_path: Path) -> None:
        source = tmp_path / "docs"
        source.mkdir()
        (source / "poem.txt").write_text("a line of a poem\n")
        with Volume.init(str(tmp_path / "vol"), name="home") as volume:
            volume.add([str(source / "poem.txt")])
        with terminal(tmp_path) as screen:
            screen.run(
                "-C", tmp_path / "vol", "ui", TERM="xterm", PAGER="less", EDITOR="", VISUAL=""
            )
            screen.until("poem.txt")
            screen.until("first version")
            screen.type("E")
            screen.until("poem.txt (END)")
            assert "a line of a poem" in screen.screen()
            screen.type("q")
            screen.until("Files", without="(END)")
            screen.type("i")
            screen.until("a line of a poem")
            screen.type("q")
            screen.at_shell()
