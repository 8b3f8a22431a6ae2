"""Blocks as they are stored: whatever goes in comes out, and no more than was asked for."""

from __future__ import annotations

import contextlib
import gzip
import random
import threading
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from globofs.errors import FormatError
from globofs.format import codec
from globofs.format.config import SUFFIXES
from globofs.limits import BLOCK_SIZE_MAX, MIB
from tests import helpers_format  # noqa: F401  (its hypothesis profile)

GOLDEN = Path(__file__).parent / "golden"
NOISE = random.Random(1).randbytes(300_000)
TEXT = b"".join([b"line %d of a text that repeats itself\n" % number for number in range(5000)])
METHODS = [("zstd", 1), ("zstd", 19), ("gzip", 6), ("none", 0)]
STORED = [codec.compress(TEXT, *method) for method in METHODS[:3]]


@given(st.binary(max_size=2000), st.integers(1, 50), st.sampled_from(METHODS))
def test_round_trip(data: bytes, times: int, method: tuple[str, int]) -> None:
    plain = data * times
    stored, suffix = codec.compress(plain, *method)
    assert codec.decompress(stored, suffix, len(plain)) == plain
    assert len(stored) <= max(len(plain), 1)


@pytest.mark.parametrize(("method", "level"), METHODS)
def test_text_shrinks_and_noise_stays(method: str, level: int) -> None:
    stored, suffix = codec.compress(TEXT, method, level)
    assert suffix == codec.SUFFIX_OF[method]
    assert method == "none" or len(stored) < len(TEXT) / 4
    assert codec.compress(NOISE, method, level) == (NOISE, "")
    assert codec.compress(NOISE[:1000], method, level) == (NOISE[:1000], "")


def test_the_trial_spares_noise_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = codec._encode
    monkeypatch.setattr(
        codec, "_encode", lambda data, *how: sizes.append(len(data)) or real(data, *how)
    )
    codec.compress(NOISE, "zstd", 19)
    assert sizes == [16 * 1024]


def test_the_trial_looks_at_all_of_a_block() -> None:
    text = (TEXT * 2)[: len(NOISE)]
    for data in (text + NOISE + text, NOISE + text + NOISE):
        assert codec.compress(data, "zstd", 1)[1] == ".zst"


def test_equal_data_is_stored_equally() -> None:
    for method, level in METHODS:
        assert codec.compress(TEXT, method, level) == codec.compress(TEXT, method, level)


@pytest.mark.parametrize(("method", "level"), METHODS[:3])
def test_damaged_and_cut_blocks_are_refused(method: str, level: int) -> None:
    stored, suffix = codec.compress(TEXT, method, level)
    for bad in (stored[:-1], stored[: len(stored) // 2], b"", stored + b"x", stored + stored[:5]):
        with pytest.raises(FormatError):
            codec.decompress(bad, suffix, len(TEXT))


@given(st.binary(max_size=300), st.sampled_from(SUFFIXES), st.integers(0, 1000))
def test_any_bytes_end_in_bytes_or_a_format_error(data: bytes, suffix: str, limit: int) -> None:
    with contextlib.suppress(FormatError):
        assert len(codec.decompress(data, suffix, limit)) <= limit


@given(st.data(), st.sampled_from(STORED))
def test_flipped_bits_do_no_harm(data: st.DataObject, block: tuple[bytes, str]) -> None:
    stored, suffix = block
    at = data.draw(st.integers(0, len(stored) - 1))
    bad = stored[:at] + bytes([stored[at] ^ (1 << data.draw(st.integers(0, 7)))]) + stored[at + 1 :]
    with contextlib.suppress(FormatError):
        assert len(codec.decompress(bad, suffix, len(TEXT))) <= len(TEXT)


def streamed(data: bytes) -> bytes:
    """A zstd frame that does not tell its size, as `zstd` makes from a pipe."""
    packer = zstandard.ZstdCompressor(level=3, write_content_size=False).compressobj()
    return packer.compress(data) + packer.flush()


def test_frames_that_do_not_tell_their_size() -> None:
    stored = streamed(TEXT)
    assert zstandard.frame_content_size(stored) < 0
    assert codec.decompress(stored, ".zst", len(TEXT)) == TEXT
    assert codec.decompress(stored + streamed(b"more"), ".zst", len(TEXT) + 4) == TEXT + b"more"
    for bad in (stored[:-1], stored + b"x", stored + bytes(50)):
        with pytest.raises(FormatError):
            codec.decompress(bad, ".zst", len(TEXT))
    with pytest.raises(FormatError, match="more than"):
        codec.decompress(stored, ".zst", len(TEXT) - 1)


def test_members_in_a_row_are_one() -> None:
    stored = gzip.compress(TEXT) + gzip.compress(b"more")
    assert codec.decompress(stored, ".gz", len(TEXT) + 4) == TEXT + b"more"
    with pytest.raises(FormatError, match="more than"):
        codec.decompress(stored, ".gz", len(TEXT) + 3)


def bombs() -> list[tuple[str, bytes, str]]:
    size = 200 * MIB
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join([packer.compress(bytes(MIB)) for _ in range(200)]) + packer.flush()
    zeros = zstandard.ZstdCompressor(level=1).compressobj()
    open_end = b"".join([zeros.compress(bytes(MIB)) for _ in range(200)]) + zeros.flush()
    told = zstandard.ZstdCompressor(level=1).compress(bytes(size))
    liar = bytearray(zstandard.ZstdCompressor(level=1).compress(bytes(100)))
    liar[5] = 200  # claims 200 bytes and has 100
    many = zstandard.ZstdCompressor(level=1).compress(bytes(1000)) * 100_000
    return [
        ("gzip", packed, ".gz"),
        ("told", told, ".zst"),
        ("open end", open_end, ".zst"),
        ("liar", bytes(liar), ".zst"),
        ("many frames", many, ".zst"),
        ("many members", gzip.compress(bytes(1000)) * 20_000, ".gz"),
    ]


def test_a_bomb_costs_no_more_than_the_stated_size() -> None:
    for name, bomb, suffix in bombs():
        tracemalloc.start()
        with pytest.raises(FormatError):
            codec.decompress(bomb, suffix, 100_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20 * MIB, name


def test_impossible_sizes_are_refused() -> None:
    for size in (-1, BLOCK_SIZE_MAX + 1):
        with pytest.raises(FormatError):
            codec.decompress(b"", "", size)
    with pytest.raises(FormatError):
        codec.decompress(b"xx", "", 1)
    with pytest.raises(FormatError):
        codec.decompress(b"xx", ".xz", 10)


def test_threads_do_not_share_contexts() -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        plain = random.Random(seed).randbytes(1000) * 100
        for _ in range(50):
            stored, suffix = codec.compress(plain, "zstd", 1)
            if codec.decompress(stored, suffix, len(plain)) != plain:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("block*")), ids=lambda path: path.name)
def test_golden_blocks_stay_readable(path: Path) -> None:
    plain = (GOLDEN / "plain.txt").read_bytes()
    suffix = path.suffix if path.suffix in SUFFIXES else ""
    assert codec.decompress(path.read_bytes(), suffix, len(plain)) == plain


def test_there_are_golden_blocks_of_every_suffix() -> None:
    assert {path.suffix for path in GOLDEN.glob("block*")} == {".zst", ".gz"}
