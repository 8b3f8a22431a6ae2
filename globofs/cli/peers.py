"""`init` and `peer`: making a node, and saying where the others are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from globofs.cli.context import DONE, Context, yes_or_no
from globofs.cli.output import path_fields
from globofs.cli.paint import OF_STATE
from globofs.errors import BadConfig, GlobofsError, UsageError, printable
from globofs.events import Problem
from globofs.speech import parse_size, parse_span, rfc3339, safe, state_words

if TYPE_CHECKING:
    from globofs.snapshots import PeerStatus


def init(context: Context) -> int:
    """Make a node; prints its uuid."""
    from globofs.store.capabilities import shortcomings
    from globofs.volume import Volume

    args = context.args
    if not args.directory:
        raise UsageError("name the directory that shall become a volume")
    if args.name == "":
        raise UsageError("--name wants a name")
    _not_within_another(args.directory)
    try:
        made = Volume.init(
            args.directory,
            local=args.local,
            name=args.name,
            blocksize=None if args.blocksize is None else parse_size(args.blocksize),
            chunking=args.chunking,
            compression=args.compression,
            cacheonly=args.cacheonly,
            cachetime=None if args.cachetime is None else parse_span(args.cachetime),
        )
    except BadConfig as error:  # there is no file yet that could be named
        raise UsageError(str(error.fields["reason"])) from None
    with made as volume:
        directory = os.path.abspath(volume.directory)
        lacking = shortcomings(volume.node.directory)
        if context.out.as_json:
            context.out.document(
                {
                    **path_fields(os.fsencode(directory), "volume"),
                    "uuid": volume.uuid,
                    "name": volume.name,
                    "warnings": list(lacking),
                }
            )
        else:
            context.out.line(volume.uuid)
            context.out.say(
                f"globofs: {safe(directory)} is a volume now, this node is {safe(volume.name)}"
            )
            for text in lacking:
                context.out.say(f"globofs: warning: {text}")
    return DONE


def _not_within_another(directory: str) -> None:
    """Raise UsageError where `directory` lies in a volume: what is in it belongs to that."""
    from globofs.store.find import find_volume

    place = os.path.dirname(os.path.abspath(directory))
    try:
        above = find_volume(place)
    except GlobofsError:
        return
    raise UsageError(f"{printable(directory)}: lies in the volume {printable(above)}")


def peer_fields(peer: PeerStatus) -> dict[str, Any]:
    """A peer for JSON, as in `status`."""
    return {
        "name": peer.name,
        "uuid": peer.uuid,
        **path_fields(os.fsencode(peer.path)),
        "send": peer.send,
        "state": peer.state,
        "activity": peer.activity,
        "outgoing": peer.outgoing,
        "incoming": peer.incoming,
        "last_seen": None if peer.last_seen is None else rfc3339(peer.last_seen),
        "error": peer.reason or None,
    }


def peer(context: Context) -> int:
    """The five words of `peer`."""
    words = {
        "add": _add,
        "list": _list,
        "set": _set,
        "remove": _remove,
        "retire": _retire,
    }
    return words[context.args.word](context)


def _tell(context: Context, status: PeerStatus, text: str) -> int:
    if context.out.as_json:
        context.out.document(peer_fields(status))
    else:
        context.out.say(f"globofs: {text}")
    return DONE


def _add(context: Context) -> int:
    from globofs.store.find import check_entry_name

    args = context.args
    check_entry_name(args.name)  # before the place is touched
    if not args.path:
        raise UsageError("PATH is empty: name the volume directory of the other node")
    status = context.volume.peer_add(
        args.name,
        os.path.abspath(args.path),
        send=bool(yes_or_no(args.send, "--send")),
        yes=args.yes,
        emit=context.emit,
    )
    text = f"{safe(status.name)} is the node {status.uuid} at {safe(status.path)}"
    return _tell(context, status, text)


def _list(context: Context) -> int:
    found = context.volume.peer_probe(cancelled=context.cancelled)
    if context.out.as_json:
        context.out.rows(map(peer_fields, found))
        return DONE
    context.out.table(
        [(safe(one.name), one.uuid, shown_state(context, one), safe(one.path)) for one in found]
    )
    tell_bad_entries(context)
    if not found:
        context.out.say("globofs: no peers; `globofs peer add NAME PATH` makes one")
    return DONE


def shown_state(context: Context, peer: PeerStatus) -> str:
    """A peer's state in words, in its colour."""
    failing = peer.state == "online" and peer.reason
    return context.out.paint(state_words(peer), "warn" if failing else OF_STATE[peer.state])


def tell_bad_entries(context: Context) -> None:
    """Name the peers whose config cannot be understood: they are in no list."""
    for bad in context.volume.peers.problems:
        context.out.problem(Problem(b"", bad.message, warning=True))


def _set(context: Context) -> int:
    args = context.args
    send = yes_or_no(args.send, "--send")
    if args.path is None and send is None:
        raise UsageError("nothing to set: give --path or --send")
    path = None if args.path is None else os.path.abspath(args.path)
    status = context.volume.peer_set(args.name, path=path, send=send)
    sends = ", blocks are written there" if status.send else ""
    return _tell(context, status, f"{safe(status.name)} is at {safe(status.path)}{sends}")


def _remove(context: Context) -> int:
    name = context.args.name
    context.volume.peer_remove(name)
    if context.out.as_json:
        context.out.document({"removed": name})
    context.out.say(f"globofs: {safe(name)} is no peer any more; what came from it stays")
    return DONE


def _retire(context: Context) -> int:
    uuid = context.volume.peer_retire(context.args.node, emit=context.emit)
    if context.out.as_json:
        context.out.document({"retired": uuid})
    return DONE
