"""`ui`, `demo`, `mount`, `umount`, `completion`: the other faces, imported only here."""

from __future__ import annotations

import sys

from globofs.cli.context import DONE, Context
from globofs.errors import Unsupported

_FUSE_HINT = (
    "the package mfusepy is missing; install it with `pip install 'globofs[mount]'`, and FUSE "
    "itself with your system's fuse3 package"
)


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
    try:
        from globofs.demo import run
    except ModuleNotFoundError as error:
        raise _missing(error, "the demo's UI") from error
    return run(headless=args.headless, keep=args.keep, say=context.out.line)


def mount(context: Context) -> int:
    """The volume as ordinary files, until it is unmounted or Ctrl-C is pressed."""
    try:
        from globofs.mount import mount as mount_volume
    except ModuleNotFoundError as error:
        raise _missing(error, "mounting") from error
    except OSError as error:  # mfusepy finds no libfuse
        reason = f"{error.strerror or error}; install your system's fuse3 package"
        raise Unsupported(what="mounting", reason=reason) from error
    args = context.args
    return mount_volume(
        context.volume,
        args.mountpoint,
        background=args.background,
        readonly=args.readonly,
        allow_other=args.allow_other,
        say=context.out.say,
    )


def umount(context: Context) -> int:
    """End a mount."""
    from globofs.mount import umount as unmount

    unmount(context.args.mountpoint, say=context.out.say)
    return DONE


def _missing(error: ModuleNotFoundError, what: str) -> Unsupported:
    """Which package to install. A missing module of our own is a mistake of ours, not that."""
    module = (error.name or "").partition(".")[0]
    if module == "globofs":
        raise error
    if module == "mfusepy":
        return Unsupported(what=what, reason=_FUSE_HINT)
    reason = f"the package {module} is missing; install it with `pip install {module}`"
    return Unsupported(what=what, reason=reason)


def completion(context: Context) -> int:
    """Completion for a shell, made from the same table as the commands."""
    from globofs.cli.completion import script

    context.out.line(script(context.args.shell))
    return DONE
