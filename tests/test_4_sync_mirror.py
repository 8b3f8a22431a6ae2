"""Mirror: everything here, or everything there; resumable, and honest about what is nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from globofs import limits
from globofs.errors import NoSuchPath, NoSuchPeer
from globofs.events import Progress
from globofs.sync.mirror import MirrorResult, mirror
from tests.helpers_peer import Site, sites


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """`b` knows of `a`'s files and holds nothing."""
    with sites(tmp_path, "a", "b", inline=False) as (a, b):
        b.knows(a)
        for number in range(5):
            a.write(f"d/f{number}", b"%d" % number * 70_000, piece=20_000)
        a.write("top", b"t")
        a.write("d/f0", b"new content")
        b.sync()
        yield a, b


def run(site: Site, path: bytes = b"", **options: object) -> MirrorResult:
    return mirror(site.node, site.peers, site.puller, path, emit=site.events.append, **options)  # type: ignore[arg-type]


def test_everything_is_here_afterwards(pair: tuple[Site, Site]) -> None:
    a, b = pair
    done = run(b)
    assert done.missing == 0
    assert done.problems == ()
    os.rename(a.node.volume, a.node.volume + "-off")
    for path in b.paths():
        assert b.read(os.fsdecode(path))
    assert b.node.state.wanted() == []
    progress = [event for event in b.events if isinstance(event, Progress)]
    assert progress
    assert progress[-1].bytes > 0
    again = run(b)
    assert (again.blocks, again.missing) == (0, 0)
    assert again.already > 0


def test_below_a_path_and_old_versions(pair: tuple[Site, Site]) -> None:
    _, b = pair
    done = run(b, b"d/f0")
    assert b.held("d/f0") == [True]
    assert b.held("top") == [False]
    assert done.blocks == 1
    old = run(b, b"d/f0", all_versions=True)
    assert old.blocks == 2, "a version of 20 kB pieces: three equal ones and a rest"
    with pytest.raises(NoSuchPath):
        run(b, b"nothing/here")


def test_what_is_nowhere_is_named_and_stays_wanted(pair: tuple[Site, Site]) -> None:
    a, b = pair
    block = sha256(b"t").digest()
    found = a.node.blocks.find(block)
    assert found
    os.unlink(found[0])
    done = run(b)
    assert done.missing == 1
    assert [problem.path for problem in done.problems] == [b"top"]
    assert a.node.name in done.problems[0].reason
    assert [wish.kind for wish in b.node.state.wanted()] == ["mirror"]
    a.write("again", b"t")
    b.sync()
    assert b.sync(pull=True).blocks == 1, "a later sync brings what is wanted"
    assert b.held("top") == [True]


def test_interrupted_it_goes_on_where_it_was(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b = pair
    monkeypatch.setattr(limits, "PULL_BYTES_IN_FLIGHT", 1)  # one at a time
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    first = run(b, cancelled=cancelled)
    assert first.interrupted
    second = run(b)
    assert 0 < first.blocks < 10
    assert first.blocks + second.blocks == 10
    assert all(all(b.held(os.fsdecode(path))) for path in b.paths())


def test_to_a_peer_that_cannot_reach_back(tmp_path: Path) -> None:
    with sites(tmp_path, "laptop", "server", inline=False) as (laptop, server):
        data = os.urandom(300_000)
        laptop.write("photo", data, piece=50_000)
        laptop.write("copy", data, piece=50_000)
        laptop.knows(server)
        laptop.sync()
        server.node.catch_up()
        assert server.held("photo") == [False] * 6
        done = run(laptop, to="server")
        assert (done.blocks, done.missing) == (6, 0)
        assert done.bytes == 300_000
        assert server.read("photo") == data
        again = run(laptop, to="server")
        assert (again.blocks, again.already) == (0, 6)
        with pytest.raises(NoSuchPeer):
            run(laptop, to="nobody")


def test_damage_here_is_never_sent(tmp_path: Path) -> None:
    with sites(tmp_path, "laptop", "server", inline=False) as (laptop, server):
        laptop.knows(server)
        laptop.write("photo", os.urandom(100_000))
        laptop.sync()
        for path in Path(laptop.node.hashes()).rglob("*"):
            if path.is_file():
                path.write_bytes(b"rot")
        for path in Path(laptop.node.staged()).glob("*"):
            path.unlink()
        done = run(laptop, to="server")
        assert (done.blocks, done.missing) == (0, 1)
        assert not [path for path in Path(server.node.hashes()).rglob("*") if path.is_file()]
