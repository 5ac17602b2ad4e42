"""How a vote is printed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from ser_store.common.display import Figure, Percent, format_interval, maybe_figure
from ser_store_cli.output import print_table

if TYPE_CHECKING:
    from ser_store.ensembles import Distribution, RankedEnsemble, VoteReport
    from ser_store.ensembles.diversity import DiversityReport

# Bars of a histogram on one line; and candidates of whom all pairs are shown.
_BINS = 48
_FEW = 8
_BARS = "▁▂▃▄▅▆▇█"


def print_vote(report: "VoteReport") -> None:
    """The best ensembles, how all are distributed, the gain, and what is left of it after correction."""
    typer.echo(_describe_vote(report))
    if len(report.found) > 1:
        _print_ensembles(report, [report.best_by_size[one.k][0] for one in report.found])
        typer.echo("\nof all sizes:")
    _print_ensembles(report, report.ensembles)
    typer.echo("")
    if report.distribution is not None and report.searched > 1:
        print_distribution(report.distribution, n=report.ensembles[0].chosen_score.n)
    _print_search(report)
    name, accuracy = report.best_single
    typer.echo(
        f"best member alone: {name} with {Percent(accuracy)}; gain of the best ensemble: "
        f"{report.gain * 100:+.2f} points"
    )
    _print_selection(report)
    if report.diversity is not None:
        print_diversity(report.diversity)


def _describe_vote(report: "VoteReport") -> str:
    options = report.options
    sizes = " or ".join(map(str, report.ks))
    ties = f", ties to {options.tie}" if options.voting_rule == "hard" else ""
    weights = f", weighted by {options.weights.description}" if options.weights is not None else ""
    chosen = f", chosen on {report.chosen_on}" if report.chosen_on is not None else ""
    best = ", best by balanced accuracy" if options.objective != "accuracy" else ""
    voting = f"{options.voting_rule} voting{ties}{weights}{best}"
    return f"{sizes} of {len(report.candidates)} members on {report.on}{chosen}, {voting}"


def _print_ensembles(report: "VoteReport", ensembles: Sequence["RankedEnsemble"]) -> None:
    ties = "abstained" if report.options.tie == "abstain" else "ties"
    header = ["", "correct", "accuracy", "balanced accuracy", "95% interval", ties, "gain", "members"]
    if report.chosen_on is not None:
        header.insert(1, f"on {report.chosen_on}")
    rows = []
    for place, ensemble in enumerate(ensembles, start=1):
        score = ensemble.score
        row: list[object] = [
            place,
            f"{score.correct}/{score.n}",
            Percent(score.accuracy),
            Percent(score.balanced_accuracy),
            format_interval(ensemble.interval.bounds),
            score.ties,
            f"{ensemble.gain * 100:+.2f}",
            " ".join(ensemble.members),
        ]
        if report.chosen_on is not None:
            row.insert(1, Percent(ensemble.chosen_score.accuracy))
        rows.append(row)
    print_table(header, rows)


def print_distribution(distribution: "Distribution", *, n: int) -> None:
    """Quantiles, and a histogram of one line."""
    lowest, *quartiles, highest = distribution.find_quantiles()
    typer.echo(
        f"right of {n}, of all {sum(distribution.ensembles):,} ensembles: lowest {lowest}, quartiles "
        f"{', '.join(map(str, quartiles))}, highest {highest}"
    )
    if lowest < highest:
        typer.echo(f"  {lowest} {draw_histogram(distribution)} {highest}")


def draw_histogram(distribution: "Distribution") -> str:
    """A bar for each number of utterances right, or for a few of them together; a space where there is none."""
    lowest, highest = distribution.correct[0], distribution.correct[-1]
    per_bin = -(-(highest - lowest + 1) // _BINS)
    counts = [0] * ((highest - lowest) // per_bin + 1)
    for correct, ensembles in zip(distribution.correct, distribution.ensembles, strict=True):
        counts[(correct - lowest) // per_bin] += ensembles
    most = max(counts)
    return "".join(_BARS[(count * len(_BARS) - 1) // most] if count else " " for count in counts)


def _print_search(report: "VoteReport") -> None:
    rate = f" ({report.searched / report.seconds:,.0f} a second)" if report.searched > 10**6 else ""
    noun = "ensemble" if report.searched == 1 else "ensembles"
    typer.echo(f"{report.searched:,} {noun} searched in {report.seconds:.3g} s{rate}")
    if report.search == "greedy":
        typer.echo(
            "greedy forward selection, with and without replacement: nothing proves that there is no better ensemble"
        )
    for one in report.found if report.search == "pruned" else ():
        typer.echo(
            f"proved: no better ensemble of {one.k} exists among {one.total:,}"
            if one.proved
            else f"not proved: of {one.total:,} ensembles of {one.k} none has more than {one.bound} utterances right"
        )


def _print_selection(report: "VoteReport") -> None:
    selection, interval = report.selection, report.ensembles[0].interval
    typer.echo(f"95% intervals: {interval.method}")
    if report.note:
        typer.echo(report.note)
    if selection is None:
        return
    what = "" if report.options.objective == "accuracy" else " (balanced accuracy)"
    if report.chosen_on is not None:
        typer.echo(
            f"{selection.method}, where it has {Percent(selection.apparent)}; {Percent(selection.corrected)} on "
            f"{report.on}{what} needs no correction"
        )
    elif selection.repeats:
        bounds = "" if selection.bounds is None else f" {format_interval(selection.bounds)}"
        typer.echo(
            f"chosen on the utterances it is reported on: apparent {Percent(selection.apparent)}, corrected "
            f"{Percent(selection.corrected)}{bounds}{what} ({selection.method}, {selection.repeats} repeats)"
        )
        if report.options.weights is not None and report.options.weights.is_derived:
            typer.echo("the weights follow from the same utterances: they are chosen, and corrected for, as well")


def print_diversity(diversity: "DiversityReport") -> None:
    """What each member brings, and how differently pairs err: of all candidates if they are few, else of the best."""
    if diversity.contributions is not None:
        rows: list[list[Any]] = [
            [name, Percent(row.accuracy), Percent(row.accuracy_without), f"{row.gain * 100:+.2f}", row.gained, row.lost]
            for name, row in zip(diversity.members, diversity.contributions.rows, strict=True)
        ]
        typer.echo("\nwhat each member of the best ensemble brings")
        print_table(["member", "alone", "ensemble without", "gain", "gained", "lost"], rows)
    names = diversity.candidates if len(diversity.candidates) <= _FEW else tuple(dict.fromkeys(diversity.members))
    measures = ("disagreement", "q_statistic", "double_fault", "kappa")
    pairs: list[list[Any]] = [
        [" ".join(pair["members"]), *(maybe_figure(pair[measure]) for measure in measures)]
        for pair in diversity.list_pairs(names)
    ]
    ensemble = diversity.ensemble
    typer.echo("\nhow differently pairs err")
    print_table(
        ["pair", "disagreement", "Q statistic", "double fault", "kappa"],
        [*pairs, ["mean of the best ensemble", *(Figure(getattr(ensemble, measure)) for measure in measures)]],
    )
    typer.echo(f"any member of the best ensemble right (oracle): {Percent(ensemble.oracle_accuracy)}")
