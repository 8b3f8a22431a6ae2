"""What each kind of record says: typed views over `Record.fields`. FORMAT.md, section 5.

Each class has `KIND`, `record(...)` parts through `fields()` and `payload()`, and
`parse(record)`, which raises FormatError for a record that breaks its kind's rules. Kinds that
are not listed here are kept, passed on and otherwise skipped.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, Protocol, Self

from globofs.errors import BadPath, FormatError
from globofs.format import names
from globofs.format.manifest import KINDS, Kind, Manifest, decode, manifest_id
from globofs.format.record import Record, encode_record, frame
from globofs.format.text import (
    escape,
    format_time,
    parse_count,
    parse_hex32,
    parse_time,
    parse_uuid,
    unescape,
)
from globofs.limits import (
    GAPS_MAX,
    MANIFEST_BYTES,
    MANIFEST_INLINE_BYTES,
    NAME_BYTES,
    PARENTS_MAX,
    SEQUENCE_MAX,
    SIZE_MAX,
)

Fields = tuple[tuple[str, str], ...]


class Entry(Protocol):
    """What a record of some kind carries besides its place in the journal."""

    KIND: ClassVar[str]

    def fields(self) -> Fields:
        """The fields in their order."""

    def payload(self) -> bytes:
        """The payload: empty, or ending in a newline."""


class Place(NamedTuple):
    """Where a record stands: its number, its journal's node, the id of the record before it, its
    operation, and when it was written (nanoseconds)."""

    seq: int
    origin: str
    prev: bytes
    op: int
    time: int


def encode_at(place: Place, entry: Entry) -> tuple[Record, bytes, bytes]:
    """The record of `entry` at its place, its frame, and its id.

    A version's record comes without fields and payload: who has the entry needs neither. Raises
    FormatError as `encode_record`.
    """
    if not isinstance(entry, VersionRecord):
        record = make_record(*place, entry)
        return record, *encode_record(record)
    record = Record(place.seq, place.origin, place.prev, place.op, entry.KIND, place.time)
    return record, *frame(record, entry.lines(), entry.payload())


def make_record(seq: int, origin: str, prev: bytes, op: int, time: int, entry: Entry) -> Record:
    """The record that puts `entry` at its place in the journal."""
    return Record(seq, origin, prev, op, entry.KIND, time, entry.fields(), entry.payload())


class _Version(NamedTuple):
    path: bytes
    what: Kind
    version: int
    parents: tuple[bytes, ...]
    manifest: bytes
    length: int
    source: str = ""
    text: bytes = b""


class VersionRecord(_Version):
    """A version came to be. `text` is its manifest, empty when that is over 1 MiB.

    `parents` are the versions it descends from: those its manifest names, or the version before
    for a hand-made manifest that names none. `source` is the folder it was added from (16 hex
    digits), if it was.
    """

    __slots__ = ()
    KIND: ClassVar[str] = "version"

    def lines(self) -> str:
        """The fields as they are written, one a line."""
        parents = "".join([f"parent={parent.hex()}\n" for parent in self.parents])
        source = f"source={self.source}\n" if self.source else ""
        return (
            f"path={escape(self.path)}\nwhat={self.what}\nversion={format_time(self.version)}\n"
            f"{parents}manifest={self.manifest.hex()}\nlength={self.length}\n{source}"
        )

    def fields(self) -> Fields:
        """The fields in their order."""
        parts = [line.partition("=") for line in self.lines().splitlines()]
        return tuple([(key, value) for key, _, value in parts])

    def payload(self) -> bytes:
        """The manifest if it is at most 1 MiB; a newline is added to one that ends without."""
        if self.length > MANIFEST_INLINE_BYTES:
            return b""
        return self.text if self.text.endswith(b"\n") else self.text + b"\n"

    @classmethod
    def of(cls, manifest: Manifest, text: bytes, source: str = "") -> VersionRecord:
        """The entry for `manifest`, whose exact bytes are `text`."""
        return cls(
            path=manifest.path,
            what=manifest.kind,
            version=manifest.version,
            parents=manifest.parents,
            manifest=manifest_id(text),
            length=len(text),
            source=source,
            text=text if len(text) <= MANIFEST_INLINE_BYTES else b"",
        )

    @classmethod
    def parse(cls, record: Record) -> VersionRecord:
        """What `record` says; its manifest, if it is inside, has the id that is named."""
        fields = dict(record.fields)
        try:
            what, length = fields["what"], parse_count(fields["length"], MANIFEST_BYTES)
            path = names.check_path(unescape(fields["path"]))
            version = parse_time(fields["version"])
            manifest = parse_hex32(fields["manifest"])
        except KeyError as error:
            raise _bad(record, f"{error.args[0]}= is missing") from None
        except BadPath as error:
            raise _bad(record, f"path {error.path}: {error.fields['reason']}") from None
        if what not in KINDS:
            raise _bad(record, f"unknown kind of version {what!r}")
        parents: tuple[bytes, ...] = ()
        if "parent" in fields:
            parents = tuple([parse_hex32(parent) for parent in record.all("parent")])
        if len(parents) > PARENTS_MAX:
            raise _bad(record, f"more than {PARENTS_MAX} parents")
        text = b""
        if length <= MANIFEST_INLINE_BYTES:
            text = record.payload[:length]
            if len(text) != length or manifest_id(text) != manifest:
                raise _bad(record, "its manifest is not the one it names")
        source = fields.get("source", "")
        return cls(path, what, version, parents, manifest, length, source, text)

    def decode(self, origin: str, text: bytes | None = None) -> Manifest:
        """The manifest, completed by what the record says: parents and, as node, `origin`.

        `text` is the manifest's bytes where they are not inside the record. Raises FormatError
        if they are not the bytes that the record names, or contradict it.
        """
        data = self.text if text is None else text
        where = f"manifest of {escape(self.path)} {format_time(self.version)}"
        if text is not None and (len(data) != self.length or manifest_id(data) != self.manifest):
            raise FormatError(what=where, reason="not the bytes its record names")
        made = decode(data, where=where, path=self.path, version=self.version)
        if made.kind != self.what:
            raise FormatError(what=where, reason=f"its record calls it a {self.what}")
        if made.node and made.parents == self.parents:
            return made
        return made._replace(node=made.node or origin, parents=self.parents)


@dataclass(frozen=True, slots=True)
class CloseRecord:
    """An operation ended: what it was, and how much it did."""

    KIND: ClassVar[str] = "close"

    verb: str
    args: tuple[builtins.bytes, ...] = ()
    versions: int = 0
    bytes: int = 0

    def fields(self) -> Fields:
        """The fields in their order."""
        args = [("arg", escape(arg)) for arg in self.args]
        counts = [("versions", str(self.versions)), ("bytes", str(self.bytes))]
        return (("verb", self.verb), *args, *counts)

    def payload(self) -> builtins.bytes:
        """None."""
        return b""

    @classmethod
    def parse(cls, record: Record) -> CloseRecord:
        """What `record` says."""
        return cls(
            verb=record.need("verb"),
            args=tuple([unescape(arg) for arg in record.all("arg")]),
            versions=parse_count(record.need("versions"), SEQUENCE_MAX),
            bytes=parse_count(record.need("bytes"), SIZE_MAX),
        )


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What a node is called (UTF-8) and whether it is a mere cache, from here on."""

    KIND: ClassVar[str] = "node"

    name: str
    cacheonly: bool = False

    def fields(self) -> Fields:
        """The fields in their order."""
        name = escape(self.name.encode("utf-8"))
        return (("name", name), ("cacheonly", "yes" if self.cacheonly else "no"))

    def payload(self) -> bytes:
        """None."""
        return b""

    @classmethod
    def parse(cls, record: Record) -> NodeRecord:
        """What `record` says."""
        cacheonly = record.need("cacheonly")
        if cacheonly not in ("yes", "no"):
            raise _bad(record, "cacheonly is neither yes nor no")
        name = unescape(record.need("name"))
        if len(name) > NAME_BYTES:
            raise _bad(record, f"its name has {len(name)} bytes")
        try:
            return cls(name.decode("utf-8"), cacheonly == "yes")
        except UnicodeDecodeError:
            raise _bad(record, "its name is not UTF-8") from None


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """Versions that the whole volume lets go of, and the policy that chose them."""

    KIND: ClassVar[str] = "prune"

    policy: Fields
    versions: tuple[bytes, ...]

    def fields(self) -> Fields:
        """The policy's fields, values as written."""
        return self.policy

    def payload(self) -> bytes:
        """One id a line."""
        return b"".join([b"%s\n" % version.hex().encode() for version in self.versions])

    @classmethod
    def parse(cls, record: Record) -> PruneRecord:
        """What `record` says."""
        try:
            lines = record.payload.decode("ascii").split("\n")[:-1]
        except UnicodeDecodeError:
            raise _bad(record, "its payload is not a list of ids") from None
        return cls(record.fields, tuple([parse_hex32(line) for line in lines]))


