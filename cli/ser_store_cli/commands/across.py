"""cross and join."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store.common.display import Result
from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.output import show_reports


@command(form=True)
def cross(
    stores: Annotated[list[Path], typer.Argument(help="Two or more stores, of different corpora.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="The representations that a head is fitted on: a member that every store has of the same model. Those "
            "of a+b stand side by side.",
        ),
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="The head, as of `serstore head`.")] = "logreg",
    model: Annotated[
        str | None,
        typer.Option("--model", help="In place of --from: the runs or kept heads of this name, applied to the others."),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer", help="Of members with several layers, the number of one, or 3+4+5.", show_default="the last one"
        ),
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            help="What inputs are standardised on: train (the utterances a head is fitted on), speaker (all of each "
            "speaker's own, without labels) or corpus.",
        ),
    ] = "train",
    class_weight: option.ClassWeight = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="Fit on the training part of this split, judge on its test part; every store has it.",
            show_default="fit and judge on all; in the same corpus over five folds of whole speakers",
        ),
    ] = None,
    labels: option.Labels = None,
    audio: option.Audio = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the head and of the folds.")] = 42,
) -> Result:
    """Train on each of several corpora and test on each, on the classes that all have."""
    from ser_store.across.cross import cross as compute

    show_reports()
    options: dict[str, Any] = {"kind": kind, "layer": layer, "normalise": normalise, "class_weight": class_weight}
    options |= {"source": source, "model": model, "split": split, "labels": labels, "audio": audio, "seed": seed}
    return compute(stores, progress=True, **options)


@command()
def join(
    stores: Annotated[list[Path], typer.Argument(help="The stores; one alone with --labels gets other classes.")],
    labels: option.Labels = None,
    store: option.Store = option.HERE,
) -> Result:
    """Make one store, --store, of several corpora, with what the same models said of each."""
    from ser_store.across.joining import join as make

    return make(stores, store, labels=labels, progress=True)
