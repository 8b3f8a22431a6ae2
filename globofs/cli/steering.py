"""`pause`, `resume`, `retry`, `bump`: steering what moves, here or in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from globofs.cli.context import DONE, Context
from globofs.cli.output import path_fields
from globofs.errors import NoSuchPeer
from globofs.speech import safe, shown_path

if TYPE_CHECKING:
    from globofs.engine.runfiles import Verb


def _ask(context: Context, verb: Verb, path: bytes | None = None) -> bool:
    """Tell the process that syncs this node; whether one is running."""
    from globofs.engine.runfiles import Request, ask

    return context.leader() is not None and ask(context.volume.node.run(), Request(verb, path=path))


def _what(context: Context) -> str | bytes | None:
    """The PEER or PATH that was named: a peer's name comes first, a leading `/` makes it a path."""
    text = context.args.what
    if text is None:
        return None
    names = [peer.name for peer in context.volume.node.peer_entries([])]
    if text in names:
        return str(text)
    path = context.path(text)
    view = context.volume.view()
    if path and view.entry(path) is None:
        known = ", ".join(map(safe, names)) or "none"
        raise NoSuchPeer(
            f"{safe(text)}: neither a peer (there is {known}) nor a path in the volume", path=text
        )
    return path


def _report(context: Context, verb: str, what: str | bytes | None, text: str) -> int:
    if context.out.as_json:
        fields: dict[str, Any] = {"done": verb}
        if isinstance(what, bytes):
            fields.update(path_fields(what))
        else:
            fields["peer"] = what
        context.out.document(fields)
    context.out.say(f"globofs: {text}")
    return DONE


def _shown(what: str | bytes | None) -> str:
    if what is None:
        return "everything"
    return shown_path(what) if isinstance(what, bytes) else safe(what)


def pause(context: Context) -> int:
    """Pause a peer, a path, or everything; lasts until resumed, also across restarts."""
    what = _what(context)
    context.volume.pause(what)
    _ask(context, "steered")
    return _report(context, "pause", what, f"{_shown(what)} is paused until `globofs resume`")


def resume(context: Context) -> int:
    """Take a pause back; without a word, all of them."""
    what = _what(context)
    context.volume.resume(what)
    _ask(context, "steered")
    return _report(context, "resume", what, f"{_shown(what)} goes on")


def retry(context: Context) -> int:
    """Try what failed again, now."""
    if _ask(context, "retry"):
        return _report(context, "retry", None, "what failed is tried again now")
    return _report(
        context, "retry", None, "nothing waits: the next `globofs sync` tries everything"
    )


def bump(context: Context) -> int:
    """Move a path to the front of the queue; makes it wanted where it was not."""
    path = context.path(context.args.path)
    if path and context.volume.view().entry(path) is None:
        raise context.volume.no_such_path(path)
    context.volume.bump(path)
    moving = _ask(context, "bump", path)
    when = "comes next" if moving else "comes first at the next `globofs sync`"
    return _report(context, "bump", path, f"{shown_path(path)} {when}")
