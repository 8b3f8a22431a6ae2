"""Which machine writes in a node's directory.

Everything here relies on locks that exclude. On one kernel they do; between two machines that
reach the directory over a network they may or may not. So `lock/host` names the machines that
write, a line each, and on a network file system whoever writes shares the lock of that name for as
long as it does. A machine that is not named there opens the directory for reading only, unless it
sees that lock held: then locks made elsewhere reach it, which is all that is needed, and it adds
itself. Deleting the file forgets them all.

On a local disk a foreign name means that the disk was moved or copied: it is replaced.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import Final, NamedTuple

from globofs import errors
from globofs.format.text import escape, unescape
from globofs.store import clock, fsio
from globofs.store.locks import Lock
from globofs.store.mounts import on_network

_BYTES: Final = 64 * 1024
_HOLD_SECONDS: Final = 2.0
_UNKNOWN: Final = "00000000"


class Machine(NamedTuple):
    """A line of `lock/host`: the boot and machine that wrote it, whether over a network."""

    boot: str
    machine: str
    network: bool
    name: str


@cache
def machine_id() -> str:
    """16 hex digits that stay when this machine starts anew and differ from other machines'."""
    try:
        with open("/etc/machine-id", "rb") as file:
            identity = file.read(256).strip()
    except OSError:
        identity = b""
    return sha256(identity + b"\0" + os.fsencode(os.uname().nodename)).hexdigest()[:16]


def claim(directory: str, lock: Lock) -> tuple[str, Callable[[], None]]:
    """Be the machine that writes in the node directory: ("", how to let go) or (why not, nothing).

    One small read where nothing changed. `lock` is the node's lock `host`.
    """
    boot = clock.boot_id()
    known = _read(lock.path)
    mine = next((one for one in known if one.boot == boot != _UNKNOWN), None)
    if mine is None:
        mine = Machine(boot, machine_id(), on_network(directory), os.uname().nodename)
        others = [one for one in known if one.machine != mine.machine]
        if len(others) == len(known) > 0 and mine.network and not _held_elsewhere(lock.path):
            return _refusal(others[0], lock.path), _nothing
        _write(lock.path, [*others, mine] if mine.network else [mine])
    if not mine.network:
        return "", _nothing
    try:
        return "", lock.hold_shared(timeout=_HOLD_SECONDS)
    except (errors.GlobofsError, OSError):  # without locks no other machine will be let in
        return "", _nothing


def _nothing() -> None:
    """Lets go of what is not held."""


def _refusal(other: Machine, path: str) -> str:
    return (
        f"{other.name or 'another machine'} writes there, and its locks do not show on this one; "
        f"if it does not any more, delete {path}"
    )


def _held_elsewhere(path: str) -> bool:
    """Whether a lock that another machine holds is seen here: this one holds none."""
    try:
        fd = fsio.open_lock(path)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(fd)


def _read(path: str) -> list[Machine]:
    try:
        lines = fsio.read_file(path, _BYTES).decode("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        fields = line.split(" ")
        if len(fields) == 4:
            with suppress(errors.FormatError):
                name = os.fsdecode(unescape(fields[3]))
                found.append(Machine(fields[0], fields[1], fields[2] == "network", name))
    return found


def _write(path: str, machines: list[Machine]) -> None:
    """In place: others hold a lock on this very file. What cannot be noted is not relied on."""
    text = "".join(
        f"{one.boot} {one.machine} {'network' if one.network else 'local'} "
        f"{escape(os.fsencode(one.name))}\n"
        for one in machines
    )
    with suppress(OSError):
        fd = fsio.open_lock(path)
        try:
            fsio.note(fd, text.encode("ascii"))
        finally:
            os.close(fd)
