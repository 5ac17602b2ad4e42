"""Fitted heads kept beside their run without pickle, and applied to the representations of other recordings."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.provenance import list_versions
from ser_store.corpora.class_pairing import KEY as APPLIED
from ser_store.corpora.class_pairing import Pairing, pair_classes
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.splits.fitted import find_fitted, find_heard
from ser_store.errors import StoreError
from ser_store.evaluation.score_kinds import find_kind
from ser_store.heads.classifiers import HEADS, Classifier
from ser_store.heads.inputs import Normalise, find_covered, load_input
from ser_store.heads.trials import Combine, FittedTrial, Input, KeptTrial, sum_scores
from ser_store_h5.disk.atomic import write_bytes_atomically
from ser_store_h5.fitted import KEY
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

# Read from a stranger's file, the trees of these could point outside their own memory.
UNKEPT = ("forest", "extra-trees", "boosting", "knn")
_VERSION = 1
# What fitting needed and scoring does not: a covariance of 1,024 inputs takes 8 MB.
_LEFTOVERS = ("covariance_", "_optimizer")


@dataclass(frozen=True, eq=False)
class WeighedTrial:
    """A fitted head and its weight in the sum of those of its fold."""

    fitted: FittedTrial
    weight: float


@dataclass(frozen=True, eq=False)
class KeptHead:
    """A head as it was fitted: of each fold one or several, whose scores are summed.

    Attributes:
        member: the member that it made.
        classes: of its corpus.
        normalise: what its inputs were standardised on, see :func:`ser_store.head`.
        combine: how several of a fold are one.
        folds: of each fold; one alone where it was fitted by a split.
        digests: what the models of the members below are known by.
    """

    member: str
    classes: tuple[str, ...]
    normalise: Normalise
    combine: Combine | None
    folds: tuple[tuple[KeptTrial, ...], ...]
    digests: Mapping[str, Any]

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The different representations that it takes."""
        return tuple(dict.fromkeys(one.input for fold in self.folds for one in fold))

    def score(self, load: Callable[[Input], NDArray[np.floating]]) -> tuple[NDArray[Any], str]:
        """Return what it says of utterances, the mean over its folds, and what that is.

        Args:
            load: gives the standardised features ``(n, d)`` of an input, unless it was fitted on ``train``.

        Raises:
            StoreError: if the features are others, or the heads of several folds say classes alone.
        """
        features = {one: load(one) for one in self.inputs}
        said = [
            sum_scores(
                [one.score(features[one.input], n_classes=len(self.classes)) for one in fold],
                [one.weight for one in fold],
                self.combine,
            )
            for fold in self.folds
        ]
        return _average(said, self.member)


def refuse_keeping(classifiers: Sequence[Classifier], estimator: Any) -> None:
    """Refuse what cannot be kept.

    Raises:
        StoreError: naming it, and what can.
    """
    unkept = ", ".join(one.kind for one in classifiers if one.kind in UNKEPT)
    if unkept or estimator is not None:
        what = f"`kind` {unkept}, whose trees" if unkept else "an `estimator`, which"
        raise StoreError(
            f"`keep` with {what} cannot be read back safely: expected one of "
            f"{', '.join(kind for kind in HEADS if kind not in UNKEPT)}; leave `keep` out"
        )


def keep_fitted(
    store: Store, run: str, step: int, folds: Sequence[Sequence[WeighedTrial]], combine: Combine | None
) -> None:
    """Write the fitted heads of each fold into the run's ``checkpoints/``, which packs and merges leave behind.

    Args:
        store: holds the run.
        run: of the head.
        step: of its member.
        folds: of each fold the heads whose scores are summed.
        combine: how.
    """
    from skops.io import dumps

    content = {
        "version": _VERSION,
        "combine": combine,
        "folds": [[_describe(one) for one in fold if one.weight > 0] for fold in folds],
        "digests": _list_digests(
            store, (name for fold in folds for one in fold for name in one.fitted.trial.input.members)
        ),
    }
    path = _find_file(store, run, step)
    path.parent.mkdir(exist_ok=True)
    write_bytes_atomically(path, dumps(content))


