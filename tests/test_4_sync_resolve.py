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
        operation.commit([Draft(b"docs/x.txt", "deleted", parents=(base.parents[-1],))])
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


def test_several_are_settled_in_one_operation_that_one_undo_reverses(torn: Bench) -> None:
    torn.put("y.txt", "base\n")
    torn.add()
    (torn.top / "other" / "docs" / "y.txt").write_text("theirs\n")
    torn.volume.add([str(torn.top / "other" / "docs")])
    torn.put("y.txt", "mine\n")
    torn.add()
    found = {conflict.path: conflict for conflict in torn.volume.conflicts()}
    assert set(found) == {b"docs/x.txt", b"docs/y.txt"}
    chosen = {path: conflict.sides[1].id for path, conflict in found.items()}
    assert torn.volume.resolve(list(chosen), version=chosen).versions == 2
    assert torn.conflicts() == []
    assert torn.content("docs/y.txt") == torn.content("docs/x.txt") == b"theirs\n"
    torn.volume.undo()
    assert torn.conflicts() == ["docs/x.txt", "docs/y.txt"]
    with pytest.raises(UsageError):
        torn.volume.resolve(list(chosen), version={b"docs/x.txt": chosen[b"docs/x.txt"]})


def test_the_version_that_both_sides_were_made_from(torn: Bench) -> None:
    (conflict,) = torn.volume.conflicts()
    common = torn.volume.common_version(conflict.sides)
    assert common is not None
    assert b"".join(torn.volume.read(common)) == b"base\n"
    assert torn.volume.common_version([]) is None
    assert torn.volume.common_version([conflict.sides[0], common]) == common
