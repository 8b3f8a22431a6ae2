"""What every family of verbs needs of the volume.

Every method of a family imports its verb when called, so that `globofs ls` starts fast. A verb
takes `emit` (told what happens, from any thread) and `cancelled` (polled; True ends it early, with
what is done kept), also where it is too short to use them, and returns a frozen result whose
`problems` name whatever was not done. Peers' entries, pauses and the queue are changed at once:
those methods take neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from globofs.peerio.peers import Peers
    from globofs.store.node import Node
    from globofs.sync.pull import Puller


class Verbs(ABC):
    """A family of verbs of one node."""

    node: Node

    @property
    @abstractmethod
    def peers(self) -> Peers:
        """The peers of this node; made at the first use, which touches none of them."""

    @property
    @abstractmethod
    def puller(self) -> Puller:
        """Gets blocks, from here or from peers; made at the first use."""
