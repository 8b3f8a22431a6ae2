"""`add`: what is found, what becomes a version, and what never happens to what is there."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from unittest.mock import Mock

import pytest

from globofs import limits
from globofs.errors import DiskError, MassChange, UsageError
from globofs.events import Note, Problem
from globofs.store import fsio
from globofs.volume import Volume
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]


def test_a_tree_lands_under_its_own_name_with_everything_in_it(bench: Bench) -> None:
    bench.put("a/x.txt", "hello\n")
    bench.put("big.bin", os.urandom(3_000_000))
    (bench.folder / "empty").mkdir(mode=0o700)
    (bench.folder / "link").symlink_to("a/x.txt")
    result = bench.add()
    assert (result.files, result.added, result.problems) == (3, 3, ())
    assert bench.tree() == {
        "docs": "directory",
        "docs/a": "directory",
        "docs/a/x.txt": "file",
        "docs/big.bin": "file",
        "docs/empty": "directory",
        "docs/link": "symlink",
    }
    assert bench.content("docs/big.bin") == (bench.folder / "big.bin").read_bytes()
    assert bench.shown("docs/link").target == b"a/x.txt"
    assert bench.shown("docs/empty").mode == 0o700
    assert len(bench.volume.operations()) == 1


@pytest.mark.parametrize(
    ("source", "to", "where"),
    [
        ("docs", b"", "docs/x"),
        ("docs/", b"", "x"),
        ("docs", b"in", "in/docs/x"),
        ("docs/", b"in", "in/x"),
    ],
)
def test_a_slash_at_the_end_means_the_content(
    bench: Bench, source: str, to: bytes, where: str
) -> None:
    bench.put("x", "1")
    bench.volume.add([f"{bench.top}/{source}"], to=to)
    assert bench.tree()[where] == "file"


def test_a_single_file_lands_under_its_name(bench: Bench) -> None:
    path = bench.put("x", "1")
    bench.volume.add([str(path)], to=b"there")
    assert bench.content("there/x") == b"1"


def test_nothing_new_writes_nothing_and_reads_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        bench.put(f"f{n}", f"{n}")
    bench.add()
    monkeypatch.setattr(fsio, "observer", lambda op, args: pytest.fail(f"{op} {args}"))
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda p, *a, **k: opened.append(str(p)) or real(p, *a, **k))
    result = bench.add()
    assert (result.unchanged, result.versions, result.operation) == (20, 0, None)
    assert not [path for path in opened if path.startswith(str(bench.folder) + "/f")]


def test_a_file_changed_just_now_is_read_again_although_it_looks_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    path = bench.put("x", "one")
    info = path.stat()
    bench.add()
    path.write_bytes(b"two")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert bench.add().changed == 1
    assert bench.content("docs/x") == b"two"
    bench.volume.close()


def test_checksum_reads_what_looks_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put("x", "one")
    bench.add()
    memory = bench.volume.node.state.source_keys()[0]
    source = bench.volume.node.state.source(memory)
    path = bench.put("x", "two")
    from globofs.store.state import signature

    version = source.load()[b"docs/x"][-64:]
    source.change({b"docs/x": f"{signature('file', path.lstat())} {version}"})
    assert bench.add().changed == 0
    assert bench.add(checksum=True).changed == 1
    assert bench.content("docs/x") == b"two"


def test_touching_makes_no_version_and_a_mode_does(bench: Bench) -> None:
    path = bench.put("x", "one")
    bench.add()
    os.utime(path, (1, 1))
    result = bench.add()
    assert (result.changed, result.unchanged) == (0, 1)
    path.chmod(0o600)
    assert bench.add().changed == 1
    assert bench.shown("docs/x").mode == 0o600


def test_an_edit_on_an_old_copy_is_a_conflict(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    other = bench.top / "other" / "docs"
    other.mkdir(parents=True)
    (other / "x").write_text("theirs")
    bench.volume.add([str(other)])  # first add from there: takes what is shown as its base
    assert bench.content("docs/x") == b"theirs"
    assert bench.conflicts() == []
    bench.put("x", "mine, made of the first")
    bench.add()
    assert bench.conflicts() == ["docs/x"]
    assert bench.content("docs/x") == b"mine, made of the first"


def test_an_untouched_old_copy_does_not_come_back(bench: Bench) -> None:
    path = bench.put("x", "one")
    bench.add()
    other = bench.top / "other" / "docs"
    other.mkdir(parents=True)
    (other / "x").write_text("newer")
    bench.volume.add([str(other)])
    os.utime(path, (1, 1))
    assert bench.add().changed == 0
    assert bench.content("docs/x") == b"newer"
    assert bench.conflicts() == []


def test_bases_survive_the_loss_of_what_was_remembered(bench: Bench) -> None:
    bench.put("x", "one")
    bench.add()
    other = bench.top / "other" / "docs"
    other.mkdir(parents=True)
    (other / "x").write_text("theirs")
    bench.volume.add([str(other)])
    for key in bench.volume.node.state.source_keys():
        os.unlink(f"{bench.volume.node.directory}/state/sources/{key}")
    assert bench.add().changed == 0, "unchanged since this folder was last added"
    bench.put("x", "mine")
    bench.add()
    assert bench.conflicts() == ["docs/x"]


@pytest.mark.parametrize(
    "damage", ["", "x", "file", "directory 1", "file 1 2 3 4 5 6", "file - - - - - zz"]
)
def test_bases_survive_damage_to_what_was_remembered(bench: Bench, damage: str) -> None:
    bench.put("x", "one")
    bench.put("deep/y", "one")
    bench.put("gone", "one")
    bench.add()
    node = bench.volume.node
    (key,) = node.state.source_keys()
    lines = node.state.source(key).load()
    node.state.source(key).change({path: damage for path in lines if path})
    bench.put("x", "two")
    (bench.folder / "gone").unlink()
    bench.add(delete=True)
    assert bench.conflicts() == []
    assert [bench.content("docs/x"), bench.content("docs/deep/y")] == [b"two", b"one"]
    assert len(bench.volume.history(b"docs/deep/y")) == 1
    assert bench.volume.view().entry(b"docs/gone") is None


def test_a_killed_add_does_not_conflict_with_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put("x", "one")
    bench.add()
    bench.put("x", "two")
    with monkeypatch.context() as patch:
        patch.setattr("globofs.sync._sources.Memory.save", lambda self: None)
        bench.add()
    bench.put("x", "three")
    bench.add()
    assert bench.conflicts() == []
    assert bench.content("docs/x") == b"three"
    (bench.folder / "x").unlink()
    assert bench.add(delete=True).deleted == 1


def test_a_client_that_runs_on_knows_what_a_killed_add_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put("x", "one")
    bench.add()
    bench.put("x", "two")
    with monkeypatch.context() as patch:
        patch.setattr("globofs.sync._sources.Memory.save", lambda self: None)
        patch.setattr("globofs.store.unapplied.Unapplied.apply", lambda self: None)
        killed = Volume.open(bench.volume.node.volume)
        killed.add([str(bench.folder)])
        killed.close()
    bench.put("x", "three")
    bench.add()
    assert bench.conflicts() == []
    assert [bench.content("docs/x"), len(bench.volume.history(b"docs/x"))] == [b"three", 3]


def test_only_delete_deletes_and_only_what_came_from_there(bench: Bench) -> None:
    bench.put("gone", "1")
    bench.put("stays", "1")
    bench.add()
    other = bench.top / "other" / "docs"
    other.mkdir(parents=True)
    (other / "foreign").write_text("1")
    bench.volume.add([str(other)])
    (bench.folder / "gone").unlink()
    assert bench.add().deleted == 0
    assert "docs/gone" in bench.tree()
    assert bench.add(delete=True).deleted == 1
    assert set(bench.tree()) == {"docs", "docs/stays", "docs/foreign"}


def test_a_changed_ignore_list_never_deletes(bench: Bench) -> None:
    bench.put("a.log", "1")
    bench.put("sub/b.log", "1")
    bench.put("c.txt", "1")
    bench.add()
    bench.put(".globofsignore", "*.log\n")
    result = bench.add(delete=True)
    assert (result.deleted, result.skipped) == (0, 2)
    bench.put("d.log", "1")
    bench.put("sub/.globofsignore", "!b.log\n")
    bench.put("sub/b.log", "changed")
    bench.add(delete=True, exclude=["sub/.globofsignore"])
    assert "docs/d.log" not in bench.tree()
    assert "docs/sub/.globofsignore" not in bench.tree()
    assert bench.content("docs/sub/b.log") == b"changed"


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_an_unlistable_directory_is_not_deleted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Scenario 40."""
    bench.put("shut/x", "1")
    bench.put("y", "1")
    bench.add()
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("/shut"):
            raise OSError(number, os.strerror(number), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = bench.add(delete=True)
    assert [(p.path, p.warning) for p in result.problems] == [(b"docs/shut", False)]
    monkeypatch.undo()
    assert "docs/shut/x" in bench.tree()


def test_a_mass_change_asks_before_anything_is_written(bench: Bench) -> None:
    for n in range(30):
        bench.put(f"f{n}", f"{n}")
    bench.add()
    for n in range(30):
        (bench.folder / f"f{n}").unlink()
    before = len(bench.volume.operations())
    with pytest.raises(MassChange, match="30 of 30"):
        bench.add(delete=True)
    assert len(bench.volume.operations()) == before
    assert bench.add(delete=True, yes=True).deleted == 30


def test_overwriting_most_asks_touching_most_does_not(bench: Bench) -> None:
    for n in range(30):
        bench.put(f"f{n}", f"{n:04}")
    bench.add()
    for n in range(30):
        os.utime(bench.folder / f"f{n}", (1, 1))
    bench.add()
    for n in range(30):
        bench.put(f"f{n}", "XXXX")
    with pytest.raises(MassChange, match="overwritten"):
        bench.add()
    assert bench.add(yes=True).changed == 30


def test_special_files_are_skipped_with_a_warning(bench: Bench) -> None:
    """Scenario 40."""
    os.mkfifo(bench.folder / "pipe")
    bench.put("x", "1")
    result = bench.add()
    assert [(p.path, p.warning) for p in result.problems] == [(b"docs/pipe", True)]
    assert (result.skipped, result.added) == (1, 1)


def test_the_volume_is_refused_and_left_out(bench: Bench) -> None:
    with pytest.raises(UsageError, match="volume itself"):
        bench.volume.add([bench.volume.directory])
    with pytest.raises(UsageError, match="volume itself"):
        bench.volume.add([f"{bench.volume.directory}/local/root"])
    bench.put("x", "1")
    bench.volume.add([str(bench.top) + "/"])
    assert set(bench.tree()) == {"docs", "docs/x"}


def test_symlinks_are_not_followed(bench: Bench) -> None:
    """Scenario 40."""
    outside = bench.top / "outside"
    outside.mkdir()
    (outside / "secret").write_text("1")
    (bench.folder / "link").symlink_to(outside)
    bench.add()
    assert bench.tree() == {"docs": "directory", "docs/link": "symlink"}


def test_a_rename_is_seen_and_its_history_followed(bench: Bench) -> None:
    bench.put("old", os.urandom(5000))
    bench.put("other", "1")
    bench.add()
    (bench.folder / "old").rename(bench.folder / "new")
    result = bench.add(delete=True)
    assert (result.added, result.renamed, result.deleted, result.new_bytes) == (1, 1, 1, 0)
    assert [v.path for v in bench.volume.history(b"docs/new")] == [b"docs/new", b"docs/old"]


def test_a_file_that_becomes_a_directory_and_back(bench: Bench) -> None:
    """Each time the history stays, and what was below the directory is gone. (Scenario 39.)"""
    bench.put("x", "a file")
    bench.add()
    (bench.folder / "x").unlink()
    bench.put("x/inner", "below")
    bench.add(delete=True)
    assert bench.tree() == {"docs": "directory", "docs/x": "directory", "docs/x/inner": "file"}
    assert bench.content("docs/x/inner") == b"below"
    (bench.folder / "x/inner").unlink()
    (bench.folder / "x").rmdir()
    bench.put("x", "a file again")
    bench.add(delete=True)
    assert bench.tree() == {"docs": "directory", "docs/x": "file"}
    assert bench.content("docs/x") == b"a file again"
    first = bench.volume.history(b"docs/x")[-1]
    assert b"".join(bench.volume.read(first)) == b"a file"
    assert bench.conflicts() == []
    assert bench.volume.verify().damaged == 0


def test_odd_names_survive(bench: Bench) -> None:
    """Scenario 38."""
    odd = [b"\xff\xfe", b"versions", b"hashes", b"=x", b"a b%", b"new\nline"]
    for name in odd:
        with open(os.path.join(os.fsencode(bench.folder), name), "wb") as file:
            file.write(name)
    assert bench.add().problems == ()
    assert {e.path for e in bench.volume.view().walk(b"docs")} == {
        b"docs",
        *(b"docs/" + name for name in odd),
    }


def test_hard_links_become_files_of_their_own_with_their_content_once(bench: Bench) -> None:
    one = bench.put("one", b"linked" * 1000)
    os.link(one, one.with_name("two"))
    assert bench.add().added == 2
    assert len(list(bench.volume.node.index.held_blocks())) == 1
    one.with_name("two").unlink()
    bench.put("two", b"a life of its own")
    bench.add(yes=True)
    assert bench.content("docs/one") == b"linked" * 1000
    assert bench.content("docs/two") == b"a life of its own"


def test_equal_content_is_stored_once(bench: Bench) -> None:
    data = os.urandom(2_000_000)
    for n in range(4):
        bench.put(f"f{n}", data)
    assert bench.add().new_bytes == len(data)


def test_a_file_that_changes_while_it_is_read_is_read_again_and_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenario 40."""
    path = bench.put("x", "0" * 1000)
    real, count = os.read, 0

    def read(fd: int, size: int) -> bytes:
        nonlocal count
        data = real(fd, size)
        if os.readlink(f"/proc/self/fd/{fd}") == str(path):
            count += 1
            with open(path, "ab") as file:
                file.write(b"%d" % count)
        return data

    monkeypatch.setattr(os, "read", read)
    result = bench.add()
    monkeypatch.undo()
    assert [(p.path, p.warning) for p in result.problems] == [(b"docs/x", True)]
    assert count >= 3
    assert bench.add().changed == 1, "it is not taken for unchanged"
    assert bench.content("docs/x") == path.read_bytes()


def test_a_full_disk_fails_with_the_file_and_leaves_all_consistent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put("first", "1")
    bench.add()
    bench.put("big", os.urandom(4_000_000))

    def full(op: str, args: tuple[object, ...]) -> None:
        if op == "write" and "/tmp/" in str(args[0]) and "/vol/" in str(args[0]):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "observer", full)
        with pytest.raises(DiskError, match=r"docs/big.*No space"):
            bench.add()
    assert "docs/big" not in bench.tree()
    assert bench.add().added == 1
    assert bench.content("docs/big") == (bench.folder / "big").read_bytes()
    assert bench.volume.verify().damaged == 0


def test_interrupting_keeps_what_is_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globofs.sync._ingest.BATCH_RECORDS", 100)
    for n in range(1000):
        bench.put(f"f{n:04}", f"{n}")
    stop = threading.Event()
    from globofs.sync import _ingest

    def slowly(data: bytes, method: str, level: int) -> tuple[bytes, str]:
        time.sleep(0.003)
        return compress(data, method, level)

    compress = _ingest.compress
    monkeypatch.setattr(_ingest, "compress", slowly)
    monkeypatch.setattr(_ingest, "is_worth_it", lambda: False)

    def cancelled() -> bool:
        return stop.is_set()

    real = bench.volume.node.journal.append

    def append(*args: object, **options: object) -> object:
        written = real(*args, **options)  # type: ignore[arg-type]
        stop.set()
        return written

    monkeypatch.setattr(bench.volume.node.journal, "append", append)
    result = bench.volume.add([str(bench.folder)], cancelled=cancelled)
    monkeypatch.undo()
    assert result.interrupted
    assert 0 < result.added < 1000
    assert len([k for k in bench.tree().values() if k == "file"]) == result.added
    assert bench.volume.verify().damaged == 0
    again = bench.add()
    assert again.added + result.added == 1000
    assert bench.conflicts() == []


def seconds(monkeypatch: pytest.MonkeyPatch, answers: list[int]) -> None:
    """Have a second process from the first file on, and count what it says of files."""
    from globofs.sync import _ingest, _second

    class Waited(_second.Second):
        def __init__(self, method: str, level: int) -> None:
            super().__init__(method, level)
            assert self.has_spoken(20)

        def read(self, asked: list[_second.Asked]) -> list[_second.Told | None] | None:
            told = super().read(asked)
            answers.append(sum(one is not None for one in told or []))
            return told

    monkeypatch.setattr(_ingest, "is_worth_it", lambda: True)
    monkeypatch.setattr(_ingest, "Second", Waited)
    monkeypatch.setattr(_ingest, "SMALL_FILES", 20)
    monkeypatch.setattr(_ingest, "SECOND_AFTER_FILES", 1)
    monkeypatch.setattr(_ingest, "QUEUE_TASKS", 1)


def test_a_second_process_reads_small_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[int] = []
    seconds(monkeypatch, answers)
    for n in range(200):
        bench.put(f"f{n:03}", f"{n % 50} ".encode() * n)
    bench.put(os.fsdecode(b"x\xff"), b"of a name that is no text")
    (bench.folder / "f151").unlink()
    (bench.folder / "f151").symlink_to("f001")
    assert bench.add().added == 201
    assert sum(answers) > 100
    for path in sorted(bench.folder.iterdir()):
        if not path.is_symlink():
            assert bench.content(f"docs/{path.name}") == path.read_bytes()
    assert bench.volume.verify().damaged == 0
    answers.clear()
    for n in range(150):
        bench.put(f"f{n:03}", f"{n % 50} ".encode() * n)  # as it was, written again
    again = bench.add()
    assert (again.changed, again.unchanged, again.new_bytes) == (0, 201, 0)
    assert sum(answers) > 100


@pytest.mark.parametrize("program", ["raise SystemExit", "print('nonsense', flush=True)"])
def test_a_second_process_that_is_of_no_use_is_done_without(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    seconds(monkeypatch, [])
    monkeypatch.setattr("globofs.store.second._PROGRAM", program)
    for n in range(100):
        bench.put(f"f{n:03}", f"{n}")
    assert bench.add().added == 100
    assert bench.content("docs/f099") == b"99"


def test_a_second_process_that_dies_leaves_the_rest_to_us(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from globofs.sync import _ingest, _second

    seconds(monkeypatch, answers := [])
    usual = _ingest.Second

    class Dying(usual):  # type: ignore[misc, valid-type]
        def read(self, asked: list[_second.Asked]) -> list[_second.Told | None] | None:
            told = super().read(asked)
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            return told

    monkeypatch.setattr(_ingest, "Second", Dying)
    for n in range(100):
        bench.put(f"f{n:03}", f"{n}")
    assert bench.add().added == 100
    assert 0 < sum(answers) < 100
    assert bench.volume.verify().damaged == 0


@pytest.fixture
def halting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A second process that halts behind its first answer, as if its file system were dead."""
    from globofs.sync import _ingest, _second

    seconds(monkeypatch, [])
    pids: list[int] = []
    once = threading.Lock()
    usual = _ingest.Second

    class Halting(usual):  # type: ignore[misc, valid-type]
        def read(self, asked: list[_second.Asked]) -> list[_second.Told | None] | None:
            told = super().read(asked)
            if once.acquire(blocking=False):
                os.kill(self.pid, signal.SIGSTOP)
                pids.append(self.pid)
            return told

    monkeypatch.setattr(_ingest, "Second", Halting)
    for n in range(200):
        bench.put(f"f{n:03}", f"{n}")
    return pids


def test_a_second_process_that_does_not_answer_is_ended(
    bench: Bench, halting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globofs.store.second.ANSWER_SECONDS", 0.1)
    assert bench.add().added == 200
    assert not Path(f"/proc/{halting[0]}").exists()


def test_who_stops_an_add_does_not_wait_for_a_second_process_that_hangs(
    bench: Bench, halting: list[int]
) -> None:
    result = bench.add(cancelled=lambda: bool(halting))
    assert result.interrupted
    assert not Path(f"/proc/{halting[0]}").exists()


def test_a_worker_that_fails_in_its_turn_keeps_no_other_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from globofs.sync import _ingest

    seconds(monkeypatch, [])
    usual = _ingest.Second

    class Failing(usual):  # type: ignore[misc, valid-type]
        def receive(self) -> object:
            if self._sent:
                raise MemoryError
            return super().receive()

    monkeypatch.setattr(_ingest, "Second", Failing)
    for n in range(200):
        bench.put(f"f{n:03}", f"{n}")
    with pytest.raises(MemoryError):
        bench.add()


def test_what_fails_while_a_batch_is_handed_over_leaves_no_lock_and_no_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from globofs.store import staged
    from globofs.sync import _ingest

    monkeypatch.setattr(_ingest, "BATCH_RECORDS", 10)
    monkeypatch.setattr(_ingest.Ingest, "_is_used", Mock(side_effect=KeyboardInterrupt))
    for n in range(20):
        bench.put(f"f{n:03}", f"{n}")
    with pytest.raises(KeyboardInterrupt):
        bench.add()
    node = bench.volume.node
    assert staged.leftovers(node.blocks.staged) == []
    with node.locks.adders.try_exclusive() as alone:
        assert alone


def test_an_add_that_only_brings_lost_content_back_puts_it_where_peers_read(bench: Bench) -> None:
    bench.put("f", "content")
    bench.add()
    blocks = bench.volume.node.blocks
    block = sha256(b"content").digest()
    assert blocks.set_aside(block, blocks.damaged)
    again = bench.add(checksum=True)
    assert (again.unchanged, again.operation) == (1, None)
    assert blocks.find(block) is not None


def test_what_an_earlier_add_alone_knows_of_is_not_relied_on(bench: Bench) -> None:
    """Its end failed, so that the index never heard of its blocks; and others let go of them."""
    from globofs.store.node import open_node
    from globofs.sync.prune import collect

    node = bench.volume.node
    data = b"of no version yet"
    with node.blocks.batch(late=True) as batch:
        batch.add(sha256(data).digest(), len(data), data, "")
        batch.seal()
    with open_node(node.volume) as other:
        other.finish()
        assert collect(other).blocks == 1
    bench.put("f", data)
    assert bench.add().added == 1
    assert bench.content("docs/f") == data


def test_what_the_second_process_says_is_of_the_file_that_was_found(tmp_path: Path) -> None:
    from globofs.sync._reading import look

    path = tmp_path / "f"
    path.write_bytes(b"data")
    info = path.stat()
    asked = (str(path), 4, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, True)
    assert look([asked], "none", 0) == [(sha256(b"data").digest(), 4, b"data", "")]
    assert look([(*asked[:5], False)], "zstd", 1) == [(sha256(b"data").digest(), 4, b"data", None)]
    for changed in ((str(path), 3), (str(path), 4, 7), (str(path), 4, asked[2], 7), ("/none",)):
        assert look([changed + asked[len(changed) :]], "none", 0) == [None]  # type: ignore[list-item]
    (tmp_path / "link").symlink_to("f")
    assert look([(str(tmp_path / "link"), *asked[1:])], "none", 0) == [None]


def test_memory_of_a_run_is_bounded_by_the_queue(bench: Bench) -> None:
    from globofs.format.chunking import Chunker
    from globofs.sync import _ingest

    largest = Chunker("cdc", limits.BLOCK_SIZE_DEFAULT).largest
    assert (
        _ingest.QUEUE_TASKS + _ingest.WORKERS + 1
    ) * largest + 12 * limits.MIB < 100 * limits.MIB


def test_many_batches_make_one_operation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globofs.sync._ingest.BATCH_RECORDS", 50)
    monkeypatch.setattr("globofs.sync._ingest.BATCH_BYTES", 300_000)
    for n in range(400):
        bench.put(f"d{n % 7}/f{n}", os.urandom(1000))
    bench.put("large", os.urandom(6_000_000))
    result = bench.add()
    assert result.added == 401
    assert len(bench.volume.operations()) == 1
    assert bench.volume.operations()[0].versions == 401 + 8
    for name in ("docs/large", "docs/d3/f3", "docs/d0/f399"):
        if name in bench.tree():
            assert bench.content(name) == (bench.top / name).read_bytes()


def test_what_is_safe_is_said_before_it_is_put_in_place(bench: Bench) -> None:
    bench.put("x", "1")
    bench.add()
    notes = [event.text for event in bench.events if isinstance(event, Note)]
    assert any("safe" in text for text in notes)
    assert not [event for event in bench.events if isinstance(event, Problem)]


def test_a_missing_source_is_an_error_alone_and_a_problem_beside_others(bench: Bench) -> None:
    bench.put("x", "1")
    with pytest.raises(DiskError):
        bench.volume.add([f"{bench.top}/nothing"])
    result = bench.volume.add([f"{bench.top}/nothing", str(bench.folder)])
    assert len(result.problems) == 1
    assert result.added == 1


def test_survives_reopening(bench: Bench) -> None:
    bench.put("x", "1")
    bench.add()
    bench.volume.close()
    bench.volume = Volume.open(str(bench.top / "vol"))
    assert bench.content("docs/x") == b"1"
    assert bench.add().unchanged == 1
