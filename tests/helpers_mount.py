"""A volume mounted by the real command in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from globofs.errors import Unsupported
from globofs.mount import libfuse
from tests.helpers_story import At, until


def _usable() -> str:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that this user may open"
    if not shutil.which("fusermount3"):
        return "fusermount3 is not installed"
    try:
        libfuse.need()
    except Unsupported as error:
        return error.message
    return ""


WHY_NOT = _usable()
needs_fuse = [pytest.mark.fuse, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "usable")]


def mounted_at(place: Path) -> bool:
    return os.path.ismount(place)


class Mounted:
    """A mount: its directory, and the process that serves it."""

    def __init__(self, at: At, place: Path, process: subprocess.Popen[bytes]) -> None:
        self.at = at
        self.place = place
        self.process = process

    def kill(self) -> None:
        """SIGKILL the server, and take the dead mount away."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        subprocess.run(["fusermount3", "-u", "-z", str(self.place)], check=True)


@contextmanager
def mounted(at: At, place: Path, *words: str) -> Iterator[Mounted]:
    """The volume mounted at `place` (made if missing) for as long as the block runs."""
    place.mkdir(exist_ok=True)
    process = at.start("mount", str(place), *words)
    try:
        until(lambda: mounted_at(place) or process.poll() is not None, 15)
        if process.poll() is not None:
            _, err = process.communicate()
            raise AssertionError(err.decode())
        yield Mounted(at, place, process)
        if process.poll() is None:
            at("umount", str(place))
    finally:
        if process.poll() is None:
            try:
                process.terminate()
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        subprocess.run(["fusermount3", "-u", "-z", "-q", str(place)], check=False)
