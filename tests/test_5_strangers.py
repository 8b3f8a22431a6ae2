"""Input from a stranger through a peer's directory: each trick is tried, refused, and blamed.

Two nodes; `there` is the stranger's. What it puts into its own directory, which `here` reads, and
what it puts into the places of `here` that are its to write, is as bad as can be. Each time the
message names it, nothing else of `here` stops working, nothing is read or written outside of the
volumes, and `verify` finds no damage.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from globofs import limits
from globofs.format import applied
from globofs.format.manifest import Block
from globofs.store import fsio, home
from globofs.store.commit import Draft
from globofs.volume import Volume
from tests.helpers_cli import Shell, make, run

GOOD = b"good content of there " * 1000
HELLO = Block(sha256(b"hello").digest(), 5)
NOW = "1795721163.000000000"


class Pair:
    """`here`, and the stranger `there` that pushes to it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.here, self.there = Shell(top / "here"), Shell(top / "there")
        self.uuid = uuid_of(self.there)
        self.node = self.there.volume / "local"  # what lies there is read by `here`
        self.journal = self.here.volume / "local/upstream" / self.uuid / "updates/latest"

    def undisturbed(self, *more: str, lost: int = 0) -> None:
        """`here` shows what was there before, whole, and `more`; `lost` of the stranger's records
        are nowhere to be read."""
        assert sorted(self.here("ls", "-R").lines) == sorted(["good", "mine", *more])
        assert self.here("cat", "mine").raw == b"mine " * 1000
        verified = run("-C", self.here.volume, "verify", "--json")
        assert verified.json["damaged"] == lost, verified.out

    def forged(self, *records: tuple[str, str, bytes], origin: str = "", first: int = 0) -> bytes:
        """Whole frames with sound checksums, as the next ones of the stranger's journal."""
        with Volume.open(str(self.there.volume)) as volume:
            seq, prev = volume.node.journal.last()[:2]
        seq = first - 1 if first else seq
        frames = b"\n"
        for kind, fields, payload in records:
            seq += 1
            head = f"seq={seq}\norigin={origin or self.uuid}\nprev={prev.hex()}\nop=1"
            body = f"{head}\nkind={kind}\ntime={NOW}\n{fields}\n".encode() + payload
            frames += b"globofs-record %d %s\n%s" % (len(body), hex_of(body), body)
            prev = sha256(body).digest()
        return frames

    def push(self, data: bytes) -> None:
        """Append it to the stranger's own file in `here`, as a push does."""
        with open(self.journal, "ab") as file:
            file.write(data)

    def acknowledge(self, seq: int, record: bytes = bytes(32)) -> None:
        """Say in the stranger's `applied` that it has its own journal up to `seq`."""
        text = applied.encode({self.uuid: applied.Position(seq, record)})
        (self.node / "upstream/applied").write_bytes(text)


def uuid_of(shell: Shell) -> str:
    lines = (shell.volume / "local/config").read_text().splitlines()
    return next(line[5:] for line in lines if line.startswith("uuid="))


