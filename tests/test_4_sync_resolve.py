"""Conflicts, and how they are settled."""

from __future__ import annotations

import pytest

from globofs.errors import NoSuchPath, NoSuchVersion, UsageError
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]


@pytest.fixture
def torn(bench: Bench) -> Bench:
    """`docs/x.txt` with two sides: `mine` (shown) and `theirs`."""
    bench.put("x.txt", "base\n")
    bench.add()
    other = bench.top / "other" / "docs"
    other.mkdir(parents=True)
    (other / "x.txt").write_text("theirs\n")
    bench.volume.add([str(other)])
    bench.put("x.txt", "mine\n")
    bench.add()
    assert bench.conflicts() == ["docs/x.txt"]
    return bench


def test_the_winner_comes_first(torn: Bench) -> None:
    (conflict,) = torn.volume.conflicts()
    assert conflict.sides[0] == conflict.winner
    assert [b"".join(torn.volume.read(side)) for side in conflict.sides] == [b"mine\n", b"theirs\n"]


def test_one_side(torn: Bench) -> None:
    (conflict,) = torn.volume.conflicts()
    result = torn.volume.resolve([b"docs/x.txt"], version=conflict.sides[1].id)
    assert result.versions == 1
    assert torn.conflicts() == []
    assert torn.content("docs/x.txt") == b"theirs\n"
    assert set(torn.shown("docs/x.txt").parents) == {side.id for side in conflict.sides}


def test_the_shown_side_too_makes_a_version_that_ends_the_conflict(torn: Bench) -> None:
    (conflict,) = torn.volume.conflicts()
    assert torn.volume.resolve([b"docs/x.txt"], version=conflict.winner.id).versions == 1
    assert torn.conflicts() == []
    assert torn.content("docs/x.txt") == b"mine\n"


def test_a_merged_file(torn: Bench) -> None:
    merged = torn.top / "merged"
    merged.write_text("mine and theirs\n")
    torn.volume.resolve([b"docs/x.txt"], with_file=str(merged))
    assert torn.conflicts() == []
    assert torn.content("docs/x.txt") == b"mine and theirs\n"


def test_both_under_two_names(torn: Bench) -> None:
    result = torn.volume.resolve([b"docs/x.txt"], keep_both=True)
    assert result.versions == 2
    assert torn.conflicts() == []
    (beside,) = [path for path in torn.tree() if "(" in path]
    assert beside.startswith("docs/x (home, 20")
    assert beside.endswith("Z).txt")
    assert torn.content("docs/x.txt") == b"mine\n"
    assert torn.content(beside) == b"theirs\n"
    assert len(torn.volume.operations(limit=1)) == 1
    torn.volume.undo()
    assert beside not in torn.tree()


def test_a_deleted_side_leaves_nothing_beside(torn: Bench) -> None:
    (conflict,) = torn.volume.conflicts()
    torn.volume.resolve([b"docs/x.txt"], version=conflict.winner.id)
    base = torn.shown("docs/x.txt")
    from globofs.store.commit import Draft

    with torn.volume.node.operation("rm") as operation:
        operation.commit([Draft(b"docs/x.txt", "deleted", parents=(base.parents[0],))])
    assert torn.conflicts() == ["docs/x.txt"]
    assert torn.volume.resolve([b"docs/x.txt"], keep_both=True).versions == 1
    assert torn.conflicts() == []
    assert torn.content("docs/x.txt") == b"mine\n"


def test_what_is_wrong_is_said(torn: Bench) -> None:
    with pytest.raises(NoSuchVersion):
        torn.volume.resolve([b"docs/x.txt"], version=b"\0" * 32)
    with pytest.raises(NoSuchPath):
        torn.volume.resolve([b"docs/nothing"], keep_both=True)
    with pytest.raises(UsageError):
        torn.volume.resolve([b"docs/x.txt"])
    assert torn.conflicts() == ["docs/x.txt"]
    torn.volume.resolve([b"docs/x.txt"], keep_both=True)
    again = torn.volume.resolve([b"docs/x.txt"], keep_both=True)
    assert again.versions == 0
    assert [problem.warning for problem in again.problems] == [True]
