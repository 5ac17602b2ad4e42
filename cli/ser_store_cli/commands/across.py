"""cross and join."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store_cli.options import (
    DEFAULT_STORE,
    AudioOption,
    DebugOption,
    FormatOption,
    JsonOption,
    LabelsOption,
    StoreOption,
    show_reports,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_blocks, print_json, print_result


def register(app: typer.Typer) -> None:
    app.command()(cross)
    app.command()(join)


@stated
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
    class_weight: Annotated[
        str | None,
        typer.Option("--class-weight", help="balanced: every class weighs the same.", show_default="none"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="Fit on the training part of this split, judge on its test part; every store has it.",
            show_default="fit and judge on all; in the same corpus over five folds of whole speakers",
        ),
    ] = None,
    labels: LabelsOption = None,
    audio: AudioOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the head and of the folds.")] = 42,
    form: FormatOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train on each of several corpora and test on each, on the classes that all have."""
    from ser_store.across.cross import cross as compute

    show_reports()
    options: dict[str, Any] = {"kind": kind, "layer": layer, "normalise": normalise, "class_weight": class_weight}
    options |= {"source": source, "model": model, "split": split, "labels": labels, "audio": audio, "seed": seed}
    crossed = compute(stores, progress=True, **options)
    warn_cautions(crossed.list_cautions())
    print_result(crossed, json=json, form=form)


@stated
def join(
    stores: Annotated[list[Path], typer.Argument(help="The stores; one alone with --labels gets other classes.")],
    labels: LabelsOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make one store, --store, of several corpora, with what the same models said of each."""
    from ser_store.across.joining import join as make

    joined = make(stores, store, labels=labels, progress=True)
    if json:
        print_json(joined.to_json())
        return
    print_blocks(joined.describe())
