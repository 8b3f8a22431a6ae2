"""`restore`: old content back in the volume, or out of it, and never where it must not go."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from globofs.errors import (
    DiskError,
    NoSuchPath,
    TargetExists,
    UnsafeTarget,
    UsageError,
)
from globofs.store import fsio
from tests.helpers_verbs import Bench, bench, meanwhile

__all__ = ["bench"]


def now(bench: Bench) -> int:
    return max(operation.last for operation in bench.volume.operations())


@pytest.fixture
def edited(bench: Bench) -> tuple[Bench, int]:
    """A folder in two states, and the moment of the first."""
    bench.put("a/x.txt", "one")
    bench.put("a/y.bin", os.urandom(600_000))
    bench.put("b.txt", "b")
    (bench.folder / "link").symlink_to("b.txt")
    bench.add()
    first = now(bench)
    bench.put("a/x.txt", "two")
    bench.put("later", "new")
    bench.add()
    return bench, first


def test_in_the_volume_it_is_a_new_version_with_the_old_blocks(edited: tuple[Bench, int]) -> None:
    bench, first = edited
    held = sum(1 for _ in bench.volume.node.index.held_blocks())
    result = bench.volume.restore([b"docs/a/x.txt"], at=first)
    assert (result.files, result.versions, result.same) == (1, 1, 0)
    assert bench.content("docs/a/x.txt") == b"one"
    assert len(bench.volume.history(b"docs/a/x.txt")) == 3
    assert sum(1 for _ in bench.volume.node.index.held_blocks()) == held
    assert bench.volume.operations()[0].verb == "restore"


def test_a_directory_at_a_moment_keeps_what_came_later_unless_told(
    edited: tuple[Bench, int],
) -> None:
    bench, first = edited
    result = bench.volume.restore([b"docs"], at=first)
    assert (result.files, result.deleted) == (1, 0)
    assert "docs/later" in bench.tree()
    result = bench.volume.restore([b"docs"], at=first, delete=True)
    assert (result.files, result.deleted) == (0, 1)
    assert "docs/later" not in bench.tree()


@pytest.mark.parametrize("planned", [False, True], ids=["at once", "a plan made before"])
@pytest.mark.parametrize("name", ["a/x.txt", "later"], ids=["replaced", "deleted"])
def test_what_another_client_edits_meanwhile_is_not_superseded(
    edited: tuple[Bench, int], name: str, planned: bool
) -> None:
    bench, first = edited
    edit = meanwhile(bench, name, "newer")
    if planned:
        plan = bench.volume.restore([b"docs"], at=first, delete=True, dry_run=True).plan
        edit()
        bench.volume.restore([b"docs"], plan=plan)
    else:
        bench.volume.restore([b"docs"], at=first, delete=True, cancelled=edit)
    assert bench.conflicts() == [f"docs/{name}"]
    assert b"newer" in [
        b"".join(bench.volume.read(one))
        for one in bench.volume.view().heads(b"docs/" + name.encode())
        if one.kind == "file"
    ]


def test_what_appears_meanwhile_where_something_comes_back_is_not_superseded(
    edited: tuple[Bench, int],
) -> None:
    bench, first = edited
    bench.volume.rm([b"docs/b.txt"])
    (bench.folder / "b.txt").unlink()
    bench.volume.restore([b"docs/b.txt"], at=first, cancelled=meanwhile(bench, "b.txt", "theirs"))
    assert bench.conflicts() == ["docs/b.txt"]


def test_restoring_a_conflict_joins_its_sides(edited: tuple[Bench, int]) -> None:
    bench, first = edited
    bench.volume.rm([b"docs/b.txt"], cancelled=meanwhile(bench, "b.txt", "newer"))
    assert bench.conflicts() == ["docs/b.txt"]
    bench.volume.restore([b"docs/b.txt"], at=first)
    assert bench.conflicts() == []
    assert bench.content("docs/b.txt") == b"b"


def test_by_version(edited: tuple[Bench, int]) -> None:
    bench, _ = edited
    old = bench.volume.history(b"docs/a/x.txt")[1]
    bench.volume.restore([b"docs/a/x.txt"], version=old)
    assert bench.content("docs/a/x.txt") == b"one"
    with pytest.raises(UsageError):
        bench.volume.restore([b"docs/a/x.txt", b"docs/b.txt"], version=old)


def test_a_deleted_file_and_directory_come_back_as_they_were_before(
    edited: tuple[Bench, int],
) -> None:
    bench, _ = edited
    bench.volume.rm([b"docs/b.txt"])
    tree = bench.tree()
    bench.volume.rm([b"docs"])
    assert bench.tree() == {}
    bench.volume.restore([b"docs"])
    assert bench.tree() == tree, "and not what was deleted before that"
    assert bench.content("docs/a/x.txt") == b"two"
    bench.volume.restore([b"docs/b.txt"])
    assert bench.content("docs/b.txt") == b"b"


def test_dry_run_changes_nothing_and_says_what_would_be(edited: tuple[Bench, int]) -> None:
    bench, first = edited
    before = len(bench.volume.operations())
    result = bench.volume.restore([b"docs"], at=first, delete=True, dry_run=True)
    assert result.plan is not None
    actions = {os.fsdecode(i.path): i.action for i in result.plan.items}
    assert actions["docs/a/x.txt"] == "replace"
    assert actions["docs/later"] == "delete"
    assert actions["docs/b.txt"] == "same"
    assert len(bench.volume.operations()) == before
    assert bench.volume.restore([], plan=result.plan).files == 1


def test_out_it_is_an_exact_copy(edited: tuple[Bench, int]) -> None:
    bench, _ = edited
    (bench.folder / "a/x.txt").chmod(0o640)
    (bench.folder / "a").chmod(0o750)
    bench.add()
    os.utime(bench.folder / "a", ns=(1, 1_000_000_001))
    out = bench.top / "out"
    result = bench.volume.restore([b"docs"], to=str(out))
    assert (result.files, result.problems) == (5, ())
    for path in bench.folder.rglob("*"):
        there = out / "docs" / path.relative_to(bench.folder)
        assert there.is_symlink() == path.is_symlink()
        if path.is_symlink():
            assert os.readlink(there) == os.readlink(path)
            continue
        assert stat.S_IMODE(there.stat().st_mode) == stat.S_IMODE(path.stat().st_mode)
        if path.is_file():
            assert there.read_bytes() == path.read_bytes()
            assert there.stat().st_mtime_ns == path.stat().st_mtime_ns
    assert [name for name in os.listdir(out / "docs") if name.startswith(".globofs")] == []


def test_names_that_differ_by_case_list_no_directory_each(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of them in one directory took the square of their number."""
    for number in range(5):
        bench.put(f"a{number}", f"one {number}")
        bench.put(f"A{number}", f"other {number}")
    if len(list(bench.folder.iterdir())) < 10:
        pytest.skip("this disk does not tell them apart")
    bench.add()
    listed: list[str] = []
    real = os.listdir

    def listing(path: str = ".") -> list[str]:
        listed.append(str(path))
        return real(path)

    monkeypatch.setattr("globofs.sync._write_out.os.listdir", listing)
    result = bench.volume.restore([b"docs"], to=f"{tmp_path}/out/")
    assert (result.files, result.problems) == (10, ())
    assert [place for place in listed if "/out/" in place] == []
    assert (tmp_path / "out/docs/A3").read_text() == "other 3"


