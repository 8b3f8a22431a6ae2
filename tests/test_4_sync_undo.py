"""`undo` and `redo`."""

from __future__ import annotations

import os

import pytest

from globofs.errors import NothingToUndo
from globofs.tui import words
from globofs.tui.model import timeline
from globofs.volume import Volume
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]


def states(bench: Bench) -> dict[str, bytes]:
    return {p: bench.content(p) for p, kind in bench.tree().items() if kind == "file"}


def test_undo_and_redo_walk_through_everything_that_was_done(bench: Bench) -> None:
    seen = [states(bench)]
    bench.put("x", "one")
    bench.put("d/y", "y")
    bench.add()
    seen.append(states(bench))
    bench.put("x", "two")
    bench.add()
    seen.append(states(bench))
    bench.volume.mv(b"docs/d", b"docs/e")
    seen.append(states(bench))
    bench.volume.rm([b"docs/x"])
    seen.append(states(bench))
    for expected in reversed(seen[:-1]):
        bench.volume.undo()
        assert states(bench) == expected
    with pytest.raises(NothingToUndo):
        bench.volume.undo()
    for expected in seen[1:]:
        bench.volume.redo()
        assert states(bench) == expected
    with pytest.raises(NothingToUndo):
        bench.volume.redo()
    bench.volume.undo()
    assert states(bench) == seen[-2]
    bench.volume.undo()
    assert states(bench) == seen[-3]


def test_operations_know_what_they_took_back(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    bench.volume.rm([b"docs/x"])
    bench.volume.undo()
    bench.volume.redo()
    bench.volume.undo()
    said = [words.operation(op, count_too=False) for op in bench.volume.operations(limit=5)]
    deleted = "deleted docs/x"
    assert said == [
        f"undid: redid: {deleted}", f"redid: {deleted}", f"undid: {deleted}", deleted, "added docs",
    ]  # fmt: skip


def test_what_brought_a_version_back_is_said(bench: Bench) -> None:
    for text in ("one", "three"):
        bench.put("x", text)
        bench.add()
    first = bench.volume.history(b"docs/x")[-1]
    bench.volume.restore([b"docs/x"], version=first)
    bench.volume.undo()
    bench.volume.rm([b"docs/x"])
    bench.volume.undo()
    moments = timeline.read(bench.volume, b"docs/x", False).moments
    times = {moment.time: place for place, moment in enumerate(moments)}
    found = [(m.change, times.get(m.like or 0)) for m in moments]
    assert found == [
        ("undo, as", 2), ("deleted", None), ("undo, as", 4), ("back to", 5), ("+2 B", None),
        ("first version", None),
    ]  # fmt: skip


def test_it_works_across_restarts(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    bench.volume.rm([b"docs/x"])
    bench.volume.close()
    os.unlink(f"{bench.top}/vol/local/index.sqlite")
    bench.volume = Volume.open(f"{bench.top}/vol")
    bench.volume.undo()
    assert bench.content("docs/x") == b"one"
    bench.volume.close()
    bench.volume = Volume.open(f"{bench.top}/vol")
    bench.volume.redo()
    assert "docs/x" not in bench.tree()


def test_paths_changed_since_are_left_alone_and_listed(bench: Bench) -> None:
    bench.put("x", "one")
    bench.put("y", "one")
    bench.add()
    bench.put("x", "two")
    bench.put("y", "two")
    bench.add(yes=True)
    operation = bench.volume.operations()[0].key
    bench.put("y", "three")
    bench.add()
    result = bench.volume.undo(operation)
    assert (result.versions, result.skipped) == (1, (b"docs/y",))
    assert states(bench) == {"docs/x": b"one", "docs/y": b"three"}


def test_something_new_ends_the_redo(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    bench.volume.rm([b"docs/x"])
    bench.volume.undo()
    bench.put("y", "1")
    bench.add()
    with pytest.raises(NothingToUndo):
        bench.volume.redo()
    bench.volume.undo()
    assert "docs/y" not in bench.tree()
    bench.volume.redo()
    assert "docs/y" in bench.tree()


def test_undo_of_a_restore(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    first = bench.volume.operations()[0].last
    bench.put("x", "two")
    bench.add()
    bench.volume.restore([b"docs"], at=first)
    assert bench.content("docs/x") == b"one"
    bench.volume.undo()
    assert bench.content("docs/x") == b"two"
    bench.volume.redo()
    assert bench.content("docs/x") == b"one"


def test_what_was_settled_is_in_conflict_again_and_can_be_settled_again(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    os.makedirs(f"{bench.top}/other", exist_ok=True)
    bench.volume.restore([b"docs"], to=f"{bench.top}/other")
    with open(f"{bench.top}/other/docs/x", "w") as file:
        file.write("theirs, longer")
    bench.volume.add([f"{bench.top}/other/docs"])
    bench.put("x", "ours, the longest")
    bench.add()
    (conflict,) = bench.volume.conflicts()
    sides = {bytes(side.content) for side in conflict.sides}
    bench.volume.resolve([b"docs/x"], keep_both=True)
    assert len(bench.tree()) == 3
    settled = states(bench)
    assert len(settled) == 2
    bench.volume.undo()
    (again,) = bench.volume.conflicts()
    assert {bytes(side.content) for side in again.sides} == sides
    assert list(states(bench)) == ["docs/x"]
    bench.volume.redo()
    assert not bench.volume.conflicts()
    assert states(bench) == settled


def test_an_undo_that_changes_nothing_does_not_hold_up_the_next(bench: Bench) -> None:
    bench.put("x", "one")
    bench.put("y", "one")
    bench.add()
    bench.put("x", "two")
    bench.add()
    bench.volume.rm([b"docs/y"])
    latest = bench.volume.operations()[0].key
    bench.put("y", "three")
    bench.put("x", "three")
    bench.add(yes=True)
    bench.volume.undo()  # the add
    bench.volume.restore([b"docs/y"])
    bench.volume.mv(b"docs/y", b"docs/z")
    bench.volume.undo(latest)  # docs/y was changed since: deleted by the mv, and not by this
    first = bench.volume.undo()
    assert first.undone is not None
    second = bench.volume.undo()
    assert second.undone is not None
    assert second.undone != first.undone


def test_an_edit_after_an_undone_deletion_is_no_conflict(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    bench.volume.rm([b"docs/x"])
    bench.volume.undo()
    bench.put("x", "edited after that")
    bench.add()
    assert not bench.volume.conflicts()
    assert states(bench) == {"docs/x": b"edited after that"}