def hex_of(data: bytes) -> bytes:
    return sha256(data).hexdigest().encode()


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes that have added a file each and synced."""
    top = tmp_path_factory.mktemp("met")
    here, there = make(top / "here", "here"), make(top / "there", "there")
    here("peer", "add", "there", there.volume)
    there("peer", "add", "here", here.volume)
    (top / "good").write_bytes(GOOD)
    (top / "mine").write_bytes(b"mine " * 1000)
    there("add", top / "good")
    here("add", top / "mine")
    for node in (there, here, there):
        node("sync")
    return top


@pytest.fixture
def pair(met: Path, tmp_path: Path) -> Pair:
    """A copy of them, to be spoiled; of `mine` a source that nobody has added yet."""
    shutil.copytree(met, tmp_path, symlinks=True, dirs_exist_ok=True)
    for config in tmp_path.glob("*/*/config"):
        config.write_text(config.read_text().replace(str(met), str(tmp_path)))
        if (config.parent / "state").exists():
            home.note(str(config.parent))
    return Pair(tmp_path)


def odd_files(path: Path) -> Iterator[str]:
    """In turn, something in place of the file `path` that is no regular file; then it again."""
    keep = path.read_bytes()
    made: dict[str, Callable[[], object]] = {
        "a FIFO": lambda: os.mkfifo(path),
        "a symlink": lambda: path.symlink_to("/etc/passwd"),
        "a symlink to a device": lambda: path.symlink_to("/dev/zero"),
        "a socket": lambda: listen(path),
        "a directory": path.mkdir,
    }
    if os.geteuid() == 0:
        made["a device"] = lambda: os.mknod(path, 0o20666, os.makedev(1, 5))
    for name, make_it in made.items():
        path.unlink()
        make_it()
        yield name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        path.write_bytes(keep)


def listen(path: Path) -> None:
    """A socket; its name may be longer than an address may be."""
    with socket.socket(socket.AF_UNIX) as made:
        before = os.open(".", os.O_DIRECTORY)
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.fchdir(before)
            os.close(before)


def version(
    path: str,
    *,
    size: str = "5",
    kind: str = "file",
    mode: str = "0644",
    node: str = "",
    count: str = "1",
    block: str = "5",
    extra: str = "",
) -> tuple[str, str, bytes]:
    """A version record of a manifest as written here, its id and length sound."""
    manifest = (
        f"kind={kind}\npath={path}\nversion={NOW}\nnode={node or '0' * 8 + '-0' * 3 + '-0'}\n"
        f"size={size}\nmode={mode}\nmtime={NOW}\n{extra}\n{HELLO.id.hex()} {block}\nblocks={count}\n"
    ).encode()
    fields = (
        f"path={path}\nwhat={kind}\nversion={NOW}\nmanifest={sha256(manifest).hexdigest()}\n"
        f"length={len(manifest)}\n"
    )
    return "version", fields, manifest


# --- records --------------------------------------------------------------------------------------


def test_30_33_34_records_that_break_the_rules(pair: Pair) -> None:
    """Each is left out, with a reason and the name of who wrote it; what comes behind is read."""
    own = pair.uuid
    bad = {
        'it has a part ".."': version("../../evil", node=own),
        "it has an empty part": version("/etc/evil", node=own),
        "it holds a NUL byte": version("a%00b", node=own),
        "longer than 4096": version("/".join(["x" * 200] * 25), node=own),
        "longer than 255": version("x" * 256, node=own),
        "not a number from 0 to": version("negative", size="-5", node=own),
        "manifest of huge": version("huge", size=str(2**64 + 5), node=own),
        "manifest of blocks": version("blocks", block=str(2**64 + 5), node=own),
        "manifest of zero": version("zero", block="0", size="0", node=own),
        "manifest of count": version("count", count=str(10**30), node=own),
        "manifest of mode": version("mode", mode="104755", node=own),
        "device": version("kind", kind="device", node=own),
        "manifest of nobody": version("nobody", node="../../etc"),
    }
    pair.push(pair.forged(*bad.values(), version("sound", node=own)))
    said = run("-C", pair.here.volume, "sync").err
    for reason, record in bad.items():
        assert reason in said, (record, said)
    told = [line for line in said.splitlines() if "left out" in line]
    assert len(told) == len(bad), said
    assert all(f"there ({own}): record" in line for line in told)
    pair.undisturbed("sound")


def test_33_numbers_and_lines_without_end(pair: Pair) -> None:
    """Of the journal itself: numbers beyond all bounds, a line and a record that do not end."""
    for first in (2**64, 2**53 + 1):
        pair.push(pair.forged(("note", "text=x\n", b""), first=first))
    pair.push(pair.forged(("note", f"text={'x' * 20_000}\n", b"")))
    said = run("-C", pair.here.volume, "sync").err
    assert said.count(f"written by there ({pair.uuid}), skipped: ") == 3, said
    pair.push(b"\nglobofs-record 9000000 " + b"0" * 64 + b"\n" + b"text=" + b"x" * 6_000_000)
    said = run("-C", pair.here.volume, "sync").err
    assert f"written by there ({pair.uuid}), skipped: bytes that are no record" in said
    pair.push(pair.forged(version("sound", node=pair.uuid)))
    pair.undisturbed("sound")


def test_33_a_file_without_end_where_a_journal_should_be(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terabyte of nothing, in our own directory and at the peer: it is left after a while,
    and not looked at again as long as it is the same."""
    monkeypatch.setattr(limits, "GARBAGE_BYTES", limits.MIB)
    os.truncate(pair.journal, limits.GIB * 1024)
    said = run("-C", pair.here.volume, "ls").err
    assert said.count("skipped: bytes that are no record") == 1, said
    assert "there (" in said
    assert "skipped" not in run("-C", pair.here.volume, "ls").err
    os.truncate(pair.journal, 0)
    pair.acknowledge(1000)
    os.truncate(pair.node / f"upstream/{pair.uuid}/updates/latest", limits.GIB * 1024)
    said = run("-C", pair.here.volume, "sync").err
    assert f"there: refused in the journal of {pair.uuid}: latest: at " in said, said
    assert f"more than {limits.MIB} bytes that are no record; not read on" in said
    pair.undisturbed(lost=3)


