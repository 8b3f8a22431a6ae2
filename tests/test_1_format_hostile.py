"""Input from a stranger: whatever it is, the answer is a value or the one error for it.

A hundred spoiled inputs of each decoder every time; ten minutes of them, over all decoders in
turn, with

    pytest tests/test_1_format_hostile.py -m soak -n0 --timeout 0

or so many seconds as `GLOBOFS_FUZZ_SECONDS` says. What falls out is shrunk and printed with the
lines that replay it.
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.errors import BadConfig, BadPath, Damaged, FormatError
from globofs.format import applied, codec, config, kinds, manifest, names, record, text
from globofs.limits import BLOCK_SIZE_MAX, STAGE_FILE_BYTES
from globofs.store import block_files, staged, state
from globofs.store.journal import scan_file
from globofs.store.locks import Lock
from tests.helpers_format import OTHER, UUID

HASH = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
MANIFEST = (
    f"kind=file\npath=a%20b/c\nversion=1.500000000\nnode={UUID}\nparent={HASH}\nsize=12\nmode=0644\n"
    f"mtime=-1.000000000\nfrom=x\nfromid={HASH}\nzork=1\n\n{HASH} 7\n{HASH} 5\nblocks=2\n"
).encode()
APPLIED = f"globofs-applied 1\n{UUID} 9 {HASH} 2 3-4,6-6\n{OTHER} 0 {HASH} 0 -\nend 2\n".encode()
CONFIG = f"uuid={UUID}\npath=/x #y\nname=n\nblocksize=64K\ncompression=gzip:9\npoll=1.5s\n".encode()
HEAD = f"seq=2\norigin={UUID}\nprev={HASH}\nop=1\nkind=%s\ntime=1.000000000\n"
PLAIN = b"plain bytes, and plain bytes again. " * 20
ENTRY = f"file 12 1 2 3 644 {HASH}".encode()
PIECES = st.sampled_from([b"\n", b"=", b" ", b"0", b"9" * 30, b"%", b"\0", b"\xff", b"-", b"\n\n"])


def frame(kind: str = "note", payload: bytes = b"") -> bytes:
    made = record.Record(2, UUID, bytes(32), 1, kind, 1, (("text", "hello"),), payload)
    return record.BEFORE_APPEND + record.encode_record(made)[0]


def staged_frame(plain: bytes) -> bytes:
    stored, suffix = codec.compress(plain, "zstd", 1)
    return staged.header(bytes.fromhex(HASH), len(plain), len(stored), suffix) + stored + b"\n"


def gzipped(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


# --- the decoders -------------------------------------------------------------------------------


def manifests(data: bytes) -> None:
    try:
        made = manifest.decode(data)
    except FormatError:
        return
    assert manifest.decode(manifest.encode(made)) == made


def manifests_made_by_hand(data: bytes) -> None:
    try:
        made = manifest.decode(data, path=b"a b/c", version=1_500_000_000)
    except FormatError:
        return
    assert (made.path, made.version) == (b"a b/c", 1_500_000_000)


def acknowledgements(data: bytes) -> None:
    try:
        read = applied.decode(data)
    except FormatError:
        return
    assert applied.decode(applied.encode(read)) == read


def configs(data: bytes) -> None:
    words = data.decode("utf-8", "surrogateescape")
    for parse in (config.parse_node, config.parse_peer, config.parse_foreign):
        try:
            read = parse(words, "config")
        except BadConfig:
            continue
        assert len(read.uuid) == 36


KINDS = [k for k in vars(kinds).values() if isinstance(k, type) and isinstance(getattr(k, "KIND", None), str)]  # fmt: skip


def records_of_every_kind(data: bytes) -> None:
    """Each kind's reader over each body that is a record at all."""
    fields = data.split(b"\n\n")[0] + f"\nwhat=file\nlength={len(data)}\n".encode()
    for kind in KINDS:
        try:
            head = (HEAD % kind.KIND).encode()
            kind.parse(record.decode_body(head + fields + b"\n" + data + b"\n"))
        except FormatError:
            continue


def journals(data: bytes) -> None:
    """Every byte is a record, damage, the end, or an empty line, once and in its order; a file
    read in windows says the same."""
    for final in (False, True):
        at = 0
        found: list[object] = []
        for item in record.scan(data, final=final):
            assert item.offset >= at
            assert not data[at : item.offset].strip(b"\n")
            at = len(data) if isinstance(item, record.Tail) else item.end
            found.append(item)
        assert not data[at:].strip(b"\n")
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        assert list(scan_file(file.name)) == found


