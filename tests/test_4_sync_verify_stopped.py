"""A `verify` that was stopped is gone on with, and nothing that changed since counts as checked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from globofs.events import Note
from globofs.store.clock import SYSTEM
from globofs.sync import _verify_blocks, _verify_notes
from globofs.volume import Volume
from tests.helpers_cli import Shell
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]
FILES = 40


@pytest.fixture
def many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A node of forty blocks, each in a directory of its own, read one directory at a time; what
    was just written counts as long settled."""
    monkeypatch.setattr(_verify_notes, "RACY_NS", -(10**18))
    monkeypatch.setattr(_verify_blocks, "GROUP", 1)
    for number in range(FILES):
        bench.put(str(number), f"text {number}")
    bench.add()
    return bench


def stopped_after(directories: int) -> Callable[[], bool]:
    """A `cancelled` that is asked once for the journal, then for each directory."""
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > directories + 1

    return cancelled


def block_files(bench: Bench) -> list[Path]:
    """All blocks of the node, in the order in which they are read."""
    return sorted(path for path in Path(bench.volume.node.hashes()).rglob("*") if path.is_file())


def notes(bench: Bench) -> Path:
    return Path(bench.volume.node.run()) / "verify"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_the_next_one_goes_on_and_counts_both(many: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = many.volume.verify()
    assert whole.earlier == 0
    first = many.volume.verify(cancelled=stopped_after(25))
    assert first.interrupted
    assert notes(many).exists()

    read: list[bytes] = []
    examine = _verify_blocks._examine
    monkeypatch.setattr(
        _verify_blocks,
        "_examine",
        lambda block, data, suffix: (read.append(block), examine(block, data, suffix))[1],
    )
    heard: list[object] = []
    second = many.volume.verify(emit=heard.append)
    assert (second.earlier, len(read)) == (25, FILES - 25)
    assert (second.checked, second.bytes, second.damaged) == (whole.checked, whole.bytes, 0)
    (said,) = [event.text for event in heard if isinstance(event, Note)]
    assert said.startswith("going on with the check begun on 20")
    progress = [event.files for event in heard if getattr(event, "phase", "") == "blocks"]
    assert progress == sorted(progress)
    assert progress[-1] == FILES

    assert not notes(many).exists(), "what has ended is not gone on with"
    assert many.volume.verify().earlier == 0


def test_what_was_touched_since_is_read_again(many: Bench) -> None:
    """Found, repaired, silent; also where whoever spoiled it put the file's time back."""
    many.volume.verify(cancelled=stopped_after(25))
    spoiled = block_files(many)[3]
    info = spoiled.stat()
    flip(spoiled)
    os.utime(spoiled, ns=(info.st_atime_ns, info.st_mtime_ns))
    found = many.volume.verify(repair=True)
    assert (found.earlier, found.damaged, found.repaired) == (24, 1, 1)
    assert (many.volume.verify().damaged, many.volume.verify().problems) == (0, ())


def test_what_came_beside_it_since_is_read_too(many: Bench) -> None:
    many.volume.verify(cancelled=stopped_after(FILES))
    spoiled = block_files(many)[3]
    other = spoiled.with_name("0" * 60 + ".zst")
    other.write_bytes(b"no block at all")
    again = many.volume.verify()
    assert again.earlier == FILES - 1
    assert [problem.reason.split(":")[0] for problem in again.problems] == [
        f"block {spoiled.parent.parent.name}{spoiled.parent.name}{'0' * 12} is damaged"
    ]


def test_damage_that_was_found_before_it_was_stopped_is_not_forgotten(many: Bench) -> None:
    flip(block_files(many)[3])
    first = many.volume.verify(cancelled=stopped_after(25))
    assert first.remaining == 1
    second = many.volume.verify()
    assert (second.earlier, second.remaining) == (24, 1)
    assert "before, and is not here again" in second.problems[0].reason
    assert second.problems[0].path.startswith(b"docs/")
    assert many.volume.verify(repair=True).remaining == 0
    assert (many.volume.verify().damaged, many.volume.verify().problems) == (0, ())


def test_one_that_could_not_be_read_is_asked_again(
    many: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_file = _verify_blocks.fsio.read_file
    broken = str(block_files(many)[3])

    def failing(path: str, limit: int) -> bytes:
        if path == broken:
            raise OSError(5, "Input/output error", path)
        return read_file(path, limit)

    with monkeypatch.context() as patch:
        patch.setattr(_verify_blocks.fsio, "read_file", failing)
        assert many.volume.verify(cancelled=stopped_after(25)).damaged == 1
    done = many.volume.verify()
    assert (done.earlier, done.damaged) == (24, 0)


def test_restart_reads_all_again(many: Bench) -> None:
    many.volume.verify(cancelled=stopped_after(25))
    assert many.volume.verify(restart=True, cancelled=stopped_after(1)).earlier == 0
    assert many.volume.verify().earlier == 1, "what was noted before the restart is gone"


def test_one_that_is_too_old_begins_anew(many: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    many.volume.verify(cancelled=stopped_after(25))
    later = SYSTEM.now_ns() + _verify_notes.AGE_NS + 10**9
    heard: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(type(SYSTEM), "now_ns", lambda _: later)
        assert many.volume.verify(emit=heard.append, cancelled=stopped_after(2)).earlier == 0
    assert [event.text for event in heard if isinstance(event, Note)] == [
        "the check that was stopped began too long ago: this one begins anew"
    ]
    assert many.volume.verify().earlier == 0, "and one that begins in the future is no better"


def test_a_sample_neither_goes_on_nor_disturbs(many: Bench) -> None:
    many.volume.verify(cancelled=stopped_after(25))
    assert many.volume.verify(sample=0.5).earlier == 0
    assert many.volume.verify().earlier == 25


@pytest.mark.parametrize("spoil", ["torn", "zeros", "nonsense", "gone"])
def test_notes_that_were_spoiled_cost_only_time(many: Bench, spoil: str) -> None:
    many.volume.verify(cancelled=stopped_after(25))
    data = notes(many).read_bytes()
    left = {
        "torn": data[:-10],
        "zeros": data[:-10] + bytes(10),
        "nonsense": b"\xff\n" + data,
        "gone": None,
    }[spoil]
    if left is None:
        notes(many).unlink()
    else:
        notes(many).write_bytes(left)
    flip(block_files(many)[0])
    done = many.volume.verify(cancelled=stopped_after(30))
    assert (done.earlier, done.damaged) == (0 if spoil in ("nonsense", "gone") else 23, 1)
    assert many.volume.verify(repair=True).remaining == 0
    assert many.volume.verify().problems == ()


def test_what_was_just_written_is_not_noted(many: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later change might bear the same time."""
    monkeypatch.setattr(_verify_notes, "RACY_NS", 3 * 10**9)
    many.volume.verify(cancelled=stopped_after(25))
    assert not notes(many).exists()


def test_after_another_boot_only_what_is_surely_on_the_disk_counts(
    many: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    many.volume.verify(cancelled=stopped_after(25))
    monkeypatch.setattr(_verify_notes, "boot_id", lambda: "00c0ffee")
    known = [bytes.fromhex(path.parent.parent.name) for path in block_files(many)[:3]]
    assert len(known) == 3
    ids = [block for block, _ in many.volume.node.blocks.iter_held()]
    sql = "UPDATE block SET synced = 0 WHERE id = ?"
    many.volume.node.index.write(lambda db: db.executemany(sql, [(one,) for one in ids[:3]]))
    assert many.volume.verify().earlier == 22


def test_where_nothing_may_be_written_it_is_not_noted_and_damage_counts(many: Bench) -> None:
    flip(block_files(many)[3])
    with Volume.open(many.volume.directory, readonly=True) as reader:
        assert reader.verify(cancelled=stopped_after(25)).damaged == 1
        again = reader.verify()
        assert (again.earlier, again.damaged, again.remaining) == (0, 1, 1)
    assert not notes(many).exists()


def test_sigkill(many: Bench) -> None:
    """Killed for real in the middle of it; damage that was found before it is not forgotten."""
    flip(block_files(many)[3])
    killed = f"""
import os, signal
from globofs.sync import _verify_blocks, _verify_notes
from globofs.volume import Volume
_verify_notes.RACY_NS, _verify_notes.FLUSH_SECONDS, _verify_blocks.GROUP = -(10**18), 0, 1
def emit(event):
    if getattr(event, "files", 0) == 25:
        os.kill(os.getpid(), signal.SIGKILL)
Volume.open({many.volume.directory!r}).verify(emit=emit)
"""
    done = subprocess.run([sys.executable, "-c", killed])
    assert done.returncode == -signal.SIGKILL
    found = many.volume.verify(repair=True)
    assert (found.earlier, found.damaged, found.repaired) == (24, 1, 1)
    again = many.volume.verify()
    assert (again.earlier, again.damaged, again.problems) == (0, 0, ())


def test_the_command_says_so(many: Bench) -> None:
    here = Shell(Path(many.volume.directory))
    many.volume.verify(cancelled=stopped_after(25))
    done = here("verify")
    assert "going on with the check begun on 20" in done.err
    assert "(25 of them before the check was stopped)" in done.err
    many.volume.verify(cancelled=stopped_after(25))
    assert here("verify", "--restart", "--json").json["earlier"] == 0