def test_34_a_record_that_claims_another_nodes_identity(pair: Pair) -> None:
    """In the stranger's journal, in what it passes on, and in what is fetched from it: a record
    counts only in the journal of its own origin, and nobody gets another name by it."""
    mine, own = uuid_of(pair.here), pair.uuid
    forged = pair.forged(version("evil", node=mine), origin=mine)
    pair.push(forged)
    via = pair.here.volume / f"local/upstream/{own}/via/{own}/updates/latest"
    via.parent.mkdir(parents=True)
    via.write_bytes(forged)
    said = run("-C", pair.here.volume, "sync").err
    refused = f"a record of here ({mine}) stands in the journal of {own}, written by there ({own})"
    assert said.count(f"{refused}: refused") == 2, said
    with open(pair.node / f"upstream/{own}/updates/latest", "ab") as file:
        file.write(forged)
    pair.acknowledge(1000)
    said = run("-C", pair.here.volume, "sync").err
    assert (
        f"there: refused in the journal of {own}: latest: a record of {mine} stands there" in said
    )
    pair.undisturbed()
    assert uuid_of(pair.here) == mine


def test_33_a_version_at_the_end_of_time(pair: Pair) -> None:
    """It bears the last time there is. Who goes on from it can: his bear it, too."""
    pair.here("add", pair.top / "mine")  # what is edited later was made from this
    last = f"{limits.TIME_MAX_NS // 10**9}.{limits.TIME_MAX_NS % 10**9:09d}"
    kind, fields, manifest = version("mine", node=pair.uuid)
    late = manifest.replace(f"version={NOW}".encode(), f"version={last}".encode())
    fields = fields.replace(f"version={NOW}", f"version={last}")
    fields = fields.replace(sha256(manifest).hexdigest(), sha256(late).hexdigest())
    pair.push(pair.forged((kind, fields.replace(f"={len(manifest)}", f"={len(late)}"), late)))
    pair.here("sync")
    for number in range(3):
        (pair.top / "mine").write_bytes(b"edited %d" % number)
        pair.here("add", "--checksum", pair.top / "mine")
    pair.here("resolve", "mine", "--with", pair.top / "mine")
    assert pair.here("cat", "mine").raw == b"edited 2"
    pair.here("rm", "mine")
    assert pair.here("ls").lines == ["good"]
    pair.here("undo")
    assert pair.here("cat", "mine").raw == b"edited 2"
    assert pair.here("verify", "--json").json["damaged"] == 0
    pair.here("sync")
    pair.there("sync")
    assert pair.there("cat", "mine").raw == b"edited 2"