@dataclass(frozen=True, slots=True)
class _Answer:
    """The writing node answers the record `seq` of the node `of`."""

    of: str
    seq: int

    def fields(self) -> Fields:
        """The fields in their order."""
        return (("of", f"{self.of}:{self.seq}"),)

    def payload(self) -> bytes:
        """None."""
        return b""

    @classmethod
    def parse(cls, record: Record) -> Self:
        """What `record` says."""
        origin, _, seq = record.need("of").partition(":")
        return cls(parse_uuid(origin), parse_count(seq, SEQUENCE_MAX))


@dataclass(frozen=True, slots=True)
class PruneOkRecord(_Answer):
    """The writing node has applied the prune record `seq` of `of` and no longer uses what it names."""

    KIND: ClassVar[str] = "prune-ok"


@dataclass(frozen=True, slots=True)
class RetireRecord:
    """`node` is gone for good: nobody waits for it any more."""

    KIND: ClassVar[str] = "retire"

    node: str

    def fields(self) -> Fields:
        """The fields in their order."""
        return (("node", self.node),)

    def payload(self) -> bytes:
        """None."""
        return b""

    @classmethod
    def parse(cls, record: Record) -> RetireRecord:
        """What `record` says."""
        return cls(parse_uuid(record.need("node")))


def parse_numbers(text: str) -> tuple[int, int]:
    """Records from one number to another, both counted. Raises FormatError."""
    low, _, high = text.partition("-")
    first, last = parse_count(low, SEQUENCE_MAX), parse_count(high, SEQUENCE_MAX)
    if not 0 < first <= last:
        raise FormatError(what="numbers", reason=f"{text} is no range")
    return first, last


