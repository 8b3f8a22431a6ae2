"""A scratch file behaves like a plain file that began with the base's content."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.store import fsio
from globofs.store.scratch import Scratch, Span
from globofs.store.views import Block

BASE = bytes(range(1, 251)) * 2
SIZES = (100, 7, 193, 200)
BLOCKS = [Block(bytes([number]) * 32, size) for number, size in enumerate(SIZES)]

places = st.integers(0, 620)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), places, st.binary(min_size=1, max_size=250)),
        st.tuples(st.just("cut"), places, st.just(b"")),
        st.tuples(st.just("reopen"), st.just(0), st.just(b"")),
    ),
    max_size=12,
)


def read_base(offset: int, size: int) -> bytes:
    return BASE[offset : offset + size]


def content(scratch: Scratch) -> bytes:
    """Put together from the pieces, as a new version would be."""
    made = b""
    for piece in scratch.pieces():
        if isinstance(piece, Span):
            made += scratch.pread(piece.length, piece.offset)
        else:
            start = sum(SIZES[: piece.id[0]])
            assert start == len(made), "a base block is kept only at its own place"
            made += BASE[start : start + piece.size]
    return made


@settings(max_examples=300, deadline=None)
@given(steps)
def test_like_a_plain_file(tmp_path_factory, steps) -> None:  # type: ignore[no-untyped-def]
    path = str(Path(tmp_path_factory.mktemp("scratch")) / "s")
    left: list[int] = []
    scratch = Scratch(path, BLOCKS, read_base, touched=left.append)
    plain = bytearray(BASE)
    for what, place, data in steps:
        if what == "write":
            scratch.pwrite(data, place)
            plain.extend(bytes(max(0, place + len(data) - len(plain))))
            plain[place : place + len(data)] = data
        elif what == "cut":
            scratch.truncate(place)
            plain = plain[:place] + bytes(max(0, place - len(plain)))
        elif left:
            scratch.close(keep=True)
            scratch = Scratch(path, BLOCKS, read_base, touched=left.append, left=left)
        assert scratch.size == len(plain)
        assert scratch.pread(1000, 0) == plain
        assert scratch.pread(50, 90) == plain[90:140]
        assert content(scratch) == plain
    scratch.close()
    assert not Path(path).exists()


def test_a_small_write_copies_only_the_blocks_it_touches(tmp_path: Path) -> None:
    left: list[int] = []
    scratch = Scratch(str(tmp_path / "s"), BLOCKS, read_base, touched=left.append)
    scratch.pwrite(b"x", 103)
    assert left == [1]
    assert scratch.pieces() == [BLOCKS[0], Span(100, 7), BLOCKS[2], BLOCKS[3]]
    scratch.close()


def test_what_a_full_disk_cut_off_is_no_part_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = Scratch(str(tmp_path / "s"), BLOCKS, read_base)
    write = fsio.write_at

    def full(fd: int, path: str, offset: int, data: bytes) -> None:
        write(fd, path, offset, data[:10])
        raise OSError(errno.ENOSPC, "full", path)

    with monkeypatch.context() as patched:
        patched.setattr(fsio, "write_at", full)
        with pytest.raises(OSError, match="full"):
            scratch.pwrite(b"x" * 50, len(BASE))
    assert content(scratch) == BASE
    scratch.truncate(len(BASE) + 20)
    assert content(scratch) == BASE + bytes(20)
    scratch.close(keep=True)
    assert Scratch(str(tmp_path / "s"), BLOCKS, read_base, left=[3]).size == len(BASE) + 20


def test_a_block_leaves_its_base_only_once_that_is_written_down(tmp_path: Path) -> None:
    """Else nobody who recovers would know, however much is written to it later."""
    told: list[int] = []

    def touched(block: int) -> None:
        if not told:
            told.append(-1)
            raise OSError(errno.ENOSPC, "full")
        told.append(block)

    scratch = Scratch(str(tmp_path / "s"), BLOCKS, read_base, touched=touched)
    with pytest.raises(OSError, match="full"):
        scratch.pwrite(b"x", 103)
    scratch.pwrite(b"y", 104)
    assert told == [-1, 1]
    scratch.close()
