"""The classifiers that heads are, from arrays to scores."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.errors import StoreError
from ser_store_h5.names import list_names

MLP_EPOCHS = 200
# No probability is taken for less, so that its logarithm is finite.
_LEAST = 1e-12

HeadKind = Literal[
    "logreg", "svm", "linear-svm", "ridge", "lda", "knn", "forest", "extra-trees", "boosting", "mlp", "centroid"
]
ClassWeight = Literal["balanced"]


@dataclass(frozen=True)
class Kind:
    """A classifier of scikit-learn.

    Attributes:
        name: its module and class, below ``sklearn``.
        parameters: what differs from scikit-learn's defaults.
        grid: the settings that tuning tries, the most cautious first: of equals the first is taken.
        weighs: whether it can give every class the same weight.
        draws: whether fits with other seeds can differ.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    weighs: bool = False
    draws: bool = False

    def make(self) -> Any:
        module, name = self.name.split(".")
        return getattr(import_module(f"sklearn.{module}"), name)(**self.parameters)


_TREES: dict[str, Any] = {"n_estimators": 300}
HEADS: dict[HeadKind, Kind] = {
    "logreg": Kind(
        "linear_model.LogisticRegression", {"C": 0.1, "max_iter": 2000}, {"C": (0.001, 0.01, 0.1, 1.0)}, weighs=True
    ),
    # break_ties makes predict and the argmax of the decision function one and the same.
    "svm": Kind(
        "svm.SVC",
        {"C": 10.0, "break_ties": True, "decision_function_shape": "ovr"},
        {"C": (1.0, 3.0, 10.0, 30.0)},
        weighs=True,
    ),
    "linear-svm": Kind("svm.LinearSVC", {"C": 0.001}, {"C": (0.0001, 0.001, 0.01)}, weighs=True, draws=True),
    "ridge": Kind("linear_model.RidgeClassifier", {"alpha": 1000.0}, {"alpha": (1e4, 1e3, 1e2, 1e1)}, weighs=True),
    "lda": Kind(
        "discriminant_analysis.LinearDiscriminantAnalysis",
        {"solver": "lsqr", "shrinkage": "auto"},
        {"shrinkage": (0.6, 0.3, 0.1, "auto")},
    ),
    "knn": Kind(
        "neighbors.KNeighborsClassifier", {"n_neighbors": 9, "weights": "distance"}, {"n_neighbors": (25, 15, 9, 5)}
    ),
    "forest": Kind("ensemble.RandomForestClassifier", _TREES, {"min_samples_leaf": (5, 2, 1)}, weighs=True, draws=True),
    "extra-trees": Kind(
        "ensemble.ExtraTreesClassifier", _TREES, {"min_samples_leaf": (5, 2, 1)}, weighs=True, draws=True
    ),
    "boosting": Kind(
        "ensemble.HistGradientBoostingClassifier",
        {"learning_rate": 0.05, "min_samples_leaf": 10},
        {"max_leaf_nodes": (8, 31)},
        weighs=True,
    ),
    # A fixed number of epochs: early stopping would need a validation part of every class, out of the training part.
    "mlp": Kind(
        "neural_network.MLPClassifier",
        {"hidden_layer_sizes": (128,), "alpha": 1.0, "max_iter": MLP_EPOCHS, "n_iter_no_change": MLP_EPOCHS},
        {"alpha": (10.0, 1.0, 0.1)},
        draws=True,
    ),
    "centroid": Kind("neighbors.NearestCentroid", {}, {"shrink_threshold": (None, 0.5, 1.0)}),
}


@dataclass(frozen=True)
class Unmade:
    """An estimator of a kind that is made where it is fitted: what only hands it on need not load scikit-learn.

    Attributes:
        kind: one of the ``HEADS``.
        class_weight: ``balanced`` or None.
        seed: of all that is drawn.
    """

    kind: HeadKind
    class_weight: ClassWeight | None
    seed: int

    def make(self) -> Any:
        own = HEADS[self.kind].make()
        if self.class_weight is not None:
            own.set_params(class_weight=self.class_weight)
        return _seed(own, self.seed)


@dataclass(frozen=True)
class Classifier:
    """What a head is before it is fitted.

    Attributes:
        kind: its name among the ``HEADS``; of a given estimator its class in small letters.
        estimator: what is made, or cloned, for each fit; see :func:`make_estimator`.
        grid: the settings that tuning tries.
        draws: whether fits with other seeds can differ.
        components: principal components of its inputs, see :func:`fit_classifier`; None for the inputs themselves.
    """

    kind: str
    estimator: Any
    grid: Mapping[str, Sequence[Any]]
    draws: bool
    components: float | None = None


