"""Restored from a backup, cloned, forked: every record survives, and everybody agrees."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from globofs import limits
from globofs.events import Problem
from globofs.format import applied
from globofs.format.applied import Position
from globofs.store import fsio
from globofs.store.commit import Draft
from globofs.store.locks import Lock
from globofs.store.node import open_node
from globofs.store.query import View
from globofs.sync import _journals, identity
from globofs.sync.round import _Round
from tests.helpers_peer import Site, sites, tree, versions


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    with sites(tmp_path, "a", "b") as (a, b):
        a.knows(b)
        b.knows(a)
        yield a, b


def settle(*made: Site, rounds: int = 5) -> None:
    for _ in range(rounds):
        for site in made:
            for peer in site.peers:
                site.round(peer.name)


def backup(site: Site) -> str:
    copy = site.node.volume + "-backup"
    site.node.index.close()
    shutil.copytree(site.node.volume, copy, symlinks=True)
    return copy


def restore(site: Site, copy: str) -> Site:
    site.close()
    shutil.rmtree(site.node.volume)
    os.rename(copy, site.node.volume)
    made = Site(open_node(site.node.volume))
    made.node.catch_up()
    return made


def test_restored_from_yesterday_it_takes_its_records_back(pair: tuple[Site, Site]) -> None:
    """Scenario 17."""
    a, b = pair
    a.write("old", b"1")
    settle(a, b)
    copy = backup(a)
    a.write("new", b"2")
    a.write("old", b"3")
    settle(a, b)
    expected, last = tree(b), a.node.journal.last()
    again = restore(a, copy)
    assert again.paths() == [b"old"]
    settle(again, b)
    assert tree(again) == tree(b) == expected
    assert again.node.journal.last() == last, "the same records, byte for byte"
    assert again.uuid == a.uuid
    assert any("taken back" in e.reason for e in again.events if isinstance(e, Problem))
    again.write("after", b"4")
    settle(again, b)
    assert tree(again) == tree(b)
    again.close()


def test_restored_and_unable_to_read_the_peer_it_is_given_its_records(tmp_path: Path) -> None:
    """b can write to a, a cannot read b: b passes a's own records back to it."""
    with sites(tmp_path, "a", "b") as (a, b):
        b.knows(a)
        a.write("old", b"1")
        settle(b)
        copy = backup(a)
        a.write("new", b"2")
        settle(b)
        again = restore(a, copy)
        settle(b)
        again.node.catch_up()
        again.knows(b)
        again.round("b")
        assert again.node.journal.last() == a.node.journal.last()
        assert again.uuid == a.uuid
        assert tree(again) == tree(b)
        again.close()


def test_restored_and_used_before_it_could_ask_it_becomes_another_node(
    pair: tuple[Site, Site],
) -> None:
    """Scenario 17."""
    a, b = pair
    a.write("shared", b"1")
    settle(a, b)
    copy = backup(a)
    a.write("lost", b"2")
    settle(a, b)
    again = restore(a, copy)
    old = again.uuid
    fresh = again.write("written-since", b"3")
    again.write("shared", b"4")
    settle(again, b)
    assert again.uuid != old
    assert any("copied, or restored" in e.reason for e in again.events if isinstance(e, Problem))
    assert {b"lost", b"written-since", b"shared"} <= set(again.paths())
    assert fresh in versions(again), "manifests verbatim"
    # the way back for others: they name the new node
    b.node.remove_peer_entry("a")
    b.knows(again)
    settle(again, b)
    assert tree(again) == tree(b)
    assert versions(again) == versions(b)
    assert again.read("written-since") == b"3"
    reopened = again.reopened()
    reopened.node.catch_up()
    assert tree(reopened) == tree(b)
    assert reopened.node.journal.last().seq > 0
    reopened.close()


def test_restored_and_used_while_the_peer_slept_it_finds_its_other_life_there(
    pair: tuple[Site, Site],
) -> None:
    """What it had written before lies at the peer, acknowledged by nobody: the peer's clients
    sleep. Without `Sent.foreign` in `_outbox` it wrote its new records behind the old ones; the
    peer had both when it woke, acknowledged the new end, and the node never heard of the rest
    where the peer cannot write to it. Seed 2359 of the simulated world told it."""
    a, b = pair
    a.write("shared", b"1")
    settle(a, b)
    copy = backup(a)
    lost = a.write("lost", b"2")
    a.round("b")  # and b sleeps
    again = restore(a, copy)
    old = again.uuid
    for number in range(3):
        again.write(f"new-{number}", b"3")
    again.round("b")
    assert again.uuid != old
    b.node.catch_up()
    for _ in range(6):
        again.round("b")
        again.node.catch_up()
        b.node.catch_up()
    assert lost in versions(again)
    assert versions(again) == versions(b)
    again.close()


