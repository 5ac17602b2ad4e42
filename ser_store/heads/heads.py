"""``head``: lightweight classifiers on cached pooled representations, whose scores are members again."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.errors import StoreError
from ser_store.evaluation.seeds import name_seed
from ser_store.heads.classifiers import (
    ClassWeight,
    HeadKind,
    check_components,
    choose_classifiers,
    describe_estimator,
    refuse_certain,
)
from ser_store.heads.fitted_heads import FittedHead, list_choices
from ser_store.heads.folds import DRAWN, Protocol
from ser_store.heads.inputs import (
    Layers,
    Normalise,
    add_versions,
    find_covered,
    find_sources,
    list_inputs,
    load_examples,
    report_absent_classes,
    takes_logits,
)
from ser_store.heads.kept_heads import WeighedTrial, keep_fitted, refuse_keeping
from ser_store.heads.requests import (
    HeadRequest,
    describe_run,
    list_requests,
    name_scores,
    refuse_one_name,
    refuse_other,
)
from ser_store.heads.trials import (
    Combine,
    Examples,
    Places,
    Tune,
    fit_trial,
    join_folds,
    sum_scores,
)
from ser_store.heads.tuning import Chosen, choose_heads
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, list_names
from ser_store_h5.progress import Progress, ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store

LOGGER = logging.getLogger("ser_store")


def head(
    store: StoreLike,
    sources: str | Sequence[str] = (),
    *,
    kind: HeadKind | Sequence[HeadKind] | None = None,
    estimator: Any = None,
    layer: Layers = None,
    augment: str | Sequence[str] = (),
    tune: Tune = False,
    combine: Combine | None = None,
    normalise: Normalise = "train",
    pca: float | None = None,
    class_weight: ClassWeight | None = None,
    run: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | None = None,
    folds: int | None = None,
    seed: int = 42,
    seeds: int | None = None,
    keep: bool = False,
    progress: ProgressLike = False,
) -> list[FittedHead]:
    """Fit a lightweight classifier on cached representations, and keep its scores as a member.

    Every kind is fitted on every input, and each of these heads becomes a member, unless `tune` chooses one of them or
    `combine` makes one of all. Inputs are standardised, unless the estimator is a pipeline. No utterance is scored by a
    head that was fitted on it, nor by one that was chosen by it. What is kept are log-probabilities; of an estimator
    without probabilities its decision values, such as an SVM's; of one without these the classes that it predicts.

    Args:
        store: a store, or its path.
        sources: members with pooled representations, or with logits if they have no others. Those of members that are
            joined by ``+`` stand side by side in one input, as in ``"mfcc+whisper-base"``. Default: the selected step
            of every run, where it has representations of the whole corpus.
        kind: one or several of ``logreg`` (logistic regression, the default), ``svm`` (with an RBF kernel),
            ``linear-svm``, ``ridge``, ``lda`` (linear discriminant analysis), ``knn`` (nine nearest neighbours),
            ``forest`` and ``extra-trees`` (300 trees), ``boosting`` (histogram gradient boosting), ``mlp`` (one hidden
            layer of 128 units) and ``centroid`` (the nearest class mean). ``HEADS`` in ``ser_store.heads.classifiers``
            has their settings.
        estimator: a scikit-learn classifier or pipeline in place of a kind. It is cloned, and not fitted itself.
        layer: of members that were extracted with several layers, the number of one, several of them (a list, or
            ``"3,4"``), or ``all``. Those that are joined by ``+`` stand side by side in one input, as in ``"2+3+4"``.
            Default: the last layer.
        augment: members that hold the source of other versions of the same recordings, such as ``extract()`` makes at
            another ``speed``: heads are fitted on all versions of their training utterances, and score the mean over
            all versions of the others. Where a source is ``a+b``, so is each of these. For one source.
        tune: choose the settings of each kind from a small grid, and the kind and the layer where there are several:
            by accuracy over speakers that are left out in turn, five groups of them, among the training utterances
            alone, for every fold anew; of equals the first. A dictionary of lists takes the place of the grid, for one
            kind or an estimator. What was chosen is in ``choices``, and with all accuracies in the run's record.
        combine: make one member of all heads: ``average``, the mean of their log-probabilities (a soft-log vote), for
            which with `tune` each chooses its own settings; or ``pool``, a sum with weights that are fitted like
            settings, on what heads say of training speakers that they were not fitted on, by log-loss and never below
            0 (stacking). With `tune` a head of every setting is in the pool.
        normalise: what inputs are standardised on: the utterances that the head is fitted on (``train``), all of each
            speaker's own (``speaker``), or the whole corpus (``corpus``). The last two look at recordings that are
            scored, without their labels, which every figure says.
        pca: principal components that heads are fitted on in place of the inputs: a number of them, or, below 1, as
            many as hold that share of the variance. Like the standardising they are those of the training utterances of
            each fold. Of kinds, and of estimators that are no pipeline.
        class_weight: ``balanced`` gives every class the same weight; of kinds that can, and not of an estimator.
        run: the name of the head's run, for a single one. Default: the source's run, the layer and the kind, as in
            ``whisper-base-l3-logreg``.
        split: the split to fit by: on its training part, scoring all others. Default: the store's default split.
        fold: of a split into folds, the number of the fold that is scored; the head is fitted on the others.
        cv: cross-validate in place of a split: score every utterance by a head that was fitted without its fold, of
            whole speakers (``speaker``) or of single utterances (``utterance``), classes spread evenly; or those of a
            split that consists of folds, by its name.
        folds: the number of folds that ``cv`` draws, at least 2. Default: 5.
        seed: the seed of the folds and of the classifier; of an estimator, of each ``random_state`` that is None.
        seeds: make every head once with each of the seeds 1, 2, … up to this one in place of ``seed``, in the runs
            ``RUN-seed-1`` …, which :func:`ser_store.evaluate` gathers: mean, standard deviation and range.
        keep: keep what was fitted, of each fold, in the run's ``checkpoints/`` and without pickle, so that
            :func:`ser_store.predict` can apply it to any recording, and :func:`ser_store.apply_head` to another store.
            Not of kinds that are made of trees.
        progress: show a bar over the fits; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Returns:
        Of each head the name of the new member, the number of utterances that it was fitted on and scores, and what
        was chosen.

    Raises:
        StoreError: if there is nothing to fit on, to choose from or to combine, one run's name is given for several
            heads, trees are to be kept, both a kind and an estimator are given, a member lacks the layer, a number is
            out of range, or several ``seeds`` would all give the same.
        CorpusError: if the training utterances are of one class, or there are too few of them or of their
            speakers.
        ExistsError: if the store has a run of this name that was fitted otherwise, or has this step.
        UnknownNameError: if there is no such member, kind, split or cross-validation.

    >>> import numpy as np, ser_store as ss
    >>> from sklearn.linear_model import LogisticRegression
    >>> draw, ids = np.random.default_rng(0), [f"u{n}" for n in range(40)]
    >>> store = ss.Store.create("heads.store", ids=ids, labels=["sad", "happy"] * 20, speakers=list("abcdefgh") * 5)
    >>> name = store.add("mine", ids=ids, pooled=draw.normal(size=(40, 4)) + [[0], [2]] * 20)
    >>> ss.head(store, "mine", estimator=LogisticRegression(C=1), cv="speaker")[0].member
    'mine-logisticregression@0'
    >>> print(ss.head(store, "mine", kind=["lda", "logreg"], tune=True, cv="speaker", folds=2)[0])
    mine-lda-logreg-tuned@0: fitted on 20 utterances of mine@0, scored 40 out of fold
    chosen among 8, on the training utterances of each fold alone:
    fold    kind  inputs  settings       accuracy over its training speakers
    ──────  ────  ──────  ─────────────  ───────────────────────────────────
    fold-1  lda   mine@0  shrinkage=0.6                               95.00%
    fold-2  lda   mine@0  shrinkage=0.6                               90.00%
    """
    check_number("seed", seed, StoreError, least=0, whole=True)
    for name, number in (("folds", folds), ("seeds", seeds)):
        if number is not None:
            check_number(name, number, StoreError, least=2, whole=True)
    check_choice("normalisation", normalise, get_args(Normalise))
    if pca is not None:
        pca = check_components(pca, estimator)
    if combine is not None:
        check_choice("combination", combine, get_args(Combine))
    store = open_store(store)
    names = list_names(sources) or find_sources(store, layer)
    inputs = [list_inputs(store, one, layer) for one in names]
    versions = list_names(augment)
    if versions and (keep or len(names) > 1):
        what = f"{len(names)} sources ({', '.join(names)})" if len(names) > 1 else "`keep`"
        raise StoreError(f"`augment` with {what}: expected one source, of which no head is kept; leave one of them out")
    if versions:
        inputs = [add_versions(store, inputs[0], versions, layer)]
    details: dict[str, Any] = {} if normalise == "train" else {"normalise": normalise}
    given = {"class_weight": class_weight, "pca": pca}
    details |= {name: value for name, value in given.items() if value is not None}
    marks = [
        *(["augmented"] if versions else []),
        *([class_weight] if class_weight else []),
        *([f"pca{pca:g}"] if pca else []),
    ]
    planned = []
    for number in [seed] if seeds is None else range(1, seeds + 1):
        chosen = choose_classifiers(kind, estimator, class_weight=class_weight, seed=number)
        classifiers = [replace(one, components=pca) for one in chosen]
        if keep:
            refuse_keeping(classifiers, estimator)
        requests = list_requests(inputs, classifiers, tune=tune, combine=combine)
        if run is not None and len(requests) > 1:
            raise StoreError(refuse_one_name(run, names, len(inputs[0]), len(classifiers)))
        if seeds is not None and cv not in DRAWN and not requests[0].is_chosen:
            refuse_certain(classifiers, seeds)
        if estimator is not None:
            details = {**details, "estimator": describe_estimator(classifiers[0].estimator)}
        for one in requests:
            name = run or one.name_run(normalise, marks)
            named = name if seeds is None else name_seed(name, number)
            planned.append((one, Protocol(split, fold, cv, folds, number), named, details))
    show = to_progress(progress)
    return [
        _make_head(store, one, protocol, run=name, normalise=normalise, details=own, keep=keep, show=show)
        for one, protocol, name, own in planned
    ]


def _make_head(
    store: Store,
    request: HeadRequest,
    protocol: Protocol,
    *,
    run: str,
    normalise: Normalise,
    details: dict[str, Any],
    keep: bool,
    show: Progress,
) -> FittedHead:
    """Fit the heads of one member on every fold, and write what they say of the utterances they were not fitted on."""
    step = store.resolve(request.members[0])[1]
    pairs, folds = protocol.deal(store.corpus, find_covered(store, request.inputs))
    details = {**request.describe(), **protocol.describe(store.corpus, len(pairs)), **details}
    if any(takes_logits(store, member) for member in request.members):
        details["inputs"] = "logits"
        LOGGER.info("%s has no representations: the head is fitted on its logits", request.source)
    record = describe_run(store, run, request, pairs, details)
    if store.has_run(run):
        refuse_other(store, record, step)
    report_absent_classes(run, store.corpus, [train for train, _ in pairs])
    examples, places = load_examples(store, request.inputs, pairs, normalise)
    chosen, fitted, (said, what) = _fit_folds(request, examples, places, seed=protocol.seed, show=show)
    scored = np.concatenate([held_out for _, held_out in pairs])
    order = np.argsort(scored)
    if not store.has_run(run):
        found: dict[str, Any] = name_scores(request, what)
        if request.is_chosen:
            found["trials"] = [[trial.to_json() for trial in trials] for trials in request.heads]
            found["chosen"] = [[one.to_json() for one in heads] for heads in chosen]
        store.add_run(record.updated(**found))
    provenance = {"source": request.source, "head": request.kind, "cv": protocol.cv, "seed": protocol.seed}
    held: dict[str, Any] = {"predicted" if what == "predicted" else "logits": said[order]}
    store.write_member(Member(run, step, scored[order], provenance=provenance, **held))
    if keep:
        keep_fitted(store, run, step, fitted, request.combine)
    return FittedHead(
        member=format_member(run, step),
        source=request.source,
        kind=request.kind,
        n_train=max(len(train) for train, _ in pairs),
        n_scored=len(scored),
        cv=protocol.cv,
        combine=request.combine,
        choices=list_choices(chosen, folds) if request.is_chosen else (),
    )


def _fit_folds(
    request: HeadRequest, examples: Examples, places: Sequence[tuple[Places, Places]], *, seed: int, show: Progress
) -> tuple[list[list[Chosen]], list[list[WeighedTrial]], tuple[NDArray[Any], str]]:
    """Return what was chosen for each fold, the fitted heads, and what they say of those that they were not fitted on.

    The last is fold by fold, with what it is.
    """
    label, is_pool = f"{request.kind} on {request.source}", request.combine == "pool"
    chosen = choose_heads(
        request.heads, examples, places, is_pool=is_pool, seed=seed, show=show, label=f"tuning {label}"
    )
    parts, folds = [], []
    for (train, scored), heads in show(list(zip(places, chosen, strict=True)), total=len(places), label=label):
        fitted = [WeighedTrial(fit_trial(one.trial, examples, train), one.weight) for one in heads]
        answers = [one.fitted.score(examples.features[one.fitted.trial.input][scored]) for one in fitted]
        parts.append(sum_scores(answers, [one.weight for one in fitted], request.combine))
        folds.append(fitted)
    return chosen, folds, join_folds(parts)
