"""Which heads are asked for, each a member, one chosen or made of several; and what the record of its run says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_store.common.provenance import list_versions
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.errors import ExistsError, StoreError
from ser_store.heads.classifiers import Classifier, describe_settings
from ser_store.heads.folds import Pairs
from ser_store.heads.inputs import Normalise
from ser_store.heads.trials import Combine, Input, Trial, Tune, list_trials
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.names import parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# What all steps of a run have in common.
_IDENTITY = (
    *("head", "estimator", "class_weight", "layer", "augment", "normalise", "pca", "combine", "tune"),
    *("split", "fold", "cv", "folds", "seed"),
)
# How the names of runs say what inputs were standardised on.
_SUFFIXES = {"train": "", "speaker": "-by-speaker", "corpus": "-by-corpus"}


@dataclass(frozen=True)
class HeadRequest:
    """One member to be made.

    Attributes:
        kind: its classifiers: joined by ``+`` where they are combined, by ``,`` where one is chosen.
        inputs: what they are fitted on.
        heads: for each head that is combined the ways to make it, of which tuning chooses one, and a pool takes all.
        combine: how several heads become one.
        is_tuned: whether settings are tried.
    """

    kind: str
    inputs: tuple[Input, ...]
    heads: tuple[tuple[Trial, ...], ...]
    combine: Combine | None = None
    is_tuned: bool = False

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(member for one in self.inputs for member in one.members))

    @property
    def source(self) -> str:
        """The members that it is fitted on, joined by ``+``."""
        return "+".join(self.members)

    @property
    def augment(self) -> tuple[str, ...]:
        """What holds further versions of the utterances, each joined by ``+``."""
        return tuple("+".join(version) for version in self.inputs[0].versions)

    @property
    def is_chosen(self) -> bool:
        """Whether anything is chosen or fitted on training utterances beside the heads themselves."""
        return self.is_tuned or self.combine == "pool"

    def name_run(self, normalise: Normalise, marks: Sequence[str] = ()) -> str:
        """Return what its run is called unless it is given a name; ``marks`` say what else it is made by.

        >>> HeadRequest("lda", (Input(("mfcc@0",)),), ()).name_run("speaker")
        'mfcc-lda-by-speaker'
        >>> inputs = tuple(Input(("whisper@0",), (layer,)) for layer in (1, 2, 3))
        >>> HeadRequest("lda+svm", inputs, (), "average").name_run("train", ["balanced"])
        'whisper-l1-3-lda-svm-balanced-average'
        """
        layers = sorted({layer for one in self.inputs for layer in one.layers if layer is not None})
        parts = [*dict.fromkeys(parse_member(member)[0] for member in self.members), *_name_layers(layers)]
        marks = [*marks, *([self.combine] if self.combine else []), *(["tuned"] if self.is_tuned else [])]
        return "-".join([*parts, self.kind.replace("+", "-").replace(",", "-"), *marks]) + _SUFFIXES[normalise]

    def describe(self) -> dict[str, Any]:
        """Return what the record of its run says of it."""
        details: dict[str, Any] = {"source": self.members[0], "head": self.kind}
        if len(self.members) > 1:
            details["sources"] = list(self.members)
        if self.augment:
            details["augment"] = list(self.augment)
        layers = [one.layer for one in self.inputs if one.layer is not None]
        if layers:
            details["layer"] = layers[0] if len(layers) == 1 else layers
        if self.combine:
            details["combine"] = self.combine
        if self.is_tuned:
            details["tune"] = self._describe_grids()
        return details

    def _describe_grids(self) -> dict[str, dict[str, list[Any]]]:
        """The settings that are tried of each kind."""
        grids: dict[str, dict[str, list[Any]]] = {}
        for trial in (trial for trials in self.heads for trial in trials):
            for name, value in describe_settings(trial.settings).items():
                values = grids.setdefault(trial.kind, {}).setdefault(name, [])
                if value not in values:
                    values.append(value)
        return grids


def _name_layers(layers: Sequence[int]) -> list[str]:
    if not layers:
        return []
    runs_on = len(layers) > 1 and layers[-1] - layers[0] == len(layers) - 1
    return [f"l{layers[0]}-{layers[-1]}" if runs_on else "l" + "_".join(map(str, layers))]


def refuse_one_name(run: str, sources: Sequence[str], n_layers: int, n_kinds: int) -> str:
    """Return the complaint of one name for several heads."""
    if len(sources) > 1:
        return f"`run` {run} with {len(sources)} sources ({', '.join(sources)}): expected one; name it with `sources`"
    what = f"{n_layers} layers of {sources[0]}" if n_layers > 1 else f"{n_kinds} kinds"
    return f"`run` {run} with {what}: expected one; leave `run` out"


def list_requests(
    inputs: Sequence[Sequence[Input]], classifiers: Sequence[Classifier], *, tune: Tune, combine: Combine | None
) -> list[HeadRequest]:
    """Return the members to be made.

    Args:
        inputs: of each source.
        classifiers: to be fitted on each of them.
        tune: try settings, and choose among them; unless heads are combined, the kind and the input of each source too.
        combine: make one member of all heads.

    Raises:
        StoreError: if there is nothing to choose from or to combine, or a grid is no grid.
    """
    is_tuned, kinds = tune is not False, [own.kind for own in classifiers]
    units = [
        [(one, own.kind, tuple(list_trials(own, one, tune))) for one in of_source for own in classifiers]
        for of_source in inputs
    ]
    if combine is None and not is_tuned:
        return [HeadRequest(kind, (one,), (trials,)) for own in units for one, kind, trials in own]
    if combine is None:
        heads = [(tuple(trial for _, _, trials in own for trial in trials),) for own in units]
        if min(len(one[0]) for one in heads) < 2:
            raise StoreError(
                "`tune` has nothing to choose from: expected several layers or kinds, or a list of values for a "
                "parameter of the estimator"
            )
        return [
            HeadRequest(",".join(kinds), tuple(of_source), own, is_tuned=True)
            for of_source, own in zip(inputs, heads, strict=True)
        ]
    every = tuple(trials for own in units for _, _, trials in own)
    if sum(map(len, every)) < 2 or (combine == "average" and len(every) < 2):
        raise StoreError(f"`combine` {combine} of one head: expected several layers, sources or kinds")
    all_inputs = tuple(one for of_source in inputs for one in of_source)
    return [HeadRequest("+".join(kinds), all_inputs, every, combine, is_tuned)]


def describe_run(store: Store, run: str, request: HeadRequest, pairs: Pairs, details: dict[str, Any]) -> RunRecord:
    """Return the record of a head's run, which has learned from all that its sources have learned from.

    That is what the models have learned from that made the inputs it is fitted on, and those of what it scores: other
    models, where a source is cross-validated itself. Of a source that does not say what it has learned from, nothing is
    known of the head either.
    """
    runs = list(dict.fromkeys(parse_member(member)[0] for member in request.members))
    versions = [parse_member(member)[0] for joined in request.augment for member in joined.split("+")]
    below = [find_fitted(store, one) for one in dict.fromkeys([*runs, *versions])]
    stated = [one for one in below if one is not None]
    learned = [
        (np.concatenate([train, *(one.list_learned_through(train) for one in stated)]), scored)
        for train, scored in pairs
    ]
    fitted = Fitted.by_fold(learned, len(store.corpus))
    for one in stated:
        fitted = fitted.joined(one)
    known = {} if None in below else {KEY: fitted.to_json()}
    return RunRecord(
        run=run, kind="head", backbone="+".join(runs), details={**details, **known, "versions": list_versions()}
    )


def name_scores(request: HeadRequest, found: str) -> dict[str, str]:
    """Return what the record says of the scores: nothing where only classes are predicted.

    Shares of nearest neighbours are no probabilities, though scikit-learn calls them so.
    """
    kinds = {trial.kind for trials in request.heads for trial in trials}
    shares = "knn" in kinds and request.combine != "pool"
    return {} if found == "predicted" else {"scores": "scores" if shares else found}


def refuse_other(store: Store, record: RunRecord, step: int) -> None:
    """Refuse a run of the name that has this step, or was fitted otherwise: its steps share one protocol.

    Raises:
        ExistsError: saying what differs.
    """
    there = store.run(record.run)
    differing = [name for name in _IDENTITY if there.details.get(name) != record.details.get(name)]
    if (there.kind, there.backbone) != (record.kind, record.backbone):
        differing = []
    elif not differing and step not in store.steps(record.run):
        return
    if not differing:
        store.refuse_run(record.run)
    before, now = (_state(one, differing) for one in (there, record))
    marks = [str(record.details[name]) for name in ("split", "fold", "cv") if record.details[name] is not None]
    raise ExistsError(
        f"run {record.run} is in {store.path} already, fitted with {before}: this one has {now}; keep both with "
        f"`run` {'-'.join([record.run, *marks])}"
    )


def _state(record: RunRecord, names: Sequence[str]) -> str:
    """Return what a record has of ``names``, in words."""
    stated = [f"{name} {record.details[name]}" for name in names if record.details.get(name) is not None]
    return ", ".join(stated) or f"no {' or '.join(names)}"
