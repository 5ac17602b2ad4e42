"""import, export, pack, unpack, merge, rm and gc."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store.common.display import format_bytes, format_count
from ser_store_cli.completion import complete_members
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    ExcludeOption,
    JsonOption,
    MembersArgument,
    OnOption,
    RuleOption,
    SplitOption,
    StoreOption,
    TieOption,
    find_store,
    stated,
    warn,
    warn_cautions,
)
from ser_store_cli.output import print_blocks, print_json

# Names that one line holds before it only counts them.
_NAMED = 5


def register(app: typer.Typer) -> None:
    app.command(name="import")(import_)
    for command in (export, pack, unpack, merge, rm, gc):
        app.command()(command)


@stated
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="A CSV or Parquet table: one column per model, or one row per utterance and model. With --kind "
            "pooled: FILE.npz, .npy, .parquet, .csv, or a folder of .npy files named by utterance."
        ),
    ],
    label: Annotated[
        str | None, typer.Option("--label", help="The column of true labels. A new store needs it, or --meta.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B,C", help="All classes in order. Any other answer then counts as wrong."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="What the numbers are: logits, probabilities, log-probabilities or scores; or pooled: "
            "representations, for heads.",
            show_default="found out from the numbers",
        ),
    ] = None,
    trained_on: Annotated[
        str | None,
        typer.Option(
            "--trained-on",
            help="What the models were trained on: a part of the split, others (all folds but its own), or nothing.",
            show_default="unknown",
        ),
    ] = None,
    split: SplitOption = None,
    meta: Annotated[
        Path | None,
        typer.Option(
            "--meta",
            metavar="TABLE",
            help="For a new store: a table with a row for each utterance, its label and, if known, speaker, split and "
            "others, as `serstore init --no-audio` reads it.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Import predictions, logits or representations that were made elsewhere."""
    from ser_store.interchange.import_ import import_file

    choices: dict[str, Any] = {"kind": kind, "trained_on": trained_on, "split": split, "meta": meta}
    done = import_file(file, store=store, label=label, classes=_split_names(classes), **choices)
    for line in done.understood:
        warn(line)
    if json:
        print_json(done.to_json())
    else:
        print_blocks(done.describe())


def _split_names(listed: str | None) -> list[str]:
    """Names separated by commas; one that holds a comma stands in double quotes."""
    from csv import reader

    return [] if listed is None else [name.strip() for name in next(reader([listed], skipinitialspace=True))]


