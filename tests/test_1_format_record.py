"""Records: whatever happens to a journal, no wrong record is read and no whole one is lost."""

from __future__ import annotations

import time
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.errors import FormatError
from globofs.format import kinds
from globofs.format.manifest import Manifest, encode, manifest_id
from globofs.format.record import (
    BEFORE_APPEND,
    FIRST_PREV,
    MARKER,
    Damage,
    Found,
    Record,
    Tail,
    decode_body,
    encode_record,
    scan,
)
from globofs.limits import MANIFEST_INLINE_BYTES, RECORD_BYTES, SEQUENCE_MAX
from tests.helpers_format import OTHER, UUID, extras, ids, manifests, sequences, times, uuids

KIND_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
PAYLOADS = st.just(b"") | st.binary(max_size=200).filter(lambda data: MARKER not in data).map(
    lambda data: data + b"\n"
)
NOTE = Record(1, UUID, FIRST_PREV, 1, "note", 5, (("text", "hello"),))


@st.composite
def records(draw: st.DrawFn) -> Record:
    seq = draw(sequences)
    return Record(
        seq=seq,
        origin=draw(uuids),
        prev=draw(ids),
        op=draw(st.integers(1, seq)),
        kind=draw(KIND_NAMES),
        time=draw(times),
        fields=draw(extras),
        payload=draw(PAYLOADS),
    )


def journal(count: int) -> list[bytes]:
    """Frames of a chain of records of mixed kinds."""
    frames: list[bytes] = []
    prev = FIRST_PREV
    for number in range(1, count + 1):
        entry: kinds.Entry = kinds.NoteRecord(f"number {number}")
        if number % 3:
            manifest = Manifest("file", b"a/%d" % number, number, UUID, mode=0o644)
            entry = kinds.VersionRecord.of(manifest, encode(manifest))
        frame, prev = encode_record(kinds.make_record(number, UUID, prev, 1, number, entry))
        frames.append(frame)
    return frames


def found(data: bytes, *, final: bool = True) -> list[Found]:
    return [part for part in scan(data, final=final) if isinstance(part, Found)]


@given(records())
def test_round_trip(record: Record) -> None:
    frame, name = encode_record(record)
    body = frame.split(b"\n", 1)[1]
    assert decode_body(body) == record
    assert name == sha256(body).digest()
    (part,) = scan(frame)
    assert part == Found(0, len(frame), name, record, frame)


# --- damage ---------------------------------------------------------------------------------


