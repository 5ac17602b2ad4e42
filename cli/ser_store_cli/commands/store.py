"""ls, info, verify, rm and gc."""

from typing import Annotated, Any

import typer

from ser_store.common.display import Result, format_bytes, format_count
from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.completion import complete_members
from ser_store_cli.output import print_either, print_result, warn


@command()
def ls(store: option.Store = option.HERE, json: bool = False) -> None:
    """List the members: what each run said at each cached step."""
    from ser_store.interchange.listing import ls as list_members

    _print_readable(list_members(store), json=json)


@command()
def info(store: option.Store = option.HERE, json: bool = False) -> None:
    """Describe the store: corpus, splits, runs and sizes."""
    from ser_store.interchange.description import describe_store

    _print_readable(describe_store(store), json=json)


def _print_readable(found: Result, *, json: bool) -> None:
    for problem in found.list_cautions():
        warn(problem)
    print_result(found, json=json)


@command()
def verify(store: option.Store = option.HERE, json: bool = False) -> None:
    """Read every file and compare it with its checksums. Exit code 1 if anything differs."""
    from ser_store_h5.integrity.sweeping import gc
    from ser_store_h5.integrity.verify import verify_store

    found = verify_store(store, progress=True)
    in_use = gc(store, dry_run=True).in_use if found.leftovers else ()
    document: dict[str, Any] = {"ok": found.ok, "files": found.files, "bytes": found.bytes, "seconds": found.seconds}
    document["problems"] = [vars(problem) for problem in found.problems]
    document["leftovers"] = [name for name in found.leftovers if name not in in_use]
    document["in_use"] = [name for name in found.leftovers if name in in_use]
    lines = [f"{problem.file}: {problem.problem}" for problem in found.problems]
    state = "ok" if found.ok else format_count(len(lines), "problem")
    size = f"{format_count(found.files, 'file')}, {format_bytes(found.bytes)} ({format_bytes(found.rate)}/s)"
    print_either(document, [*lines, f"{size}: {state}"], json=json)
    for leftover in found.leftovers:
        if leftover in in_use:
            warn(f"{leftover} is held by a writer that is at work")
        else:
            warn(f"{leftover} was left by a writer that was killed; nothing reads it, `serstore gc` removes it")
    if not found.ok:
        raise typer.Exit(1)


@command()
def rm(
    name: Annotated[str, typer.Argument(help="A member, run@step, or a whole run.", autocompletion=complete_members)],
    store: option.Store = option.HERE,
) -> Result:
    """Remove a member, or a run with all its members, curves and checkpoints."""
    from ser_store.interchange.listing import rm as remove

    removed = remove(store, name)
    if removed.checkpoints is not None:
        warn(f"the checkpoints of {name} are left in {removed.checkpoints}: remove them too, if they are not needed")
    return removed


@command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """Remove temporary files that killed processes left behind. Files of running ones are kept."""
    from ser_store_h5.integrity.sweeping import gc

    swept = gc(store, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    kept = f"; {format_count(len(swept.in_use), 'file')} of writers at work kept" if swept.in_use else ""
    line = f"{verb} {format_count(len(swept.removed), 'leftover')}, {format_bytes(swept.bytes)}{kept}"
    print_either({**vars(swept), "dry_run": dry_run}, [*swept.removed, line], json=json)
