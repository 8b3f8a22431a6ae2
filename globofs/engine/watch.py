"""Being told of changes: watchfiles where events really arrive, polling otherwise.

Notification is a hint that makes things fast, never what correctness rests on: whoever waits
here polls as well. Whether events arrive is tried with a file of our own, and what kind of file
system it is says whether those of other machines would. Either way it is said in words.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from globofs.snapshots import NOTIFIED
from globofs.store import fsio
from globofs.store.mounts import file_system, is_remote

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

STEP_MS: Final = 15  # how soon after an event we hear of it
DEBOUNCE_MS: Final = 120  # how long a burst may go on before we hear of it anyway
TIMEOUT_MS: Final = 1000
PROBE_SECONDS: Final = 1.0

OnChange = Callable[[frozenset[str]], None]


def blind_to_others(path: str) -> str:
    """Why changes by other machines would not be announced at `path`; "" when they would be."""
    kind = file_system(path)
    if is_remote(kind):
        return f"{kind} does not announce what other machines change"
    return ""


class Watcher:
    """Calls `on_change` with the changed paths, from a thread of its own.

    `on_change` must be quick: it usually only sets an event. `words` says how changes are
    noticed, for the status line: "change notification", or "polling every 2 s: <why>".
    """

    def __init__(
        self,
        paths: Iterable[str],
        on_change: OnChange,
        *,
        probe_directory: str,
        poll_seconds: float,
        ignored: Callable[[str], bool] = lambda path: False,
        polling_only: str = "",
        also: Iterable[str] = (),
    ) -> None:
        """`also`: watched for the probe's sake, its changes are not told. The probe directory
        should be on the file system of `paths`, or the probe says nothing about them."""
        self._paths = [os.fspath(path) for path in paths]
        self._also = tuple(os.path.join(path, "") for path in also)
        self._on_change = on_change
        self._probe = os.path.join(probe_directory, f".probe-{os.getpid()}-{id(self):x}")
        self._poll = poll_seconds
        self._ignored = ignored
        self._polling_only = polling_only
        self._stop = threading.Event()
        self._known = threading.Event()
        self._probed = threading.Event()
        self._native: RustNotify | None = None
        self._why = "not yet known whether changes are announced"
        self._thread: threading.Thread | None = None

    @property
    def notified(self) -> bool:
        """Whether changes are announced; False while that is being tried."""
        return not self._why

    @property
    def silent(self) -> str:
        """Why changes are not announced; "" where they are."""
        return self._why

    @property
    def words(self) -> str:
        """How changes are noticed, in words, with the reason where it is polling."""
        if not self._why:
            return NOTIFIED
        return f"polling every {self._poll:g} s: {self._why}"

    def start(self) -> None:
        """Begin watching and trying; returns at once."""
        self._thread = threading.Thread(target=self._run, name="globofs-watch", daemon=True)
        self._thread.start()

    def wait_known(self, timeout: float) -> bool:
        """Wait until it is known whether events arrive."""
        return self._known.wait(timeout)

    def stop(self) -> None:
        """Ask the thread to end; it does within a second or so, nobody need wait for it."""
        self._stop.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        if self._polling_only:
            self._settle(self._polling_only)
            return
        try:
            self._native = self._open()
        except Exception as error:  # the library's own errors have no common class
            self._settle(f"watching is not possible here ({error})")
            return
        threading.Thread(target=self._try, name="globofs-probe", daemon=True).start()
        try:
            self._listen(self._native)
        except Exception as error:  # the same
            self._settle(f"watching ended ({error})")
        finally:
            self._native.close()

    def _open(self) -> RustNotify:
        from watchfiles._rust_notify import RustNotify  # lazily: commands need no watcher

        # force_polling off: our own polling opens files, which works where theirs (stat) lies.
        return RustNotify([*self._paths, *self._also], False, False, 0, True, False)

    def _listen(self, native: RustNotify) -> None:
        while not self._stop.is_set():
            got = native.watch(DEBOUNCE_MS, STEP_MS, TIMEOUT_MS, self._stop)
            if isinstance(got, str):
                if got == "signal":
                    return
                continue
            paths = {path for _, path in got}
            if any(path.startswith(self._probe) for path in paths):
                self._probed.set()
            wanted = frozenset(
                path
                for path in paths
                if ".probe-" not in path
                and not path.startswith(self._also)
                and not self._ignored(path)
            )
            if wanted and not self._stop.is_set():
                self._on_change(wanted)

    def _try(self) -> None:
        """Write a file of our own until its event arrives: the listener may start late."""
        until = time.monotonic() + PROBE_SECONDS
        why = "no event arrived for a change of our own"
        number = 0
        while time.monotonic() < until and not self._stop.is_set():
            number += 1
            name = f"{self._probe}-{number}"
            try:
                fsio.write_new(name, b"")
                fsio.unlink(name)
            except OSError as error:
                why = f"could not try whether events arrive ({error.strerror or error})"
                break
            if self._probed.wait(0.1):
                why = ""
                break
        self._settle(why or blind_to_others(self._paths[0]))

    def _settle(self, why: str) -> None:
        self._why = why
        self._known.set()
