"""`mirror`, `pin`, `unpin`, `evict`, `copies`: where the bytes lie."""

from __future__ import annotations

from globofs.cli.context import Context
from globofs.cli.output import paths_fields, plain, problem_fields
from globofs.speech import plural, rfc3339, safe, shown_path, size_words


def mirror(context: Context) -> int:
    """Pull every block, or write them to a peer."""
    args = context.args
    result = context.volume.mirror(
        context.path(args.path), to=args.to, all_versions=args.all_versions, **context.listening
    )
    counts = plain(result)
    if context.out.as_json:
        context.out.document(counts)
    else:
        context.out.problems(result.problems)
        moved = "written there" if args.to else "pulled"
        size = size_words(result.bytes)
        were = "was" if result.already == 1 else "were"
        already = f"{result.already:,} {were} {'there' if args.to else 'here'} already"
        context.out.say(f"globofs: {plural(result.blocks, 'block')}, {size} {moved}; {already}")
    return context.finish(result.problems, missing=result.missing)


def pin(context: Context) -> int:
    """Keep it here from now on, and fetch it now as far as peers are reachable."""
    path = context.path(context.args.path)
    result = context.volume.pin(path, **context.listening)
    fetched = None
    if result.missing_blocks and not context.cancelled():
        fetched = context.volume.mirror(path, **context.listening)
    problems = result.problems + (fetched.problems if fetched else ())
    if context.out.as_json:
        counts = {**plain(result), **paths_fields(result.pins, "pins")}
        counts["fetched_blocks"] = fetched.blocks if fetched else 0
        counts["fetched_bytes"] = fetched.bytes if fetched else 0
        counts["problems"] = problem_fields(problems)
        context.out.document(counts)
    else:
        context.out.problems(problems)
        got = f"; {size_words(fetched.bytes)} fetched" if fetched else "; all of it is here"
        context.out.say(f"globofs: {shown_path(path)} is pinned{got}")
    return context.finish(problems, missing=fetched.missing if fetched else 0)


def unpin(context: Context) -> int:
    """Take a pin back."""
    result = context.volume.unpin(context.path(context.args.path), **context.listening)
    if context.out.as_json:
        context.out.document({**plain(result), **paths_fields(result.pins, "pins")})
    else:
        context.out.say(f"globofs: {shown_path(result.path)} is not pinned any more")
    return context.finish(result.problems)


def evict(context: Context) -> int:
    """Let go what others safely hold."""
    args = context.args
    result = context.volume.evict(
        context.path(args.path), dry_run=args.dry_run, patient=True, **context.listening
    )
    if context.out.as_json:
        counts = plain(result)
        counts["next_at"] = None if result.next_at is None else rfc3339(result.next_at)
        counts["kept"] = [{"reason": reason, "blocks": blocks} for reason, blocks in result.kept]
        context.out.document(counts)
    else:
        context.out.problems(result.problems)
        done = "would be let go" if args.dry_run else "let go"
        count, size = plural(result.blocks, "block"), size_words(result.bytes)
        context.out.say(f"globofs: {count}, {size} {done}")
        for reason, blocks in result.kept:
            context.out.say(f"globofs: {plural(blocks, 'block')} kept: {safe(reason)}")
        if result.waiting:
            again = plural(result.waiting, "block")
            context.out.say(f"globofs: {again} must be seen at a keeper a second time, in a minute")
    return context.finish(result.problems)


def copies(context: Context) -> int:
    """Who holds the content of a path."""
    found = context.volume.copies(context.path(context.args.path), **context.listening)
    if context.out.as_json:
        context.out.rows(plain(one) for one in found)
        return context.finish(())
    context.out.table(
        [
            (
                safe(one.name),
                f"{one.blocks:,}/{plural(one.total, 'block')}",
                one.state,
                {True: "keeper", False: "cache only", None: "not announced"}[one.keeper],
                safe(one.reason),
            )
            for one in found
        ]
    )
    return context.finish(())
