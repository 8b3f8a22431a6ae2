"""Journals: what was appended survives, what is torn is skipped, numbers decide."""

from __future__ import annotations

import errno
import os
import random
from functools import partial
from pathlib import Path

import pytest

from globofs import limits
from globofs.format.record import FIRST_PREV, Record, encode_record
from globofs.store.clock import SYSTEM
from globofs.store.journal import Journal, scan_file
from globofs.store.journal_tail import EMPTY, Last
from tests.helpers_disk import Fault, Recording, run_killed

OWN = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
THIRD = "33333333-3333-4333-8333-333333333333"
START = 1_700_000_000_000_000_000


class StubbornClock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.now = START

    def now_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1e9

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def chain(
    count: int, origin: str = OWN, after: Last = EMPTY, payload: bytes = b"text\n"
) -> tuple[list[bytes], Last]:
    """`count` frames that follow `after`, and the newest of them."""
    frames: list[bytes] = []
    seq, prev = after
    for _ in range(count):
        seq += 1
        frame, prev = encode_record(
            Record(seq, origin, prev, seq, "note", START + seq, (), payload)
        )
        frames.append(frame)
    return frames, Last(seq, prev)


def open_journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "upstream"), OWN, SYSTEM)


def numbers(journal: Journal, origin: str = OWN, after: int = 0) -> list[int]:
    return [found.record.seq for found in journal.read_from(origin, after)]


def put(directory: str, name: str, data: bytes) -> Path:
    """A file of a journal as somebody else left it."""
    os.makedirs(directory, exist_ok=True)
    path = Path(directory, name)
    path.write_bytes(data)
    return path


# --- appending ----------------------------------------------------------------------------------