# --- files that are none ------------------------------------------------------------------------


def test_31_journals_in_our_own_directory_that_are_no_files(pair: Pair) -> None:
    """The stranger may write there: what it leaves is said to be its, and stops nothing."""
    for what in odd_files(pair.journal):
        said = run("-C", pair.here.volume, "sync").err
        assert "updates/latest cannot be read: " in said, (what, said)
        assert f"it is there ({pair.uuid})'s to write" in said, (what, said)
        pair.undisturbed(lost=3)
    updates = pair.journal.parent
    shutil.rmtree(updates)
    passed_on = updates.parent.parent / uuid_of(pair.here) / "via"
    for loop in (updates, updates.parent / "via", passed_on / pair.uuid / "updates"):
        loop.parent.mkdir(parents=True, exist_ok=True)
        loop.symlink_to(loop.name)
        said = run("-C", pair.here.volume, "sync").err
        assert f"{loop.name} cannot be read: Too many levels of symbolic links" in said
        assert f"it is there ({pair.uuid})'s to write" in said
        pair.undisturbed(lost=3)
        loop.unlink()


def test_31_33_acknowledgements_that_are_none(pair: Pair) -> None:
    path = pair.node / "upstream/applied"
    for what in odd_files(path):
        ran = run("-C", pair.here.volume, "sync")
        assert ran.status == 1, what
        assert "there: online, failing (" in ran.err, (what, ran.err)
        assert "upstream/applied" in ran.err
    zeros = "0" * 64
    begin, end = f"globofs-applied 1\n{pair.uuid} ", "\nend 1\n"
    bad = {
        "its first line": "nonsense\n",
        "not a number": f"{begin}{2**64} {zeros} 0 -{end}",
        "from 0 to": f"{begin}-5 {zeros} 0 -{end}",
        "more is built": f"{begin}1 {zeros} 2 -{end}",
        "gaps are not in order": f"{begin}100 {zeros} 0 90-80{end}",
        "twice": f"{begin}1 {zeros} 0 -\n{pair.uuid} 1 {zeros} 0 -\nend 2\n",
        "uuid": f"globofs-applied 1\n../../etc 1 {zeros} 0 -{end}",
    }
    for reason, text in bad.items():
        path.write_text(text)
        said = run("-C", pair.here.volume, "sync").err
        assert "globofs: warning: there: upstream/applied: " in said, (text, said)
        assert reason in said, (text, said)
    for torn in ("", "globofs-app", f"{begin}1 {zeros}", "\0" * 100):
        path.write_text(torn)
        said = run("-C", pair.here.volume, "sync").err
        assert "upstream/applied" not in said, "it is being written just now"
    pair.undisturbed()


def test_31_configs_that_are_none(pair: Pair) -> None:
    path = pair.node / "config"
    for what in odd_files(path):
        ran = run("-C", pair.here.volume, "sync")
        assert ran.status == 1
        assert "there: offline: " in ran.err, (what, ran.err)
        assert "is it mounted?" not in ran.err, (what, ran.err)
    keep = path.read_text()
    for text, state in (
        ("#" * 1_000_000, "offline: "),
        (f"uuid=../../etc\n{'x' * 60_000}\n", "wrong: "),
        (f"uuid={uuid_of(pair.here)}\n", "wrong: "),
        (keep.replace("name=there", "name=\x1b]0;owned\x07"), "online"),
    ):
        path.write_text(text)
        said = run("-C", pair.here.volume, "sync").err
        assert f"there: {state}" in said, (text[:60], said)
        assert "\x1b" not in said
        assert "\x1b" not in run("-C", pair.here.volume, "peer", "list").out
        assert "\x1b" not in run("-C", pair.here.volume, "doctor").out
    pair.undisturbed()


