"""What others vote with: libraries that vote one ensemble at a time, and the search that one writes in numpy."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Votes = NDArray[np.integer[Any]]


class Recorded:
    """A fitted classifier whose outputs are known, for voters that want classifiers; rows are not looked at."""

    def __init__(self, predicted: Votes, probabilities: NDArray[np.float32]) -> None:
        self.predicted, self.probabilities = predicted, probabilities

    def predict(self, _rows: Any) -> Votes:
        return self.predicted

    def predict_proba(self, _rows: Any) -> NDArray[np.float32]:
        return self.probabilities


# Votes when it is called; whatever a library wants to know beforehand has been told.
Ballot = Callable[[], Votes]


@dataclass(frozen=True)
class Voter:
    """A library's way to vote.

    Attributes:
        name: of the function or class.
        library: what to import.
        rule: ``hard`` or ``soft``.
        prepare: takes ``(k, n)`` votes and ``(k, n, c)`` probabilities of one ensemble; what it returns is called for
            the ``(n,)`` class indices, and timed.
    """

    name: str
    library: str
    rule: str
    prepare: Callable[[Votes, NDArray[np.float32]], Ballot]


def prepare_pandas(votes: Votes, _probabilities: Any) -> Ballot:
    frame = import_module("pandas").DataFrame(votes.T)
    return lambda: frame.mode(axis=1)[0].to_numpy()


def prepare_scipy(votes: Votes, _probabilities: Any) -> Ballot:
    mode = import_module("scipy.stats").mode
    return lambda: mode(votes, axis=0).mode


def prepare_sklearn(votes: Votes, probabilities: NDArray[np.float32], *, voting: str = "hard") -> Ballot:
    """The voting step of a ``VotingClassifier``, whose members are fitted."""
    k, n, n_classes = probabilities.shape
    names = [(str(member), None) for member in range(k)]
    voter = import_module("sklearn.ensemble").VotingClassifier(names, voting=voting)
    voter.estimators_ = [Recorded(*member) for member in zip(votes, probabilities, strict=True)]
    voter.le_ = import_module("sklearn.preprocessing").LabelEncoder().fit(np.arange(n_classes))
    voter.classes_ = voter.le_.classes_
    return partial(voter.predict, np.empty((n, 1)))


def prepare_mlxtend(votes: Votes, probabilities: NDArray[np.float32], *, voting: str = "hard") -> Ballot:
    """The voting step of an ``EnsembleVoteClassifier``, whose members are fitted."""
    n, n_classes = probabilities.shape[1:]
    members = [Recorded(*member) for member in zip(votes, probabilities, strict=True)]
    voter_class = import_module("mlxtend.classifier").EnsembleVoteClassifier
    voter = voter_class(members, voting=voting, fit_base_estimators=False, use_clones=False)
    # What it is fitted on only tells it the classes.
    voter.fit(np.empty((n_classes, 1)), np.arange(n_classes))
    return partial(voter.predict, np.empty((n, 1)))


VOTERS = (
    Voter("pandas mode", "pandas", "hard", prepare_pandas),
    Voter("scipy.stats.mode", "scipy", "hard", prepare_scipy),
    Voter("scikit-learn VotingClassifier", "sklearn", "hard", prepare_sklearn),
    Voter("mlxtend EnsembleVoteClassifier", "mlxtend", "hard", prepare_mlxtend),
    Voter("scikit-learn VotingClassifier", "sklearn", "soft", partial(prepare_sklearn, voting="soft")),
    Voter("mlxtend EnsembleVoteClassifier", "mlxtend", "soft", partial(prepare_mlxtend, voting="soft")),
)


@dataclass(frozen=True)
class Baseline:
    """The search that one writes in numpy: ``vote`` takes ``(e, k)`` ensembles and returns ``(e,)`` utterances right.

    It is given ``block`` ensembles at a time.
    """

    name: str
    block: int
    vote: Callable[[NDArray[np.intp]], NDArray[np.int64]]


def make_one_hot(predictions: Votes, truth: Votes, n_classes: int) -> Baseline:
    """Hard voting by sums of one-hot votes."""
    onehot = (predictions[..., None] == np.arange(n_classes)).astype(np.uint8)

    def vote(combos: NDArray[np.intp]) -> NDArray[np.int64]:
        counted: NDArray[np.int64] = (onehot[combos].sum(1, dtype=np.uint8).argmax(-1) == truth).sum(1)
        return counted

    return Baseline("one-hot numpy", 2000, vote)


def make_means(probabilities: NDArray[np.float32], truth: Votes) -> Baseline:
    """Soft voting by means of float32 probabilities."""

    def vote(combos: NDArray[np.intp]) -> NDArray[np.int64]:
        counted: NDArray[np.int64] = (probabilities[combos].mean(1).argmax(-1) == truth).sum(1)
        return counted

    # Of a size that suits it: 100 ensembles of 288 utterances are 5 MB.
    return Baseline("float32 numpy", 100, vote)
