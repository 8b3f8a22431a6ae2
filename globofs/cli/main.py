"""`globofs`: from the words at the shell to a command, and from what it raises to a status."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from globofs.cli.context import Context
from globofs.cli.output import Output
from globofs.cli.parser import Command, Given, build, find, overview, split
from globofs.errors import GlobofsError, Interrupted, UsageError, from_os_error
from globofs.limits import OBJECTS_BETWEEN_COLLECTIONS

INTERRUPTED: Final = 130
RAISE_AFTER_SECONDS: Final = 1.0  # what does not look at `cancelled` by then is interrupted
ECHO_SECONDS: Final = 0.3  # one Ctrl-C reaches a shielded command twice
DEBUG = "GLOBOFS_DEBUG"
PLACES: Final = {
    "add": ("sources",),
    "doctor": ("directory",),
    "mount": ("mountpoint",),
    "peer": ("path",),
    "restore": ("to",),
    "watch": ("folder",),
}
"""Arguments of commands that are places outside the volume, where a call may hang."""


class Prepared(NamedTuple):
    """A command line that was understood."""

    command: Command
    args: argparse.Namespace
    where: str | None
    json: bool


def entry() -> None:
    """The console script: runs, and ends the process with the command's status."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    _fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        status = _entry(sys.argv[1:])
    except KeyboardInterrupt:  # before anybody listened for it
        status = INTERRUPTED
    with suppress(OSError):  # what failed there was said
        sys.stdout.flush()
    _quiet_end(status)


def _fill_closed_streams() -> None:
    """Streams that were closed (`>&-`) lead nowhere; else a file of the volume would be opened
    under the number of stdout."""
    if sys.stdin is not None and sys.stdout is not None and sys.stderr is not None:
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)


def _quiet_end(status: int) -> None:
    """End without waiting for threads that hang in a dead mount."""
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(status)


def _entry(argv: Sequence[str]) -> int:
    prepared = _prepare(argv)
    if isinstance(prepared, int):
        return prepared
    leaves = getattr(prepared.args, "background", False)  # a mount that outlives this process
    touches = prepared.command.peers or prepared.command.name in PLACES
    if touches and not leaves and _must_shield(prepared):
        from globofs import shield

        def work(beat: Callable[[], None]) -> int:
            return _run(prepared, beat)

        return shield.run(work, screen=prepared.command.name == "ui")
    return _run(prepared, None)


def main(argv: Sequence[str]) -> int:
    """Run a command line in this process; its exit status. Never raises for a user's mistake."""
    prepared = _prepare(argv)
    return prepared if isinstance(prepared, int) else _run(prepared, None)


# --- understanding ----------------------------------------------------------------------------


def _prepare(argv: Sequence[str]) -> Prepared | int:
    as_json = "--json" in argv
    try:
        given = split(argv)
        if given.name is None:
            return _no_command(given)
        command = find(given.name)
        try:
            args = build(command).parse_args(given.rest)
        except SystemExit as end:  # --help
            return int(end.code or 0)
        as_json = given.json or getattr(args, "json", False)
        if as_json and not command.json:
            raise UsageError(f"`globofs {command.name}` has no --json")
        return Prepared(command, args, getattr(args, "where", given.where), as_json)
    except GlobofsError as error:
        Output(as_json).error(error)
        return error.exit_code
    except BrokenPipeError:
        return _nobody_reads()


def _no_command(given: Given) -> Prepared | int:
    if given.wish == "version":
        from globofs import __version__

        print(f"globofs {__version__}")
        return 0
    if given.wish == "help":
        print(overview())
        return 0
    if sys.stdin.isatty() and sys.stdout.isatty():
        command = find("ui")
        return Prepared(command, build(command).parse_args([]), given.where, False)
    print(overview(), file=sys.stderr)
    return 2


def _must_shield(prepared: Prepared) -> bool:
    """Whether the volume or a peer lies where a call may hang. Reads small local files only."""
    from globofs import shield
    from globofs.volume import ENVIRONMENT

    volume = prepared.where or os.environ.get(ENVIRONMENT) or os.getcwd()
    places = [volume]
    for word in PLACES.get(prepared.command.name, ()):
        given = getattr(prepared.args, word, None) or []
        places += [given] if isinstance(given, str) else given
    if shield.needed(places):
        return True
    if not prepared.command.peers:
        return False
    try:
        from globofs.volume import peer_paths

        return shield.needed(peer_paths(prepared.where))
    except (GlobofsError, OSError):
        return False  # the command itself will say it better


# --- running ----------------------------------------------------------------------------------


def _run(prepared: Prepared, beat: Callable[[], None] | None) -> int:
    out = Output(prepared.json)
    with _stoppable() as cancelled:
        context = Context(prepared.args, out, prepared.where, cancelled, beat)
        try:
            try:
                status = _handler(prepared.command)(context)
            finally:
                context.close()
            out.flush()
            return INTERRUPTED if cancelled() and status == 0 else status
        except KeyboardInterrupt:
            return _fail(out, Interrupted())
        except BrokenPipeError:
            return _nobody_reads()
        except GlobofsError as error:
            return _fail(out, Interrupted() if cancelled() else error)
        except OSError as error:
            return _fail(out, from_os_error(error))
        except RecursionError:
            return _fail(out, GlobofsError("too deeply nested"))
        except MemoryError:
            return _fail(out, GlobofsError("out of memory"))
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            return _fail(out, _bug(error))


def _handler(command: Command) -> Callable[[Context], int]:
    from importlib import import_module

    family = import_module(f"globofs.cli.{command.family}")
    handler: Callable[[Context], int] = getattr(family, command.function or command.name)
    return handler


def _fail(out: Output, error: GlobofsError) -> int:
    with suppress(OSError):
        out.flush()
    if os.environ.get(DEBUG):
        import traceback

        traceback.print_exc()
    out.error(error)
    return error.exit_code


def _bug(error: Exception) -> GlobofsError:
    what = str(error) or type(error).__name__
    return GlobofsError(
        f"a mistake of globofs itself ({type(error).__name__}: {what}); nothing that was reported"
        f" is lost; {DEBUG}=1 shows where"
    )


def _nobody_reads() -> int:
    """Whoever read stdout has enough: end quietly, and successfully."""
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, sys.stdout.fileno())
        os.close(quiet)
    except (OSError, ValueError):
        pass
    return 0


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Ctrl-C (and SIGTERM) first asks: `cancelled()` is True from then on. What has not ended a
    second later is interrupted where it stands; a second Ctrl-C does that at once."""
    import threading
    import time

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    stopped_at: list[float] = []

    def stop(_number: int, _frame: object) -> None:
        now = time.monotonic()
        if stopped_at and now - stopped_at[0] > ECHO_SECONDS:
            raise KeyboardInterrupt
        if not stopped_at:
            stopped_at.append(now)
            signal.setitimer(signal.ITIMER_REAL, RAISE_AFTER_SECONDS, 0.2)

    def late(_number: int, _frame: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGALRM: late}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield lambda: bool(stopped_at)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
