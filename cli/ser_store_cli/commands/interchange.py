"""import and export."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store.common.display import Result
from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.output import warn


@command("import")
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
    split: option.Split = None,
    meta: Annotated[
        Path | None,
        typer.Option(
            "--meta",
            metavar="TABLE",
            help="For a new store: a table with a row for each utterance, its label and, if known, speaker, split and "
            "others, as `serstore init --no-audio` reads it.",
        ),
    ] = None,
    store: option.Store = option.HERE,
) -> Result:
    """Import predictions, logits or representations that were made elsewhere."""
    from ser_store.interchange.import_ import import_file

    choices: dict[str, Any] = {"kind": kind, "trained_on": trained_on, "split": split, "meta": meta}
    done = import_file(file, store=store, label=label, classes=_split_names(classes), **choices)
    for line in done.understood:
        warn(line)
    return done


def _split_names(listed: str | None) -> list[str]:
    """Names separated by commas; one that holds a comma stands in double quotes."""
    from csv import reader

    return [] if listed is None else [name.strip() for name in next(reader([listed], skipinitialspace=True))]


@command()
def export(
    file: Annotated[Path, typer.Argument(help="A new FILE.csv, FILE.parquet, FILE.npz or FILE.h5ad.")],
    members: option.Members = None,
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
    steps: option.Steps = "selected",
    exclude: option.Exclude = None,
    rule: option.Rule = "hard",
    tie: option.Tie = "lowest",
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
) -> Result:
    """Write members to a CSV or Parquet table, NumPy arrays (.npz) or AnnData (.h5ad)."""
    from ser_store.interchange.export import export as write

    choices: dict[str, Any] = {"what": what, "layer": layer, "steps": steps, "on": on, "split": split}
    choices |= {"rule": rule, "tie": tie, "exclude": exclude or []}
    return write(store, file, members or [], **choices)
