"""Tables of evaluations: all members, and one member in full."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ser_store.common.checks import check_choice
from ser_store.common.display import Aside, Block, Figure, Percent, Table, format_count, format_interval

if TYPE_CHECKING:
    from ser_store.evaluation import Evaluations, MemberEvaluation
    from ser_store.metrics.confusion import Normalisation
    from ser_store.statistics.bootstrap import Interval

PLAIN = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
# Gavali & Verma (2025) have the field's two names the other way round.
STYLES = {
    "plain": PLAIN,
    "paper": {
        "accuracy": "UA in the paper = accuracy",
        "balanced_accuracy": "WA in the paper = balanced accuracy",
    },
}
EXPLANATION = "In the paper UA is accuracy and WA balanced accuracy; elsewhere WA is accuracy and UA balanced accuracy."
# Wider matrices are headed by numbers in place of names.
MAX_WIDTH = 110


class TwoDecimals(float):
    """A number that prints with two decimals, as wide as a count."""

    def __str__(self) -> str:
        return f"{float(self):.2f}"


def name_metrics(style: str) -> dict[str, str]:
    """Return the names of ``accuracy`` and ``balanced_accuracy`` in a style, ``plain`` or ``paper``.

    Raises:
        UnknownNameError: if there is no such style.
    """
    check_choice("style of names", style, STYLES)
    return STYLES[style]


def tabulate_evaluations(evaluations: "Evaluations", names: Mapping[str, str] = PLAIN) -> Iterator[Block]:
    """Yield a table with a row for each member, and a line for runs that differ in the seed alone."""
    members = evaluations.members
    where = caption_utterances(evaluations.on, evaluations.split, members[0].metrics.n)
    yield Aside(f"{format_count(len(members), 'member')} {where}")
    figures, cells = tabulate_accuracies(members, [one.metrics for one in members], names)
    rows = [[one.member, *own, str(one.folds or "")] for one, own in zip(members, cells, strict=True)]
    yield Table(["member", *figures, "mean ± std of folds"], rows, best=dict.fromkeys(names.values(), max))
    yield f"\n95% intervals: {describe_intervals([one.interval for one in members], said=evaluations.cautions)}"
    if names != PLAIN:
        yield EXPLANATION
    yield from map(str, evaluations.seeds)


class Judged(Protocol):
    """What has an interval of its accuracy, and one of its balanced accuracy."""

    @property
    def interval(self) -> "Interval": ...
    @property
    def balanced_interval(self) -> "Interval": ...


class Scored(Protocol):
    """What has the figures themselves."""

    @property
    def n(self) -> int: ...
    @property
    def correct(self) -> int: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def balanced_accuracy(self) -> float: ...


def tabulate_accuracies(
    judged: Sequence[Judged], scores: Sequence[Scored], names: Mapping[str, str] = PLAIN
) -> tuple[list[str], list[list[object]]]:
    """Return the headers, and the cells of each row, of accuracy and balanced accuracy with their intervals."""
    intervals = [one.interval for one in judged]
    header = ["correct", names["accuracy"], *head_intervals(intervals), names["balanced_accuracy"], "95% interval"]
    rows: list[list[object]] = [
        [
            f"{score.correct}/{score.n}",
            Percent(score.accuracy),
            *cells,
            balanced := Percent(score.balanced_accuracy),
            format_bounds(balanced, one.balanced_interval),
        ]
        for one, score, cells in zip(judged, scores, list_interval_cells(intervals), strict=True)
    ]
    return header, rows


def caption_utterances(on: str, split: str | None, n: int) -> str:
    """Return which utterances the figures of a table are of.

    >>> caption_utterances("test", "paper", 288), caption_utterances("all", "emobox", 1440)
    ('on test of the split paper, 288 utterances', 'on all 1440 utterances')
    """
    if on == "all":
        return f"on all {n} utterances"
    return f"on {on}{'' if split is None else f' of the split {split}'}, {n} utterances"


def differ_in_method(intervals: Sequence["Interval"]) -> bool:
    """Return whether the intervals of a table were found in several ways, so that each row has to say which."""
    return len({interval.method for interval in intervals}) > 1


def head_intervals(intervals: Sequence["Interval"]) -> list[str]:
    """Return the headers of the columns of :func:`list_interval_cells`."""
    return ["95% interval", "found by"] if differ_in_method(intervals) else ["95% interval"]


def list_interval_cells(intervals: Sequence["Interval"]) -> list[list[str]]:
    """Return for each row its interval, and where the rows differ, how it was found."""
    differ = differ_in_method(intervals)
    return [[format_interval(one.bounds), *([_name_method(one)] if differ else [])] for one in intervals]


def _name_method(interval: "Interval | None") -> str:
    """Return how one interval was found, with its number of speakers; nothing where there is no interval."""
    return "" if interval is None else describe_methods([interval])


def describe_intervals(intervals: Sequence["Interval"], *, said: Collection[str] = ()) -> str:
    """Return how the intervals of a table were found, and what speaks most against them, if it is not ``said`` yet."""
    described = "found as each line says" if differ_in_method(intervals) else describe_methods(intervals)
    few = [interval for interval in intervals if interval.caution and interval.caution not in said]
    return f"{described}; {min(few, key=lambda interval: interval.n_groups or 0).caution}" if few else described


def describe_methods(intervals: Sequence["Interval"]) -> str:
    """Return each way in which intervals were found, with the number of speakers.

    >>> from ser_store.statistics.intervals import Interval
    >>> describe_methods([Interval(0.1, 0.2, "bootstrap by speaker", n_groups=n) for n in (24, 22)])
    'bootstrap by speaker (22 to 24)'
    """
    ways: dict[str, list[int]] = {}
    for interval in intervals:
        ways.setdefault(interval.method, []).extend([] if interval.n_groups is None else [interval.n_groups])
    return ", ".join(method + _describe_range(counts) for method, counts in ways.items())


def _describe_range(counts: Sequence[int]) -> str:
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f" ({low})" if low == high else f" ({low} to {high})"


def tabulate_member(
    member: "MemberEvaluation", names: Mapping[str, str] = PLAIN, *, normalise: "Normalisation | None" = None
) -> Iterator[Block]:
    """Yield all figures of a member with their intervals, its classes, and its confusion matrix."""
    yield f"\n{member.member}"
    yield from _tabulate_figures(member, names)
    if member.folds is not None:
        yield ""
        yield from member.folds.describe()
    yield ""
    yield from _tabulate_classes(member)
    yield ""
    yield from _tabulate_confusion(member, normalise)


def _tabulate_figures(member: "MemberEvaluation", names: Mapping[str, str]) -> Iterator[Block]:
    metrics, intervals = member.metrics, member.intervals
    figures: list[tuple[str, str, float]] = [
        ("accuracy", names["accuracy"], Percent(metrics.accuracy)),
        ("balanced_accuracy", names["balanced_accuracy"], Percent(metrics.balanced_accuracy)),
        ("macro_f1", "macro F1", Figure(metrics.macro_avg.f1)),
        ("weighted_f1", "weighted F1", Figure(metrics.weighted_avg.f1)),
        ("kappa", "Cohen's kappa", Figure(metrics.kappa)),
        ("mcc", "Matthews' correlation", Figure(metrics.mcc)),
    ]
    scores = member.probabilities
    if scores is not None:
        figures += [
            ("top2", "top-2 accuracy" if len(member.classes) > 2 else "top-2 of 2 classes", Percent(scores.top2)),
            ("log_loss", "log-loss, nats", Figure(scores.log_loss)),
            ("brier", "Brier, 0 to 2", Figure(scores.brier)),
            ("ece", "calibration error", Figure(scores.ece)),
        ]
    shown = [intervals[key] for key, _, _ in figures if key in intervals]
    rows = [
        [
            name,
            value,
            format_bounds(value, intervals.get(key)),
            *([_name_method(intervals.get(key))] if differ_in_method(shown) else []),
        ]
        for key, name, value in figures
    ]
    yield Table(["figure", "", *head_intervals(shown)], rows)
    described = describe_intervals(shown, said=[member.interval.caution or ""])
    if described != describe_methods([member.interval]):
        yield f"\n95% intervals: {described}"


def format_bounds(value: float, interval: "Interval | None") -> str:
    """Return the interval of a figure in the figure's own unit; a dash where samples show no spread."""
    if interval is None:
        return ""
    if interval.low == interval.high:
        return "–"
    if isinstance(value, Percent):
        return format_interval(interval.bounds)
    return f"[{interval.low:.3f}, {interval.high:.3f}]"