def test_27_31_32_blocks_that_are_none(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also bombs: a hundred gigabytes in a few bytes, alone and in a file of staged ones."""
    shutil.rmtree(pair.node / "staged")
    (path,) = [file for file in (pair.node / "hashes").rglob("*") if file.is_file()]

    def refused() -> str:
        ran = run("-C", pair.here.volume, "cat", "good")
        assert (ran.status, ran.raw) == (3, b"")
        assert "there is offline" not in ran.err, ran.err
        assert f"there has a wrong copy of block {sha256(GOOD).hexdigest()[:16]}" in ran.err or (
            "there cannot give block" in ran.err
        ), ran.err
        return ran.err

    for _ in odd_files(path):
        refused()
    bomb = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    piece = bomb.compress(bytes(1 << 20))
    many = piece + b"".join(bomb.compress(bytes(1 << 24)) for _ in range(64)) + bomb.flush()
    for data in (
        b"",
        b"not what it says",
        zstandard.compress(b"another block"),
        zstandard.compress(bytes(1 << 28)),
        many,
    ):
        path.write_bytes(data)
        refused()
    with open(path, "wb") as file:
        file.truncate(100 * limits.GIB)
    assert "larger than the allowed" in refused()
    pair.undisturbed()
    path.write_bytes(zstandard.compress(GOOD))
    assert pair.here("cat", "good").raw == GOOD


def test_33_a_version_that_lies_about_the_size_of_a_block(pair: Pair) -> None:
    """It lists a block that others use with another size. Theirs stays readable, whoever came
    first, and is no damage; reading the liar's says who wrote it."""
    data = b"honest content " * 1000
    lie = Block(sha256(data).digest(), 7)
    with Volume.open(str(pair.there.volume)) as volume, volume.node.operation("add", []) as work:
        work.commit([Draft(b"lie", "file", 7, 0o644, 0, b"", (lie,))])
    pair.there("sync")
    pair.here("sync")
    (pair.top / "true").write_bytes(data)
    pair.here("add", pair.top / "true")
    said = pair.here("cat", "lie", expect=3).err
    assert "there should have it" in said
    assert "has 15000 bytes and is sound; a version that lists it says 7" in said
    assert pair.here("cat", "true").raw == data
    pair.undisturbed("lie", "true")
    found = sha256(data).hexdigest()
    for name in pair.here.volume.glob("local/staged/*"):
        name.unlink()
    (own,) = pair.here.volume.glob(f"local/hashes/{found[:2]}/{found[2:4]}/{found[4:]}*")
    pair.there("sync")
    pair.there("mirror", expect=3)  # but for the lie
    own.write_bytes(b"spoiled")
    said = pair.here("verify", "--repair", "--json").json
    assert (said["damaged"], said["repaired"]) == (1, 1)
    assert pair.here("cat", "true").raw == data


# --- out of the volume ----------------------------------------------------------------------------


def test_30_35_a_symlink_with_something_below_it(pair: Pair) -> None:
    """The stranger's volume has a symlink that leads out, and a file below its path."""
    trap = pair.top / "trap"
    trap.mkdir()
    with Volume.open(str(pair.there.volume)) as volume:
        with volume.node.blocks.batch() as batch:
            batch.add(HELLO.id, 5, b"hello", "")
            batch.seal()
        with volume.node.operation("add", ["x"]) as work:
            work.commit([Draft(b"x", "symlink", 0, 0o777, 0, os.fsencode(trap))])
            work.commit([Draft(b"x/evil", "file", 5, 0o644, 0, b"", (HELLO,))])
    pair.there("sync")
    out = pair.top / "out"
    for options in ((), ("--force",)):
        pair.here("restore", "/", "--to", out, *options)
        assert list(trap.iterdir()) == []
        assert (out / "x/evil").read_bytes() == b"hello"
    shutil.rmtree(out / "x")
    (out / "x").symlink_to(trap)
    said = run("-C", pair.here.volume, "restore", "/", "--to", out, "--force")
    assert said.status == 1
    assert "x/evil" in said.err
    assert list(trap.iterdir()) == []


class Swap:
    """Heard by `fsio`: before step `at` below `out`, `docs/a` there becomes a symlink to `trap`."""

    def __init__(self, out: Path, trap: Path, at: int) -> None:
        self.out, self.trap, self.at = out, trap, at
        self.steps = 0

    def __call__(self, operation: str, args: tuple[object, ...]) -> None:
        if str(self.out) not in str(args):
            return
        self.steps += 1
        directory = self.out / "docs/a"
        if self.steps > self.at and directory.is_dir() and not directory.is_symlink():
            directory.rename(self.out / "moved")
            directory.symlink_to(self.trap)


def test_35_a_directory_replaced_by_a_symlink_while_it_is_restored(tmp_path: Path) -> None:
    """Somebody swaps it between any two steps: nothing is ever written where the link leads."""
    source, trap = tmp_path / "docs", tmp_path / "trap"
    for name in ("a/one", "a/two", "a/b/three", "c"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    trap.mkdir()
    swapped = 0
    with Volume.init(str(tmp_path / "v"), name="v") as volume:
        volume.add([str(source)])
        for at in range(1000):
            out = tmp_path / f"out-{at}"
            out.mkdir()
            fsio.observer = swap = Swap(out, trap, at)
            try:
                volume.restore([b"docs"], to=str(out))
            finally:
                fsio.observer = None
            assert list(trap.iterdir()) == [], f"swapped before step {at}"
            swapped += (out / "docs/a").is_symlink()
            if at >= swap.steps:
                break
    assert swapped > 8


# --- what is shown --------------------------------------------------------------------------------


def test_36_escape_sequences_in_whatever_is_shown(pair: Pair) -> None:
    """Names of nodes, of files and of what was typed there: nothing reaches the terminal raw."""
    bad = "%1B]0;owned%07%1B[31mred%0D%0A%C2%9B2J"
    raw = b"\x1b]0;owned\x07\x1b[31mred\r\n\xc2\x9b2J"
    pair.push(
        pair.forged(
            version(bad, node=pair.uuid),
            ("note", f"text={bad}\n", b""),
            ("close", f"verb=add\narg={bad}\nversions=1\nbytes=5\n", b""),
            ("node", "name=%1B]0;owned%07\ncacheonly=no\n", b""),
        )
    )
    for words in (
        ("sync",),
        ("ls", "-lR"),
        ("ls", "--json"),
        ("find", "red"),
        ("log",),
        ("log", raw),
        ("status",),
        ("status", "--json"),
        ("peer", "list"),
        ("copies", raw),
        ("why", raw),
        ("conflicts",),
        ("cat", raw),
        ("restore", raw, "--to", os.fsencode(pair.top / "out")),
        ("verify",),
        ("doctor",),
        ("rm", raw),
        ("undo",),
    ):
        ran = run("-C", pair.here.volume, *map(os.fsdecode, words))
        for text in (ran.raw.decode("utf-8", "surrogateescape"), ran.err):
            shown = {char for char in text if not char.isprintable()} - {"\n"}
            assert not shown, (words, shown)
            assert "\x9b" not in text


def test_no_second_is_lost_on_it(pair: Pair) -> None:
    """Refusing costs no more than reading: the same bad records are not read over and over."""
    pair.push(pair.forged(*(version("../evil", node=pair.uuid) for _ in range(300))))
    began = time.monotonic()
    assert run("-C", pair.here.volume, "sync").err.count("left out") == 300
    assert "left out" not in run("-C", pair.here.volume, "sync").err
    assert time.monotonic() - began < 20