@dataclass(frozen=True, slots=True)
class BackRecord(_Answer):
    """The writing node is not gone: the retire record `seq` of `of`, which names it, is over."""

    KIND: ClassVar[str] = "back"


@dataclass(frozen=True, slots=True)
class LostRecord:
    """The writing node lacks these records of `node`, which is retired, and has never had them."""

    KIND: ClassVar[str] = "lost"

    node: str
    numbers: tuple[tuple[int, int], ...]

    def fields(self) -> Fields:
        """The fields in their order."""
        numbers = [("numbers", f"{low}-{high}") for low, high in self.numbers]
        return (("node", self.node), *numbers)

    def payload(self) -> bytes:
        """None."""
        return b""

    @classmethod
    def parse(cls, record: Record) -> LostRecord:
        """What `record` says."""
        node = parse_uuid(record.need("node"))
        numbers = [parse_numbers(value) for key, value in record.fields if key == "numbers"]
        if not 0 < len(numbers) <= GAPS_MAX:
            raise _bad(record, f"it names {len(numbers)} ranges of numbers")
        return cls(node, tuple(numbers))


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """A sentence for the Log (UTF-8)."""

    KIND: ClassVar[str] = "note"

    text: str

    def fields(self) -> Fields:
        """The fields in their order."""
        return (("text", escape(self.text.encode("utf-8", "surrogateescape"))),)

    def payload(self) -> bytes:
        """None."""
        return b""

    @classmethod
    def parse(cls, record: Record) -> NoteRecord:
        """What `record` says."""
        return cls(unescape(record.need("text")).decode("utf-8", "surrogateescape"))


EVENTS: Final[dict[str, Callable[[Record], Entry]]] = {
    kind.KIND: kind.parse
    for kind in (
        *(NodeRecord, PruneRecord, PruneOkRecord, RetireRecord, BackRecord, LostRecord),
        NoteRecord,
    )
}
"""By kind: what reads a record that is neither a version nor the end of an operation."""


def parse_event(record: Record) -> Entry | None:
    """What a record says that is neither a version nor the end of an operation; None for those,
    and for kinds of later releases. Raises FormatError."""
    parse = EVENTS.get(record.kind)
    return None if parse is None else parse(record)


def _bad(record: Record, reason: str) -> FormatError:
    return FormatError(what=f"{record.kind} record {record.seq}", reason=reason)
