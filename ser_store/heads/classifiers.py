"""The kinds of heads, from arrays to scores."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import UnknownNameError, describe_unknown

MLP_EPOCHS = 200
# No probability is taken for less, so that its logarithm is finite.
_LEAST = 1e-12


def _logreg(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, max_iter=2000, random_state=seed)


def _svm(seed: int) -> Any:
    from sklearn.svm import SVC

    # break_ties makes predict and the argmax of the decision function one and the same.
    return SVC(C=10.0, break_ties=True, decision_function_shape="ovr", random_state=seed)


def _mlp(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    # A fixed number of epochs: early stopping would need a validation part of every class, out of the training part.
    return MLPClassifier(
        hidden_layer_sizes=(128,), alpha=1.0, max_iter=MLP_EPOCHS, n_iter_no_change=MLP_EPOCHS, random_state=seed
    )


def _knn(seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=9, weights="distance")


def _lda(seed: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


HEADS: dict[str, Callable[[int], Any]] = {"logreg": _logreg, "svm": _svm, "mlp": _mlp, "knn": _knn, "lda": _lda}


def check_head(kind: str) -> None:
    """Refuse a kind of head that there is not.

    Raises:
        UnknownNameError: naming the nearest kind.
    """
    if kind not in HEADS:
        raise UnknownNameError(describe_unknown("head", kind, HEADS))


def fit_classifier(
    kind: str, representations: NDArray[np.floating], labels: NDArray[np.integer[Any]], *, seed: int
) -> Any:
    """Fit a head with standardised inputs; return scikit-learn's pipeline.

    Args:
        kind: of ``HEADS``.
        representations: ``(n, d)``.
        labels: ``(n,)`` class indices, every class among them.
        seed: of what is random in the fit.

    Raises:
        ValueError: if scikit-learn refuses, as for too few utterances.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    pipeline = make_pipeline(StandardScaler(), HEADS[kind](seed))
    # Small matrices: threads of the linear algebra would spend their time waiting for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs of the MLP are fixed
        return pipeline.fit(representations.astype(np.float64), labels)


def score_classes(pipeline: Any, representations: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the scores of a fitted head, ``(n, c)`` float32: log-probabilities, or an SVM's decision values.

    Args:
        pipeline: of :func:`fit_classifier`.
        representations: ``(n, d)``.
    """
    wide = representations.astype(np.float64)
    if hasattr(pipeline[-1], "predict_proba"):
        scores = np.log(np.maximum(pipeline.predict_proba(wide), _LEAST))
    else:
        scores = pipeline.decision_function(wide)
        scores = np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
    return np.asarray(scores, dtype=np.float32)
