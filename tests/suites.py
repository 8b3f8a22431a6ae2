"""Real programs' own tests, run in a directory of any file system.

`python -m tests.suites DIRECTORY [SUITE...]` prints one line a suite: passed, failed, and what
failed. `test_9_suites.py` runs the same on a mount; the README's table compares file systems.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

PYTHON_TESTS = (
    *("test_os", "test_shutil", "test_pathlib"),
    *("test_tempfile", "test_zipfile", "test_tarfile"),
)
STRESSORS = (
    *("access", "chattr", "chdir", "chmod", "chown", "close", "copy-file", "dentry", "dir"),
    *("dirdeep", "dirmany", "dup", "eventfd", "fallocate", "fcntl", "fiemap", "file-ioctl"),
    *("filename", "flock", "fstat", "getdent", "hdd", "io", "iomix", "lease", "link"),
    *("locka", "lockf", "lockofd", "mknod", "open", "pipe", "readahead", "rename", "seek"),
    *("sendfile", "symlink", "sync-file", "touch", "utime", "xattr", "aio", "mmap"),
)


@dataclass
class Outcome:
    """How one suite went."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    why: list[str] = field(default_factory=list)  # what failed programs said last

    def ran(self, name: str, done: subprocess.CompletedProcess[str]) -> None:
        """Count a program that must succeed."""
        self.check(name, done.returncode == 0)
        if done.returncode:
            self.why.append(f"{name}: {(done.stderr or done.stdout)[-300:].strip()}")

    def check(self, name: str, good: bool) -> None:
        """Count one check."""
        if good:
            self.passed += 1
        else:
            self.failed.append(name)


