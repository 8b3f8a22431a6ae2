"""Peers on file systems that refuse, fail, lie, hang and vanish: one story, told of each.

Two nodes; `a` reaches `b` only through a file system that begins to misbehave after they have met.
While it does, both go on writing. What is seen then is in the table; afterwards everything is on
both sides, bit for bit, nothing is damaged, and a second look finds nothing to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.helpers_cli import Ran, Shell, make, run
from tests.helpers_hostile import MUTATING, Hostile
from tests.helpers_mount import needs_fuse

pytestmark = needs_fuse

JOURNALS, BLOCKS = "*/upstream/*", "*/hashes/*"
SIZES = {"a-before": 300_000, "b-before": 200_000, "a-during": 400_000, "b-during": 100_000}


def failing(*operations: str, errno: str, **rule: Any) -> dict[str, Any]:
    return {"fail": [{"ops": operations, "errno": errno, **rule}]}


@dataclass(frozen=True)
class Fault:
    """What the file system does, and what a sync says of the peer while it does so."""

    name: str
    faults: dict[str, Any] = field(default_factory=dict)
    act: Callable[[Hostile], None] | None = None
    state: str = "online"
    status: int = 0
    says: str = ""  # in what the sync tells
    pushed: bool = True  # whether what was written here arrives there meanwhile
    read: int = 0  # the status of reading what only the peer has
    read_says: str = ""
    again: bool = False  # blocks there may be worth nothing: `mirror --to` writes them again


OFFLINE: dict[str, Any] = {"state": "offline", "status": 1, "pushed": False, "read": 3}
FAILS: dict[str, Any] = {"status": 1, "pushed": False}
FULL = {**FAILS, "says": "online, 2 records not acknowledged yet (No space left on device)"}

TABLE = [
    Fault("no symlinks", failing("symlink", errno="EPERM")),
    Fault("no hard links", failing("link", errno="EPERM")),
    Fault("no chmod", failing("chmod", errno="EPERM")),
    Fault("no utimens", failing("utimens", errno="EPERM")),
    Fault("no locks", failing("flock", errno="ENOLCK")),
    Fault("no rename over existing", {"rename": "new"}),
    Fault("append is seek and write", {"append": "seek"}),
    Fault("short writes", {"short": 4000}),
    Fault("full in a record", failing("write", errno="ENOSPC", after=200), **FULL),
    Fault("quota", failing("write", errno="EDQUOT", after=1), says="quota exceeded", **FAILS),
    Fault("full at fsync", failing("fsync", errno="ENOSPC"), **FULL),
    Fault("full at close", failing("flush", errno="ENOSPC"), **FULL),
    Fault("EIO at write", failing("write", errno="EIO", after=99), says="Input/output", **FAILS),
    Fault("EIO at fsync", failing("fsync", errno="EIO"), says="Input/output", **FAILS),
    Fault(
        "EIO in journals",
        failing("read", errno="EIO", match=JOURNALS),
        says="b: online, failing (Input/output error)",
        **FAILS,
    ),
    Fault(
        "EIO in blocks",
        failing("read", errno="EIO", match=BLOCKS),
        read=3,
        read_says="b cannot give block",
    ),
    Fault("EIO in the config", failing("read", errno="EIO", match="*/config"), **OFFLINE),
    Fault("stale handles, twice", failing("open", errno="ESTALE", times=2)),
    Fault(
        "stale handles for ever",
        failing("open", "getattr", "readdir", "create", errno="ESTALE"),
        says="Stale file handle",
        **OFFLINE,
    ),
    Fault(
        "nothing allowed",
        failing("open", "getattr", "readdir", "create", errno="EACCES"),
        says="Permission denied",
        **OFFLINE,
    ),
    Fault(
        "blocks not allowed",
        failing("open", "create", "mkdir", "rename", errno="EACCES", match=BLOCKS),
        state="readonly",
        pushed=False,
        read=3,
        read_says="Permission denied",
    ),
    Fault(
        "journals not writable",
        failing("create", "open-write", "mkdir", errno="EACCES", match=JOURNALS),
        state="readonly",
        pushed=False,
    ),
    Fault(
        "read only",
        failing(*MUTATING, "open-write", errno="EROFS"),
        state="readonly",
        says="2 records not acknowledged yet (Read-only file system)",
        pushed=False,
    ),
    Fault("stale sizes and times", {"frozen": "*"}),
    Fault("stale sizes of journals", {"frozen": JOURNALS}),
    Fault("new files are not there yet", {"late": "*"}, says="No such file", **FAILS),
    Fault("listings without anything", {"hide": "*"}),
    Fault("listings without journals", {"hide": JOURNALS}),
    Fault("zeros at the end of journals", {"zeros": JOURNALS}),
    Fault(
        "zeros at the end of blocks",
        {"zeros": BLOCKS},
        read=3,
        read_says="b has a wrong copy of block",
    ),
    Fault("fsync lies, journals are lost", {"lose": JOURNALS}, pushed=False),
    Fault("fsync lies, blocks are lost", {"lose": "*/tmp/*"}, again=True),
    Fault("no fsync", failing("fsync", errno="EINVAL")),
    Fault("constant times", {"mtime": "constant"}),
    Fault("coarse times", {"mtime": "coarse"}),
    Fault("the server died", act=Hostile.vanish, says="is not connected", **OFFLINE),
    Fault("not mounted", act=Hostile.unmount, says="is it mounted?", **OFFLINE),
]


@dataclass
class Story:
    """Two nodes, one seen through a mount; `one_way`: only `a` reaches the other."""

    directory: Path
    a: Shell
    b: Shell
    mount: Hostile
    one_way: bool

    def add(self, node: Shell, name: str) -> None:
        path = self.directory / name
        path.write_bytes(os.urandom(SIZES[name]))
        node("add", path)

    def expect_equal(self, again: bool) -> None:
        """Everything everywhere, undamaged, and nothing left to do."""
        for node in (self.a, self.b, self.a, self.b):
            node("sync")
        if again:
            self.b("verify", "--repair", expect=1 if self.one_way else 0)
            self.a("mirror", "--to", "b")
        for node in (self.a, self.b):
            assert node("ls").lines == sorted(SIZES)
            for name in SIZES:
                assert node("cat", name).raw == (self.directory / name).read_bytes()
            assert node("verify", "--json").json["damaged"] == 0
            assert node("sync").err.count("\n") <= 2
            report = node("sync", "--json").json
            assert (report["sent"], report["received"], report["problems"]) == (0, 0, [])
            assert node("conflicts", "--json").json == []


@contextmanager
def story(directory: Path, one_way: bool) -> Iterator[Story]:
    a, b = make(directory / "a", "a"), make(directory / "b", "b")
    with Hostile(b.volume, directory / "mnt") as mount:
        told = Story(directory, a, b, mount, one_way)
        a("peer", "add", "b", mount.mountpoint, "--send", "yes" if one_way else "no")
        if not one_way:
            b("peer", "add", "a", a.volume)
        told.add(a, "a-before")
        told.add(b, "b-before")
        for node in (a, b, a):
            node("sync")
        yield told


BOTH_WAYS = [
    "append is seek and write",
    "full in a record",
    "fsync lies, blocks are lost",
    "read only",
]


@pytest.mark.parametrize(
    ("fault", "one_way"),
    [(fault, True) for fault in TABLE] + [(f, False) for f in TABLE if f.name in BOTH_WAYS],
    ids=lambda value: value.name.replace(" ", "-") if isinstance(value, Fault) else "",
)
def test_a_peer_on_a_hostile_file_system(tmp_path: Path, fault: Fault, one_way: bool) -> None:
    """Scenarios 6, 8, 19, 22."""
    with story(tmp_path, one_way) as told:
        a, b, mount = told.a, told.b, told.mount
        mount.be(**fault.faults)
        if fault.act is not None:
            fault.act(mount)
        told.add(a, "a-during")
        told.add(b, "b-during")
        said = run("-C", a.volume, "sync")
        assert said.status == fault.status, said.err
        assert f"b: {fault.state}" in said.err
        assert fault.says in said.err, said.err
        if one_way:
            assert ("a-during" in b("ls").lines) == fault.pushed
        read = run("-C", a.volume, "cat", "b-before")
        assert read.status == fault.read, read.err
        assert fault.read_says in read.err, read.err
        assert a("ls", "--json").json, "what is known here is not touched by any of it"
        a("status")
        told.mount.be()
        if fault.act is not None:
            mount.unmount()
            assert list(mount.mountpoint.iterdir()) == [], "nothing lands on an empty mount point"
            mount.mount()
        told.expect_equal(fault.again)


# --- a node's own directory on such a file system -----------------------------------------------


@contextmanager
def own(directory: Path, **faults: Any) -> Iterator[tuple[Shell, Hostile, Ran]]:
    """A volume made on a file system that is like this from the beginning."""
    (directory / "disk").mkdir()
    with Hostile(directory / "disk", directory / "mnt") as mount:
        mount.be(**faults)
        said = run("init", mount.mountpoint / "volume", "--name", "own")
        assert said.status == 0, said.err
        yield Shell(mount.mountpoint / "volume"), mount, said


def content(directory: Path, name: str, size: int = 100_000) -> Path:
    path = directory / name
    path.write_bytes(os.urandom(size))
    return path


def test_init_says_what_the_file_system_cannot_do(tmp_path: Path) -> None:
    for place, faults, word in (
        ("fine", {}, ""),
        ("links", failing("symlink", errno="EPERM"), "no symbolic links"),
        ("locks", failing("flock", errno="ENOLCK"), "no locks"),
        ("renames", {"rename": "new"}, "cannot rename over"),
    ):
        (tmp_path / place).mkdir()
        with own(tmp_path / place, **faults) as (at, mount, said):
            assert ("warning" in said.err) == bool(word)
            assert word in said.err
            assert list((at.volume / "local/tmp").iterdir()) == []
            path = content(tmp_path, "file")
            if word in ("", "no symbolic links"):
                at("add", path)
                assert at("cat", "file").raw == path.read_bytes()
                assert at("verify", "--json").json["damaged"] == 0
            elif word == "no locks":
                assert "has no locks" in at("add", path, expect=1).err
                assert at("ls").out == ""
            mount.be()
            at("add", path)
            assert at("cat", "file").raw == path.read_bytes()


def test_own_blocks_that_cannot_be_read_for_a_while_stay_and_come_from_others(
    tmp_path: Path,
) -> None:
    """Scenario 8."""
    other = make(tmp_path / "other", "other")
    with own(tmp_path) as (at, mount, _):
        paths = [content(tmp_path, name) for name in ("shared", "alone")]
        at("add", paths[0])
        at("peer", "add", "other", other.volume)
        other("peer", "add", "own", at.volume)
        for node in (at, other):
            node("sync")
        other("mirror")
        at("add", paths[1])
        mount.be(**failing("read", errno="EIO", match=BLOCKS))
        assert at("cat", "shared").raw == paths[0].read_bytes()
        said = at("cat", "alone", expect=3).err
        assert "cannot be read here: Input/output error" in said
        report = at("verify", "--json", expect=1).json
        assert report["damaged"] > 0
        repaired = at("verify", "--repair", "--json", expect=1).json
        assert repaired["damaged"] > 0
        mount.be()
        for path in paths:
            assert at("cat", path.name).raw == path.read_bytes()
        assert at("verify", "--json").json["damaged"] == 0


ALIKE = {
    "Letter.txt": b"large\n",
    "letter.txt": b"small\n",
    "caf\u00e9": b"one\n",
    "cafe\u0301": b"two\n",
}


def alike(directory: Path) -> Path:
    """A folder of names that some disks do not tell apart."""
    folder = directory / "folder"
    folder.mkdir()
    for name, data in ALIKE.items():
        (folder / name).write_bytes(data)
    (folder / "other").write_bytes(b"other\n")
    return folder


def test_names_that_a_disk_does_not_tell_apart_are_not_written_over_each_other(
    tmp_path: Path,
) -> None:
    """The first of them is there, the second is told, and with `--force` as well."""
    at = make(tmp_path / "volume", "own")
    at("add", alike(tmp_path))
    (tmp_path / "disk").mkdir()
    with Hostile(tmp_path / "disk", tmp_path / "mnt") as mount:
        for place, fold, force in (
            ("tells", False, ()),
            ("not", True, ()),
            ("not", True, ("--force",)),
        ):
            mount.be(fold=fold)
            to = mount.mountpoint / place
            to.mkdir(exist_ok=True)
            said = at("restore", "folder", "--to", to, *force, expect=1 if fold else 0)
            found = {path.name: path.read_bytes() for path in to.rglob("*") if path.is_file()}
            assert found.items() <= {**ALIKE, "other": b"other\n"}.items()
            assert len(found) == (3 if fold else 5)
            assert said.err.count("this disk does not tell its name from") == (2 if fold else 0)


def test_a_volume_on_a_disk_that_folds_names_keeps_both_versions(tmp_path: Path) -> None:
    """`root/` shows the one that was there first, the other is named once, and nothing is damage:
    not after edits of both, and not after a repair."""
    folder = alike(tmp_path)
    (folder / "D").mkdir()
    (folder / "d").mkdir()
    (folder / "d/Versions").write_bytes(b"a name of ours, here\n")
    with own(tmp_path, fold=True) as (at, _, _):
        for edit in (b"", b" edited"):
            for name, data in ALIKE.items():
                (folder / name).write_bytes(data + edit)
            said = at("add", "--checksum", folder).err
            assert said.count("is not shown in root/") == 1
            assert "this disk does not tell its name from " in said
            for name, data in ALIKE.items():
                assert at("cat", f"folder/{name}").raw == data + edit
            for words in ((), ("--repair",), ()):
                found = at("verify", "--json", *words).json
                assert (found["damaged"], found["repaired"]) == (0, 0)
                (problem,) = found["problems"]
                assert problem["warning"]
                assert "is not shown in root/, as are 3 others: this disk" in problem["reason"]
        latest = (at.volume / "local/root/folder/letter.txt/versions/latest").read_text()
        shown = next(line[5:] for line in latest.splitlines() if line.startswith("path="))
        assert shown in ("folder/Letter.txt", "folder/letter.txt")
        assert at("log", shown, "--json").json[0]["version"] in latest
        restored = tmp_path / "restored"
        at("restore", "folder", "--to", restored)
        for name, data in ALIKE.items():
            assert (restored / "folder" / name).read_bytes() == data + b" edited"


def odd_names(directory: Path) -> tuple[Path, dict[str, bytes]]:
    """A folder in which some names are too much for some disks, and what it holds."""
    folder = directory / "folder"
    held = {
        "plain": b"plain\n",
        "l" * 200: b"long\n",
        "a:b": b"colon\n",
        f"{'d' * 150}/below": b"below\n",
        "d/last": b"last\n",
    }
    for name, data in held.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder, held


NAMES = {"names": {"bytes": 143, "refused": ":"}}
"""As eCryptfs and exFAT are."""


def test_a_volume_on_a_disk_that_refuses_names_keeps_all_and_shows_the_others(
    tmp_path: Path,
) -> None:
    folder, held = odd_names(tmp_path)
    with own(tmp_path, **NAMES) as (at, mount, _):
        said = at("add", folder).err
        assert said.count("is not shown in root/") == 2
        assert "this disk refuses its name (File name too long); all versions are safe" in said
        assert "this disk refuses its name (Invalid argument); all versions are safe" in said
        shown = at.volume / "local/root/folder"
        assert (shown / "plain/versions/latest").exists()
        assert (shown / "d/last/versions/latest").exists()
        for words in ((), ("--repair",), ()):
            found = at("verify", "--json", *words).json
            assert (found["damaged"], found["repaired"]) == (0, 0)
            assert [problem["warning"] for problem in found["problems"]] == [True, True]
        at("restore", "folder", "--to", tmp_path / "restored")
        for name, data in held.items():
            assert at("cat", f"folder/{name}").raw == data
            assert (tmp_path / "restored/folder" / name).read_bytes() == data
        mount.be()
        assert at("verify", "--json", expect=1).json["damaged"] > 0, "it could be shown now"
        at("verify", "--repair")
        assert at("verify", "--json").json["problems"] == []
        assert (shown / "a:b/versions/latest").exists()


def test_pull_and_restore_on_a_disk_that_refuses_names_go_on_with_the_others(
    tmp_path: Path,
) -> None:
    folder, held = odd_names(tmp_path)
    other = make(tmp_path / "other", "other")
    other("add", folder)
    with own(tmp_path, **NAMES) as (at, mount, _):
        at("peer", "add", "other", other.volume)
        assert "is not shown in root/" in at("sync").err
        at("mirror")
        assert at("status", "--json").json["blocks_missing"] == 0
        assert at("verify", "--json").json["damaged"] == 0
        to = mount.mountpoint / "restored"
        said = at("restore", "folder", "--to", to, expect=1).err
        for name, data in held.items():
            assert at("cat", f"folder/{name}").raw == data
            refused = len(name) > 143 or ":" in name
            assert f"{name}: " in said or not refused
            if not refused:
                assert (to / "folder" / name).read_bytes() == data
        assert "File name too long" in said
        assert "Invalid argument" in said
        assert at("verify", "--json").json["damaged"] == 0
