"""A mount among peers that hang, or are gone: who can serve does, who cannot holds up nobody."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers_cli import make
from tests.helpers_hostile import Hostile
from tests.helpers_mount import Mounted, mounted, needs_fuse
from tests.helpers_story import At, make_nodes, until

pytestmark = needs_fuse

FILES = 40
"""More than the kernel, and libfuse, have under way at once by default."""


@dataclass
class Among:
    """`here` is mounted at `place`; it reaches `near` directly, `far` through a mount that can be
    put to sleep. `both` is held by those two, `far0` ... only by `far`."""

    here: At
    mount: Mounted
    far_mount: Hostile
    contents: dict[str, bytes]

    def read(self, name: str) -> bytes:
        return (self.mount.place / name).read_bytes()


@pytest.fixture
def among(tmp_path: Path) -> Iterator[Among]:
    shells = {name: make(tmp_path / name, name) for name in ("here", "near", "far")}
    here, near, far = (At(shell.volume) for shell in shells.values())
    config = here.node / "config"
    config.write_text(config.read_text() + "readtimeout=2s\n")
    contents = {"both": os.urandom(3_000_000)}
    contents |= {f"far{number}": os.urandom(20_000) for number in range(FILES)}
    contents["here"] = os.urandom(3_000_000)
    for name, content in contents.items():
        (tmp_path / f"of-{name}").write_bytes(content)
    with Hostile(far.volume, tmp_path / "mnt") as far_mount:
        here("peer", "add", "far", far_mount.mountpoint)
        here("peer", "add", "near", near.volume)
        near("peer", "add", "far", far.volume)
        for node, names in ((far, [*contents][:-1]), (here, ["here"])):
            node("add", *(str(tmp_path / f"of-{name}") for name in names))
        near("sync")
        near("mirror", "of-both")
        here("sync")
        with mounted(here, tmp_path / "m") as mount:
            yield Among(here, mount, far_mount, contents)
            far_mount.be()


def test_what_a_hanging_peer_alone_holds_ends_in_time_and_holds_up_nobody(among: Among) -> None:
    place = among.mount.place
    among.far_mount.be(hang="*")

    under_way: list[int] = []

    def read(number: int) -> tuple[int, float]:
        begun = time.monotonic()
        under_way.append(number)
        try:
            (place / f"of-far{number}").read_bytes()
        except OSError as error:
            return error.errno or 0, time.monotonic() - begun
        return 0, time.monotonic() - begun

    with ThreadPoolExecutor(FILES) as pool:
        reads = [pool.submit(read, number) for number in range(FILES)]
        until(lambda: len(under_way) == FILES, 10)
        begun = time.monotonic()
        assert (place / "of-here").read_bytes() == among.contents["here"]
        assert (place / "of-both").read_bytes() == among.contents["both"]
        assert time.monotonic() - begun < 8
        assert not all(one.done() for one in reads)
        ended = [one.result() for one in reads]
    assert {code for code, _ in ended} == {errno.EIO}
    assert max(seconds for _, seconds in ended) < 8, "readtimeout is 2 s, a peer is stuck after 10"
    said = (among.here.node / "run/mount.log").read_text()
    (line,) = [line for line in said.splitlines() if "of-far7:" in line]
    assert str(place) in line
    assert "nobody reachable holds it; far should have it" in line


def test_what_a_copy_must_not_record_is_refused_and_holds_up_nothing(tmp_path: Path) -> None:
    """A version of data that is not here: it waited for ever, and all that was written after it."""
    far, near = make_nodes(tmp_path, "far", "near")
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("one", "two", "three"):
        (folder / name).write_text(name * 1000)
    far("add", str(folder))
    for at in (far, near, far):
        at("sync")
    shutil.copytree(near.volume, tmp_path / "copy", symlinks=True)
    copy = At(tmp_path / "copy")
    with mounted(copy, tmp_path / "m") as made:
        docs = made.place / "docs"
        for change in (
            lambda: (docs / "one").rename(docs / "other"),
            lambda: (docs / "two").chmod(0o600),
        ):
            with pytest.raises(OSError, match="not supported") as refused:
                change()
            assert refused.value.errno == errno.EOPNOTSUPP
        (docs / "two").write_text("new")  # needs nothing of what was there
        (docs / "new").write_text("new")
        (docs / "three").unlink()
        until(lambda: copy.paths() == {"docs", "docs/one", "docs/two", "docs/new"}, 20)
    assert copy.read("docs/new") == copy.read("docs/two") == b"new"
    assert (near.volume / "local/state/home").exists()
