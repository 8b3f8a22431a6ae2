"""Catching up: files of journals into the index, whatever state they are in."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from globofs.events import Changed, Problem
from globofs.format import applied
from globofs.format.record import FIRST_PREV, MARKER, Record, encode_record
from globofs.store import fsio
from globofs.store.audit import Audit
from globofs.store.catchup import catch_up
from globofs.store.node import Node, open_node
from globofs.store.query import View
from tests.helpers_index import NODES, expected_paths, found_paths, make_history
from tests.helpers_node import deliver, new_node, put, reopen


@pytest.fixture
def node(tmp_path: Path):
    made = new_node(tmp_path / "v")
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path):
    made = new_node(tmp_path / "w", "beta")
    yield made
    made.close()


def latest_of(node: Node, origin: str) -> Path:
    return Path(node.updates(origin), "latest")


def foreign(node: Node, origin: str) -> Path:
    path = latest_of(node, origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def frames_of(other: Node) -> list[bytes]:
    return [found.raw for found in other.journal.read_from(other.uuid, 0)]


def problems(node: Node) -> list[str]:
    said: list[object] = []
    catch_up(node, emit=said.append)
    return [event.reason for event in said if isinstance(event, Problem)]


def test_what_a_peer_pushed_is_there_and_acknowledged(node: Node, other: Node) -> None:
    put(other, b"a", b"1")
    put(other, b"b", b"2")
    said: list[object] = []
    deliver(other, node)
    catch_up(node, emit=said.append)
    assert [entry.path for entry in View(node).walk()] == [b"a", b"b"]
    told = applied.decode(Path(node.upstream(), "applied").read_bytes())
    last = other.journal.last()
    assert told[other.uuid][:3] == (last.seq, last.id, ())
    assert node.index.node_name(other.uuid) == "beta"


def test_what_comes_while_a_file_is_made_durable_is_made_so_before_it_is_acknowledged(
    node: Node, other: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we fetch ourselves is appended without a sync, perhaps while another thread reads."""
    put(other, b"a", b"1")
    path = foreign(node, other.uuid)
    path.write_bytes(b"".join(frames_of(other)))
    before = path.stat().st_size
    put(other, b"b", b"2")
    durable: list[int] = []
    sync = fsio.fdatasync_file

    def synced(name: str) -> None:
        sync(name)
        if name == str(path):
            durable.append(path.stat().st_size)
            path.write_bytes(b"".join(frames_of(other)))

    monkeypatch.setattr(fsio, "fdatasync_file", synced)
    catch_up(node)
    told = applied.decode(Path(node.upstream(), "applied").read_bytes())
    assert told[other.uuid].received == other.journal.last().seq
    assert durable[0] == before
    assert durable[-1] == path.stat().st_size


