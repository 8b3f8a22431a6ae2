"""One node's directory: found, opened, made. Opening reads a few names and one config, no more."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final

from globofs import errors, limits
from globofs.events import Emit, ignore
from globofs.format.config import (
    NodeConfig,
    PeerConfig,
    parse_node,
    render_node,
    set_key,
)
from globofs.store import fsio, peer_entries
from globofs.store.blocks import BlockStore
from globofs.store.clock import SYSTEM, Clock
from globofs.store.find import (
    check_entry_name,
    config_text,
    find_node_directory,
    find_volume,
    locate,
    read_config,
)
from globofs.store.host import claim
from globofs.store.index import Index
from globofs.store.journal import Journal
from globofs.store.locks import Lock, Locks
from globofs.store.peer_entries import PeerEntry
from globofs.store.state import State

if TYPE_CHECKING:
    from globofs.store.commit import Operation

SUFFIX_OF: Final = {"zstd": ".zst", "gzip": ".gz", "none": ""}
__all__ = [
    "Node",
    "PeerEntry",
    "create_node",
    "find_node_directory",
    "find_volume",
    "locate",
    "open_node",
]
_MAKING: Final = ".globofs-init-"


# --- opening and making -------------------------------------------------------------------------


def open_node(where: str, readonly: bool = False, clock: Clock = SYSTEM) -> Node:
    """The node at `where` (volume directory or config file). Nothing is scanned.

    A volume that may not be written, or that another machine writes, is opened read only. Raises
    NoVolume, NotAVolume, BadConfig.
    """
    volume, directory = locate(where)
    reason = "asked for" if readonly else _why_not_writable(directory)
    config = read_config(directory)
    let_go = None
    if not reason:
        reason, let_go = claim(directory, Lock(directory, "host"))
    node = Node(volume, directory, config, clock, reason)
    node.let_go = let_go
    return node


def _why_not_writable(directory: str) -> str:
    if os.access(directory, os.W_OK | os.X_OK):
        return ""
    try:
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            return "the file system is read only"
    except OSError as error:
        return error.strerror or "it does not answer"
    return "no permission to write there"


def create_node(
    volume: str,
    local: str = "local",
    name: str | None = None,
    *,
    uuid: str | None = None,
    clock: Clock = SYSTEM,
    blocksize: int = limits.BLOCK_SIZE_DEFAULT,
    chunking: str = "cdc",
    compression: str = "zstd",
    cacheonly: bool = False,
    cachetime: float | None = None,
) -> Node:
    """Make a node in the directory `volume` and open it: whole, or not at all.

    `compression` may carry a level (`zstd:9`), `cachetime` is in seconds. Raises NotEmpty where
    something lies there, BadConfig for a senseless setting, `UsageError` for a bad name.
    """
    check_entry_name(local)
    volume = os.path.abspath(volume)
    own = uuid or _new_uuid()
    config = NodeConfig(
        uuid=own,
        path=volume,
        name=name or os.uname().nodename or "node",
        cacheonly=cacheonly,
        cachetime_seconds=cachetime,
        blocksize=blocksize,
    )
    text = set_key(render_node(config), "chunking", chunking)
    text = set_key(text, "compression", compression)
    parse_node(text, os.path.join(volume, local, "config"))
    try:
        fsio.mkdirs(volume)
        _clear_leftovers(volume)
        making = os.path.join(volume, _MAKING + own)
        fsio.mkdir(making)
        for below in ("root", "hashes", "staged", "state", "lock", "run"):
            fsio.mkdir(os.path.join(making, below))
        fsio.mkdir(os.path.join(making, "tmp"), 0o700)
        fsio.mkdirs(os.path.join(making, "upstream", own, "updates"))
        fsio.write_new(os.path.join(making, "config"), os.fsencode(text))
        fsio.syncfs(making)
        directory = os.path.join(volume, local)
        fsio.rename(making, directory)
        fsio.fsync_dir(volume)
    except OSError as error:
        raise errors.from_os_error(error, error.filename or volume) from error
    return open_node(volume, clock=clock)


def _new_uuid() -> str:
    from uuid import uuid4  # slow to load, and only `init` needs it

    return str(uuid4())


def _clear_leftovers(volume: str) -> None:
    """Delete what a killed `init` left; NotEmpty when anything else lies there."""
    left = os.listdir(volume)
    if any(not name.startswith(_MAKING) for name in left):
        raise errors.NotEmpty(path=volume)
    for name in left:
        for place, directories, files in os.walk(os.path.join(volume, name), topdown=False):
            for file in files:
                fsio.unlink(os.path.join(place, file))
            for below in directories:
                fsio.rmdir(os.path.join(place, below))
        fsio.rmdir(os.path.join(volume, name))


class Node:
    """One node of a volume, on this machine. Its parts may be used from any thread."""

    def __init__(
        self, volume: str, directory: str, config: NodeConfig, clock: Clock, readonly: str = ""
    ) -> None:
        """The node in `directory`; `readonly` says why it may not be changed, "" if it may."""
        self.volume = volume
        self.directory = directory
        self.clock = clock
        self.readonly = bool(readonly)
        self.readonly_reason = readonly
        self.let_go: Callable[[], None] | None = None
        """Ends this machine's claim to write here; called by `close`."""
        self.locks = Locks(directory)
        self.index = Index(os.path.join(directory, "index.sqlite"), readonly=self.readonly)
        self.state = State(os.path.join(directory, "state"))
        self.config = config
        self._config_mark = self._mark_config()
        self.journal = self._journal_of(config.uuid)
        self.blocks = BlockStore(self.directory, self.index, self.locks, self.clock)
        self._configure(config)

    def _configure(self, config: NodeConfig) -> None:
        if config.uuid != self.config.uuid:
            self.journal = self._journal_of(config.uuid)
        self.config = config
        self.blocks.own_suffix = SUFFIX_OF[config.compression]
        lets_go = config.cacheonly and config.cachetime_seconds is not None
        self.blocks.uses.counts = lets_go and not self.readonly

    def _journal_of(self, uuid: str) -> Journal:
        made = Journal(os.path.join(self.directory, "upstream"), uuid, self.clock)
        made.known_durable = self._received_of_own
        return made

    def _mark_config(self) -> tuple[int, int, int] | None:
        """What changes whenever somebody writes the config; None where it is not there."""
        try:
            info = os.stat(os.path.join(self.directory, "config"))
        except OSError:
            return None
        return info.st_ino, info.st_size, info.st_mtime_ns

    def reload(self) -> None:
        """Take in what another client or the user has changed in the config since it was read.

        One `stat` where nothing changed. A config that cannot be read or understood just now
        changes nothing: whoever opens the volume next is told.
        """
        mark = self._mark_config()
        if mark in (None, self._config_mark):
            return
        try:
            config = read_config(self.directory)
        except errors.GlobofsError:
            return
        self._config_mark = mark
        if config != self.config:
            self._configure(config)

    def _received_of_own(self) -> int:
        """What the index has of our own journal: read or applied only once it was durable."""
        from globofs.store.apply_records import load_seen

        try:
            return load_seen(self.index.db, self.config.uuid).received
        except sqlite3.Error:
            return 0

    # --- what it is -------------------------------------------------------------------------

    @property
    def uuid(self) -> str:
        """Who this node is."""
        return self.config.uuid

    @property
    def name(self) -> str:
        """What people call this node."""
        return self.config.name or self.config.uuid[:8]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is odd here and does no harm."""
        said = self.config.path
        if not said or os.path.normpath(said) == self.volume:
            return ()
        if os.path.realpath(said) == os.path.realpath(self.volume):
            return ()
        return (
            f"{self.directory}/config says path={errors.printable(said)}, but the volume lies at "
            f"{errors.printable(self.volume)}; if it was moved, correct the line; if this is a "
            "copy and both are used, the copy will take an identity of its own",
        )

    def writable(self) -> None:
        """Raises ReadOnlyVolume where nothing may be changed."""
        if self.readonly:
            raise errors.ReadOnlyVolume(path=self.volume, reason=self.readonly_reason)

    # --- where things lie -------------------------------------------------------------------

    def root(self) -> str:
        """The tree of manifests."""
        return os.path.join(self.directory, "root")

    def hashes(self) -> str:
        """The blocks."""
        return os.path.join(self.directory, "hashes")

    def upstream(self, origin: str = "") -> str:
        """All journals, or what came from and about one origin."""
        return os.path.join(self.directory, "upstream", origin).rstrip("/")

    def updates(self, origin: str, via: str | None = None) -> str:
        """The journal of `origin`, as it wrote it or as `via` passed it on."""
        return self.journal.directory_of(origin, via)

    def staged(self) -> str:
        """The staged files."""
        return os.path.join(self.directory, "staged")

    def tmp(self) -> str:
        """Temporary files; nobody else may look into it."""
        return os.path.join(self.directory, "tmp")

    def run(self) -> str:
        """Snapshots and requests of living processes."""
        return os.path.join(self.directory, "run")

    # --- peers ------------------------------------------------------------------------------

    def peer_entries(self, problems: list[errors.BadConfig] | None = None) -> list[PeerEntry]:
        """The peers this volume names, by name; see `peer_entries.entries`."""
        return peer_entries.entries(self, problems)

    def peer_entry(self, name: str) -> PeerEntry:
        """The peer of that name or uuid. Raises NoSuchPeer."""
        return peer_entries.entry(self, name)

    def add_peer_entry(self, name: str, config: PeerConfig) -> PeerEntry:
        """Name a peer. Raises PeerExists for a name or node that is there, UsageError for us."""
        return peer_entries.add(self, name, config)

    def set_peer_entry(
        self, name: str, *, path: str | None = None, send: bool | None = None
    ) -> PeerEntry:
        """Change a peer's entry; comments in its config stay. Raises NoSuchPeer, BadConfig."""
        return peer_entries.change(self, name, path=path, send=send)

    def remove_peer_entry(self, name: str) -> PeerEntry:
        """Forget a peer; what its journal brought stays. Raises NoSuchPeer."""
        return peer_entries.remove(self, name)

    # --- config and life --------------------------------------------------------------------

    def change_config(self, key: str, value: str) -> None:
        """Set one key of this node's config, on disk and here. Raises BadConfig."""
        self.writable()
        path = os.path.join(self.directory, "config")
        text = set_key(config_text(path), key, value)
        config = parse_node(text, path)
        fsio.write_atomic(path, os.fsencode(text), durable=True)
        if config.uuid != self.config.uuid:
            fsio.mkdirs(os.path.join(self.upstream(config.uuid), "updates"))
        self._config_mark = self._mark_config()
        self._configure(config)

    def catch_up(self, emit: Emit = ignore) -> None:
        """Bring the index up to what lies in `upstream/`."""
        from globofs.store.catchup import catch_up

        catch_up(self, emit=emit)

    def operation(
        self,
        verb: str,
        args: Sequence[str | bytes] = (),
        *,
        late: bool = False,
        emit: Emit = ignore,
    ) -> Operation:
        """An operation to commit versions with: `with node.operation("add", args) as op: ...`"""
        from globofs.store.commit import Operation

        return Operation(self, verb, args, late=late, emit=emit)

    def finish(self, *, emit: Emit = ignore) -> None:
        """Explode staged blocks, build `root/`, acknowledge: what the end of a command does."""
        from globofs.store.commit import finish

        finish(self, emit=emit)

    def close(self) -> None:
        """Make pulled blocks durable, close the index. May be called twice."""
        try:
            if self.blocks.sync_due and not self.readonly:
                self.blocks.sync_pending()
            self.blocks.uses.tell()
        finally:
            self.index.close()
            let_go, self.let_go = self.let_go, None
            if let_go is not None:
                let_go()

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
