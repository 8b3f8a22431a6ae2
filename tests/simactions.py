"""What happens in a simulated world: what people do, what machines do by themselves, bad days."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress

from globofs.format.record import BEFORE_APPEND, MARKER
from globofs.store.query import View
from tests.helpers_disk import Model
from tests.simworld import (
    PATHS,
    Broken,
    Machine,
    Policy,
    World,
    WorldClock,
    add,
    conflicts,
    edit,
    evict,
    mirror,
    peering,
    pinned,
    pins,
    prune,
    pull_owed,
    resolve,
    restore,
    sync,
    undo,
    verify,
)

Action = Callable[[World, Machine], None]
DAY = 24 * 3600.0
DIRECTORIES = [b"d", b"d/e", b"d2", b"folder", b"new"]
SETTINGS = {
    "cachetime": ["0s", "30s", "30m", "7d"],
    "copies": ["1", "1", "2"],
    "compression": ["zstd", "none", "gzip"],
    "links": ["yes", "no"],
}


def content(world: World) -> list[bytes]:
    """A few pieces; many of them are the same in other files."""
    pieces = []
    for _ in range(world.chance.choice([0, 1, 1, 2, 3])):
        number = world.chance.choice([world.chance.randrange(6), world.chance.randrange(10**6)])
        size = world.chance.choice([20, 300, 70_000])
        pieces.append((b"%d " % number) * (size // len(b"%d " % number) + 1))
    return pieces


def some_path(world: World) -> bytes:
    """One of a few; every second time the same, so that it has a history."""
    return world.chance.choice([PATHS[0], world.chance.choice(PATHS)])


# --- people -------------------------------------------------------------------------------------


def write(world: World, machine: Machine) -> None:
    """A file, made from what is there now."""
    world.write(machine, some_path(world), content(world))


def open_file(world: World, machine: Machine) -> None:
    """A program opens a file, to save it some time later."""
    path = some_path(world)
    version = View(machine.node).version(path)
    if version is not None:
        machine.opened[path] = (version.id,)


def save_file(world: World, machine: Machine) -> None:
    """What was opened is saved, whatever happened meanwhile."""
    if machine.opened:
        path = world.chance.choice(sorted(machine.opened))
        world.write(machine, path, content(world), parents=machine.opened.pop(path))


def add_folder(world: World, machine: Machine) -> None:
    """A folder of this machine is added, as it is now."""
    folder = os.path.join(world.top, f"{machine.name}-folder")
    os.makedirs(folder, exist_ok=True)
    for _ in range(world.chance.randrange(3)):
        path = os.path.join(folder, world.chance.choice("xyz"))
        if world.chance.random() < 0.2:
            with suppress(FileNotFoundError):
                os.unlink(path)
            continue
        with open(path, "wb") as file:
            file.write(b"".join(content(world)))
        os.utime(path, ns=(world.now, world.now))
    delete = world.chance.random() < 0.5
    add(machine.node, [folder + "/"], to=b"folder", delete=delete, yes=True)


def rm(world: World, machine: Machine) -> None:
    edit.rm(machine.node, [world.chance.choice([some_path(world), *DIRECTORIES])])


def mv(world: World, machine: Machine) -> None:
    """A file or a whole directory gets another name, or goes into another directory."""
    old = world.chance.choice([some_path(world), some_path(world), *DIRECTORIES])
    edit.mv(machine.node, old, world.chance.choice([some_path(world), *DIRECTORIES, b"d2/moved"]))


def restore_version(world: World, machine: Machine) -> None:
    """An old version is made current again; or a directory, as it was some time ago."""
    if world.chance.random() < 0.2:
        moment = world.now - int(world.chance.choice([10.0, 100.0, DAY]) * 1e9)
        path = world.chance.choice([*DIRECTORIES, b""])
        delete = world.chance.random() < 0.5
        restore.restore(machine.node, machine.puller, [path], at=moment, delete=delete)
        return
    history = View(machine.node).history(some_path(world))
    if history:
        version = world.chance.choice(history)
        restore.restore(machine.node, machine.puller, [version.path], version=version)


def undo_last(world: World, machine: Machine) -> None:
    if world.chance.random() < 0.3:
        undo.redo(machine.node)
    else:
        undo.undo(machine.node)


def settle_conflict(world: World, machine: Machine) -> None:
    for one in conflicts(machine.node)[:1]:
        if world.chance.random() < 0.5:
            resolve(machine.node, [one.path], version=world.chance.choice(one.sides).id)
        else:
            resolve(machine.node, [one.path], keep_both=True)


def read(world: World, machine: Machine) -> None:
    """A file is read: what is not here is pulled and kept."""
    version = View(machine.node).version(some_path(world))
    if version is not None and version.kind == "file":
        for _ in machine.puller.iter_version(version):
            pass


def let_versions_go(world: World, machine: Machine) -> None:
    policy = world.chance.choice([Policy(keep_last=1), Policy(keep_last=2), Policy(keep_daily=1)])
    prune.prune(machine.node, policy)


def pin_path(world: World, machine: Machine) -> None:
    """A path is to be kept here, with all that comes below it; or no longer."""
    taken = machine.node.state.pins()
    if taken and world.chance.random() < 0.4:
        pins.unpin(machine.node, world.chance.choice(taken))
    else:
        pins.pin(machine.node, world.chance.choice([some_path(world), b"d", b""]))


def retire(world: World, machine: Machine) -> None:
    """Somebody says of a machine that is gone for good that it is."""
    for gone in world.gone:
        uuid = gone.node.uuid
        if all(other.node.uuid != uuid for other in world.machines):
            peering.peer_retire(machine.node, uuid)
            world.gone.remove(gone)
            world.retired.append(gone)
            return


def change_setting(world: World, machine: Machine) -> None:
    """One key of the config has another value from now on."""
    key = world.chance.choice(sorted(SETTINGS))
    machine.node.change_config(key, world.chance.choice(SETTINGS[key]))


# --- machines -----------------------------------------------------------------------------------


def push_and_pull(world: World, machine: Machine) -> None:
    """One round with one peer, sometimes with a bad link in between."""
    others = [other for other in world.machines if other is not machine]
    other = world.chance.choice(others)
    before = journals(other)
    world.round(machine, other)
    if not other.refuses and world.chance.random() < 0.3:
        spoil(world, other, before)
    with world.acting(other):
        if world.chance.random() < 0.7 and not other.full:
            other.node.catch_up()


def whole_sync(world: World, machine: Machine) -> None:
    if not machine.offline:
        sync(machine.node, machine.peers, machine.puller)


def upkeep(world: World, machine: Machine) -> None:
    if not machine.offline:
        pull_owed(machine.node, machine.puller)
    prune.acknowledge_prunes(machine.node)
    prune.collect_due(machine.node)


def collect(world: World, machine: Machine) -> None:
    prune.collect(machine.node)


def let_blocks_go(world: World, machine: Machine) -> None:
    """`evict`, and a minute later again, mostly after a sync of all. Nothing goes that is pinned."""
    caches = [one for one in world.machines if one.node.config.cacheonly]
    if caches and machine not in caches:
        world.do(world.chance.choice(caches), "evict", let_blocks_go)
    if machine not in caches or machine.offline:
        return
    if world.chance.random() < 0.7:
        everybody_syncs(world)
    keep = kept_by_pins(machine)
    evict.evict(machine.node, machine.peers)
    if world.chance.random() < 0.8:
        world.advance(world.chance.choice([5.0, 61.0, 61.0, 61.0]))
        if world.chance.random() < 0.4:
            other = world.chance.choice(world.machines)
            if other is not machine:
                world.do(other, "meanwhile", world.chance.choice(ELSEWHERE))
        evict.evict(machine.node, machine.peers)
    held = machine.node.index.rows("SELECT id FROM block WHERE held = 1")
    gone = keep - {block for (block,) in held}
    if gone:
        raise Broken(f"{machine.name} evicted {min(gone).hex()[:16]}, which is pinned")


def everybody_syncs(world: World) -> None:
    """Each in turn, and what is owed and asked is pulled and answered."""
    for machine in list(world.machines):
        if not machine.full:
            world.do(machine, "sync", whole_sync)
            world.do(machine, "upkeep", upkeep)


def quiet_week(world: World, machine: Machine) -> None:
    """All hear of all, a grace period ends, and what waited for that may go; often one was away,
    has heard nothing of what was pruned, and takes old versions back."""
    away = world.chance.choice([None, *world.machines])
    if away is not None:
        away.offline = True
    if away is not machine and world.chance.random() < 0.7:
        world.do(machine, "prune", let_versions_go)
    for _ in range(2):
        everybody_syncs(world)
    world.say_moved()
    world.advance(8 * DAY)
    for _ in range(2):
        if away is not None and away in world.machines:
            world.do(away, "late", restore_old)
    prune.collect(machine.node)


def restore_old(world: World, machine: Machine) -> None:
    """A version that is no longer shown, becomes current again."""
    history = View(machine.node).history(some_path(world))
    old = [version for version in history if not version.head]
    if old:
        version = world.chance.choice(old)
        restore.restore(machine.node, machine.puller, [version.path], version=version)


def kept_by_pins(machine: Machine) -> set[bytes]:
    """Blocks held by a machine that any version below one of its pins uses."""
    sql = (
        "SELECT b.id, p.path FROM block b JOIN use u ON u.block = b.no"
        " JOIN version v ON v.row = u.version JOIN path p ON p.no = v.path WHERE b.held = 1"
    )
    rows = machine.node.index.rows(sql) if machine.node.state.pins() else []
    return {block for block, path in rows if pinned(machine, path)}


def restart(world: World, machine: Machine) -> None:
    """The process ends and the next one begins; sometimes without the caches."""
    machine.stop()
    local = os.path.join(machine.volume, "local")
    if not machine.waiting and world.chance.random() < 0.4:
        world.count("index deleted")
        for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(local, name))
    world.reopen(machine)


def take_turns(world: World, machine: Machine) -> None:
    """From now on another client of this machine acts: it has slept since its own last action."""
    if not machine.full:
        machine.take_turns()


def have_all(world: World, machine: Machine) -> None:
    """Every block is pulled; or one peer gets every block that it lacks."""
    to = world.chance.choice([None, *(peer.name for peer in machine.peers)])
    if not machine.offline:
        mirror.mirror(machine.node, machine.peers, machine.puller, to=to)


def check(world: World, machine: Machine) -> None:
    """Everything is read, and what is damaged comes again from others."""
    if not machine.offline:
        verify.verify(machine.node, machine.puller, repair=True)


# --- bad days -----------------------------------------------------------------------------------


def kill_soon(world: World, machine: Machine) -> None:
    world.kill_in = world.chance.randrange(60)


def lose_power(world: World, machine: Machine) -> None:
    with world.acting(machine):
        world.power_loss(machine)


def fill_disk(world: World, machine: Machine) -> None:
    machine.full = not machine.full
    world.count("disk full" if machine.full else "room again")


def go_away(world: World, machine: Machine) -> None:
    machine.offline = not machine.offline
    world.count("offline" if machine.offline else "online")


def clock_jump(world: World, machine: Machine) -> None:
    machine.clock.offset_ns = int(world.chance.choice([-400, -1, 0, 0.04, 2, 400]) * DAY * 1e9)
    world.count("clock jump")


def days_pass(world: World, machine: Machine) -> None:
    world.advance(world.chance.choice([1, 8]) * DAY)


def change_role(world: World, machine: Machine) -> None:
    """A keeper becomes a cache, or a cache a keeper."""
    with world.acting(machine), suppress(OSError):
        value = "no" if machine.node.config.cacheonly else "yes"
        machine.node.change_config("cacheonly", value)
        world.count(f"cacheonly={value}")


def bit_rots(world: World, machine: Machine) -> None:
    """One bit of one block is another from now on. A cache may have let go of its own copy for
    this one's sake, so the block may be lost; nothing else may."""
    held = sorted(machine.node.blocks.iter_held())
    if held:
        block, suffix = world.chance.choice(held)
        path = machine.node.blocks.path_of(block, suffix)
        at, bit = world.chance.randrange(os.path.getsize(path)), 1 << world.chance.randrange(8)
        world.damage(path, lambda data: data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        world.forgiven.add(block)
        world.count("bit rot")


def lose_machine(world: World, machine: Machine) -> None:
    """A machine burns, with its disk; two are left at least that are not copies of each other."""
    left = [one for one in world.machines if one is not machine]
    if sum(not one.cloned for one in left) > 1:
        world.lose(machine)
        world.count("machine lost")


def find_machine(world: World, machine: Machine) -> None:
    """A machine that was believed to be lost, and perhaps retired, is found in a cupboard. Of one
    that was retired nobody kept anything, so it hears the news before it does anything itself."""
    found = [*world.gone, *world.retired]
    busy = any(other.full or other.offline for other in world.machines)
    if not found or len(world.machines) > 4:
        return
    back = world.chance.choice(found)
    if busy and back in world.retired:
        return
    world.find(back)
    if back in world.retired:
        world.retired.remove(back)
        for _ in range(2):
            everybody_syncs(world)
    else:
        world.gone.remove(back)
    world.count("machine found")


def back_up(world: World, machine: Machine) -> None:
    """A copy of the whole directory; or yesterday's copy takes its place."""
    copy = machine.volume + "-backup"
    if machine.backup:
        roll_back(world, machine, copy)
        return
    with world.acting(machine):
        machine.drop()
        shutil.copytree(machine.volume, copy, symlinks=True)
        machine.backup = copy
        world.reopen(machine)


def roll_back(world: World, machine: Machine, copy: str) -> None:
    with world.acting(machine):
        world.forgive_loss(machine)
        machine.drop_all()
        shutil.rmtree(machine.volume)
        os.rename(copy, machine.volume)
        machine.backup = ""
        machine.model = Model(machine.volume)
        world.restored[machine.volume] = world.restored.get(machine.volume, 0) + 1
        world.count("rolled back")
        world.reopen(machine)


def clone(world: World, machine: Machine) -> None:
    """`cp -a` of the whole volume to another machine, and both are used."""
    if len(world.machines) > 4 or world.cloned:
        return
    with world.acting(machine):
        machine.drop()
        volume = machine.volume + "2"
        shutil.copytree(machine.volume, volume, symlinks=True)
        world.reopen(machine)
    clock = WorldClock(world, machine.clock.offset_ns)
    made = Machine(world, machine.name + "2", volume, clock, Model(volume), machine.node)
    made.cloned = True
    world.machines.append(made)
    world.cloned = True
    with world.acting(made):
        world.reopen(made)
    world.count("cloned")


# --- links --------------------------------------------------------------------------------------


def journals(machine: Machine) -> dict[str, int]:
    """Every journal's open segment on a machine, and its size."""
    found = {}
    for place, _, files in os.walk(machine.node.upstream()):
        if "latest" in files:
            path = os.path.join(place, "latest")
            found[path] = os.path.getsize(path)
    return found


def spoil(world: World, machine: Machine, before: dict[str, int]) -> None:
    """What was just appended on a machine by others arrives torn, twice, in disorder, not at all."""
    own = os.path.join(machine.node.upstream(), machine.node.uuid, "updates")
    for path, size in journals(machine).items():
        begin = before.get(path, 0)
        if size <= begin or path.startswith(own):
            continue
        how = world.chance.choice(["torn", "zeros", "twice", "disorder", "lost", "hole"])
        world.count(f"delivery: {how}")
        world.damage(path, lambda data, b=begin, h=how: _spoilt(world, data, b, h))


def _spoilt(world: World, data: bytes, begin: int, how: str) -> bytes:
    old, new = data[:begin], data[begin:]
    cut = world.chance.randrange(len(new) + 1)
    frames = [MARKER + piece for piece in new.split(MARKER)[1:]]
    if how == "torn":
        return old + new[:cut]
    if how == "zeros":
        return old + new[:cut] + bytes(len(new) - cut)
    if how == "twice":
        return old + new + BEFORE_APPEND + new[cut:]
    if how == "disorder":
        world.chance.shuffle(frames)
        return old + BEFORE_APPEND + BEFORE_APPEND.join(frames)
    if how == "hole":
        end = min(len(new), cut + 100)
        return old + new[:cut] + bytes(end - cut) + new[end:]
    return old


ACTIONS: dict[str, tuple[int, Action]] = {
    "write": (14, write),
    "open": (5, open_file),
    "save": (5, save_file),
    "add": (3, add_folder),
    "rm": (3, rm),
    "mv": (3, mv),
    "restore": (4, restore_version),
    "undo": (3, undo_last),
    "resolve": (2, settle_conflict),
    "read": (5, read),
    "prune": (5, let_versions_go),
    "collect": (2, collect),
    "round": (25, push_and_pull),
    "sync": (4, whole_sync),
    "upkeep": (5, upkeep),
    "evict": (8, let_blocks_go),
    "restart": (4, restart),
    "another client": (6, take_turns),
    "mirror": (2, have_all),
    "verify": (1, check),
    "pin": (4, pin_path),
    "retire": (6, retire),
    "quiet week": (3, quiet_week),
    "setting": (2, change_setting),
}
"""What happens, and how often."""

ELSEWHERE: list[Action] = [
    *(write, rm, read, restore_version, undo_last, let_versions_go, collect, upkeep, restart),
    *(check, pin_path, change_setting),
]
"""What happens on another machine between two looks at it."""

BESIDE: list[Action] = [
    *(write, write, save_file, rm, mv, restore_version, undo_last, settle_conflict, read),
    *(push_and_pull, push_and_pull, whole_sync, upkeep),
]
"""What another client may do in the middle of a write; no more than a real one could: whoever
wants to be alone waits for the writer."""

BAD_DAYS: list[Action] = [
    kill_soon,
    kill_soon,
    kill_soon,
    lose_power,
    lose_power,
    fill_disk,
    fill_disk,
    go_away,
    go_away,
    clock_jump,
    days_pass,
    change_role,
    bit_rots,
    back_up,
    back_up,
    clone,
    lose_machine,
    lose_machine,
    find_machine,
    find_machine,
]