def test_an_empty_journal_begins_with_zeros(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    assert journal.last() == EMPTY == (0, FIRST_PREV)
    assert numbers(journal) == []
    assert journal.files(OWN) == [f"{tmp_path}/upstream/{OWN}/updates/latest"]


def test_what_is_appended_is_read_by_anybody(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    first, last = chain(5)
    journal.append(first)
    assert journal.last() == last
    more, newest = chain(3, after=last)
    journal.append(more, newest)
    assert journal.last() == newest == open_journal(tmp_path).last()
    assert numbers(open_journal(tmp_path)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert numbers(journal, after=6) == [7, 8]
    assert [found.raw for found in journal.read_from(OWN, 0)] == first + more
    assert list(journal.damage(OWN)) == []


def test_the_last_record_is_found_though_another_process_appended(tmp_path: Path) -> None:
    ours, theirs = open_journal(tmp_path), open_journal(tmp_path)
    frames, last = chain(2)
    ours.append(frames, last)
    more, newest = chain(2, after=last)
    theirs.append(more, newest)
    assert ours.last() == newest


def test_the_last_record_is_found_behind_large_ones_and_garbage(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(2, payload=b"x" * 900_000 + b"\n")
    journal.append(frames)
    path = Path(journal.files(OWN)[-1])
    path.write_bytes(
        path.read_bytes() + b"\nglobofs-record 200 " + b"0" * 64 + b"\n" + b"\0" * 5000
    )
    assert open_journal(tmp_path).last() == last


def test_a_segment_is_closed_at_its_size_and_reading_goes_on_through_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 2000)
    journal = open_journal(tmp_path)
    last = EMPTY
    for _ in range(30):
        frames, last = chain(2, after=last)
        journal.append(frames, last)
        assert journal.last() == last
    assert len(journal.files(OWN)) > 5
    assert numbers(journal) == list(range(1, 61))
    assert numbers(journal, after=31) == list(range(32, 61))
    assert open_journal(tmp_path).last() == last


def test_a_clock_that_stands_or_goes_back_never_reuses_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 1)
    clock = StubbornClock()
    journal = Journal(str(tmp_path / "upstream"), OWN, clock)
    last = EMPTY
    for _ in range(5):
        frames, last = chain(1, after=last)
        journal.append(frames, last)
        clock.now -= 10_000
    assert len(journal.files(OWN)) == 6
    assert numbers(journal) == [1, 2, 3, 4, 5]
    assert Journal(str(tmp_path / "upstream"), OWN, clock).last() == last


@pytest.mark.parametrize("name", ["0999.000000000", "99999999999.000000000", "²1.000000000"])
def test_a_strange_name_beside_the_segments_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No time, or one that no clock tells: what is durable by then must not be said to have failed."""
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 1)
    journal = open_journal(tmp_path)
    put(journal.directory_of(OWN), name, b"")
    last = EMPTY
    for _ in range(3):
        frames, last = chain(1, after=last)
        journal.append(frames, last)
    assert numbers(open_journal(tmp_path)) == [1, 2, 3]
    assert open_journal(tmp_path).last() == last


def test_when_closing_a_segment_fails_writing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 1)
    journal = open_journal(tmp_path)
    frames, last = chain(1)
    with Fault(OSError(errno.EIO, "bad"), "rename"):
        journal.append(frames, last)
    more, newest = chain(1, after=last)
    journal.append(more, newest)
    assert numbers(journal) == [1, 2]


# --- failing disks ------------------------------------------------------------------------------


def test_a_full_disk_takes_nothing_half(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(3)
    journal.append(frames, last)
    more, newest = chain(3, after=last)
    with Fault(OSError(errno.ENOSPC, "full"), "write"), pytest.raises(OSError, match="full"):
        journal.append(more, newest)
    assert journal.last() == last
    journal.append(more, newest)
    assert numbers(journal) == [1, 2, 3, 4, 5, 6]
    assert list(journal.damage(OWN)) == []


def test_after_a_failed_sync_everything_is_said_again_in_a_new_segment(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(3)
    journal.append(frames, last)
    more, newest = chain(2, after=last)
    with Recording(tmp_path / "upstream") as recording:
        fails = [True]
        hear = recording._hear

        def fail_once(name: str, args: tuple[object, ...]) -> None:
            if name == "fsync" and fails:
                fails.clear()
                raise OSError(errno.EIO, "bad")
            hear(name, args)

        from globofs.store import fsio

        fsio.observer = fail_once
        journal.append(more, newest)
    assert journal.last() == newest
    closed, latest = (Path(path) for path in journal.files(OWN))
    assert [item.record.seq for item in scan_file(str(latest))] == [4, 5]  # type: ignore[union-attr]
    assert latest.read_bytes() == b"\n" + b"".join(more), "verbatim"
    assert closed.name != "latest"
    assert numbers(journal) == [1, 2, 3, 4, 5]
    # And that is durable, whatever became of the closed segment's new end.
    recording.model_at(len(recording.ops)).write_out(
        str(tmp_path / "left"),
        "power",
        None,  # type: ignore[arg-type]
    )
    assert numbers(Journal(str(tmp_path / "left"), OWN, SYSTEM)) == [1, 2, 3, 4, 5]


def test_when_syncing_never_works_the_records_are_taken_back(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(3)
    journal.append(frames, last)
    more, newest = chain(2, after=last)
    with (
        Fault(OSError(errno.EIO, "bad"), "fsync", times=99),
        pytest.raises(OSError, match="bad"),
    ):
        journal.append(more, newest)
    assert journal.last() == last
    assert numbers(journal) == [1, 2, 3]
    again, newest = chain(4, after=last, payload=b"others\n")
    journal.append(again, newest)
    assert numbers(journal) == [1, 2, 3, 4, 5, 6, 7]
    assert list(journal.damage(OWN)) == []


def test_a_disk_that_turned_read_only_reports_the_first_error(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(1)
    journal.append(frames, last)

    def refuse(name: str, args: tuple[object, ...]) -> None:
        if name == "fsync":
            raise OSError(errno.EIO, "bad")
        if name == "rename":
            raise OSError(errno.EROFS, "read only")

    from globofs.store import fsio

    fsio.observer = refuse
    try:
        with pytest.raises(OSError, match="bad"):
            journal.append(chain(1, after=last)[0])
    finally:
        fsio.observer = None
    assert journal.last() == last


# --- crashes ------------------------------------------------------------------------------------


def test_whatever_append_reported_survives_power_loss_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 900)
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    reported: list[tuple[int, int]] = []  # operations so far, newest number
    last = EMPTY
    with Recording(upstream) as recording:
        journal = open_journal(tmp_path)
        for _ in range(4):
            frames, last = chain(2, after=last)
            journal.append(frames, last)
            reported.append((recording.mark(), last.seq))
    for crash in recording.crashes(seeds=4):
        promised = max((seq for mark, seq in reported if mark <= crash.at), default=0)
        after = Journal(crash.materialise(tmp_path / "after" / crash.name), OWN, SYSTEM)
        told = f"{crash.mode} before {crash.before}"
        found = numbers(after)
        assert found == list(range(1, len(found) + 1)), told
        assert len(found) >= promised, told
        # The next client goes on where it ends, and nothing that was torn harms that.
        newest = after.last()
        assert newest.seq == len(found), told
        more, newest = chain(2, after=newest)
        after.append(more, newest)
        assert numbers(after) == list(range(1, newest.seq + 1)), told


def test_killed_at_any_step_of_an_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 500)
    frames, last = chain(3)
    at = 0
    while True:
        place = tmp_path / str(at)
        killed = run_killed(partial(open_journal(place).append, frames, last), at)
        journal = open_journal(place)
        if journal.last() == EMPTY:
            journal.append(frames, last)
        assert journal.last() == last
        assert numbers(journal) == [1, 2, 3]
        if not killed:
            break
        at += 1
    assert at > 4


@pytest.mark.parametrize("tail", [b"\0" * 300, b"globofs-rec", b"\nglobofs-record 120 ab", b"x"])
def test_a_torn_tail_harms_neither_what_was_before_nor_what_follows(
    tmp_path: Path, tail: bytes
) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(3)
    journal.append(frames)
    path = Path(journal.files(OWN)[-1])
    path.write_bytes(path.read_bytes() + tail)
    again = open_journal(tmp_path)
    assert again.last() == last
    again.append(*chain(2, after=last))
    assert numbers(again) == [1, 2, 3, 4, 5]
    assert len(list(again.damage(OWN))) == 1


def test_torn_at_every_byte(tmp_path: Path) -> None:
    """Scenario 3."""
    frames, _ = chain(3)
    data = b"\n" + b"".join(frames)
    ends = [1 + len(b"".join(frames[:count])) for count in range(4)]
    for cut in range(len(data)):
        place = tmp_path / str(cut)
        journal = open_journal(place)
        put(journal.directory_of(OWN), "latest", data[:cut])
        whole = sum(cut >= end for end in ends[1:])
        assert journal.last().seq == whole
        assert numbers(journal) == list(range(1, whole + 1))


# --- reading what others brought ----------------------------------------------------------------


def test_repeated_reordered_and_overlapping_pieces_are_read_once_in_order(tmp_path: Path) -> None:
    """Scenario 3."""
    journal = open_journal(tmp_path)
    frames, _ = chain(12, OTHER)
    mixed = frames[6:9] + frames[:4] + frames[2:7]
    put(journal.directory_of(OTHER), "latest", b"\n".join(mixed))
    put(journal.directory_of(OTHER, THIRD), "1700000000.000000001", b"\n" + b"".join(frames[8:12]))
    put(journal.directory_of(OTHER, OWN), "latest", b"".join(frames[3:6]))
    assert [found.raw for found in journal.read_from(OTHER, 0)] == frames
    assert numbers(journal, OTHER, after=9) == [10, 11, 12]


def test_a_damaged_copy_is_replaced_by_a_whole_one(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, _ = chain(5, OTHER)
    spoilt = bytearray(b"".join(frames))
    spoilt[len(frames[0]) + len(frames[1]) - 10] ^= 1
    put(journal.directory_of(OTHER), "latest", bytes(spoilt))
    assert numbers(journal, OTHER) == [1, 3, 4, 5], "the hole is left out"
    put(journal.directory_of(OTHER, THIRD), "latest", b"".join(frames[1:2]))
    assert [found.raw for found in journal.read_from(OTHER, 0)] == frames


def test_records_of_another_origin_are_never_taken(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    put(journal.directory_of(OTHER), "latest", b"".join(chain(3, THIRD)[0] + chain(2, OTHER)[0]))
    assert numbers(journal, OTHER) == [1, 2]
    assert numbers(journal, THIRD) == []
    wrong = [damage.reason for damage in journal.damage(OTHER)]
    assert wrong == ["a record of another node"] * 3


def test_both_branches_of_a_fork_are_read(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    trunk, last = chain(2, OTHER)
    left, _ = chain(2, OTHER, last, b"left\n")
    right, _ = chain(2, OTHER, last, b"right\n")
    put(journal.directory_of(OTHER), "latest", b"".join(trunk + left))
    put(journal.directory_of(OTHER, THIRD), "latest", b"".join(trunk + right))
    assert numbers(journal, OTHER) == [1, 2, 3, 3, 4, 4]


def test_a_break_in_the_chain_is_found(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    first, _ = chain(2)
    foreign, last = chain(2, payload=b"not the same\n")
    put(journal.directory_of(OWN), "latest", b"".join(first + chain(1, after=last)[0]))
    [damage] = journal.damage(OWN)
    assert damage.reason == "does not follow the one before"
    assert damage.offset == len(b"".join(first))
    assert foreign != first


def test_reading_ends_at_the_limit(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(50)
    journal.append(frames, last)
    limited = list(journal.read_from(OWN, 0, limit_bytes=len(frames[0]) * 5))
    assert 5 <= len(limited) <= 6


def test_a_file_that_grows_and_one_that_is_replaced_are_noticed(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    frames, last = chain(4, OTHER)
    path = put(journal.directory_of(OTHER), "latest", b"".join(frames[:2]) + frames[2][:30])
    assert numbers(journal, OTHER) == [1, 2]
    path.write_bytes(b"".join(frames))
    assert numbers(journal, OTHER) == [1, 2, 3, 4]
    path.unlink()
    put(journal.directory_of(OTHER), "latest", b"\n" * 5000 + frames[0])
    assert numbers(journal, OTHER) == [1]
    assert last.seq == 4


@pytest.mark.timeout(20)
def test_no_fifo_symlink_or_directory_is_read_as_a_journal(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    directory = journal.directory_of(OTHER)
    good = put(str(tmp_path), "outside", b"".join(chain(1, OTHER)[0]))
    os.makedirs(directory)
    os.mkfifo(f"{directory}/latest")
    os.symlink(good, f"{directory}/1700000000.000000001")
    os.mkdir(f"{directory}/1700000000.000000002")
    assert numbers(journal, OTHER) == []
    assert len(list(journal.damage(OTHER))) == 3


def test_a_file_larger_than_a_window_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globofs.store.journal._WINDOW", 5000)
    monkeypatch.setattr(limits, "RECORD_BYTES", 2000)
    journal = open_journal(tmp_path)
    frames, _ = chain(200, OTHER)
    chance = random.Random(1)
    data = b"".join(frame + b"\0" * chance.choice([0, 0, 0, 9000]) for frame in frames)
    put(journal.directory_of(OTHER), "latest", data)
    assert numbers(journal, OTHER) == list(range(1, 201))
    found = [item for item in scan_file(journal.files(OTHER)[-1]) if hasattr(item, "record")]
    assert len(found) == 200


def test_nothing_new_costs_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 3000)
    journal = open_journal(tmp_path)
    last = EMPTY
    for _ in range(10):
        frames, last = chain(10, after=last)
        journal.append(frames, last)
    assert len(numbers(journal)) == 100

    def fail(*args: object, **more: object) -> int:
        raise AssertionError("a journal was opened")

    monkeypatch.setattr("globofs.store.fsio.open_regular", fail)
    assert numbers(journal, after=last.seq) == []
    assert journal.last() == last
