"""The classifiers that heads are, from arrays to scores."""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import StoreError

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


HeadKind = Literal["logreg", "svm", "mlp", "knn", "lda"]
HEADS: dict[HeadKind, Callable[[int], Any]] = {"logreg": _logreg, "svm": _svm, "mlp": _mlp, "knn": _knn, "lda": _lda}


def choose_estimator(kind: HeadKind | None, estimator: Any, *, seed: int) -> tuple[str, Any]:
    """Return the name of a head, and the estimator that is cloned for each fit.

    Args:
        kind: one of the ``HEADS``; None for logistic regression, or where there is an estimator.
        estimator: of scikit-learn, or one that follows its rules; None where there is a kind.
        seed: what is drawn by; of a given estimator each ``random_state`` that is None, its steps' as well.

    Raises:
        StoreError: if both are given, or the estimator is none.
        UnknownNameError: naming the nearest kind.
    """
    if estimator is None:
        kind = kind or "logreg"
        check_choice("head", kind, HEADS)
        return kind, HEADS[kind](seed)
    if kind is not None:
        raise StoreError(f"got `kind` {kind} and an `estimator`: expected one of the two")
    if isinstance(estimator, type) or not all(
        hasattr(estimator, method) for method in ("fit", "predict", "get_params")
    ):
        raise StoreError(
            f"`estimator` is {estimator!r}: expected an instance of a scikit-learn classifier or pipeline, such as "
            "LogisticRegression(C=1)"
        )
    from sklearn.base import clone

    own = clone(estimator)
    unset = {
        name: seed
        for name, value in own.get_params().items()
        if value is None and name.rpartition("__")[2] == "random_state"
    }
    own.set_params(**unset)
    last = own[-1] if hasattr(own, "steps") else own
    return type(last).__name__.lower(), own


def describe_estimator(estimator: Any) -> dict[str, Any]:
    """Return what a record keeps of an estimator: its class and its parameters, as far as JSON can say them.

    >>> from sklearn.linear_model import LogisticRegression
    >>> describe_estimator(LogisticRegression(C=1))["parameters"]["C"]
    1
    """
    plain = (str, int, float, bool, type(None))
    parameters = {
        name: value if isinstance(value, plain) else repr(value) for name, value in estimator.get_params().items()
    }
    return {"class": f"{type(estimator).__module__}.{type(estimator).__qualname__}", "parameters": parameters}


def fit_classifier(estimator: Any, representations: NDArray[np.floating], labels: NDArray[np.integer[Any]]) -> Any:
    """Fit a clone of an estimator, with standardised inputs unless it is a pipeline; return the fitted pipeline.

    Args:
        estimator: of scikit-learn, or one that follows its rules.
        representations: ``(n, d)``.
        labels: ``(n,)`` class indices, every class among them.

    Raises:
        ValueError: if scikit-learn refuses, as for too few utterances.
    """
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    own = clone(estimator)
    pipeline = own if isinstance(own, Pipeline) else make_pipeline(StandardScaler(), own)
    # Small matrices: threads of the linear algebra would spend their time waiting for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs of the MLP are fixed
        return pipeline.fit(representations.astype(np.float64), labels)


def score_classes(pipeline: Any, representations: NDArray[np.floating], *, n_classes: int) -> tuple[NDArray[Any], str]:
    """Return the scores of a fitted head, and what they are.

    ``log-probabilities`` or ``scores`` (decision values), each ``(n, c)`` float32; or ``predicted``, ``(n,)`` int16
    class indices, of an estimator that knows no more than that.

    Args:
        pipeline: of :func:`fit_classifier`.
        representations: ``(n, d)``.
        n_classes: of the corpus, all of which it was fitted on.
    """
    wide = representations.astype(np.float64)
    if hasattr(pipeline, "predict_proba"):
        return np.log(np.maximum(pipeline.predict_proba(wide), _LEAST)).astype(np.float32), "log-probabilities"
    scores = pipeline.decision_function(wide) if hasattr(pipeline, "decision_function") else np.empty(0)
    if scores.ndim == 1 and len(scores) and n_classes == 2:
        scores = np.stack([-scores, scores], axis=1)
    predicted = np.asarray(pipeline.predict(wide), dtype=np.int16)
    # The values of three pairs of classes, as of an SVM that decides one against one, have the shape of three classes'.
    if scores.shape == (len(wide), n_classes) and np.array_equal(scores.argmax(axis=1), predicted):
        return scores.astype(np.float32), "scores"
    return predicted, "predicted"
