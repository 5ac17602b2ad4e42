"""``sweep``: many kinds of heads on many inputs, in one table that an interrupted sweep goes on from."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.errors import CorpusError, ExistsError, StoreError
from ser_store.evaluation.choice.saved_ensembles import SWEPT
from ser_store.evaluation.leakage import iter_leakage, summarize_cautions
from ser_store.heads.classifiers import HEADS, ClassWeight, HeadKind, choose_classifiers
from ser_store.heads.folds import Pairs, Protocol
from ser_store.heads.heads import head
from ser_store.heads.inputs import (
    Layers,
    Normalise,
    find_covered,
    find_sources,
    list_inputs,
    load_examples,
    report_absent_classes,
)
from ser_store.heads.requests import HeadRequest, describe_run
from ser_store.heads.sweep_cells import (
    Amount,
    Cell,
    deal_rows,
    list_amounts,
    list_protocols,
    list_sweep_requests,
    name_protocol,
)
from ser_store.heads.sweep_fits import choose_input, digest_examples, fit_cells, list_fits
from ser_store.heads.sweep_table import Outcome, append_outcome, read_outcomes
from ser_store.heads.swept import BestHead, Judged, Sweep, SweptHead, rank_heads
from ser_store.heads.trials import Tune
from ser_store.heads.tuning import Fold
from ser_store_h5.names import list_names, parse_member
from ser_store_h5.progress import Progress, ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store

# Boosting takes longer than all others together.
KINDS: tuple[HeadKind, ...] = tuple(kind for kind in HEADS if kind != "boosting")
# Bytes of the inputs of several sources that are fitted on side by side, so that no core waits for the next source.
_AT_ONCE = 1 << 30

_Told = tuple[int, Cell, Outcome | str, bool]


@dataclass(frozen=True)
class _Plan:
    """What a sweep is asked for.

    Attributes:
        store: whose representations are fitted on.
        requests: of each source, a classifier on an input each.
        normalise: what inputs are standardised on.
        amounts: of the training utterances, and how often each is drawn.
        workers: processes that fit; None for one on each core.
    """

    store: Store
    requests: Sequence[Sequence[HeadRequest]]
    normalise: Sequence[Normalise]
    amounts: Sequence[tuple[Amount, int]]
    workers: int | None

    def list_cells(self, requests: Sequence[HeadRequest], normalise: Normalise, protocol: Protocol) -> list[Cell]:
        return [
            Cell(request, normalise, protocol, amount, repeat)
            for request in requests
            for amount, draws in self.amounts
            for repeat in range(draws)
        ]

    def count_cells(self) -> int:
        return sum(map(len, self.requests)) * len(self.normalise) * sum(draws for _, draws in self.amounts)


def sweep(
    store: StoreLike,
    sources: str | Sequence[str] = (),
    *,
    kind: HeadKind | Sequence[HeadKind] | None = None,
    layer: Layers = None,
    normalise: Normalise | Sequence[Normalise] = "train",
    tune: Tune = False,
    class_weight: ClassWeight | None = None,
    split: str | None = None,
    fold: int | None = None,
    cv: str | Sequence[str] | None = None,
    folds: int | None = None,
    train_share: float | Sequence[float] | None = None,
    per_class: int | Sequence[int] | None = None,
    repeats: int = 5,
    seed: int = 42,
    keep: int = 0,
    table: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: ProgressLike = False,
) -> Sweep:
    """Fit every kind of head on every source and layer, and say which is the most accurate.

    Nothing is written into the store unless `keep` says so. Each figure becomes a line of a table as soon as it is
    there, with what the heads answer; what stands there already is not fitted again, as long as representations,
    labels, folds and settings are the same. Every figure is that of :func:`ser_store.head` with the same words. The
    best is reported as it appears, and corrected for having been chosen on the utterances that it is judged on.

    Args:
        store: a store, or its path.
        sources: as for ``head``: members, those joined by ``+`` as one input. Default: every run that has
            representations of the whole corpus. All are judged on the utterances that all of them cover.
        kind: one or several kinds, as for ``head``. Default: all but ``boosting``, which takes longer than all others
            together.
        layer: as for ``head``: a number, several, those joined by ``+`` as one input, or ``all``.
        normalise: one or several of ``train``, ``speaker`` and ``corpus``, as for ``head``.
        tune: choose the settings of each head from a small grid, on the training utterances of each fold alone.
        class_weight: ``balanced`` gives every class the same weight.
        split: the split to judge by: on its test part, or on all that is not trained on. A split into folds is
            cross-validated, unless a ``fold`` is named. Default: the store's default split.
        fold: of a split into folds, the one that is judged on.
        cv: one or several cross-validations, as for ``head``; each has a best of its own.
        folds: the number of folds that ``cv`` draws. Default: 5.
        train_share: shares of the training utterances of each class to fit on, above 0 and at most 1: a learning
            curve. Utterances are drawn, not speakers; a smaller share is part of a larger one. Default: all.
        per_class: numbers of training utterances of each class to fit on, all where there are fewer: few-shot.
        repeats: how often each share below 1, and each number per class, is drawn; figures are means over draws.
        seed: of classifiers, folds and draws.
        keep: make members of so many of the best that were fitted on all training utterances, as ``head`` does.
        table: the file of the table, a JSON object a line. Default: beside the store, ``NAME.sweep.jsonl``.
        workers: processes that fit, with one thread each. Default: one for each core.
        progress: show a bar over the figures; or a function that does.

    Returns:
        All figures, the most accurate first, each with those of smaller amounts behind it; what cannot be fitted is in
        ``problems``.

    Raises:
        StoreError: if there is nothing to fit on, a number is out of range, or the disk refuses.
        CorpusError: if the training utterances are of one class, there are too few speakers, or no head can be fitted.
        FormatError: if the table is none.
        UnknownNameError: if there is no such member, kind, split or cross-validation.

    >>> import numpy as np, ser_store as ss
    >>> draw, ids = np.random.default_rng(0), [f"u{n}" for n in range(80)]
    >>> store = ss.Store.create("mine.store", ids=ids, labels=["sad", "happy"] * 40, speakers=list("abcdefgh") * 10)
    >>> name = store.add("mine", ids=ids, pooled=draw.normal(size=(80, 4)) + [[0], [1]] * 40, trained_on="nothing")
    >>> found = ss.sweep(store, kind=["lda", "knn"], cv="speaker", workers=1)
    >>> [(one.kind, round(one.accuracy, 4)) for one in found.heads]
    [('lda', 0.7625), ('knn', 0.725)]
    >>> found.best[0].selection.corrected < found.heads[0].accuracy
    True
    """
    check_number("seed", seed, StoreError, least=0, whole=True)
    check_number("keep", keep, StoreError, least=0, whole=True)
    if folds is not None:
        check_number("folds", folds, StoreError, least=2, whole=True)
    if workers is not None:
        check_number("workers", workers, StoreError, least=1, whole=True)
    ways: list[Any] = list(dict.fromkeys(list_names(normalise)))
    for way in ways or [None]:
        check_choice("normalisation", way, get_args(Normalise))
    amounts = list_amounts(train_share, per_class, repeats)
    classifiers = choose_classifiers(KINDS if kind is None else kind, None, class_weight=class_weight, seed=seed)
    store = open_store(store)
    inputs = [list_inputs(store, one, layer) for one in list_names(sources) or find_sources(store, layer)]
    requests = [list_sweep_requests(of_source, classifiers, tune=tune) for of_source in inputs]
    plan = _Plan(store, requests, ways, amounts, workers)
    protocols = list_protocols(store.corpus, split=split, fold=fold, cv=cv, folds=folds, seed=seed)
    covered = find_covered(store, [one for of_source in inputs for one in of_source])
    path = store.path.with_suffix(".sweep.jsonl") if table is None else Path(table)
    found = [_judge(plan, one, deal_rows(store.corpus, one, covered), path, to_progress(progress)) for one in protocols]
    kept, refused = _keep_best(store, found, keep, {"tune": tune, "class_weight": class_weight})
    return Sweep(
        heads=tuple(one for by_protocol in found for one, _ in by_protocol.ranked),
        best=tuple(by_protocol.best for by_protocol in found),
        table=path,
        fitted=sum(by_protocol.fitted for by_protocol in found),
        problems=(*dict.fromkeys(one for by_protocol in found for one in by_protocol.problems), *refused),
        kept=kept,
        cautions=tuple(dict.fromkeys(one for by_protocol in found for one in by_protocol.cautions)),
    )


@dataclass(frozen=True)
class _Found:
    """What heads of one protocol say; see :class:`Sweep`."""

    ranked: list[tuple[SweptHead, Cell]]
    best: BestHead
    fitted: int
    problems: list[str]
    cautions: tuple[str, ...]


def _judge(plan: _Plan, protocol: Protocol, pairs: Pairs, path: Path, show: Progress) -> _Found:
    """Return the figures of one protocol, those that are not in the table yet computed and added."""
    corpus = plan.store.corpus
    rows = np.concatenate([scored for _, scored in pairs])
    judged = Judged(
        name=name_protocol(corpus, protocol),
        truth=corpus.labels[rows],
        speakers=corpus.speaker_groups(rows),
        n_classes=len(corpus.classes),
    )
    report_absent_classes(judged.name, corpus, [train for train, _ in pairs])
    outcomes = _iter_outcomes(plan, protocol, pairs, path, n=len(rows))
    told = show(outcomes, total=plan.count_cells(), label=f"heads by {judged.name}")
    # Of equally accurate heads the first is the best: as they were asked for, not as they happened to be fitted.
    told = sorted(told, key=lambda one: one[0])
    found = {cell: outcome for _, cell, outcome, _ in told if isinstance(outcome, Outcome)}
    problems = [outcome for _, _, outcome, _ in told if isinstance(outcome, str)]
    if not found:
        raise CorpusError(problems[0])
    ranked, best = rank_heads(judged, found)
    fitted = sum(is_new for _, cell, _, is_new in told if cell in found)
    return _Found(ranked, best, fitted, problems, _caution(plan, protocol, pairs, np.sort(rows)))


def _iter_outcomes(plan: _Plan, protocol: Protocol, pairs: Pairs, path: Path, *, n: int) -> Iterator[_Told]:
    """Yield each cell by its number, with what its heads say, or why nothing, and whether that was not in the table."""
    known, held, numbers = read_outcomes(path), 0, count()
    missing: list[tuple[int, Cell, str]] = []
    fits: list[Fold] = []
    for requests in plan.requests:
        inputs = list(dict.fromkeys(request.inputs[0] for request in requests))
        for normalise in plan.normalise:
            examples, places = load_examples(plan.store, inputs, pairs, normalise)
            own = {one: choose_input(examples, one) for one in inputs}
            digests = {one: digest_examples(own[one]) for one in inputs}
            held += sum(features.nbytes for features in examples.features.values())
            for cell in plan.list_cells(requests, normalise, protocol):
                key, number = cell.identify(digests[cell.input], pairs), next(numbers)
                if key in known and len(known[key].predicted) == n:
                    yield number, cell, known[key], False
                    continue
                fits += list_fits(len(missing), cell, own[cell.input], places)
                missing.append((number, cell, key))
        if held > _AT_ONCE:
            yield from _fit_missing(plan, path, missing, fits)
            missing, fits, held = [], [], 0
    yield from _fit_missing(plan, path, missing, fits)


def _fit_missing(
    plan: _Plan, path: Path, missing: Sequence[tuple[int, Cell, str]], fits: Sequence[Fold]
) -> Iterator[_Told]:
    """Fit what the table has not, and add it."""
    for place, outcome in fit_cells(fits, workers=plan.workers):
        number, cell, key = missing[place]
        if isinstance(outcome, Outcome):
            append_outcome(path, key, cell.describe(), outcome)
        yield number, cell, outcome, True


def _caution(plan: _Plan, protocol: Protocol, pairs: Pairs, rows: NDArray[np.int32]) -> tuple[str, ...]:
    """Return what evaluations of the heads would be told to beware of, a line for all sources alike."""
    found = []
    for request in (of_source[0] for of_source in plan.requests):
        run = "+".join(parse_member(member)[0] for member in request.members)
        for normalise in plan.normalise:
            details = {**request.describe(), **protocol.describe(plan.store.corpus, len(pairs)), "normalise": normalise}
            record = describe_run(plan.store, f"head on {run}", request, pairs, details)
            found.append(tuple(iter_leakage(plan.store, record, rows)))
    return summarize_cautions(found)


def _keep_best(
    store: Store, found: Sequence[_Found], keep: int, options: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[str]]:
    """Make members of the best of each protocol; return their names, and why some could not be made."""
    kept, refused = [], []
    kept_of = [
        (one, cell) for one in found for _, cell in [pair for pair in one.ranked if pair[1].amount.is_all][:keep]
    ]
    for one, cell in kept_of:
        protocol: dict[str, Any] = vars(cell.protocol)
        try:
            [made] = head(
                store,
                cell.input.source,
                kind=cast(HeadKind, cell.request.kind),
                layer=cell.input.layer,
                normalise=cell.normalise,
                **options,
                **protocol,
            )
            kept.append(made.member)
            run = parse_member(made.member)[0]
            chosen: dict[str, Any] = {SWEPT: _describe_choice(one, cell)}
            store.update_run(store.run(run).updated(**chosen))
        except ExistsError as problem:
            refused.append(str(problem))
    return tuple(kept), refused


def _describe_choice(found: _Found, cell: Cell) -> dict[str, Any]:
    """Return what the record of a head that is kept says of having been chosen; only the best is corrected for it."""
    place = next(one for one, own in found.ranked if own == cell)
    selection = found.best.selection if found.best.head == place else None
    return {
        "on": "all" if cell.protocol.cv else f"fold-{cell.protocol.fold}" if cell.protocol.fold else "test",
        "split": cell.protocol.split,
        "heads": len(found.ranked),
        "objective": "accuracy",
        "apparent": place.accuracy,
        **({} if selection is None else {"corrected": selection.corrected}),
    }
