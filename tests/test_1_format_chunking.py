"""Cut points: a function of the content alone, frozen, fast, in constant memory."""

from __future__ import annotations

import hashlib
import io
import json
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.errors import FormatError
from globofs.format.chunking import WINDOW_BYTES, Chunker, iter_chunks
from globofs.limits import KIB, MIB
from tests import helpers_format  # noqa: F401  (its hypothesis profile)

GOLDEN = Path(__file__).parent / "golden" / "cuts.json"


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that are the same on every machine and in every release."""
    return hashlib.shake_128(b"globofs %d" % seed).digest(size)


NOISE = noise(3 * MIB)
CHUNKERS = [Chunker("cdc", 4 * KIB), Chunker("cdc", 64 * KIB), Chunker("fixed", 5000)]


class Dribble:
    """Reads as slow sources do: never more than it likes."""

    def __init__(self, data: bytes, sizes: Iterator[int]) -> None:
        self.source = io.BytesIO(data)
        self.sizes = sizes

    def __call__(self, view: memoryview) -> int:
        return self.source.readinto(view[: next(self.sizes, len(view))])


@given(
    st.integers(0, len(NOISE)),
    st.lists(st.integers(1, 700_000), max_size=20),
    st.sampled_from(CHUNKERS),
    st.integers(0, len(NOISE)),
)
@settings(max_examples=40)
def test_cuts_do_not_depend_on_how_it_was_read(
    size: int, reads: list[int], chunker: Chunker, hint: int
) -> None:
    data = NOISE[:size]
    blocks = list(iter_chunks(Dribble(data, iter(reads)), chunker, hint))
    assert b"".join(blocks) == data
    assert [len(block) for block in blocks] == chunker.cut(data)


@pytest.mark.parametrize("chunker", CHUNKERS)
def test_cutting_what_is_not_all_cuts_the_same(chunker: Chunker) -> None:
    whole = chunker.cut(NOISE)
    for size in (0, 1, 20_000, 300_000, len(NOISE) - 1):
        begun = chunker.cut(NOISE[:size], final=False)
        assert begun == whole[: len(begun)]
        # What is certain is not looked at twice; only a byte that has no partner yet may wait.
        assert size - sum(begun) <= whole[len(begun)] + 1


@pytest.mark.parametrize("average", [4 * KIB, 64 * KIB, 100_000, 1 * MIB, 4 * MIB])
def test_cdc_keeps_its_bounds(average: int) -> None:
    chunker = Chunker("cdc", average)
    data = noise(min(40 * average, 24 * MIB), average)
    for content in (data, bytes(10 * average), b"ab" * (5 * average)):
        sizes = chunker.cut(content)
        assert sum(sizes) == len(content)
        assert all(average // 4 <= size <= average * 4 for size in sizes[:-1])
        assert sizes[-1] <= average * 4


def test_small_content_is_one_block() -> None:
    chunker = Chunker("cdc", 64 * KIB)
    for size in (1, 100, 16 * KIB):
        assert chunker.cut(NOISE[:size]) == [size]
        assert list(iter_chunks(io.BytesIO(NOISE[:size]).readinto, chunker)) == [NOISE[:size]]
    assert list(iter_chunks(io.BytesIO().readinto, chunker)) == []


def test_fixed_is_exactly_the_block_size() -> None:
    chunker = Chunker("fixed", 5000)
    assert chunker.cut(bytes(12_000)) == [5000, 5000, 2000]
    assert chunker.cut(bytes(10_000)) == [5000, 5000]
    assert chunker.cut(bytes(12_000), final=False) == [5000, 5000]


def test_an_insertion_changes_few_blocks() -> None:
    chunker = Chunker("cdc", 16 * KIB)

    def blocks(data: bytes) -> set[bytes]:
        return set(iter_chunks(io.BytesIO(data).readinto, chunker))

    middle = len(NOISE) // 2
    fresh = blocks(NOISE[:middle] + b"inserted" + NOISE[middle:]) - blocks(NOISE)
    assert 1 <= len(fresh) <= 4


def test_the_cut_points_are_frozen() -> None:
    """Other cut points would break no reader, but no block would be shared with old versions."""
    frozen = json.loads(GOLDEN.read_text())
    for name, sizes in frozen.items():
        average = int(name)
        assert Chunker("cdc", average).cut(noise(sum(sizes))) == sizes, name
    assert len(frozen) >= 4


class Endless:
    """So many bytes, made as they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def __call__(self, view: memoryview) -> int:
        count = min(self.left, len(view), len(NOISE))
        view[:count] = memoryview(NOISE)[:count]
        self.left -= count
        return count


@pytest.mark.parametrize("chunker", [Chunker("cdc", 1 * MIB), Chunker("fixed", 1 * MIB)])
def test_memory_does_not_grow_with_the_file(chunker: Chunker) -> None:
    tracemalloc.start()
    total = sum([len(block) for block in iter_chunks(Endless(200 * MIB), chunker)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 200 * MIB
    assert peak < WINDOW_BYTES + 3 * chunker.largest + MIB // 8


def test_a_small_hint_spares_memory_and_a_wrong_one_costs_nothing() -> None:
    chunker = Chunker("cdc", 1 * MIB)
    tracemalloc.start()
    list(iter_chunks(io.BytesIO(NOISE[:100]).readinto, chunker, 100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
    grown = list(iter_chunks(io.BytesIO(NOISE).readinto, chunker, 10))
    assert [len(block) for block in grown] == chunker.cut(NOISE)


def test_cdc_is_faster_than_hashing() -> None:
    """The compiled extension is there: in pure Python this takes a minute."""
    chunker = Chunker("cdc", 1 * MIB)
    data = NOISE * 10
    started = time.process_time()
    chunker.cut(data)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("chunking", "size"),
    [("cdc", 8 * MIB), ("cdc", 1000), ("fixed", 100), ("fixed", 128 * MIB), ("rabin", MIB)],
)
def test_impossible_chunkers_are_refused(chunking: str, size: int) -> None:
    with pytest.raises(FormatError):
        Chunker(chunking, size)
