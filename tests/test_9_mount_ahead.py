"""Reading ahead from file to file: who reads a tree in order gets it in batches, others pay nothing."""

from __future__ import annotations

import errno
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs.mount import ahead
from globofs.mount.contents import Contents
from globofs.mount.messages import Messages
from globofs.volume import Volume
from tests.helpers_story import make_nodes

FILES = 100


class Reading:
    """Files of a volume read as a mount reads them; `batches` are what was read ahead."""

    def __init__(self, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
        self.volume = volume
        self.contents = Contents(volume, Messages(volume.node, "/m", print))
        self.batches: list[tuple[bytes, bytes, int]] = []
        self.alone: list[bytes] = []
        real, held = ahead.contents_after, volume.puller.held

        def after(index, directory, name, size, limit):  # type: ignore[no-untyped-def]
            self.batches.append((directory, name, limit))
            return real(index, directory, name, size, limit)

        def alone(block: bytes, size: int) -> bytes | None:
            self.alone.append(block)
            return held(block, size)

        monkeypatch.setattr(ahead, "contents_after", after)
        monkeypatch.setattr(volume.puller, "held", alone)

    def read(self, path: bytes) -> bytes:
        entry = self.volume.view().entry(path)
        assert entry is not None
        self.contents.siblings.read(path)
        reader = self.contents.reader(entry.version)
        return reader.pread(0, 1 << 20)


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    (at,) = make_nodes(tmp_path, "node")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(FILES):
            (tmp_path / name / f"{number:03}").write_bytes(content(name, number))
    at("add", str(tmp_path / "a"), str(tmp_path / "b"))
    with Volume.open(str(at.volume)) as volume:
        yield Reading(volume, monkeypatch)


def content(name: str, number: int) -> bytes:
    return f"{name} {number}\n".encode() * (number + 1)


def test_in_order_in_batches(reading: Reading) -> None:
    for _ in range(2):
        reading.alone.clear()
        for name in ("a", "b"):
            for number in range(FILES):
                path = f"{name}/{number:03}"
                assert reading.read(path.encode()) == content(name, number), path
    first = [(name, limit) for directory, name, limit in reading.batches if directory == b"a"][:4]
    assert first == [(b"004", 8), (b"012", 16), (b"028", 32), (b"060", 64)]
    assert len(reading.batches) <= 4 + 3 * 2, "what was shown to be read as a whole is trusted"
    assert len(reading.alone) <= 4 + 4


def test_to_and_fro_reads_nothing_ahead(reading: Reading) -> None:
    order = [f"{name}/{number:03}" for name in ("a", "b") for number in range(FILES)]
    random.Random(5).shuffle(order)
    for path in order:
        assert reading.read(path.encode()) == content(path[0], int(path[2:]))
    read_ahead = sum(limit for _, _, limit in reading.batches)
    assert read_ahead < len(order) / 2, reading.batches
    backwards = len(reading.batches)
    for path in sorted(order, reverse=True):
        assert reading.read(path.encode()) == content(path[0], int(path[2:]))
    assert len(reading.batches) <= backwards + 2


def test_one_file_of_each_directory_is_not_worth_it(reading: Reading) -> None:
    for number in range(FILES):
        reading.read(f"a/{number:03}".encode())
    before = len(reading.batches)
    for _ in range(5):
        reading.read(b"b/050")
        reading.read(b"b/020")
    assert len(reading.batches) <= before + 1


def test_what_is_wrong_with_others_is_not_told_to_this_reader(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(sizes: object) -> object:
        raise OSError(errno.EIO, "the disk is bad there")

    monkeypatch.setattr(reading.volume.node.blocks, "get_staged", broken)
    for number in range(10):
        assert reading.read(f"a/{number:03}".encode()) == content("a", number)
    assert reading.batches


@pytest.mark.parametrize("error", [sqlite3.OperationalError("busy"), KeyError(7)])
def test_an_index_that_fails_while_others_are_read_ahead_is_not_told_to_this_reader(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    asked: list[bytes] = []

    def fails(index: object, directory: bytes, *rest: object) -> None:
        asked.append(directory)
        raise error

    monkeypatch.setattr(ahead, "contents_after", fails)
    for number in range(10):
        assert reading.read(b"a/%03d" % number) == content("a", number)
    assert asked


def test_what_is_shown_counts_not_what_was_read_ahead(reading: Reading, tmp_path: Path) -> None:
    for number in range(10):
        reading.read(f"a/{number:03}".encode())
    (tmp_path / "a/012").write_bytes(b"another")
    reading.volume.add([str(tmp_path / "a")])
    assert reading.read(b"a/011") == content("a", 11)
    assert reading.read(b"a/012") == b"another"


def test_the_directory_not_read_for_longest_is_forgotten(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_DIRECTORIES", 2)
    for path in (b"a/000", b"b/000", b"a/001", b"a/002"):
        reading.read(path)
    reading.contents.siblings.read(b"c/000")
    for path in (b"a/003", b"a/004"):
        reading.read(path)
    assert reading.batches[0] == (b"a", b"004", 8), "the one that is read all the time is kept"