@st.composite
def damage(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` after one misfortune."""
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.integers(1, 600)))
    what = draw(
        st.sampled_from(["hole", "cut", "splice", "lose", "flip", "foreign", "claim", "double"])
    )
    if what == "hole":
        return data[:start] + bytes(end - start) + data[end:]
    if what == "cut":
        return data[:start]
    if what == "splice":  # a piece of it once more, somewhere
        at = draw(st.integers(0, len(data)))
        return data[:at] + data[start:end] + data[at:]
    if what == "double":
        return data[:end] + data[start:]
    if what == "lose":
        return data[:start] + data[end:]
    if what == "flip" and start < len(data):
        flipped = data[start] ^ (1 << draw(st.integers(0, 7)))
        return data[:start] + bytes([flipped]) + data[start + 1 :]
    if what == "claim":  # a marker that swallows everything behind it, if it is believed
        length = draw(
            st.sampled_from([b"1", b"300", b"100000", b"4194304", b"9999999", b"0", b"-1"])
        )
        return data[:start] + MARKER + length + b" " + b"a" * 64 + b"\n" + data[start:]
    return data[:start] + draw(st.binary(max_size=80)) + data[start:]


@given(st.data(), st.integers(1, 6), st.integers(1, 5), st.booleans())
@settings(max_examples=300)
def test_damage_hides_only_what_it_touches(
    data: st.DataObject, count: int, misfortunes: int, final: bool
) -> None:
    frames = journal(count)
    file = b"".join([BEFORE_APPEND + frame for frame in frames])
    for _ in range(misfortunes):
        file = data.draw(damage(file))
    parts = list(scan(file, final=final))
    seen = [part.raw for part in parts if isinstance(part, Found)]
    assert set(seen) <= set(frames), "a wrong record was accepted"
    for frame in frames:
        assert seen.count(frame) == file.count(frame), "a whole record was lost"
    position = 0
    for part in parts:  # in order, disjoint, and nothing is passed over in silence
        assert not file[position : part.offset].strip(b"\n")
        position = len(file) if isinstance(part, Tail) else part.end
        if isinstance(part, Found):
            assert file[part.offset : part.end] == part.raw
    assert not file[position:].strip(b"\n")
    assert not (final and any(isinstance(part, Tail) for part in parts))


@given(st.data(), st.integers(1, 5))
def test_reading_in_pieces_finds_the_same(data: st.DataObject, count: int) -> None:
    file = b"".join([BEFORE_APPEND + frame for frame in journal(count)])
    file = data.draw(damage(file))
    seen: list[Found] = []
    position = length = 0
    while length < len(file):
        length = data.draw(st.integers(length + 1, len(file)))
        for part in scan(file[position:length], base=position):
            if isinstance(part, Found):
                seen.append(part)
            if not isinstance(part, Tail):
                position = part.end
    assert seen == found(file)


def test_an_incomplete_end_means_not_yet() -> None:
    first, second = journal(2)
    whole = first + BEFORE_APPEND + second
    for cut in range(len(first) + 2, len(whole)):
        parts = list(scan(whole[:cut]))
        assert isinstance(parts[0], Found)
        assert parts[1:] == [Tail(len(first) + 1)], cut
        assert list(scan(whole[:cut], final=True))[1] == Damage(
            len(first) + 1, cut, "a damaged record"
        ) or (cut < len(first) + 1 + len(MARKER))


def test_zeros_at_the_end_are_not_yet_and_in_between_damage() -> None:
    first, second = journal(2)
    assert [type(part) for part in scan(first + bytes(500))] == [Found, Tail]
    middle = list(scan(first + bytes(500) + second))
    assert middle[1] == Damage(len(first), len(first) + 500, "zeros where a record should be")
    assert [type(part) for part in middle] == [Found, Damage, Found]


def test_a_torn_record_is_healed_by_the_next_append() -> None:
    first, second = journal(2)
    torn = first + BEFORE_APPEND + second[:-5]
    healed = torn + BEFORE_APPEND + second
    assert [part.record.seq for part in found(healed)] == [1, 2]


def test_offsets_count_from_the_start_of_the_file() -> None:
    (frame,) = journal(1)
    (part,) = scan(frame, base=1000)
    assert isinstance(part, Found)
    assert (part.offset, part.end) == (1000, 1000 + len(frame))
    assert list(scan(b"xx", base=7)) == [Tail(7)]


def framed(body: bytes) -> bytes:
    return MARKER + b"%d %s\n" % (len(body), sha256(body).hexdigest().encode()) + body


def test_a_whole_record_that_makes_no_sense_is_damage_and_done_with() -> None:
    good = journal(1)[0]
    bad = framed(b"seq=1\n\n")
    parts = list(scan(b"junk" + bad + good))
    assert [type(part) for part in parts] == [Damage, Damage, Found]
    assert [type(part) for part in scan(good + bad)] == [Found, Damage]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"seq=1", b"seq=0"),
        (b"seq=1", b"seq=01"),
        (b"seq=1", b"seq=9007199254740993"),
        (b"op=1", b"op=2"),
        (b"op=1", b"op=0"),
        (b"origin=6", b"origin=G"),
        (b"kind=note", b"kind=Note"),
        (b"prev=0", b"prev="),
        (b"time=0.000000005", b"time=0.5"),
        (b"time=0.000000005", b"time=-0.000000005"),
        (b"time=0.000000005", b"time=9999999999.000000000"),
        (b"text=hello", b"text=hel lo"),
        (b"text=hello", b"text=h\xe9"),
        (b"seq=1\norigin", b"op=1\nseq=1\norigin"),
        (b"text=hello\n\n", b"text=hello\n"),
    ],
)
def test_other_spellings_are_refused(old: bytes, new: bytes) -> None:
    body = encode_record(NOTE)[0].split(b"\n", 1)[1]
    assert old in body
    with pytest.raises(FormatError):
        decode_body(body.replace(old, new, 1))
    (part,) = scan(framed(body.replace(old, new, 1)))
    assert isinstance(part, Damage)


@pytest.mark.parametrize(
    "bad",
    [
        {"seq": 0},
        {"seq": SEQUENCE_MAX + 1},
        {"op": 2},
        {"origin": "me"},
        {"prev": b"x"},
        {"time": -1},
        {"kind": "a b"},
        {"fields": (("a", "b c"),)},
        {"fields": (("A", "b"),)},
        {"fields": (("a", "b\nc=d"),)},
        {"payload": b"no newline"},
        {"payload": b"x" + MARKER + b"\n"},
        {"payload": bytes(RECORD_BYTES) + b"\n"},
    ],
)
def test_nothing_is_written_that_could_not_be_read(bad: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        encode_record(NOTE._replace(**bad))


def test_forged_markers_cannot_make_reading_slow() -> None:
    forged = (MARKER + b"4000000 " + b"a" * 64 + b"\n") * 100_000
    frame = journal(1)[0]
    started = time.process_time()
    assert [part.raw for part in found(forged + frame)] == [frame]
    assert time.process_time() - started < 5


def test_framing_is_fast() -> None:
    data = b"\n".join(journal(3000))
    started = time.process_time()
    assert len(found(data)) == 3000
    assert time.process_time() - started < 0.5  # 10 µs a record; room for a slow machine


# --- kinds ----------------------------------------------------------------------------------


@given(manifests(), st.sampled_from(["", "0123456789abcdef"]))
def test_version_records_carry_the_manifest_verbatim(manifest: Manifest, source: str) -> None:
    text = encode(manifest)
    entry = kinds.VersionRecord.of(manifest, text, source)
    frame, _ = encode_record(kinds.make_record(3, UUID, bytes(32), 2, 7, entry))
    (part,) = found(frame)
    read = kinds.VersionRecord.parse(part.record)
    assert read == entry
    assert read.text == text
    assert read.decode(UUID) == manifest
    assert read.manifest == manifest_id(text)


def test_a_hand_made_manifest_is_completed_by_its_record() -> None:
    text = b"zork=1\n\nblocks=0"
    parent = manifest_id(b"x")
    entry = kinds.VersionRecord(b"a", "file", 9, (parent,), manifest_id(text), len(text), "", text)
    (part,) = found(encode_record(kinds.make_record(1, UUID, bytes(32), 1, 9, entry))[0])
    read = kinds.VersionRecord.parse(part.record)
    assert read.text == text, "verbatim, also without its last line feed"
    made = read.decode(UUID)
    assert (made.path, made.version, made.node, made.parents) == (b"a", 9, UUID, (parent,))


def test_a_large_manifest_is_left_out_and_checked_when_it_comes() -> None:
    extra = tuple([("zork", "x" * 10_000)] * 100)
    manifest = Manifest("file", b"a", 1, UUID, mode=0o644, extra=extra)
    text = encode(manifest) + b""
    blocks_line = b"\nblocks=0\n"
    assert text.endswith(blocks_line)
    assert len(text) < MANIFEST_INLINE_BYTES
    entry = kinds.VersionRecord(
        b"a", "file", 1, (), manifest_id(text), MANIFEST_INLINE_BYTES + 1, "", b""
    )
    record = kinds.make_record(1, UUID, bytes(32), 1, 9, entry)
    assert record.payload == b""
    read = kinds.VersionRecord.parse(record)
    with pytest.raises(FormatError, match="not the bytes"):
        read.decode(UUID, text)
    with pytest.raises(FormatError, match="not the bytes"):
        read._replace(length=len(text)).decode(UUID, text[:-1] + b"x")
    assert read._replace(length=len(text)).decode(UUID, text) == manifest


@pytest.mark.parametrize(
    "bad",
    [
        {"path": "..%2Fx"},
        {"path": "../x"},
        {"path": ""},
        {"what": "socket"},
        {"manifest": "00" * 32},
        {"length": "1"},
        {"length": "999999999999"},
        {"version": "x"},
        {"parent": "x"},
    ],
)
def test_version_records_that_lie_are_refused(bad: dict[str, str]) -> None:
    manifest = Manifest("file", b"a", 1, UUID, mode=0o644, parents=(bytes(32),))
    entry = kinds.VersionRecord.of(manifest, encode(manifest))
    record = kinds.make_record(1, UUID, bytes(32), 1, 9, entry)
    kinds.VersionRecord.parse(record)
    fields = tuple([(key, bad.get(key, value)) for key, value in record.fields])
    with pytest.raises(FormatError):
        kinds.VersionRecord.parse(record._replace(fields=fields))
    for key in set(bad) - {"parent"}:
        left = tuple([field for field in record.fields if field[0] != key])
        with pytest.raises(FormatError):
            kinds.VersionRecord.parse(record._replace(fields=left))


def test_a_record_that_contradicts_its_manifest_is_refused() -> None:
    manifest = Manifest("file", b"a", 1, UUID, mode=0o644)
    entry = kinds.VersionRecord.of(manifest, encode(manifest))
    for bad in ({"path": b"b"}, {"version": 2}, {"what": "deleted"}):
        with pytest.raises(FormatError):
            entry._replace(**bad).decode(UUID)


@pytest.mark.parametrize(
    "entry",
    [
        kinds.CloseRecord("add", (b"a b", b"\xff", b""), 3, 5),
        kinds.NodeRecord("Mühle 1", True),
        kinds.NodeRecord("x"),
        kinds.PruneRecord((("keep-last", "3"),), (bytes(32), b"x" * 32)),
        kinds.PruneRecord((), ()),
        kinds.PruneOkRecord(OTHER, 7),
        kinds.RetireRecord(OTHER),
        kinds.BackRecord(OTHER, 7),
        kinds.LostRecord(OTHER, ((3, 3), (7, 2**53))),
        kinds.NoteRecord("two\nlines, and \udcff"),
    ],
)
def test_every_kind_comes_back(entry: kinds.Entry) -> None:
    (part,) = found(encode_record(kinds.make_record(1, UUID, bytes(32), 1, 9, entry))[0])
    assert part.record.kind == entry.KIND
    assert type(entry).parse(part.record) == entry


@pytest.mark.parametrize(
    ("kind", "fields", "payload"),
    [
        (kinds.CloseRecord, (("versions", "1"), ("bytes", "1")), b""),
        (kinds.CloseRecord, (("verb", "x"), ("versions", "-1"), ("bytes", "1")), b""),
        (kinds.CloseRecord, (("verb", "x"), ("arg", "%"), ("versions", "1"), ("bytes", "1")), b""),
        (kinds.NodeRecord, (("name", "x"), ("cacheonly", "maybe")), b""),
        (kinds.NodeRecord, (("name", "B%FCro"), ("cacheonly", "no")), b""),
        (kinds.NodeRecord, (("name", "%ED%A0%80"), ("cacheonly", "no")), b""),
        (kinds.NodeRecord, (("name", "x" * 256), ("cacheonly", "no")), b""),
        (kinds.PruneRecord, (), b"abc\n"),
        (kinds.PruneRecord, (), b"\xff\n"),
        (kinds.PruneOkRecord, (("of", OTHER),), b""),
        (kinds.RetireRecord, (("node", "x"),), b""),
        (kinds.LostRecord, (("node", OTHER),), b""),
        (kinds.LostRecord, (("node", OTHER), ("numbers", "3")), b""),
        (kinds.LostRecord, (("node", OTHER), ("numbers", "4-3")), b""),
        (kinds.LostRecord, (("node", OTHER), ("numbers", "0-3")), b""),
        (kinds.LostRecord, (("numbers", "1-3"),), b""),
        (kinds.NoteRecord, (), b""),
    ],
)
def test_nonsense_of_any_kind_is_refused(
    kind: type, fields: tuple[tuple[str, str], ...], payload: bytes
) -> None:
    record = Record(1, UUID, bytes(32), 1, kind.KIND, 1, fields, payload)
    with pytest.raises(FormatError):
        kind.parse(record)


def test_every_kind_there_is_can_be_read_by_whoever_reads_events() -> None:
    """A kind that is not among them would be in no index, and no comparison would miss it."""
    classes = [one for one in vars(kinds).values() if isinstance(one, type) and "KIND" in vars(one)]
    said = [one.KIND for one in classes if one is not kinds.Entry]
    others = {kinds.VersionRecord.KIND, kinds.CloseRecord.KIND}
    assert len(said) == len(set(said)) > 8
    assert set(kinds.EVENTS) | others == set(said)
