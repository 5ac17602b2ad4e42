"""The ways to make a head, and what each says: arrays in, scores out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.common.log import LOGGER
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import CorpusError, StoreError
from ser_store.heads.classifiers import Classifier, describe_settings, fit_classifier, score_classes
from ser_store.heads.folds import Pairs
from ser_store.heads.inputs import Input, Normalise, load_input
from ser_store.voting.fitted import sum_weighted
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store

Combine = Literal["average", "pool"]
Tune = bool | Mapping[str, Sequence[Any]]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Trial:
    """One way to make a head.

    Attributes:
        kind: of the classifier.
        input: what it is fitted on.
        estimator: what is cloned for each fit, its settings among it.
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
        features: ``(n, d)`` for each input.
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
    from sklearn.base import clone
    from sklearn.model_selection import ParameterGrid

    if tune is False:
        return [Trial(classifier.kind, one, classifier.estimator, {}, classifier.components)]
    grid = classifier.grid if tune is True else tune
    known = classifier.estimator.get_params()
    for name, values in grid.items():
        if name not in known or not isinstance(values, list | tuple | np.ndarray) or not len(values):
            raise StoreError(
                f"`tune` has {name}: {values!r}: expected a list of values for each of some parameters of "
                f"{classifier.kind}: {', '.join(known)}"
            )
    return [
        Trial(classifier.kind, one, clone(classifier.estimator).set_params(**settings), settings, classifier.components)
        for settings in ParameterGrid({name: _list_values(values) for name, values in grid.items()})
    ]


def _list_values(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def load_examples(
    store: Store, inputs: Sequence[Input], pairs: Pairs, normalise: Normalise
) -> tuple[Examples, list[tuple[Places, Places]]]:
    """Load all utterances of the folds once; return them, and the places of each fold's rows among them.

    Args:
        pairs: of each fold the rows to fit on and to score.
    """
    rows = np.unique(np.concatenate([own for pair in pairs for own in pair]))
    features = {one: load_input(store, one, rows, normalise) for one in inputs}
    examples = Examples(
        features, store.corpus.labels[rows], store.corpus.speaker_groups(rows), len(store.corpus.classes)
    )
    return examples, [(np.searchsorted(rows, train), np.searchsorted(rows, scored)) for train, scored in pairs]


def report_absent_classes(run: str, corpus: Corpus, trains: Sequence[Rows]) -> None:
    """Say which classes heads cannot answer, since the utterances that they are fitted on have none.

    Raises:
        CorpusError: if they have less than two classes.
    """
    absent = [sorted(set(range(len(corpus.classes))) - set(corpus.labels[train].tolist())) for train in trains]
    missing = ", ".join(corpus.classes[index] for index in sorted({index for own in absent for index in own}))
    if any(len(own) > len(corpus.classes) - 2 for own in absent):
        raise CorpusError(
            f"the training utterances have none labelled {missing}: expected some of every class, of two at least"
        )
    if missing:
        folds = f" in {sum(map(bool, absent))} of {len(trains)} folds" if len(trains) > 1 else ""
        LOGGER.info(
            "caution: %s: the training utterances have none labelled %s%s: no head answers so", run, missing, folds
        )


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
        """Return what it says of ``(n, d)`` features, and what that is.

        Raises:
            CorpusError: if it says nothing of them.
        """
        with _stated_refusal(self.trial, self.n_train):
            return score_classes(self.pipeline, features, known=self.known, n_classes=self.n_classes)


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
    features, labels = examples.features[trial.input], examples.labels[train]
    with _stated_refusal(trial, len(train)):
        fitted = fit_classifier(trial.estimator, features[train], labels, trial.components)
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