def _tabulate_classes(member: "MemberEvaluation") -> Iterator[Block]:
    scores, metrics = member.metrics.per_class, member.metrics
    per_class: list[list[object]] = [
        [
            name,
            *("–" if figure is None else Figure(figure) for figure in scores.list_scores(place)),
            scores.support[place] or "absent",
        ]
        for place, name in enumerate(member.classes)
    ]
    averages: list[list[object]] = [
        [name, Figure(average.precision), Figure(average.recall), Figure(average.f1), metrics.n]
        for name, average in (("macro average", metrics.macro_avg), ("weighted average", metrics.weighted_avg))
    ]
    yield Table(["class", "precision", "recall", "f1", "support"], per_class + averages)


def _tabulate_confusion(member: "MemberEvaluation", normalise: "Normalisation | None") -> Iterator[Block]:
    cells: list[list[object]] = member.metrics.confusion.tolist()
    shown = ""
    if normalise is not None:
        from ser_store.metrics.confusion import normalise_confusion

        # Shares of all utterances are small.
        kind = Figure if normalise == "all" else TwoDecimals
        shares = normalise_confusion(member.metrics.confusion, normalise).tolist()
        cells = [[kind(share) for share in row] for row in shares]
        shown = {"true": ", shares of the true class", "predicted": ", shares of the predicted class"}.get(
            normalise, ", shares of all utterances"
        )
    yield f"confusion matrix: rows true, columns predicted{shown}"
    names = list(member.classes)
    header = names
    if max(map(len, names)) + sum(max(len(name), 4) + 2 for name in names) > MAX_WIDTH:
        header = [str(place) for place in range(1, len(names) + 1)]
        names = [f"{place} {name}" for place, name in enumerate(names, start=1)]
    yield Table(["", *header], [[name, *row] for name, row in zip(names, cells, strict=True)])


def format_p(p: float | None) -> str:
    """Return a p-value to three decimals.

    >>> format_p(0.0312), format_p(0.0000312), format_p(None)
    ('0.031', '<0.001', '')
    """
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
