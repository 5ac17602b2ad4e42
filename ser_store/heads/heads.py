"""Heads: lightweight classifiers on cached pooled representations. Their scores are members again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.log import report_left_out
from ser_store.common.provenance import list_versions
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.corpora.splits.train_eval_rows import Rows, choose_train_eval_rows
from ser_store.errors import CorpusError, ExistsError, StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.member_choice import list_readable
from ser_store.evaluation.score_kinds import name_head_scores
from ser_store.heads.classifiers import (
    HEADS,
    check_head,
    describe_estimator,
    fit_classifier,
    make_classifier,
    score_classes,
)
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, list_names, parse_member
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

LOGGER = logging.getLogger("ser_store")


@dataclass(frozen=True)
class FittedHead:
    """What fitting a head gave.

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
    kind: str | None = None,
    estimator: Any = None,
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | None = None,
    folds: int = 5,
    seed: int = 42,
    progress: ProgressLike = False,
) -> list[FittedHead]:
    """Fit a lightweight classifier on each member named, and keep its scores as a member; see :func:`fit_head`.

    Args:
        store: a store, or its path.
        sources: members with pooled representations, or logits if they have no others. Default: of every run the
            selected step, where it has representations of the whole corpus.
        progress: show a bar over the fits; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Raises:
        StoreError: if no member can be fitted on, or one name was given to several heads.

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
    chosen = list(sources) or _find_sources(store)
    if run is not None and len(chosen) > 1:
        raise StoreError(
            f"--run {run} with {len(chosen)} sources ({', '.join(chosen)}): expected one; name it with --from"
        )
    return [
        fit_head(
            store,
            one,
            kind=kind,
            estimator=estimator,
            run=run,
            split=split,
            fold=fold,
            cv=cv,
            folds=folds,
            seed=seed,
            progress=progress,
        )
        for one in chosen
    ]


def _find_sources(store: Store) -> list[str]:
    n = len(store.corpus)
    chosen, left_out = list_readable(store, holds=lambda member: member.pooled is not None and member.n == n)
    report_left_out(left_out)
    if not chosen:
        raise StoreError(
            f"{store.path} has no member with pooled representations of the whole corpus: make one with `extract()`"
        )
    return chosen


def fit_head(
    store: Store,
    source: str,
    *,
    kind: str | None = None,
    estimator: Any = None,
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | None = None,
    folds: int = 5,
    seed: int = 42,
    progress: ProgressLike = False,
) -> FittedHead:
    """Fit a head on the training part and add its scores for all other utterances as a member.

    Representations are standardised on the utterances the head is fitted on. Scores are log-probabilities, or an SVM's
    decision values; no utterance is scored by a head that has seen it.

    Args:
        source: a member with pooled representations.
        kind: ``logreg`` (the default), ``svm`` (RBF), ``mlp``, ``knn`` or ``lda``.
        estimator: a scikit-learn classifier or pipeline instead; it is cloned, never fitted itself. Inputs are
            standardised unless it is a pipeline. Of one without probabilities the decision values are kept, of one
            without these the predicted classes.
        run: default: the source's run, ``-`` and the kind.
        cv: ``speaker`` or ``utterance``: score every utterance out of fold, in ``folds`` folds, instead of by split.

    Raises:
        StoreError: if the source lacks utterances or representations.
        ExistsError: if the store has a run of this name with this step.
    """
    kind, model = _choose_estimator(kind, estimator, seed=seed)
    source_run, step = store.resolve(source)
    source = format_member(source_run, step)
    run = run or f"{source_run}-{kind}"
    if cv is None:
        train_eval = choose_train_eval_rows(store.corpus, split=split, fold=fold)
        pairs = [(train_eval.train, train_eval.evaluated)]
        protocol = {"split": split or store.corpus.default_split, "fold": fold, "cv": None, "folds": None}
    else:
        pairs = _cross_validate(store, source, cv, folds, seed)
        protocol = {"split": None, "fold": None, "cv": cv, "folds": folds}
    details: dict[str, Any] = {"source": source, "head": kind, **protocol, "seed": seed}
    if estimator is not None:
        details["estimator"] = describe_estimator(estimator)
    info = store.describe_member(source)
    if info.pooled is None and info.logits is not None:
        details["inputs"] = "logits"
        LOGGER.info("%s has no representations: the head is fitted on its logits", source)
    record = _describe_run(store, run, source, pairs, details)
    if store.has_run(run):
        _refuse_other(store, record, step)
    scored = np.concatenate([held_out for _, held_out in pairs])
    shown = to_progress(progress)(pairs, total=len(pairs), label=f"{kind} on {source}")
    parts = [_fit_and_score(store, source, kind, model, *pair) for pair in shown]
    if len({what for _, what in parts}) > 1:  # of some folds the classes alone are sure
        parts = [
            (own if what == "predicted" else own.argmax(axis=1).astype(np.int16), "predicted") for own, what in parts
        ]
    said, order = np.concatenate([one for one, _ in parts]), np.argsort(scored)
    if not store.has_run(run):
        store.add_run(record.updated(**_name_scores(kind, parts[0][1])))
    provenance = {"source": source, "head": kind, "cv": cv, "seed": seed}
    held: dict[str, Any] = {"predicted" if parts[0][1] == "predicted" else "logits": said[order]}
    store.write_member(Member(run, step, scored[order], provenance=provenance, **held))
    return FittedHead(
        member=format_member(run, step),
        source=source,
        kind=kind,
        n_train=max(len(train) for train, _ in pairs),
        n_scored=len(scored),
    )


def _describe_run(
    store: Store, run: str, source: str, pairs: Sequence[tuple[Rows, Rows]], details: dict[str, Any]
) -> RunRecord:
    """The record of a head's run; what its source has learned from, the head has learned from too.

    Of a source that does not say what it has learned from, nothing is known of the head either.
    """
    source_run, n = parse_member(source)[0], len(store.corpus)
    below = find_fitted(store, source_run)
    fitted = {} if below is None else {KEY: Fitted.by_fold(pairs, n).joined(below).to_json()}
    return RunRecord(
        run=run, kind="head", backbone=source_run, details={**details, **fitted, "versions": list_versions()}
    )


def _choose_estimator(kind: str | None, estimator: Any, *, seed: int) -> tuple[str, Any]:
    """The name of a head, and the estimator that is cloned for each fit.

    Raises:
        StoreError: if both are given, or the estimator is none.
        UnknownNameError: if there is no such kind.
    """
    if estimator is None:
        kind = kind or "logreg"
        check_head(kind)
        return kind, make_classifier(kind, seed=seed)
    if kind is not None:
        raise StoreError(f"got `kind` {kind} and an `estimator`: expected one of the two")
    if isinstance(estimator, type) or not all(
        hasattr(estimator, method) for method in ("fit", "predict", "get_params")
    ):
        raise StoreError(
            f"`estimator` is {estimator!r}: expected an instance of a scikit-learn classifier or pipeline, such as "
            "LogisticRegression(C=1)"
        )
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    return type(last).__name__.lower(), estimator


def _name_scores(kind: str, found: str) -> dict[str, str]:
    """What the record says of the numbers; those of a named kind are known by it."""
    if found == "predicted":
        return {}
    return {"scores": name_head_scores(kind) if kind in HEADS else found}


def _refuse_other(store: Store, record: RunRecord, step: int) -> None:
    """Refuse a run of the name that has this step, or was fitted otherwise: its steps share one protocol.

    Raises:
        ExistsError: saying what differs.
    """
    there = store.run(record.run)
    names = ("head", "estimator", "split", "fold", "cv", "folds", "seed")
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
        f"--run {'-'.join([record.run, *marks])}"
    )


def _fit_and_score(
    store: Store, source: str, kind: str, estimator: Any, train: Rows, held_out: Rows
) -> tuple[NDArray[Any], str]:
    """Return what a head that is fitted on ``train`` says of ``held_out``, and what that is."""
    corpus = store.corpus
    labels = corpus.labels[train]
    absent = [name for index, name in enumerate(corpus.classes) if index not in labels]
    if absent:
        names = ", ".join(absent)
        raise CorpusError(f"the training utterances have none labelled {names}: expected some of every class")
    try:
        fitted = fit_classifier(estimator, _load_inputs(store, source, train), labels)
    except ValueError as problem:
        reason = str(problem).splitlines()[0][:160]
        raise CorpusError(
            f"{kind} cannot be fitted on {len(train)} utterances of {source} ({reason}): expected more of them, or "
            "another --kind"
        ) from problem
    return score_classes(fitted, _load_inputs(store, source, held_out), n_classes=len(corpus.classes))


def _load_inputs(store: Store, source: str, rows: Rows) -> NDArray[np.floating]:
    """Pooled representations; of a member that holds none, its logits."""
    info = store.describe_member(source)
    if info.pooled is None and info.logits is not None:
        return np.asarray(store.logits([source], rows)[0])
    return store.pooled(source, rows)


def _cross_validate(store: Store, source: str, cv: str, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    corpus: Corpus = store.corpus
    rows = store.read_member(source).rows
    labels = corpus.labels[rows]
    if folds < 2:
        raise StoreError(f"--folds is {folds}: expected at least 2")
    if cv == "utterance":
        pairs = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels)
    elif cv == "speaker":
        speakers = corpus.speaker_groups(rows)
        if speakers is None:
            raise CorpusError(
                f"corpus {corpus.name} knows no speakers: expected some for --cv speaker; use --cv utterance"
            )
        if len(set(speakers.tolist())) < folds:
            raise CorpusError(f"there are {len(set(speakers.tolist()))} speakers: expected at least --folds {folds}")
        pairs = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, labels, speakers)
    else:
        raise UnknownNameError(describe_unknown("cross-validation", cv, ["speaker", "utterance"]))
    return [(np.sort(rows[train]), np.sort(rows[held_out])) for train, held_out in pairs]
