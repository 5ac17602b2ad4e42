"""import, ls, info, verify, export and rm."""

from pathlib import Path
from typing import Annotated

import typer

from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    MembersArgument,
    OnOption,
    SplitOption,
    StoreOption,
    stated,
    warn,
)
from ser_store_cli.output import format_bytes, print_json, print_table


def register(app: typer.Typer) -> None:
    app.command(name="import")(import_)
    app.command()(ls)
    app.command()(info)
    app.command()(verify)
    app.command()(export)
    app.command()(rm)


@stated
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, wide (one column for each run@step) or long.")],
    label: Annotated[str | None, typer.Option("--label", help="The column of true labels; creates a store.")] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Import predictions or logits from elsewhere."""
    from ser_store.importing import import_predictions

    done = import_predictions(file, store=store, label=label)
    if json:
        print_json({"store": str(store), "created": done.created, "n": done.n, "members": list(done.members)})
        return
    typer.echo(f"imported {len(done.members)} members on {done.n} utterances: {', '.join(done.members)}")
    if done.created:
        typer.echo(f"made {store}")


@stated
def ls(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the members."""
    from ser_store_h5.store import Store

    opened = Store(store)
    members = opened.members()
    if json:
        backbones = {run: opened.run(run).backbone for run in opened.runs()}
        print_json(
            {
                "members": [
                    {
                        "member": member.name,
                        "run": member.run,
                        "step": member.step,
                        "backbone": backbones[member.run],
                        "n": member.n,
                        "pooled": member.pooled,
                        "logits": member.logits,
                        "bytes": member.bytes,
                    }
                    for member in members
                ]
            }
        )
        return
    if not members:
        typer.echo(f"{store} has no members yet")
        return

    def shape(found: tuple[int, int] | None) -> str:
        return "–" if found is None else f"{found[0]} × {found[1]}"

    print_table(
        ["member", "backbone", "n", "pooled", "logits", "size"],
        [
            [m.name, opened.run(m.run).backbone, m.n, shape(m.pooled), shape(m.logits), format_bytes(m.bytes)]
            for m in members
        ],
    )


@stated
def info(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """What the store holds: corpus, splits, runs, sizes."""
    from ser_store.describing import describe_store

    description = describe_store(store)
    if json:
        print_json(description.to_json())
        return
    corpus = description.corpus
    speakers = "" if corpus.speakers is None else f", {len(set(corpus.speakers.tolist()))} speakers"
    typer.echo(f"{store}: {corpus.name}, {len(corpus)} utterances{speakers}, {format_bytes(description.bytes)}")
    typer.echo(f"classes: {', '.join(corpus.classes)}")
    if corpus.columns:
        typer.echo(f"columns: {', '.join(corpus.columns)}")
    for split in corpus.splits:
        parts = ", ".join(f"{len(corpus.rows(part, split=split))} {part}" for part in corpus.part_names(split))
        typer.echo(f"split {split}{' (default)' if split == corpus.default_split else ''}: {parts}")
    if description.runs:
        typer.echo("")
        print_table(
            ["run", "kind", "backbone", "state", "members", "selected", "size", "checkpoints"],
            [
                [
                    run.record.run,
                    run.record.kind,
                    run.record.backbone,
                    run.record.state,
                    run.members,
                    run.selected,
                    format_bytes(run.bytes),
                    format_bytes(run.checkpoint_bytes) if run.checkpoint_bytes else "–",
                ]
                for run in description.runs
            ],
        )


@stated
def verify(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """Hash and read every file; exit 1 if anything is not as it was written."""
    from ser_store.progress import bar
    from ser_store_h5.verify import verify_store

    found = verify_store(store, watch=lambda runs: bar(runs, total=len(runs), label="verifying"))
    if json:
        print_json(
            {
                "ok": found.ok,
                "files": found.files,
                "bytes": found.bytes,
                "problems": [vars(problem) for problem in found.problems],
                "leftovers": list(found.leftovers),
            }
        )
    else:
        for problem in found.problems:
            typer.echo(f"{problem.file}: {problem.problem}")
        state = "ok" if found.ok else f"{len(found.problems)} problems"
        typer.echo(f"{found.files} files, {format_bytes(found.bytes)}: {state}")
    for leftover in found.leftovers:
        warn(f"{leftover} was left by a writer that was killed; nothing reads it, delete it when nothing is writing")
    if not found.ok:
        raise typer.Exit(1)


@stated
def export(
    file: Annotated[Path, typer.Argument(help="A new FILE.csv, FILE.parquet or FILE.npz.")],
    members: MembersArgument = None,
    what: Annotated[str, typer.Option("--what", help="predicted, logits or pooled (NPZ only).")] = "predicted",
    steps: Annotated[str, typer.Option("--steps", help="selected or all.")] = "selected",
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write members to a table or to arrays."""
    from ser_store.exporting import export as write
    from ser_store_h5.store import Store

    n_members, n = write(Store(store), file, members or [], what=what, steps=steps, on=on, split=split)
    if json:
        print_json({"file": str(file), "what": what, "members": n_members, "n": n})
    else:
        typer.echo(f"wrote {what} of {n_members} members on {n} utterances to {file}")


@stated
def rm(
    name: Annotated[str, typer.Argument(help="run@step, or a run with all it has.")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove a member, or a run with its members, curves and checkpoints."""
    from ser_store_h5.store import Store

    removed = Store(store).remove(name)
    if json:
        print_json({"removed": removed})
    else:
        typer.echo(f"removed {', '.join(removed) or name}")
