"""The engine's parts alone: arithmetic of rates, order of the queue, back-off, run files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from globofs import errors
from globofs.engine.compose import merge_overall, peer_status
from globofs.engine.jobs import Job, Jobs
from globofs.engine.meters import Meter, Meters, PeerMeters
from globofs.engine.queue import DONE_KEPT, FAILED_KEPT, QUEUED_SHOWN, Item, Queue
from globofs.engine.rounds import PeerLoop, RoundState, Schedule, state_of
from globofs.engine.runfiles import MOVES_PUBLISHED, Request, RunFiles, ask
from globofs.engine.watch import Watcher
from globofs.engine.work import PeerFacts
from globofs.events import Event, PeerSeen, Progress
from globofs.snapshots import Lag, Move, Overall, PeerStatus
from tests.helpers_engine import until

# --- meters ---------------------------------------------------------------------------------------


def feed(meter: Meter, seconds: float, rate: float, start: float = 0.0) -> float:
    """Ten samples a second of a steady flow; the time after it."""
    for step in range(round(seconds * 10)):
        meter.add(int(rate / 10))
        meter.sample(start + (step + 1) / 10)
    return start + seconds


def test_a_steady_flow_is_shown_as_it_is() -> None:
    meter = Meter(0.0)
    feed(meter, 20, 1_000_000)
    assert meter.rate == pytest.approx(1_000_000, rel=0.01)
    assert meter.total == 20_000_000
    assert meter.history[-5:] == pytest.approx([1_000_000] * 5, rel=0.01)


def test_a_rate_dies_away_and_leaves_its_history() -> None:
    meter = Meter(0.0)
    now = feed(meter, 5, 1_000_000)
    now = feed(meter, 70, 0, now)
    assert meter.rate == 0.0
    assert meter.history == ()  # a minute of nothing: nothing to draw


def test_eta_waits_for_three_seconds_then_brackets_the_truth() -> None:
    meter = Meter(0.0)
    now = feed(meter, 2, 1_000_000)
    assert meter.eta(50_000_000) is None
    feed(meter, 8, 1_000_000, now)
    eta = meter.eta(50_000_000)
    assert eta is not None
    assert eta[0] <= 50 <= eta[1]
    assert eta[1] < 70, "a steady flow gives a narrow range"


def test_a_stuttering_flow_widens_the_range() -> None:
    meter = Meter(0.0)
    now = feed(meter, 30, 1_000_000)
    feed(meter, 5, 100_000, now)
    eta = meter.eta(10_000_000)
    assert eta is not None
    assert eta[1] / eta[0] > 2


def test_no_eta_without_flow_or_work() -> None:
    meter = Meter(0.0)
    feed(meter, 10, 0)
    assert meter.eta(1000) is None
    feed(meter, 10, 1000, 10)
    assert meter.eta(0) is None


def test_a_sleeping_machine_spreads_what_it_counted() -> None:
    meter = Meter(0.0)
    now = feed(meter, 2, 1000)
    meter.add(1_000_000)
    meter.sample(now + 1000)
    assert max(meter.history) < 2000


def test_a_peers_counters_are_flows_from_the_first_look_on() -> None:
    meters = Meters(0.0)
    meters.counted("nas", 5000, 10)
    assert meters.peer("nas").incoming.total == 0, "what was before is not a burst now"
    meters.counted("nas", 5500, 40)
    meters.counted("nas", 20, 0)  # the entry was made anew
    meters.counted("nas", 120, 5)
    assert meters.peer("nas").incoming.total == 600
    assert meters.peer("nas").outgoing.total == 35


def test_a_rate_ends_soon_after_the_flow() -> None:
    meter = Meter(0.0)
    now = feed(meter, 5, 50_000_000)
    feed(meter, 4, 0, now)
    assert meter.rate == 0.0, "not a memory that fades for half a minute"


# --- the queue ------------------------------------------------------------------------------------


def items(*names: str, size: int = 10) -> list[Item]:
    return [Item(name, name.encode(), size) for name in names]


def order(queue: Queue) -> list[str]:
    taken = []
    while rows := queue.take(0.0):
        taken += [row.key for row in rows]
    return taken


def test_first_come_first_served_and_nothing_twice() -> None:
    queue = Queue()
    assert queue.offer(items("a", "b", "c"), 1) == 3
    assert queue.offer(items("b", "d"), 1) == 1
    assert order(queue) == ["a", "b", "c", "d"]


def test_bump_moves_a_directory_to_the_top_in_its_own_order() -> None:
    queue = Queue()
    queue.offer(items("a", "photos/1", "b", "photos/2", "photos2"), 1)
    assert queue.bump(b"photos") == 2
    assert queue.place_of(b"photos/2") == 1
    assert queue.urgent
    assert order(queue) == ["photos/1", "photos/2", "a", "b", "photos2"]
    assert not queue.urgent


def test_the_latest_bump_wins() -> None:
    queue = Queue()
    queue.offer(items("a", "b", "c"), 1)
    queue.bump(b"b")
    queue.bump(b"c")
    assert order(queue) == ["c", "b", "a"]


def test_a_batch_is_bounded_and_never_mixes_urgent_with_patient() -> None:
    queue = Queue()
    queue.offer(items("a", "b", "c", "d"), 1)
    queue.bump(b"d")
    assert [row.key for row in queue.take(0.0, 10, 1000)] == ["d"]
    assert [row.key for row in queue.take(0.0, 10, 25)] == ["a", "b"]
    assert [row.key for row in queue.take(0.0, 10, 0)] == ["c"], "one at least, whatever its size"


def test_pausing_a_directory_spares_the_rest() -> None:
    queue = Queue()
    queue.offer(items("a", "film/1"), 1)
    queue.set_pauses(frozenset((b"film",)))
    queue.offer(items("film/2"), 1)
    assert order(queue) == ["a"]
    shown = {move.key: move.state for move in queue.moves()}
    assert shown["film/1"] == shown["film/2"] == "paused"
    queue.set_pauses(frozenset())
    assert order(queue) == ["film/1", "film/2"]


def test_a_failure_is_tried_again_ever_more_rarely() -> None:
    queue = Queue()
    queue.offer(items("a"), 1)
    waits = []
    now = 0.0
    for _ in range(10):
        [row] = queue.take(now)
        queue.finish(row.key, now, error="nobody holds it")
        begun = now
        while not queue.due(now):
            now += 1
        waits.append(now - begun)
    assert waits[:3] == [5, 10, 20]
    assert waits[-1] == 300
    assert queue.paths_failed() == {}


def test_retry_forgets_the_waiting() -> None:
    queue = Queue()
    queue.offer(items("a"), 1)
    queue.take(0.0)
    queue.finish("a", 0.0, error="no")
    assert queue.take(1.0) == []
    assert queue.retry() == 1
    assert [row.key for row in queue.take(1.0)] == ["a"]


def test_what_was_stopped_half_way_keeps_what_it_has() -> None:
    queue = Queue()
    queue.offer(items("a", size=100), 1)
    queue.take(0.0)
    queue.progress(b"a", "nas", 60, "pull", 0.0)
    queue.finish("a", 1.0, again=True)
    [move] = queue.moves()
    assert (move.state, move.done, move.total, move.had) == ("queued", 0, 40, 60)


def test_bytes_of_a_path_move_its_row_and_name_the_peers() -> None:
    queue = Queue()
    queue.offer(items("a", size=100), 1)
    queue.take(0.0)
    queue.progress(b"a", "nas", 30, "pull", 0.0)
    queue.progress(b"a", "cabin", 20, "pull", 0.1)
    [move] = queue.moves()
    assert (move.done, move.total, move.peer, move.state) == (50, 100, "nas, cabin", "moving")
    assert move.sources == (("nas", 30), ("cabin", 20))
    assert queue.overall(0.0, None).done == 50
    assert queue.overall(0.0, None).sources == move.sources
    assert queue.left() == 50


def test_a_read_nobody_queued_is_a_row_until_it_falls_silent() -> None:
    queue = Queue()
    queue.progress(b"a", "nas", 30, "pull", 10.0)
    queue.sample(10.5, 1)
    assert [move.state for move in queue.moves()] == ["moving"]
    queue.sample(12.5, 1)
    assert [move.state for move in queue.moves()] == ["done"]


def test_rows_are_bounded_and_the_rest_is_counted() -> None:
    queue = Queue()
    queue.offer(items(*(f"{n:05}" for n in range(3000))), 1)
    for number in range(2000):
        [row] = queue.take(0.0)
        queue.finish(row.key, 0.0, error="no" if number % 2 else "")
    moves = queue.moves()
    by_state = {state: sum(move.state == state for move in moves) for state in ("done", "failed")}
    assert by_state == {"done": DONE_KEPT, "failed": QUEUED_SHOWN}
    assert sum(move.state == "queued" for move in moves) == QUEUED_SHOWN
    overall = queue.overall(0.0, None)
    assert (overall.finished, overall.failed, overall.queued) == (1000, 1000, 1000)
    assert len(queue.paths_failed()) == FAILED_KEPT


def test_showing_ten_times_as_many_costs_little_more() -> None:
    def cost(count: int) -> float:
        queue = Queue()
        queue.offer(items(*(f"{n:05}" for n in range(count))), 1)
        found = []
        for _ in range(10):
            begun = time.perf_counter()
            queue.moves()
            found.append(time.perf_counter() - begun)
        return min(found)

    assert cost(5000) < 5 * cost(500)


# --- when rounds are due --------------------------------------------------------------------------


def seen(state: str = "online", outgoing: int = 0) -> PeerSeen:
    return PeerSeen("nas", state, outgoing=outgoing)  # type: ignore[arg-type]


def test_an_absent_peer_is_asked_ever_more_rarely_up_to_a_minute() -> None:
    schedule = Schedule(2.0)
    waits = [schedule.after(seen("offline")) for _ in range(8)]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert schedule.after(seen()) == 2
    assert schedule.after(seen("offline")) == 2, "its return ends the back-off"


def test_a_failing_peer_is_not_written_to_all_the_time() -> None:
    schedule = Schedule(2.0)
    full = PeerSeen("nas", "online", "No space left on device", outgoing=3)
    assert [schedule.after(full) for _ in range(3)] == [2, 4, 8]
    assert schedule.after(seen()) == 2


def test_an_acknowledgement_is_looked_for_soon_then_less_often() -> None:
    schedule = Schedule(2.0)
    waits = [schedule.after(seen(outgoing=3)) for _ in range(7)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 2.0
    assert schedule.after(seen(outgoing=0)) == 2.0
    assert schedule.after(seen(outgoing=1)) == 0.1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (errors.PeerOffline(peer="nas", reason="not mounted"), "offline"),
        (errors.PeerStuck(peer="nas", reason="silent"), "stuck"),
        (errors.PeerWrong(peer="nas", reason="another uuid"), "wrong"),
        (errors.PeerReadOnly(peer="nas", reason="read only"), "readonly"),
        (OSError(5, "Input/output error"), "offline"),
        (ValueError("our own mistake"), "offline"),
    ],
)
def test_every_error_of_a_round_is_a_state_with_a_reason(error: Exception, state: str) -> None:
    word, reason = state_of(error)
    assert word == state
    assert reason
    assert "{" not in reason


def loop_on(run, **options) -> tuple[PeerLoop, list[Event]]:
    events: list[Event] = []
    loop = PeerLoop(
        "nas", run, emit=events.append, now_ns=time.time_ns, **{"poll_seconds": 30.0, **options}
    )
    return loop, events


def test_a_poke_is_a_round_at_once() -> None:
    rounds: list[float] = []

    def run(peer, emit, cancelled):
        rounds.append(time.monotonic())
        return seen()

    loop, _ = loop_on(run)
    loop.start()
    assert until(lambda: len(rounds) == 1)
    assert until(lambda: loop.idle)
    loop.poke()
    assert until(lambda: len(rounds) == 2, 5), "the poll interval is 30 s"
    loop.stop()
    assert loop.join(1)


def test_our_own_news_do_not_hurry_an_absent_peer_but_its_own_sign_of_life_does() -> None:
    rounds: list[float] = []

    def run(peer, emit, cancelled):
        rounds.append(time.monotonic())
        raise errors.PeerOffline(peer="nas", reason="not mounted")

    loop, _ = loop_on(run)
    loop.start()
    assert until(lambda: loop.state()[0].rounds == 1)
    for _ in range(5):
        loop.poke()
    time.sleep(0.1)
    assert len(rounds) == 1
    loop.poke(force=True)
    assert until(lambda: len(rounds) == 2)
    loop.stop()


def test_a_paused_peer_is_left_alone_until_resumed() -> None:
    rounds: list[float] = []

    def run(peer, emit, cancelled):
        rounds.append(time.monotonic())
        return seen()

    loop, _ = loop_on(run, poll_seconds=0.05)
    loop.pause(True)
    loop.start()
    loop.poke(force=True)
    time.sleep(0.2)
    assert rounds == []
    assert loop.state()[1] == "paused"
    loop.pause(False)
    assert until(lambda: rounds)
    loop.stop()


def test_a_hanging_round_is_shown_as_stuck_and_joins_late() -> None:
    gate = threading.Event()

    def run(peer, emit, cancelled):
        gate.wait(30)
        return seen()

    loop, _ = loop_on(run, hang_seconds=0.1)
    loop.start()
    assert until(lambda: loop.state()[1] == "stuck")
    assert "not answered" in loop.state()[2]
    assert loop.idle, "waiting for it would be in vain"
    loop.stop()
    assert not loop.join(0.05)
    gate.set()
    assert loop.join(2)


def test_who_gives_bytes_is_not_stuck_however_long_a_round_waits_behind_them() -> None:
    meters = PeerMeters(0.0)
    waiting = RoundState(PeerSeen("nas", "online"), busy_since=0.0), "stuck", "has not answered"

    def shown(now: float) -> PeerStatus:
        facts = PeerFacts("nas", "u", "/nas")
        return peer_status(facts, waiting, meters, now_ns=0, now=now)  # type: ignore[arg-type]

    assert (shown(0.0).state, shown(0.0).reason) == ("stuck", "has not answered")
    now = feed(meters.incoming, 3, 1e6)
    assert (shown(now).state, shown(now).reason, shown(now).activity) == ("online", "", "pulling")
    for step in range(60):
        meters.sample(now + step / 10)
    assert shown(now + 6).state == "stuck"


def test_a_long_round_with_signs_of_life_is_not_stuck() -> None:
    gate = threading.Event()

    def run(peer, emit, cancelled):
        while not gate.wait(0.02):
            emit(Progress("receive"))
        return seen()

    loop, _ = loop_on(run, hang_seconds=0.2)
    loop.start()
    time.sleep(0.5)
    assert loop.state()[1] != "stuck"
    gate.set()
    loop.stop()
    assert loop.join(2)


# --- run files ------------------------------------------------------------------------------------


def publish(files: RunFiles, *moves: Move, leads: bool = False) -> None:
    peer = PeerStatus("nas", "u", "/nas", state="online", history_in=(1.0, 2.0))
    overall = Overall(done=1, total=2, eta_seconds=(1.0, 2.0), sources=(("nas", 1),))
    assert files.publish(
        at=time.time_ns(),
        leads=leads,
        tree_serial=7,
        overall=overall,
        peers=(peer,),
        moves=moves,
        notification="change notification",
        lag=Lag(0.001, 0.01, 0.1),
    )


def test_what_one_process_publishes_another_reads(tmp_path: Path) -> None:
    mount = RunFiles(str(tmp_path), "mount")
    ui = RunFiles(str(tmp_path), "ui")
    mount.prepare()
    odd = b"odd\xff\x1b[name"
    move = Move("k", odd, "pull", "moving", done=3, total=9, sources=(("nas", 2), ("cabin", 1)))
    publish(mount, move, leads=True)
    [other] = ui.others(time.time_ns())
    assert other.leads
    assert other.tree_serial == 7
    assert other.who == f"mount (pid {os.getpid()})"
    assert other.moves == (replace(move, by=other.who),)
    assert other.peers[0].history_in == (1.0, 2.0)
    assert other.overall.eta_seconds == (1.0, 2.0)
    assert other.lag == Lag(0.001, 0.01, 0.1)
    assert merge_overall(other.overall, [other]).sources == (("nas", 2),)
    assert mount.others(time.time_ns()) == [], "nobody is told of himself"
    mount.withdraw()
    assert ui.others(time.time_ns()) == []


def test_the_file_stays_small(tmp_path: Path) -> None:
    files = RunFiles(str(tmp_path), "ui")
    publish(files, *(Move(f"{n}", b"x" * 100, "pull", "queued") for n in range(5000)))
    [other] = RunFiles(str(tmp_path), "b").others(time.time_ns())
    assert len(other.moves) == MOVES_PUBLISHED


def test_the_dead_and_the_silent_are_not_believed(tmp_path: Path) -> None:
    files = RunFiles(str(tmp_path), "ui")
    files.prepare()
    publish(files)
    name = next(path for path in tmp_path.iterdir() if path.suffix == ".json")
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    document = json.loads(name.read_text())
    document["pid"] = int(ended.stdout)
    dead = tmp_path / "9.json"
    dead.write_text(json.dumps(document))
    other = RunFiles(str(tmp_path), "other")
    assert [found.pid for found in other.others(time.time_ns())] == [os.getpid()]
    assert other.others(time.time_ns() + 60 * 10**9) == []
    other.prepare()
    assert not dead.exists()
    assert name.exists()


def test_a_pid_used_again_is_not_taken_for_its_forerunner(tmp_path: Path) -> None:
    files = RunFiles(str(tmp_path), "ui")
    publish(files)
    name = next(path for path in tmp_path.iterdir() if path.suffix == ".json")
    document = json.loads(name.read_text())
    document["start"] = "1"
    name.write_text(json.dumps(document))
    assert RunFiles(str(tmp_path), "other").others(time.time_ns()) == []


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff\xfe", b"null"])
def test_junk_in_run_is_as_good_as_nothing(tmp_path: Path, junk: bytes) -> None:
    files = RunFiles(str(tmp_path), "ui")
    files.prepare()
    (tmp_path / "1.json").write_bytes(junk)
    (tmp_path / "requests" / "1").write_bytes(junk)
    os.mkfifo(tmp_path / "2.json")
    os.mkfifo(tmp_path / "requests" / "2")
    assert files.others(time.time_ns()) == []
    assert files.take() == []


def test_requests_arrive_once_and_in_order(tmp_path: Path) -> None:
    files = RunFiles(str(tmp_path), "ui")
    files.prepare()
    asked = [Request("bump", path=b"a\xffb"), Request("poke", peer="nas"), Request("retry")]
    for request in asked:
        assert ask(str(tmp_path), request)
    assert files.take() == asked
    assert files.take() == []


# --- jobs -----------------------------------------------------------------------------------------


def jobs() -> tuple[Jobs, list[Job]]:
    ended: list[Job] = []
    return Jobs(lambda job, event: None, lambda job: None, ended.append), ended


def test_a_job_keeps_its_result_and_progress() -> None:
    made, ended = jobs()

    def work(emit, cancelled):
        emit(Progress("add", files=3))
        return 42

    job = made.submit("add", work)
    assert job.wait(2)
    assert (job.state, job.result, job.error) == ("done", 42, None)
    assert job.progress == Progress("add", files=3)
    assert until(lambda: ended == [job])


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (errors.NoSuchPath(path="x", hint=""), "failed", "x: no such file"),
        (OSError(28, "No space left on device", "/v/x"), "failed", "/v/x: No space left"),
        (ZeroDivisionError("oops"), "failed", "ZeroDivisionError: oops"),
        (errors.Interrupted(), "cancelled", "interrupted"),
    ],
)
def test_a_job_never_raises(error: Exception, state: str, words: str) -> None:
    made, _ = jobs()

    def work(emit, cancelled):
        raise error

    job = made.submit("add", work)
    assert job.wait(2)
    assert job.state == state
    assert words in str(job.error)


def test_a_job_can_be_cancelled() -> None:
    made, _ = jobs()

    def work(emit, cancelled):
        while not cancelled():
            time.sleep(0.005)

    job = made.submit("verify", work)
    assert not job.wait(0.05)
    job.cancel()
    assert job.wait(2)
    assert job.state == "cancelled"


# --- watching -------------------------------------------------------------------------------------


def watcher(path: Path, **options) -> tuple[Watcher, list[frozenset[str]]]:
    got: list[frozenset[str]] = []
    made = Watcher([str(path)], got.append, probe_directory=str(path), poll_seconds=2.0, **options)
    made.start()
    return made, got


def test_events_are_tried_and_then_arrive_quickly(tmp_path: Path) -> None:
    made, got = watcher(tmp_path)
    assert made.wait_known(5)
    assert made.notified, made.words
    assert made.words == "change notification"
    assert got == [], "the trial itself is not told"
    (tmp_path / "file").write_text("x")
    begun = time.monotonic()
    assert until(lambda: got)
    assert time.monotonic() - begun < 0.2
    assert got[0] == {str(tmp_path / "file")}
    assert list(tmp_path.iterdir()) == [tmp_path / "file"], "the trial leaves nothing"
    made.stop()


def test_polling_says_so_and_why(tmp_path: Path) -> None:
    made, _ = watcher(tmp_path, polling_only="asked for")
    assert made.wait_known(1)
    assert made.words == "polling every 2 s: asked for"


def test_where_watching_is_impossible_it_says_so(tmp_path: Path) -> None:
    made, _ = watcher(tmp_path / "not there")
    assert made.wait_known(3)
    assert not made.notified
    assert made.words.startswith("polling every 2 s: ")


def test_a_place_without_events_is_found_out(tmp_path: Path, monkeypatch) -> None:
    class Deaf:
        def watch(self, debounce, step, timeout, stop):
            stop.wait(0.05)
            return "timeout"

        def close(self) -> None:
            pass

    monkeypatch.setattr(Watcher, "_open", lambda self: Deaf())
    made, _ = watcher(tmp_path)
    assert made.wait_known(5)
    assert made.words == "polling every 2 s: no event arrived for a change of our own"
    made.stop()
