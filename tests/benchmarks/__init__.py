"""Measurements of the goals in numbers: each a ratio to a peer or a floor run in turn with us.

    python -m tests.benchmarks --list              names them, each with its goals
    python -m tests.benchmarks large bring         runs some; `all` runs all of them
    python -m tests.benchmarks large --scale 0.5 --rounds 3 --work DIRECTORY

Nothing here passes or fails, and absolute figures mean nothing: only ratios within one run do, on
a machine that does nothing else (`top`, load below 0.3). Every row drops the page cache before each
contender, which needs root; without it, or with `--warm`, it says so. `--rounds` takes medians.
Beside the time of the clock stand the processor seconds of both, which another load changes less.

The sets are made once in DIRECTORY (a disk with 12 GB free for `--scale 1`; not tmpfs, where
nothing is synced), from fixed seeds: L, 4 files of 256 MiB, half random, half text; S, 20,000 files
of 0.2 to 16 KiB in 500 directories; R, this Python's standard library; B, 5,000 of S's kind and
512 MiB of random bytes; N, 100,000 tiny files; E, eleven versions of a file of 128 MiB (run `edits`
with `--scale 1`: a smaller file is changed by more of itself).

Peers are what Debian packages: `apt-get install restic borgbackup casync git-annex rsync syncthing
sshfs openssh-sftp-server strace fuse3`. What is not installed is left out and named; `--peers -`
leaves out all. restic runs with its defaults, borg with zstd 3 and no encryption, git-annex without
compression, rsync as `rsync -a`, Syncthing with both sides running, met and scanned before the
clock starts; ours are whole commands from the start of the process, in its defaults.

The slow path of `far` and `push` is `line`: 20 ms round trips and 25 MB/s in a relay of our own,
which sshfs (ours), rsync's protocol and Syncthing go through alike. `load` makes a volume of a
million versions and prints what looking at it costs; `bench_ui` can be run by itself, too.
"""
