"""The result of a vote with fitted weights: its figures beside those of the plain rules, and the weights."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Figure, Percent, Points, Table, format_interval
from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.options import VoteOptions
from ser_store.ensembles.ranking import RankedEnsemble
from ser_store.ensembles.report import VoteReport
from ser_store.ensembles.utterances import Utterances
from ser_store.evaluation.tables import caption_utterances, tabulate_accuracies
from ser_store.statistics.comparisons import PairComparison
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store.voting.fitted import Combination
from ser_store.voting.search import SearchResult


@dataclass(frozen=True)
class FittedWeight:
    """The weight of a member over all fits.

    Attributes:
        member: its name.
        mean: over the fits; 0 counts where a fit leaves the member out.
        low: the lowest.
        high: the highest.
        fits: how many give it a weight above 0.
    """

    member: str
    mean: float
    low: float
    high: float
    fits: int


def summarize_weights(names: Sequence[str], fits: Sequence[Combination]) -> tuple[FittedWeight, ...]:
    """Return the weight of each member; none where a rule has not one for each."""
    weights = [one.weights for one in fits if one.weights is not None]
    if not weights:
        return ()
    return tuple(
        FittedWeight(name, float(own.mean()), float(own.min()), float(own.max()), int((own > 0).sum()))
        for name, own in zip(names, np.array(weights).T, strict=True)
    )


@dataclass(frozen=True, repr=False, kw_only=True)
class FittedVote(VoteReport):
    """The outcome of a vote by ``pool``, ``stack`` or ``greedy-pool``: a :class:`VoteReport` of one ensemble.

    :meth:`to_frame` gives a row for each rule, those that fit nothing first: ``rule``, and the columns of a vote's.

    Attributes:
        rules: the figures of each rule on the same utterances, the best member alone among them.
        against: each of the other rules against the one asked for, which is the second, in the order of ``rules``.
        fitted: what was fitted where, in words.
        fitted_weights: of each member, none below 0: its inverse temperature; empty for ``stack``.
        said: ``(n, c)`` float64, log-probabilities by the rule asked for, of the utterances reported on.
        unfitted: a line for each rule that could not be fitted.
    """

    rules: dict[str, RankedEnsemble]
    against: tuple[PairComparison, ...]
    fitted: str
    fitted_weights: tuple[FittedWeight, ...]
    said: NDArray[np.float64]
    unfitted: tuple[str, ...] = ()

    def describe(self) -> Iterable[Block]:
        """Yield the vote in one line, the table of all rules, and the weights."""
        return _describe(self)

    def caption(self) -> str:
        return f"{len(self.candidates)} members {caption_utterances(self.on, self.split, self.ensembles[0].score.n)}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each rule."""
        return [{"rule": rule} | ensemble.records()[0] for rule, ensemble in self.rules.items()]

    def to_json(self) -> dict[str, Any]:
        """Return the document of a vote, with ``rules``, ``fitted`` and the ``weights`` of the result."""
        document = super().to_json()
        tests = {test.first: _test_to_json(test) for test in self.against}
        document["rules"] = [
            {"rule": rule, **one.to_json(), "against": tests.get(rule)} for rule, one in self.rules.items()
        ]
        document["fitted"] = {"how": self.fitted, "weights": [asdict(one) for one in self.fitted_weights]}
        document["fitted"]["left_out"] = list(self.unfitted)
        if self.fitted_weights:
            mean = {one.member: one.mean for one in self.fitted_weights}
            document["weights"] = {"source": "fitted", "by_member": mean}
            result = document["results"][0]
            result["weights"] = [mean[name] for name in result["members"]]
        return document


def make_fitted_vote(
    pool: CandidatePool,
    utterances: Utterances,
    options: VoteOptions,
    *,
    rules: dict[str, RankedEnsemble],
    against: tuple[PairComparison, ...],
    weights: tuple[FittedWeight, ...],
    fitted: str,
    said: NDArray[np.float64],
    seconds: float,
    notes: tuple[str, ...],
    cautions: tuple[str, ...],
) -> FittedVote:
    """Return the outcome: of all rules that were tried, one was asked for beforehand, so that nothing is corrected."""
    own, alone = rules[options.rule], rules["best member"]
    found = SearchResult(
        k=own.k,
        method="greedy" if options.rule == "greedy-pool" else "exhaustive",
        total=1,
        searched=1,
        complete=True,
        proved=options.rule != "greedy-pool",
        bound=None,
        seconds=seconds,
        histogram=None,
        results=(own.score,),
    )
    accuracy = own.score.accuracy
    where = "on other speakers" if utterances.select_on is None else f"on {utterances.select_on}"
    return FittedVote(
        on=utterances.on,
        split=utterances.split,
        chosen_on=utterances.select_on,
        options=pool.options,
        candidates=pool.candidates.names,
        weights=tuple(one.mean for one in weights) or None,
        found=(found,),
        ensembles=(own,),
        best_by_size={own.k: (own,)},
        best_single=(alone.members[0], alone.score.accuracy),
        complete=True,
        selection=SelectionBias(accuracy, accuracy, repeats=0, method=f"none: fitted {where}"),
        stated=cautions,
        rules=rules,
        against=against,
        fitted=fitted,
        fitted_weights=weights,
        said=said,
        unfitted=notes,
    )


def _describe(report: FittedVote) -> Iterator[Block]:
    own, rule = report.ensembles[0], report.options.rule
    score = own.score
    yield (
        f"{rule} of {report.caption()}: {score.correct} right, accuracy {Percent(score.accuracy)} "
        f"{format_interval(own.interval.bounds)}, balanced accuracy {Percent(score.balanced_accuracy)} "
        f"{format_interval(own.balanced_interval.bounds)}"
    )
    yield f"{rule}: {report.fitted}"
    yield _tabulate_rules(report)
    yield from report.unfitted
    if report.chosen_on is None and len(report.candidates) > 1:
        yield "the best member is chosen on these utterances: its figure is too high"
    method = report.against[0].method
    yield f"95% intervals: {own.interval.method}; worse or better: p below 0.05 by {method}, with Holm's correction"
    if report.fitted_weights:
        yield ""
        yield _tabulate_weights(report.fitted_weights)


def _tabulate_rules(report: FittedVote) -> Table:
    tests, ranked = {test.first: test for test in report.against}, [*report.rules.values()]
    figures, cells = tabulate_accuracies(ranked, [one.score for one in ranked])
    rows: list[list[object]] = []
    for (rule, one), accuracies in zip(report.rules.items(), cells, strict=True):
        test = tests.get(rule)
        bounds = "" if test is None else "[{:+.1f}, {:+.1f}]".format(*(100 * bound for bound in test.interval.bounds))
        rows.append(
            [
                f"{rule}, {one.name}" if rule == "best member" else rule,
                *accuracies,
                "" if test is None else Points(test.difference),
                bounds,
                "" if test is None else test.verdict,
            ]
        )
    header = ["rule", *figures, f"against {report.options.rule}", "95% interval", "is"]
    return Table(header, rows, best={"accuracy": max, "balanced accuracy": max})


def _test_to_json(test: PairComparison) -> dict[str, Any]:
    return {
        "rule": test.second,
        "difference": test.difference,
        "ci95": list(test.interval.bounds),
        "p": test.p,
        "p_holm": test.p_holm,
        "verdict": test.verdict,
    }


def _tabulate_weights(weights: Sequence[FittedWeight]) -> Table:
    rows = [[one.member, Figure(one.mean), Figure(one.low), Figure(one.high), one.fits] for one in weights]
    return Table(["member", "weight (mean)", "lowest", "highest", "fits with it"], rows)