def test_where_one_file_lands(edited: tuple[Bench, int]) -> None:
    bench, first = edited
    bench.volume.restore([b"docs/a/x.txt"], at=first, to=str(bench.top / "name"))
    assert (bench.top / "name").read_text() == "one"
    bench.volume.restore([b"docs/a/x.txt"], to=f"{bench.top}/dir/")
    assert (bench.top / "dir" / "x.txt").read_text() == "two"
    bench.volume.restore([b"docs/a/x.txt"], to=str(bench.folder.parent / "dir2/"))
    bench.volume.restore([b""], to=str(bench.top / "all"))
    assert (bench.top / "all" / "docs" / "b.txt").read_text() == "b"


def test_never_over_what_is_there_without_force(edited: tuple[Bench, int]) -> None:
    bench, _first = edited
    target = bench.top / "name"
    target.write_text("mine")
    with pytest.raises(TargetExists):
        bench.volume.restore([b"docs/a/x.txt"], to=str(target))
    assert target.read_text() == "mine"
    bench.volume.restore([b"docs/a/x.txt"], to=str(target), force=True)
    assert target.read_text() == "two"
    out = bench.top / "out"
    (out / "docs").mkdir(parents=True)
    (out / "docs" / "b.txt").write_text("mine")
    result = bench.volume.restore([b"docs"], to=str(out))
    assert [p.path for p in result.problems] == [b"docs/b.txt"]
    assert (out / "docs" / "b.txt").read_text() == "mine"
    assert (out / "docs" / "later").read_text() == "new"
    assert bench.volume.plan_restore([b"docs"], to=str(out), force=True).outside_overwrites > 0


def test_running_it_again_goes_on_where_it_was(edited: tuple[Bench, int]) -> None:
    bench, _ = edited
    bench.volume.restore([b"docs"], to=str(bench.top / "out"))
    (bench.top / "out/docs/b.txt").unlink()
    result = bench.volume.restore([b"docs"], to=str(bench.top / "out"))
    assert result.files == 1
    assert result.problems == ()  # a symlink that leads where it should is as it is
    link = bench.top / "out" / "docs" / "link"
    link.unlink()
    link.symlink_to("elsewhere")
    result = bench.volume.restore([b"docs"], to=str(bench.top / "out"))
    assert [p.path for p in result.problems] == [b"docs/link"]  # any other is left alone
    assert os.readlink(link) == "elsewhere"


def test_never_through_a_symlink(edited: tuple[Bench, int]) -> None:
    bench, _ = edited
    trap = bench.top / "trap"
    trap.mkdir()
    out = bench.top / "out"
    (out / "docs").mkdir(parents=True)
    (out / "docs" / "a").symlink_to(trap)
    for force in (False, True):
        result = bench.volume.restore([b"docs"], to=str(out), force=force)
        assert {b"docs/a/x.txt", b"docs/a/y.bin"} <= {p.path for p in result.problems}
    assert os.listdir(trap) == []


