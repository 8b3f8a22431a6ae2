"""When a peer was last seen, and how: a note in `run/` for commands that touch no peer.

It may be deleted at any time; then the peer simply has not been looked at yet.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import get_args

from globofs.errors import FormatError
from globofs.events import PeerSeen, PeerState
from globofs.format.text import escape, unescape
from globofs.peerio.peer import Peer
from globofs.store import fsio
from globofs.store.node import Node

_NOTE_BYTES = 8192


def _path(node: Node, uuid: str) -> str:
    return os.path.join(node.run(), f"peer-{uuid}")


def note_seen(node: Node, peer: Peer, seen: PeerSeen) -> None:
    """Remember what a round found out. Never fails: it is a convenience."""
    if node.readonly:
        return
    at = seen.at  # of one that is away: when it was seen before that
    if at is None:
        at = last_seen(node, seen.peer, peer.uuid).at or 0
    text = (
        f"state={seen.state}\nreason={escape(os.fsencode(seen.reason))}\n"
        f"outgoing={seen.outgoing}\nincoming={seen.incoming}\nat={at}\n"
    )
    with suppress(OSError):
        fsio.write_atomic(_path(node, peer.uuid), text.encode("ascii"))


def last_seen(node: Node, name: str, uuid: str) -> PeerSeen:
    """What was remembered of a peer."""
    unknown = PeerSeen(name, "offline", "not looked at yet")
    try:
        data = fsio.read_file(_path(node, uuid), _NOTE_BYTES).decode("ascii")
        fields = dict(line.split("=", 1) for line in data.splitlines())
        state = fields["state"]
        if state not in get_args(PeerState):
            return unknown
        return PeerSeen(
            peer=name,
            state=state,  # type: ignore[arg-type]
            reason=os.fsdecode(unescape(fields["reason"])),
            outgoing=int(fields["outgoing"]),
            incoming=int(fields["incoming"]),
            at=int(fields["at"]) or None,
        )
    except (OSError, ValueError, KeyError, FormatError):
        return unknown
