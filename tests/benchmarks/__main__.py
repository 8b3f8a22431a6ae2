"""`python -m tests.benchmarks NAME... [--quick] [--scale X] [--rounds N]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.benchmarks import measure
from tests.benchmarks.bench import US, Bench, Result, working_directory
from tests.benchmarks.measure import Figures, version_of
from tests.benchmarks.peers import PEERS
from tests.benchmarks.table import JOBS

OTHERS = (*PEERS, "rsync", "sshfs", "syncthing")


def main(words: list[str] | None = None) -> int:
    """Run what was asked for; prints a table of medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="of benchmarks, or `all`")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--quick", action="store_true", help="tiny sets, one round")
    parser.add_argument("--warm", action="store_true", help="leave the page cache alone")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sets' sizes (1.0)")
    parser.add_argument("--rounds", type=int, default=1, help="of us and peers in turn (1)")
    parser.add_argument("--peers", default=",".join(OTHERS), help="comma separated; `-` for none")
    parser.add_argument("--work", help="directory for sets and volumes; kept")
    args = parser.parse_args(words)
    if args.list or not args.names:
        for name, job in JOBS.items():
            print(f"{name:10} {(job.__doc__ or '').strip()}")
        return 0
    names = list(JOBS) if "all" in args.names else args.names
    unknown = [name for name in names if name not in JOBS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    scale = 0.01 if args.quick else args.scale
    only = frozenset(args.peers.split(","))
    bench = Bench(working_directory(args.work), scale, 1 if args.quick else args.rounds, only)
    for peer in sorted(only.intersection(OTHERS)):
        print(f"{peer}: {version_of(peer)}")
    measure.compile_ours()
    measure.cold = not (args.quick or args.warm)
    if not measure.drop_caches():
        print("the page cache is not dropped: everything is measured warm")
    for name in names:
        begin = time.monotonic()
        print(f"\n{name}: {(JOBS[name].__doc__ or '').strip()}", flush=True)
        _show(JOBS[name](bench))
        print(f"  ({time.monotonic() - begin:.0f} s in all)", flush=True)
    print(
        f"\nmost memory of ours: {bench.memory / 2**20:.0f} MiB (goal: below 150),"
        f" of what that started: {bench.others / 2**20:.0f} MiB"
    )
    bench.empty_trash()
    return 0


def _show(result: Result) -> None:
    for what, figures in result.items():
        own = figures.middle(US)
        if own is not None:
            print(f"  {what}: {own:.3f} {figures.unit}")
        _show_others(figures, own)


def _show_others(figures: Figures, own: float | None) -> None:
    for who in figures.values:
        middle = figures.middle(who)
        if who == US or middle is None or own is None:
            continue
        ratio = f"ratio {own / middle:.2f}" if middle else "ratio -"
        mine, theirs = figures.middle_processor(US), figures.middle_processor(who)
        if mine and theirs:
            ratio += f"; processor {mine:.2f} to {theirs:.2f} s, ratio {mine / theirs:.2f}"
        print(f"      {who}: {middle:.3f} {figures.unit}, {ratio}")
    for who, why in figures.skipped.items():
        print(f"      {who}: left out, {why}")


if __name__ == "__main__":
    sys.exit(main())
