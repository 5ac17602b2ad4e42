"""Heads: lightweight classifiers on cached pooled representations. Their scores are members again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.log import report_left_out
from ser_store.common.progress import Progress, silent
from ser_store.common.provenance import list_versions
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.corpora.splits.train_eval_rows import Rows, choose_train_eval_rows
from ser_store.errors import CorpusError, ExistsError, StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.member_choice import list_readable
from ser_store.evaluation.score_kinds import name_head_scores
from ser_store.heads.classifiers import check_head, fit_classifier, score_classes
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, list_names, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store


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
    kind: str = "logreg",
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | None = None,
    folds: int = 5,
    seed: int = 42,
    progress: Progress = silent,
) -> list[FittedHead]:
    """Fit one head on each source; see :func:`fit_head`.

    Args:
        sources: members with pooled representations. Default: of every run the selected step, as far as it covers the
            whole corpus.

    Raises:
        StoreError: if no member can be fitted on, or one name was given to several heads.
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
            store, one, kind=kind, run=run, split=split, fold=fold, cv=cv, folds=folds, seed=seed, progress=progress
        )
        for one in chosen
    ]


def _find_sources(store: Store) -> list[str]:
    names, left_out = list_readable(store)
    report_left_out(left_out)
    members = [store.describe_member(name) for name in names]
    chosen = [member.name for member in members if member.pooled and member.n == len(store.corpus)]
    if not chosen:
        raise StoreError(
            f"{store.path} has no member with pooled representations of the whole corpus: make one with "
            "`serstore extract`"
        )
    return chosen


def fit_head(
    store: Store,
    source: str,
    *,
    kind: str = "logreg",
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | None = None,
    folds: int = 5,
    seed: int = 42,
    progress: Progress = silent,
) -> FittedHead:
    """Fit a head on the training part and add its scores for all other utterances as a member.

    Representations are standardised on the utterances the head is fitted on. Scores are log-probabilities, or an SVM's
    decision values; no utterance is scored by a head that has seen it.

    Args:
        source: a member with pooled representations.
        kind: ``logreg``, ``svm`` (RBF), ``mlp``, ``knn`` or ``lda``.
        run: default: the source's run, ``-`` and the kind.
        cv: ``speaker`` or ``utterance``: score every utterance out of fold, in ``folds`` folds, instead of by split.

    Raises:
        StoreError: if the source lacks utterances or representations.
        ExistsError: if the store has a run of this name with this step.
    """
    check_head(kind)
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
    record = _describe_run(store, run, source, pairs, {"source": source, "head": kind, **protocol, "seed": seed})
    if store.has_run(run):
        _refuse_other(store, record, step)
    scored = np.concatenate([held_out for _, held_out in pairs])
    shown = progress(pairs, total=len(pairs), label=f"{kind} on {source}")
    logits = np.concatenate([_fit_and_score(store, source, kind, seed, *pair) for pair in shown])
    order = np.argsort(scored)
    if not store.has_run(run):
        store.add_run(record)
    provenance = {"source": source, "head": kind, "cv": cv, "seed": seed}
    store.write_member(Member(run, step, scored[order], logits=logits[order], provenance=provenance))
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
    details = {**details, "scores": name_head_scores(details["head"]), **fitted}
    return RunRecord(run=run, kind="head", backbone=source_run, details={**details, "versions": list_versions()})


def _refuse_other(store: Store, record: RunRecord, step: int) -> None:
    """Refuse a run of the name that has this step, or was fitted otherwise: its steps share one protocol.

    Raises:
        ExistsError: saying what differs.
    """
    there = store.run(record.run)
    names = ("head", "split", "fold", "cv", "folds", "seed")
    differing = [name for name in names if there.details.get(name) != record.details[name]]
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


def _fit_and_score(store: Store, source: str, kind: str, seed: int, train: Rows, held_out: Rows) -> NDArray[np.float32]:
    """Return the scores ``(len(held_out), n_classes)`` float32 of a head fitted on ``train``."""
    corpus = store.corpus
    labels = corpus.labels[train]
    absent = [name for index, name in enumerate(corpus.classes) if index not in labels]
    if absent:
        names = ", ".join(absent)
        raise CorpusError(f"the training utterances have none labelled {names}: expected some of every class")
    try:
        fitted = fit_classifier(kind, store.pooled(source, train), labels, seed=seed)
    except ValueError as problem:
        reason = str(problem).splitlines()[0][:160]
        raise CorpusError(
            f"{kind} cannot be fitted on {len(train)} utterances of {source} ({reason}): expected more of them, or "
            "another --kind"
        ) from problem
    return score_classes(fitted, store.pooled(source, held_out))


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
