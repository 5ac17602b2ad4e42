"""What a vote looks like: its lines and tables, as the command prints them and ``print(report)`` shows them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ser_store.common.display import (
    Block,
    Figure,
    Percent,
    Picture,
    Points,
    Table,
    draw_bars,
    format_count,
    format_interval,
    maybe_figure,
)
from ser_store.ensembles.search import is_choice
from ser_store.evaluation.tables import caption_utterances, tabulate_accuracies

if TYPE_CHECKING:
    from ser_store.ensembles.diversity import DiversityReport
    from ser_store.ensembles.ranking import RankedEnsemble
    from ser_store.ensembles.report import Distribution, VoteReport

# Bars of a histogram on one line.
_BINS = 48
# With at most so many candidates, all pairs are shown; else those of the best ensemble.
_FEW = 8


def describe_report(report: "VoteReport") -> Iterator[Block]:
    """Yield the best ensemble, what is left of its figure after correction, the best few, and how all are spread."""
    yield from describe_best(report)
    if is_choice(report.found, report.options):
        yield from _describe_correction(report)
    yield _describe_gain(report)
    yield ""
    if len(report.found) > 1:
        yield "best of each size:"
        yield tabulate_ensembles(report, [report.best_by_size[one.k][0] for one in report.found])
        yield "\nof all sizes:"
    yield tabulate_ensembles(report, report.ensembles)
    yield ""
    if report.distribution is not None and report.searched > 1:
        yield from describe_distribution(report.distribution, n=report.ensembles[0].chosen_score.n)
    yield f"95% intervals: {report.ensembles[0].interval.method}"
    if report.diversity is not None:
        yield from describe_diversity(report.diversity)


def describe_best(report: "VoteReport") -> Iterator[Block]:
    """Yield what was searched, and the best ensemble as it was found: all that is known before the correction."""
    yield _summarise_vote(report)
    yield from _describe_search(report)
    if not is_choice(report.found, report.options):
        return
    best, is_accuracy = report.ensembles[0], report.options.objective == "accuracy"
    yield f"best: {best.name}"
    score = best.chosen_score
    figure = Percent(score.accuracy if is_accuracy else score.balanced_accuracy)
    if report.chosen_on is not None:
        yield _align(f"on {report.chosen_on}", f"{figure}  where it was chosen")
        return
    bounds = f" {format_interval(best.interval.bounds)}" if is_accuracy else ""
    yield _align("apparent", f"{figure}{bounds}  on the utterances that it was chosen on{_name_objective(report)}")


def _summarise_vote(report: "VoteReport") -> str:
    options = report.options
    sizes = " or ".join(map(str, report.ks))
    where = caption_utterances(report.on, report.split, report.ensembles[0].score.n)
    ties = f", ties to {options.tie}" if options.voting_rule == "hard" else ""
    weights = f", weighted by {options.weights.description}" if options.weights is not None else ""
    chosen = f", chosen on {report.chosen_on}" if report.chosen_on is not None else ""
    best = ", best by balanced accuracy" if options.objective != "accuracy" else ""
    voting = f"{options.voting_rule} voting{ties}{weights}{best}"
    return f"{sizes} of {format_count(len(report.candidates), 'member')} {where}{chosen}: {voting}"


def tabulate_ensembles(report: "VoteReport", ensembles: Sequence["RankedEnsemble"]) -> Table:
    """Return a table with a row for each ensemble, best first."""
    ties = "abstained" if report.options.tie == "abstain" else "ties"
    figures, cells = tabulate_accuracies(ensembles, [one.score for one in ensembles])
    rows = [
        [
            place,
            None if report.chosen_on is None else Percent(one.chosen_score.accuracy),
            *own,
            one.score.ties,
            Points(one.gain),
            " ".join(one.members),
        ]
        for place, (one, own) in enumerate(zip(ensembles, cells, strict=True), start=1)
    ]
    header = ["", f"on {report.chosen_on}", *figures, ties, "gain", "members"]
    return Table(header, rows, best={"accuracy": max, "balanced accuracy": max})


def caption_vote(report: "VoteReport") -> str:
    """Return what was voted where, and what is left of the best figure, for the caption of a table."""
    score, voted = report.ensembles[0].score, _summarise_vote(report)
    if not is_choice(report.found, report.options):
        return voted
    figure = score.accuracy if report.options.objective == "accuracy" else score.balanced_accuracy
    chosen = "" if report.chosen_on is not None else f"; the first is chosen on them, apparent {Percent(figure)}"
    corrected = [" ".join(str(line).split()) for line in _describe_correction(report)]
    return "; ".join([f"{voted}{chosen}", *corrected])


def describe_distribution(distribution: "Distribution", *, n: int | None = None) -> Iterator[Block]:
    """Yield the quantiles of the utterances right, of ``n`` where that is known, and a histogram of one line."""
    lowest, *quartiles, highest = distribution.find_quantiles()
    yield (
        f"right{'' if n is None else f' of {n}'}, of all {sum(distribution.ensembles):,} ensembles: lowest {lowest}, "
        f"quartiles {', '.join(map(str, quartiles))}, highest {highest}"
    )
    if lowest < highest:
        yield Picture(f"  {lowest} {draw_histogram(distribution)} {highest}")


def draw_histogram(distribution: "Distribution") -> str:
    """Return a line of bars, each for one or for several neighbouring numbers of utterances right."""
    lowest, highest = distribution.correct[0], distribution.correct[-1]
    per_bin = -(-(highest - lowest + 1) // _BINS)
    counts = [0] * ((highest - lowest) // per_bin + 1)
    for correct, ensembles in zip(distribution.correct, distribution.ensembles, strict=True):
        counts[(correct - lowest) // per_bin] += ensembles
    return draw_bars(counts)


def _describe_search(report: "VoteReport") -> Iterator[Block]:
    if sum(one.total for one in report.found) > 1:
        rate = f" ({report.searched / report.seconds:,.0f} a second)" if report.searched > 10**6 else ""
        noun = "ensemble" if report.searched == 1 else "ensembles"
        yield f"{report.searched:,} {noun} searched in {report.seconds:.3g} s{rate}"
    if report.search == "greedy":
        yield "greedy forward selection, with and without replacement: nothing proves that there is no better ensemble"
    for one in report.found if report.search == "pruned" else ():
        yield (
            f"proved: no better ensemble of {one.k} exists among {one.total:,}"
            if one.proved
            else f"not proved: of {one.total:,} ensembles of {one.k} none has more than {one.bound} utterances right"
        )


def _describe_correction(report: "VoteReport") -> Iterator[Block]:
    """Yield what is left of the best ensemble's figure, or why that is not known."""
    selection = report.selection
    if report.note:
        yield f"  {report.note}"
    if selection is None:
        return
    bounds = "" if selection.bounds is None else f" {format_interval(selection.bounds)}"
    figure = f"{Percent(selection.corrected)}{bounds}"
    if report.chosen_on is not None:
        yield _align(f"on {report.on}", f"{figure}  needs no correction{_name_objective(report)}")
        return
    yield _align("corrected", f"{figure}  for that choice ({selection.describe()})")
    if report.options.weights is not None and report.options.weights.is_derived:
        yield "  the weights follow from the same utterances: they are chosen, and corrected for, as well"


