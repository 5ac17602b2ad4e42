"""Which heads are asked for: every classifier on every input a member of its own, or one chosen or averaged of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ser_store.errors import StoreError
from ser_store.heads.classifiers import Classifier
from ser_store.heads.inputs import Input, Normalise
from ser_store.heads.trials import Trial, Tune, list_trials
from ser_store_h5.names import parse_member

# What the folds of a cross-validation keep together.
_SUFFIXES = {"train": "", "speaker": "-by-speaker", "corpus": "-by-corpus"}


@dataclass(frozen=True)
class HeadRequest:
    """One member to be made.

    Attributes:
        kind: its classifiers: joined by ``+`` where they are averaged, by ``,`` where one is chosen.
        inputs: what they are fitted on.
        heads: for each head whose answers are averaged the ways to make it, of which tuning chooses one.
        is_average: whether several heads are averaged.
    """

    kind: str
    inputs: tuple[Input, ...]
    heads: tuple[tuple[Trial, ...], ...]
    is_average: bool

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(member for one in self.inputs for member in one.members))

    @property
    def source(self) -> str:
        """The members that it is fitted on, joined by ``+``."""
        return "+".join(self.members)

    @property
    def is_tuned(self) -> bool:
        return any(len(trials) > 1 for trials in self.heads)

    def name_run(self, normalise: Normalise, class_weight: str | None) -> str:
        """Return what its run is called unless it is given a name.

        >>> HeadRequest("lda", (Input(("mfcc@0",)),), (), is_average=False).name_run("speaker", None)
        'mfcc-lda-by-speaker'
        >>> inputs = tuple(Input(("whisper@0",), (layer,)) for layer in (1, 2, 3))
        >>> HeadRequest("lda+svm", inputs, (), is_average=True).name_run("train", "balanced")
        'whisper-l1-3-lda-svm-balanced-average'
        """
        layers = sorted({layer for one in self.inputs for layer in one.layers if layer is not None})
        parts = [*dict.fromkeys(parse_member(member)[0] for member in self.members), *_name_layers(layers)]
        marks = [class_weight] if class_weight else []
        marks += [word for word, holds in (("average", self.is_average), ("tuned", self.is_tuned)) if holds]
        return "-".join([*parts, self.kind.replace("+", "-").replace(",", "-"), *marks]) + _SUFFIXES[normalise]

    def describe(self) -> dict[str, Any]:
        """Return what the record of its run says of it."""
        details: dict[str, Any] = {"source": self.members[0], "head": self.kind}
        if len(self.members) > 1:
            details["sources"] = list(self.members)
        layers = [one.layer for one in self.inputs if one.layer is not None]
        if layers:
            details["layer"] = layers[0] if len(layers) == 1 else layers
        if self.is_average:
            details["average"] = True
        if self.is_tuned:
            details["tune"] = [[trial.to_json() for trial in trials] for trials in self.heads]
        return details


def _name_layers(layers: Sequence[int]) -> list[str]:
    if not layers:
        return []
    runs_on = len(layers) > 1 and layers[-1] - layers[0] == len(layers) - 1
    return [f"l{layers[0]}-{layers[-1]}" if runs_on else "l" + "_".join(map(str, layers))]


def list_requests(
    inputs: Sequence[Sequence[Input]], classifiers: Sequence[Classifier], *, tune: Tune, average: bool
) -> list[HeadRequest]:
    """Return the members to be made.

    Args:
        inputs: of each source.
        classifiers: to be fitted on each of them.
        tune: choose settings, and unless heads are averaged the classifier and the input of each source as well.
        average: make one member of all heads.

    Raises:
        StoreError: if there is nothing to choose or to average, or a grid is no grid.
    """
    units = [[_list_unit(one, own, tune) for one in of_source for own in classifiers] for of_source in inputs]
    if average:
        every = [unit for of_source in units for unit in of_source]
        if len(every) < 2:
            raise StoreError("`average` of one head: expected several layers, sources or kinds")
        requests = [_join(inputs, classifiers, every, average=True)]
    elif tune is False:
        requests = [
            HeadRequest(own.kind, (one,), (_list_unit(one, own, tune),), is_average=False)
            for of_source in inputs
            for one in of_source
            for own in classifiers
        ]
    else:
        requests = [
            _join([of_source], classifiers, [sum(own, ())], average=False)
            for of_source, own in zip(inputs, units, strict=True)
        ]
    if tune is not False and not all(one.is_tuned for one in requests):
        raise StoreError(
            "`tune` has nothing to choose from: expected several layers or kinds, or a list of values for a parameter "
            "of the estimator"
        )
    return requests


def _list_unit(one: Input, classifier: Classifier, tune: Tune) -> tuple[Trial, ...]:
    return tuple(list_trials(classifier, one, tune))


def _join(
    inputs: Iterable[Sequence[Input]],
    classifiers: Sequence[Classifier],
    heads: Sequence[tuple[Trial, ...]],
    *,
    average: bool,
) -> HeadRequest:
    kinds = ("+" if average else ",").join(own.kind for own in classifiers)
    return HeadRequest(kinds, tuple(one for of_source in inputs for one in of_source), tuple(heads), average)
