"""Input from a stranger: whatever it is, the answer is a value or the one error for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from globofs.errors import BadConfig, FormatError
from globofs.format import applied, config, kinds, manifest, record
from tests.helpers_format import OTHER, UUID

HASH = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
MANIFEST = (
    f"kind=file\npath=a%20b/c\nversion=1.500000000\nnode={UUID}\nparent={HASH}\nsize=12\nmode=0644\n"
    f"mtime=-1.000000000\nfrom=x\nfromid={HASH}\nzork=1\n\n{HASH} 7\n{HASH} 5\nblocks=2\n"
).encode()
APPLIED = f"globofs-applied 1\n{UUID} 9 {HASH} 2 3-4,6-6\n{OTHER} 0 {HASH} 0 -\nend 2\n".encode()
CONFIG = f"uuid={UUID}\npath=/x #y\nname=n\nblocksize=64K\ncompression=gzip:9\npoll=1.5s\n".encode()
PIECES = st.sampled_from([b"\n", b"=", b" ", b"0", b"9" * 30, b"%", b"\0", b"\xff", b"-", b"\n\n"])


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


@given(spoiled(MANIFEST))
def test_manifests(data: bytes) -> None:
    try:
        made = manifest.decode(data)
    except FormatError:
        return
    assert manifest.decode(manifest.encode(made)) == made


@given(spoiled(APPLIED))
def test_acknowledgements(data: bytes) -> None:
    try:
        read = applied.decode(data)
    except FormatError:
        return
    assert applied.decode(applied.encode(read)) == read


@given(spoiled(CONFIG))
def test_configs(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for parse in (config.parse_node, config.parse_peer, config.parse_foreign):
        try:
            read = parse(text, "config")
        except BadConfig:
            continue
        assert len(read.uuid) == 36


@given(spoiled(MANIFEST), st.sampled_from(list(vars(kinds).values())))
def test_records_of_every_kind(data: bytes, kind: object) -> None:
    """Each kind's reader over each body that is a record at all."""
    if not (isinstance(kind, type) and isinstance(getattr(kind, "KIND", None), str)):
        return
    head = f"seq=2\norigin={UUID}\nprev={HASH}\nop=1\nkind={kind.KIND}\ntime=1.000000000\n"
    fields = data.split(b"\n\n")[0] + f"\nwhat=file\nlength={len(data)}\n".encode()
    try:
        made = record.decode_body(head.encode() + fields + b"\n" + data + b"\n")
        kind.parse(made)
    except FormatError:
        return
