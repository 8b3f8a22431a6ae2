"""An sshd of our own on 127.0.0.1, and sshfs mounts through it.

The sshd runs in a mount namespace of its own: one that sees the sshfs mount it serves may deadlock
with it. Keys, config and the names of the machines are in a temporary directory; `ssh` is found
through PATH, as sshfs does.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers_story import ENVIRONMENT, until

HOUSE = Path(__file__).resolve().parent.parent


def _usable() -> str:
    if os.geteuid() != 0:
        return "only root can give an sshd a mount namespace of its own"
    for program in ("sshd", "ssh", "ssh-keygen", "sshfs", "unshare", "nsenter", "fusermount3"):
        if shutil.which(program) is None and not os.path.exists(f"/usr/sbin/{program}"):
            return f"{program} is not installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that this user may open"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        return "no mount namespaces here"
    return ""


WHY_NOT = _usable()
needs_sshd = [pytest.mark.sshd, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "usable")]

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
Subsystem sftp internal-sftp
ForceCommand internal-sftp -d {home}
"""
_HOST = """\
Host {name}
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile {directory}/key
    UserKnownHostsFile {directory}/known_hosts
    StrictHostKeyChecking accept-new
    LogLevel ERROR
"""
# the namespace's own /run, so that sshd's directory is not made on the machine that runs the test
_IN_NAMESPACE = (
    "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec $(command -v sshd || "
    "echo /usr/sbin/sshd) -D -e -f"
)


class Machine:
    """A machine that answers ssh: a home directory, an sshd, a mount namespace."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.home = directory / name
        self.home.mkdir()
        self._directory = directory / f"{name}-ssh"
        self._directory.mkdir(mode=0o700)
        for key in ("host_key", "key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
            subprocess.run([*command, self._directory / key], check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        words = {"port": self.port, "directory": self._directory, "home": self.home}
        (self._directory / "sshd_config").write_text(_CONFIG.format(**words))
        self.host = _HOST.format(name=name, **words)
        self._process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f"{_IN_NAMESPACE} {self._directory}/sshd_config"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.tools = directory / f"{name}-bin"
        self.tools.mkdir()
        self._tool("globofs", f'exec "{sys.executable}" -m globofs "$@"')
        self.knows(self)

    def _tool(self, name: str, text: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def knows(self, *machines: Machine) -> None:
        """Make `ssh NAME` work here for these machines."""
        config = self._directory / "config"
        config.write_text("".join(machine.host for machine in machines))
        self._tool("ssh", f'exec "{shutil.which("ssh")}" -F "{config}" "$@"')

    @property
    def environment(self) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "HOME": str(self.home),
            "PATH": f"{self.tools}:{ENVIRONMENT.get('PATH', '')}",
        }

    def wait(self) -> None:
        """Until it answers."""
        until(self._answers, 15)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "sshd did not start"
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run lines of bash in the machine's own namespace and home, as if typed there."""
        inside = ["nsenter", "-t", str(self._process.pid), "-m", f"--wd={self.home}"]
        return subprocess.run(
            [*inside, "bash", "-euo", "pipefail", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.environment,
            text=True,
            timeout=60,
        )

    def stop(self) -> None:
        """End the sshd and everything it serves."""
        with_sessions = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)], capture_output=True, text=True
        )
        for pid in (self._process.pid, *map(int, with_sessions.stdout.split())):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()


@contextmanager
def machines(directory: Path, *names: str) -> Iterator[list[Machine]]:
    """Machines that know each other."""
    made: list[Machine] = []
    try:
        for name in names:
            made.append(Machine(name, directory))
        for one in made:
            one.knows(*made)
        for one in made:
            one.wait()
        yield made
    finally:
        for one in made:
            one.stop()


class Sshfs:
    """`source` of a machine, mounted here."""

    def __init__(self, machine: Machine, source: Path, place: Path, *options: str) -> None:
        self.machine = machine
        self.source = source
        self.place = place
        self.options = options
        place.mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.mount()

    def mount(self) -> None:
        words = [word for option in self.options for word in ("-o", option)]
        self._process = subprocess.Popen(
            ["sshfs", "-f", *words, f"{self.machine.name}:{self.source}", str(self.place)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.machine.environment,
        )
        end = time.monotonic() + 15
        while not os.path.ismount(self.place):
            if self._process.poll() is not None and self._process.stderr is not None:
                raise AssertionError(self._process.stderr.read().decode())
            assert time.monotonic() < end, "sshfs did not mount"
            time.sleep(0.02)

    def kill(self) -> None:
        """The mount dies and stays: everything there is ENOTCONN."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def unmount(self) -> None:
        """Take the mount away; an empty directory is left."""
        subprocess.run(["fusermount3", "-u", "-z", "-q", str(self.place)], capture_output=True)
        assert self._process is not None
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Sshfs:
        return self

    def __exit__(self, *error: object) -> None:
        self.unmount()
