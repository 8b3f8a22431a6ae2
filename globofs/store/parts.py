"""The parts of one node, wired: its directory, config, locks, index, journal, blocks and state.

What is done with a node as a whole is in `node`, above all that works on its parts.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from types import TracebackType
from typing import Self

from globofs import errors
from globofs.format.config import SUFFIX_OF, NodeConfig, parse_node, set_key
from globofs.store import fsio, home, mounts
from globofs.store.apply_records import load_seen
from globofs.store.blocks import BlockStore
from globofs.store.clock import Clock
from globofs.store.find import config_text, read_config
from globofs.store.index import Index
from globofs.store.journal import Journal
from globofs.store.locks import Locks
from globofs.store.state import State


class NodeParts:
    """What a node is made of. May be used from any thread."""

    def __init__(
        self, volume: str, directory: str, config: NodeConfig, clock: Clock, readonly: str = ""
    ) -> None:
        """The node in `directory`; `readonly` says why it may not be changed, "" if it may."""
        self.volume = volume
        self.directory = directory
        self.clock = clock
        self.readonly = bool(readonly)
        self.readonly_reason = readonly
        self._at_home = False
        self.warned: set[str] = set()
        """Said once a process: nodes whose clock is ahead, and that this one may be there twice."""
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
        return (*self._wrong_path(), *(() if self.at_home() else (home.ELSEWHERE,)))

    def _wrong_path(self) -> tuple[str, ...]:
        said = self.config.path
        if not said or os.path.normpath(said) == self.volume:
            return ()
        # A place of another machine may not answer, and is not this one if this one is here.
        elsewhere = mounts.on_network(said) and not mounts.on_network(self.volume)
        if not elsewhere and os.path.realpath(said) == os.path.realpath(self.volume):
            return ()
        return (
            f"{self.directory}/config says path={errors.printable(said)}, but the volume lies at "
            f"{errors.printable(self.volume)}; if it was moved, `globofs doctor --moved` corrects the"
            " line; if it was copied and both are used, one of them takes an identity of its own",
        )

    def at_home(self) -> bool:
        """Whether this directory is the node's only one, as far as can be told: see `home`.

        Looked up until it is so.
        """
        if not self._at_home:
            self._at_home = home.is_here(self.directory)
        return self._at_home

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
