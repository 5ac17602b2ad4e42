"""compare."""

from typing import TYPE_CHECKING, Annotated

import typer

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
from ser_store_cli.output import Percent, print_json, print_table
from ser_store_cli.tables.evaluation import describe_intervals, format_p, head_intervals, list_interval_cells

if TYPE_CHECKING:
    from ser_store.evaluation.comparing import Comparison

# Two longer names would make the line of a pair wider than 120 characters: they are numbered then.
MAX_NAME = 13
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Two or more members, or ensembles such as a@1+b@2+c@3.", show_default="every run"),
]


def register(app: typer.Typer) -> None:
    app.command()(compare)


@stated
def compare(
    names: NamesArgument = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Compare all others with this one only; best is the most accurate.")
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            "--unit", help="What counts as independent: utterance, speaker, or auto (speakers where they are known)."
        ),
    ] = "auto",
    rule: Annotated[
        str, typer.Option("--rule", help="How ensembles vote: hard (majority), soft (mean probability) or soft-log.")
    ] = "hard",
    tie: Annotated[
        str, typer.Option("--tie", help="How hard voting breaks ties: lowest, confidence, best or abstain.")
    ] = ("lowest"),
    alpha: Annotated[float, typer.Option("--alpha", help="Significance level of the verdicts.")] = 0.05,
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Test whether one member or ensemble is better than another on the same utterances."""
    from ser_store.evaluation.comparing import compare as compute
    from ser_store_h5.store import Store

    comparison = compute(
        Store(store), names or [], on=on, split=split, against=against, unit=unit, rule=rule, tie=tie, alpha=alpha
    )
    warn_cautions(comparison.cautions)
    if json:
        print_json(comparison.to_json())
    else:
        print_comparison(comparison)


def print_comparison(comparison: "Comparison") -> None:
    """What is compared, whether they differ at all, and every pair with a verdict."""
    n = comparison.compared[0].metrics.n
    numbered = any(len(one.name) > MAX_NAME for one in comparison.compared)
    _print_compared(comparison, numbered=numbered)
    described = describe_intervals([one.interval for one in comparison.compared])
    typer.echo(f"\n{n} utterances; 95% intervals: {described}")
    if any(len(one.members) > 1 for one in comparison.compared):
        ties = f", ties to {comparison.tie}" if comparison.rule == "hard" else ""
        typer.echo(f"ensembles by {comparison.rule} voting{ties}")
    if comparison.cochran is not None:
        test = comparison.cochran
        verdict = "they differ" if test.p < comparison.alpha else "cannot tell whether they differ"
        assumed = " with utterances as independent" if comparison.unit == "speaker" else ""
        typer.echo(f"Cochran's Q {test.q:.2f}, {test.df} degrees of freedom, p {format_p(test.p)}{assumed}: {verdict}")
    typer.echo("")
    _print_pairs(comparison, numbered=numbered)


def _print_compared(comparison: "Comparison", *, numbered: bool) -> None:
    intervals = [one.interval for one in comparison.compared]
    cells = list_interval_cells(intervals)
    rows = [
        [
            place if numbered else one.name,
            f"{one.metrics.correct}/{one.metrics.n}",
            Percent(one.metrics.accuracy),
            *cells[place - 1],
            Percent(one.metrics.balanced_accuracy),
            *([one.name] if numbered else []),
        ]
        for place, one in enumerate(comparison.compared, start=1)
    ]
    figures = ["correct", "accuracy", *head_intervals(intervals), "balanced accuracy"]
    on = f"on {comparison.on}"
    print_table(["", *figures, on] if numbered else [on, *figures], rows)


def _print_pairs(comparison: "Comparison", *, numbered: bool) -> None:
    places = {one.name: str(place) for place, one in enumerate(comparison.compared, start=1)}
    several = len(comparison.pairs) > 1
    by_speaker = comparison.unit == "speaker"
    rows = []
    for pair in comparison.pairs:
        test = pair.test
        first, second = (places[name] if numbered else name for name in (test.first, test.second))
        rows.append(
            [
                first,
                test.verdict,
                second,
                test.only_first,
                test.only_second,
                f"{test.difference * 100:+.2f}",
                f"[{test.interval.low * 100:+.1f}, {test.interval.high * 100:+.1f}]",
                *([format_p(pair.p_mcnemar)] if by_speaker else []),
                format_p(test.p),
                *([format_p(test.p_holm)] if several else []),
            ]
        )
    header = ["first", "is", "second", "only first", "only second", "points", "95% interval"]
    header += ["McNemar", "p by speaker"] if by_speaker else ["McNemar"]
    print_table([*header, *(["Holm"] if several else [])], rows)
    typer.echo("\nonly first, only second: right for the one and wrong for the other")
    typer.echo("points: accuracy of the first less that of the second")
    typer.echo(_describe_verdicts(comparison))


def _describe_verdicts(comparison: "Comparison") -> str:
    n_pairs = len(comparison.pairs)
    tested = (
        f"swapping {comparison.n_units} speakers whole"
        if comparison.unit == "speaker"
        else "McNemar's exact test, as if utterances were independent"
    )
    corrected = f", with Holm's correction for {n_pairs} pairs" if n_pairs > 1 else ""
    return f"verdict: p below {comparison.alpha:g} by {tested}{corrected}"
