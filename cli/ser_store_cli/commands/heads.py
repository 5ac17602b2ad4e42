"""head and sweep."""

from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.completion import complete_members
from ser_store_cli.output import print_either, print_result, show_reports, warn_cautions
from ser_store_h5.errors import StoreError

Number = TypeVar("Number", int, float)
_Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        help="The member whose representations heads are fitted on; several as a,b. Those of a+b stand side by side in "
        "one input.",
        show_default="all that fit",
        autocompletion=complete_members,
    ),
]


@command()
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
    sources: _Sources = None,
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
            "several as a,b. Heads are fitted on all versions, and score their mean.",
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
    class_weight: option.ClassWeight = None,
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
    folds: option.Folds = None,
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
    split: option.Split = None,
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """Fit a lightweight classifier on cached representations, and keep its scores as a member."""
    from ser_store.evaluation import evaluate as compute
    from ser_store.evaluation.tables import tabulate_evaluations
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
        "augment": _split_all(augment),
    }
    kinds = cast(Any, option.split_names(kind))
    fitted = fit(opened, _split_all(sources), kind=kinds, run=run, progress=True, **options)
    on = "all" if cv else f"fold-{fold}" if fold else None
    evaluations = compute(opened, [one.member for one in fitted], on=on, split=split)
    warn_cautions((*evaluations.cautions, *(evaluations.loss_cautions if json else ())))
    document = {"heads": [one.to_json() for one in fitted], **evaluations.to_json()}
    print_either(document, chain(*(one.describe() for one in fitted), tabulate_evaluations(evaluations)), json=json)


@command(form=True)
def sweep(
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="The classifiers, as lda,svm; those of `serstore head`, or all.",
            show_default="all but boosting, which takes longer than the others together",
        ),
    ] = None,
    sources: _Sources = None,
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
    class_weight: option.ClassWeight = None,
    cv: Annotated[
        str | None,
        typer.Option(
            "--cv",
            help="Cross-validate in folds of whole speakers (speaker), of single utterances (utterance), or those of "
            "a split, by its name; several as emobox,speaker.",
            show_default="the split's folds, where it has some",
        ),
    ] = None,
    folds: option.Folds = None,
    fold: Annotated[
        int | None, typer.Option("--fold", help="The fold to judge on, where the split consists of folds.")
    ] = None,
    train_share: Annotated[
        str | None,
        typer.Option(
            "--train-share",
            help="A learning curve: shares of the training utterances of each class to fit on, as 0.1,0.25,0.5,1, "
            "drawn from all training speakers together.",
            show_default="all",
        ),
    ] = None,
    per_class: Annotated[
        str | None,
        typer.Option(
            "--per-class", help="Few-shot: how many training utterances of each class, drawn likewise, as 1,5,10."
        ),
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
    split: option.Split = None,
    store: option.Store = option.HERE,
    form: str | None = None,
    json: bool = False,
) -> None:
    """Fit every kind of head on every source and layer, and say which is the most accurate."""
    from ser_store.heads.classifiers import HEADS
    from ser_store.heads.sweep import sweep as compute

    show_reports()
    kinds: Any = None if kind is None else tuple(HEADS) if kind == "all" else option.split_names(kind)
    found = compute(
        store,
        _split_all(sources),
        kind=kinds,
        layer=layer,
        normalise=option.split_names(normalise),
        tune=tune,
        class_weight=cast(Any, class_weight),
        split=split,
        fold=fold,
        cv=None if cv is None else option.split_names(cv),
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


def _split_all(named: list[str] | None) -> list[str]:
    return [one for text in named or [] for one in option.split_names(text)]


def _parse(name: str, text: str | None, kind: type[Number]) -> list[Number] | None:
    if text is None:
        return None
    try:
        return [kind(one) for one in text.split(",")]
    except ValueError:
        what = "whole numbers, as 1,5,10" if kind is int else "shares, as 0.1,0.5,1"
        raise StoreError(f"`{name}` is {text!r}: expected {what}") from None
