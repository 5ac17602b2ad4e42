"""ls, info and verify."""

import typer

from ser_store.common.display import format_bytes
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    StoreOption,
    stated,
    warn,
)
from ser_store_cli.output import print_blocks, print_json


def register(app: typer.Typer) -> None:
    app.command()(ls)
    app.command()(info)
    app.command()(verify)


@stated
def ls(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the members: what each run said at each cached step."""
    from ser_store.interchange.listing import ls as list_members

    listing = list_members(store)
    for problem in listing.list_cautions():
        warn(problem)
    if json:
        print_json(listing.to_json())
    else:
        print_blocks(listing.describe())


@stated
def info(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """Describe the store: corpus, splits, runs and sizes."""
    from ser_store.interchange.description import describe_store

    description = describe_store(store)
    for problem in description.list_cautions():
        warn(problem)
    if json:
        print_json(description.to_json())
    else:
        print_blocks(description.describe())


@stated
def verify(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """Read every file and compare it with its checksums. Exit code 1 if anything differs."""
    from ser_store_h5.integrity.sweeping import gc
    from ser_store_h5.integrity.verify import verify_store

    found = verify_store(store, progress=True)
    in_use = gc(store, dry_run=True).in_use if found.leftovers else ()
    if json:
        print_json(
            {
                "ok": found.ok,
                "files": found.files,
                "bytes": found.bytes,
                "seconds": found.seconds,
                "problems": [vars(problem) for problem in found.problems],
                "leftovers": [name for name in found.leftovers if name not in in_use],
                "in_use": [name for name in found.leftovers if name in in_use],
            }
        )
    else:
        print_blocks(f"{problem.file}: {problem.problem}" for problem in found.problems)
        state = "ok" if found.ok else "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
        files = "1 file" if found.files == 1 else f"{found.files} files"
        typer.echo(f"{files}, {format_bytes(found.bytes)} ({format_bytes(found.rate)}/s): {state}")
    for leftover in found.leftovers:
        if leftover in in_use:
            warn(f"{leftover} is held by a writer that is at work")
        else:
            warn(f"{leftover} was left by a writer that was killed; nothing reads it, `serstore gc` removes it")
    if not found.ok:
        raise typer.Exit(1)
