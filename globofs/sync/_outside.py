"""Writing restored things into a directory outside the volume, and never outside of that.

Every directory below the target is opened from the one above it without following symlinks, so
nothing that lies there, or is put there meanwhile, leads a write elsewhere. A file appears under
its name only when it is complete.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from typing import Final

from globofs.errors import TargetExists, UnsafeTarget
from globofs.store import fsio
from globofs.store.views import Version

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
KEPT_BITS: Final = 0o1777
"""Mode bits that are restored: never setuid or setgid, whose meaning depends on the owner."""
TEMPORARY: Final = ".globofs-"


class Outside:
    """A directory being written to. One thread at a time; close it to close what it has open.

    `relative` paths are disk paths (`str`) below the directory, without leading slash.
    """

    def __init__(self, directory: str, *, force: bool) -> None:
        """Open `directory` (which the user named: it may lie behind symlinks), made if missing."""
        fsio.mkdirs(directory)
        self._force = force
        self._directory = directory
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stack: list[tuple[str, int, bool]] = [("", top, False)]  # name, fd, made by us
        self._entered: str | None = ""  # what the stack leads to; None where that went wrong
        self._temporary = fsio.temporary_name(TEMPORARY)

    def close(self) -> None:
        """Close all directories."""
        while self._stack:
            os.close(self._stack.pop()[1])

    def __enter__(self) -> Outside:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def enter(self, relative: str) -> tuple[int, bool]:
        """A descriptor of the directory `relative`, made if missing, and whether we made it.

        Raises UnsafeTarget where a symlink or a file is in the way.
        """
        if relative != self._entered:
            self._entered = None
            self._enter(relative.split("/") if relative else [])
            self._entered = relative
        return self._stack[-1][1], self._stack[-1][2]

    def _enter(self, parts: list[str]) -> None:
        depth = 0
        while depth < len(parts) and depth + 1 < len(self._stack):
            if self._stack[depth + 1][0] != parts[depth]:
                break
            depth += 1
        while len(self._stack) > depth + 1:
            os.close(self._stack.pop()[1])
        for at, part in enumerate(parts[depth:], depth + 1):
            self._descend(part, "/".join(parts[:at]))

    def _descend(self, name: str, relative: str) -> None:
        above = self._stack[-1][1]
        made = False
        try:
            fd = os.open(name, DIRECTORY_FLAGS, dir_fd=above)
        except FileNotFoundError:
            made = fsio.mkdir(name, dir_fd=above)
            fd = self._open_directory(name, above, relative)
        except OSError as error:
            raise self._unsafe(error, relative) from None
        self._stack.append((name, fd, made))

    def _open_directory(self, name: str, above: int, relative: str) -> int:
        try:
            return os.open(name, DIRECTORY_FLAGS, dir_fd=above)
        except OSError as error:
            raise self._unsafe(error, relative) from None

    def _unsafe(self, error: OSError, relative: str) -> Exception:
        where = os.path.join(self._directory, relative)
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return UnsafeTarget(path=where, reason="is a symlink or file where a directory goes")
        return error

    # --- writing ----------------------------------------------------------------------------

    def file(self, relative: str, version: Version, pieces: Iterable[bytes]) -> None:
        """Write a file with mode and mtime of `version`. Raises TargetExists, UnsafeTarget, and
        whatever `pieces` raises; nothing is left behind then."""
        parent, _, name = relative.rpartition("/")
        fd, fresh = self.enter(parent)
        if not fresh:
            self._check(fd, name, relative)
        try:
            with fsio.Writer(self._temporary, mode=0o600, dir_fd=fd) as writer:
                for piece in pieces:
                    writer.write(piece)
                writer.chmod(version.mode & KEPT_BITS)
                writer.utime(version.mtime)
                writer.commit(name, dir_fd=fd)
        except BaseException:
            self._temporary = fsio.temporary_name(TEMPORARY)  # it may not have gone
            raise

    def symlink(self, relative: str, version: Version) -> None:
        """Make a symlink; where it leads is not looked at."""
        parent, _, name = relative.rpartition("/")
        fd, fresh = self.enter(parent)
        if not fresh:
            self._check(fd, name, relative)
        temporary = fsio.temporary_name(TEMPORARY)
        fsio.symlink(os.fsdecode(version.target), temporary, dir_fd=fd)
        try:
            fsio.utime(temporary, version.mtime, dir_fd=fd)
            fsio.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        except BaseException:
            fsio.remove(temporary, dir_fd=fd)
            raise

    def delete(self, relative: str) -> None:
        """Delete a file, a symlink, or an empty directory; what is not there is no error."""
        parent, _, name = relative.rpartition("/")
        fd, _ = self.enter(parent)
        try:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(info.st_mode):
            fsio.rmdir(name, dir_fd=fd)
        else:
            fsio.unlink(name, dir_fd=fd)

    def finish_directory(self, relative: str, version: Version) -> None:
        """Give a directory mode and mtime of `version`: after everything in it is written."""
        fd, _ = self.enter(relative)
        fsio.chmod(f"/proc/self/fd/{fd}", version.mode & KEPT_BITS)
        fsio.utime(".", version.mtime, dir_fd=fd)

    def _check(self, fd: int, name: str, relative: str) -> None:
        try:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        where = os.path.join(self._directory, relative)
        if stat.S_ISDIR(info.st_mode):
            raise UnsafeTarget(path=where, reason="is a directory where a file goes")
        if not self._force:
            raise TargetExists(path=where)