def test_restored_and_used_and_fetched_from_it_looks_for_its_other_life(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer fetched the new branch, the longer one, before the node asked it anything: what it
    acknowledges is the node's own last record. Seed 405135 of the simulated world told it."""
    a, b = pair
    a.write("shared", b"1")
    settle(a, b)
    copy = backup(a)
    lost = a.write("lost", b"2")
    settle(a, b)
    again = restore(a, copy)
    old = again.uuid
    for number in range(3):
        again.write(f"new-{number}", b"3")
    monkeypatch.setattr(_Round, "_write", lambda _: None)  # each can only read at the other
    for _ in range(6):
        b.round("a")
        b.node.catch_up()
    known = applied.decode(_journals.local_applied_bytes(b.node))[old]
    assert (known.received, known.hash) == again.node.journal.last()
    for _ in range(6):
        again.round("b")
        again.node.catch_up()
    assert again.uuid != old
    assert {lost} | versions(b) <= versions(again)
    again.close()


@pytest.fixture
def about_to_fork(pair: tuple[Site, Site]) -> Iterator[tuple[Site, Site, Site]]:
    """A restored node that has gone its own way, a second client of it, and the peer that knows."""
    a, b = pair
    a.write("shared", b"1")
    settle(a, b)
    copy = backup(a)
    a.write("lost", b"2")
    settle(a, b)
    again = restore(a, copy)
    again.write("since", b"3")
    other = Site(open_node(again.node.volume))
    other.node.catch_up()
    yield again, other, b
    other.close()
    again.close()


def joined(again: Site, b: Site) -> None:
    b.node.remove_peer_entry("a")
    b.knows(again)
    settle(again, b)
    assert tree(again) == tree(b)
    assert versions(again) == versions(b)


def test_a_branch_that_was_given_up_is_passed_on_by_the_buffer(
    about_to_fork: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    again, _, b = about_to_fork
    old = again.uuid
    again.write("more", b"4")
    settle(again, b)
    assert again.uuid != old
    appended: list[bytes] = []
    monkeypatch.setattr(limits, "PUSH_BUFFER_BYTES", 1)
    monkeypatch.setattr(identity, "append_via", lambda *a, **how: appended.append(a[2]))
    theirs = {old: Position(received=100, gaps=((1, 100),))}
    assert identity.settle(again.node, again.peers["b"], theirs)
    assert len(appended) > 1
    assert all(data.count(b"globofs-record ") == 1 for data in appended)


def test_a_node_that_wrote_nothing_has_no_past_to_answer_from(pair: tuple[Site, Site]) -> None:
    a, b = pair
    shutil.rmtree(a.node.upstream(a.uuid), ignore_errors=True)
    theirs = {b.uuid: Position(received=9, gaps=((1, 8),))}
    assert not identity.settle(a.node, a.peers["b"], theirs)


def test_a_client_that_did_not_see_the_change_of_name_writes_under_the_new_one(
    about_to_fork: tuple[Site, Site, Site],
) -> None:
    """A mount stays open while `sync` finds that the volume is a copy. Without the look at the
    config under the lock it began a journal of the old name, and took that node's number 1."""
    again, other, b = about_to_fork
    old = again.uuid
    with other.node.operation("add", ["early", "late"]) as operation:
        operation.commit([Draft(b"early", "directory")])
        settle(again, b)
        assert again.uuid != old
        operation.commit([Draft(b"late", "directory")])
    written = other.write("after", b"4")
    assert other.uuid == again.uuid
    assert not os.path.lexists(again.node.updates(old))
    joined(again, b)
    assert written in versions(b)
    shown = {path for path, _ in tree(b).items()}
    assert {b"early", b"late", b"after", b"since", b"lost"} <= shown


def test_a_client_in_the_middle_of_writing_is_waited_for(
    about_to_fork: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is about to be appended when the change of name begins. Without the lock the
    old journal was read to its end and set aside in between, and the record stood there alone."""
    again, other, b = about_to_fork
    old = again.uuid
    inside, go_on = threading.Event(), threading.Event()
    append = other.node.journal.append

    def slowly(*args: object) -> object:
        inside.set()
        go_on.wait(20)
        return append(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(other.node.journal, "append", slowly)
    made: list[bytes] = []
    writer = threading.Thread(target=lambda: made.append(other.write("between", b"4")))
    writer.start()
    assert inside.wait(20)
    changer = threading.Thread(target=settle, args=(again, b))
    changer.start()
    changer.join(0.5)
    go_on.set()
    writer.join(20)
    changer.join(20)
    settle(again, b)
    assert made
    assert again.uuid != old
    assert not os.path.lexists(again.node.updates(old))
    joined(again, b)
    assert set(made) <= versions(b)


def test_a_change_of_identity_takes_the_adders_lock_before_the_journal_lock(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = pair[0].node
    shared: list[bool] = []
    adders, take = Lock(node.directory, "adders"), node.locks.journal.exclusive

    def look(**how: Any) -> AbstractContextManager[None]:
        with adders.try_exclusive() as free:
            shared.append(not free)
        return take(**how)

    monkeypatch.setattr(node.locks.journal, "exclusive", look)
    identity.finish_reissue(node)
    assert shared == [True]


def test_both_copies_of_a_volume_are_used(tmp_path: Path) -> None:
    """`cp -a` of a whole volume; both go on; a third node hears of both. (Scenario 16.)"""
    with sites(tmp_path, "a", "hub") as (a, hub):
        a.knows(hub)
        hub.knows(a)
        a.write("common", b"0")
        settle(a, hub)
        copy = str(tmp_path / "clone")
        a.node.index.close()
        shutil.copytree(a.node.volume, copy, symlinks=True)
        clone = Site(open_node(copy))
        clone.node.catch_up()
        a.write("by-a", b"1")
        clone.write("by-clone", b"2")
        clone.write("common", b"3")
        settle(a, hub)
        settle(clone)
        assert clone.uuid != a.uuid
        hub.knows(clone, name="clone")
        settle(clone, hub, a)
        assert tree(a) == tree(hub) == tree(clone)
        assert versions(a) == versions(clone)
        assert {b"by-a", b"by-clone", b"common"} == set(a.paths())
        # and everybody goes on as if nothing had been
        a.write("later-a", b"5")
        clone.write("later-c", b"6")
        settle(clone, hub, a)
        assert tree(a) == tree(hub) == tree(clone)
        assert {a.uuid, hub.uuid, clone.uuid} == {s.node.uuid for s in (a, hub, clone)}
        clone.close()


class Killed(BaseException):
    """The process dies here."""


def test_killed_at_every_step_of_becoming_another_it_finishes(tmp_path: Path) -> None:
    stop, done = 0, False
    while not done:
        stop += 1
        place = tmp_path / str(stop)
        with sites(place, "a", "b") as (a, b):
            a.knows(b)
            b.knows(a)
            a.write("shared", b"1")
            settle(a, b)
            copy = backup(a)
            a.write("lost", b"2")
            settle(a, b)
            again = restore(a, copy)
            old = again.uuid
            fresh = again.write("since", b"3")
            left = stop

            def count(op: str, args: tuple[object, ...]) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Killed

            fsio.observer = count
            try:
                again.round("b")
                done = True
            except Killed:
                pass
            finally:
                fsio.observer = None
            again = again.reopened()
            again.node.catch_up()
            settle(again, b)
            assert again.uuid != old
            b.node.remove_peer_entry("a")
            b.knows(again)
            settle(again, b)
            assert fresh in versions(b), f"lost when stopped at step {stop}"
            assert tree(again) == tree(b)
            again.close()
        stop += max(0, stop // 8)  # every step first, then in strides
    assert stop > 10


def test_a_peer_that_shows_less_is_no_fork(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("one", b"1")
    settle(a, b)
    position = {a.uuid: (b.peers["a"]).read_applied()}
    assert position
    a.write("two", b"2")
    assert not identity.settle(a.node, a.peers["b"], a.peers["b"].read_applied() or {})
    assert View(a.node).entry(b"two") is not None


def test_a_flipped_bit_in_somebodys_applied_changes_nobodys_name(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("one", b"1")
    settle(a, b)
    applied = b.directory / "upstream" / "applied"
    text = applied.read_text()
    line = next(line for line in text.splitlines() if line.startswith(a.uuid))
    digest = line.split()[2]
    flipped = digest.replace(digest[0], "0" if digest[0] != "0" else "1", 1)
    applied.write_text(text.replace(digest, flipped))
    a.write("two", b"2")
    for _ in range(3):
        assert not a.round("b").identity_changed
    claimed = text.replace(line, line.replace(f" {line.split()[1]} ", " 900 ", 1))
    applied.write_text(claimed)
    before = a.peers["b"].bytes_in
    for _ in range(20):
        assert not a.round("b").identity_changed
    assert a.peers["b"].bytes_in - before < 50_000, "a false claim is not looked into every round"
    applied.write_text(text)
    settle(a, b)
    assert tree(a) == tree(b)
