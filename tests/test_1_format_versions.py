"""Reading a record and its manifest in one go says what reading them one by one says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from hashlib import sha256

import pytest

from globofs.errors import FormatError
from globofs.format import kinds
from globofs.format.manifest import Block, Manifest, encode
from globofs.format.record import decode_body, encode_record
from globofs.format.text import HEADER_LINE_CHARS
from globofs.format.versions import Read, read

UUID = "68d25a11-a34a-4bbb-a29e-c9bd06ff8c53"
OTHER = "ea8192ee-593f-437f-af60-90d213995480"
TIME = 1348096774177556349
PARENT = sha256(b"parent").digest()
BLOCKS = tuple(Block(sha256(b"%d" % n).digest(), 1 + n) for n in range(3))

PLAIN = {
    "file": Manifest("file", b"a/b", TIME, UUID, (), 6, 0o644, TIME, blocks=BLOCKS),
    "empty": Manifest("file", b"a", TIME, UUID, (PARENT,), 0, 0o4755, TIME),
    "directory": Manifest("directory", b"d", TIME, OTHER, (PARENT, bytes(32)), 0, 0o755, TIME),
    "deleted": Manifest("deleted", b"a!$&~=", TIME, UUID, (PARENT,), 0, 0, 5 * 10**9),
}
UNUSUAL = {
    "symlink": Manifest("symlink", b"l", TIME, UUID, (), 0, 0o777, TIME, b"to"),
    "escaped": Manifest("file", b"a b\xff", TIME, UUID, (), 0, 0o644, TIME),
    "renamed": Manifest("file", b"a", TIME, UUID, (), 0, 0o644, TIME, b"", b"b", PARENT),
    "before 1970": Manifest("file", b"a", TIME, UUID, (), 0, 0o644, -1),
    "of a later release": Manifest(
        "file", b"a", TIME, UUID, (), 0, 0o644, TIME, extra=(("new", "1"),)
    ),
}


def body_of(manifest: Manifest, source: str = "") -> bytes:
    entry = kinds.VersionRecord.of(manifest, encode(manifest), source)
    record = kinds.make_record(7, UUID, sha256(b"before").digest(), 5, TIME + 1, entry)
    return encode_record(record)[0].split(b"\n", 1)[1]


def one_by_one(body: bytes) -> tuple[object, ...] | None:
    """The place of the record, what it says, and the manifest; None where a rule is broken."""
    try:
        record = decode_body(body)
        entry = kinds.VersionRecord.parse(record)
        manifest = entry.decode(record.origin)
    except FormatError:
        return None
    return (record.seq, record.origin, record.prev, record.op, record.time), entry, manifest


def at_once(found: Read) -> tuple[object, ...]:
    record = found.record
    assert (record.kind, record.fields, record.payload) == ("version", (), b"")
    place = (record.seq, record.origin, record.prev, record.op, record.time)
    return place, found.version, found.manifest


@pytest.mark.parametrize("source", ["", "0123456789abcdef"])
@pytest.mark.parametrize("name", PLAIN)
def test_the_usual_is_read_at_once(name: str, source: str) -> None:
    body = body_of(PLAIN[name], source)
    found = read(body)
    assert found.version is not None
    assert at_once(found) == one_by_one(body)


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_unusual_is_left_to_the_long_way(name: str) -> None:
    body = body_of(UNUSUAL[name])
    assert read(body) == Read(decode_body(body))


def test_other_records_are_left_to_the_long_way() -> None:
    record = kinds.make_record(1, UUID, bytes(32), 1, TIME, kinds.NoteRecord("hello"))
    body = encode_record(record)[0].split(b"\n", 1)[1]
    assert read(body) == Read(record)


def test_a_line_that_is_too_long_is_so_at_once_too() -> None:
    manifest = PLAIN["file"]
    entry = kinds.VersionRecord.of(manifest, encode(manifest), "x" * HEADER_LINE_CHARS)
    place = kinds.Place(7, UUID, sha256(b"before").digest(), 5, TIME + 1)
    body = kinds.encode_at(place, entry)[1].split(b"\n", 1)[1]
    with pytest.raises(FormatError, match="header line"):
        read(body)


def broken(body: bytes) -> Iterator[bytes]:
    """`body` with each line left out, doubled, changed, or in another's place."""
    lines = body.splitlines(keepends=True)
    for n, line in enumerate(lines):
        rest = lines[:n], lines[n + 1 :]
        yield b"".join([*rest[0], *rest[1]])
        yield b"".join([*rest[0], line, line, *rest[1]])
        yield b"".join([*rest[0], line[:-1] + b"0\n", *rest[1]])
        yield b"".join([*rest[0], line.replace(b"=", b"=0"), *rest[1]])
        yield b"".join([*rest[0], line.replace(b"1", b"9"), *rest[1]])
        yield b"".join([*rest[0], *rest[1], line])
        yield b"".join([*rest[0], line.replace(UUID.encode(), OTHER.encode()), *rest[1]])


def flipped(body: bytes) -> Iterator[bytes]:
    rng = random.Random(5)
    for _ in range(2000):
        changed = bytearray(body)
        changed[rng.randrange(len(body))] = rng.choice(b"0123456789abcdef=\n/.%A ")
        yield bytes(changed)


def renamed(body: bytes) -> bytes:
    """`body` with the manifest's id put right, so that nothing but the manifest itself is wrong."""
    head, _, text = body.partition(b"\n\n")
    lines = head.split(b"\n")
    for n, line in enumerate(lines):
        if line.startswith(b"manifest="):
            lines[n] = b"manifest=" + sha256(text).hexdigest().encode()
        if line.startswith(b"length="):
            lines[n] = b"length=%d" % len(text)
    return b"\n".join(lines) + b"\n\n" + text


@pytest.mark.parametrize("name", PLAIN)
def test_what_breaks_a_rule_is_never_read_at_once(name: str) -> None:
    body = body_of(PLAIN[name], "0123456789abcdef")
    taken = 0
    for bad in [*broken(body), *flipped(body)]:
        for one in (bad, renamed(bad)):
            try:
                found = read(one)
            except FormatError:
                continue
            if found.version is not None:
                assert at_once(found) == one_by_one(one)
                taken += 1
    assert taken, "some of them are other, but valid records"