def choose_classifiers(
    kind: str | Sequence[str] | None, estimator: Any, *, class_weight: ClassWeight | None, seed: int
) -> list[Classifier]:
    """Return the classifiers that are asked for, in the order given.

    Args:
        kind: one of the ``HEADS``, or several; None for logistic regression, or where there is an estimator.
        estimator: of scikit-learn, or one that follows its rules; None where there is a kind.
        class_weight: ``balanced`` to give every class the same weight; None to leave each utterance its own.
        seed: what is drawn by: each ``random_state`` that is None, of the steps of a pipeline as well.

    Raises:
        StoreError: if both are given, the estimator is none, or a kind knows no weights.
        UnknownNameError: naming the nearest kind.
    """
    if estimator is not None:
        if kind is not None:
            raise StoreError(f"got `kind` {kind} and an `estimator`: expected one of the two")
        if class_weight is not None:
            raise StoreError("got `class_weight` and an `estimator`: expected one of the two; weigh in the estimator")
        return [_take_estimator(estimator, seed)]
    kinds = list_names("logreg" if kind is None else kind)
    if not kinds:
        raise StoreError("`kind` is an empty list: expected a name, or several")
    return [_make_classifier(one, class_weight, seed) for one in dict.fromkeys(kinds)]


def _make_classifier(kind: Any, class_weight: ClassWeight | None, seed: int) -> Classifier:
    check_choice("head", kind, HEADS)
    described: Kind = HEADS[kind]
    if class_weight is not None:
        check_choice("class weight", class_weight, ["balanced"])
        if not described.weighs:
            able = ", ".join(name for name, other in HEADS.items() if other.weighs)
            raise StoreError(f"`class_weight` is {class_weight}, and {kind} weighs no classes: expected one of {able}")
    return Classifier(kind, Unmade(kind, class_weight, seed), described.grid, described.draws)


def _take_estimator(estimator: Any, seed: int) -> Classifier:
    if isinstance(estimator, type) or not all(
        hasattr(estimator, method) for method in ("fit", "predict", "get_params")
    ):
        raise StoreError(
            f"`estimator` is {estimator!r}: expected an instance of a scikit-learn classifier or pipeline, such as "
            "LogisticRegression(C=1)"
        )
    from sklearn.base import clone

    own = clone(estimator)
    last = own[-1] if hasattr(own, "steps") else own
    return Classifier(type(last).__name__.lower(), _seed(own, seed), {}, bool(_list_unseeded(estimator)))


def _seed(estimator: Any, seed: int) -> Any:
    return estimator.set_params(**dict.fromkeys(_list_unseeded(estimator), seed))


def _list_unseeded(estimator: Any) -> list[str]:
    """The parameters of an estimator, and of the steps of a pipeline, that are seeds and not given."""
    given = estimator.get_params().items()
    return [name for name, value in given if value is None and name.rpartition("__")[2] == "random_state"]


def refuse_certain(classifiers: Sequence[Classifier], seeds: int) -> None:
    """Refuse several seeds for classifiers that are the same with all of them.

    Raises:
        StoreError: naming these, and the kinds that draw.
    """
    certain = ", ".join(one.kind for one in classifiers if not one.draws)
    if certain:
        drawing = ", ".join(name for name, kind in HEADS.items() if kind.draws)
        raise StoreError(
            f"`seeds` is {seeds}, and {certain} by the parts of a split leaves nothing to chance: expected a `kind` "
            f"that draws ({drawing}), or folds that are drawn, by `cv` speaker"
        )


def check_components(pca: float, estimator: Any) -> float:
    """Return the number of principal components, or the share of the variance that they are to hold.

    Raises:
        StoreError: if it is neither, or the estimator is a pipeline.
    """
    expected = "a whole number from 1 on, or a share of the variance above 0 and below 1"
    check_number("pca", pca, StoreError, least=1e-6, expected=expected)
    number = int(pca) if pca == int(pca) else pca
    check_number("pca", number, StoreError, whole=pca >= 1, expected=expected)
    if hasattr(estimator, "steps"):
        raise StoreError(f"`pca` is {pca:g} and the `estimator` a pipeline: expected a PCA in it; leave `pca` out")
    return number


def make_estimator(estimator: Any) -> Any:
    """Return an estimator of its own: an unmade one made, any other cloned."""
    from sklearn.base import clone

    return estimator.make() if isinstance(estimator, Unmade) else clone(estimator)


