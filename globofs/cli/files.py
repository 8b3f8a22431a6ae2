"""`add`, `cat`, `restore`, `rm`, `mv`, `resolve`: what goes into the volume and comes out."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from globofs.cli.context import Context, writable_target
from globofs.cli.history import report_edit
from globofs.cli.output import operation_id, path_fields, paths_fields, problem_fields
from globofs.errors import NoSuchPath, NotAFile, UsageError
from globofs.speech import plural, safe, shown_path, size_words, where_words

if TYPE_CHECKING:
    from globofs.store.views import Version
    from globofs.sync.results import AddResult, EditResult, RestorePlan, RestoreResult


# --- in ---------------------------------------------------------------------------------------


def add_fields(result: AddResult) -> dict[str, Any]:
    """What an `add` did, for JSON."""
    fields = asdict(result)
    fields["operation"] = operation_id(result.operation)
    fields["problems"] = problem_fields(result.problems)
    fields["versions"] = result.versions
    return fields


def add_words(result: AddResult) -> str:
    """What an `add` did, in one sentence."""
    parts = [f"{result.added:,} new", f"{result.changed:,} changed"]
    if result.deleted:
        parts.append(f"{result.deleted:,} deleted")
    if result.renamed:
        were = "was" if result.renamed == 1 else "were"
        parts.append(f"{result.renamed:,} of the new {were} renamed")
    if result.skipped:
        parts.append(f"{result.skipped:,} skipped")
    sizes = f"{size_words(result.new_bytes)} new of {size_words(result.bytes)}"
    return f"{plural(result.files, 'file')} looked at: {', '.join(parts)}; {sizes}"


def add(context: Context) -> int:
    """Snapshot files or trees."""
    from globofs.format.names import parse_path

    args = context.args
    if "" in args.sources:
        raise UsageError("a source may not be empty")
    result = context.volume.add(
        args.sources,
        to=parse_path(args.to),
        delete=args.delete,
        checksum=args.checksum,
        exclude=args.exclude,
        yes=args.yes,
        **context.listening,
    )
    if context.out.as_json:
        context.out.document(add_fields(result))
    else:
        context.out.problems(result.problems)
        context.out.say(f"globofs: {add_words(result)}")
    return context.finish(result.problems)


def rm(context: Context) -> int:
    """Delete; history is kept."""
    paths = context.paths(context.args.paths)
    if b"" in paths:
        raise UsageError("the whole volume is not deleted; name what shall go")
    return report_edit(context, context.volume.rm(paths, **context.listening), "deleted")


def mv(context: Context) -> int:
    """Rename. Into an existing directory the name is kept, as mv(1) does."""
    from globofs.format.names import join, name, parse_path

    old, new = context.path(context.args.old), parse_path(context.args.new)
    if not old:
        raise UsageError("the volume itself cannot be renamed")
    entry = context.volume.view().entry(new)
    if not new or (entry is not None and entry.kind == "directory"):
        new = join(new, name(old))
    return report_edit(context, context.volume.mv(old, new, **context.listening), "renamed")


def resolve(context: Context) -> int:
    """Settle conflicts."""
    args = context.args
    paths = context.paths(args.paths)
    if args.version is None and args.with_file is None:
        paths = [one for path in paths for one in _in_conflict(context, path)]
        result = context.volume.resolve(paths, keep_both=True, **context.listening)
        return _settled(context, result)
    if len(paths) != 1:
        raise UsageError("--version and --with settle one PATH at a time")
    if args.with_file is not None:
        result = context.volume.resolve(paths, with_file=args.with_file, **context.listening)
    else:
        version = context.version(paths[0], args.version)
        result = context.volume.resolve(paths, version=version.id, **context.listening)
    return _settled(context, result)


def _settled(context: Context, result: EditResult) -> int:
    if result.versions or context.out.as_json:
        return report_edit(context, result, "settled")
    context.out.say("globofs: nothing was settled")
    return context.finish(result.problems)


def _in_conflict(context: Context, path: bytes) -> list[bytes]:
    """What is to be settled at `path`: for a directory, every conflict below it."""
    from globofs.format.names import is_below

    entry = context.volume.view().entry(path)
    if entry is None or entry.kind != "directory":
        return [path]
    below = [one.path for one in context.volume.conflicts() if is_below(one.path, path)]
    return below or [path]


# --- out --------------------------------------------------------------------------------------


def pick(context: Context, path: bytes) -> Version:
    """The version of a file that `--version` or `--at` names, else the present one. Raises
    NoSuchPath, NoSuchVersion, NotAFile."""
    if context.args.version is not None:
        return context.version(path, context.args.version)
    at = context.time(context.args.at)
    view = context.volume.view(at)
    entry = view.entry(path)
    if entry is None or entry.kind == "deleted":
        raise context.volume.no_such_path(path, context.args.at or "")
    if entry.kind == "directory" or not entry.version:
        raise NotAFile(path=shown_path(path), kind="directory")
    version = view.version(path)
    if version is None:
        raise context.volume.no_such_path(path)
    return version


def cat(context: Context) -> int:
    """Bytes to stdout, pulling what is missing."""
    path = context.path(context.args.path)
    version = pick(context, path)
    if version.kind == "deleted":
        raise NoSuchPath(path=path, hint=": deleted in that version")
    if version.kind == "symlink":
        context.out.bytes(version.target)
        return 0
    if version.kind != "file":
        raise NotAFile(path=shown_path(path), kind=version.kind)
    for piece in context.volume.read(version, **context.listening):
        context.out.bytes(piece)
        if context.cancelled():
            break
    return context.finish(())


def restore(context: Context) -> int:
    """Old content becomes current, or goes out to `--to`."""
    args = context.args
    paths = context.paths(args.paths)
    options: dict[str, Any] = {
        "version": None,
        "at": context.time(args.at),
        "to": None if args.to is None else writable_target(args.to),
        "delete": args.delete,
        "force": args.force,
    }
    if args.version is not None:
        if len(paths) != 1 or not paths[0]:
            raise UsageError("--version restores one file; name one PATH")
        options["version"] = context.version(paths[0], args.version)
    if args.force and args.to is None:
        raise UsageError("--force is for --to: in the volume nothing is ever overwritten")
    try:
        plan = context.volume.plan_restore(paths, **options)
    except NoSuchPath:
        if args.at is None or len(paths) != 1:
            raise
        raise context.volume.no_such_path(paths[0], args.at) from None
    if args.dry_run:
        return _show_plan(context, plan)
    result = context.volume.restore(paths, **options, plan=plan, **context.listening)
    return _report_restore(context, result)


def _show_plan(context: Context, plan: RestorePlan) -> int:
    if context.out.as_json:
        context.out.document(_plan_fields(plan))
        return context.finish(plan.problems)
    for item in plan.items:
        if item.action == "same":
            continue
        target = f" -> {safe(item.target)}" if item.target else ""
        reason = f"  ({safe(item.reason)})" if item.reason else ""
        context.out.line(f"{item.action:<8}{shown_path(item.path)}{target}{reason}")
    gone = [item for item in plan.items if item.action == "delete"]
    written = plan.files - len(gone)
    words = f"would write {plural(written, 'file')}, {size_words(plan.bytes)}"
    if gone:
        words += f", and delete {plural(len(gone), 'file or directory', 'files and directories')}"
    context.out.say(f"globofs: {words}")
    if plan.fetch_blocks:
        whom = where_words(name for name, _ in plan.sources)
        size = size_words(plan.fetch_bytes)
        context.out.say(f"globofs: {size} to fetch first, expected from {whom}")
    if plan.outside_overwrites:
        files = plural(plan.outside_overwrites, "file")
        context.out.say(f"globofs: {files} outside the volume would be overwritten")
    return context.finish(plan.problems)


def _plan_fields(plan: RestorePlan) -> dict[str, Any]:
    from globofs.speech import version_number

    return {
        "dry_run": True,
        "files": plan.files,
        "bytes": plan.bytes,
        "fetch_blocks": plan.fetch_blocks,
        "fetch_bytes": plan.fetch_bytes,
        "sources": [{"node_name": name, "bytes": size} for name, size in plan.sources],
        "outside_overwrites": plan.outside_overwrites,
        "items": [
            {
                **path_fields(item.path),
                "action": item.action,
                "version": version_number(item.version.time) if item.version else None,
                **(
                    path_fields(os.fsencode(item.target), "target")
                    if item.target
                    else {"target": None}
                ),
                "reason": item.reason,
            }
            for item in plan.items
        ],
        "problems": problem_fields(plan.problems),
    }


def _report_restore(context: Context, result: RestoreResult) -> int:
    if context.out.as_json:
        context.out.document(
            {
                "files": result.files,
                "bytes": result.bytes,
                "versions": result.versions,
                "deleted": result.deleted,
                "same": result.same,
                "fetched_bytes": result.fetched_bytes,
                "operation": operation_id(result.operation),
                **paths_fields(result.missing, "missing"),
                "problems": problem_fields(result.problems),
            }
        )
    else:
        context.out.problems(result.problems)
        where = ", in the volume (--to writes it out)" if result.versions else ""
        where += f", {plural(result.deleted, 'file')} deleted" if result.deleted else ""
        where += f", {result.same:,} as they are" if result.same else ""
        size = size_words(result.bytes)
        context.out.say(f"globofs: restored {plural(result.files, 'file')}, {size}{where}")
    return context.finish(result.problems, missing=len(result.missing))
