"""Makes the golden volumes of this format: run once for a format, kept for ever.

    python -m tests.make_golden

writes `tests/golden/volumes-1.tar.xz` and, beside it, what must be read from them. They hold
whatever a volume of this format may: every kind of version and record, odd names, a conflict, a
rename, large and small blocks in each compression, a manifest too large for its record, a closed
segment, another node's journal, a staged file that nobody exploded, and one laid out by hand.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import tarfile
import tempfile
from pathlib import Path

from globofs.format.manifest import Block, Manifest, encode
from globofs.format.text import escape
from globofs.store.commit import Draft
from globofs.store.node import Node, create_node
from globofs.sync.results import Policy
from globofs.volume import Volume
from tests.helpers_node import FixedClock

GOLDEN = Path(__file__).parent / "golden"
VOLUMES = GOLDEN / "volumes-1.tar.xz"
EXPECTED = GOLDEN / "volumes-1.json"
CACHES = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "lock", "run", "tmp")
PIECE = b"the same piece again and again; "
PIECES = 16_000


def made(top: Path, name: str, number: int, clock: FixedClock, **config: object) -> Volume:
    uuid = f"00000000-0000-4000-8000-{number:012d}"
    return Volume(create_node(str(top / name), name=name, uuid=uuid, clock=clock, **config))  # type: ignore[arg-type]


def one_and_two(top: Path) -> None:
    """Two nodes that know each other, and a third that came and went."""
    clock = FixedClock(1_700_000_000 * 10**9, tick=1000)
    folder = top / "folder"
    (folder / "d/empty").mkdir(parents=True)
    one = made(top, "one", 1, clock, blocksize=4096)
    two = made(top, "two", 2, clock, chunking="fixed", compression="gzip:9")
    three = made(top, "three", 3, clock, compression="none", cacheonly=True)
    every = (one, two, three)
    for volume in every:
        for other in every:
            if other is not volume:
                volume.peer_add(other.name, other.directory, yes=True)
    chance = random.Random(1)
    names = [b"plain", b"versions", b"=escaped", b"caf\xe9", b"with space\n", b"d/hashes", b"d/-rf"]
    for round_ in range(3):
        for name in names:
            path = os.path.join(os.fsencode(folder), name)
            Path(os.fsdecode(path)).write_bytes(b"%d %s " % (round_, name) * 30)
        (folder / "large").write_bytes(chance.randbytes(30_000) + b"tail" * round_ * 2000)
        one.add([f"{folder}/"], yes=True)
    (folder / "link").symlink_to("../outside")
    (folder / "becomes").write_bytes(b"a file")
    one.add([f"{folder}/"], yes=True)
    one.mv(b"plain", b"d/renamed")
    one.rm([b"becomes"])
    (folder / "becomes").unlink()
    (folder / "becomes").mkdir()
    (folder / "becomes/below").write_bytes(b"now a directory")
    one.add([f"{folder}/"], delete=True, yes=True)
    everybody_syncs(every)
    for volume, text in ((one, b"mine"), (two, b"yours")):
        (folder / "both").write_bytes(text)
        volume.add([str(folder / "both")], to=b"d/both", yes=True)
    large_manifest(one.node)
    everybody_syncs(every)
    one.peer_remove("three")
    one.peer_retire("three")
    two.prune(Policy(keep_last=2))
    one.pin(b"d")
    one.pause("two")
    with one.node.locks.journal.exclusive():
        one.node.journal.rotate()
    staged_only(one.node)
    for volume in every:
        volume.peers.close()
        volume.node.index.close()


def everybody_syncs(volumes: tuple[Volume, ...]) -> None:
    for _ in range(3):
        for volume in volumes:
            volume.sync()


def large_manifest(node: Node) -> None:
    """A file of one block many times, whose manifest does not fit into its record."""
    block = Block(hashlib.sha256(PIECE).digest(), len(PIECE))
    with node.operation("add", ["repeated"]) as operation, node.blocks.batch() as batch:
        batch.add(block.id, block.size, PIECE, "")
        batch.seal()
        blocks = (block,) * PIECES
        size = len(PIECE) * PIECES
        operation.commit([Draft(b"repeated", "file", size, 0o600, 7, b"", blocks)])


def staged_only(node: Node) -> None:
    """An operation that was killed behind its commit: no close, its block in a staged file."""
    data = b"staged, and nowhere else"
    block = Block(hashlib.sha256(data).digest(), len(data))
    operation = node.operation("add", ["staged"])
    with node.blocks.batch() as batch:
        batch.add(block.id, block.size, data, "")
        batch.seal()
        operation.commit([Draft(b"staged", "file", len(data), 0o644, 8, b"", (block,))])


def by_hand(top: Path) -> None:
    """A volume as the plan draws it, made with an editor and gzip."""
    node = top / "hand/local"
    file = node / "root/Photos/Trips/Moon/Photo1"
    (file / "versions").mkdir(parents=True)
    uuid = "00000000-0000-4000-8000-000000000004"
    (node / "config").write_text(f"uuid={uuid}\ncacheonly=no\ncachetime=30m\n")
    for time, text in ((1348095423553456124, b"older"), (1348096774177556349, b"newer")):
        digest = hashlib.sha256(text)
        blocks = (Block(digest.digest(), len(text)),)
        path = b"Photos/Trips/Moon/Photo1"
        manifest = Manifest("file", path, time, uuid, (), len(text), 0o644, time, blocks=blocks)
        for name in (f"{time // 10**9}.{time % 10**9:09d}", "latest"):
            (file / "versions" / name).write_bytes(encode(manifest))
        name = digest.hexdigest()
        place = node / "hashes" / name[:2] / name[2:4]
        place.mkdir(parents=True)
        (place / f"{name[4:]}.gz").write_bytes(gzip.compress(text, mtime=0))


def read_back(volume: Volume) -> dict[str, object]:
    """All that a volume says of itself, as JSON."""
    files: dict[str, object] = {}
    for entry in volume.view().walk(deleted=True):
        history = [
            {
                "id": version.id.hex(),
                "kind": version.kind,
                "time": version.time,
                "size": version.size,
                "target": escape(version.target),
                "content": content(volume, version),
            }
            for version in volume.history(entry.path)
        ]
        shown = entry.version.hex() if entry.version else ""
        files[escape(entry.path)] = {"shown": shown, "conflict": entry.conflict, "is": history}
    return {
        "files": files,
        "nodes": sorted(
            [info.uuid, info.name, info.cacheonly, info.retired]
            for info in volume.node.index.nodes()
        ),
        "operations": [[o.verb, o.interrupted] for o in volume.operations()],
        "conflicts": sorted(escape(one.path) for one in volume.conflicts()),
        "pins": [escape(pin) for pin in volume.node.state.pins()],
        "paused": sorted(volume.pauses().peers),
        "last": volume.node.journal.last().seq,
    }


def content(volume: Volume, version: object) -> str:
    """The SHA-256 of a file's bytes; "" for what has none, or not here."""
    if version.kind != "file" or version.pruned:  # type: ignore[attr-defined]
        return ""
    if not all(held for _, held in volume.blocks(version)):  # type: ignore[arg-type]
        return "not here"
    return hashlib.sha256(b"".join(volume.read(version))).hexdigest()  # type: ignore[arg-type]


def nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by nobody, made at no time."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def main() -> None:
    top = Path(tempfile.gettempdir()) / "golden"
    top.mkdir()
    one_and_two(top)
    by_hand(top)
    for name in ("folder", "three"):
        shutil.rmtree(top / name)
    for place in top.glob("*/local"):
        for name in CACHES:
            shutil.rmtree(place / name, ignore_errors=True)
            (place / name).unlink(missing_ok=True)
    with tarfile.open(VOLUMES, "w:xz") as tar:
        for name in sorted(path.name for path in top.iterdir()):
            tar.add(top / name, name, filter=nobodys)
    expected = {}
    for place in sorted(top.iterdir()):
        with Volume.open(str(place)) as volume:
            expected[place.name] = read_back(volume)
    EXPECTED.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(top)


if __name__ == "__main__":
    main()