def describe_estimator(estimator: Any) -> dict[str, Any]:
    """Return what a record keeps of an estimator: its class and its parameters, as far as JSON can say them.

    >>> from sklearn.linear_model import LogisticRegression
    >>> describe_estimator(LogisticRegression(C=1))["parameters"]["C"]
    1
    """
    if isinstance(estimator, Unmade):
        described = HEADS[estimator.kind]
        return {"class": described.name, "parameters": {**described.parameters, **vars(estimator)}}
    name = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    return {"class": name, "parameters": describe_settings(estimator.get_params())}


def describe_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON can say them: what is neither text nor number by its representation."""
    plain = (str, int, float, bool, type(None))
    return {name: value if isinstance(value, plain) else repr(value) for name, value in settings.items()}


def fit_classifier(
    estimator: Any,
    representations: NDArray[np.floating],
    labels: NDArray[np.integer[Any]],
    components: float | None = None,
) -> Any:
    """Fit an estimator of its own, with standardised inputs unless it is a pipeline; return the fitted pipeline.

    Args:
        estimator: of scikit-learn, or one that follows its rules.
        representations: ``(n, d)``.
        labels: ``(n,)`` class indices.
        components: principal components that take the place of the standardised inputs: a number, or below 1 as many
            as hold that share of the variance; not of pipelines. None: all inputs.

    Raises:
        ValueError: if scikit-learn refuses, as for too few utterances.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    own = make_estimator(estimator)
    reduced = [] if components is None else [PCA(components, svd_solver="full")]
    pipeline = own if isinstance(own, Pipeline) else make_pipeline(StandardScaler(), *reduced, own)
    # Double precision takes a network half as long again, and changed no answer where both were compared.
    dtype = np.float32 if type(own).__module__.startswith("sklearn.neural_network.") else np.float64
    # Small matrices: threads of the linear algebra would spend their time waiting for each other.
    # Of one utterance a class some kinds divide by 0, and then refuse what they get.
    with threadpool_limits(1), np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs of the MLP are fixed
        warnings.filterwarnings("ignore", "self.within_class_std_dev_")  # a feature of one value within classes
        return pipeline.fit(representations.astype(dtype), labels)


def score_classes(
    pipeline: Any, representations: NDArray[np.floating], *, known: NDArray[np.integer[Any]], n_classes: int
) -> tuple[NDArray[Any], str]:
    """Return the scores of a fitted head, and what they are.

    ``log-probabilities`` or ``scores`` (decision values), each ``(n, c)`` float32; or ``predicted``, ``(n,)`` int16
    class indices, of an estimator that knows no more than that. A class that it was not fitted on gets less than all
    others.

    Args:
        pipeline: of :func:`fit_classifier`.
        representations: ``(n, d)``.
        known: ascending, the classes that it was fitted on.
        n_classes: of the corpus.
    """
    wide = representations.astype(np.float64)
    if hasattr(pipeline, "predict_proba"):
        said = np.log(np.maximum(pipeline.predict_proba(wide), _LEAST)).astype(np.float32)
        return _spread(said, known, n_classes, np.log(_LEAST)), "log-probabilities"
    scores = pipeline.decision_function(wide) if hasattr(pipeline, "decision_function") else np.empty(0)
    if scores.ndim == 1 and len(scores) and len(known) == 2:
        scores = np.stack([-scores, scores], axis=1)
    if scores.shape == (len(wide), len(known)) and len(known) > 2 and getattr(pipeline[-1], "break_ties", False):
        # An SVC's answer is by definition the argmax of these, which it would compute once more.
        return _spread(scores.astype(np.float32), known, n_classes, float(scores.min()) - 1), "scores"
    predicted = np.asarray(pipeline.predict(wide), dtype=np.int16)
    # The values of three pairs of classes, as of an SVM that decides one against one, have the shape of three classes'.
    if scores.shape == (len(wide), len(known)) and np.array_equal(known[scores.argmax(axis=1)], predicted):
        return _spread(scores.astype(np.float32), known, n_classes, float(scores.min()) - 1), "scores"
    return predicted, "predicted"


def _spread(said: NDArray[Any], known: NDArray[Any], n_classes: int, least: float) -> NDArray[Any]:
    """Give the scores of known classes their columns among all, ``(n, n_classes)``; ``least`` stands in the others."""
    if len(known) == n_classes:
        return said
    spread = np.full((len(said), n_classes), least, dtype=said.dtype)
    spread[:, known] = said
    return spread
