"""The ways to make a head, and what each says: arrays in, scores out. Processes that fit load no more than this."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError, StoreError
from ser_store.heads.classifiers import Classifier, describe_settings, fit_classifier, make_estimator, score_classes
from ser_store.voting.fitted import sum_weighted

Combine = Literal["average", "pool"]
Tune = bool | Mapping[str, Sequence[Any]]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Input:
    """Representations that one head is fitted on, of several members or layers side by side.

    Attributes:
        members: full names.
        layers: the layers of each; None for the last one where none was named.
        versions: what holds further versions of the same utterances, each as many members.
    """

    members: tuple[str, ...]
    layers: tuple[int | None, ...] = (None,)
    versions: tuple[tuple[str, ...], ...] = ()

    @property
    def source(self) -> str:
        return "+".join(self.members)

    @property
    def layer(self) -> int | str | None:
        return self.layers[0] if len(self.layers) == 1 else "+".join(map(str, self.layers))


@dataclass(frozen=True)
class Trial:
    """One way to make a head.

    Attributes:
        kind: of the classifier.
        input: what it is fitted on.
        estimator: what is made or cloned for each fit, its settings among it.
        settings: those that tuning tries; nothing where it does not.
        components: principal components of the input, see :func:`~ser_store.heads.classifiers.fit_classifier`.
    """

    kind: str
    input: Input
    estimator: Any
    settings: Mapping[str, Any]
    components: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "source": self.input.source,
            "layer": self.input.layer,
            "settings": describe_settings(self.settings),
        }


@dataclass(frozen=True, eq=False)
class Examples:
    """The utterances that heads are fitted on and score, all in one order.

    Attributes:
        features: ``(n, d)`` for each input, ``(n, v, d)`` for one with v versions of each utterance.
        labels: ``(n,)`` class indices.
        speakers: ``(n,)``; None if the corpus knows none.
        n_classes: of the corpus.
    """

    features: Mapping[Input, NDArray[np.floating]]
    labels: NDArray[np.integer[Any]]
    speakers: NDArray[np.str_] | None
    n_classes: int


def list_trials(classifier: Classifier, one: Input, tune: Tune) -> list[Trial]:
    """Return a trial for each combination of settings; one alone where nothing is tuned.

    Raises:
        StoreError: if the grid names no parameter of the classifier.
    """
    if tune is False:
        return [Trial(classifier.kind, one, classifier.estimator, {}, classifier.components)]
    from sklearn.model_selection import ParameterGrid

    grid = classifier.grid if tune is True else tune
    known = make_estimator(classifier.estimator).get_params()
    for name, values in grid.items():
        if name not in known or not isinstance(values, list | tuple | np.ndarray) or not len(values):
            raise StoreError(
                f"`tune` has {name}: {values!r}: expected a list of values for each of some parameters of "
                f"{classifier.kind}: {', '.join(known)}"
            )
    return [
        Trial(
            classifier.kind,
            one,
            make_estimator(classifier.estimator).set_params(**settings),
            settings,
            classifier.components,
        )
        for settings in ParameterGrid({name: _list_values(values) for name, values in grid.items()})
    ]


def _list_values(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


@dataclass(frozen=True, eq=False)
class FittedTrial:
    """A head that was fitted.

    Attributes:
        trial: the way it was made.
        pipeline: of scikit-learn.
        known: the classes that it was fitted on, ascending.
        n_train: the number of utterances that it was fitted on.
        n_classes: of the corpus.
    """

    trial: Trial
    pipeline: Any
    known: NDArray[np.integer[Any]]
    n_train: int
    n_classes: int

    def score(self, features: NDArray[np.floating]) -> tuple[NDArray[Any], str]:
        """Return what it says of ``(n, d)`` features, on average of ``(n, v, d)``, and what that is.

        Raises:
            CorpusError: if it says nothing of them.
            StoreError: if it predicts classes alone of several versions.
        """
        flat = features.reshape(-1, features.shape[-1])
        with _stated_refusal(self.trial, self.n_train):
            said, what = score_classes(self.pipeline, flat, known=self.known, n_classes=self.n_classes)
        if features.ndim == 2:
            return said, what
        if what == "predicted":
            raise StoreError(f"`augment` with {self.trial.kind}, which predicts classes alone: expected scores")
        versions = np.moveaxis(said.reshape(*features.shape[:2], -1), 1, 0)
        if what == "scores":
            return versions.mean(axis=0), what
        return sum_weighted(versions, [1 / len(versions)] * len(versions)).astype(np.float32), what


@dataclass(frozen=True, eq=False)
class KeptTrial:
    """A head of one fold as it was fitted.

    Attributes:
        input: the representations that it takes, by the names in its own store.
        known: the classes that it was fitted on, ascending.
        weight: in the sum of those of its fold.
        pipeline: of scikit-learn.
    """

    input: Input
    known: NDArray[np.integer[Any]]
    weight: float
    pipeline: Any

    def score(self, features: NDArray[np.floating], *, n_classes: int) -> tuple[NDArray[Any], str]:
        """Return what it says of ``(n, d)`` features, and what that is.

        Raises:
            StoreError: if it was fitted on another number of them.
        """
        expected = self.pipeline.n_features_in_
        if features.shape[1] != expected:
            raise StoreError(f"{self.input.source} has {features.shape[1]} numbers an utterance: expected {expected}")
        return score_classes(self.pipeline, features, known=self.known, n_classes=n_classes)


def fit_and_score(trial: Trial, examples: Examples, train: Places, scored: Places) -> tuple[NDArray[Any], str]:
    """Return what a head that is fitted on ``train`` says of ``scored``, and what that is; see :func:`fit_trial`."""
    return fit_trial(trial, examples, train).score(examples.features[trial.input][scored])


def fit_trial(trial: Trial, examples: Examples, train: Places) -> FittedTrial:
    """Return a head that is fitted on ``train``.

    Raises:
        CorpusError: if it cannot be fitted.
    """
    features, labels = examples.features[trial.input][train], examples.labels[train]
    flat = features.reshape(-1, features.shape[-1])
    with _stated_refusal(trial, len(train)):
        fitted = fit_classifier(trial.estimator, flat, labels.repeat(len(flat) // len(labels)), trial.components)
    return FittedTrial(trial, fitted, np.unique(labels), len(train), examples.n_classes)


@contextmanager
def _stated_refusal(trial: Trial, n_train: int) -> Iterator[None]:
    """Say in one line what scikit-learn refuses; some classifiers refuse too few utterances when they score."""
    try:
        yield
    except ValueError as problem:
        reason = str(problem).splitlines()[0][:160]
        raise CorpusError(
            f"{trial.kind} cannot be fitted on {n_train} utterances of {trial.input.source} ({reason}): expected "
            "more of them, or another `kind`"
        ) from problem


def sum_scores(
    said: Sequence[tuple[NDArray[Any], str]], weights: Sequence[float], combine: Combine | None
) -> tuple[NDArray[Any], str]:
    """Return the weighted sum of what several heads say as log-probabilities, and what that is; of one what it says.

    Raises:
        StoreError: if one predicts classes alone, or they are averaged and not on one scale.
    """
    if combine is None:
        return said[0]
    if any(what == "predicted" for _, what in said):
        raise StoreError(f"`combine` {combine} of heads that predict classes alone: expected scores of each head")
    if combine == "average" and {what for _, what in said} != {"log-probabilities"}:
        found = ", ".join(dict.fromkeys(what for _, what in said))
        raise StoreError(
            f"`combine` average of heads that give {found}: expected log-probabilities of each; `combine` pool fits a "
            "weight for each, whatever its scale"
        )
    total = sum_weighted([scores for scores, _ in said], weights)
    return total.astype(np.float32), "log-probabilities"


def join_folds(parts: Sequence[tuple[NDArray[Any], str]]) -> tuple[NDArray[Any], str]:
    """Return what the heads of all folds say, one after the other, and what that is.

    Where of some folds the classes alone are sure, of all of them the classes.
    """
    kinds = {what for _, what in parts}
    if len(kinds) == 1:
        return np.concatenate([said for said, _ in parts]), parts[0][1]
    answers = [said if what == "predicted" else said.argmax(axis=1).astype(np.int16) for said, what in parts]
    return np.concatenate(answers), "predicted"
