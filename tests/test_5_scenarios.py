"""Numbered scenarios that no room tells alone: many clients, long absence, a new node, few means.

After each: no reported version is lost, `verify` is clean, a second check is silent, and all nodes
are equal once they can talk.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from globofs.errors import ContentMissing, GlobofsError
from globofs.format.manifest import Block
from globofs.store.commit import Draft
from globofs.sync import prune as pruning
from globofs.sync.results import Policy
from globofs.volume import Volume
from tests.helpers_cli import run

LONG_AGO_NS = -(10**18)


@contextmanager
def volumes(top: Path, *names: str, everybody: bool = True) -> Iterator[list[Volume]]:
    """Nodes of these names that know each other, or nobody yet."""
    with ExitStack() as stack:
        made = [stack.enter_context(Volume.init(str(top / name), name=name)) for name in names]
        for one in made if everybody else ():
            for other in made:
                if one is not other:
                    one.peer_add(other.name, other.directory, yes=True)
        yield made


def put(volume: Volume, top: Path, name: str, data: bytes) -> bytes:
    """Add a file; the id of its version."""
    path = top / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    volume.add([str(path)], checksum=True)
    return volume.history(os.fsencode(name))[0].id


def read(volume: Volume, name: str) -> bytes:
    version = volume.view().version(name.encode())
    assert version is not None
    return b"".join(volume.read(version))


def agree(*made: Volume, rounds: int = 4) -> None:
    """They talk; then all show the same, nothing is damaged, and a second look is silent."""
    for _ in range(rounds):
        for volume in made:
            volume.sync()
    first = tree(made[0])
    for volume in made:
        assert tree(volume) == first, volume.name
        for _ in range(2):
            done = volume.verify()
            assert (done.damaged, [p.reason for p in done.problems if not p.warning]) == (0, [])
        again = volume.sync()
        assert (again.sent, again.received) == (0, 0)


def tree(volume: Volume) -> dict[bytes, tuple[str, bytes]]:
    return {e.path: (e.kind, e.version) for e in volume.view().walk(deleted=True)}


def test_10_few_descriptors(tmp_path: Path) -> None:
    """A process that may open 40 files adds 100 and gives them back."""
    folder = tmp_path / "many"
    for number in range(100):
        place = folder / str(number % 7)
        place.mkdir(parents=True, exist_ok=True)
        (place / str(number)).write_bytes(b"%d" % number * (1 + number * 10))
    Volume.init(str(tmp_path / "v"), name="v").close()

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    for words in (("add", str(folder)), ("verify",), ("restore", "many", "--to", str(tmp_path))):
        command = [sys.executable, "-m", "globofs", "-C", str(tmp_path / "v"), *words, "--force"]
        words_ = command if words[0] == "restore" else command[:-1]
        done = subprocess.run(words_, preexec_fn=few, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


def test_11_eight_processes_at_once(tmp_path: Path) -> None:
    """Three add, one reads, one syncs, one prunes, one checks, one evicts: all at once, on one
    node; nobody fails, nothing that was added is missing."""
    with volumes(tmp_path, "busy", "other") as (busy, other):
        busy.node.change_config("cacheonly", "yes")
        put(busy, tmp_path, "first", b"first " * 9000)
        agree(busy, other)
        other.mirror()
    at = str(tmp_path / "busy")
    for number in range(3):
        folder = tmp_path / f"of-{number}"
        folder.mkdir()
        for name in range(15):
            (folder / str(name)).write_bytes(b"%d %d" % (number, name) * 50)
    commands = [
        *(["add", str(tmp_path / f"of-{number}")] for number in range(3)),
        *(["cat", "first"], ["sync"], ["prune", "--keep-last", "1"], ["verify"], ["evict"]),
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "globofs", "-C", at, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in commands
    ]
    for words, process in zip(commands, running, strict=True):
        _, said = process.communicate(timeout=100)
        assert process.returncode == 0, f"{words}: {said}"
    with Volume.open(at) as busy, Volume.open(str(tmp_path / "other")) as other:
        for number in range(3):
            for name in range(15):
                assert read(busy, f"of-{number}/{name}") == b"%d %d" % (number, name) * 50
        agree(busy, other)


def test_13_two_prunes_and_an_add_of_what_they_let_go(tmp_path: Path) -> None:
    """Two nodes prune at once, each without knowing, while the content that goes is added again:
    the version of the add keeps its blocks."""
    with volumes(tmp_path, "a", "b") as (a, b):
        for number in range(3):
            put(a, tmp_path, "file", b"%d" % number * 5000)
        agree(a, b)
        b.mirror(all_versions=True)
        a.prune(Policy(keep_last=1))
        again = put(b, tmp_path, "again", b"0" * 5000)
        b.prune(Policy(keep_last=1))
        agree(a, b)
        for volume in (a, b):
            pruning.acknowledge_prunes(volume.node)
        agree(a, b)
        for volume in (a, b):
            pruning.collect(volume.node, grace_ns=LONG_AGO_NS)
            assert read(volume, "again") == b"0" * 5000
            assert read(volume, "file") == b"2" * 5000
            assert volume.history(b"again")[0].id == again


def test_14_one_path_edited_on_two_nodes_a_hundred_times(tmp_path: Path) -> None:
    """Each on what it has in hand, heard of now and then: every version is there, one is shown."""
    with volumes(tmp_path, "a", "b") as (a, b):
        made = set()
        for number in range(100):
            volume = (a, b)[number % 2]
            made.add(put(volume, tmp_path / f"of-{volume.name}", "file", b"%d" % number))
            if number % 7 == 0:
                volume.sync()
        agree(a, b)
        known = {version.id for version in a.history(b"file")}
        assert made <= known
        assert [one.path for one in a.conflicts()] == [one.path for one in b.conflicts()]
        if a.conflicts():
            a.resolve([b"file"], version=a.conflicts()[0].sides[0].id)
        agree(a, b)
        assert a.conflicts() == b.conflicts() == []


def test_15_and_25_back_after_a_long_time(tmp_path: Path) -> None:
    """It was away for three hundred changes, and everybody has pruned what it knew. It neither
    brings old versions back nor conflicts; what it wrote meanwhile stands beside the rest."""
    with volumes(tmp_path, "a", "b", "away") as (a, b, away):
        put(a, tmp_path, "file", b"old")
        put(a, tmp_path, "gone", b"gone")
        agree(a, b, away)
        away.mirror()
        for number in range(0, 300, 100):
            with a.node.operation("add", ["file"]) as operation:
                operation.commit(changes(a, [b"%d" % (number + more) for more in range(100)]))
        a.rm([b"gone"])
        put(away, tmp_path, "own", b"written far away")
        for _ in range(3):
            a.sync()
            b.sync()
        a.prune(Policy(keep_last=1))
        b.sync()
        agree(a, b, away, rounds=6)
        assert away.view().entry(b"gone") is None
        assert read(away, "file") == b"299"
        assert read(a, "own") == b"written far away"
        assert a.conflicts() == away.conflicts() == []
        assert sum(not version.pruned for version in away.history(b"file")) == 1


def changes(volume: Volume, contents: list[bytes]) -> list[Draft]:
    """The next versions of `file`."""
    blocks = [Block(sha256(data).digest(), len(data)) for data in contents]
    with volume.node.blocks.batch() as batch:
        for block, data in zip(blocks, contents, strict=True):
            batch.add(block.id, block.size, data, "")
        batch.seal()
    return [Draft(b"file", "file", block.size, 0o644, 0, b"", (block,)) for block in blocks]


def test_24_a_new_node_from_one_peer_while_others_change(tmp_path: Path) -> None:
    """It knows one peer only, and that one not its own origin of anything: all comes over it."""
    with volumes(tmp_path, "a", "b") as (a, b):
        for number in range(5):
            put(a, tmp_path, f"a-{number}", b"a" * (number + 1) * 3000)
        agree(a, b)
        b.mirror()
        with Volume.init(str(tmp_path / "new"), name="new") as new:
            new.peer_add("b", b.directory, yes=True)
            new.sync()
            put(a, tmp_path, "meanwhile", b"m")
            put(b, tmp_path, "too", b"t")
            for volume in (a, b, a, b):
                volume.sync()
            for _ in range(3):
                new.sync()
            assert tree(new) == tree(b) == tree(a)
            assert new.mirror().missing == 1, "`meanwhile` is only where `new` cannot reach"
            b.mirror()
            assert new.mirror().missing == 0
            for number in range(5):
                assert read(new, f"a-{number}") == b"a" * (number + 1) * 3000
            agree(a, b, new)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"another block altogether"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path: path.unlink(),
    ],
    ids=["empty", "another", "directory", "fifo", "symlink", "gone"],
)
def test_27_and_29_a_block_that_is_none(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """The only holder has something else in its place: that is said and names the file, the rest
    is whole, and adding the file again mends it."""
    with volumes(tmp_path, "alone") as (alone,):
        put(alone, tmp_path, "hurt", b"hurt" * 5000)
        put(alone, tmp_path, "sound", b"sound" * 5000)
        version = alone.view().version(b"hurt")
        assert version is not None
        ((block, _),) = alone.blocks(version)
        found = alone.node.blocks.find(block.id)
        assert found is not None
        for name in os.listdir(alone.node.staged()):
            os.unlink(os.path.join(alone.node.staged(), name))
        spoil(Path(found[0]))
        with pytest.raises(GlobofsError):
            read(alone, "hurt")
        done = alone.verify(repair=True)
        assert done.remaining == 1
        assert {problem.path for problem in done.problems if not problem.warning} == {b"hurt"}
        assert read(alone, "sound") == b"sound" * 5000
        alone.add([str(tmp_path / "files/hurt")], checksum=True)
        assert read(alone, "hurt") == b"hurt" * 5000
        assert alone.verify().damaged == 0


def test_28_a_manifest_whose_blocks_nobody_has(tmp_path: Path) -> None:
    """A peer says that there is a file, and nobody ever has its content: reading names who should
    have it, a mirror says what is missing, and everything else goes on."""
    with volumes(tmp_path, "a", "b") as (a, b):
        with a.node.operation("add", ["nothing"]) as operation:
            blocks = (Block(sha256(b"never written").digest(), 13),)
            operation.commit([Draft(b"nothing", "file", 13, 0o644, 0, b"", blocks)])
        put(a, tmp_path, "something", b"something")
        agree(a, b)
        with pytest.raises(ContentMissing, match="a should have"):
            read(b, "nothing")
        done = b.mirror()
        assert (done.missing, done.blocks) == (1, 1)
        assert read(b, "something") == b"something"


def test_37_a_config_that_looks_like_a_command(tmp_path: Path) -> None:
    """Nothing of a config is given to a shell; what it is worth is said with file and line."""
    marker = tmp_path / "ran"
    words = f"$(touch {marker});`touch {marker}`|touch {marker} && touch {marker}"
    with volumes(tmp_path, "a", "b") as (a, b):
        config = Path(a.directory) / "b" / "config"
        config.write_text(config.read_text().replace(f"path={b.directory}", f"path={words}"))
    said = run("-C", a.directory, "sync")
    assert said.status == 1
    assert "offline" in said.err
    own = Path(a.directory) / "local" / "config"
    own.write_text(own.read_text().replace("name=a", f"name={words}"))
    for command in (("status",), ("doctor",), ("peer", "list")):
        done = run("-C", a.directory, *command)
        assert "Traceback" not in done.err
    own.write_text(own.read_text() + f"poll={words}\n")
    done = run("-C", a.directory, "status")
    assert done.status == 2
    assert "local/config:" in done.err
    assert not marker.exists()
