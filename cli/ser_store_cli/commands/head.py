"""head."""

from typing import Annotated, Any, cast

import typer

from ser_store_cli.completion import complete_members
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    SplitOption,
    StoreOption,
    show_reports,
    split_names,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_blocks, print_json


def register(app: typer.Typer) -> None:
    app.command()(head)


@stated
def head(
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="The classifier: logreg (logistic regression), lda (linear discriminant analysis), svm, linear-svm, "
            "ridge, knn (nearest neighbours), forest, extra-trees, boosting, mlp (a small neural network) or centroid; "
            "several as lda,svm.",
        ),
    ] = "logreg",
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="The member whose representations it is fitted on; several as a,b. Those of a+b stand side by side in "
            "one input.",
            show_default="all that fit",
            autocompletion=complete_members,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            help="Of members with several layers: the number of one, some as 3,4,5, or all; a head each. Those of "
            "3+4+5 stand side by side in one input.",
            show_default="the last one",
        ),
    ] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            "--augment",
            help="A member that holds the same recordings in another version, as of `serstore extract --speed 0.9`; "
            "repeat for several. Heads are fitted on all versions, and score their mean.",
            show_default="none",
            autocompletion=complete_members,
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose settings from a small grid, and the kind and the layer where several are given, by accuracy "
            "over speakers of the training utterances alone, for every fold anew.",
        ),
    ] = False,
    combine: Annotated[
        str | None,
        typer.Option(
            "--combine",
            help="Make one member of the heads of all kinds, layers and sources given: average (of their "
            "log-probabilities) or pool (weights fitted by log-loss, as --tune chooses).",
            show_default="a member each",
        ),
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            help="What inputs are standardised on: train (the utterances it is fitted on), speaker (all of each "
            "speaker's own, those that are scored among them, without labels) or corpus (all there are).",
        ),
    ] = "train",
    pca: Annotated[
        float | None,
        typer.Option(
            "--pca",
            help="Fit on so many principal components of the inputs, or, below 1, on those that hold this share of the "
            "variance; found on the training utterances.",
        ),
    ] = None,
    class_weight: Annotated[
        str | None,
        typer.Option("--class-weight", help="balanced: every class weighs the same.", show_default="none"),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="The name of the head's run.", show_default="SOURCE-KIND")
    ] = None,
    cv: Annotated[
        str | None,
        typer.Option(
            "--cv",
            help="Cross-validate over all utterances, in folds of whole speakers (speaker), of single utterances "
            "(utterance), or those of a split that consists of folds, by its name.",
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Number of folds that --cv draws.", show_default="5")
    ] = None,
    fold: Annotated[
        int | None, typer.Option("--fold", help="The fold to score, where the split consists of folds.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the classifier and of the folds.")] = 42,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            "--repeats",
            help="Make each head with the seeds 1 to N, which draw other folds each, and say how far they differ.",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep what was fitted beside the run, for `serstore predict`, and for other stores by "
            "`serstore evaluate --in`.",
        ),
    ] = False,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit a lightweight classifier on cached representations, and keep its scores as a member."""
    from ser_store.evaluation import evaluate as compute
    from ser_store.evaluation.tables.evaluation import tabulate_evaluations
    from ser_store.heads.heads import head as fit
    from ser_store_h5.store import Store

    show_reports()
    opened = Store(store)
    options: dict[str, Any] = {"split": split, "fold": fold, "cv": cv, "folds": folds, "seed": seed, "seeds": seeds}
    options |= {
        "normalise": normalise,
        "pca": pca,
        "keep": keep,
        "class_weight": class_weight,
        "tune": tune,
        "combine": combine,
        "layer": layer,
        "augment": augment or [],
    }
    kinds = split_names(kind)
    named = [one for given in sources or [] for one in split_names(given)]
    fitted = fit(opened, named, kind=cast(Any, kinds), run=run, progress=True, **options)
    on = "all" if cv else f"fold-{fold}" if fold else None
    evaluations = compute(opened, [one.member for one in fitted], on=on, split=split)
    warn_cautions((*evaluations.cautions, *(evaluations.loss_cautions if json else ())))
    if json:
        print_json({"heads": [one.to_json() for one in fitted], **evaluations.to_json()})
        return
    for one in fitted:
        print_blocks(one.describe())
    print_blocks(tabulate_evaluations(evaluations))
