"""The engine: it decides *when*. Made of parts that are wired together here and nowhere else.

    watcher  --hint-->  local thread (apply, figures, wishes)  --poke-->  pulls, peer loops
    ticker: leadership, meters, requests and snapshots of the node's other processes, subscribers

Of all processes that use a node one leads (it holds `lock/sync`): it alone pushes, receives and
pulls in the background. The others show what it publishes, hand their wishes to it, and one of
them takes over when it ends. The engine never raises into its callers.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from globofs import errors, limits
from globofs.engine import compose
from globofs.engine.adapter import VolumeWork
from globofs.engine.desk import Desk
from globofs.engine.hearing import Hearing
from globofs.engine.jobs import DIRECTIONS, Job, Jobs
from globofs.engine.jobs import Work as JobWork
from globofs.engine.local import Local
from globofs.engine.loops import PeerLoops
from globofs.engine.meters import Meters
from globofs.engine.pulls import Pulls
from globofs.engine.queue import Queue
from globofs.engine.rounds import HANG_SECONDS
from globofs.engine.runfiles import Published, Request, RunFiles
from globofs.engine.work import PeerFacts, Work
from globofs.events import BlockMoved, Changed, Event, Note, PeerSeen, Problem, Progress
from globofs.snapshots import Lag, PeerStatus, Snapshot, Status
from globofs.store.clock import SYSTEM, Clock
from globofs.volume import Volume

TICK_SECONDS: Final = 1.0 / limits.SNAPSHOT_HZ
QUIET_TICK_SECONDS: Final = 0.25
OTHERS_SECONDS: Final = 0.5
PUBLISH_SECONDS: Final = 0.5
PUBLISH_IDLE_SECONDS: Final = 8.0
HOUSEKEEPING_SECONDS: Final = 2.0
CLOSE_SECONDS: Final = 2.0
HELD_SECONDS: Final = 0.5
NOTES_KEPT: Final = 100
NOBODY: Final = "nobody yet"

Subscriber = Callable[[Snapshot], None]


class Engine:
    """The engine of one process on one node. Every method may be called from any thread."""

    def __init__(
        self,
        volume: Volume | Work,
        *,
        label: str = "globofs",
        follow: bool = False,
        clock: Clock = SYSTEM,
        hang_seconds: float = HANG_SECONDS,
    ) -> None:
        """`label` names this process to the node's others ("ui", "mount", "sync"). With `follow`
        it never leads: it shows, and moves only what its own process reads."""
        self.work: Work = VolumeWork(volume) if isinstance(volume, Volume) else volume
        self.clock = clock
        self._readonly = self.work.readonly
        self._follow = follow or bool(self._readonly)
        self._files = RunFiles(self.work.directory("run"), label, readonly=bool(self._readonly))
        self.queue = Queue()
        self._meters = Meters(time.monotonic())
        self._pulls = Pulls(self.work, self.queue, self._hear, clock.now_ns)
        self._jobs = Jobs(self._job_event, self._job_begun, self._job_ended)
        self._local = Local(
            self.work,
            self._hear,
            changed=self._tree_changed,
            steered=lambda steering: self._desk.steered(steering),
            leads=lambda: self._leads,
        )
        self._loops = PeerLoops(
            self.work,
            self._hear_round,
            now_ns=clock.now_ns,
            hang_seconds=hang_seconds,
            paused=lambda peer: self._desk.paused(peer),
        )
        self._desk = Desk(
            self.work,
            self._files,
            queue=self.queue,
            pulls=self._pulls,
            loops=self._loops,
            local=self._local,
            leads=lambda: self._leads,
            now_ns=clock.now_ns,
        )
        self._hearing: Hearing | None = None
        self._lock = threading.Lock()
        self._facts: tuple[PeerFacts, ...] = ()
        self._notes: deque[Note] = deque(maxlen=NOTES_KEPT)
        self._others: list[Published] = []
        self._subscribers: list[Subscriber] = []
        self._serials = itertools.count(1)
        self._leads = False
        self._vanished = ""
        self._latest: Snapshot | None = None
        self._latest_at = 0.0
        self._finished = 0
        self._holder = NOBODY
        self.lag: Lag | None = None  # of the screen that shows this engine, published with the rest
        self._published: object = None
        self._published_at = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._started = False
        self._ticker = threading.Thread(target=self._tick_loop, name="globofs-engine", daemon=True)

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> Engine:
        """Begin; returns at once. May be called once."""
        self._started = True
        self._files.prepare()
        try:
            self.work.listen(self._hear, self._desk.paused)
            self._facts = self.work.peers()
        except Exception as error:  # the ticker tries again, and shows what stays wrong
            self._note(Note(f"peers: {error}", warning=True))
        self._hearing = Hearing(
            self.work, anything=self._announced, heard=self._heard_of, own=self._loops.poke
        )
        self._hearing.watcher.start()
        self._local.start()
        self._ticker.start()
        return self

    def close(self, timeout: float = CLOSE_SECONDS) -> bool:
        """End all threads, waiting at most `timeout` seconds. False when one hangs in a call that
        nothing can end; it is a daemon, what it holds is given back by the kernel."""
        if not self._started or self._stopping.is_set():
            return True
        until = time.monotonic() + timeout
        self._jobs.cancel_all()
        self._stopping.set()
        self._wake.set()
        self._pulls.stop()
        self._local.stop()
        if self._hearing is not None:
            self._hearing.watcher.stop()
        self._loops.stop()
        well = self._loops.join(until)
        well = self._local.join(until - time.monotonic()) and well
        self._ticker.join(max(0.05, until - time.monotonic()))
        return well and not self._ticker.is_alive()

    def __enter__(self) -> Engine:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is left to do that could be done now: every peer that is online
        knows all that we know, nothing wanted is still to move, no job runs."""
        until = time.monotonic() + timeout
        quiet = 0
        while time.monotonic() < until:
            quiet = quiet + 1 if self._idle() else 0
            if quiet >= 3:
                return True
            time.sleep(0.03)
        return False

    def _idle(self) -> bool:
        if not self._local.idle or self._jobs.running or self.queue.moving:
            return False
        if not self._leads:
            return any(other.leads for other in self._others) or self._follow
        if not self._loops.idle(len(self._facts)):
            return False
        return not self._loops.reachable or (self._pulls.idle and not self.queue.waiting)

    # --- what faces ask -----------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What is known now; at most a tenth of a second old, never waits for a disk."""
        with self._lock:
            latest, at = self._latest, self._latest_at
        if latest is not None and time.monotonic() - at < TICK_SECONDS:
            return latest
        return self._compose()

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` with a new snapshot after changes, at most ten times a second, from the
        engine's ticker thread; it must not block. Returns what ends the subscription."""
        with self._lock:
            self._subscribers.append(callback)

        def end() -> None:
            with self._lock:
                if callback in self._subscribers:
                    self._subscribers.remove(callback)

        return end

    @property
    def leads(self) -> bool:
        """Whether this process syncs the node."""
        return self._leads

    def submit(self, kind: str, fn: JobWork) -> Job:
        """Run a long verb in a thread of its own: `fn(emit, cancelled)`."""
        return self._jobs.submit(kind, fn)

    def why(self, path: bytes) -> list[str]:
        """What the queue knows about a path that is not here, in sentences."""
        words: list[str] = []
        failed = self.queue.paths_failed()
        if path in failed:
            words.append(f"failed: {failed[path]}")
        if self.queue.is_paused(path):
            words.append("paused by you")
        place = self.queue.place_of(path)
        if place is not None:
            words.append(f"queued behind {place}" if place else "next in the queue")
        return words

    # --- steering -----------------------------------------------------------------------------

    def poke(self, peer: str | None = None) -> None:
        """Do a round with `peer`, or with all, now: also with one that was away."""
        self._desk.ask(Request("poke", peer=peer or ""))

    def pause(self, what: str | bytes | None = None) -> None:
        """Pause a peer (str), a path (bytes) or everything; lasts until resumed."""
        self._desk.pause(what, True)

    def resume(self, what: str | bytes | None = None) -> None:
        """Take a pause back; None takes back all."""
        self._desk.pause(what, False)

    def bump(self, path: bytes) -> None:
        """Everything wanted at or below `path` goes first."""
        self._desk.ask(Request("bump", path=path))

    def retry(self) -> None:
        """Try all that failed again, now."""
        self._desk.ask(Request("retry"))

    # --- what the parts tell ------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        """Every event of rounds, pulls and reads, from any thread."""
        if isinstance(event, BlockMoved):
            if not event.path:
                return  # records: the peers' own counters show them
            self._meters.overall.add(event.bytes)
            self.queue.progress(
                event.path, event.peer, event.bytes, event.direction, time.monotonic()
            )
        elif isinstance(event, Note):
            self._note(event)
        elif isinstance(event, Problem):
            words = (
                f"{errors.printable(event.path)}: {event.reason}" if event.path else event.reason
            )
            self._note(Note(words, warning=True))
        elif isinstance(event, PeerSeen):
            self._wake.set()
        elif isinstance(event, Changed):
            self._local.hint()

    def _note(self, note: Note) -> None:
        with self._lock:
            if not self._notes or self._notes[-1] != note:
                self._notes.append(note)

    def _tree_changed(self) -> None:
        self._pulls.poke()
        self._wake.set()
        if self._hearing is None or not self._hearing.watcher.notified:
            self._loops.poke()  # it may be news of ours, and nothing else will say so

    def _announced(self) -> None:
        self._local.hint()
        self._wake.set()

    def _heard_of(self, uuids: frozenset[str]) -> None:
        """These nodes wrote to us: they are alive, and what they said asks for an answer."""
        names = [facts.name for facts in self._facts if facts.uuid in uuids]
        self._loops.poke(names, force=True)

    def _job_begun(self, job: Job) -> None:
        direction = DIRECTIONS.get(job.kind)
        if direction is not None:
            self.queue.job(f"job:{job.id}", b"", direction, time.monotonic(), self.clock.now_ns())

    def _job_event(self, job: Job, event: Event) -> None:
        if isinstance(event, Progress):
            self.queue.job_progress(f"job:{job.id}", event.path, event.bytes, event.bytes_total)
        else:
            self._hear(event)

    def _job_ended(self, job: Job) -> None:
        error = job.error.message if job.error is not None else ""
        self.queue.finish(f"job:{job.id}", time.monotonic(), error=error)
        self._local.hint()
        self._wake.set()

    # --- the ticker ---------------------------------------------------------------------------

    def _tick_loop(self) -> None:
        due: dict[str, float] = {}
        with ExitStack() as leadership:
            while not self._stopping.is_set():
                self._wake.wait(TICK_SECONDS if self._active() else QUIET_TICK_SECONDS)
                self._wake.clear()
                try:
                    self._tick(due, leadership)
                except Exception as error:  # whatever it is: say it and go on
                    self._vanished = f"{type(error).__name__}: {error}"
                    self._stopping.wait(0.5)
                self._stopping.wait(0.02)
            self._files.withdraw()

    def _active(self) -> bool:
        return bool(self.queue.moving or self._jobs.running or self._meters.overall.rate)

    def _tick(self, due: dict[str, float], leadership: ExitStack) -> None:
        now = time.monotonic()

        def is_due(what: str, seconds: float) -> bool:
            if now < due.get(what, 0.0):
                return False
            due[what] = now + seconds
            return True

        if is_due("house", HOUSEKEEPING_SECONDS):
            self._vanished = self.work.present()
            if not self._vanished:
                self._reload()
        may_lead = not (self._leads or self._follow or self._vanished)
        if may_lead and is_due("lead", OTHERS_SECONDS):
            self._try_to_lead(leadership)
        if is_due("others", OTHERS_SECONDS):
            self._others = self._files.others(self.clock.now_ns())
        if self._leads:
            for request in self._files.take():
                self._desk.obey(request)
            self._pulls.enable(self._loops.reachable and not self._vanished)
            self._pulls.tick()
        self._sample(now)
        if self.queue.finished != self._finished and is_due("held", HELD_SECONDS):
            self._finished = self.queue.finished
            self._local.hint()  # what is held here has changed
        snapshot = self._compose()
        self._publish(snapshot, now)
        if is_due("subscribers", TICK_SECONDS):
            with self._lock:
                subscribers = list(self._subscribers)
            for callback in subscribers:
                callback(snapshot)

    def _try_to_lead(self, leadership: ExitStack) -> None:
        attempt = ExitStack()
        try:
            ours = attempt.enter_context(self.work.lead())
        except errors.GlobofsError as error:
            self._follow = True  # no locks here: somebody else's rounds cannot be excluded
            self._note(Note(f"not syncing: {error.message}", warning=True))
            return
        if not ours:
            attempt.close()
            self._holder = self.work.leader()
            return
        leadership.enter_context(attempt)
        self._leads = True
        self._local.do(self.work.announce)
        self._reload()
        self._local.hint()

    def _reload(self) -> None:
        """Notice new, changed and removed peers."""
        self.work.reload_peers()
        self._facts = self.work.peers()
        if self._leads:
            self._loops.follow(facts.name for facts in self._facts)

    def _hear_round(self, event: Event) -> None:
        if isinstance(event, PeerSeen):
            self._reached(event)
        self._hear(event)

    def _reached(self, seen: PeerSeen) -> None:
        """A peer that has come back may hold what could not be pulled without it."""
        with self._lock:
            before = self._latest
        if before is None or seen.state not in ("online", "readonly"):
            return
        known = {peer.name: peer.state for peer in before.status.peers}
        if known.get(seen.peer) not in ("online", "readonly"):
            self.queue.retry()
            self._pulls.poke(fresh=True)

    def _sample(self, now: float) -> None:
        for facts in self.work.peers():
            self._meters.counted(facts.name, facts.bytes_in, facts.bytes_out)
        self._meters.sample(now)
        self.queue.sample(now, self.clock.now_ns())

    # --- snapshots ----------------------------------------------------------------------------

    def _compose(self) -> Snapshot:
        now, now_ns = time.monotonic(), self.clock.now_ns()
        others = self._others
        leader = next((other for other in others if other.leads), None)
        own = self.queue.overall(
            self._meters.overall.rate, self._meters.overall.eta(self.queue.left())
        )
        status = self._local.status or Status(
            volume=self.work.directory(), uuid=self.work.uuid, name="", readonly=self._readonly
        )
        peers = self._peers(now, now_ns)
        if leader is not None and not self._leads:
            peers = leader.peers
        with self._lock:
            notes = tuple(self._notes)
        made = Snapshot(
            at=now_ns,
            serial=next(self._serials),
            status=replace(
                status,
                peers=peers,
                wanted_blocks=max(status.wanted_blocks, 0),
                wanted_bytes=self.queue.left() or status.wanted_bytes,
            ),
            overall=compose.merge_overall(own, others),
            moves=compose.merge_moves(self.queue.moves(), others),
            notes=notes,
            notification=self._hearing.watcher.words if self._hearing is not None else "",
            tree_serial=self._local.tree_serial,
            leader="" if self._leads else (leader.who if leader is not None else self._holder),
            error=self._vanished or self._local.error or self._pulls.trouble,
        )
        with self._lock:
            self._latest, self._latest_at = made, now
        return made

    def _peers(self, now: float, now_ns: int) -> tuple[PeerStatus, ...]:
        states = self._loops.states()
        return tuple(
            compose.peer_status(
                facts,
                states.get(facts.name),
                self._meters.peer(facts.name),
                now_ns=now_ns,
                now=now,
            )
            for facts in self.work.peers()
        )

    def _publish(self, snapshot: Snapshot, now: float) -> None:
        """Tell the node's other processes, at most twice a second, and only what is news."""
        moves = tuple(move for move in snapshot.moves if not move.by)
        news = (self._leads, moves, snapshot.tree_serial, snapshot.status.peers)
        waited = now - self._published_at
        if waited < PUBLISH_SECONDS:
            return
        if news == self._published and waited < PUBLISH_IDLE_SECONDS:
            return
        self._published, self._published_at = news, now
        self._files.publish(
            at=snapshot.at,
            leads=self._leads,
            tree_serial=snapshot.tree_serial,
            overall=self.queue.overall(self._meters.overall.rate, None),
            peers=snapshot.status.peers if self._leads else (),
            moves=moves,
            notification=snapshot.notification,
            lag=self.lag,
        )
