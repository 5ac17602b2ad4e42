"""sweep."""

from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from ser_store_cli.completion import complete_members
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    FormatOption,
    JsonOption,
    SplitOption,
    StoreOption,
    show_reports,
    split_names,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_result
from ser_store_h5.errors import StoreError

Number = TypeVar("Number", int, float)


def register(app: typer.Typer) -> None:
    app.command()(sweep)


@stated
def sweep(
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="The classifiers, as lda,svm; those of `serstore head`, or all.",
            show_default="all but boosting, which takes longer than the others together",
        ),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="The member whose representations heads are fitted on; several as a,b. Those of a+b stand side by "
            "side in one input.",
            show_default="all that fit",
            autocompletion=complete_members,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            help="Of members with several layers: the number of one, some as 3,4,5, or all; those of 3+4+5 stand side "
            "by side in one input.",
            show_default="the last one",
        ),
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            help="What inputs are standardised on: train, speaker or corpus, as for `serstore head`; several as "
            "train,speaker.",
        ),
    ] = "train",
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose the settings of each head from a small grid, by accuracy over speakers of the training "
            "utterances alone, for every fold anew.",
        ),
    ] = False,
    class_weight: Annotated[
        str | None,
        typer.Option("--class-weight", help="balanced: every class weighs the same.", show_default="none"),
    ] = None,
    cv: Annotated[
        str | None,
        typer.Option(
            "--cv",
            help="Cross-validate in folds of whole speakers (speaker), of single utterances (utterance), or those of "
            "a split, by its name; several as emobox,speaker.",
            show_default="the split's folds, where it has some",
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Number of folds that --cv draws.", show_default="5")
    ] = None,
    fold: Annotated[
        int | None, typer.Option("--fold", help="The fold to judge on, where the split consists of folds.")
    ] = None,
    train_share: Annotated[
        str | None,
        typer.Option(
            "--train-share",
            help="A learning curve: shares of the training utterances of each class to fit on, as 0.1,0.25,0.5,1.",
            show_default="all",
        ),
    ] = None,
    per_class: Annotated[
        str | None,
        typer.Option("--per-class", help="Few-shot: how many training utterances of each class, as 1,5,10."),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", help="How often each share below 1, and each number per class, is drawn.")
    ] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Seed of classifiers, folds and draws.")] = 42,
    keep: Annotated[
        int, typer.Option("--keep", help="Make members of so many of the best, as `serstore head` does.")
    ] = 0,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            help="The file that figures are added to as they come, and an interrupted sweep goes on from.",
            show_default="NAME.sweep.jsonl beside the store",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes that fit.", show_default="one for each core")
    ] = None,
    top: Annotated[int, typer.Option("--top", help="How many heads to show.", min=1)] = 20,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit every kind of head on every source and layer, and say which is the most accurate."""
    from ser_store.heads.classifiers import HEADS
    from ser_store.heads.sweep import sweep as compute

    show_reports()
    kinds: Any = None if kind is None else tuple(HEADS) if kind == "all" else split_names(kind)
    found = compute(
        store,
        [one for given in sources or [] for one in split_names(given)],
        kind=kinds,
        layer=layer,
        normalise=split_names(normalise),
        tune=tune,
        class_weight=cast(Any, class_weight),
        split=split,
        fold=fold,
        cv=None if cv is None else split_names(cv),
        folds=folds,
        train_share=_parse("train_share", train_share, float),
        per_class=_parse("per_class", per_class, int),
        repeats=repeats,
        seed=seed,
        keep=keep,
        table=table,
        workers=workers,
        progress=True,
    )
    warn_cautions(found.cautions)
    print_result(found, json=json, form=form, blocks=found.describe(top))


def _parse(name: str, text: str | None, kind: type[Number]) -> list[Number] | None:
    if text is None:
        return None
    try:
        return [kind(one) for one in text.split(",")]
    except ValueError:
        what = "whole numbers, as 1,5,10" if kind is int else "shares, as 0.1,0.5,1"
        raise StoreError(f"`{name}` is {text!r}: expected {what}") from None
