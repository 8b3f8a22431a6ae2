"""The blocks a fetch wants, each once, without those that are here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from globofs import limits
from globofs.events import Cancelled
from globofs.store.node import Node
from globofs.sync._flight import Wanted
from globofs.sync._shelf import WORTH_BLOCKS, Shelf

_PORTION: Final = 8192

ShelfOf = Callable[[str], Shelf | None]
"""The shelf of the node of that uuid, where it can be reached now."""
Keep = Callable[[Wanted, bytes, str, Shelf], None]
"""Keeps a block, as stored with that suffix, that came from a shelf."""


class Queue:
    """Looks up what is wanted in the index by the portion, and takes from shelves what it can."""

    def __init__(
        self,
        node: Node,
        wanted: Iterable[Wanted],
        shelf_of: ShelfOf,
        keep: Keep,
        cancelled: Cancelled,
    ) -> None:
        self.already = 0
        self.blocks = 0  # that came from shelves
        self.bytes = 0  # of those, plain
        self._node = node
        self._source = iter(wanted)
        self._shelf_of = shelf_of
        self._keep = keep
        self._cancelled = cancelled
        self._shelves: dict[str, Shelf | None] = {}
        self._asked: set[tuple[bytes, int]] = set()  # only its content tells a block's true size
        self._ready: list[Wanted] = []

    def next(self) -> Wanted | None:
        """The next one to pull; None when there are no more."""
        while not self._ready:
            portion = list(islice(self._source, _PORTION))
            if not portion or self._cancelled():
                return None
            self._ready = self._from_shelves(self._lacking(portion))
            self._ready.reverse()
        return self._ready.pop()

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

    def _from_shelves(self, lacking: list[Wanted]) -> list[Wanted]:
        """Take from shelves what lies there; what is left."""
        small: dict[str, dict[bytes, Wanted]] = {}
        for item in lacking:
            if item.size < limits.STAGE_BELOW_BYTES:
                small.setdefault(item.node, {})[item.id] = item
        taken: set[bytes] = set()
        for writer, wanted in small.items():
            if len(wanted) < WORTH_BLOCKS:
                continue
            if writer not in self._shelves:
                self._shelves[writer] = self._shelf_of(writer)
            shelf = self._shelves[writer]
            if shelf is None:
                continue
            for item, data, suffix in shelf.take(wanted, self._cancelled):
                self._keep(item, data, suffix, shelf)
                taken.add(item.id)
                self.bytes += item.size
        self.blocks += len(taken)
        return [item for item in lacking if item.id not in taken] if taken else lacking
