"""Back to the folder that a file came from: what lies there now is kept as a version first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from globofs.errors import UsageError
from globofs.sync.results import RestoreResult
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]


@pytest.fixture
def worked(bench: Bench) -> Bench:
    """`docs/x.txt` in two versions, and edited since without an add."""
    bench.put("x.txt", "one\n")
    bench.put("deep/y.txt", "y one\n")
    bench.add()
    bench.put("x.txt", "two, longer\n")
    bench.add()
    bench.put("x.txt", "three, not added yet\n")
    return bench


def back(bench: Bench, path: str, number: int = -1) -> RestoreResult:
    """`path` as its oldest version was, to its folder."""
    versions = bench.volume.history(path.encode())
    return bench.volume.restore_back([path.encode()], version=versions[number])


def folder(bench: Bench) -> Path:
    place = bench.volume.came_from(b"docs")
    assert place is not None
    return Path(place)


def test_the_folder_and_the_volume_hold_the_old_content(worked: Bench) -> None:
    result = back(worked, "docs/x.txt")
    assert not result.problems
    assert (result.files, result.versions) == (1, 1)
    assert (folder(worked) / "x.txt").read_text() == "one\n"
    assert worked.content("docs/x.txt") == b"one\n"
    history = [b"".join(worked.volume.read(v)) for v in worked.volume.history(b"docs/x.txt")]
    assert history == [b"one\n", b"three, not added yet\n", b"two, longer\n", b"one\n"]
    assert worked.add().versions == 0
    worked.volume.undo()
    assert worked.content("docs/x.txt") == b"three, not added yet\n"


def test_what_is_edited_there_later_descends_from_it(worked: Bench) -> None:
    back(worked, "docs/x.txt")
    worked.put("x.txt", "four, after all of that\n")
    worked.add()
    assert worked.conflicts() == []
    assert worked.content("docs/x.txt") == b"four, after all of that\n"


def test_a_whole_directory_as_of_a_moment(worked: Bench) -> None:
    moment = worked.volume.history(b"docs/x.txt")[-1].time
    worked.put("later.txt", "made later\n")
    os.unlink(folder(worked) / "deep" / "y.txt")
    plan = worked.volume.plan_back([b"docs"], at=moment)
    assert plan.outside_overwrites == 1
    result = worked.volume.restore_back([b"docs"], at=moment, plan=plan)
    assert not result.problems
    assert (folder(worked) / "x.txt").read_text() == "one\n"
    assert (folder(worked) / "deep" / "y.txt").read_text() == "y one\n"
    assert (folder(worked) / "later.txt").read_text() == "made later\n"
    assert worked.content("docs/later.txt") == b"made later\n"


def test_what_could_not_be_added_is_not_replaced(worked: Bench) -> None:
    (folder(worked) / ".globofsignore").write_text("x.txt\n")
    moment = worked.volume.history(b"docs/x.txt")[-1].time
    result = worked.volume.restore_back([b"docs"], at=moment)
    assert (folder(worked) / "x.txt").read_text() == "three, not added yet\n"
    assert any("could not be added" in problem.reason for problem in result.problems)


def test_a_deleted_file_comes_back_to_both(worked: Bench) -> None:
    worked.add()
    os.unlink(folder(worked) / "x.txt")
    worked.volume.rm([b"docs/x.txt"])
    result = worked.volume.restore_back([b"docs/x.txt"])
    assert not result.problems
    assert (folder(worked) / "x.txt").read_text() == "three, not added yet\n"
    assert worked.content("docs/x.txt") == b"three, not added yet\n"


def test_what_came_from_nowhere_here_is_said(worked: Bench) -> None:
    worked.volume.mv(b"docs/deep", b"moved")
    assert worked.volume.came_from(b"moved") is None
    with pytest.raises(UsageError, match="came from no folder"):
        worked.volume.plan_back([b"moved"])
