"""Locks: threads and processes exclude each other, the dead hold nothing, the stopped are named."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from globofs import errors, limits
from globofs.store import fsio
from globofs.store.locks import NAMES, Lock, Locks

HOLDER = """
import sys, time
from globofs.store.locks import Lock
with Lock(sys.argv[1], "journal").exclusive():
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock `journal`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_every_name_is_a_lock(tmp_path: Path) -> None:
    locks = Locks(str(tmp_path))
    for name in NAMES:
        with locks[name].exclusive():
            assert locks[name].held
        assert not locks[name].held


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "journal")
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with lock.exclusive():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert max(most) == 1


def test_a_thread_may_take_its_own_lock_again_but_not_a_shared_one_alone(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "adders")
    with lock.exclusive(timeout=0.1):
        with lock.exclusive(timeout=0.1), lock.shared(timeout=0.1), lock.try_exclusive() as had:
            assert had
        assert lock.held
    with lock.shared(), lock.shared():
        with pytest.raises(RuntimeError), lock.exclusive():
            pass
        with lock.try_exclusive() as had:
            assert not had
    with Lock(str(tmp_path), "adders").try_exclusive() as had:
        assert had, "everything was let go"


def test_sharing_keeps_out_only_who_wants_it_alone(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "adders")
    other = Lock(str(tmp_path), "adders")  # as another process would have it
    with lock.shared():
        with other.shared(timeout=0.1):
            pass
        with other.try_exclusive() as had:
            assert not had
        with pytest.raises(errors.Locked), other.exclusive(timeout=0.05):
            pass


def test_it_is_let_go_when_the_body_raises(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "journal")
    with pytest.raises(ZeroDivisionError), lock.exclusive():
        raise ZeroDivisionError
    with Lock(str(tmp_path), "journal").try_exclusive() as had:
        assert had


def test_a_killed_client_blocks_nobody(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with Lock(str(tmp_path), "journal").try_exclusive() as had:
            assert not had
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Lock(str(tmp_path), "journal").exclusive(timeout=1.0):
            pass


def test_a_stopped_holder_is_named_and_waited_for_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenario 12."""
    monkeypatch.setattr(limits, "LOCK_SAY_AFTER_SECONDS", 0.05)
    said: list[str] = []
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        lock = Lock(str(tmp_path), "journal")
        with pytest.raises(errors.Locked) as caught, lock.exclusive(timeout=0.3, say=said.append):
            pass
    assert len(said) == 1, "one sentence, not one a second"
    for text in (said[0], caught.value.message):
        assert f"process {process.pid}, stopped" in text
    assert "gave up waiting after 0.3 s" in caught.value.message


def test_who_waits_gets_it_soon_after_it_is_free(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "journal")
    began: list[float] = []

    def hold() -> None:
        with lock.exclusive():
            ready.set()
            time.sleep(0.1)
            began.append(time.monotonic())

    ready = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    with lock.exclusive(timeout=5):
        waited = time.monotonic() - began[0]
    thread.join()
    assert waited < 1, "not the 5 s it would have waited"


def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "journal")
    reading, writing = os.pipe()
    with lock.exclusive():
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)  # live on until the parent has looked
            os._exit(0)
    os.close(reading)
    try:
        with Lock(str(tmp_path), "journal").try_exclusive() as had:
            assert had, "the child's copy of the descriptor keeps the lock"
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_a_child_forked_inside_does_not_let_go_for_its_parent(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "journal")
    with lock.exclusive():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with Lock(str(tmp_path), "journal").try_exclusive() as had:
            assert not had


def test_the_lock_directory_may_be_deleted(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path), "journal")
    with lock.exclusive():
        pass
    shutil.rmtree(tmp_path / "lock")
    with lock.exclusive(timeout=0.5), Lock(str(tmp_path), "journal").try_exclusive() as had:
        assert not had


def test_a_lock_file_replaced_while_waiting_is_not_believed(tmp_path: Path) -> None:
    old = Lock(str(tmp_path), "journal")
    with old.exclusive():
        os.unlink(old.path)
        new = Lock(str(tmp_path), "journal")
        third = Lock(str(tmp_path), "journal")
        # The name is free: whoever has the new file has it.
        with new.exclusive(timeout=0.5), third.try_exclusive() as had:
            assert not had


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.EROFS, errors.ReadOnlyVolume), (errno.EACCES, errors.ReadOnlyVolume)],
)
def test_a_read_only_disk_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[errors.GlobofsError]
) -> None:
    def refuse(path: str) -> int:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(fsio, "open_lock", refuse)
    with pytest.raises(kind), Lock(str(tmp_path), "journal").exclusive():
        pass


def test_a_file_system_without_locks_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, flags: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("globofs.store.locks.fcntl.flock", refuse)
    lock = Lock(str(tmp_path), "journal")
    with pytest.raises(errors.Unsupported, match="has no locks"), lock.exclusive():
        pass


def test_shares_end_in_any_order_and_by_any_thread(tmp_path: Path) -> None:
    lock, other = Lock(str(tmp_path), "adders"), Lock(str(tmp_path), "adders")
    first, second = lock.hold_shared(), lock.hold_shared()
    first()
    with other.try_exclusive() as had:
        assert not had
    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    with other.try_exclusive() as had:
        assert had
        other.hold_shared()()  # who holds it alone may put blocks, too
        with lock.try_exclusive() as also:
            assert not also
    with pytest.raises(errors.Locked), lock.exclusive(timeout=0.05), other.exclusive(timeout=0.05):
        pass
