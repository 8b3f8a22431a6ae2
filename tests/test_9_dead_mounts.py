"""A peer whose file system does not answer: everything else goes on as if it were not there."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers_cli import Shell, make
from tests.helpers_hostile import Hostile
from tests.helpers_mount import needs_fuse
from tests.helpers_story import ENVIRONMENT, At, until

pytestmark = needs_fuse

SLACK = 3.0  # seconds that a busy machine may take for a command beyond what it is allowed


@dataclass
class Three:
    """`here` reaches `near` directly and `far` through a mount that can be put to sleep."""

    here: At
    near: At
    far: At
    mount: Hostile
    directory: Path

    def add(self, at: At | Shell, name: str, size: int = 100_000) -> None:
        path = self.directory / "sources" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(size))
        at("add", str(path))

    def sleep(self) -> None:
        self.mount.be(hang="*")

    def wake(self) -> None:
        self.mount.be()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    here, near, far = made = [make(tmp_path / name, name) for name in ("here", "near", "far")]
    with Hostile(far.volume, tmp_path / "mnt") as mount:
        here("peer", "add", "near", near.volume)
        near("peer", "add", "here", here.volume)
        here("peer", "add", "far", mount.mountpoint)
        far("peer", "add", "here", here.volume)
        told = Three(*(At(node.volume) for node in made), mount, tmp_path)
        for node in made:
            told.add(node, f"of-{node.volume.name}")
        for node in (*made, here):
            node("sync")
        yield told
        told.wake()


def took(at: At, *words: str, expect: int | None = 0) -> tuple[float, str, str]:
    begun = time.monotonic()
    answer = at(*words, expect=expect)
    return time.monotonic() - begun, answer.out, answer.err


def test_nothing_else_waits_for_a_sleeping_peer(three: Three) -> None:
    here = three.here
    usual = took(here, "ls")[0]
    three.sleep()
    assert took(here, "ls", "-R")[0] < usual + SLACK
    assert took(here, "log")[0] < usual + SLACK
    assert took(here, "cat", "of-here")[0] < usual + SLACK
    begun = time.monotonic()
    assert here.read("of-near") == (three.directory / "sources/of-near").read_bytes()
    assert time.monotonic() - begun < usual + SLACK, "what others hold comes from them"
    begun = time.monotonic()
    three.add(here, "new")
    assert time.monotonic() - begun < usual + SLACK
    seconds, out, _ = took(here, "status", "--json")
    assert seconds < usual + SLACK + 3
    states = {peer["name"]: peer["state"] for peer in json.loads(out)["peers"]}
    assert states == {"near": "online", "far": "stuck"}
    assert took(here, "status")[0] < usual + SLACK, "known to be stuck"


def test_sync_ends_by_itself_names_the_stuck_one_and_serves_the_others(three: Three) -> None:
    three.sleep()
    three.add(three.here, "large", 20_000_000)
    begun = time.monotonic()
    process = three.here.start("sync")
    until(lambda: "large" in three.near.paths(), 6)
    assert process.poll() is None, "near was served while far was waited for"
    _, err = process.communicate(timeout=40)
    assert time.monotonic() - begun < 30 + SLACK
    assert process.returncode == 1
    assert b"far: stuck" in err
    assert b"near: online" in err
    assert b"Traceback" not in err
    three.wake()
    three.here("sync")
    three.far("sync")
    assert three.far.paths() == three.here.paths() == three.near.paths()
    report = three.here("sync", "--json").json
    assert (report["sent"], report["received"], report["problems"]) == (0, 0, [])


class Terminal:
    """A real shell on a terminal."""

    def __init__(self, directory: Path) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=directory,
            env={**ENVIRONMENT, "PS1": "ready> ", "TERM": "dumb", "HOME": str(directory)},
        )
        os.close(slave)
        self.wait_for("ready> ", 10)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str, seconds: float) -> str:
        """What is shown until `text` appears."""
        seen = ""
        end = time.monotonic() + seconds
        while text not in seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not appear:\n{seen}"
            if select.select([self._master], [], [], left)[0]:
                seen += os.read(self._master, 4096).decode(errors="replace")
        return seen

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._master)


@pytest.mark.parametrize(
    "words",
    [
        "sync",
        "sync --watch",
        "cat of-far",
        "mirror",
        "add mnt",
        "watch mnt/",
        "restore of-here --to mnt/out",
    ],
)
def test_ctrl_c_gives_the_shell_back(three: Three, words: str) -> None:
    three.sleep()
    shell = Terminal(three.directory)
    try:
        line = " ".join(os.fsdecode(word) for word in three.here.command())
        shell.type(f"{line} {words}\n")
        time.sleep(2.0)
        begun = time.monotonic()
        shell.type("\x03")
        said = shell.wait_for("ready> ", 8)
        seconds = time.monotonic() - begun
        shell.type("echo status-$?\n")
        shell.wait_for("status-130", 5)
        assert seconds < 2.0, said
        assert "Traceback" not in said
    finally:
        shell.close()


def test_a_live_sync_goes_on_with_the_others_and_heals(three: Three) -> None:
    """Scenario 22."""
    with three.here.running("sync", "--watch", "--json") as process:
        three.sleep()
        three.add(three.here, "during", 1000)
        until(lambda: "during" in three.near.paths(), 8)

        def state() -> str:
            peers = three.here("status", "--json").json["peers"]
            return next(str(peer["state"]) for peer in peers if peer["name"] == "far")

        until(lambda: state() == "stuck", 25, every=1)
        three.wake()
        until(lambda: "during" in three.far.paths(), 60, every=0.5)
        assert process.poll() is None
    until(lambda: state() == "online", 10)
