"""Reading one file as a mount does: its next blocks are decoded meanwhile, each of them once, and
what a peer has to give is asked for no further than it is needed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from globofs.mount import contents
from globofs.mount.contents import Contents, VersionReader
from globofs.mount.messages import Messages
from globofs.peerio.peer import Peer
from globofs.store.versions import blocks_by_id
from globofs.volume import Volume
from tests.helpers_cli import Shell, make
from tests.helpers_story import until

PIECE = 128 << 10
"""What the kernel asks for at once."""
BLOCK = 64 << 10
FILES = 4
BLOCKS = 32
FIXED = ("--blocksize", "64K", "--chunking", "fixed")


class Reading:
    """Files of a volume read as the kernel reads them through a mount; `decoded` says how often
    each of their blocks was, `ahead` how many of them before they were asked for."""

    def __init__(self, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
        self.volume = volume
        self.contents = Contents(volume, Messages(volume.node, "/m", print))
        self.decoded: Counter[bytes] = Counter()
        self.ahead = 0
        real = volume.puller.held

        def held(block: bytes, size: int) -> bytes | None:
            self.decoded[block] += 1
            self.ahead += threading.current_thread().name == "look ahead"
            return real(block, size)

        monkeypatch.setattr(volume.puller, "held", held)

    def version(self, path: str) -> bytes:
        entry = self.volume.view().entry(path.encode())
        assert entry is not None
        return entry.version

    def reader(self, path: str) -> VersionReader:
        return self.contents.reader(self.version(path))

    def settled(self, count: int) -> bool:
        """Wait until `count` blocks are decoded; whether no more have been asked for."""
        until(lambda: sum(self.decoded.values()) >= count, 10)
        return not self.contents._ahead.qsize() and sum(self.decoded.values()) == count


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("blocks")
    at = make(top / "node", "node", *FIXED)
    for number in range(FILES):
        (top / f"file{number}").write_bytes(content(number))
    (top / "small").write_bytes(content(0)[:PIECE])
    at("add", top / "small", *(top / f"file{number}" for number in range(FILES)))
    return at.volume


@pytest.fixture
def reading(volume: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(contents, "_AHEAD_BYTES", 4 * BLOCK)
    monkeypatch.setattr(contents, "_ALL_AHEAD_BYTES", 12 * BLOCK)
    monkeypatch.setattr(contents, "_KEPT_BYTES", 20 * BLOCK)
    with Volume.open(str(volume)) as opened:
        yield Reading(opened, monkeypatch)


@cache
def content(number: int) -> bytes:
    return random.Random(number).randbytes(BLOCKS * BLOCK)


def test_blocks_smaller_than_what_is_asked_for_are_read_ahead_too(reading: Reading) -> None:
    reader = reading.reader("file0")
    assert reader.pread(0, PIECE) == content(0)[:PIECE]
    assert reading.settled(2), "who looks at the beginning only is not read ahead for"
    got = [reader.pread(PIECE, PIECE)]
    assert reading.settled(2 + 2 + 4)
    got += [reader.pread(offset, PIECE) for offset in range(2 * PIECE, BLOCKS * BLOCK, PIECE)]
    assert b"".join(map(bytes, got)) == content(0)[PIECE:]
    assert set(reading.decoded.values()) == {1}
    assert len(reading.decoded) == BLOCKS
    assert reading.ahead >= 4


@pytest.mark.parametrize("room", [20 * BLOCK, BLOCK // 2])
def test_a_block_asked_for_in_pieces_is_decoded_once(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """However large it is."""
    monkeypatch.setattr(contents, "_KEPT_BYTES", room)
    monkeypatch.setattr(contents, "_ALL_AHEAD_BYTES", room)
    reader = reading.reader("file0")
    pieces = [reader.pread(offset, 10_000) for offset in range(0, BLOCKS * BLOCK, 10_000)]
    assert b"".join(map(bytes, pieces)) == content(0)
    assert set(reading.decoded.values()) == {1}


def test_who_goes_on_from_the_middle_is_read_ahead_for(reading: Reading) -> None:
    reader = reading.reader("file0")
    offset = 16 * BLOCK
    for at in (0, 28 * BLOCK, 4 * BLOCK, offset):
        assert reader.pread(at, BLOCK) == content(0)[at : at + BLOCK]
    assert reading.settled(4), "to and fro"
    reader.pread(offset + BLOCK, BLOCK)
    assert reading.settled(4 + 1 + 4)
    reader.pread(BLOCK, BLOCK)
    reader.pread(2 * BLOCK, BLOCK)
    assert reading.settled(4 + 5 + 2 + 3), "again from nearer the beginning; one was read before"


def test_many_files_at_once_have_no_block_decoded_in_vain(reading: Reading) -> None:
    """All look-aheads together are more than is kept: each must have less."""
    readers = [reading.reader(f"file{number}") for number in range(FILES)]
    for offset in range(0, BLOCKS * BLOCK, BLOCK):
        for number, reader in enumerate(readers):
            assert reader.pread(offset, BLOCK) == content(number)[offset : offset + BLOCK]
    assert set(reading.decoded.values()) == {1}
    assert len(reading.decoded) == FILES * BLOCKS
    assert reading.ahead > BLOCKS


def test_what_was_read_ahead_for_somebody_who_went_away_makes_room(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(FILES - 1):
        gone = reading.reader(f"file{number}")
        gone.pread(0, BLOCK)
        gone.pread(BLOCK, BLOCK)
    full = (FILES - 1) * 6
    assert reading.settled(full)
    last = reading.reader(f"file{FILES - 1}")
    last.pread(0, BLOCK)
    last.pread(BLOCK, BLOCK)
    assert reading.settled(full + 2), "they may come back"
    monkeypatch.setattr(contents, "_STALE_SECONDS", 0.0)
    last.pread(BLOCK, BLOCK)
    assert reading.settled(full + 2 + 4)


def test_a_small_file_is_not_read_ahead_in(reading: Reading) -> None:
    """It comes in one piece; two of its blocks may be among what lies together."""
    reader = reading.reader("small")
    assert b"".join(reader.pread(offset, 10) for offset in (0, 10, 20)) == content(0)[:30]
    assert not reading.contents._promised


@pytest.fixture
def far(tmp_path: Path) -> tuple[Shell, bytes]:
    """A node without a file of five blocks that its peer has, and its content."""
    here, there = (make(tmp_path / name, name, *FIXED) for name in ("here", "there"))
    here("peer", "add", "there", there.volume)
    data = content(9)[: 5 * BLOCK]
    (tmp_path / "file").write_bytes(data)
    there("add", tmp_path / "file")
    here("sync")
    return here, data


def test_the_first_byte_of_a_remote_file_waits_for_one_block_not_for_the_file(
    far: tuple[Shell, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, data = far
    others, real = threading.Event(), Peer._fetch
    with Volume.open(str(here.volume)) as volume:
        reading = Reading(volume, monkeypatch)
        version = reading.version("file")
        first = blocks_by_id(volume.node.index, version)[0].id

        def fetch(peer: Peer, block: bytes, size: int) -> tuple[bytes, str, bytes] | None:
            assert block == first or others.wait(10), "the first read waits for other blocks"
            return real(peer, block, size)

        monkeypatch.setattr(Peer, "_fetch", fetch)
        reader = reading.contents.reader(version)
        try:
            assert reader.pread(0, 1) == data[:1]
            assert not others.is_set()
        finally:
            others.set()
        assert b"".join(bytes(reader.pread(at, 9999)) for at in range(0, len(data), 9999)) == data
        reader.close()
