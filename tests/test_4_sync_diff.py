"""`diff`."""

from __future__ import annotations

import difflib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.sync._textdiff import counts, is_text, opcodes, unified
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=40)


@given(LINES, LINES)
@settings(max_examples=200, deadline=None)
def test_opcodes_turn_the_old_into_the_new(old: list[str], new: list[str]) -> None:
    made: list[str] = []
    place = 0
    for tag, a, b, c, d in opcodes(old, new):
        assert a == place
        place = b
        made += old[a:b] if tag == "equal" else new[c:d]
    assert (made, place) == (new, len(old))


@given(LINES, LINES)
@settings(max_examples=40, deadline=None)
def test_patch_understands_it(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str]
) -> None:
    top: Path = tmp_path_factory.mktemp("patch")
    (top / "x").write_text("".join(old))
    text = "\n".join(unified(old, new, ("x", "x")))
    if not text:
        assert old == new
        return
    reference = list(difflib.unified_diff(old, new))
    assert len([line for line in text.split("\n") if line[:1] in "+-"]) <= len(reference) + 2
    done = subprocess.run(
        ["patch", "-s", "x"], cwd=top, input=text + "\n", text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + text
    there = (top / "x").read_text() if (top / "x").exists() else ""
    assert there == "".join(new)


def test_a_huge_rewrite_is_one_piece_and_quick() -> None:
    old = [f"{n}\n" for n in range(20_000)]
    new = [f"{n + 7}x\n" for n in range(20_000)]
    assert len(opcodes(old, new)) == 1
    assert counts(opcodes(old, new)) == (20_000, 20_000)


def test_text_is_told_from_binary_also_where_a_character_is_cut() -> None:
    assert is_text("grün".encode()[:3])
    assert not is_text(b"a\0b")
    assert not is_text(b"\xff\xfe text")


def test_files(bench: Bench) -> None:
    bench.put("x", "".join(f"line {n}\n" for n in range(100)))
    bench.add()
    first = bench.volume.operations()[0].last
    bench.put("x", "".join(f"line {n}\n" for n in range(100) if n != 50) + "end")
    bench.add()
    result = bench.volume.diff(b"docs/x")
    assert result.kind == "text"
    assert "-line 50" in result.lines
    assert result.lines[-2:] == ("+end", "\\ No newline at end of file")
    assert len(result.lines) < 20
    assert bench.volume.diff(b"docs/x", old=first).lines == result.lines
    newest, oldest = bench.volume.history(b"docs/x")
    assert "+line 50" in bench.volume.diff(b"docs/x", old=newest, new=oldest).lines
    assert bench.volume.diff(b"docs/x", old=newest, new=newest).kind == "same"


def test_binary_is_summed_up(bench: Bench) -> None:
    bench.put("x", os.urandom(2_000_000))
    bench.add()
    bench.put("x", (bench.folder / "x").read_bytes() + b"more")
    bench.add()
    result = bench.volume.diff(b"docs/x")
    assert result.kind == "binary"
    assert "2000000 bytes became 2000004" in result.summary
    assert result.lines == ()


def test_directories(bench: Bench) -> None:
    bench.put("same", "1")
    bench.put("changed", "1")
    bench.put("gone", "1")
    bench.put("old", "renamed")
    bench.add()
    first = bench.volume.operations()[0].last
    bench.put("changed", "2")
    bench.put("new", "1")
    bench.add()
    bench.volume.rm([b"docs/gone"])
    bench.volume.mv(b"docs/old", b"docs/moved")
    found = {(c.path, c.change) for c in bench.volume.diff(b"docs", old=first).changes}
    assert found == {
        (b"docs/changed", "changed"),
        (b"docs/new", "added"),
        (b"docs/gone", "deleted"),
        (b"docs/moved", "renamed"),
    }
    last = {(c.path, c.change) for c in bench.volume.diff(b"").changes}
    assert last == {(b"docs/moved", "renamed")}


def test_deleted_and_missing(bench: Bench) -> None:
    bench.put("x", "one\n")
    bench.add()
    bench.volume.rm([b"docs/x"])
    result = bench.volume.diff(b"docs/x")
    assert "-one" in result.lines
    assert result.summary.endswith("deleted")
