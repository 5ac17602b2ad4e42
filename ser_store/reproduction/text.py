"""The paper's tables and reports as a person reads them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ser_store.common.display import Aside, Block, Percent, Table, format_bytes, format_count
from ser_store.evaluation.tables import TwoDecimals, caption_utterances
from ser_store.reproduction.published import FIGURES, load_published

if TYPE_CHECKING:
    from ser_store.reproduction.tables import Paper, Report


class _ReportTable(Table):
    """A classification report, which prints as the paper's do, whatever the terminal."""

    def fit(self, width: int | None = None, *, bold: bool = False) -> str:
        name_width = max(len(str(row[0])) for row in self.rows)
        lines = [f"{self.header[0]:>{name_width}} {''.join(f'{name:>10}' for name in self.header[1:])}\n"]
        for name, *cells in self.format_cells():
            line = f"{name:>{name_width}} {''.join(f'{cell:>10}' for cell in cells)}"
            lines.append(f"\n{line}" if name == "accuracy" else line)
        return "\n".join(lines)


def tabulate_paper(tables: "Paper") -> Iterator[Block]:
    """Yield Tables 3 to 6, and all reports in the paper's form."""
    where = caption_utterances(tables.on, tables.split, tables.models[0].report.metrics.n)
    yield Aside(f"{format_count(len(tables.models), 'model')} of the paper {where}")
    yield from _tabulate_ensembles(tables)
    yield from _tabulate_models(tables)
    for report in [*(model.report for model in tables.models), *(ensemble.report for ensemble in tables.ensembles)]:
        yield from _tabulate_report(report)


def _tabulate_ensembles(tables: "Paper") -> Iterator[Block]:
    yield "Table 3: ensembles by plurality; corrected: what to expect after choosing the best"
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
    highest = {"accuracy": max, "corrected": max}
    yield Table(["correct", "accuracy", "published", "corrected", "", "members"], rows, best=highest)
    yield from dict.fromkeys(ensemble.note for ensemble in tables.ensembles if ensemble.note)


def _tabulate_models(tables: "Paper") -> Iterator[Block]:
    printed = load_published().models

    def times(seconds: float | None) -> str:
        return "–" if seconds is None else f"{seconds:,.0f} s"

    yield "\nTable 4: models; Table 5: training times; Table 6: sizes of a checkpoint"
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
    yield Table(
        ["member", *(name for column in columns for name in (column, "published"))], rows, best={"accuracy": max}
    )


def _tabulate_report(report: "Report") -> Iterator[Block]:
    published = report.published
    yield f"\n{'' if published is None else published.figure + ': '}{report.title}"
    support = dict(zip(report.classes, report.metrics.per_class.support.tolist(), strict=True))
    rows: list[list[object]] = []
    for name, row in report.rows.items():
        if name == "macro avg":
            rows.append(["accuracy", None, None, TwoDecimals(report.metrics.accuracy), report.metrics.n])
        figures = [TwoDecimals(row[figure]) for figure in FIGURES]
        rows.append([name, *figures, support.get(name, report.metrics.n)])
    yield _ReportTable(["", "precision", "recall", "f1-score", "support"], rows)
    if report.deviations is not None:
        differing = report.deviations
        yield (f"differs from the paper: {', '.join(differing)}" if differing else "every figure as published")
