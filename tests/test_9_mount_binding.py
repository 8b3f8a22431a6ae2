"""What is kept of libfuse's threads from one of their requests to the next."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import pytest

from tests.helpers_mount import WHY_NOT

THREAD_END = "__cxa_thread_atexit_impl"
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "usable"),
    pytest.mark.skipif(not hasattr(ctypes.CDLL(None), THREAD_END), reason="another C library"),
]


def called_twice(first: Callable[[], object], second: Callable[[], object]) -> None:
    """Both are called by one thread that Python did not start, one after the other: the second
    as what C++ has done with its own variables when a thread ends."""
    libc = ctypes.CDLL(None)
    library = ctypes.cast(libc.pthread_join, ctypes.c_void_p)  # any address in it
    end = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: second() and None)

    def begin(_: int | None) -> int:
        first()
        return int(libc[THREAD_END](end, None, library))

    beginning = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(begin)
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, beginning, None) == 0
    assert libc.pthread_join(thread, None) == 0


@pytest.mark.parametrize(("room", "kept"), [(1, True), (0, False)])
def test_a_thread_of_libfuse_finds_what_it_left_behind(
    monkeypatch: pytest.MonkeyPatch, room: int, kept: bool
) -> None:
    """Decompressors are such things; without room (threads come and go) nothing is kept."""
    from globofs.mount import binding

    monkeypatch.setattr(binding, "_THREADS_KEPT", binding._Threads.kept + room)
    own = threading.local()
    found: list[str] = []

    class Bound(binding.VolumeBinding):
        def __init__(self) -> None:
            """Nothing is mounted."""

    bound = Bound()

    def request(words: str) -> int:
        found.append(getattr(own, "left", ""))
        own.left = words
        return 0

    called_twice(lambda: bound._wrapper(request, "one"), lambda: bound._wrapper(request, "two"))
    assert found == ["", "one" if kept else ""]
