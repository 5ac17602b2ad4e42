"""What fitting a head gives, what was chosen for it, and what that looks like."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ser_store.common.display import Block, Percent, Result, Table
from ser_store.heads.tuning import Chosen


@dataclass(frozen=True)
class Choice:
    """What tuning has chosen for one fold, on its training utterances.

    Attributes:
        fold: the fold that is scored by the choice; None where there is one alone.
        kind: of the classifier.
        source: the members that it is fitted on.
        layer: their layer, or several that are joined by ``+``; None for the last.
        settings: of the classifier.
        accuracy: by cross-validation over the speakers of the training utterances; of the best it is too good.
        n_trials: what it was chosen among.
    """

    fold: str | None
    kind: str
    source: str
    layer: int | str | None
    settings: Mapping[str, Any]
    accuracy: float
    n_trials: int


@dataclass(frozen=True, repr=False)
class FittedHead(Result):
    """A head that was fitted.

    Attributes:
        member: the name of the new member.
        source: the member whose pooled representations it was fitted on; several are joined by ``+``.
        kind: the kind of head; several are joined by ``+`` if they are averaged, by ``,`` if they were chosen among.
        n_train: utterances it was fitted on; with cross-validation, in the largest fold's complement.
        n_scored: utterances it scored, none of which it was fitted on.
        cv: the cross-validation, if any.
        choices: what tuning has chosen, fold by fold.
    """

    member: str
    source: str
    kind: str
    n_train: int
    n_scored: int
    cv: str | None = None
    choices: tuple[Choice, ...] = ()

    def describe(self) -> Iterator[Block]:
        scored = "out of fold" if self.cv else "outside the training part"
        yield f"{self.member}: fitted on {self.n_train} utterances of {self.source}, scored {self.n_scored} {scored}"
        if self.choices:
            yield f"chosen on the training utterances of each fold alone, among {self.choices[0].n_trials}:"
            header = ("fold", "kind", "inputs", "settings", "accuracy over its training speakers")
            yield Table(header, _tabulate(self.choices))

    def records(self) -> list[dict[str, Any]]:
        own = {name: value for name, value in vars(self).items() if name != "choices"}
        return [{**own, **vars(choice), "settings": str(choice.settings)} for choice in self.choices] or [own]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_choices(chosen: Sequence[Sequence[Chosen]], folds: Sequence[str | None]) -> tuple[Choice, ...]:
    """Return what was chosen, fold by fold, of every head that was chosen."""
    return tuple(
        Choice(
            fold=fold,
            kind=one.trial.kind,
            source=one.trial.input.source,
            layer=one.trial.input.layer,
            settings=one.trial.settings,
            accuracy=max(one.accuracies),
            n_trials=len(one.accuracies),
        )
        for fold, heads in zip(folds, chosen, strict=True)
        for one in heads
        if one.accuracies
    )


def _tabulate(choices: Sequence[Choice]) -> list[list[object]]:
    """Return a row for each choice; of heads that are averaged one for each of them, its settings counted."""
    by_fold: Counter[str | None] = Counter(one.fold for one in choices)
    if max(by_fold.values()) == 1:
        return [
            [one.fold or "", one.kind, _name(one), _describe(one.settings), Percent(one.accuracy)] for one in choices
        ]
    rows: list[list[object]] = []
    for kind, name in dict.fromkeys((one.kind, _name(one)) for one in choices):
        own = [one for one in choices if (one.kind, _name(one)) == (kind, name)]
        chosen = Counter(_describe(one.settings) for one in own)
        shown = ", ".join(f"{settings} ({times})" for settings, times in chosen.most_common())
        rows.append(["each", kind, name, shown, Percent(sum(one.accuracy for one in own) / len(own))])
    return rows


def _name(choice: Choice) -> str:
    return choice.source if choice.layer is None else f"{choice.source} l{choice.layer}"


def _describe(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())
