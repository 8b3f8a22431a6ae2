"""Manifests: canonical out, forgiving in, and never past a bound."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globofs import limits
from globofs.errors import BadPath, FormatError
from globofs.format import manifest as m
from globofs.format.manifest import Block, Manifest
from globofs.store import views
from tests.helpers_format import OTHER, UUID, manifests

HASH = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
PLAIN = Manifest(
    kind="file",
    path=b"a b",
    version=1_500_000_000,
    node=UUID,
    size=7,
    mode=0o644,
    blocks=(Block(bytes.fromhex(HASH), 7),),
)


@given(manifests())
def test_round_trip(manifest: Manifest) -> None:
    data = m.encode(manifest)
    assert m.decode(data) == manifest
    assert m.encode(m.decode(data)) == data


@given(manifests(), st.data())
def test_a_cut_manifest_never_passes_for_another(manifest: Manifest, data: st.DataObject) -> None:
    whole = m.encode(manifest)
    cut = data.draw(st.integers(1, 100)) if data.draw(st.booleans()) else len(whole)
    try:
        made = m.decode(whole[: max(0, len(whole) - cut)])
    except FormatError:
        return
    # Without the last line, or its end, `size` still tells that every block is there.
    assert made == manifest
    assert cut <= len(f"blocks={len(manifest.blocks)}\n")


def test_views_use_the_same_block() -> None:
    assert views.Block is Block


def test_the_text_is_as_documented() -> None:
    lines = m.encode(PLAIN._replace(extra=(("zork", "1"),))).decode().split("\n")
    assert lines == [
        "kind=file",
        "path=a%20b",
        "version=1.500000000",
        f"node={UUID}",
        "size=7",
        "mode=0644",
        "mtime=0.000000000",
        "zork=1",
        "",
        f"{HASH} 7",
        "blocks=1",
        "",
    ]


# --- made by hand ---------------------------------------------------------------------------


def test_hand_made_needs_little() -> None:
    made = m.decode(f"\n{HASH} 7\nblocks=1".encode(), path=b"a", version=5)
    assert made == Manifest(
        kind="file", path=b"a", version=5, size=7, mode=0o644, mtime=5, blocks=PLAIN.blocks
    )
    by_size = m.decode(f"size=7\n\n{HASH} 7".encode(), path=b"a", version=5)
    assert by_size == made
    assert m.decode(b"kind=directory\nsize=0\n\n", path=b"d", version=1).mode == 0o755
    assert m.decode(b"kind=deleted\n\nblocks=0\n", path=b"d", version=1).kind == "deleted"


def test_header_lines_may_come_in_any_order_and_unknown_ones_are_kept() -> None:
    text = b"zork=2\nsize=0\npath=x\nversion=1.000000000\nalso=a%20b\nkind=file\n\nblocks=0\n"
    made = m.decode(text)
    assert made.extra == (("zork", "2"), ("also", "a%20b"))
    assert m.decode(m.encode(made)) == made


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\n",
        b"kind=file\nblocks=0\n",
        b"kind=file\n\n",  # neither size nor blocks
        b"kind=disk\n\nblocks=0\n",
        b"kind=file\nkind=file\n\nblocks=0\n",
        b"blocks=0\n\nblocks=0\n",
        b"size=1\n\nblocks=0\n",
        b"size=00\n\nblocks=0\n",
        b"mode=644\n\nblocks=0\n",
        b"mode=07777\n\nblocks=0\n",
        b"mode=17777\n\nblocks=0\n",
        b"path=a/../b\n\nblocks=0\n",
        b"path=other\n\nblocks=0\n",
        b"version=6.000000000\n\nblocks=0\n",
        b"version=-5.000000000\n\nblocks=0\n",
        b"parent=abc\n\nblocks=0\n",
        b"node=me\n\nblocks=0\n",
        b"target=x\n\nblocks=0\n",
        b"kind=symlink\n\nblocks=0\n",
        b"kind=symlink\ntarget=a%00b\n\nblocks=0\n",
        b"from=/etc\n\nblocks=0\n",
        f"\n{HASH} 7\nblocks=2\n".encode(),
        f"\n{HASH} 0\nblocks=1\n".encode(),
        f"\n{HASH} 07\nblocks=1\n".encode(),
        f"\n{HASH} 67108865\nblocks=1\n".encode(),
        f"\n{HASH} 7 \nblocks=1\n".encode(),
        f"\n{HASH.upper()} 7\nblocks=1\n".encode(),
        f"\n{HASH} 7\n\nblocks=1\n".encode(),
        f"\n{HASH} 7\nblocks=1\n\n".encode(),
        f"\n{HASH} 7\nblocks=1\nblocks=1\n".encode(),
        f"\n{HASH} 7blocks=1\n".encode(),
        f"kind=directory\n\n{HASH} 7\nblocks=1\n".encode(),
        f"kind=deleted\nsize=7\n\n{HASH} 7\nblocks=1\n".encode(),
        "path=\xe4\n\nblocks=0\n".encode("latin-1"),
        b"kind=file\r\n\r\nblocks=0\r\n",
    ],
)
def test_broken_rules_are_refused(bad: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        m.decode(bad, where="m/latest", path=b"a", version=5_000_000_000)
    assert str(caught.value).startswith("m/latest: ")


@pytest.mark.parametrize(
    "bad",
    [
        {"path": b"../x"},
        {"size": 8},
        {"kind": "socket"},
        {"kind": "directory"},
        {"target": b"x"},
        {"mode": 0o10000},
        {"version": -1},
        {"node": "me"},
        {"blocks": (Block(bytes(32), 0),), "size": 0},
        {"blocks": (Block(bytes(32), limits.BLOCK_SIZE_MAX + 1),)},
        {"parents": (bytes(32),) * 1001},
        {"from_path": b"/x"},
        {"extra": (("a b", "c"),)},
        {"extra": (("x", "a b"),)},
        {"extra": (("x", "a\nblocks=7"),)},
        {"extra": (("node", UUID),)},
    ],
)
def test_nothing_is_written_that_could_not_be_read(bad: dict[str, object]) -> None:
    with pytest.raises((FormatError, BadPath)):
        m.encode(PLAIN._replace(**bad))


def test_bounds_hold_before_memory_is_spent() -> None:
    with pytest.raises(FormatError, match="larger than"):
        m.decode(bytes(limits.MANIFEST_BYTES + 1))
    with pytest.raises(FormatError, match="no empty line"):
        m.decode(b"a=" + b"x" * (2 * m.HEADER_BYTES) + b"\n\nblocks=0\n")
    parents = f"parent={HASH}\n".encode() * 1001
    with pytest.raises(FormatError, match="parents"):
        m.decode(parents + b"\nblocks=0\n", path=b"a", version=1)


def test_large_manifests_are_read_quickly() -> None:
    blocks = tuple(Block(number.to_bytes(32, "big"), 1) for number in range(100_000))
    large = PLAIN._replace(size=100_000, blocks=blocks)
    started = time.process_time()
    assert m.decode(m.encode(large)) == large
    assert time.process_time() - started < 2


# --- content --------------------------------------------------------------------------------


def test_equal_content_is_what_the_format_says() -> None:
    base = PLAIN.content
    assert len(base) == 16
    for same in ({"mtime": 9}, {"version": 9}, {"path": b"x"}, {"node": OTHER}):
        assert PLAIN._replace(**same).content == base
    other = Block(bytes(32), 7)
    for change in ({"mode": 0o600}, {"blocks": (other,)}, {"blocks": (*PLAIN.blocks, other)}):
        assert PLAIN._replace(**change).content != base
    two = (other, *PLAIN.blocks)
    assert m.content_of("file", 0, b"", two) != m.content_of("file", 0, b"", two[::-1])
    assert m.content_of("symlink", 0o777, b"a", ()) == m.content_of("symlink", 0, b"a", ())
    assert m.content_of("symlink", 0, b"a", ()) != m.content_of("symlink", 0, b"b", ())
    assert m.content_of("directory", 0o755, b"", ()) != m.content_of("directory", 0o700, b"", ())
    assert m.content_of("deleted", 1, b"", ()) == m.content_of("deleted", 2, b"", ())
    assert m.content_of("deleted", 0, b"", ()) != m.content_of("file", 0, b"", ())