def test_a_symlink_that_appears_after_the_plan_is_not_followed(edited: tuple[Bench, int]) -> None:
    bench, _ = edited
    out, trap = bench.top / "out", bench.top / "trap"
    trap.mkdir()
    plan = bench.volume.plan_restore([b"docs"], to=str(out))
    (out / "docs").mkdir(parents=True)
    (out / "docs" / "a").symlink_to(trap)
    result = bench.volume.restore([], plan=plan)
    assert {b"docs/a/x.txt", b"docs/a/y.bin"} <= {p.path for p in result.problems}
    assert os.listdir(trap) == []
    (bench.top / "adir" / "x.txt").mkdir(parents=True)
    with pytest.raises(UnsafeTarget):
        bench.volume.restore([b"docs/a/x.txt"], to=f"{bench.top}/adir/", force=True)


def test_setuid_is_not_restored(bench: Bench) -> None:
    bench.put("x", "1").chmod(0o4755)
    bench.add()
    bench.volume.restore([b"docs/x"], to=str(bench.top / "out"))
    assert stat.S_IMODE((bench.top / "out").stat().st_mode) == 0o755


def test_an_edit_of_what_was_restored_descends_from_it(edited: tuple[Bench, int]) -> None:
    bench, first = edited
    out = bench.top / "out"
    bench.volume.restore([b"docs"], at=first, to=str(out))
    (out / "docs" / "a" / "x.txt").write_text("made of the first")
    bench.volume.add([str(out / "docs")])
    assert bench.conflicts() == ["docs/a/x.txt"]


def test_a_full_disk_is_said_and_leaves_no_torn_file(
    edited: tuple[Bench, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = edited
    out = bench.top / "out"

    def full(op: str, args: tuple[object, ...]) -> None:
        if op == "write" and str(args[0]).startswith(str(out)):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fsio, "observer", full)
    with pytest.raises(DiskError, match="No space"):
        bench.volume.restore([b"docs"], to=str(out))
    monkeypatch.undo()
    assert [path for path in Path(out).rglob("*") if path.is_file() and not path.is_symlink()] == []


@pytest.mark.parametrize("volume", [False, True], ids=["the target's", "the volume's too"])
def test_what_was_written_before_the_disk_was_full_is_remembered(
    edited: tuple[Bench, int], monkeypatch: pytest.MonkeyPatch, volume: bool
) -> None:
    bench, _ = edited
    out = bench.top / "out"
    bench.put("a/a.txt", "old")
    bench.add()
    moment = now(bench)
    bench.put("a/a.txt", "new")
    bench.add()

    def full(op: str, args: tuple[object, ...]) -> None:
        here = str(args[0]).startswith(str(out)) and args[-1] == b"two"
        if op == "write" and (here or (volume and "/state/" in str(args[0]))):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fsio, "observer", full)
    with pytest.raises(DiskError, match="No space"):
        bench.volume.restore([b"docs"], at=moment, to=str(out))
    monkeypatch.undo()
    if volume:
        return  # nothing could be remembered, and it is the first failure that is told
    (out / "docs" / "a" / "a.txt").write_text("made of the old")
    bench.volume.add([str(out / "docs")])
    assert bench.conflicts() == ["docs/a/a.txt"]


def test_content_that_nobody_holds_is_listed_and_the_rest_restored(
    edited: tuple[Bench, int],
) -> None:
    bench, _ = edited
    version = bench.shown("docs/a/y.bin")
    for block, _ in bench.volume.blocks(version):
        with bench.volume.node.locks.adders.exclusive():
            bench.volume.node.blocks.remove([block.id])
    for name in os.listdir(bench.volume.node.staged()):
        os.unlink(f"{bench.volume.node.staged()}/{name}")
    plan = bench.volume.plan_restore([b"docs"], to=str(bench.top / "out"))
    assert plan.fetch_blocks == len(bench.volume.blocks(version))
    assert plan.fetch_bytes == 600_000
    result = bench.volume.restore([b"docs"], to=str(bench.top / "out"))
    assert result.missing == (b"docs/a/y.bin",)
    assert (bench.top / "out/docs/a/x.txt").read_text() == "two"
    assert not (bench.top / "out/docs/a/y.bin").exists()


def test_what_never_was_is_an_error_with_a_hint(bench: Bench) -> None:
    bench.put("Readme", "1")
    bench.add()
    with pytest.raises(NoSuchPath, match="did you mean docs/Readme"):
        bench.volume.restore([b"docs/readme"])


def test_delete_out_there_needs_force(edited: tuple[Bench, int]) -> None:
    bench, first = edited
    out = bench.top / "out"
    bench.volume.restore([b"docs"], at=first, to=str(out))
    (out / "docs" / "extra").write_text("1")
    bench.volume.restore([b"docs"], at=first, to=str(out), delete=True)
    assert (out / "docs" / "extra").exists()
    bench.volume.restore([b"docs"], at=first, to=str(out), delete=True, force=True)
    assert not (out / "docs" / "extra").exists()
