"""Random volumes for the tests of the index, and what must be in it, worked out naively."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256

from globofs.format import kinds, manifest, record
from globofs.format.manifest import Block, Manifest
from globofs.store import heads
from globofs.store.apply import Item
from globofs.store.index import Index

NODES = [str(uuid.UUID(int=number)) for number in (1, 2, 3)]
PATHS = [b"a", b"a/b", b"a/b/c", b"a/b/d", b"a.x", b"d/e/f/g", b"d/e", b"z"]
START = 1_700_000_000 * 10**9


def block(number: int) -> Block:
    """A block that needs no bytes; its size follows from its number."""
    return Block(sha256(b"block %d" % number).digest(), 100 + number)


@dataclass(frozen=True)
class Known:
    """A version as the naive model keeps it."""

    id: bytes
    time: int
    node: str
    kind: str
    content: bytes
    parents: tuple[bytes, ...]
    manifest: Manifest
    op: tuple[str, int]


@dataclass
class History:
    """Journals of several nodes that heard of each other now and then."""

    items: list[Item] = field(default_factory=list)
    versions: list[Known] = field(default_factory=list)
    ops: dict[tuple[str, int], list[int]] = field(default_factory=dict)


def make_history(rng: random.Random, count: int) -> History:
    """`count` versions by three nodes; parents are any earlier versions of the path, or none."""
    made = History()
    seqs = dict.fromkeys(NODES, 0)
    prevs = dict.fromkeys(NODES, record.FIRST_PREV)
    ops = dict.fromkeys(NODES, 1)
    by_path: dict[bytes, list[Known]] = defaultdict(list)
    for number in range(count):
        node = rng.choice(NODES)
        path = rng.choice(PATHS)
        m = _version(rng, node, path, START + number * rng.choice((1, 1, 0)), by_path[path])
        text = manifest.encode(m)
        entry = kinds.VersionRecord.of(m, text)
        seqs[node] += 1
        if rng.random() < 0.3:
            ops[node] = seqs[node]
        key = (node, ops[node])
        made.ops.setdefault(key, []).append(m.version)
        r = kinds.make_record(seqs[node], node, prevs[node], ops[node], m.version, entry)
        _, prevs[node] = record.encode_record(r)
        made.items.append(Item(r, prevs[node]))
        known = Known(entry.manifest, m.version, node, m.kind, m.content, m.parents, m, key)
        if all(known.id != other.id for other in made.versions):
            made.versions.append(known)
            by_path[path].append(known)
    return made


def _version(
    rng: random.Random, node: str, path: bytes, time: int, before: list[Known]
) -> Manifest:
    kind = rng.choice(("file", "file", "file", "directory", "symlink", "deleted"))
    parents: tuple[bytes, ...] = ()
    if before and rng.random() < 0.8:
        some = rng.sample(before, min(len(before), rng.choice((1, 1, 2))))
        parents = tuple(known.id for known in some)
    listed = tuple(block(rng.randrange(6)) for _ in range(rng.randrange(4)))
    if kind != "file":
        listed = ()
    return Manifest(
        kind, path, time, node, parents, sum(b.size for b in listed), rng.choice((0o644, 0o600)),
        START, b"target" if kind == "symlink" else b"", None, None, listed,
    )  # fmt: skip


def expected_paths(
    versions: list[Known], held: set[bytes], at: int | None = None
) -> dict[bytes, tuple[object, ...]]:
    """What each path shows and what lies below it, from scratch and without any cleverness."""
    by_path: dict[bytes, list[Known]] = defaultdict(list)
    for version in versions:
        if at is None or version.time <= at:
            by_path[version.manifest.path].append(version)
    own: dict[bytes, dict[str, int]] = {}
    shown: dict[bytes, Known] = {}
    for path, known in by_path.items():
        found = heads.heads(known)
        best = shown[path] = heads.winner(found)
        live = best.kind != "deleted"
        blocks = best.manifest.blocks if live else ()
        own[path] = {
            "files": int(best.kind in ("file", "symlink")),
            "bytes": best.manifest.size if best.kind == "file" else 0,
            "versions": len(known),
            "conflicts": int(heads.differ(found)),
            "blocks": len(blocks),
            "missing": sum(b.id not in held for b in blocks),
            "lacking": sum(b.size for b in blocks if b.id not in held),
            "live": int(live),
        }
    everything = set(own)
    for path in list(own):
        while path:
            path = path.rpartition(b"/")[0]
            everything.add(path)
    for path, mine in own.items():
        below = any(other["live"] for name, other in own.items() if name.startswith(path + b"/"))
        if below and shown[path].kind in ("file", "symlink"):
            mine["conflicts"] = 1
    result: dict[bytes, tuple[object, ...]] = {}
    for path in everything:
        prefix = path + b"/" if path else b""
        sums = [0] * 8
        for name, other in own.items():
            if name != path and name.startswith(prefix):
                sums = [a + b for a, b in zip(sums, other.values(), strict=True)]
        best_id = shown[path].id if path in shown else b""
        conflict = own[path]["conflicts"] if path in own else 0
        result[path] = (best_id, conflict, len(by_path.get(path, ())), *sums)
    return result


def found_paths(index: Index) -> dict[bytes, tuple[object, ...]]:
    """The same, as the index has it."""
    sql = (
        "SELECT path, version, conflict > 0, nversions, d_files, d_bytes, d_versions, d_conflicts,"
        " d_blocks, d_missing, d_lacking, d_live FROM path"
    )
    rows = {row[0]: tuple(row[1:]) for row in index.rows(sql)}
    return {path: row for path, row in rows.items() if row[2] or row[5] or not path}