def _describe(one: WeighedTrial) -> dict[str, Any]:
    estimator = one.fitted.pipeline[-1]
    for name in _LEFTOVERS:
        if hasattr(estimator, name):
            delattr(estimator, name)
    own = one.fitted.trial.input
    return {
        "members": list(own.members),
        "layers": list(own.layers),
        "known": one.fitted.known.tolist(),
        "weight": one.weight,
        "pipeline": one.fitted.pipeline,
    }


def apply_head(
    store: StoreLike,
    run: str,
    to: StoreLike,
    *,
    sources: Mapping[str, str] | None = None,
    name: str | None = None,
    labels: LabelMap | None = None,
) -> str:
    """Apply a head that was kept, see :func:`ser_store.head`, to representations in another store; returns the member.

    Of a cross-validated head the scores of the heads of all folds are averaged. Inputs are standardised as where it was
    fitted: on its training utterances, or on each speaker's or the corpus' own recordings in the other store.

    Args:
        store: with the head.
        run: the head, or its member ``run@step``.
        to: the store that gains the member. Of its classes the head never answers those that it was not fitted on.
        sources: by the name of each run that the head was fitted on, that of the run in the other store which has the
            same representations of its recordings. Default: the same names.
        name: of the new run. Default: that of the head.
        labels: which classes of the two mean the same, of :func:`ser_store.corpora.label_map.read_label_map`.

    Raises:
        CorpusError: if the two corpora share less than two classes.
        ExistsError: if the other store has a run of this name.
        StoreError: if the head was not kept, or the representations are of another model.
        UnknownNameError: if there is no such run.

    >>> import numpy as np, ser_store as ss
    >>> draw, ids, labels = np.random.default_rng(0), [f"u{n}" for n in range(40)], ["sad", "happy"] * 20
    >>> values = draw.normal(size=(40, 4)) + [[0], [2]] * 20
    >>> for file in ("here.store", "there.store"):
    ...     store = ss.Store.create(file, ids=ids, labels=labels, speakers=list("abcdefgh") * 5)
    ...     _ = store.add("mine", ids=ids, pooled=values, trained_on="nothing")
    >>> _ = ss.head("here.store", "mine", kind="lda", cv="speaker", keep=True)
    >>> ss.apply_head("here.store", "mine-lda", "there.store")
    'mine-lda@0'
    """
    here, there = open_store(store), open_store(to)
    own, step = here.resolve(run)
    kept = load_kept(here, run)
    new = own if name is None else name
    there.refuse_run(new)
    pairing = pair_classes(kept.classes, there.corpus.classes, labels).check(own, str(there.path))
    renamed = {member: (sources or {}).get(parse_member(member)[0]) or member for member in kept.digests}
    found = {one: _find_input(there, one, renamed) for one in kept.inputs}
    _check_digests(there, kept.digests, renamed)
    rows = find_covered(there, list(found.values()))
    scores, what = kept.score(lambda one: load_input(there, found[one], rows, kept.normalise))
    answers = {"predicted": pairing.translate(scores)} if what == "predicted" else {"logits": pairing.place(scores)}
    record = here.run(own)
    details = {key: value for key, value in record.details.items() if key in ("head", "normalise", "combine", "pca")}
    details |= {"source": found[kept.inputs[0]].source, APPLIED: describe_applied(here, own, step, there, pairing)}
    details |= {} if what == "predicted" else {"scores": find_kind(here, own)}
    backbone = "+".join(dict.fromkeys(parse_member(member)[0] for one in found.values() for member in one.members))
    known = _state_fitted(here, there, own, list(found.values()))
    there.add_run(RunRecord(new, "head", backbone, details={**details, **known, "versions": list_versions()}))
    provenance = {"source": "applied", "head": kept.member}
    there.write_member(Member(new, step, rows, provenance=provenance, **answers))
    return format_member(new, step)


