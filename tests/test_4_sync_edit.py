"""`rm` and `mv`."""

from __future__ import annotations

import pytest

from globofs.errors import NoSuchPath, TargetExists, UsageError
from tests.helpers_verbs import Bench, bench, meanwhile

__all__ = ["bench"]


@pytest.fixture
def full(bench: Bench) -> Bench:
    for n in range(5):
        bench.put(f"d/f{n}", f"{n}")
    bench.put("x", "x")
    (bench.folder / "empty").mkdir()
    bench.add()
    return bench


def test_rm_of_a_directory_is_one_operation_and_keeps_history(full: Bench) -> None:
    result = full.volume.rm([b"docs/d"])
    assert result.versions == 6
    assert set(full.tree()) == {"docs", "docs/x", "docs/empty"}
    assert len(full.volume.history(b"docs/d/f0")) == 2
    assert full.volume.operations()[0].verb == "rm"
    assert full.volume.operations()[0].versions == 6


def test_rm_of_several_lists_what_is_not_there(full: Bench) -> None:
    result = full.volume.rm([b"docs/x", b"docs/nothing"])
    assert result.versions == 1
    assert [problem.path for problem in result.problems] == [b"docs/nothing"]
    with pytest.raises(NoSuchPath):
        full.volume.rm([b"docs/nothing"])
    with pytest.raises(UsageError):
        full.volume.rm([b""])


def test_mv_of_a_directory_keeps_every_history(full: Bench) -> None:
    full.put("d/f0", "edited")
    full.add()
    result = full.volume.mv(b"docs/d", b"docs/e/g")
    assert result.versions == 12
    assert full.content("docs/e/g/f0") == b"edited"
    assert "docs/d" not in full.tree()
    history = full.volume.history(b"docs/e/g/f0")
    assert [v.path for v in history] == [b"docs/e/g/f0", b"docs/d/f0", b"docs/d/f0"]
    held = list(full.volume.node.index.held_blocks())
    assert len(held) == 7


def test_mv_refuses_what_is_in_the_way(full: Bench) -> None:
    with pytest.raises(TargetExists):
        full.volume.mv(b"docs/x", b"docs/d")
    with pytest.raises(TargetExists):
        full.volume.mv(b"docs/d", b"docs/x/below")
    with pytest.raises(UsageError):
        full.volume.mv(b"docs", b"docs/d/in")
    with pytest.raises(NoSuchPath):
        full.volume.mv(b"docs/nothing", b"docs/y")
    assert len(full.volume.operations()) == 1


def test_a_deleted_name_may_be_taken_again(full: Bench) -> None:
    full.volume.rm([b"docs/x"])
    full.volume.mv(b"docs/d/f0", b"docs/x")
    assert full.content("docs/x") == b"0"
    assert full.conflicts() == []


def test_what_another_client_edits_while_rm_runs_is_not_deleted(full: Bench) -> None:
    full.volume.rm([b"docs/d"], cancelled=meanwhile(full, "d/f1", "newer"))
    assert set(full.tree()) == {"docs", "docs/d", "docs/d/f1", "docs/x", "docs/empty"}
    assert full.content("docs/d/f1") == b"newer"
    assert full.conflicts() == ["docs/d/f1"]


def test_what_another_client_edits_while_mv_runs_is_not_deleted(full: Bench) -> None:
    full.volume.mv(b"docs/d", b"docs/e", cancelled=meanwhile(full, "d/f1", "newer"))
    assert full.content("docs/d/f1") == b"newer"
    assert full.content("docs/e/f1") == b"1"
    assert full.conflicts() == ["docs/d/f1"]


@pytest.mark.parametrize("before", [False, True], ids=["never there", "deleted before"])
def test_mv_does_not_cover_what_appears_at_its_target(full: Bench, before: bool) -> None:
    if before:
        full.put("e/f1", "old")
        full.add()
        full.volume.rm([b"docs/e"])
        (full.folder / "e/f1").unlink()
    full.volume.mv(b"docs/d", b"docs/e", cancelled=meanwhile(full, "e/f1", "theirs"))
    sides = full.volume.conflicts()
    assert [side.path for side in sides] == [b"docs/e/f1"]
    assert len(full.volume.view().heads(b"docs/e/f1")) == 2


def test_rm_of_a_conflict_deletes_all_its_sides(full: Bench) -> None:
    full.volume.rm([b"docs/x"], cancelled=meanwhile(full, "x", "newer"))
    assert full.conflicts() == ["docs/x"]
    full.volume.rm([b"docs/x"])
    assert "docs/x" not in full.tree()
    assert full.conflicts() == []