@pytest.mark.parametrize("call", ["fdatasync_file", "read_range"])
def test_a_segment_that_is_closed_while_it_is_read_is_no_damage(
    node: Node, other: Node, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Its writer, or a thread of ours that fetches, gives it the name that it keeps."""
    put(other, b"a", b"1")
    path = foreign(node, other.uuid)
    path.write_bytes(b"".join(frames_of(other)))
    real = getattr(fsio, call)

    def closing(name: str, *args: int) -> object:
        if name == str(path) and path.exists() and (call != "read_range" or args != (0, 64)):
            path.rename(path.with_name("1700000000.000000000"))
        return real(name, *args)

    monkeypatch.setattr(fsio, call, closing)
    assert problems(node) == []
    assert [entry.path for entry in View(node).walk()] == [b"a"]


def test_a_change_is_announced_with_its_paths(node: Node, other: Node) -> None:
    put(other, b"a", b"1")
    shutil.copytree(other.updates(other.uuid), node.updates(other.uuid))
    said: list[object] = []
    node.catch_up(said.append)
    (changed,) = [event for event in said if isinstance(event, Changed)]
    assert (changed.paths, changed.origin) == ((b"a",), other.uuid)


def test_byte_by_byte_a_growing_file_is_never_wrong(node: Node, other: Node) -> None:
    for number in range(3):
        put(other, b"f%d" % number, b"%d" % number)
    data = latest_of(other, other.uuid).read_bytes()
    path = foreign(node, other.uuid)
    rng = random.Random(1)
    at = 0
    while at < len(data):
        at = min(len(data), at + rng.randrange(1, 400))
        path.write_bytes(data[:at])
        assert problems(node) == []
    assert node.index.one("SELECT received, gaps FROM seen WHERE origin = ?", (other.uuid,)) == (
        other.journal.last().seq,
        "",
    )
    assert len(list(View(node).walk())) == 3


def test_zeros_at_the_end_are_not_yet(node: Node, other: Node) -> None:
    """Scenario 3."""
    put(other, b"a", b"1")
    put(other, b"b", b"2")
    data = latest_of(other, other.uuid).read_bytes()
    half = len(data) * 2 // 3
    path = foreign(node, other.uuid)
    path.write_bytes(data[:half] + bytes(len(data) - half))
    assert problems(node) == []
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    assert problems(node) == []
    assert len(list(View(node).walk())) == 2


def test_damage_hides_one_record_and_a_second_sending_heals_it(node: Node, other: Node) -> None:
    for number in range(4):
        put(other, b"f%d" % number, b"%d" % number)
    frames = frames_of(other)
    data = bytearray(b"\n" + b"".join(frames))
    spot = 1 + len(frames[0]) + len(frames[1]) + len(frames[2]) + 200
    data[spot] ^= 1
    path = foreign(node, other.uuid)
    path.write_bytes(bytes(data))
    (reason,) = problems(node)
    assert "skipped" in reason
    assert other.uuid in reason
    gaps = node.index.one("SELECT gaps FROM seen WHERE origin = ?", (other.uuid,))[0]
    assert gaps == "4-4"
    assert problems(node) == []
    with path.open("ab") as file:
        file.write(b"\n" + frames[3])
    assert problems(node) == []
    assert node.index.one("SELECT gaps FROM seen WHERE origin = ?", (other.uuid,))[0] == ""


def test_a_record_of_another_node_is_refused_by_name(node: Node, other: Node) -> None:
    put(node, b"mine", b"1")
    path = foreign(node, other.uuid)
    path.write_bytes(latest_of(node, node.uuid).read_bytes())
    (reason,) = problems(node)
    assert node.uuid in reason
    assert "refused" in reason
    assert node.index.one("SELECT 1 FROM seen WHERE origin = ?", (other.uuid,)) is None


def said_by_a_stranger(node: Node, *bodies: tuple[str, tuple[tuple[str, str], ...]]) -> str:
    """A journal of records (kind and fields) that another node wrote; its uuid."""
    origin, prev = NODES[0], FIRST_PREV
    with open(foreign(node, origin), "ab") as file:
        for number, (kind, fields) in enumerate(bodies, 1):
            frame, prev = encode_record(Record(number, origin, prev, number, kind, 9, fields))
            file.write(b"\n" + frame)
    return origin


def test_a_name_that_is_no_text_is_left_out_and_stops_nobody(node: Node) -> None:
    no = ("cacheonly", "no")
    origin = said_by_a_stranger(
        node, ("node", (("name", "B%FCro"), no)), ("note", (("text", "%FF"),))
    )
    (reason,) = problems(node)
    assert "record 1 left out" in reason
    assert "not UTF-8" in reason
    assert node.index.node_name(origin) == origin[:8]
    put(node, b"a", b"1")
    assert problems(reopen(node)) == []


def test_a_field_that_a_later_release_put_into_a_record_does_not_change_what_it_says(
    node: Node, other: Node
) -> None:
    """Whoever is retired by such a record is, and the index agrees with the journals."""
    more = ("why", "gone")
    gone = said_by_a_stranger(
        node,
        ("retire", (("node", NODES[1]), more)),
        ("retire", (("node", NODES[0]), more)),
        ("back", (("of", f"{NODES[0]}:2"), more)),
        ("later-kind", (more,)),
    )
    assert problems(node) == []
    retired = {info.uuid: info.retired for info in node.index.nodes()}
    assert (retired[NODES[1]], retired[gone]) == (True, False)
    audit = Audit(node.index)
    audit.take(gone, list(node.journal.read_from(gone, 0)), 0)
    audit.end((), node.catch_up)
    assert audit.findings.shown == []


@pytest.mark.parametrize("order", [1, -1])
def test_what_both_branches_of_a_fork_say_counts_in_any_order(node: Node, order: int) -> None:
    """Under one number, and of one kind: the copies of a node retired one other each."""
    origin, gone = NODES[0], [NODES[1], NODES[2]]
    for writer, one in list(zip((origin, NODES[1]), gone, strict=True))[::order]:
        path = Path(node.updates(origin, None if writer == origin else writer), "latest")
        path.parent.mkdir(parents=True)
        made = Record(1, origin, FIRST_PREV, 1, "retire", 9, (("node", one),))
        path.write_bytes(b"\n" + encode_record(made)[0])
        node.catch_up()
    found = [fields for (fields,) in node.index.rows("SELECT fields FROM event ORDER BY fields")]
    assert found == sorted(f"node={one}" for one in gone)
    retired = {info.uuid for info in node.index.nodes() if info.retired}
    assert retired == set(gone)
    audit = Audit(node.index)
    audit.take(origin, list(node.journal.read_from(origin, 0)), 0)
    audit.end((), node.catch_up)
    assert audit.findings.shown == []


def test_what_file_managers_put_beside_a_journal_is_neither_read_nor_told(
    node: Node, other: Node
) -> None:
    """Not even where it is the copy of a journal: what is in no file of it counts as lost."""
    put(other, b"a", b"1")
    for updates in (latest_of(node, node.uuid).parent, foreign(node, other.uuid).parent):
        for name in ("lost+found", "@eaDir", ".Trash-1000"):
            (updates / name).mkdir()
        (updates / ".DS_Store").write_bytes(bytes(6148))
        for name in ("latest~", "._latest", ".nfs00000000012", "²1.000000000", "1.000000000.bak"):
            shutil.copy(latest_of(other, other.uuid), updates / name)
    assert problems(node) == []
    assert node.index.rows("SELECT origin FROM seen") == []
    foreign(node, other.uuid).write_bytes(b"\n" + b"".join(frames_of(other)))
    assert problems(node) == []
    assert View(node).entry(b"a") is not None


def test_a_passed_on_journal_fills_the_gaps(node: Node, other: Node) -> None:
    for number in range(3):
        put(other, b"f%d" % number, b"%d" % number)
    frames = frames_of(other)
    foreign(node, other.uuid).write_bytes(b"\n" + frames[0] + frames[4])
    via = Path(node.updates(other.uuid, NODES[0]), "latest")
    via.parent.mkdir(parents=True)
    via.write_bytes(b"\n" + b"".join(frames[1:4]))
    assert problems(node) == []
    seen = node.index.one("SELECT received, gaps, forked FROM seen WHERE origin = ?", (other.uuid,))
    assert seen == (5, "", 0)


def test_a_closed_segment_is_not_read_again(
    node: Node, other: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(other, b"a", b"1")
    deliver(other, node)
    other.journal.rotate()
    put(other, b"b", b"2")
    shutil.rmtree(node.updates(other.uuid))
    shutil.copytree(other.updates(other.uuid), node.updates(other.uuid))
    assert node.index.serial
    reads: list[tuple[int, int]] = []
    real = fsio.read_range

    def count(path: str, offset: int, length: int) -> bytes:
        data = real(path, offset, length)
        reads.append((offset, len(data)))
        return data

    monkeypatch.setattr(fsio, "read_range", count)
    assert problems(node) == []
    assert len(list(View(node).walk())) == 2
    reads.clear()
    assert catch_up(node) == 0
    assert reads == [], "nothing new must cost no reading"


def test_own_commits_are_not_read_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    put(node, b"a", b"1")
    reads: list[str] = []
    real = fsio.read_range
    monkeypatch.setattr(
        fsio, "read_range", lambda path, *rest: reads.append(path) or real(path, *rest)
    )
    again = open_node(node.volume, clock=node.clock)
    again.catch_up()
    assert reads == []
    again.close()


@pytest.mark.parametrize("loss", ["deleted", "truncated", "foreign", "journal shrunk"])
def test_a_lost_index_is_filled_again(node: Node, other: Node, loss: str) -> None:
    """Scenario 4."""
    for number in range(20):
        put(node, b"d/f%d" % number, b"%d" % number)
    put(other, b"theirs", b"x" * 9)
    deliver(other, node)
    before = list(View(node).walk())
    node.close()
    path = Path(node.directory, "index.sqlite")
    if loss == "deleted":
        path.unlink()
    elif loss == "truncated":
        path.write_bytes(path.read_bytes()[:8192])
    elif loss == "foreign":
        path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    else:
        journal = latest_of(node, other.uuid)
        journal.write_bytes(journal.read_bytes()[:-10])
        before = [entry for entry in before if entry.path != b"theirs"] + before[-1:]
    again = open_node(node.volume, clock=node.clock)
    assert problems(again) == []
    after = list(View(again).walk())
    assert [entry._replace(row=0) for entry in after] == [entry._replace(row=0) for entry in before]
    again.close()


def test_a_reader_without_an_index_answers_from_memory(node: Node, other: Node) -> None:
    put(node, b"a", b"1")
    Path(node.directory, "index.sqlite").unlink()
    reader = open_node(node.volume, True, clock=node.clock)
    reader.catch_up()
    entry = View(reader).entry(b"a")
    assert entry is not None
    assert entry.held == "all"
    assert not Path(node.directory, "index.sqlite").exists()
    reader.close()


def test_a_reader_sees_what_came_since_without_writing(node: Node, other: Node) -> None:
    put(node, b"a", b"1")
    put(other, b"b", b"2")
    reader = reopen(node, readonly=True)
    shutil.copytree(other.updates(other.uuid), node.updates(other.uuid))
    before = Path(node.upstream(), "applied").read_bytes()
    reader.catch_up()
    assert [entry.path for entry in View(reader).walk()] == [b"a", b"b"]
    assert Path(node.upstream(), "applied").read_bytes() == before
    reader.close()


def test_journals_of_three_nodes_from_files_are_the_same_tree(node: Node) -> None:
    from globofs.format.record import encode_record

    history = make_history(random.Random(9), 120)
    for origin in NODES:
        path = foreign(node, origin)
        frames = [encode_record(i.record)[0] for i in history.items if i.record.origin == origin]
        path.write_bytes(b"junk before\n" + b"\n".join(frames) + b"\n" + MARKER + b"12 torn")
    catch_up(node)
    assert found_paths(node.index) == expected_paths(history.versions, set())


def test_what_is_no_journal_is_left_alone(node: Node, tmp_path: Path) -> None:
    for name in ("not-a-uuid", NODES[0]):
        Path(node.upstream(), name, "updates").mkdir(parents=True)
    Path(node.updates(NODES[0]), "latest").mkdir()
    os.mkfifo(Path(node.updates(NODES[0]), "1700000000.000000000"))
    Path(node.updates(NODES[0]), "1700000000.000000001").symlink_to("/etc/passwd")
    Path(node.upstream(), NODES[1]).write_text("a file where a directory should be")
    reasons = problems(node)
    assert reasons
    assert all("cannot be read" in reason for reason in reasons)
    put(node, b"a", b"1")
    assert View(node).entry(b"a") is not None


def test_nothing_new_costs_a_handful_of_calls(node: Node, other: Node) -> None:
    put(other, b"a", b"1")
    deliver(other, node)
    catch_up(node)
    calls: list[str] = []
    real_stat, real_list = os.stat, os.listdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", lambda *a, **k: calls.append("stat") or real_stat(*a, **k))
        patch.setattr(os, "listdir", lambda *a: calls.append("list") or real_list(*a))
        catch_up(node)
    assert len(calls) <= 2 + 3 * 2, calls
