"""paper."""

from typing import TYPE_CHECKING

import typer

from ser_store.common.display import Percent, format_bytes
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    OnOption,
    SplitOption,
    StoreOption,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_json, print_table

if TYPE_CHECKING:
    from ser_store.reproduction.tables import Paper, Report


def register(app: typer.Typer) -> None:
    app.command()(paper)


@stated
def paper(
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print the tables of Gavali & Verma (2025) from the six runs, beside the published figures."""
    from ser_store.reproduction.tables import paper as compute
    from ser_store_h5.store import Store

    tables = compute(Store(store), on=on, split=split)
    warn_cautions(tables.cautions)
    if json:
        print_json(tables.to_json())
        return
    _print_ensembles(tables)
    _print_models(tables)
    for report in [*(model.report for model in tables.models), *(ensemble.report for ensemble in tables.ensembles)]:
        _print_report(report)


def _print_ensembles(tables: "Paper") -> None:
    typer.echo(f"Table 3: ensembles on {tables.on}, by plurality; corrected: what to expect after choosing the best")
    rows = []
    for ensemble in tables.ensembles:
        found, selection = ensemble.report.metrics, ensemble.selection
        best = "unique best" if ensemble.unique else "one of the best"
        rows.append(
            [
                f"{found.correct}/{found.n}",
                Percent(found.accuracy),
                "–" if ensemble.published_accuracy is None else f"{ensemble.published_accuracy:.2%}",
                None if selection is None else Percent(selection.corrected),
                f"{best} of {ensemble.searched}",
                " ".join(ensemble.members),
            ]
        )
    print_table(["correct", "accuracy", "published", "corrected", "", "members"], rows)
    for note in dict.fromkeys(ensemble.note for ensemble in tables.ensembles if ensemble.note):
        typer.echo(note)


def _print_models(tables: "Paper") -> None:
    from ser_store.reproduction.published import load_published

    printed = load_published().models

    def times(seconds: float | None) -> str:
        return "–" if seconds is None else f"{seconds:,.0f} s"

    typer.echo(f"\nTable 4: models on {tables.on}; Table 5: training times; Table 6: sizes of a checkpoint")
    rows = []
    for model in tables.models:
        published = printed[model.key]
        per_100, to_selected = (model.seconds[name] for name in ("per_100_steps", "to_selected_step"))
        rows.append(
            [
                model.member,
                Percent(model.report.metrics.accuracy),
                f"{published.accuracy:.0%}",
                times(per_100),
                times(published.seconds["per_100_steps"]),
                times(to_selected),
                times(published.seconds["to_selected_step"]),
                times(model.seconds["total"]),
                times(published.seconds["total"]),
                format_bytes(model.bytes),
                published.size,
            ]
        )
    columns = ["accuracy", "100 steps", "to the step", "in all", "size"]
    print_table(["member", *(name for column in columns for name in (column, "published"))], rows)


def _print_report(report: "Report") -> None:
    published = report.published
    typer.echo(f"\n{'' if published is None else published.figure + ': '}{report.title}")
    support = dict(zip(report.classes, report.metrics.per_class.support.tolist(), strict=True))
    width = max(map(len, [*report.classes, "weighted avg"]))
    typer.echo(f"{'':>{width}}  precision    recall  f1-score   support\n")
    for name, row in report.rows.items():
        if name == "macro avg":
            typer.echo(f"\n{'accuracy':>{width}}  {report.metrics.accuracy:29.2f}{report.metrics.n:10}")
        figures = f"{row['precision']:9.2f} {row['recall']:9.2f} {row['f1']:9.2f}"
        typer.echo(f"{name:>{width}}  {figures}{support.get(name, report.metrics.n):10}")
    if report.deviations is not None:
        differing = report.deviations
        typer.echo(f"differs from the paper: {', '.join(differing)}" if differing else "every figure as published")
