"""What fitting a head gives, what was chosen for it, and what that looks like."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ser_store.common.display import Block, Figure, Percent, Result, Table
from ser_store.heads.trials import Combine
from ser_store.heads.tuning import Chosen


@dataclass(frozen=True)
class Choice:
    """A head that was chosen for one fold, on its training utterances.

    Attributes:
        fold: the fold that is scored by the choice; None where there is one alone.
        kind: of the classifier.
        source: the members that it is fitted on.
        layer: their layer, or several that are joined by ``+``; None for the last.
        settings: of the classifier.
        accuracy: by cross-validation over the speakers of the training utterances; of the best it is too good.
        n_trials: what it was chosen among.
        weight: by which what it says is multiplied, where several heads are combined.
    """

    fold: str | None
    kind: str
    source: str
    layer: int | str | None
    settings: Mapping[str, Any]
    accuracy: float
    n_trials: int
    weight: float


@dataclass(frozen=True, repr=False)
class FittedHead(Result):
    """A head that was fitted.

    Attributes:
        member: the name of the new member.
        source: the member whose pooled representations it was fitted on; several are joined by ``+``.
        kind: the kind of head; several are joined by ``+`` if they are combined, by ``,`` if they were chosen among.
        n_train: utterances it was fitted on; with cross-validation, in the largest fold's complement.
        n_scored: utterances it scored, none of which it was fitted on.
        cv: the cross-validation, if any.
        combine: how several heads were made one, if they were.
        choices: what tuning has chosen, or a pool's heads, fold by fold.
    """

    member: str
    source: str
    kind: str
    n_train: int
    n_scored: int
    cv: str | None = None
    combine: Combine | None = None
    choices: tuple[Choice, ...] = ()

    def describe(self) -> Iterator[Block]:
        scored = "out of fold" if self.cv else "outside the training part"
        yield f"{self.member}: fitted on {self.n_train} utterances of {self.source}, scored {self.n_scored} {scored}"
        if self.choices:
            n = self.choices[0].n_trials
            what = "weights fitted" if self.combine == "pool" else f"chosen among {n}" + " each" * bool(self.combine)
            yield f"{what}, on the training utterances of each fold alone:"
            yield _tabulate_combined(self.choices) if self.combine else _tabulate_folds(self.choices)

    def records(self) -> list[dict[str, Any]]:
        own = {name: value for name, value in vars(self).items() if name != "choices"}
        return [{**own, **vars(choice), "settings": str(choice.settings)} for choice in self.choices] or [own]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_choices(chosen: Sequence[Sequence[Chosen]], folds: Sequence[str | None]) -> tuple[Choice, ...]:
    """Return what was chosen, fold by fold."""
    return tuple(
        Choice(
            fold=fold,
            kind=one.trial.kind,
            source=one.trial.input.source,
            layer=one.trial.input.layer,
            settings=one.trial.settings,
            accuracy=max(one.accuracies),
            n_trials=len(one.accuracies),
            weight=one.weight,
        )
        for fold, heads in zip(folds, chosen, strict=True)
        for one in heads
        if one.accuracies
    )


def _tabulate_folds(choices: Sequence[Choice]) -> Table:
    rows = [[one.fold or "", one.kind, _name(one), _describe(one.settings), Percent(one.accuracy)] for one in choices]
    return Table(("fold", "kind", "inputs", "settings", "accuracy over its training speakers"), rows)


def _tabulate_combined(choices: Sequence[Choice]) -> Table:
    """A row for each kind on each input: in how many folds it has which settings, and what weight on average."""
    n_folds, rows = len({one.fold for one in choices}), []
    for kind, name in dict.fromkeys((one.kind, _name(one)) for one in choices):
        own = [one for one in choices if (one.kind, _name(one)) == (kind, name)]
        chosen = Counter(_describe(one.settings) for one in own)
        shown = ", ".join(f"{settings} ({times})" for settings, times in chosen.most_common() if settings)
        accuracy = sum(one.accuracy for one in own) / len(own)
        rows.append([kind, name, shown, Percent(accuracy), Figure(sum(one.weight for one in own) / n_folds)])
    return Table(("kind", "inputs", "settings (folds)", "accuracy over training speakers", "weight"), rows)


def _name(choice: Choice) -> str:
    return choice.source if choice.layer is None else f"{choice.source} l{choice.layer}"


def _describe(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())
