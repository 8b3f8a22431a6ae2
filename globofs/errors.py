"""Every error a user can meet.

The docstring of a class is the sentence shown; `{name}` in it is filled from the keyword
arguments of the constructor. `exit_code` is what the command ends with, `errno` what the mount
answers, `code` the word scripts see with `--json`.
"""

from __future__ import annotations

import errno as _errno
import os
import re


def printable(value: object) -> str:
    """Text of `value` that is safe on a terminal: control characters and stray bytes escaped."""
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    text = value if isinstance(value, str) else str(value)
    if text.isprintable():
        return text
    shown: list[str] = []
    for char in text:
        point = ord(char)
        if 0xDC80 <= point <= 0xDCFF:
            shown.append(f"\\x{point - 0xDC00:02x}")
        elif char.isprintable() or char == "\n":
            shown.append(char)
        else:
            shown.append(f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}")
    return "".join(shown)


def plural(n: int, noun: str, nouns: str = "") -> str:
    """`1 file`, `2,000 files`; `nouns` where adding an s is not enough."""
    return f"{n:,} {noun if n == 1 else nouns or noun + 's'}"


class GlobofsError(Exception):
    """{message}"""

    exit_code: int = 1
    errno: int = _errno.EIO

    def __init__(self, message: str | None = None, /, **fields: object) -> None:
        self.fields = fields
        if message is None:
            template = " ".join((type(self).__doc__ or "").split())
            message = template.format(**{key: printable(value) for key, value in fields.items()})
        self.message = message
        super().__init__(message)

    @property
    def code(self) -> str:
        """The error's word for scripts: the class name in kebab case."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()

    @property
    def path(self) -> str | None:
        """The path the error is about, where it is about one."""
        value = self.fields.get("path")
        return None if value is None else printable(value)

    @property
    def exact_path(self) -> bytes | None:
        """The same, byte for byte."""
        value = self.fields.get("path")
        if value is None or isinstance(value, bytes):
            return value
        return os.fsencode(str(value))

    @property
    def reason(self) -> str:
        """The message without its path in front, for those who say the path themselves."""
        return self.message.removeprefix(f"{self.path}: ")


# --- wrong usage and configuration (exit 2) -------------------------------------------------


class UsageError(GlobofsError):
    """{message}"""

    exit_code = 2
    errno = _errno.EINVAL


class BadPath(UsageError):
    """{path}: not a path in a volume: {reason}"""


class BadTime(UsageError):
    """{text}: not a time; try 2026-11-23T18:00, "yesterday 18:00", "2h ago" or a version number"""


class BadConfig(UsageError):
    """{path}:{line}: {reason}"""


class NoVolume(UsageError):
    """{path}: no volume here or above; name one with -C or $GLOBOFS_VOLUME, or make one with
    `globofs init DIRECTORY`"""

    errno = _errno.ENOENT


class NotAVolume(UsageError):
    """{path}: not a GloboFS volume: {reason}"""

    errno = _errno.ENOENT


class NotEmpty(UsageError):
    """{path}: not empty; a volume is a directory of its own (files go in with `globofs add`)"""

    errno = _errno.ENOTEMPTY


class NoSuchPeer(UsageError):
    """{name}: no such peer; there is {known}"""


class PeerExists(UsageError):
    """{name}: there is already a peer of that name; remove it first or choose another"""


# --- asked for something that is not there (exit 1) -----------------------------------------


class NoSuchPath(GlobofsError):
    """{path}: no such file or directory in the volume{hint}"""

    errno = _errno.ENOENT


class NotPinned(GlobofsError):
    """{path}: is not pinned{hint}"""

    errno = _errno.ENOENT


class NoSuchVersion(GlobofsError):
    """{path}: no version {version}; `globofs log` lists them"""

    errno = _errno.ENOENT


class AmbiguousVersion(GlobofsError):
    """{path}: {version} could be any of {candidates}; give more digits"""

    errno = _errno.EINVAL


class NotAFile(GlobofsError):
    """{path}: is a {kind}, not a file"""

    errno = _errno.EISDIR


class TargetExists(GlobofsError):
    """{path}: exists already; choose another place with --to, or allow overwriting with --force"""

    errno = _errno.EEXIST


class UnsafeTarget(GlobofsError):
    """{path}: {reason}; nothing was written there"""

    errno = _errno.ELOOP


class NothingToUndo(GlobofsError):
    """nothing of this node to {verb}"""


class MassChange(GlobofsError):
    """{count} of {total} files from {path} would be {what}; if that is meant, say --yes"""

    errno = _errno.EPERM


# --- content that is not here (exit 3) ------------------------------------------------------


class ContentMissing(GlobofsError):
    """{path}: {these} not here and nobody reachable holds {them}; {holder} should have {them}{why}"""

    exit_code = 3
    errno = _errno.EIO

    def __init__(self, *, path: object, count: int, holder: str, why: str = "") -> None:
        self._given = (path, count, holder, why)
        super().__init__(
            path=path,
            count=count,
            holder=holder,
            why=why,
            these=f"{count:,} of its blocks {'is' if count == 1 else 'are'}",
            them="it" if count == 1 else "them",
        )

    def again(self) -> ContentMissing:
        """The same once more, for whoever meets it later."""
        path, count, holder, why = self._given
        return ContentMissing(path=path, count=count, holder=holder, why=why)


# --- damage and hostile input ---------------------------------------------------------------


class Damaged(GlobofsError):
    """{path}: damaged: {reason}"""

    errno = _errno.EIO


class WrongSize(Damaged):
    """block {block} has {size} bytes and is sound; a version that lists it says {said}"""

    def __init__(self, block: str, size: int, said: int) -> None:
        super().__init__(block=block, size=size, said=said)
        self.size = size


class FormatError(GlobofsError):
    """{what}: {reason}"""

    errno = _errno.EIO


# --- peers ----------------------------------------------------------------------------------


class PeerError(GlobofsError):
    """{peer}: {reason}"""

    errno = _errno.EIO


class PeerOffline(PeerError):
    """{peer} is offline: {reason}"""


class NoPeerThere(PeerOffline):
    """{path}: {reason}"""


class PeerStuck(PeerError):
    """{peer} does not answer: {reason}"""

    errno = _errno.ETIMEDOUT


class PeerWrong(PeerError):
    """{peer}: another volume lies there: {reason}"""


class PeerReadOnly(PeerError):
    """{peer} cannot be written to: {reason}"""

    errno = _errno.EROFS


class JoinVolumes(GlobofsError):
    """{facts}; if the two shall become one, say --yes"""


# --- this machine ---------------------------------------------------------------------------


class DiskError(GlobofsError):
    """{path}: {reason}; what was reported as done is safe, try again when it is mended"""


class Refused(DiskError):
    """{path}: {reason}"""


class OutputFailed(GlobofsError):
    """standard output: {reason}; not all of it was written"""


class NotTakenBack(DiskError):
    """{path}: {reason}; it could not be undone, so what was to be recorded may show up later: \