def _describe_gain(report: "VoteReport") -> str:
    name, accuracy = report.best_single
    text = f"{Points(report.gain)} points over the best member alone, {name} with {Percent(accuracy)}"
    return _align("gain", text) if is_choice(report.found, report.options) else f"gain: {text}"


def _name_objective(report: "VoteReport") -> str:
    return "" if report.options.objective == "accuracy" else " (balanced accuracy)"


def _align(name: str, text: str) -> str:
    return f"  {name:<9}  {text}"


def describe_diversity(diversity: "DiversityReport") -> Iterator[Block]:
    """Yield what each member contributes, and how differently pairs of members err."""
    if diversity.contributions is not None:
        rows: list[list[object]] = [
            [name, Percent(row.accuracy), Percent(row.accuracy_without), Points(row.gain), row.gained, row.lost]
            for name, row in zip(diversity.members, diversity.contributions.rows, strict=True)
        ]
        yield "\nwhat each member of the best ensemble brings"
        yield Table(["member", "alone", "ensemble without", "gain", "gained", "lost"], rows)
    names = diversity.candidates if len(diversity.candidates) <= _FEW else tuple(dict.fromkeys(diversity.members))
    measures = ("disagreement", "q_statistic", "double_fault", "kappa")
    pairs: list[list[object]] = [
        [" ".join(pair["members"]), *(maybe_figure(pair[measure]) for measure in measures)]
        for pair in diversity.list_pairs(names)
    ]
    ensemble = diversity.ensemble
    yield "\nhow differently pairs err"
    yield Table(
        ["pair", "disagreement", "Q statistic", "double fault", "kappa"],
        [*pairs, ["mean of the best ensemble", *(Figure(getattr(ensemble, measure)) for measure in measures)]],
    )
    yield f"any member of the best ensemble right (oracle): {Percent(ensemble.oracle_accuracy)}"
