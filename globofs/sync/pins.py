"""`pin` and `unpin`: what is to be kept here, also what comes there later."""

from __future__ import annotations

from globofs.errors import NotPinned, printable
from globofs.format import names
from globofs.store.node import Node
from globofs.store.query import View
from globofs.sync.results import PinResult
from globofs.sync.suggest import no_such_path


def pin(node: Node, path: bytes) -> PinResult:
    """Keep `path` and what is, or later comes, below it; what is missing is wanted from now on.

    Raises NoSuchPath for what the volume never had.
    """
    node.writable()
    view = View(node)
    if path and view.entry(path, deleted=True) is None:
        raise no_such_path(view, path)
    node.state.pin(path)
    return _result(node, view, path)


def unpin(node: Node, path: bytes) -> PinResult:
    """Take a pin back; what is here stays until it is evicted. Raises NotPinned."""
    node.writable()
    if not node.state.unpin(path):
        pins = node.state.pins()
        above = next((one for one in pins if names.is_below(path, one)), None)
        words = "" if above is None else f"; what keeps it is the pin on /{printable(above)}"
        raise NotPinned(path=b"/" + path, hint=words)
    return _result(node, View(node), path)


def _result(node: Node, view: View, path: bytes) -> PinResult:
    entry = view.entry(path)
    pins = tuple(node.state.pins())
    return PinResult(
        path=path,
        pinned=path in pins,
        pins=pins,
        missing_blocks=entry.missing if entry is not None else 0,
        missing_bytes=entry.missing_bytes if entry is not None else 0,
    )
