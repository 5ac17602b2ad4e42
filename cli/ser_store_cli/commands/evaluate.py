"""evaluate."""

from typing import Annotated, Any

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
    warn_cautions,
)
from ser_store_cli.output import print_json
from ser_store_cli.tables.evaluation import EXPLANATION, name_metrics, print_evaluations, print_report
from ser_store_cli.tables.groups import print_gaps, print_groups
from ser_store_cli.tables.hard import print_hard

__all__ = ["print_evaluations", "register"]

IntervalOption = Annotated[
    str,
    typer.Option("--interval", help="wilson, bootstrap, speaker, or auto: by speaker where speakers are known."),
]
NormaliseOption = Annotated[
    str | None, typer.Option("--normalise", help="Confusion matrix as shares of the true or predicted class, or all.")
]
NamesOption = Annotated[
    str, typer.Option("--names", help="plain, or paper: what the paper calls UA and WA, beside the full names.")
]


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


@stated
def evaluate(
    members: MembersArgument = None,
    on: OnOption = None,
    by: Annotated[str | None, typer.Option("--by", help="Also by speaker, label or a column.")] = None,
    hard: Annotated[bool, typer.Option("--hard", help="List utterances that no member, or only one, gets right.")] = (
        False
    ),
    steps: Annotated[str, typer.Option("--steps", help="The selected step of each run, or all.")] = "selected",
    interval: IntervalOption = "auto",
    normalise: NormaliseOption = None,
    names: NamesOption = "plain",
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Metrics of members, with intervals. Named members are reported in full, with classes and confusion matrix."""
    from ser_store.evaluation import evaluate as compute
    from ser_store.evaluation.hard_utterances import find_hard_utterances
    from ser_store.metrics.confusion import check_normalisation
    from ser_store_h5.store import Store

    called = name_metrics(names)
    if normalise is not None:
        check_normalisation(normalise)
    opened = Store(store)
    evaluations = compute(opened, members or [], on=on, split=split, by=by, interval=interval, steps=steps)
    warn_cautions((*evaluations.cautions, *(evaluations.loss_cautions if json or members else ())))
    found = find_hard_utterances(opened, members or [], on=on, split=split, steps=steps) if hard else None
    if json:
        document: dict[str, Any] = evaluations.to_json(normalise=normalise)
        if names != "plain":
            document["names"] = called
        print_json(document if found is None else {**document, "hard": found.to_json()})
        return
    print_evaluations(evaluations, called)
    if names != "plain":
        typer.echo(EXPLANATION)
    if by is not None and not members:
        print_gaps(evaluations)
    for member in evaluations.members if members else ():
        print_report(member, called, normalise=normalise)
        print_groups(member, called)
    if found is not None:
        print_hard(found)
    if not members:
        typer.echo(
            "\nName a member for all its figures, its classes" + (", its groups" if by else "") + " and confusions."
        )
