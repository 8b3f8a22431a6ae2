"""`rm` and `mv`."""

from __future__ import annotations

import pytest

from globofs.errors import NoSuchPath, TargetExists, UsageError
from tests.helpers_verbs import Bench, bench

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
