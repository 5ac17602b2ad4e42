"""``cross``: every corpus as the one to learn from, and as the one to be judged on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ser_store.across.applying import apply
from ser_store.across.cross_heads import HeadSite, cross_heads, prepare_heads
from ser_store.across.pairs import Crossed, CrossedPair, Site, judge_pair, open_sites
from ser_store.common.checks import check_choice, check_number
from ser_store.corpora.label_map import read_label_map
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.choice.member_choice import name_part
from ser_store.evaluation.leakage import find_cautions
from ser_store.heads.classifiers import ClassWeight, HeadKind, choose_classifiers
from ser_store.heads.inputs import Layers, Normalise
from ser_store.heads.requests import HeadRequest
from ser_store.heads.sweep_cells import name_protocol
from ser_store_h5.names import format_member, parse_member
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import StoreLike


@dataclass(frozen=True, eq=False)
class RunSite:
    """One corpus with its own run.

    Attributes:
        site: the corpus on the classes of all.
        member: of its own run; None if it has none, and is judged on alone.
        on: what the utterances are called that all are judged on.
        rows: these: what its own run was judged on, else all, of classes that all corpora have.
    """

    site: Site
    member: str | None
    on: str
    rows: Rows


def prepare_runs(sites: Sequence[Site], model: str, split: str | None) -> list[RunSite]:
    """Return the run of each corpus that is called so, and the utterances that it has not learned from.

    Raises:
        StoreError: if there are no utterances to judge on.
        UnknownNameError: if no store has such a run.
    """
    run = parse_member(model)[0]
    known = [name for site in sites for name in site.store.runs()]
    if run not in known:
        raise UnknownNameError(describe_unknown("run", run, [*dict.fromkeys(known)]))
    found = []
    for site in sites:
        member = format_member(*site.store.resolve(model)) if site.store.has_run(run) else None
        own = _choose_split(site, member, split)
        rows = site.corpus.rows("all") if own is None else site.corpus.rows(None, split=own)
        rows = site.keep(rows if member is None else np.intersect1d(rows, site.store.covered(member)))
        if not len(rows):
            raise StoreError(
                f"{site.name}: nothing to judge {member or model} on of the classes that all have: expected some; "
                "choose another `split`"
            )
        on = "all" if own is None else f"{name_part(site.corpus, None, own)} of {own}"
        found.append(RunSite(site, member, on, rows.astype(np.int32)))
    return found


def _choose_split(site: Site, member: str | None, split: str | None) -> str | None:
    """The split that is named, or that the member was trained by; None where all utterances are judged on."""
    if split is not None or member is None:
        return split or site.corpus.default_split
    own = site.store.run(parse_member(member)[0]).details.get("split")
    return own if own in site.corpus.splits else None


def cross_runs(sites: Sequence[RunSite], *, labels: Path | None, **options: Any) -> list[CrossedPair]:
    """Return the figures of the run of each corpus on each; options are those of :func:`ser_store.apply`."""
    found = []
    for train in sites:
        if train.member is None:
            continue
        for test in sites:
            member = train.member
            if test is not train:
                member = apply(train.site.store, train.member, test.site.store, labels=labels, **options).member
            cautions = [str(one) for one in find_cautions(test.site.store, [member], test.rows)[member]]
            rows = np.intersect1d(test.rows, test.site.store.covered(member)).astype(np.int32)
            said = test.site.answer(member, rows)
            found.append(judge_pair(train.site, test.site, member, rows, said, cautions))
    return found


def cross(
    stores: Sequence[StoreLike],
    *,
    source: str | None = None,
    kind: HeadKind = "logreg",
    model: str | None = None,
    layer: Layers = None,
    normalise: Normalise = "train",
    class_weight: ClassWeight | None = None,
    split: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    audio: str | os.PathLike[str] | None = None,
    seed: int = 42,
    progress: ProgressLike = False,
) -> Crossed:
    """Train on each corpus and test on each: a table of train corpus by test corpus, on the classes that all have.

    Either heads are fitted on representations that every store has of one model (``source``), or runs that each store
    has are applied to the others (``model``). No utterance is judged by a model that was fitted on it: in its own
    corpus a head is cross-validated over speakers, or judged by a split, and a run is judged on what it has not learned
    from. Utterances of classes that a corpus lacks are neither learned from nor judged on.

    Args:
        stores: two or more.
        source: a member with representations, of the same name and model in every store; several joined by ``+``
            stand side by side.
        kind: of the head, see :func:`ser_store.head`.
        model: in place of a source, a fine-tuned run with a checkpoint, or a head that was made with ``keep``. A store
            that has none of this name is judged on alone.
        layer: of the representations, see :func:`ser_store.head`; one.
        normalise: what inputs are standardised on: ``train``, each ``speaker``'s own, or the ``corpus``.
        class_weight: ``balanced`` gives every class the same weight.
        split: of every store: heads are fitted on its training part and judged on its test part, in other corpora as in
            their own; of folds, in their own over these. Default: fitted on all, judged on all, in their own corpus
            over five folds of whole speakers.
        labels: a label map that says which classes mean the same.
        audio: with a model, the folder of all recordings. Default: where they lay when each store was made.
        seed: of the head and the folds.
        progress: show a bar; or a function that does, see :class:`ser_store_h5.progress.Progress`.

    Returns:
        The figures of each pair: balanced accuracy, accuracy with its interval by speaker, and cautions.

    Raises:
        CorpusError: if the corpora share less than two classes, or there is nothing to fit on.
        StoreError: if neither or both of source and model are named, or a store lacks the source.
        UnknownNameError: if there is no such kind, split or run.

    >>> import numpy as np, ser_store as ss
    >>> draw = np.random.default_rng(0)
    >>> for name in ("a", "b"):
    ...     ids, values = [f"{name}{n:02}" for n in range(40)], draw.normal(size=(40, 4)) + [[0], [2]] * 20
    ...     store = ss.Store.create(f"{name}.store", ids=ids, labels=["sad", "happy"] * 20, speakers=list("abcde") * 8)
    ...     _ = store.add("mine", ids=ids, pooled=values, trained_on="nothing")
    >>> crossed = ss.cross(["a.store", "b.store"], source="mine", kind="lda")
    >>> [(one.train, one.test, one.n) for one in crossed.pairs]
    [('a', 'a', 40), ('a', 'b', 40), ('b', 'a', 40), ('b', 'b', 40)]
    """
    check_number("seed", seed, StoreError, least=0, whole=True)
    check_choice("normalisation", normalise, get_args(Normalise))
    given = {
        "kind": kind != "logreg",
        "layer": layer is not None,
        "normalise": normalise != "train",
        "class_weight": class_weight,
    }
    _check_way(source, model, given if source is None else {"audio": audio})
    sites = open_sites(stores, None if labels is None else read_label_map(labels))
    notes = _describe_left_out(sites)
    if source is None and model is not None:
        runs = prepare_runs(sites, model, split)
        crossed = cross_runs(runs, audio=audio, labels=None if labels is None else Path(labels), progress=progress)
        judged = ", ".join(f"{one.on} ({one.site.name})" for one in runs)
        return Crossed(sites[0].classes, tuple(crossed), (*notes, f"judged on {judged}"))
    [classifier] = choose_classifiers(kind, None, class_weight=class_weight, seed=seed)
    options: dict[str, Any] = {"layer": layer, "normalise": normalise, "split": split, "seed": seed}
    heads = prepare_heads(sites, str(source), classifier, **options)
    request = HeadRequest(kind, (heads[0].input,), ())
    name = request.name_run(normalise, [class_weight] if class_weight else [])
    pairs = cross_heads(heads, name, to_progress(progress))
    return Crossed(sites[0].classes, tuple(pairs), (*notes, _describe_protocols(heads)))


def _check_way(source: str | None, model: str | None, others: Mapping[str, Any]) -> None:
    """Refuse both ways or none, and what the other one alone takes."""
    if (source is None) == (model is None):
        got = "neither" if source is None else "both"
        raise StoreError(f"got {got} of `source` and `model`: expected the one, for heads, or the other, for runs")
    way = "source" if model is None else "model"
    for name in (name for name, is_given in others.items() if is_given):
        raise StoreError(f"`{name}` with `{way}`: expected it of the other way to cross alone; leave it out")


def _describe_left_out(sites: Sequence[Site]) -> tuple[str, ...]:
    """A line for each corpus that has other classes as well."""
    return tuple(
        f"{site.name}: {', '.join(out)} left out, which not all corpora have"
        for site in sites
        if (out := [name for name, code in zip(site.corpus.classes, site.codes.tolist(), strict=True) if code < 0])
    )


def _describe_protocols(heads: Sequence[HeadSite]) -> str:
    said: dict[str, list[str]] = {}
    for one in heads:
        way = one.protocol
        name = f"over {way.folds} folds by {way.cv}" if way.folds else f"by split {name_protocol(one.site.corpus, way)}"
        said.setdefault(name, []).append(one.site.name)
    return "in its own corpus each head is judged " + "; ".join(
        name if len(said) == 1 else f"{name} ({', '.join(of)})" for name, of in said.items()
    )
