"""ls, info and verify."""

from typing import TYPE_CHECKING

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
from ser_store_cli.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ser_store.interchange.description import StoreDescription
    from ser_store_h5.findings import FileProblem


def register(app: typer.Typer) -> None:
    app.command()(ls)
    app.command()(info)
    app.command()(verify)


@stated
def ls(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the members: what each run said at each cached step."""
    from ser_store.interchange.listing import ls as list_members
    from ser_store_h5.store import Store

    listing = list_members(Store(store))
    _warn_of(listing.problems)
    if json:
        print_json(listing.to_json())
    else:
        typer.echo(str(listing))


def _warn_of(problems: "Sequence[FileProblem]") -> None:
    """What is damaged is left out of a list, and said."""
    for problem in problems:
        warn(f"{problem.file}: {problem.problem}")


@stated
def info(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """Describe the store: corpus, splits, runs and sizes."""
    from ser_store.interchange.description import describe_store

    description = describe_store(store)
    _warn_of(description.problems)
    if json:
        print_json(description.to_json())
        return
    corpus = description.corpus
    speakers = f", {len(corpus.known_speakers)} speakers" if corpus.known_speakers else ""
    typer.echo(f"{store}: {corpus.name}, {len(corpus)} utterances{speakers}, {format_bytes(description.bytes)}")
    typer.echo(f"classes: {', '.join(corpus.classes)}")
    if corpus.columns:
        typer.echo(f"columns: {', '.join(corpus.columns)}")
    for split in corpus.splits:
        parts = ", ".join(f"{len(corpus.rows(part, split=split))} {part}" for part in corpus.part_names(split))
        typer.echo(f"split {split}{' (default)' if split == corpus.default_split else ''}: {parts}")
    if description.runs:
        _print_sizes(description)


def _print_sizes(description: "StoreDescription") -> None:
    """Sizes by run, by dataset, and beside those of the checkpoints that the members stand for."""
    typer.echo("")
    print_table(
        ["run", "kind", "backbone", "state", "members", "selected", "pooled", "logits", "size", "checkpoints"],
        [
            [
                run.record.run,
                run.record.kind,
                run.record.backbone,
                run.record.state,
                run.members,
                run.selected,
                *(_size(run.dataset_bytes.get(name, 0)) for name in ("pooled", "logits")),
                format_bytes(run.bytes),
                _size(run.checkpoint_bytes),
            ]
            for run in description.runs
        ],
    )
    sizes = [f"{name} {format_bytes(size)}" for name, size in description.dataset_bytes.items()]
    typer.echo(f"\nby dataset: {', '.join(sizes)} (of which corpus {format_bytes(description.corpus_bytes)})")
    if description.comparisons:
        typer.echo("")
        print_table(
            ["backbone", "cached steps", "one checkpoint", "all checkpoints", "here", "ratio"],
            [
                [
                    one.backbone,
                    one.steps,
                    format_bytes(one.checkpoint_bytes),
                    format_bytes(one.checkpoints_bytes),
                    format_bytes(one.store_bytes),
                    f"{one.ratio:,.0f}",
                ]
                for one in description.comparisons
            ],
        )


def _size(size: int) -> str:
    return format_bytes(size) if size else "–"


@stated
def verify(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """Read every file and compare it with its checksums. Exit code 1 if anything differs."""
    from ser_store_h5.integrity.sweeping import sweep
    from ser_store_h5.integrity.verify import verify_store

    found = verify_store(store, progress=True)
    in_use = sweep(store, dry_run=True).in_use if found.leftovers else ()
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
        for problem in found.problems:
            typer.echo(f"{problem.file}: {problem.problem}")
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
