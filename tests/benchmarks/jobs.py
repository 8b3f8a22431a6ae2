"""Rows of the table of goals: storing, restoring, looking again, and what costs nothing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.benchmarks import sets
from tests.benchmarks.bench import US, Bench, Result
from tests.benchmarks.measure import (
    REPOSITORY,
    Figures,
    Run,
    attempt,
    drop_caches,
    environment,
    ours,
    run,
    said,
    traced,
)
from tests.benchmarks.peers import disk_bytes


def _three(bench: Bench, name: str, *peers: str) -> Result:
    """First, again and restore of a set, peer and us in turn."""
    first, again, back = Figures(), Figures(), Figures()
    safe = Figures()
    source = bench.set(name)
    target = bench.work / "restored"
    for _ in range(bench.rounds):
        volume = bench.volume()
        done = bench.ours("add", volume, source)
        first.take(US, done)
        safe.note(US, said(done, "safe"))
        others = bench.peers(first, *peers)
        for peer in others:
            drop_caches()
            attempt(first, peer.name, lambda peer=peer: peer.save(source))  # type: ignore[misc]
            safe.values[peer.name] = first.values.get(peer.name, [])
        again.take(US, bench.ours("add", volume, source))
        for peer in others:
            drop_caches()
            attempt(again, peer.name, lambda peer=peer: peer.save(source))  # type: ignore[misc]
        bench.fresh("restored")
        back.take(US, bench.ours("restore", volume, target))
        for peer in others:
            bench.fresh("restored")
            drop_caches()
            attempt(back, peer.name, lambda peer=peer: peer.bring_back(target))  # type: ignore[misc]
        bench.fresh("restored")
    return {"first": first, "first, until safe": safe, "again": again, "restore": back}


def _floor(bench: Bench, figures: Figures, kind: str, source: Path) -> None:
    for _ in range(bench.rounds):
        target = bench.fresh("floor")
        drop_caches()
        figures.take(f"floor: {kind}, two threads", _plain(kind, source, target))
    bench.fresh("floor")


def _plain(kind: str, source: Path, target: Path) -> Run:
    command = [sys.executable, "-m", "tests.benchmarks.floors", kind]
    return run([*command, str(source), str(target)], cwd=REPOSITORY, env=environment())


def _bound(bench: Bench, figures: Figures, source: Path) -> None:
    """What cutting, hashing and compressing alone take where every core does nothing else."""
    done = _plain("work", source, bench.fresh("floor"))
    cores = len(os.sched_getaffinity(0))
    figures.note(f"bound: cut, hash, compress on {cores} cores", said(done, "work") / cores)
    bench.fresh("floor")


def large(bench: Bench) -> Result:
    """L: first ≤ 0.5 borg, ≤ 1.2 of the floor; again ≤ 0.5 restic; restore ≤ 0.8 restic."""
    result = _three(bench, "L", "restic", "borg")
    _floor(bench, result["first"], "loop", bench.set("L"))
    _bound(bench, result["first"], bench.set("L"))
    return result


def small(bench: Bench) -> Result:
    """S: safe ≤ 0.7 restic; complete ≤ 1.2 of the floor, ≤ 0.1 git-annex; restore ≤ 0.8 restic."""
    result = _three(bench, "S", "restic", "git-annex")
    _floor(bench, result["first"], "layout", bench.set("S"))
    return result


def library(bench: Bench) -> Result:
    """R: first ≤ 1.0 casync; restore ≤ 0.8 restic."""
    result = _three(bench, "R", "casync", "restic")
    # Its files are small: what the layout alone takes, with no safety, bounds what can be reached.
    _floor(bench, result["first"], "layout", bench.set("R"))
    return result


def many(bench: Bench) -> Result:
    """100,000 files of which none changed: ≤ 0.5 restic."""
    again = Figures()
    source = bench.set("N")
    volume = bench.volume()
    ours("add", volume, source)
    others = bench.peers(again, "restic")
    for peer in others:
        peer.save(source)
    for _ in range(bench.rounds):
        again.take(US, bench.ours("add", volume, source))
        for peer in others:
            drop_caches()
            again.take(peer.name, peer.save(source))
    return {"again": again}


def edits(bench: Bench) -> Result:
    """Ten edited versions of a file: bytes stored ≤ 1.5 casync, time ≤ 0.5 borg."""
    stored, took = Figures("MB"), Figures()
    found = sets.edits(bench.work, bench.scale)
    inside = bench.fresh("edited")
    inside.mkdir()
    volume = bench.volume()
    others = bench.peers(took, "casync", "borg")
    for version in found:
        shutil.copyfile(version, inside / "file")
        took.take(US, bench.ours("add", volume, inside))
        for peer in others:
            drop_caches()
            attempt(took, peer.name, lambda peer=peer: peer.save(inside))  # type: ignore[misc]
    stored.note(US, _blocks_bytes(volume) / 1e6)
    for peer in others:
        stored.note(peer.name, peer.stored() / 1e6)
    return {"stored": stored, "time of a version": took}


def _blocks_bytes(volume: Path) -> int:
    return disk_bytes(volume / "local" / "hashes")


def change(bench: Bench) -> Result:
    """A small change is readable at a second node: ≤ 0.2 s with change notification."""
    took = Figures()
    one, two = bench.fresh("one"), bench.fresh("two")
    ours("pair", one, two)
    bench.fresh("changing")
    done = ours("change", one, two, str(3 + 2 * bench.rounds))
    took.note(US, said(done, "seconds"))
    took.note("goal", 0.2)
    return {"arrives": took}


def round_(bench: Bench) -> Result:
    """A sync round with nothing new at 200,000 files: < 50 ms and < 50 system calls a peer."""
    took, calls, all_calls = Figures(), Figures("calls"), Figures("calls")
    one, two = bench.fresh("one"), bench.fresh("two")
    ours("pair", one, two)
    ours("load", one, str(max(1000, int(200_000 * bench.scale))))
    ours("sync", one)
    ours("hear", two)
    for volume in (two, one, two):
        ours("sync", volume)
    done = bench.ours("rounds", one, "20")
    took.note(US, said(done, "seconds"))
    took.note("goal", 0.05)
    if shutil.which("strace"):
        everything, there = _calls(one, two, bench.work / "trace")
        calls.note(US, there)
        calls.note("goal", 50)
        all_calls.note(US, everything)
    else:
        calls.skipped[US] = "strace is not installed"
    return {"time": took, "calls at the peer": calls, "calls of the whole command": all_calls}


def _calls(volume: Path, peer: Path, trace: Path) -> tuple[float, float]:
    """System calls of a whole `sync`, and those of them that reach into the peer's directory.

    Those for memory, for threads, and for waiting are left out.
    """
    lines = traced(trace, "%file,%desc", "rounds", volume, "5")
    begin = next(n for n, line in enumerate(lines) if "globofs-rounds-begin" in line)
    end = next(n for n, line in enumerate(lines) if "globofs-rounds-end" in line)
    inside = lines[begin + 1 : end]
    return len(inside) / 5, sum(str(peer) in line for line in inside) / 5


def start(bench: Bench) -> Result:
    """`globofs ls`: ≤ 4 × bare Python with json, sqlite3, hashlib, argparse."""
    took = Figures()
    volume = bench.volume()
    ours("add", volume, bench.set("S"))
    bare = [sys.executable, "-c", "import json, sqlite3, hashlib, argparse"]
    listing = [sys.executable, "-m", "globofs", "ls"]
    for _ in range(10 * bench.rounds):
        took.take("bare Python", run(bare, env=environment()))
        took.take(US, run(listing, cwd=volume, env=environment()))
    return {"start": took}


def rebuild(bench: Bench) -> Result:
    """The index made again from the journals: 30,000 records a second."""
    rate = Figures("records/s")
    volume = bench.volume()
    ours("add", volume, bench.set("N"))
    for _ in range(bench.rounds):
        rate.note(US, said(bench.ours("rebuild", volume), "rate"))
    rate.note("goal", 30_000)
    return {"rate": rate}


def ui(bench: Bench) -> Result:
    """The terminal UI: first paint < 0.5 s; key to paint < 50 ms (p95) while a sync runs."""
    parts = ["start", "keys"] if bench.scale >= 0.1 else ["start"]
    told = run(
        [sys.executable, "-m", "tests.benchmarks.bench_ui", *parts],
        cwd=REPOSITORY,
        env=environment(),
    )
    print("  " + told.output.strip().replace("\n", "\n  "))
    return {}
