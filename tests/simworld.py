"""A world of nodes under one seed: no real clock, no threads, every fault a disk or a link has.

    with World(seed, directory) as world:
        world.run(30)      # random actions, random faults
        world.quiet()      # the links hold, the disks have room: rounds until nothing changes
        world.judge()      # what must be true then; raises `Broken`

The nodes are real (`Node`, `Peers`, the verbs), in directories below `directory`. Each has a
model of its disk beside it (`helpers_disk.Model`), so that it can lose power: what was not synced
by itself is gone, or is there in part; a sync asked for by a peer means nothing, and after 45
seconds everything has reached the disk. A killed process stops at one of its operations.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256

from globofs import limits
from globofs.errors import GlobofsError
from globofs.events import Problem
from globofs.format import names
from globofs.format.config import PeerConfig
from globofs.format.manifest import Block
from globofs.peerio.peers import Peers
from globofs.store import clock as clocks
from globofs.store import fsio, home
from globofs.store.announce import announce
from globofs.store.commit import Committed, Draft, Operation
from globofs.store.node import Node, create_node, open_node
from globofs.store.query import View
from globofs.store.versions import blocks_of
from globofs.sync import _lost, edit, evict, mirror, peering, pins, prune, restore, undo, verify
from globofs.sync._settling import Settling
from globofs.sync.add import add
from globofs.sync.pull import Puller
from globofs.sync.resolve import conflicts, resolve
from globofs.sync.results import Policy
from globofs.sync.round import PeerMemory, sync, sync_round
from globofs.sync.upkeep import pull_owed
from tests.helpers_disk import Directory, File, Model, Op

START_NS = 1_700_000_000 * 10**9
WRITEBACK_SECONDS = 45.0
PATHS = [b"a", b"b", b"d/a", b"d/b", b"d/e/c", b"versions", b"=x"]
NAMES = ["ann", "bob", "cat", "dan"]
SMALL_LIMITS = {"MANIFEST_INLINE_BYTES": 330, "SEGMENT_BYTES": 6000, "PUSH_BUFFER_BYTES": 2000}
"""Files of two blocks have a large manifest, journals are many segments, pushes many appends."""
NEEDS_ROOM = ("create", "write", "mkdir", "symlink", "link", "rename")


class Killed(BaseException):
    """The process was ended here."""


class Broken(AssertionError):
    """Something that must always be true is not."""


@dataclass
class WorldClock:
    """What a machine shows as time: the world's, and what its own clock is off."""

    world: World
    offset_ns: int = 0

    def now_ns(self) -> int:
        self.world.now += 1000
        return max(1, self.world.now + self.offset_ns)

    def monotonic(self) -> float:
        return self.world.now / 1e9

    def sleep(self, seconds: float) -> None:
        self.world.advance(seconds)


@dataclass
class Client:
    """A process that uses a node: what it has opened, and what it remembers of its peers."""

    node: Node
    peers: Peers
    puller: Puller
    memories: dict[str, PeerMemory]

    def drop(self) -> None:
        """What is left of a killed process in the test's own: nothing is written any more."""
        self.peers.close()
        self.node.index.close()

    def stop(self) -> None:
        """An orderly end."""
        self.peers.close()
        self.node.close()


