"""`ui`, `demo`, `mount`, `umount`, `completion`: the other faces, imported only here."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from globofs.cli.context import DONE, Context
from globofs.errors import Unsupported
from globofs.speech import safe


def ui(context: Context) -> int:
    """The terminal UI."""
    try:
        from globofs.tui.app import run
    except ModuleNotFoundError as error:
        raise _missing(error, "the terminal UI") from error
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Unsupported(what="the terminal UI", reason="stdin or stdout is no terminal")
    return run(context.where, readonly=context.args.readonly)


def demo(context: Context) -> int:
    """Three nodes to play with; `--headless` tells the story as text."""
    args = context.args
    if not args.headless and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Unsupported(
            what="the demo's UI", reason="stdin or stdout is no terminal; try `demo --headless`"
        )
    from globofs.demo import run

    def open_ui(volume: str, on_start: Callable[[], None]) -> int:
        from globofs.tui.app import run as run_ui

        return run_ui(volume, on_start=on_start)

    try:
        return run(
            headless=args.headless,
            keep=args.keep,
            say=context.out.told,
            open_ui=None if args.headless else open_ui,
        )
    except ModuleNotFoundError as error:
        raise _missing(error, "the demo's UI") from error


def mount(context: Context) -> int:
    """The volume as ordinary files, until it is unmounted or Ctrl-C is pressed."""
    from globofs.mount import libfuse
    from globofs.mount.place import check_place
    from globofs.mount.run import into_background
    from globofs.mount.run import mount as serve

    args = context.args
    libfuse.need()
    context.readonly = args.readonly
    place = check_place(context.volume, args.mountpoint)
    context.close()  # a fork must share no open database
    ready = None
    if args.background:
        going = into_background()
        if isinstance(going, int):
            return going
        ready = going
    else:
        ready = _Ready(context, place)
    # libfuse ends its loop at Ctrl-C only where nobody else handles that.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        serve(
            context.volume, place, emit=context.emit, on_ready=ready, allow_other=args.allow_other
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return DONE


class _Ready:
    """Says that the mount answers. Called from a thread of the mount."""

    def __init__(self, context: Context, place: str) -> None:
        self._context = context
        self._place = place

    def __call__(self) -> None:
        self._context.out.say(f"globofs: mounted on {safe(self._place)}; Ctrl-C unmounts")


def umount(context: Context) -> int:
    """End a mount; returns when everything written to it is recorded."""
    from globofs.mount.run import umount as unmount

    unmount(context.args.mountpoint, emit=context.emit)
    return DONE


def _missing(error: ModuleNotFoundError, what: str) -> Unsupported:
    """Which package to install. A missing module of our own is a mistake of ours, not that."""
    module = (error.name or "").partition(".")[0]
    if module == "globofs":
        raise error
    reason = f"the package {module} is missing; install it with `pip install {module}`"
    return Unsupported(what=what, reason=reason)


def completion(context: Context) -> int:
    """Completion for a shell, made from the same table as the commands."""
    from globofs.cli.completion import script

    context.out.line(script(context.args.shell))
    return DONE
