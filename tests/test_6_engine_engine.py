"""The whole engine on a scripted volume: who leads, what moves, what hangs, what is shown."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs import errors
from globofs.engine.engine import Engine
from globofs.engine.runfiles import Request, ask
from globofs.events import BlockMoved, Note, PeerSeen, Problem, Progress
from globofs.snapshots import Snapshot
from tests.helpers_engine import OWN, FakeWork, until


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    """Engines put here are closed at the end."""
    made: list[Engine] = []
    yield made
    for engine in made:
        engine.close(1.0)


@pytest.fixture
def work(tmp_path: Path) -> FakeWork:
    return FakeWork(tmp_path / "local", "nas", "cabin")


def started(engines: list[Engine], work: FakeWork, **options: object) -> Engine:
    engine = Engine(work, **options)  # type: ignore[arg-type]
    engines.append(engine)
    return engine.start()


def state_of(engine: Engine, peer: str) -> str:
    return next(p.state for p in engine.snapshot().status.peers if p.name == peer)


def moving(engine: Engine) -> list[tuple[bytes, str]]:
    return [(move.path, move.state) for move in engine.snapshot().moves]


# --- rounds -----------------------------------------------------------------------------------


def test_peers_are_asked_at_once_and_shown(engines, work) -> None:
    engine = started(engines, work)
    assert until(lambda: state_of(engine, "nas") == state_of(engine, "cabin") == "online")
    assert engine.leads
    assert engine.snapshot().leader == ""
    assert engine.wait_idle(3)


def test_a_hanging_peer_stalls_only_itself_and_closing_takes_no_time(engines, work) -> None:
    gate = work.fakes["nas"].hang = threading.Event()
    engine = started(engines, work, hang_seconds=0.2)
    cabin = work.fakes["cabin"]
    assert until(lambda: state_of(engine, "nas") == "stuck")
    count = len(cabin.rounds)
    assert until(lambda: len(cabin.rounds) > count + 2), "the others go on"
    [nas] = [peer for peer in engine.snapshot().status.peers if peer.name == "nas"]
    assert "not answered" in nas.reason
    begun = time.monotonic()
    assert not engine.close(2.0)
    assert time.monotonic() - begun < 2.3
    gate.set()


def test_closing_without_trouble_is_quick_and_leaves_nothing(engines, work) -> None:
    engine = started(engines, work)
    assert until(lambda: list((Path(work.directory("run"))).glob("*.json")))
    begun = time.monotonic()
    assert engine.close(20)
    assert time.monotonic() - begun < 5, "nothing hangs, so nothing is waited for"
    assert list((Path(work.directory("run"))).glob("*.json")) == []
    names = ("globofs-peer", "globofs-local", "globofs-engine", "globofs-pull")
    assert until(lambda: not [t for t in threading.enumerate() if t.name.startswith(names)], 2)


def test_errors_of_a_round_are_states_not_exceptions(engines, work) -> None:
    work.fakes["nas"].error = errors.PeerWrong(peer="nas", reason="uuid 123 lies there")
    work.fakes["cabin"].error = errors.PeerOffline(peer="cabin", reason="/mnt is not mounted")
    engine = started(engines, work)
    assert until(lambda: state_of(engine, "nas") == "wrong")
    assert until(lambda: state_of(engine, "cabin") == "offline")
    reasons = {peer.name: peer.reason for peer in engine.snapshot().status.peers}
    assert reasons == {"nas": "uuid 123 lies there", "cabin": "/mnt is not mounted"}
    assert all(peer.retry_at for peer in engine.snapshot().status.peers)


def test_a_file_of_a_peer_in_upstream_wakes_apply_and_its_loop(engines, tmp_path) -> None:
    work = FakeWork(tmp_path / "local", "nas", poll=30)
    nas = work.fakes["nas"]
    place = Path(work.directory("upstream")) / nas.facts.uuid / "updates"
    place.mkdir(parents=True)
    engine = started(engines, work)
    assert until(lambda: engine.snapshot().notification == "change notification")
    assert engine.wait_idle(3)
    rounds, applies = len(nas.rounds), work.applies
    (place / "latest").write_text("record")
    soon = until(lambda: work.applies > applies and len(nas.rounds) > rounds, 5)
    assert soon, "the poll interval is 30 s"


def test_our_own_news_are_told_at_once_but_not_to_ourselves_for_ever(engines, tmp_path) -> None:
    work = FakeWork(tmp_path / "local", "nas", poll=30)
    nas = work.fakes["nas"]
    engine = started(engines, work)
    assert until(lambda: engine.snapshot().notification == "change notification")
    assert engine.wait_idle(3)
    rounds = len(nas.rounds)
    applied = Path(work.directory("upstream")) / "applied"
    applied.write_text(f"{OWN} 1")
    assert until(lambda: len(nas.rounds) > rounds, 5), "the poll interval is 30 s"
    time.sleep(0.3)
    rounds = len(nas.rounds)
    for _ in range(5):
        applied.write_text(f"{OWN} 1")  # what a round of our own does
        time.sleep(0.05)
    assert len(nas.rounds) == rounds


def test_without_notification_polling_finds_it_within_the_interval(
    engines, work, monkeypatch
) -> None:
    monkeypatch.setattr("globofs.engine.hearing.PLACES", ())
    engine = started(engines, work)
    assert until(lambda: engine.snapshot().notification.startswith("polling every 0.2 s: "))
    applies = work.applies
    time.sleep(1.0)
    assert 3 <= work.applies - applies <= 12


# --- what moves -------------------------------------------------------------------------------


def test_what_is_wanted_is_pulled_and_counted(engines, work) -> None:
    work.want(*(b"f%d" % number for number in range(300)))
    engine = started(engines, work)
    assert until(lambda: len(work.fetched) == 300)
    assert until(lambda: engine.snapshot().overall.finished == 300)
    overall = engine.snapshot().overall
    assert (overall.done, overall.total, overall.queued, overall.failed) == (300_000, 300_000, 0, 0)
    assert not overall.growing
    assert engine.wait_idle(3)
    work.want(b"later")
    assert until(lambda: b"later" in work.fetched)


def test_many_are_in_flight_at_once(engines, work) -> None:
    work.fetch_gate = threading.Event()
    work.want(*(b"f%d" % number for number in range(300)))
    started(engines, work)
    assert until(lambda: work.fetching_most >= 16)
    work.fetch_gate.set()
    assert until(lambda: len(work.fetched) == 300)


def test_nothing_is_tried_while_nobody_is_reachable(engines, work) -> None:
    for fake in work.fakes.values():
        fake.error = errors.PeerOffline(peer=fake.facts.name, reason="not mounted")
    work.want(b"a")
    engine = started(engines, work)
    assert until(lambda: state_of(engine, "nas") == "offline")
    time.sleep(0.3)
    assert work.fetched == []
    assert engine.wait_idle(3), "there is nothing that could be done now"
    work.fakes["nas"].error = None
    engine.poke()
    assert until(lambda: work.fetched == [b"a"])


def test_what_nobody_holds_fails_with_a_reason_and_retry_brings_it(engines, work) -> None:
    work.want(b"a", b"b")
    work.missing = {b"a"}
    engine = started(engines, work)
    assert until(lambda: engine.snapshot().overall.failed == 1)
    [failed] = [move for move in engine.snapshot().moves if move.state == "failed"]
    assert failed.path == b"a"
    assert "nobody reachable" in failed.reason
    assert engine.why(b"a") == ["failed: nobody reachable holds it; nas should"]
    work.missing = set()
    engine.retry()
    assert until(lambda: sorted(work.fetched) == [b"a", b"b"])


def test_bump_overtakes_what_moves(engines, work) -> None:
    work.fetch_gate = threading.Event()
    work.pace = 0.02
    names = [b"slow/%d" % number for number in range(400)]
    work.want(*names, size=20 << 20)
    work.want(b"now")
    engine = started(engines, work)
    assert until(lambda: work.fetching >= 4)
    engine.bump(b"now")
    assert until(lambda: (b"now", "moving") in moving(engine))
    work.fetch_gate.set()
    assert until(lambda: b"now" in work.fetched)
    assert work.fetched.index(b"now") < 8


def test_a_paused_path_waits_also_in_the_middle(engines, work) -> None:
    work.fetch_gate = threading.Event()
    work.want(b"film/1")
    engine = started(engines, work)
    assert until(lambda: work.fetching == 1)
    engine.pause(b"film")
    assert until(lambda: [m.state for m in engine.snapshot().moves] == ["paused"])
    assert engine.why(b"film/1") == ["paused by you"]
    work.fetch_gate.set()
    time.sleep(0.2)
    assert work.fetched == []
    engine.resume(b"film")
    assert until(lambda: work.fetched == [b"film/1"])


def test_pausing_a_peer_and_everything(engines, work) -> None:
    engine = started(engines, work)
    engine.pause("nas")
    assert until(lambda: state_of(engine, "nas") == "paused")
    time.sleep(0.1)
    rounds = len(work.fakes["nas"].rounds)
    engine.poke("nas")
    time.sleep(0.3)
    assert len(work.fakes["nas"].rounds) == rounds
    assert state_of(engine, "cabin") == "online"
    engine.pause()
    assert until(lambda: state_of(engine, "cabin") == "paused")
    engine.resume()
    assert until(lambda: state_of(engine, "cabin") == "online")
    assert state_of(engine, "nas") == "paused", "that was asked for by itself"
    engine.resume("nas")
    assert until(lambda: state_of(engine, "nas") == "online")


def test_a_read_of_this_process_is_shown_while_it_moves(engines, work) -> None:
    engine = started(engines, work)
    assert until(lambda: work.heard is not None)
    work.heard(BlockMoved("nas", "pull", 5000, b"movie"))
    [move] = engine.queue.moves()
    assert (move.path, move.done, move.state, move.peer) == (b"movie", 5000, "moving", "nas")
    assert until(lambda: [m.state for m in engine.snapshot().moves] == ["done"])


# --- snapshots and subscribers ----------------------------------------------------------------


def test_a_snapshot_costs_next_to_nothing_whatever_is_queued(engines, work) -> None:
    work.fetch_gate = threading.Event()
    work.want(*(b"f%06d" % number for number in range(20_000)))
    engine = started(engines, work)
    assert until(lambda: engine.snapshot().overall.queued > 4000)
    took = []
    for _ in range(30):
        begun = time.thread_time()
        made = engine.snapshot()
        took.append(time.thread_time() - begun)
        time.sleep(0.02)
    assert len(made.moves) < 1000
    assert max(took) < 0.05, "of this thread: what others do meanwhile is not its cost"


def test_subscribers_hear_ten_times_a_second_at_most(engines, work) -> None:
    got: list[Snapshot] = []
    engine = started(engines, work)
    end = engine.subscribe(got.append)
    begun = time.monotonic()
    while (lasted := time.monotonic() - begun) < 1.0:
        work.heard(BlockMoved("nas", "pull", 1, b"x"))
        work.heard(PeerSeen("nas", "online"))  # this one wakes whoever makes them
        time.sleep(0.0003)
    assert len(got) <= 10 * lasted + 2
    assert got[-1].serial > got[0].serial
    end()
    count = len(got)
    time.sleep(0.4)
    assert len(got) <= count + 1


def test_the_tree_serial_rises_with_the_tree_only(engines, work) -> None:
    engine = started(engines, work)
    assert until(lambda: engine.snapshot().status.name == "fake")
    serial = engine.snapshot().tree_serial
    time.sleep(0.5)
    assert engine.snapshot().tree_serial == serial
    work.mark += 1
    assert until(lambda: engine.snapshot().tree_serial > serial)
    assert until(lambda: engine.snapshot().status.files == work.mark)


def test_errors_of_our_own_disk_are_a_banner_and_pass(engines, work) -> None:
    work.apply_error = OSError(28, "No space left on device", "/v/upstream")
    engine = started(engines, work)
    assert until(lambda: "No space left" in engine.snapshot().error)
    work.apply_error = None
    assert until(lambda: engine.snapshot().error == "")


def test_a_vanished_volume_is_a_banner_and_comes_back(engines, work) -> None:
    engine = started(engines, work)
    assert until(lambda: state_of(engine, "nas") == "online")
    work.gone = "/v: the volume is not there any more"
    assert until(lambda: engine.snapshot().error == work.gone)
    assert engine.snapshot().status.files == work.mark, "the last state stays on the screen"
    work.gone = ""
    assert until(lambda: engine.snapshot().error == "")


def test_notes_are_kept_and_bounded(engines, work) -> None:
    engine = started(engines, work)
    for number in range(300):
        work.heard(Note(f"note {number}"))
    work.heard(Problem(b"x\x1b", "is damaged"))
    notes = engine.snapshot().notes if not time.sleep(0.15) else ()
    assert len(notes) == 100
    assert notes[-1] == Note("x\\x1b: is damaged", warning=True)


def test_a_job_is_a_row_while_it_runs_and_its_error_stays(engines, work) -> None:
    engine = started(engines, work)
    go = threading.Event()

    def add(emit, cancelled):
        emit(Progress("add", bytes=5, bytes_total=10, path=b"a"))
        go.wait(5)
        raise errors.DiskError(path="/v", reason="full")

    job = engine.submit("add", add)
    assert until(
        lambda: (
            [(m.direction, m.done, m.total) for m in engine.snapshot().moves] == [("add", 5, 10)]
        )
    )
    go.set()
    assert job.wait(2)
    assert until(lambda: [m.state for m in engine.snapshot().moves] == ["failed"])
    assert "full" in engine.snapshot().moves[0].reason


def test_closing_cancels_jobs(engines, work) -> None:
    engine = started(engines, work)
    job = engine.submit("verify", lambda emit, cancelled: until(cancelled, 20))
    engine.close()
    assert job.wait(1)


# --- several processes ------------------------------------------------------------------------


def test_one_leads_the_other_shows_and_takes_over(engines, work, tmp_path) -> None:
    first = started(engines, work, label="mount")
    assert until(lambda: first.leads)
    other = FakeWork(tmp_path / "local", "nas", "cabin")
    second = started(engines, other, label="ui")
    assert until(lambda: second.snapshot().leader == f"mount (pid {os.getpid()})")
    assert not second.leads
    assert until(lambda: state_of(second, "nas") == "online")
    assert other.fakes["nas"].rounds == [], "one at a time talks to peers"
    first.close()
    assert until(lambda: second.leads)
    assert second.snapshot().leader == ""
    assert until(lambda: other.fakes["nas"].rounds)


def test_the_other_sees_what_moves_and_steers_it(engines, work, tmp_path) -> None:
    work.fetch_gate = threading.Event()
    work.pace = 0.02
    work.want(*(b"slow/%d" % number for number in range(100)), size=20 << 20)
    work.want(b"now")
    first = started(engines, work, label="mount")
    assert until(lambda: work.fetching >= 4)
    second = started(engines, FakeWork(tmp_path / "local", "nas", "cabin"), label="ui")
    who = f"mount (pid {os.getpid()})"
    assert until(lambda: [m for m in second.snapshot().moves if m.by == who])
    assert second.snapshot().overall.moving >= 4
    assert first.leads
    second.bump(b"now")
    work.fetch_gate.set()
    assert until(lambda: b"now" in work.fetched)
    assert work.fetched.index(b"now") < 40, "it was the last of 101"
    rounds = len(work.fakes["nas"].rounds)
    second.poke("nas")
    assert until(lambda: len(work.fakes["nas"].rounds) > rounds)


def test_a_command_can_ask_without_an_engine(engines, work) -> None:
    work.fakes["nas"].error = errors.PeerOffline(peer="nas", reason="away")
    engine = started(engines, work)
    assert until(lambda: state_of(engine, "nas") == "offline")
    time.sleep(0.5)
    rounds, begun = len(work.fakes["nas"].rounds), time.monotonic()
    assert ask(work.directory("run"), Request("retry"))
    assert until(lambda: len(work.fakes["nas"].rounds) > rounds)
    assert time.monotonic() - begun < 0.5


def test_a_command_that_syncs_is_named_as_the_one_who_leads(engines, work) -> None:
    with work.lead() as ours:
        assert ours
        engine = started(engines, work)
        assert until(lambda: f"(process {os.getpid()})" in engine.snapshot().leader)
        assert not engine.leads
    assert until(lambda: engine.leads)


def test_a_read_only_volume_is_watched_and_never_led(engines, tmp_path) -> None:
    work = FakeWork(tmp_path / "local", "nas")
    work.readonly = "the file system is read only"
    engine = started(engines, work)
    assert until(lambda: engine.snapshot().status.name == "fake")
    time.sleep(0.3)
    assert not engine.leads
    assert work.applies == 0
    assert work.fakes["nas"].rounds == []
    assert "read only" in engine.snapshot().notification
    assert os.listdir(work.directory("run")) == []
