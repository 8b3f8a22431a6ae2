"""Hypothesis strategies for everything the format can say."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from globofs.format.manifest import Block, Manifest
from globofs.limits import BLOCK_SIZE_MAX, SEQUENCE_MAX, TIME_MAX_NS

settings.register_profile("globofs", deadline=None)  # other work shares this machine
settings.load_profile("globofs")

UUID = "68d25a11-a34a-4bbb-a29e-c9bd06ff8c53"
OTHER = "ea8192ee-593f-437f-af60-90d213995480"

uuids = st.uuids().map(str)
ids = st.binary(min_size=32, max_size=32)
times = st.integers(0, TIME_MAX_NS)
sequences = st.integers(1, SEQUENCE_MAX)
_odd_names = st.sampled_from(
    [b"versions", b"hashes", b"=", b"==versions", b"...", b"-", b"%41", b" "]
)
names_bytes = st.one_of(
    _odd_names,
    st.binary(min_size=1, max_size=40).filter(
        lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
    ),
)
paths = st.lists(names_bytes, min_size=1, max_size=5).map(b"/".join)
targets = st.binary(min_size=1, max_size=60).filter(lambda target: b"\0" not in target)
block_lists = st.lists(st.builds(Block, ids, st.integers(1, BLOCK_SIZE_MAX)), max_size=4).map(tuple)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
extra_keys = st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True).filter(
    lambda key: (
        key
        not in (
            [
                "kind",
                "path",
                "version",
                "node",
                "parent",
                "size",
                "mode",
                "mtime",
                "target",
                "from",
                "fromid",
                "blocks",
            ]
        )
    )
)
extras = st.lists(st.tuples(extra_keys, values), max_size=3).map(tuple)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest a node may write."""
    kind = draw(st.sampled_from(["file", "directory", "symlink", "deleted"]))
    blocks = draw(block_lists) if kind == "file" else ()
    return Manifest(
        kind=kind,
        path=draw(paths),
        version=draw(times),
        node=draw(uuids),
        parents=tuple(draw(st.lists(ids, max_size=3))),
        size=sum(block.size for block in blocks),
        mode=draw(st.integers(0, 0o7777)),
        mtime=draw(st.integers(-TIME_MAX_NS, TIME_MAX_NS)),
        target=draw(targets) if kind == "symlink" else b"",
        from_path=draw(st.none() | paths),
        from_id=draw(st.none() | ids),
        blocks=blocks,
        extra=draw(extras),
    )
