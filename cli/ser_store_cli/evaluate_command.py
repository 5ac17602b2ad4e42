"""evaluate."""

from typing import TYPE_CHECKING, Annotated

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
)
from ser_store_cli.output import Figure, Percent, format_interval, print_json, print_table

if TYPE_CHECKING:
    from ser_store.evaluation import Evaluations, MemberEvaluation


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


@stated
def evaluate(
    members: MembersArgument = None,
    on: OnOption = None,
    by: Annotated[str | None, typer.Option("--by", help="Also by speaker, label or a column.")] = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Accuracy, per-class report and confusion matrix of members. Named members are reported in full."""
    from ser_store.evaluation import evaluate as compute
    from ser_store_h5.store import Store

    evaluations = compute(Store(store), members or [], on=on, split=split, by=by)
    if json:
        print_json(evaluations.to_json())
        return
    print_evaluations(evaluations)
    for member in evaluations.members if members else ():
        _print_report(member)
    if not members:
        typer.echo("\nName a member for its per-class report and confusion matrix.")


def print_evaluations(evaluations: "Evaluations") -> None:
    """One line for each member, and for each group of it."""
    from ser_store.intervals import wilson_interval

    rows = []
    for member in evaluations.members:
        for group, metrics in [("", member.metrics), *member.groups.items()]:
            rows.append(
                [
                    member.member if not group else f"  {evaluations.by} {group}",
                    metrics.n,
                    metrics.correct,
                    Percent(metrics.accuracy),
                    Percent(metrics.balanced_accuracy),
                    format_interval(wilson_interval(metrics.correct, metrics.n)),
                ]
            )
    print_table([f"on {evaluations.on}", "n", "correct", "accuracy", "balanced accuracy", "95% interval"], rows)


def _print_report(member: "MemberEvaluation") -> None:
    scores, metrics = member.metrics.per_class, member.metrics
    per_class = [
        [
            name,
            *(Figure(column[index]) for column in (scores.precision, scores.recall, scores.f1)),
            scores.support[index],
        ]
        for index, name in enumerate(member.classes)
    ]
    averages = [
        [name, Figure(average.precision), Figure(average.recall), Figure(average.f1), metrics.n]
        for name, average in (("macro average", metrics.macro_avg), ("weighted average", metrics.weighted_avg))
    ]
    typer.echo(f"\n{member.member}")
    print_table(["class", "precision", "recall", "f1", "support"], per_class + averages)
    typer.echo("\nconfusion matrix: rows true, columns predicted")
    rows = [[name, *row] for name, row in zip(member.classes, metrics.confusion.tolist(), strict=True)]
    print_table(["", *member.classes], rows)