def run(place: Path, script: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """A shell script that ends at its first failure, run in `place`."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def steps(place: Path, scripts: Iterable[tuple[str, str]]) -> Outcome:
    """Scripts that build on one another, each counted."""
    done = Outcome()
    for name, script in scripts:
        done.ran(name, run(place, script))
    return done


# --- the interpreter ------------------------------------------------------------------------------


def interpreter() -> str:
    """A Python that has its own tests; "" if there is none."""
    for name in (sys.executable, shutil.which("python3") or ""):
        if (
            name
            and not subprocess.run(
                [name, "-c", "import test.test_os, test.test_tarfile"], capture_output=True
            ).returncode
        ):
            return name
    return ""


def python(place: Path, tests: Iterable[str] = PYTHON_TESTS) -> Outcome:
    """The interpreter's tests of files, with all their files in `place`."""
    temporary = place / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ran = subprocess.run(
        [interpreter(), "-m", "test", "--tempdir", str(temporary), "-v", *tests],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=1800,
    )
    told = ran.stdout + ran.stderr
    done = Outcome(failed=sorted(set(re.findall(r"^(?:FAIL|ERROR): (\w+ \(\S+\))", told, re.M))))
    done.passed = len(re.findall(r"^.* \.\.\. ok$", told, re.M))
    return done


# --- programs -------------------------------------------------------------------------------------


def git(place: Path) -> Outcome:
    """A repository's whole life."""
    settings = "git config user.name a; git config user.email a@b; git config gc.auto 0"
    return steps(
        place,
        [
            ("init", f"git init -q repo; cd repo; {settings}"),
            ("files", f"cp -r {_library()}/json {_library()}/email repo/; ls repo/json"),
            ("commit", "cd repo; git add .; git commit -qm one"),
            ("clean", 'cd repo; test -z "$(git status --porcelain)"'),
            (
                "history",
                "cd repo; for n in 1 2 3 4 5; do seq $n 3000 > n; git add n; git commit -qm $n; done",
            ),
            ("branch", "cd repo; git checkout -qb side HEAD~3; echo x > side; git add side"),
            ("merge", "cd repo; git commit -qm side; git checkout -q -; git merge -q side -m m"),
            ("rebase", "cd repo; git checkout -q side; git rebase -q HEAD~1; git checkout -q -"),
            ("stash", "cd repo; echo y >> n; git stash -q; git stash pop -q; git checkout -q n"),
            ("mv", "cd repo; git mv json moved; git commit -qm moved; git log --follow moved"),
            ("gc", "cd repo; git gc -q --prune=now"),
            ("repack", "cd repo; git repack -adfq"),
            ("fsck", "cd repo; git fsck --strict --full"),
            ("clone", "git clone -q repo clone; git -C clone fsck --strict"),
            ("shared", "git clone -q --no-hardlinks repo other; cd other; git log --oneline"),
            ("push", f"cd clone; {settings}; echo z > z; git add z; git commit -qm z; git log -1"),
            ("bare", "git clone -q --bare repo bare; cd clone; git push -q ../bare HEAD:new"),
            ("worktree", "cd repo; git worktree add -q ../tree; cd ../tree; git status"),
        ],
    )


def sqlite(place: Path) -> Outcome:
    """Databases with every kind of journal, written by two processes."""
    done = Outcome()
    for mode in ("delete", "truncate", "persist", "wal"):
        name = f"{mode}.db"
        made = run(place, f"sqlite3 {name} 'PRAGMA journal_mode={mode}; CREATE TABLE t(a);'")
        done.check(f"{mode}: made", made.returncode == 0 and mode in made.stdout)
        insert = (
            "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
            "LIMIT 2000) SELECT i FROM n;"
        )
        one = f"for k in 1 2 3; do sqlite3 -cmd '.timeout 60000' {name} '{insert}'; done"
        done.check(f"{mode}: two writers", run(place, f"({one}) & {one}; wait").returncode == 0)
        count = run(place, f"sqlite3 {name} 'SELECT count(*) FROM t'").stdout.strip()
        done.check(f"{mode}: all rows", count == "12000")
        sound = run(place, f"sqlite3 {name} 'VACUUM; PRAGMA integrity_check'").stdout.strip()
        done.check(f"{mode}: integrity", sound == "ok")
    return done


def _library() -> str:
    return sysconfig.get_paths()["stdlib"]


def _digest(place: Path) -> str:
    """All of a tree that an archive keeps: names, kinds, modes, times, contents."""
    made = hashlib.sha256()
    for path in sorted(place.rglob("*")):
        facts = path.lstat()
        said = [os.fsencode(path.relative_to(place)), oct(facts.st_mode).encode()]
        if path.is_symlink():
            said.append(os.fsencode(os.readlink(path)))
        elif path.is_file():
            said += [str(facts.st_mtime_ns).encode(), path.read_bytes()]
        for part in said:
            made.update(len(part).to_bytes(8, "big") + part)
    return made.hexdigest()


def archives(place: Path) -> Outcome:
    """tar, cpio, zip and rsync both ways, of a part of the standard library."""
    source = place / "source"
    library = Path(_library())
    source.mkdir()
    for name in ("json", "email", "encodings", "asyncio"):
        shutil.copytree(library / name, source / name, ignore=shutil.ignore_patterns("*.pyc"))
    (source / "link").symlink_to("json/decoder.py")
    (source / "dangling").symlink_to("nowhere")
    (source / "script").write_text("#!/bin/sh\n")
    (source / "script").chmod(0o755)
    (source / "empty").mkdir()
    expected = _digest(source)
    there_and_back = {
        "tar": "tar --format=posix -cf a.tar -C source .; mkdir t; tar -xpf a.tar -C t",
        "tar pipe": "mkdir p; tar --format=posix -C source -cf - . | tar -C p -xpf -",
        "cp -a": "cp -a source c",
        "rsync": "rsync -aH source/ r/",
        "rsync --checksum": "rsync -aH --checksum --inplace source/ i/; rsync -aHc source/ i/",
        "mv": "cp -a source m1; mv m1 m2",
    }
    targets = {"tar": "t", "tar pipe": "p", "cp -a": "c", "rsync": "r", "mv": "m2"}
    done = Outcome()
    for name, script in there_and_back.items():
        done.ran(name, run(place, script))
        done.check(f"{name}: same", _digest(place / targets.get(name, "i")) == expected)
    again = run(place, "rsync -aHc --itemize-changes source/ r/").stdout
    done.check("rsync: nothing left to do", again == "")
    for name, script in (
        ("cpio", "cd source; find . -print0 | cpio -0o --quiet -H newc > ../a.cpio"),
        ("cpio back", "mkdir o; cd o; cpio -idm --quiet < ../a.cpio; cmp script ../source/script"),
        ("zip", "cd source; zip -qry ../a.zip ."),
        ("unzip", "mkdir z; cd z; unzip -q ../a.zip; diff -r --no-dereference . ../source"),
    ):
        done.ran(name, run(place, script))
    return done


def fio(place: Path) -> Outcome:
    """Random writes, read back and verified."""
    done = Outcome()
    common = "fio --name=v --size=8m --verify=crc32c --verify_fatal=1 --output=/dev/null"
    for name, words in {
        "sequential": "--rw=write --bs=128k",
        "random 4k": "--rw=randwrite --bs=4k",
        "random mixed sizes": "--rw=randwrite --bsrange=512-64k --bs_unaligned",
        "read and write": "--rw=randrw --bs=8k",
        "fsync": "--rw=randwrite --bs=64k --fsync=8",
        "mmap": "--rw=randwrite --bs=4k --ioengine=mmap",
        "threads": "--rw=randwrite --bs=16k --numjobs=2 --thread",
        "overwrite": "--rw=randwrite --bs=4k --overwrite=1",
        "preadv2": "--rw=randwrite --bs=4k --ioengine=pvsync",
        "libaio": "--rw=randwrite --bs=4k --ioengine=libaio --iodepth=8",
        "trimmed end": "--rw=write --bs=4k --file_append=1",
    }.items():
        (place / "fio").mkdir(exist_ok=True)
        done.check(name, run(place, f"{common} --directory=fio {words}").returncode == 0)
        shutil.rmtree(place / "fio")
    return done


def stress(place: Path, stressors: Iterable[str] = STRESSORS) -> Outcome:
    """stress-ng's stressors of file systems, each for a moment."""
    done = Outcome()
    for name in stressors:
        script = f"stress-ng --quiet --temp-path . --verify --{name} 1 --{name}-ops 100 --timeout 5"
        status = run(place, script, 120).returncode
        if status != 4:  # 4: this machine cannot run it at all
            done.check(name, status in (0, 3))  # 3: it had not the resources, not a failure
    return done


SUITES: dict[str, Callable[[Path], Outcome]] = {
    "python": python,
    "git": git,
    "sqlite": sqlite,
    "archives": archives,
    "fio": fio,
    "stress": stress,
}


def main(words: list[str]) -> None:
    """Run suites below a directory and print how they went."""
    for name in words[1:] or SUITES:
        place = Path(words[0]) / f"suite-{name}"
        place.mkdir()
        done = SUITES[name](place)
        print(f"{name}\t{done.passed}/{len(done.failed)}\t{', '.join(done.failed)}", flush=True)
        for line in done.why:
            print(f"  {line}")
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
