"""The blocks a fetch wants, each once, without those that are here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from globofs import limits
from globofs.events import Cancelled
from globofs.store.node import Node
from globofs.sync._flight import Wanted
from globofs.sync._shelf import WORTH_BLOCKS, Shelf

_PORTION: Final = 8192
_WAIT_SECONDS: Final = 0.1  # until it is looked whether somebody cancelled
_CLOSE_SECONDS: Final = 1.0

ShelfOf = Callable[[str], Shelf | None]
"""The shelf of the node of that uuid, where it can be reached now."""
Keep = Callable[[Wanted, bytes, str, Shelf], None]
"""Keeps a block, as stored with that suffix, that came from a shelf. By the shelf's thread."""


class Queue:
    """Looks up what is wanted in the index by the portion, and takes from shelves what it can:
    beside who pulls the rest, in a thread of its own. A context manager."""

    def __init__(
        self,
        node: Node,
        wanted: Iterable[Wanted],
        shelf_of: ShelfOf,
        keep: Keep,
        cancelled: Cancelled,
        *,
        inline: bool,
    ) -> None:
        """`inline`: one after the other in the caller's thread, as in a simulation."""
        self.already = 0
        self.blocks = 0  # that came from shelves
        self.bytes = 0  # of those, plain
        self._node = node
        self._source = iter(wanted)
        self._shelf_of = shelf_of
        self._keep = keep
        self._cancelled = cancelled
        self._inline = inline
        self._shelves: dict[str, Shelf | None] = {}
        self._asked: set[tuple[bytes, int]] = set()  # only its content tells a block's true size
        self._ready: list[Wanted] = []
        self._taking: threading.Thread | None = None
        self._left: list[Wanted] = []  # of what was looked for on shelves
        self._failed: BaseException | None = None
        self._closed = False

    def next(self, *, wait: bool) -> Wanted | None:
        """The next one to pull. None when there are no more, or without `wait`, none as long as
        some are looked for on a shelf. Raises what keeping one from there raised."""
        while not self._ready:
            if self._taking is not None:
                self._taking.join(_WAIT_SECONDS if wait else 0)
                if not self._taking.is_alive():
                    self._end_taking()
                elif not wait or self._cancelled():
                    return None
                continue
            portion = list(islice(self._source, _PORTION))
            if not portion or self._cancelled():
                return None
            self._divide(self._lacking(portion))
        return self._ready.pop()

    def close(self) -> None:
        """Take nothing more from shelves. Does not wait for a peer that does not answer."""
        self._closed = True
        if self._taking is not None:
            self._taking.join(_CLOSE_SECONDS)

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lacking(self, portion: list[Wanted]) -> list[Wanted]:
        """Those that are not here and were not asked for before."""
        node = self._node
        held = node.index.held([item.id for item in portion])
        sizes = {item.id: item.size for item in portion if item.id not in held}
        given = [(block, sizes[block]) for block in node.blocks.standing(sizes)]
        if given and not node.readonly:
            node.index.mark_held(given)  # a peer wrote them here
        held.update(block for block, _ in given)
        lacking: list[Wanted] = []
        for item in portion:
            if item.id in held:
                self.already += 1
            elif item[:2] not in self._asked:
                self._asked.add(item[:2])
                lacking.append(item)
        return lacking

    def _divide(self, lacking: list[Wanted]) -> None:
        """What is worth a look on a shelf is looked for there, the rest is ready."""
        small: dict[str, list[Wanted]] = {}
        for item in lacking:
            if item.size < limits.STAGE_BELOW_BYTES:
                small.setdefault(item.node, []).append(item)
        jobs: list[tuple[Shelf, list[Wanted]]] = []
        for writer, items in small.items():
            if len(items) < WORTH_BLOCKS:
                continue
            if writer not in self._shelves:
                self._shelves[writer] = self._shelf_of(writer)
            shelf = self._shelves[writer]
            if shelf is not None:
                jobs.append((shelf, items))
        looked_for = {item[:2] for _, items in jobs for item in items}
        self._ready = [item for item in reversed(lacking) if item[:2] not in looked_for]
        if self._inline:
            self._take(jobs)
            self._end_taking()
        elif jobs:
            self._taking = threading.Thread(
                target=self._take, args=(jobs,), name="globofs-shelf", daemon=True
            )
            self._taking.start()

    def _take(self, jobs: list[tuple[Shelf, list[Wanted]]]) -> None:
        """Keep what lies on shelves; what does not is left."""
        taken: set[bytes] = set()
        try:
            for shelf, items in jobs:
                wanted = {item.id: item for item in items if item.id not in taken}
                for item, data, suffix in shelf.take(wanted, self._stopped):
                    if self._stopped():
                        return
                    self._keep(item, data, suffix, shelf)
                    taken.add(item.id)
                    self.blocks += 1
                    self.bytes += item.size
        except BaseException as error:  # whoever asks for the next one hears of it
            self._failed = error
        self._left = [item for _, items in jobs for item in items if item.id not in taken]

    def _end_taking(self) -> None:
        self._taking = None
        if self._failed is not None:
            raise self._failed
        self._ready += reversed(self._left)
        self._left = []

    def _stopped(self) -> bool:
        return self._closed or self._cancelled()
