"""What a mount writes down before it records it is what whoever recovers it finds."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs.store import fsio, intent
from globofs.store.intent import Intent, IntentLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IntentLog]:
    made = IntentLog(str(tmp_path / "open"), "1-mount")
    yield made
    made.close(clean=False)


def found_by_the_next(log: IntentLog) -> dict[int, Intent]:
    """What would be recovered if the mount died now, by its number."""
    data = fsio.read_file(os.path.join(log.directory, "log"), intent.LOG_BYTES)
    return {one.number: one for one in intent.read_log(data)}


def file(number: int, path: bytes = b"file") -> Intent:
    return Intent(number, "file", path, 0o644, 7, base=b"b" * 32, scratch=True)


def test_what_left_the_base_stays_known_of_a_file_that_is_changed_again(log: IntentLog) -> None:
    """It was recorded, but stayed open, and its scratch file with it."""
    log.set(file(1))
    log.left(1, 0)
    log.keep(1)
    log.done(1)
    assert found_by_the_next(log) == {}
    log.left(1, 3)
    log.set(file(1))
    (one,) = found_by_the_next(log).values()
    assert (one.left, one.keep) == ([0, 3], False), "not closed since it was changed again"
    log.keep(1)
    (one,) = found_by_the_next(log).values()
    assert (one.left, one.keep) == ([0, 3], True)


def test_a_log_that_is_written_for_days_stays_small_and_says_the_same(
    log: IntentLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent, "_COMPACT_BYTES", 4096)
    monkeypatch.setattr(intent, "_ROOM_BYTES", 256)
    for number in (1, 2, 3):
        Path(log.scratch(number)).touch()
        log.set(file(number, b"%d" % number))
        log.left(number, number)
    log.keep(1)
    log.done(3)
    before = found_by_the_next(log)
    for number in range(10, 500):
        log.set(Intent(number, "directory", b"d/%d" % number))
        log.keep(number)
        log.done(number)
    assert found_by_the_next(log) == before
    assert os.path.getsize(os.path.join(log.directory, "log")) < 2 * 4096
    log.sync()
    log.left(3, 7)
    log.set(file(3))
    assert found_by_the_next(log)[3].left == [3, 7]


def test_where_there_is_no_room_to_write_it_anew_it_goes_on_as_it_is(
    log: IntentLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(intent, "_COMPACT_BYTES", 1024)
    monkeypatch.setattr(fsio, "write_new", full)
    for number in range(100):
        log.set(file(number, b"%d" % number))
        log.done(number - 1) if number else None
    assert set(found_by_the_next(log)) == {99}
