"""Two machines on one node's directory: the second reads only, unless locks prove coherent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from globofs.errors import ReadOnlyVolume
from globofs.store import clock, host
from globofs.store.node import Node, create_node, open_node

HERE = Path(__file__).resolve().parent.parent
HOLD = "import sys; from globofs.store import host; host.on_network = lambda path: True\n"
HOLD += "from globofs.store.node import open_node; node = open_node(sys.argv[1])\n"
HOLD += "print(node.readonly_reason, flush=True); sys.stdin.read()"


class Machines:
    """Lets this process be one machine or another, and the directory lie on a network."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def be(self, name: str, boot: str = "", network: bool = True) -> None:
        self._patch.setattr(host, "machine_id", lambda: name * 4)
        self._patch.setattr(clock, "boot_id", lambda: (boot or name) * 2)
        self._patch.setattr(host, "on_network", lambda path: network)


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(monkeypatch)


def opened(path: Path) -> Node:
    return open_node(str(path))


def machines_of(path: Path) -> list[str]:
    return [line.split()[1] for line in (path / "local/lock/host").read_text().splitlines()]


def test_the_second_machine_reads_only_and_is_told_why(tmp_path: Path, machines: Machines) -> None:
    volume = tmp_path / "v"
    machines.be("aaaa")
    create_node(str(volume)).close()
    machines.be("bbbb")
    with opened(volume) as node:
        assert node.readonly
        with pytest.raises(ReadOnlyVolume, match=r"writes there.*lock/host"):
            node.writable()
    machines.be("aaaa")
    with opened(volume) as node:
        assert not node.readonly
    assert machines_of(volume) == ["aaaa" * 4]


def test_deleting_the_file_is_taking_over(tmp_path: Path, machines: Machines) -> None:
    machines.be("aaaa")
    create_node(str(tmp_path / "v")).close()
    (tmp_path / "v/local/lock/host").unlink()
    machines.be("bbbb")
    with opened(tmp_path / "v") as node:
        assert not node.readonly
    machines.be("aaaa")
    with opened(tmp_path / "v") as node:
        assert node.readonly


def test_a_machine_that_started_anew_is_the_same(tmp_path: Path, machines: Machines) -> None:
    machines.be("aaaa")
    create_node(str(tmp_path / "v")).close()
    machines.be("aaaa", boot="cccc")
    with opened(tmp_path / "v") as node:
        assert not node.readonly
    assert machines_of(tmp_path / "v") == ["aaaa" * 4]


def test_a_moved_disk_is_taken_over(tmp_path: Path, machines: Machines) -> None:
    machines.be("aaaa", network=False)
    create_node(str(tmp_path / "v")).close()
    machines.be("bbbb", network=False)
    with opened(tmp_path / "v") as node:
        assert not node.readonly
    assert machines_of(tmp_path / "v") == ["bbbb" * 4]


def test_a_lock_of_the_other_machine_that_is_seen_here_proves_them(
    tmp_path: Path, machines: Machines
) -> None:
    volume = tmp_path / "v"
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    create_node(str(volume)).close()
    (volume / "local/lock/host").unlink()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(volume)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n", "the first machine writes"
        machines.be("bbbb")
        with opened(volume) as node:
            assert not node.readonly
        assert len(machines_of(volume)) == 2
        other.communicate()
    with opened(volume) as node:
        assert not node.readonly, "what was proven stays proven"


def test_what_lies_there_may_be_anything(tmp_path: Path, machines: Machines) -> None:
    machines.be("aaaa")
    create_node(str(tmp_path / "v")).close()
    for text in (b"", b"\xff\x00\n", b"a b c\n" * 99, b"1 2 network %zz\n"):
        (tmp_path / "v/local/lock/host").write_bytes(text)
        with opened(tmp_path / "v") as node:
            assert not node.readonly


def test_containers_on_one_kernel_are_one_machine(tmp_path: Path, machines: Machines) -> None:
    machines.be("aaaa", boot="eeee")
    create_node(str(tmp_path / "v")).close()
    machines.be("bbbb", boot="eeee")
    with opened(tmp_path / "v") as node:
        assert not node.readonly


def test_opening_again_costs_one_small_read(
    tmp_path: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.be("aaaa")
    create_node(str(tmp_path / "v")).close()

    def never(*words: object) -> object:
        raise AssertionError(words)

    monkeypatch.setattr(host, "_write", never)
    monkeypatch.setattr(host, "on_network", never)
    monkeypatch.setattr(host, "machine_id", never)
    with opened(tmp_path / "v") as node:
        assert not node.readonly
