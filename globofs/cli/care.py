"""`verify`, `prune`: looking after what is stored."""

from __future__ import annotations

from globofs.cli.context import DONE, FAILED, Context
from globofs.cli.output import operation_id, plain
from globofs.errors import Interrupted, UsageError, printable
from globofs.speech import parse_span, plural, safe, size_words


def parse_share(text: str | None) -> float | None:
    """`5%` or `0.05`: a share between 0 and 1. Raises `UsageError`."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{printable(text)}: not a share; try 5%")
    return share


def verify(context: Context) -> int:
    """Read and check; 1 while damage remains. Blocks that are merely not held are no damage."""
    args = context.args
    result = context.volume.verify(
        repair=args.repair,
        sample=parse_share(args.sample),
        restart=args.restart,
        **context.listening,
    )
    if context.out.as_json:
        context.out.document(plain(result))
    else:
        context.out.problems(result.problems)
        what = plural(result.checked, "block, manifest or record", "blocks, manifests and records")
        read = f"{what} read, {size_words(result.bytes)}"
        if result.earlier:
            read += f" ({result.earlier:,} of them before the check was stopped)"
        found = "no damage"
        if result.damaged:
            found = f"{result.damaged:,} damaged, {result.repaired:,} of them repaired"
        here = f"{result.missing:,} not here" if result.missing else "none missing"
        context.out.say(f"globofs: {read}; {found}; {here}")
        if result.remaining and not args.repair:
            context.out.say("globofs: `globofs verify --repair` mends what it can, also from peers")
    if result.interrupted or context.cancelled():
        raise Interrupted()
    return FAILED if result.remaining else DONE


def prune(context: Context) -> int:
    """Let old versions go by a policy, then collect what nothing uses."""
    from globofs.sync.results import Policy

    args = context.args
    counts = {
        f"keep_{word}": getattr(args, f"keep_{word}")
        for word in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    }
    for option, count in counts.items():
        if count < 0:
            raise UsageError(f"--{option.replace('_', '-')} wants a number that is not negative")
    within = 0 if args.keep_within is None else parse_span(args.keep_within)
    if not within and not any(counts.values()):
        raise UsageError("say what to keep: --keep-last, --keep-daily, ..., or --keep-within")
    paths = context.paths(args.path)
    for path in paths:
        if path and not context.volume.history_below(path, limit=1):
            raise context.volume.no_such_path(path)
    policy = Policy(**counts, keep_within_seconds=float(within), paths=tuple(paths))
    result = context.volume.prune(policy, args.dry_run, **context.listening)
    if context.out.as_json:
        made = plain(result)
        made["operation"] = operation_id(result.operation)
        context.out.document(made)
    else:
        context.out.problems(result.problems)
        verb = "would be pruned" if args.dry_run else "pruned"
        kept = f"{result.kept:,} kept"
        context.out.say(f"globofs: {plural(result.versions, 'version')} {verb}, {kept}")
        unused = f"{plural(result.blocks, 'block')}, {size_words(result.bytes)}"
        aside = "would be set aside" if args.dry_run else "set aside"
        context.out.say(f"globofs: {unused} without a version, {aside}")
        if result.deleted_blocks:
            gone = f"{plural(result.deleted_blocks, 'block')}, {size_words(result.deleted_bytes)}"
            context.out.say(f"globofs: {gone} deleted")
        for sentence in result.waiting:
            context.out.say(f"globofs: deletion waits: {safe(sentence)}")
    return context.finish(result.problems)
