"""Records of versions and the manifests in them, read together: nine of ten records of a journal.

`read` gives what `decode_body`, `VersionRecord.parse` and `VersionRecord.decode` give one after
the other, in a quarter of their time where a record says nothing unusual: an index is filled from
a million of them.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final, NamedTuple, cast

from globofs.errors import BadPath, FormatError
from globofs.format.kinds import VersionRecord
from globofs.format.manifest import Block, Kind, Manifest, check
from globofs.format.record import Record, decode_body
from globofs.limits import MANIFEST_INLINE_BYTES, SECOND_NS, SEQUENCE_MAX, TIME_MAX_NS

_TIME: Final = rb"([1-9][0-9]{0,9})\.([0-9]{9})\n"
_UUID: Final = rb"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n"
_PLAIN: Final = re.compile(
    rb"seq=([1-9][0-9]{0,15})\norigin=" + _UUID + rb"prev=([0-9a-f]{64})\nop=([1-9][0-9]{0,15})\n"
    rb"kind=version\ntime=" + _TIME + rb"path=([!-$&-~]++)\nwhat=(file|directory|deleted)\n"
    rb"version=(" + _TIME + rb")((?:parent=[0-9a-f]{64}\n)*+)manifest=([0-9a-f]{64})\n"
    rb"length=([1-9][0-9]{0,6})\n(?:source=([!-~]{0,64}+)\n)?+\n"
    # The manifest: what both of them say is the same.
    rb"kind=\8\npath=\7\nversion=\9node=" + _UUID + rb"\12size=(0|[1-9][0-9]{0,17})\n"
    rb"mode=(0[0-7]{3}|[1-7][0-7]{3})\nmtime=" + _TIME + rb"\n"
    rb"((?:[0-9a-f]{64} [1-9][0-9]{0,8}\n)*+)blocks=(0|[1-9][0-9]{0,8})\n"
)
_PLAIN_BYTES: Final = 64 * 1024
_PARENT_LINE: Final = len("parent=\n") + 64


_new: Final = cast(Any, tuple.__new__)
"""Named tuples without the call of Python that their classes make of it."""


class Read(NamedTuple):
    """A record; where it is a plain version's, without fields, and with what they say instead."""

    record: Record
    version: VersionRecord | None = None
    manifest: Manifest | None = None


def read(body: bytes) -> Read:
    """The record whose body is `body`. FormatError for anything that breaks a rule."""
    if len(body) <= _PLAIN_BYTES:
        found = _PLAIN.fullmatch(body)
        if found is not None:
            plain = _plain(body, found)
            if plain is not None:
                return plain
    return Read(decode_body(body))


def _plain(body: bytes, found: re.Match[bytes]) -> Read | None:
    """None for anything that is to be read, and judged, the long way."""
    seq, origin, prev, op, seconds, nanoseconds, path, kind = found.group(1, 2, 3, 4, 5, 6, 7, 8)
    at, at_nanoseconds, lines, named, length, source = found.group(10, 11, 12, 13, 14, 15)
    node, size, mode, changed, changed_nanoseconds = found.group(16, 17, 18, 19, 20)
    listed, count = found.group(21, 22)
    text = body[-int(length) :]
    digest = sha256(text).digest()
    if digest.hex().encode() != named or len(text) > MANIFEST_INLINE_BYTES:
        return None
    if not body.startswith(b"\n\nkind=", len(body) - len(text) - 2):
        return None
    fromhex = bytes.fromhex
    parents: tuple[bytes, ...] = ()
    if lines:
        steps = range(0, len(lines), _PARENT_LINE)
        parents = tuple([fromhex(lines[n + 7 : n + 71].decode()) for n in steps])
    blocks: tuple[Block, ...] = ()
    if listed:
        rows = listed[:-1].decode().split("\n")
        blocks = tuple([_new(Block, (fromhex(row[:64]), int(row[65:]))) for row in rows])
    number, operation = int(seq), int(op)
    time = int(seconds) * SECOND_NS + int(nanoseconds)
    version = int(at) * SECOND_NS + int(at_nanoseconds)
    if len(blocks) != int(count) or time > TIME_MAX_NS or not operation <= number <= SEQUENCE_MAX:
        return None
    what = cast(Kind, kind.decode())
    mtime = int(changed) * SECOND_NS + int(changed_nanoseconds)
    made = (what, path, version, node.decode(), parents, int(size), int(mode, 8), mtime)
    manifest: Manifest = _new(Manifest, (*made, b"", None, None, blocks, ()))
    try:
        check(manifest)
    except (FormatError, BadPath):
        return None
    said = source.decode() if source else ""
    entry: VersionRecord = _new(
        VersionRecord, (path, what, version, parents, digest, len(text), said, text)
    )
    head = (number, origin.decode(), fromhex(prev.decode()), operation, "version", time, (), b"")
    plain: Read = _new(Read, (_new(Record, head), entry, manifest))
    return plain