look before you try again"""


class ReadOnlyVolume(GlobofsError):
    """{path}: opened read only: {reason}"""

    errno = _errno.EROFS


class Locked(GlobofsError):
    """{path}: still in use by {holder}; gave up waiting after {seconds} s"""

    errno = _errno.EAGAIN


class LaterIndex(GlobofsError):
    """{path} was made by a later release of GloboFS: use that one here, too; or end it wherever it
    runs on this volume, and delete the file, which is made anew"""

    errno = _errno.EAGAIN


class Unsupported(GlobofsError):
    """{what} is not possible here: {reason}"""

    errno = _errno.EOPNOTSUPP


class Interrupted(GlobofsError):
    """interrupted; what was reported is safe, and the same command goes on from there"""

    exit_code = 130
    errno = _errno.EINTR


_OF_THE_NAME = frozenset(
    (
        _errno.ENOENT,
        _errno.ENOTDIR,
        _errno.EISDIR,
        _errno.EEXIST,
        _errno.ENAMETOOLONG,
        _errno.ELOOP,
        _errno.EACCES,
    )
)
"""What is wrong with what was asked for, not with the disk: no word of comfort is needed."""


def os_reason(error: OSError) -> str:
    """What an `OSError` says, and what to do about a FUSE mount whose process is gone."""
    if error.errno == _errno.ENOTCONN:
        return (
            "a mount that died lies there; `globofs umount` takes it away, where it is not of a "
            "volume `fusermount3 -u`"
        )
    return error.strerror or str(error)


def from_os_error(error: OSError, path: object = None) -> DiskError:
    """The user's sentence for an `OSError`, naming the file it concerns."""
    name = path if path is not None else (error.filename or "the volume")
    kind = Refused if error.errno in _OF_THE_NAME else DiskError
    kind = NotTakenBack if getattr(error, "may_show_up", False) else kind
    made = kind(path=name, reason=os_reason(error))
    made.errno = error.errno or _errno.EIO
    return made
