"""Engines on real volumes: three nodes on one disk, what arrives, how soon, and from whom."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs.engine.engine import Engine
from globofs.snapshots import PeerStatus
from globofs.store import home
from globofs.store.state import Wish
from globofs.volume import Volume
from tests.helpers_engine import until


class Nodes:
    """Volumes that all know each other, each with an engine once started."""

    def __init__(self, top: Path, *names: str) -> None:
        self.top = top
        self.volumes = {name: Volume.init(str(top / name), name=name) for name in names}
        for name, volume in self.volumes.items():
            for other in names:
                if other != name:
                    volume.peer_add(other, str(top / other))
        self.engines: dict[str, Engine] = {}

    def __getitem__(self, name: str) -> Volume:
        return self.volumes[name]

    def start(self, *names: str) -> None:
        for name in names or self.volumes:
            self.engines[name] = Engine(self.volumes[name], label=f"test-{name}").start()
        for name in names or self.volumes:
            assert until(lambda name=name: self.engines[name].snapshot().notification)
            engine = self.engines[name]
            assert until(lambda engine=engine: "not yet" not in engine.snapshot().notification)

    def add(self, name: str, path: str, content: bytes) -> None:
        file = self.top / "home" / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self.volumes[name].add([str(file)])

    def content(self, name: str, path: bytes) -> bytes | None:
        view = self.volumes[name].view()
        version = view.version(path)
        if version is None or version.kind != "file":
            return None
        return b"".join(self.volumes[name].read(version))

    def peer(self, name: str, peer: str) -> PeerStatus:
        peers = self.engines[name].snapshot().status.peers
        return next(found for found in peers if found.name == peer)

    def close(self) -> None:
        for engine in self.engines.values():
            engine.close()
        for volume in self.volumes.values():
            volume.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path, "a", "b", "c")
    yield made
    made.close()


def test_a_change_is_readable_elsewhere_within_a_fifth_of_a_second(nodes: Nodes) -> None:
    nodes.add("a", "warm", b"up")
    nodes.start()
    assert until(lambda: nodes.content("b", b"warm") == b"up")
    assert all(engine.wait_idle(5) for engine in nodes.engines.values())
    took = []
    for number in range(7):
        content = b"change %d" % number
        nodes.add("a", "note.txt", content)
        begun = time.monotonic()
        assert until(lambda content=content: nodes.content("b", b"note.txt") == content)
        took.append(time.monotonic() - begun)
        time.sleep(0.3)
    assert sorted(took)[3] < 0.2, took


def test_without_notification_it_takes_a_poll_interval(nodes: Nodes, monkeypatch) -> None:
    monkeypatch.setattr("globofs.engine.hearing.PLACES", ())
    nodes.start("a", "b")
    assert nodes.engines["a"].wait_idle(5)
    nodes.add("a", "note.txt", b"polled")
    assert until(lambda: nodes.content("b", b"note.txt") == b"polled", 2 * 2.0 + 1.5)


def test_all_nodes_agree_and_acknowledge(nodes: Nodes) -> None:
    nodes.start()
    for name in ("a", "b", "c"):
        nodes.add(name, f"from-{name}", name.encode())
    paths = [b"from-a", b"from-b", b"from-c"]
    for name in ("a", "b", "c"):
        assert until(lambda n=name: [e.path for e in nodes[n].view().walk()] == paths), name
    for name in ("a", "b", "c"):
        assert nodes.engines[name].wait_idle(8)
        for peer in nodes.engines[name].snapshot().status.peers:
            assert (peer.state, peer.outgoing, peer.incoming) == ("online", 0, 0), (name, peer)


def test_what_is_pinned_is_pulled_also_what_comes_later(nodes: Nodes) -> None:
    for number in range(40):
        nodes.add("a", f"pictures/{number:02}", os.urandom(20_000))
    nodes["b"].pin(b"")
    nodes.start()
    walk = nodes["b"].view().walk
    assert until(lambda: [e.held for e in walk() if e.kind == "file"] == ["all"] * 40, 15)
    assert nodes.engines["b"].wait_idle(8)
    # A snapshot is of the tenth of a second before.
    assert until(lambda: nodes.engines["b"].snapshot().overall.finished >= 40)
    overall = nodes.engines["b"].snapshot().overall
    assert (overall.queued, overall.failed, overall.moving) == (0, 0, 0)
    assert overall.done == overall.total == 800_000
    nodes.add("c", "later", b"l" * 5000)
    assert until(lambda: [e.held for e in walk() if e.path == b"later"] == ["all"])
    assert nodes.peer("b", "a").bytes_in > 700_000


def test_a_wish_made_while_the_engine_runs_is_noticed(nodes: Nodes) -> None:
    nodes.add("a", "big", os.urandom(3_000_000))
    nodes.start()
    assert until(lambda: nodes["b"].view().entry(b"big") is not None)
    time.sleep(0.3)
    assert nodes["b"].view().entry(b"big").held == "none"
    nodes["b"].node.state.want([Wish("mirror", b"big")])
    assert until(lambda: nodes["b"].view().entry(b"big").held == "all")


def test_keepers_pull_what_a_cache_wrote(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, "keeper", "other")
    cache = Volume.init(str(tmp_path / "cache"), name="cache", cacheonly=True)
    nodes.volumes["cache"] = cache
    for name in ("keeper", "other"):
        nodes[name].peer_add("cache", str(tmp_path / "cache"))
        cache.peer_add(name, str(tmp_path / name))
    nodes.add("cache", "f", os.urandom(50_000))
    nodes.add("other", "g", os.urandom(50_000))
    nodes.start()
    entry = nodes["keeper"].view().entry
    assert until(lambda: entry(b"f") is not None and entry(b"f").held == "all")
    assert until(lambda: entry(b"g") is not None)
    assert nodes.engines["keeper"].wait_idle(5)
    assert entry(b"g").held == "none", "that one is kept by its writer"
    nodes.close()


def test_a_peer_that_goes_away_is_offline_and_catches_up_when_it_returns(nodes: Nodes) -> None:
    nodes.start("a", "b")
    nodes.add("a", "one", b"1")
    assert until(lambda: nodes.content("b", b"one") == b"1")
    nodes.engines.pop("b").close()
    away = nodes.top / "unmounted"
    os.rename(nodes.top / "b", away)
    nodes.engines["a"].poke()
    assert until(lambda: nodes.peer("a", "b").state == "offline")
    assert nodes.peer("a", "b").reason
    nodes.add("a", "two", b"2")
    os.rename(away, nodes.top / "b")
    nodes.start("b")
    assert until(lambda: nodes.content("b", b"two") == b"2", 10)
    assert until(lambda: nodes.peer("a", "b").state == "online", 10)


def test_the_volume_vanishing_is_a_banner_and_its_return_ends_it(nodes: Nodes) -> None:
    nodes.start("a")
    engine = nodes.engines["a"]
    assert until(lambda: engine.snapshot().status.name == "a")
    os.rename(nodes.top / "a", nodes.top / "gone")
    assert until(lambda: "not there" in engine.snapshot().error)
    assert engine.snapshot().status.name == "a"
    os.rename(nodes.top / "gone", nodes.top / "a")
    assert until(lambda: engine.snapshot().error == "", 8)
    nodes.add("a", "x", b"still works")
    assert until(lambda: nodes["a"].view().entry(b"x") is not None)


def test_a_round_with_nothing_new_is_cheap_for_all(nodes: Nodes) -> None:
    nodes.add("a", "x", b"x")
    nodes.start()
    assert all(engine.wait_idle(8) for engine in nodes.engines.values())
    time.sleep(1.0)
    begun = time.process_time()
    time.sleep(4.0)
    busy = (time.process_time() - begun) / 4.0
    assert busy < 0.25, "three idle engines in one process"


@pytest.mark.fuse
def test_a_peer_on_a_sleeping_file_system_is_stuck_and_hinders_nobody(tmp_path: Path) -> None:
    from tests.helpers_sleepy import Sleepy

    nodes = Nodes(tmp_path, "a", "b", "c")
    nodes.start("b", "c")
    with Sleepy(tmp_path / "b", tmp_path / "mnt") as sleepy:
        nodes["a"].peer_set("b", path=str(tmp_path / "mnt"))
        nodes.start("a")
        assert until(lambda: nodes.peer("a", "b").state == "online")
        sleepy.sleep()
        assert until(lambda: nodes.peer("a", "b").state == "stuck", 15)
        assert nodes.peer("a", "b").reason
        begun = time.monotonic()
        nodes.add("a", "note.txt", b"to whoever is awake")
        assert until(lambda: nodes.content("c", b"note.txt"))
        assert time.monotonic() - begun < 2
        begun = time.monotonic()
        nodes.engines["a"].snapshot()
        assert time.monotonic() - begun < 0.1
        sleepy.wake()
        assert until(lambda: nodes.content("b", b"note.txt"), 10)
        nodes.engines["a"].poke("b")
        assert until(lambda: nodes.peer("a", "b").state == "online", 10)
        sleepy.sleep()
        nodes.engines["a"].poke("b")
        time.sleep(0.5)
        begun = time.monotonic()
        nodes.engines.pop("a").close()
        assert time.monotonic() - begun < 2.3
        sleepy.wake()
        nodes.close()


def test_the_next_engine_takes_over_from_one_that_was_killed(nodes: Nodes) -> None:
    code = (
        "import sys, time; from globofs.engine.engine import Engine; from globofs.volume import Volume;"
        " e = Engine(Volume.open(sys.argv[1]), label='mount').start()\n"
        "while not e.leads: time.sleep(0.01)\n"
        "time.sleep(0.8); print('leads', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, nodes["a"].directory]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"leads\n"
    engine = Engine(nodes["a"], label="ui").start()
    nodes.engines["a"] = engine
    assert until(lambda: engine.snapshot().leader == f"mount (pid {other.pid})")
    other.kill()
    other.wait()
    begun = time.monotonic()
    assert until(lambda: engine.leads)
    assert time.monotonic() - begun < 1.5
    assert until(lambda: engine.snapshot().leader == "")
    nodes.start("b")
    nodes.add("a", "x", b"after the fall")
    assert until(lambda: nodes.content("b", b"x") == b"after the fall")


def test_a_copy_is_told_so_until_another_process_says_that_it_was_moved(
    nodes: Nodes, tmp_path: Path
) -> None:
    """Which has the one that syncs the node bring what peers know of it first."""
    nodes.add("a", "before", b"1")
    shutil.copytree(tmp_path / "a", tmp_path / "copy", symlinks=True)
    nodes.add("a", "later", b"2")
    for name in ("a", "b", "a"):
        nodes[name].sync()
    with Volume.open(str(tmp_path / "copy")) as copy, Engine(copy, label="copy") as engine:
        assert until(lambda: engine.snapshot().status.elsewhere == home.ELSEWHERE)
        assert len(engine.snapshot().status.warnings) == 2, "the path in its config, too"
        os.rename(tmp_path / "a", tmp_path / "gone")
        with Volume.open(str(tmp_path / "copy")) as other:
            other.moved()
            assert other.view().version(b"later") is not None
        assert until(lambda: engine.snapshot().status.warnings == ())
        assert engine.snapshot().status.elsewhere == ""
