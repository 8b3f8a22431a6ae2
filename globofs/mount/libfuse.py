"""Finding libfuse 3, and mfusepy bound to it.

mfusepy takes whatever libfuse it finds first, and where both are installed that is libfuse 2,
whose calls differ. Import it from here, never directly.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from types import ModuleType
from typing import Any

from globofs.errors import Unsupported

_CHOICE = "FUSE_LIBRARY_PATH"
_LIBRARIES = ("libfuse3.so.4", "libfuse3.so.3")
"""libfuse from 3.17 on, and before."""
_IDLE_THREADS = 16
_THREADS = 128
"""Reads that wait for a peer hold a thread each; all others shall find one meanwhile."""
BACKGROUND = 128
"""Reads ahead, of all files together, that the kernel has under way before it holds others back."""
_READ_AHEAD_KIB = 512
_READ_AHEAD_FILE = "/sys/class/bdi/{}:{}/read_ahead_kb"


def fuse() -> ModuleType:
    """mfusepy on libfuse 3; Unsupported, saying what to install, where there is none."""
    if not os.environ.get(_CHOICE):
        os.environ[_CHOICE] = _library()
    try:
        import mfusepy
    except ImportError:
        raise _unsupported(
            "the Python package mfusepy is missing: pip install 'globofs[mount]'"
        ) from None
    except (OSError, AttributeError) as error:
        raise _unsupported(f"libfuse does not load: {error}") from None
    if mfusepy.fuse_version_major < 3:
        raise _unsupported("only libfuse 2 is here: install fuse3")
    module: ModuleType = mfusepy
    return module


def _library() -> str:
    for name in _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    raise _unsupported("libfuse is missing: install fuse3")


def _unsupported(reason: str) -> Unsupported:
    return Unsupported(what="mounting", reason=reason)


def need() -> None:
    """Raise Unsupported, saying what to install, where nothing can be mounted."""
    fuse()
    if not os.path.exists("/dev/fuse"):
        raise _unsupported("this machine has no /dev/fuse")


def thread_options() -> dict[str, Any]:
    """How many threads of libfuse serve requests, in words that this libfuse knows."""
    module = fuse()
    options: dict[str, Any] = {"max_idle_threads": _IDLE_THREADS}
    if (module.fuse_version_major, module.fuse_version_minor) >= (3, 12):
        options["max_threads"] = _THREADS
    return options


def read_further(mountpoint: str) -> None:
    """Have the kernel ask for more at once than 128 KiB where a file is read in its order.

    Only root may say so, and only once the mount has answered the kernel's first request, which
    this waits for. Reading held files took a fifth less with 512 KiB, and not less with more.
    """
    with suppress(OSError):
        device = os.stat(mountpoint).st_dev
        with open(_READ_AHEAD_FILE.format(os.major(device), os.minor(device)), "r+") as file:
            file.write(str(_READ_AHEAD_KIB))
