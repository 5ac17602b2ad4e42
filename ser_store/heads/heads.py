"""``head``: lightweight classifiers on cached pooled representations, whose scores are members again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.common.provenance import list_versions
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.corpora.splits.train_eval_rows import Rows, choose_train_eval_rows
from ser_store.errors import CorpusError, ExistsError, StoreError
from ser_store.evaluation.score_kinds import name_head_scores
from ser_store.heads.classifiers import (
    HEADS,
    HeadKind,
    choose_estimator,
    describe_estimator,
    fit_classifier,
    score_classes,
)
from ser_store.heads.folds import cross_validate
from ser_store.heads.inputs import Layers, Normalise, find_sources, list_layers, load_inputs
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, list_names, parse_member
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

# What the folds of a cross-validation keep together.
_SUFFIXES = {"train": "", "speaker": "-by-speaker", "corpus": "-by-corpus"}
LOGGER = logging.getLogger("ser_store")


@dataclass(frozen=True)
class FittedHead:
    """A head that was fitted.

    Attributes:
        member: the name of the new member.
        source: the member whose pooled representations it was fitted on.
        kind: the kind of head.
        n_train: utterances it was fitted on; with cross-validation, in the largest fold's complement.
        n_scored: utterances it scored, none of which it was fitted on.
    """

    member: str
    source: str
    kind: str
    n_train: int
    n_scored: int


def head(
    store: StoreLike,
    sources: str | Sequence[str] = (),
    *,
    kind: HeadKind | None = None,
    estimator: Any = None,
    layer: Layers = None,
    normalise: Normalise = "train",
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | None = None,
    folds: int | None = None,
    seed: int = 42,
    progress: ProgressLike = False,
) -> list[FittedHead]:
    """Fit a lightweight classifier on cached representations, and keep its scores as a member.

    Inputs are standardised, unless the estimator is a pipeline. No utterance is scored by a head that was fitted on it.
    What is kept are log-probabilities; of an estimator without probabilities its decision values, such as an SVM's; of
    one without these the classes that it predicts.

    Args:
        store: a store, or its path.
        sources: members with pooled representations, or with logits if they have no others; one head is fitted on
            each. Default: the selected step of every run, where it has representations of the whole corpus.
        kind: ``logreg`` (logistic regression, the default), ``svm`` (with an RBF kernel), ``mlp`` (one hidden layer of
            128 units), ``knn`` (nine neighbours) or ``lda`` (linear discriminant analysis).
        estimator: a scikit-learn classifier or pipeline in place of a kind. It is cloned, and not fitted itself.
        layer: of members that were extracted with several layers, the number of one, a list of them, or ``all``: a head
            each, called ``whisper-base-l3-logreg``. Default: the last layer.
        normalise: what inputs are standardised on: the utterances that the head is fitted on (``train``), all of each
            speaker's own (``speaker``), or the whole corpus (``corpus``). The last two look at recordings that are
            scored, without their labels, which every figure says.
        run: the name of the head's run, for a single source. Default: the source's run, ``-`` and the kind.
        split: the split to fit by: on its training part, scoring all others. Default: the store's default split.
        fold: of a split into folds, the number of the fold that is scored; the head is fitted on the others.
        cv: cross-validate in place of a split: score every utterance by a head that was fitted without its fold, of
            whole speakers (``speaker``) or of single utterances (``utterance``), classes spread evenly; or those of a
            split that consists of folds, by its name.
        folds: the number of folds that ``cv`` draws, at least 2. Default: 5.
        seed: the seed of the folds and of the classifier; of an estimator, of each ``random_state`` that is None.
        progress: show a bar over the fits; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Returns:
        For each source the name of the new member, and the number of utterances that it was fitted on and scores.

    Raises:
        StoreError: if there is nothing to fit on, one run's name is given for several heads, both a kind and an
            estimator are given, a member lacks the layer, or a number is out of range.
        CorpusError: if the training utterances lack a class, or there are too few of them or of their speakers.
        ExistsError: if the store has a run of this name that was fitted otherwise, or has this step.
        UnknownNameError: if there is no such member, kind, split or cross-validation.

    >>> import numpy as np, ser_store as ss
    >>> from sklearn.linear_model import LogisticRegression
    >>> draw, ids = np.random.default_rng(0), [f"u{n}" for n in range(40)]
    >>> store = ss.Store.create("heads.store", ids=ids, labels=["sad", "happy"] * 20, speakers=list("abcdefgh") * 5)
    >>> name = store.add("mine", ids=ids, pooled=draw.normal(size=(40, 4)))
    >>> ss.head(store, "mine", estimator=LogisticRegression(C=1), cv="speaker")[0].member
    'mine-logisticregression@0'
    """
    store = open_store(store)
    sources = list_names(sources)
    chosen = list(sources) or find_sources(store, layer)
    if run is not None and len(chosen) > 1:
        raise StoreError(
            f"`run` {run} with {len(chosen)} sources ({', '.join(chosen)}): expected one; name it with `sources`"
        )
    pairs = [(one, number) for one in chosen for number in list_layers(store, one, layer)]
    if run is not None and len(pairs) > 1:
        raise StoreError(f"`run` {run} with {len(pairs)} layers of {chosen[0]}: expected one; leave `run` out")
    return [
        fit_head(
            store,
            one,
            kind=kind,
            estimator=estimator,
            layer=number,
            normalise=normalise,
            run=run,
            split=split,
            fold=fold,
            cv=cv,
            folds=folds,
            seed=seed,
            progress=progress,
        )
        for one, number in pairs
    ]


def fit_head(
    store: Store,
    source: str,
    *,
    kind: HeadKind | None = None,
    estimator: Any = None,
    layer: int | None = None,
    normalise: Normalise = "train",
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | None = None,
    folds: int | None = None,
    seed: int = 42,
    progress: ProgressLike = False,
) -> FittedHead:
    """Fit a head on one source, as :func:`head` does, which describes the parameters and what is raised."""
    check_number("seed", seed, StoreError, least=0, whole=True)
    if folds is not None:
        check_number("folds", folds, StoreError, least=2, whole=True)
    check_choice("normalisation", normalise, get_args(Normalise))
    called, model = choose_estimator(kind, estimator, seed=seed)
    source_run, step = store.resolve(source)
    source = format_member(source_run, step)
    run = run or f"{source_run}-{'' if layer is None else f'l{layer}-'}{called}{_SUFFIXES[normalise]}"
    if cv is None:
        train_eval = choose_train_eval_rows(store.corpus, split=split, fold=fold)
        pairs = [(train_eval.train, train_eval.evaluated)]
        protocol = {"split": split or store.corpus.default_split, "fold": fold, "cv": None, "folds": None}
    else:
        pairs = cross_validate(store.corpus, store.read_member(source).rows, cv, folds=folds, seed=seed)
        protocol = {"split": None, "fold": None, "cv": cv, "folds": len(pairs)}
    details: dict[str, Any] = {"source": source, "head": called, **protocol, "seed": seed}
    if layer is not None:
        details["layer"] = layer
    if normalise != "train":
        details["normalise"] = normalise
    if estimator is not None:
        details["estimator"] = describe_estimator(model)
    info = store.describe_member(source)
    if info.pooled is None and info.logits is not None and layer is None:
        details["inputs"] = "logits"
        LOGGER.info("%s has no representations: the head is fitted on its logits", source)
    record = _describe_run(store, run, source, pairs, details)
    if store.has_run(run):
        _refuse_other(store, record, step)
    scored = np.concatenate([held_out for _, held_out in pairs])
    shown = to_progress(progress)(pairs, total=len(pairs), label=f"{called} on {source}")
    parts = [_fit_and_score(store, source, called, model, *pair, layer=layer, normalise=normalise) for pair in shown]
    if len({what for _, what in parts}) > 1:  # of some folds the classes alone are sure
        parts = [
            (own if what == "predicted" else own.argmax(axis=1).astype(np.int16), "predicted") for own, what in parts
        ]
    said, order = np.concatenate([one for one, _ in parts]), np.argsort(scored)
    if not store.has_run(run):
        store.add_run(record.updated(**_name_scores(called, parts[0][1])))
    provenance = {"source": source, "head": called, "cv": cv, "seed": seed}
    held: dict[str, Any] = {"predicted" if parts[0][1] == "predicted" else "logits": said[order]}
    store.write_member(Member(run, step, scored[order], provenance=provenance, **held))
    return FittedHead(
        member=format_member(run, step),
        source=source,
        kind=called,
        n_train=max(len(train) for train, _ in pairs),
        n_scored=len(scored),
    )


def _describe_run(
    store: Store, run: str, source: str, pairs: Sequence[tuple[Rows, Rows]], details: dict[str, Any]
) -> RunRecord:
    """Return the record of a head's run, which has learned from all that its source has learned from.

    Of a source that does not say what it has learned from, nothing is known of the head either.
    """
    source_run, n = parse_member(source)[0], len(store.corpus)
    below = find_fitted(store, source_run)
    fitted = {} if below is None else {KEY: Fitted.by_fold(pairs, n).joined(below).to_json()}
    return RunRecord(
        run=run, kind="head", backbone=source_run, details={**details, **fitted, "versions": list_versions()}
    )


def _name_scores(kind: str, found: str) -> dict[str, str]:
    """Return what the record says of the scores: nothing where only classes are predicted."""
    if found == "predicted":
        return {}
    return {"scores": name_head_scores(kind) if kind in HEADS else found}


def _refuse_other(store: Store, record: RunRecord, step: int) -> None:
    """Refuse a run of the name that has this step, or was fitted otherwise: its steps share one protocol.

    Raises:
        ExistsError: saying what differs.
    """
    there = store.run(record.run)
    names = ("head", "estimator", "layer", "normalise", "split", "fold", "cv", "folds", "seed")
    differing = [name for name in names if there.details.get(name) != record.details.get(name)]
    if (there.kind, there.backbone) != (record.kind, record.backbone):
        differing = []
    elif not differing and step not in store.steps(record.run):
        return
    if not differing:
        store.refuse_run(record.run)
    before, now = (", ".join(f"{name} {one.details.get(name)}" for name in differing) for one in (there, record))
    marks = [str(record.details[name]) for name in ("split", "fold", "cv") if record.details[name] is not None]
    raise ExistsError(
        f"run {record.run} is in {store.path} already, fitted with {before}: this one has {now}; keep both with "
        f"`run` {'-'.join([record.run, *marks])}"
    )


def _fit_and_score(
    store: Store,
    source: str,
    kind: str,
    estimator: Any,
    train: Rows,
    held_out: Rows,
    *,
    layer: int | None,
    normalise: Normalise,
) -> tuple[NDArray[Any], str]:
    """Return what a head that is fitted on ``train`` says of ``held_out``, and what that is."""
    corpus = store.corpus
    labels = corpus.labels[train]
    if absent := ", ".join(name for index, name in enumerate(corpus.classes) if index not in labels):
        raise CorpusError(f"the training utterances have none labelled {absent}: expected some of every class")
    try:
        fitted = fit_classifier(estimator, load_inputs(store, source, train, layer, normalise), labels)
    except ValueError as problem:
        reason = str(problem).splitlines()[0][:160]
        raise CorpusError(
            f"{kind} cannot be fitted on {len(train)} utterances of {source} ({reason}): expected more of them, or "
            "another `kind`"
        ) from problem
    return score_classes(fitted, load_inputs(store, source, held_out, layer, normalise), n_classes=len(corpus.classes))