@stated
def export(
    file: Annotated[Path, typer.Argument(help="A new FILE.csv, FILE.parquet, FILE.npz or FILE.h5ad.")],
    members: MembersArgument = None,
    what: Annotated[
        str | None,
        typer.Option(
            "--what",
            help="What to write: predicted, logits, pooled (NPZ and h5ad only), or utterances: a row for each, with "
            "path, speaker, label, prediction, right or wrong, and probabilities, of ensembles too (CSV and Parquet).",
            show_default="predicted; everything for h5ad",
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option("--layer", help="The layer whose representations to write.", show_default="the last"),
    ] = None,
    steps: Annotated[str, typer.Option("--steps", help="Which steps of each run: selected or all.")] = "selected",
    exclude: ExcludeOption = None,
    rule: RuleOption = "hard",
    tie: TieOption = "lowest",
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write members to a CSV or Parquet table, NumPy arrays (.npz) or AnnData (.h5ad)."""
    from ser_store.interchange.export import export as write

    choices: dict[str, Any] = {"what": what, "layer": layer, "steps": steps, "on": on, "split": split}
    choices |= {"rule": rule, "tie": tie, "exclude": exclude or []}
    done = write(store, file, members or [], **choices)
    warn_cautions(done.cautions)
    if json:
        print_json(done.to_json())
    else:
        print_blocks(done.describe())


@stated
def pack(
    file: Annotated[Path, typer.Argument(help="The file to write: a new FILE.h5.")],
    members: Annotated[
        list[str] | None,
        typer.Argument(
            help="Members: run@step, or a run, which stands for its selected step.",
            show_default="all members",
            autocompletion=complete_members,
        ),
    ] = None,
    without_pooled: Annotated[
        bool, typer.Option("--without-pooled", help="Leave out the representations. Evaluating and voting need none.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Put a store into one HDF5 file, which all reading commands accept as --store."""
    from ser_store_h5.pack.packing import pack as write
    from ser_store_h5.store import Store

    done = write(
        Store(store),
        file,
        members=members or None,
        with_pooled=not without_pooled,
        progress=True,
    )
    if json:
        print_json({"file": str(file), "members": list(done.members), "bytes": done.bytes})
        return
    typer.echo(f"packed {format_count(len(done.members), 'member')} into {file}, {format_bytes(done.bytes)}")


@stated
def unpack(
    file: Annotated[Path, typer.Argument(help="A packed store, written by `serstore pack`.", callback=find_store)],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Turn a packed file into a store that can be written to, in the new folder --store."""
    from ser_store_h5.pack.packing import unpack as write

    made = write(file, store, progress=True)
    members = made.member_names()
    if json:
        print_json({"store": str(store), "members": members})
        return
    typer.echo(f"unpacked {format_count(len(members), 'member')} into {store}")


@stated
def merge(
    other: Annotated[Path, typer.Argument(help="The other store, of the same corpus: a folder or a packed file.")],
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Give a run, split or column of the other store a new name; repeat for several.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Add the runs, members, splits and columns of another store of the same corpus."""
    from ser_store_h5.pack.merging import merge as add
    from ser_store_h5.store import Store

    source = Store(other)
    done = add(
        Store(store),
        source,
        rename=_parse_renamed(rename or []),
        progress=True,
    )
    for run in done.kept_selections:
        warn(f"{run}: the other store had selected another step; the selection of {store} stays")
    changes = {
        "added": done.added,
        "replaced": done.replaced,
        "identical": done.identical,
        "runs": done.runs,
        "splits": done.splits,
        "columns": done.columns,
    }
    if json:
        print_json({"store": str(store), **{name: list(found) for name, found in changes.items()}})
        return
    said = [f"added {_list(done.added, 'member')}"]
    said += [
        f"added {_list(found, noun)}" for noun, found in (("split", done.splits), ("column", done.columns)) if found
    ]
    said += [f"completed {_list(done.replaced, 'member')}"] if done.replaced else []
    said += [f"{format_count(len(done.identical), 'member')} there already, the same"] if done.identical else []
    typer.echo("; ".join(said))


def _parse_renamed(pairs: list[str]) -> dict[str, str]:
    """New names by old ones."""
    from ser_store.errors import StoreError

    for pair in pairs:
        old, _, new = pair.partition("=")
        if not (old and new):
            raise StoreError(f"--rename {pair}: expected OLD=NEW")
    return dict(pair.split("=", 1) for pair in pairs)


@stated
def rm(
    name: Annotated[str, typer.Argument(help="A member, run@step, or a whole run.", autocompletion=complete_members)],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove a member, or a run with all its members, curves and checkpoints."""
    from ser_store.interchange.listing import rm as remove

    removed = remove(store, name)
    if removed.checkpoints is not None:
        warn(f"the checkpoints of {name} are left in {removed.checkpoints}: remove them too, if they are not needed")
    if json:
        print_json({"removed": list(removed.members)})
    else:
        print_blocks(removed.describe())


@stated
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove temporary files that killed processes left behind. Files of running ones are kept."""
    from ser_store_h5.integrity.sweeping import gc

    swept = gc(store, dry_run=dry_run)
    if json:
        document = {"removed": list(swept.removed), "in_use": list(swept.in_use), "bytes": swept.bytes}
        print_json({**document, "dry_run": dry_run})
        return
    for leftover in swept.removed:
        typer.echo(leftover)
    verb = "would remove" if dry_run else "removed"
    kept = f"; {format_count(len(swept.in_use), 'file')} of writers at work kept" if swept.in_use else ""
    typer.echo(f"{verb} {format_count(len(swept.removed), 'leftover')}, {format_bytes(swept.bytes)}{kept}")


def _list(names: Sequence[str], noun: str) -> str:
    rest = ", …" if len(names) > _NAMED else ""
    return format_count(len(names), noun) + (f" ({', '.join(names[:_NAMED])}{rest})" if names else "")