@dataclass
class Machine:
    """A computer with one node on its disk, and the clients that use it, one at a time."""

    world: World
    name: str
    volume: str
    clock: WorldClock
    model: Model
    node: Node
    boot: int = 1
    full: bool = False
    offline: bool = False
    refuses: bool = False  # nobody else may write into its volume
    cloned: bool = False
    backup: str = ""
    since_ns: int = START_NS  # everything before that is on the disk itself
    memories: dict[str, PeerMemory] = field(default_factory=dict)
    opened: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    waiting: list[Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.below = f"{self.volume}/"

    def start(self) -> None:
        """What every process begins with."""
        self.peers = Peers(self.node, inline=True)
        self.puller = Puller(self.node, self.peers)
        self.memories = {}

    @property
    def client(self) -> Client:
        """The one whose turn it is."""
        return Client(self.node, self.peers, self.puller, self.memories)

    def stop(self) -> None:
        """The client whose turn it is ends in order."""
        self.client.stop()

    def drop(self) -> None:
        """The client whose turn it is was killed."""
        self.client.drop()

    def drop_all(self) -> None:
        """No process of this machine runs any more."""
        self.drop()
        for client in self.waiting:
            client.drop()
        self.waiting.clear()

    def open(self) -> None:
        """The next process."""
        self.node = open_node(self.volume, clock=self.clock)
        self.start()
        self.node.catch_up()

    def take_turns(self) -> None:
        """Another client goes on, with all that it knew when its turn ended; or a new one."""
        before = self.client
        if self.waiting:
            self.become(self.waiting.pop(0))
        else:
            self.open()
        self.waiting.append(before)

    def become(self, client: Client) -> None:
        """It is the turn of `client`."""
        self.node, self.peers = client.node, client.peers
        self.puller, self.memories = client.puller, client.memories


class World:
    """The machines, the time, and what was promised to whoever wrote."""

    def __init__(self, seed: int, directory: str, nodes: int = 0) -> None:
        self.seed = seed
        self.top = directory
        self.chance = random.Random(seed)
        self.now = START_NS
        self.machines: list[Machine] = []
        self.gone: list[Machine] = []  # lost with their disks; nobody has retired them yet
        self.retired: list[Machine] = []  # the same, and somebody has
        self.lost = 0
        self.cloned = False
        self.actor: Machine | None = None
        self.kill_in = -1
        self.dead = False
        self.promised: dict[bytes, str] = {}
        self.forgiven: set[bytes] = set()
        self.restored: dict[str, int] = {}  # by volume: how often a backup took its place
        self.log: list[str] = []
        self.faults: dict[str, int] = {}
        self._names = 0
        self._count = nodes or self.chance.choice([2, 3, 3, 4])

    # --- beginning and end ------------------------------------------------------------------

    def __enter__(self) -> World:
        self._patches: list[tuple[object, str, object]] = []
        boot = clocks.boot_id
        for name, module in list(sys.modules.items()):
            if name.startswith("globofs.") and getattr(module, "boot_id", None) is boot:
                self._patch(module, "boot_id", self._boot_id)
        self._patch(uuid, "uuid4", lambda: uuid.UUID(int=self.chance.getrandbits(128), version=4))
        self._patch(Operation, "commit", self._noting(Operation.commit))
        self._patch(fsio, "observer", self._hear)
        self._patch(home, "facts", self._facts)
        self._patch(Settling, "due", lambda settling: None)  # it would need a real clock
        for name, small in SMALL_LIMITS.items():
            if self.chance.random() < 0.4:
                self._limit(name, small)
        for name in NAMES[: self._count]:
            self._make(name)
        self._introduce()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_in, self.dead = -1, False
        for machine in self.machines:
            machine.full = False
            with suppress(Exception):
                machine.drop_all()
        for target, name, value in reversed(self._patches):
            setattr(target, name, value)

    def _patch(self, target: object, name: str, value: object) -> None:
        self._patches.append((target, name, getattr(target, name)))
        setattr(target, name, value)

    def _limit(self, name: str, value: int) -> None:
        """Make a bound so small that ordinary content meets it."""
        before = getattr(limits, name)
        for at, module in list(sys.modules.items()):
            if at.startswith("globofs.") and getattr(module, name, None) is before:
                self._patch(module, name, value)

    def _boot_id(self) -> str:
        machine = self.actor
        return f"b{machine.boot:07x}" if machine is not None else "00000000"

    def _facts(self, path: str) -> str:
        """What tells a file from its copies: another on every machine, and after each restore from
        a backup. What a disk brings back after power was lost is the same file."""
        volume = os.path.join(self.top, os.path.relpath(path, self.top).split(os.sep)[0])
        return f"{os.path.basename(volume)} {self.restored.get(volume, 0)}"

    def _noting(self, commit: Callable[..., list[Committed]]) -> Callable[..., list[Committed]]:
        def noted(operation: Operation, drafts: object) -> list[Committed]:
            done = commit(operation, drafts)
            for one in done:
                if not one.skipped:
                    self.promised.setdefault(one.version_id, operation.node.name)
            return done

        return noted

    def _make(self, name: str) -> Machine:
        volume = os.path.join(self.top, name)
        clock = WorldClock(self)
        cacheonly = bool(self.machines) and self.chance.random() < 0.45
        made_uuid = str(uuid.uuid4())
        compression = self.chance.choice(["zstd", "none", "gzip"])
        node = create_node(
            *(volume, "local", name),
            uuid=made_uuid,
            clock=clock,
            compression=compression,
            cacheonly=cacheonly,
        )
        machine = Machine(self, name, volume, clock, Model(volume), node)
        machine.refuses = bool(self.machines) and self.chance.random() < 0.15
        self.machines.append(machine)
        with self.acting(machine):
            machine.start()
            node.catch_up()
            announce(node)
        return machine

    def _introduce(self) -> None:
        """Who names whom: a ring at least, some in one direction only."""
        self._ring(self.machines)
        for machine in self.machines:
            for third in self.machines:
                if self.chance.random() < 0.4:
                    self.know(machine, third)

    def _ring(self, machines: list[Machine]) -> None:
        """Each names the next one; most of them are named by it, too."""
        for machine, other in zip(machines, machines[1:] + machines[:1], strict=True):
            self.know(machine, other)
            if self.chance.random() < 0.8 or machine.refuses:
                self.know(other, machine)

    def know(self, one: Machine, other: Machine) -> None:
        """`one` gets an entry for `other`, or the one it has is put right."""
        if one is other:
            return
        with self.acting(one):
            config = PeerConfig(other.node.uuid, other.volume, self.chance.random() < 0.3)
            known = {entry.name: entry for entry in one.node.peer_entries()}
            for entry in known.values():
                same = entry.config.uuid == config.uuid
                if (entry.name == other.name and not same) or (same and entry.name != other.name):
                    one.node.remove_peer_entry(entry.name)
                    known.pop(entry.name, None)
                    break
            if other.name not in known and config.uuid != one.node.uuid:
                with suppress(GlobofsError):
                    one.node.add_peer_entry(other.name, config)
            one.peers.reload()

    # --- the disks --------------------------------------------------------------------------

    @contextmanager
    def acting(self, machine: Machine) -> Iterator[None]:
        """Inside, what is done is done by `machine`."""
        before, self.actor = self.actor, machine
        try:
            yield
        finally:
            self.actor = before

    def _owner(self, path: object) -> Machine | None:
        text = str(path)
        for machine in self.machines:
            if text.startswith(machine.below) or text == machine.volume:
                return machine
        return None

    def _hear(self, name: str, args: tuple[object, ...]) -> None:
        path = args[1] if name in ("symlink", "rename", "link") else args[0]
        if self.dead:
            raise OSError(errno.EIO, "this process is dead", str(path))
        if self.kill_in == 0:
            self.dead = True
            raise Killed
        self.kill_in -= self.kill_in > 0
        owner = self._owner(path)
        if owner is None:
            return
        foreign = owner is not self.actor
        if foreign and owner.refuses:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        if owner.full and name in NEEDS_ROOM and (name != "rename" or self.chance.random() < 0.1):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        if foreign and name in ("fsync", "fsync_dir", "syncfs"):
            return
        owner.model.apply(Op(name, args))

    def advance(self, seconds: float) -> None:
        """Let time pass; what was written long enough ago is on the disk by then."""
        self.now += int(seconds * 1e9)
        for machine in self.machines:
            if self.now - machine.since_ns >= WRITEBACK_SECONDS * 1e9:
                machine.model.apply(Op("syncfs", (machine.volume,)))
                machine.since_ns = self.now

    # --- running ----------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """So many random actions."""
        from tests.simactions import ACTIONS, BAD_DAYS

        names = list(ACTIONS)
        weights = [ACTIONS[name][0] for name in names]
        for _ in range(steps):
            machine = self.chance.choice(self.machines)
            if self.chance.random() < 0.15:
                self.chance.choice(BAD_DAYS)(self, machine)
                if machine in self.gone:
                    continue
            if self.chance.random() < 0.2:
                machine.offline = machine.full = False
            (name,) = self.chance.choices(names, weights)
            self.do(machine, name, ACTIONS[name][1])
            self.advance(self.chance.choice([0.001, 0.5, 3.0, 20.0]))

    def do(self, machine: Machine, name: str, action: Callable[[World, Machine], None]) -> None:
        """One action; what it may raise is an error in words, or the disk's own."""
        self.log.append(f"{machine.name}: {name}")
        with self.acting(machine):
            try:
                action(self, machine)
            except GlobofsError as error:
                self.log.append(f"   {type(error).__name__}: {error.message}")
            except OSError as error:
                if not self.dead and error.errno not in (errno.ENOSPC, errno.EROFS):
                    raise
                self.log.append(f"   {error}")
            except Killed:
                self.log.append("   killed")
            finally:
                self.kill_in = -1
            if self.dead:
                self.dead = False
                self.count("kill")
                if self.chance.random() < 0.5:
                    self.power_loss(machine)
                else:
                    machine.drop()
                    self.reopen(machine)

    def count(self, fault: str) -> None:
        """Note that a fault was tried."""
        self.faults[fault] = self.faults.get(fault, 0) + 1
        self.log.append(f"   *** {fault}")

    def reopen(self, machine: Machine) -> None:
        """The next process on that machine; on a full disk it has to wait."""
        full, machine.full = machine.full, False
        machine.open()
        machine.full = full

    def write(self, machine: Machine, path: bytes, pieces: list[bytes], **more: object) -> None:
        """Commit a file of these pieces."""
        blocks = tuple(Block(sha256(piece).digest(), len(piece)) for piece in pieces)
        draft = Draft(path, "file", sum(map(len, pieces)), 0o644, 0, b"", blocks, **more)  # type: ignore[arg-type]
        node = machine.node
        with node.operation("write", [path]) as operation, node.blocks.batch() as batch:
            ids = [block.id for block in blocks]
            held = batch.held(ids)
            for block, piece in zip(blocks, pieces, strict=True):
                if block.id not in held:
                    batch.add(block.id, block.size, piece, "")
            batch.seal()
            if self.chance.random() < 0.1:
                self.meanwhile(machine)
            operation.commit([draft])

    def meanwhile(self, machine: Machine) -> None:
        """Another client of the machine does something now, before this one goes on."""
        from tests.simactions import BESIDE

        if machine.full:
            return
        before = machine.client
        machine.take_turns()
        machine.waiting.remove(before)
        action = self.chance.choice(BESIDE)
        self.log.append(f"   meanwhile another client: {action.__name__}")
        try:
            with suppress(GlobofsError):
                action(self, machine)
        finally:
            after = machine.client
            if self.dead:
                after.drop()
            else:
                machine.waiting.append(after)
            machine.become(before)

    def round(self, one: Machine, other: Machine) -> None:
        """One round as the engine makes it; then what came is applied."""
        with self.acting(one):
            peer = one.peers.get(other.name)
            if peer is None or one.offline or other.offline:
                return
            memory = one.memories.setdefault(other.name, PeerMemory())
            sync_round(one.node, peer, memory)
            one.node.catch_up()

    def power_loss(self, machine: Machine) -> None:
        """The machine stops; what its disk has not got is gone, or there in part."""
        machine.drop_all()
        mode = self.chance.choice(["power", "reorder", "reorder"])
        fresh = machine.volume + "-disk"
        machine.model.write_out(fresh, mode, self.chance, zeros=False)  # type: ignore[arg-type]
        shutil.rmtree(machine.volume)
        os.rename(fresh, machine.volume)
        for name in ("lock", "run", "tmp"):  # may be deleted at any time
            if self.chance.random() < 0.5:
                shutil.rmtree(os.path.join(machine.volume, "local", name), ignore_errors=True)
        machine.model = Model(machine.volume)
        machine.boot += 1
        self.count(f"power loss ({mode})")
        self.reopen(machine)

    def lose(self, machine: Machine) -> None:
        """A machine and its disk are gone for good; the others go round it from now on.

        What nobody else has is lost with it.
        """
        with self.acting(machine):
            self.forgive_loss(machine)
            machine.drop_all()
        os.rename(machine.volume, machine.volume + "-gone")
        self.machines.remove(machine)
        self.gone.append(machine)
        self.lost += 1
        self._close_ranks()

    def find(self, machine: Machine) -> None:
        """A machine that was lost is there again, as it was."""
        os.rename(machine.volume + "-gone", machine.volume)
        machine.model = Model(machine.volume)
        machine.offline = machine.full = False
        if machine in self.retired:
            known = {version for other in self.machines for version, _ in versions_of(other)}
        self.machines.append(machine)
        with self.acting(machine):
            self.reopen(machine)
        if machine in self.retired:
            for row, version in machine.node.index.rows("SELECT row, id FROM version"):
                if version not in known:
                    self.forgiven.update(
                        block.id for block, _ in blocks_of(machine.node.index, row)
                    )
        self._close_ranks()

    def _close_ranks(self) -> None:
        """Those who are left name each other, so that all hear of all; full disks make room."""
        full = [machine for machine in self.machines if machine.full]
        for machine in full:
            machine.full = False
        self._ring([machine for machine in self.machines if not machine.cloned])
        for clone in self.machines:
            if clone.cloned:
                strange = (m for m in self.machines if m.node.uuid != clone.node.uuid)
                self.know(clone, next(strange))
        for machine in full:
            machine.full = True

    def damage(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Change a file behind everybody's back, in the model too."""
        owner = self._owner(path)
        with open(path, "rb") as file:
            data = change(file.read())
        with open(path, "wb") as file:
            file.write(data)
        if owner is not None:
            node = owner.model._at(path)
            assert isinstance(node, File)
            node.now[:] = data

    def is_alone(self, machine: Machine) -> bool:
        """Whether no copy of it goes by its name."""
        uuid = machine.node.uuid
        others = [*self.machines, *self.gone, *self.retired]
        return all(other is machine or other.node.uuid != uuid for other in others)

    def say_moved(self) -> None:
        """Whoever restored a volume from a backup says that it is used nowhere else."""
        for machine in self.machines:
            if not machine.offline and self.is_alone(machine):
                with self.acting(machine), suppress(OSError):
                    home.note(machine.node.directory)

    # --- the end of all faults --------------------------------------------------------------

    def quiet(self) -> None:
        """Everything works again, people put entries right; rounds until nothing changes."""
        for machine in self.machines:
            machine.full = machine.offline = False
            machine.clock.offset_ns = 0
            with self.acting(machine):
                for client in machine.waiting:
                    client.stop()
            machine.waiting.clear()
            # Copies with one name are told apart only by somebody who hears of both.
            machine.refuses = machine.refuses and not self.cloned
        if self.lost:  # a backup from before knows only who is gone
            self._close_ranks()
        self._rest()
        self.say_moved()
        for gone in self.gone:
            if self.is_alone(gone):
                with self.acting(self.machines[0]):
                    peering.peer_retire(self.machines[0].node, gone.node.uuid)
        self.retired += self.gone
        self.advance(8 * 24 * 3600)  # what was set aside may be deleted now
        self._rest()

    def _rest(self) -> None:
        before: object = None
        still = 0
        for _ in range(60):
            self._right_entries()
            self.advance(700)
            for machine in self.machines:
                with self.acting(machine):
                    sync(machine.node, machine.peers, machine.puller)
                    machine.node.finish()
                    prune.acknowledge_prunes(machine.node)
                    prune.collect_due(machine.node)
            now = self._fingerprint()
            still = still + 1 if now == before else 0
            before = now
            if still == 3:
                return
        raise Broken("it never comes to rest")

    def _right_entries(self) -> None:
        # Two that pass for one node (nothing has told them apart yet) must say the same of it.
        for one in self.machines:
            for other in self.machines:
                same = one is not other and one.node.uuid == other.node.uuid
                if (
                    same
                    and other.cloned
                    and one.node.config.cacheonly != other.node.config.cacheonly
                ):
                    with self.acting(other):
                        value = "yes" if one.node.config.cacheonly else "no"
                        other.node.change_config("cacheonly", value)
        for one in self.machines:
            for other in self.machines:
                if os.path.lexists(os.path.join(one.volume, other.name)):
                    self.know(one, other)

    def _fingerprint(self) -> object:
        return [
            (m.node.uuid, os.path.exists(a) and open(a, "rb").read())
            for m in self.machines
            for a in [os.path.join(m.node.upstream(), "applied")]
        ]

    # --- what must be true ------------------------------------------------------------------

    def judge(self) -> None:
        """Raise `Broken` unless everybody agrees, nothing promised is lost, and disks are clean."""
        for _ in self.machines:  # one may get a block from another that has just got it again
            left = sum(self._repair(machine) for machine in self.machines)
            while sum(self._pull(machine) for machine in self.machines):
                left += 1  # what was repaired is there for others, too, and by them for yet others
            if not left:
                break
        self._agree()
        self._kept()
        self._nothing_awaited()
        for machine in self.machines:
            self._pinned(machine)
        for machine in self.machines:
            with self.acting(machine):
                for turn in ("first", "second"):
                    self._clean(machine, turn)

    def _repair(self, machine: Machine) -> int:
        with self.acting(machine):
            return verify.verify(machine.node, machine.puller, repair=True).remaining

    def _pull(self, machine: Machine) -> int:
        with self.acting(machine):
            return pull_owed(machine.node, machine.puller)

    def _agree(self) -> None:
        first, *others = self.machines
        shown, known = tree_of(first), versions_of(first)
        for other in others:
            if versions_of(other) != known:
                a, b = known - versions_of(other), versions_of(other) - known
                raise Broken(
                    f"{other.name} lacks {[x.hex()[:8] for x, _ in a]}"
                    f" and has {[x.hex()[:8] for x, _ in b]} more than {first.name}"
                )
            if tree_of(other) != shown:
                raise Broken(f"{other.name} shows another tree than {first.name}")

    def _kept(self) -> None:
        first = self.machines[0]
        known = {version for version, _ in versions_of(first)}
        lost = set(self.promised) - known - self.forgiven
        if lost:
            version = min(lost)
            raise Broken(f"version {version.hex()[:16]} of {self.promised[version]} is lost")
        sql = "SELECT row, id FROM version WHERE pruned = 0"
        for row, version in first.node.index.rows(sql):
            for block, _ in blocks_of(first.node.index, row):
                if block.id not in self.forgiven and not self.holders(block.id, block.size):
                    raise Broken(
                        f"nobody holds block {block.id.hex()[:16]} of version {version.hex()[:16]}"
                    )

    def _nothing_awaited(self) -> None:
        """No record is missing: each is here, or has been given up."""
        if all(self.is_alone(machine) for machine in [*self.machines, *self.retired]):
            for machine in self.machines:
                reason = _lost.unknown(machine.node)
                if reason.startswith("records of"):
                    raise Broken(f"{machine.name}: {reason}")

    def holders(self, block: bytes, size: int) -> list[Machine]:
        """Machines on which a block is readable."""
        found = []
        for machine in self.machines:
            with self.acting(machine), suppress(KeyError, GlobofsError):
                machine.node.blocks.get(block, size)
                found.append(machine)
        return found

    def _in_reach(self, machine: Machine, block: bytes) -> bool:
        """Whether somebody whom `machine` names as a peer holds a block."""
        near = {entry.name for entry in machine.node.peer_entries()}
        size = machine.node.index.block_size(block) or 0
        return any(holder.name in near for holder in self.holders(block, size))

    def _pinned(self, machine: Machine) -> None:
        """What is shown at and below a pin is here, unless nobody in reach has it."""
        for entry in View(machine.node).walk():
            if pinned(machine, entry.path):
                for block, held in blocks_of(machine.node.index, entry.row):
                    if not held and self._in_reach(machine, block.id):
                        raise Broken(f"{machine.name} has pinned {entry.path!r} and lacks some")

    def _clean(self, machine: Machine, turn: str) -> None:
        """Nothing is damaged but what nobody in reach can mend: a peer had put it here (or at
        another peer, which put it here) and power went before it was on the disk. That is told."""
        problems: list[object] = []
        done = verify.verify(machine.node, None, emit=problems.append)
        bad = [p.reason for p in problems if isinstance(p, Problem) and not p.warning]
        lost = verify._lost(machine.node)
        mendable = [block.hex()[:16] for block in lost if self._in_reach(machine, block)]
        if bad or mendable or done.remaining > len(lost):
            raise Broken(f"{machine.name}: the {turn} check finds {bad or mendable or done}")

    def forgive_loss(self, machine: Machine) -> None:
        """`machine` is about to be lost or to go back in time: what only it has cannot be asked for
        again. Nor could what others have just got from it and have not acknowledged, because it is
        not on their disks yet: they are left the time to write it."""
        self.advance(WRITEBACK_SECONDS + 1)
        elsewhere: set[bytes] = set()
        for other in self.machines:
            if other is not machine:
                elsewhere |= {version for version, _ in versions_of(other)}
        self.forgiven |= set(self.promised) - elsewhere
        rows = machine.node.index.rows("SELECT id, size FROM block")
        for block, size in rows:
            if not [other for other in self.holders(block, size) if other is not machine]:
                self.forgiven.add(block)

    def directory_of(self, machine: Machine, path: str) -> Directory:
        """A directory in the model of a machine's disk."""
        found = machine.model._at(path)
        assert isinstance(found, Directory)
        return found


def pinned(machine: Machine, path: bytes) -> bool:
    """Whether a machine has a pin on `path` or on what it lies in."""
    return any(names.is_below(path, pin) for pin in machine.node.state.pins())


def tree_of(machine: Machine) -> dict[bytes, tuple[str, bytes, bool]]:
    """Every path, deleted ones too: kind, version shown, conflict."""
    rows = View(machine.node).walk(deleted=True)
    return {entry.path: (entry.kind, entry.version, entry.conflict) for entry in rows}


def versions_of(machine: Machine) -> set[tuple[bytes, int]]:
    """Ids of all versions a node knows, and whether they are pruned."""
    return set(machine.node.index.rows("SELECT id, pruned FROM version"))


__all__ = [
    "Broken",
    "Killed",
    "Machine",
    "Policy",
    "World",
    "add",
    "conflicts",
    "edit",
    "evict",
    "mirror",
    "peering",
    "pinned",
    "pins",
    "prune",
    "pull_owed",
    "resolve",
    "restore",
    "sync",
    "undo",
    "verify",
]