def staged_files(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        for block in staged.scan(file.name):
            assert 0 < block.offset <= block.offset + block.length <= len(data)
            assert block.length <= STAGE_FILE_BYTES * 2


def stored_blocks(data: bytes) -> None:
    for suffix in ("", ".zst", ".gz"):
        for most in (0, len(PLAIN), BLOCK_SIZE_MAX):
            try:
                assert len(codec.decompress(data, suffix, most)) <= most
            except FormatError:
                continue
        try:
            block_files.decode(
                bytes.fromhex(HASH), len(PLAIN), block_files.Raw(data, suffix, "there")
            )
        except Damaged:
            continue
        raise AssertionError("those are not the bytes of that name")


def paths(data: bytes) -> None:
    for parse in (names.check_path, names.parse_path):
        try:
            path = parse(data)
        except BadPath:
            continue
        assert names.from_disk(names.to_disk(path)) == path
        parts = path.split(b"/")
        assert not {b".", b".."} & set(parts)
        assert b"\0" not in path
    try:
        path = names.from_disk(os.fsdecode(data))
    except BadPath:
        return
    assert os.fsencode(names.to_disk(path)) == data


def spellings(data: bytes) -> None:
    """What is taken is the one spelling of its value."""
    words = data.decode("latin-1")
    same: list[tuple[Callable[[str], object], Callable[..., str]]] = [
        (text.unescape, text.escape),
        (text.parse_time, text.format_time),
        (lambda t: text.parse_time(t, signed=True), text.format_time),
        (text.parse_uuid, str),
        (text.parse_hex32, lambda found: found.hex()),
        (lambda t: text.parse_count(t, 2**62), str),
    ]
    for parse, spell in same:
        try:
            value = parse(words)
        except FormatError:
            continue
        assert spell(value) == words
    for measure in (config.parse_size, config.parse_duration):
        try:
            assert measure(words) >= 0
        except (ValueError, FormatError, BadConfig):
            continue


def lines_of_state(data: bytes) -> None:
    """Our own files, after a power loss: whatever stands there, what can be read is read."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "lines").write_bytes(data)
        file = state.LineFile(os.path.join(place, "lines"), Lock(place, "state"))
        before = file.load()
        file.change({"added": "now"})
        assert file.load() == {**before, "added": "now"}
    try:
        state.parse_entry(data.decode("latin-1"))
    except ValueError:
        return


class Decoder(NamedTuple):
    """What reads something, and inputs that are right."""

    read: Callable[[bytes], None]
    good: tuple[bytes, ...]


DECODERS = [
    Decoder(manifests, (MANIFEST,)),
    Decoder(manifests_made_by_hand, (MANIFEST, MANIFEST.split(b"\n", 1)[1])),
    Decoder(acknowledgements, (APPLIED,)),
    Decoder(configs, (CONFIG,)),
    Decoder(records_of_every_kind, (MANIFEST, b"verb=add\narg=x\nversions=1\nbytes=2\n\n")),
    Decoder(journals, (frame() + frame("version", MANIFEST), frame(payload=b"text\n"))),
    Decoder(staged_files, (staged_frame(PLAIN) + staged_frame(b"x"),)),
    Decoder(
        stored_blocks,
        (PLAIN, gzipped(PLAIN), zstandard.compress(PLAIN), zstandard.compress(bytes(10**7))),
    ),
    Decoder(paths, (b"a/versions/=b", b"==x/hashes")),
    Decoder(spellings, (b"1348096774.177556349", b"a%20b", UUID.encode(), b"64K", b"1.5s")),
    Decoder(lines_of_state, (b"mirror:a yes\nhistory:b\n" + ENTRY + b"\n", ENTRY)),
]


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with a few bytes, lines or pieces replaced, doubled or left out."""
    data = good
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        what = draw(st.sampled_from(["put", "drop", "line", "any"]))
        if what == "put":
            data = data[:start] + draw(PIECES) + data[end:]
        elif what == "drop":
            data = data[:start] + data[end:]
        elif what == "line":
            lines = data.split(b"\n")
            at = draw(st.integers(0, len(lines) - 1))
            data = b"\n".join([*lines[:at], draw(st.sampled_from(lines)), *lines[at:]])
        else:
            data = data[:start] + draw(st.binary(max_size=8)) + data[end:]
    return data


def try_it(decoder: Decoder, examples: int) -> None:
    inputs = st.one_of([spoiled(good) for good in decoder.good])

    @settings(max_examples=examples, database=None)
    @given(inputs)
    def one(data: bytes) -> None:
        decoder.read(data)

    one()


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.read.__name__)
def test_whatever_comes_is_read_or_refused(decoder: Decoder) -> None:
    for good in decoder.good:
        decoder.read(good)
    try_it(decoder, 60)


@pytest.mark.soak
def test_minutes_of_it() -> None:
    """All decoders in turn until the time is over; how many inputs each was given."""
    end = time.monotonic() + float(os.environ.get("GLOBOFS_FUZZ_SECONDS", "600"))
    tried: Counter[str] = Counter()
    while time.monotonic() < end:
        for decoder in DECODERS:
            try_it(decoder, 500)
            tried[decoder.read.__name__] += 500
    print(dict(tried))
