"""One flipped bit in every file of a node: each is found, mended, and gone at the second look.

A node with a peer that has all it has. In every block, every manifest in `root/` and every journal
one bit is flipped, anywhere; then the index, of which nothing but the result is expected.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from globofs.format.record import Found, scan
from globofs.volume import Volume

SEEDS = range(6)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, bytes]]:
    """Two volumes, `a` and `b`, that hold all of each other's; and what stands where."""
    top = tmp_path_factory.mktemp("sound")
    source = top / "source"
    (source / "d").mkdir(parents=True)
    with Volume.init(str(top / "a"), name="a") as a, Volume.init(str(top / "b"), name="b") as b:
        for number, volume in enumerate((a, b, a)):
            (source / "large").write_bytes(random.Random(number).randbytes(150_000))
            (source / "d/small").write_bytes(b"%d small text " % number * 50)
            volume.add([f"{source}/"], delete=True)
        a.peer_add("b", str(top / "b"), yes=True)
        b.peer_add("a", str(top / "a"), yes=True)
        for _ in range(3):
            for volume in (a, b):
                volume.sync()
        for volume in (a, b):
            volume.mirror(all_versions=True)
            volume.node.blocks.sync_pending()
        everything = contents(a)
    return top, everything


@pytest.fixture
def at(sound: tuple[Path, dict[bytes, bytes]], tmp_path: Path) -> Path:
    """A copy of both, to be spoiled: `a` of that directory."""
    for name in ("a", "b"):
        shutil.copytree(sound[0] / name, tmp_path / name, symlinks=True)
        for config in (tmp_path / name).glob("*/config"):
            config.write_text(config.read_text().replace(str(sound[0]), str(tmp_path)))
    return tmp_path / "a"


def contents(volume: Volume) -> dict[bytes, bytes]:
    """Every version of every file, and its bytes."""
    return {
        version.id: b"".join(volume.read(version))
        for entry in volume.view().walk()
        for version in volume.history(entry.path)
        if version.kind == "file"
    }


def flip(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))


def files(volume: Path, *patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in sorted((volume / "local").glob(pattern))]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def beats(at: Path, found_at_least: int, everything: dict[bytes, bytes]) -> None:
    """Found; mended; the second check finds nothing, and all is as it was."""
    with Volume.open(str(at)) as volume:
        first = volume.verify()
        assert first.damaged >= found_at_least, [problem.reason for problem in first.problems]
        assert first.remaining == first.damaged
        volume.verify(repair=True)
        for _ in range(2):
            again = volume.verify()
            assert [problem.reason for problem in again.problems if not problem.warning] == []
            assert again.damaged == 0
        assert contents(volume) == everything
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (at / "local" / name).unlink(missing_ok=True)
    with Volume.open(str(at)) as volume:
        assert contents(volume) == everything, "also for whoever reads the journals alone"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bit_of_every_block_manifest_and_journal(
    at: Path, sound: tuple[Path, dict[bytes, bytes]], seed: int
) -> None:
    """Scenario 26."""
    chance = random.Random(seed)
    spoiled = files(at, "hashes/*/*/*", "root/**/versions/*")
    for path in spoiled:
        flip(path, chance.randrange(path.stat().st_size), chance.randrange(8))
    journals = files(at, "upstream/*/updates/*", "upstream/*/via/*/updates/*")
    assert len(journals) >= 2
    for path in journals:
        frames = [item for item in scan(path.read_bytes(), final=True) if isinstance(item, Found)]
        record = chance.choice(frames)
        flip(path, chance.randrange(record.offset, record.end), chance.randrange(8))
    beats(at, len(spoiled) + len(journals), sound[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_bits_of_the_index(at: Path, sound: tuple[Path, dict[bytes, bytes]], seed: int) -> None:
    """It is a cache: whatever is wrong with it, `verify --repair` ends with the truth.
    (Scenario 26.)"""
    chance = random.Random(seed)
    (path,) = files(at, "index.sqlite")
    for _ in range(20):
        flip(path, chance.randrange(path.stat().st_size), chance.randrange(8))
    assert os.path.getsize(path) > 20_000
    beats(at, 0, sound[1])


def test_a_name_in_the_schema_that_is_no_text(
    at: Path, sound: tuple[Path, dict[bytes, bytes]]
) -> None:
    """SQLite quotes it in what it says, and that cannot be decoded."""
    (path,) = files(at, "index.sqlite")
    data = path.read_bytes()
    assert data.count(b"CREATE INDEX") > 1
    path.write_bytes(data.replace(b"CREATE INDEX", b"CREATE I\xa0DEX"))
    beats(at, 0, sound[1])


@pytest.mark.parametrize("seed", range(3))
def test_the_index_a_journal_and_a_block_at_once(
    at: Path, sound: tuple[Path, dict[bytes, bytes]], seed: int
) -> None:
    """Neither is mended by what the other says wrongly: records that are lost come from the peer
    though the index, which knew them, is made anew."""
    chance = random.Random(seed)
    with Volume.open(str(at)) as volume:
        volume.node.index.db.execute("UPDATE version SET size = size + 1, mode = 1")
        volume.node.index.db.execute("UPDATE record SET id = zeroblob(32) WHERE seq = 3")
    journals = files(at, "upstream/*/updates/*")
    for path in journals:
        frames = [item for item in scan(path.read_bytes(), final=True) if isinstance(item, Found)]
        for record in chance.sample(frames, 2):
            flip(path, chance.randrange(record.offset, record.end), chance.randrange(8))
    block = chance.choice(files(at, "hashes/*/*/*"))
    flip(block, chance.randrange(block.stat().st_size), chance.randrange(8))
    beats(at, 2 + 2 * len(journals) + 1, sound[1])


def test_records_that_the_index_alone_knows_are_not_forgotten(
    at: Path, sound: tuple[Path, dict[bytes, bytes]]
) -> None:
    """While no peer gives them back, the damaged index stays, and what is left of their versions
    in `root/`."""
    with Volume.open(str(at)) as volume:
        volume.node.index.db.execute("UPDATE version SET mode = 1 WHERE row = 1")
        peer = volume.peer_list()[0]
        volume.peer_remove(peer.name)
        (path,) = files(at, f"upstream/{volume.uuid}/updates/*")
        frames = [item for item in scan(path.read_bytes(), final=True) if isinstance(item, Found)]
        flip(path, frames[-2].end - 30, 3)
        for _ in range(2):
            done = volume.verify(repair=True)
            assert done.remaining == done.damaged == 2
            assert any("it alone knows 1 record that is lost" in p.reason for p in done.problems)
        volume.peer_add(peer.name, peer.path, yes=True)
    with Volume.open(str(at)) as volume:
        assert volume.verify(repair=True).remaining == 0
        done = volume.verify()
        assert done.damaged == 0
        assert all(problem.warning for problem in done.problems)
        assert contents(volume) == sound[1]