def load_kept(store: Store, name: str) -> KeptHead:
    """Return the head of a run, or of its member ``run@step``, as it was fitted.

    Raises:
        StoreError: if it was not kept, or cannot be read.
        UnknownNameError: if there is no such run.
    """
    run, step = store.resolve(name)
    content = _read(store, run, step)
    folds = tuple(
        tuple(
            KeptTrial(
                Input(tuple(one["members"]), tuple(one["layers"])),
                np.array(one["known"]),
                one["weight"],
                one["pipeline"],
            )
            for one in fold
        )
        for fold in content["folds"]
    )
    normalise = store.run(run).details.get("normalise", "train")
    member, classes = format_member(run, step), store.corpus.classes
    return KeptHead(member, classes, normalise, content["combine"], folds, content["digests"])


def _find_file(store: Store, run: str, step: int) -> Path:
    return store.run_folder(run) / "checkpoints" / f"head-{step:06}.skops"


def _read(store: Store, run: str, step: int) -> dict[str, Any]:
    from skops.io import load
    from skops.io.exceptions import UntrustedTypesFoundException

    path = _find_file(store, run, step)
    if not path.is_file():
        raise StoreError(f"{run}@{step} was not kept as it was fitted: expected {path}; fit it again with `keep`")
    try:
        found = load(path, trusted=[])
    except UntrustedTypesFoundException as problem:
        raise StoreError(f"{path} holds what no head here is made of: {str(problem).splitlines()[0]}") from problem
    except Exception as problem:  # a damaged archive fails in many ways
        why = type(problem).__name__
        raise StoreError(f"{path} cannot be read ({why}): fit the head again with `keep`") from problem
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise StoreError(f"{path} is of another release: expected version {_VERSION}; fit the head again with `keep`")
    return found


def _list_digests(store: Store, members: Any) -> dict[str, Any]:
    """Return what the models of the members are known by."""
    found = dict.fromkeys(members)
    return {one: store.describe_member(one).provenance.get("model_digest") for one in found}


def _find_input(there: Store, one: Input, renamed: Mapping[str, str]) -> Input:
    members = tuple(format_member(*there.resolve(renamed[member])) for member in one.members)
    return Input(members, one.layers)


def _check_digests(there: Store, digests: Mapping[str, Any], renamed: Mapping[str, str]) -> None:
    for member, digest in digests.items():
        name = renamed[member]
        own = there.describe_member(format_member(*there.resolve(name))).provenance.get("model_digest")
        if digest is not None and own is not None and digest != own:
            raise StoreError(f"{name} in {there.path} is of other weights than {member}, which the head was fitted on")


def _average(said: Sequence[tuple[NDArray[Any], str]], member: str) -> tuple[NDArray[Any], str]:
    """Return the mean of what the heads of all folds say, and what that is."""
    kinds = {what for _, what in said}
    if len(said) > 1 and (len(kinds) > 1 or kinds == {"predicted"}):
        raise StoreError(
            f"{member}: the heads of {len(said)} folds say classes alone, which have no mean; fit by a split"
        )
    scores = said[0][0] if len(said) == 1 else np.mean([one for one, _ in said], axis=0).astype(np.float32)
    return scores, said[0][1]


def _state_fitted(here: Store, there: Store, run: str, inputs: Sequence[Input]) -> dict[str, Any]:
    """Return what the head has learned from of the other corpus: utterances of the same ids, and all that is below."""
    own = find_heard(here, run, there.corpus)[0]
    below = [
        find_fitted(there, one) for one in dict.fromkeys(parse_member(m)[0] for one in inputs for m in one.members)
    ]
    if own is None or None in below:
        return {}
    for one in below:
        own = own if one is None else own.joined(one)
    return {KEY: own.to_json()}


def describe_applied(here: Store, run: str, step: int, there: Store, pairing: Pairing) -> dict[str, Any]:
    """Return what the record of an applied head says of where it comes from; the same as long as it is the same."""
    speakers = find_heard(here, run, there.corpus)[1]
    digest = hashlib.sha256(_find_file(here, run, step).read_bytes()).hexdigest()
    applied = {"run": format_member(run, step), "corpus": here.corpus.name, "digest": digest}
    return {**applied, **pairing.to_json(), "same_speakers": speakers}
