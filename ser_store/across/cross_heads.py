"""Heads that are fitted in one corpus and judged on another, on representations of the same model in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ser_store.across.pairs import CrossedPair, Site, judge_pair
from ser_store.corpora.class_pairing import KEY as APPLIED
from ser_store.corpora.splits.fitted import count_same_speakers, find_fitted, find_same
from ser_store.corpora.splits.train_eval_rows import Rows, is_folded
from ser_store.errors import CorpusError, StoreError
from ser_store.evaluation.leakage import iter_leakage
from ser_store.extraction.identity import list_identity_differences
from ser_store.heads.classifiers import Classifier
from ser_store.heads.folds import DEFAULT_FOLDS, Protocol
from ser_store.heads.inputs import Layers, Normalise, find_covered, list_inputs, load_input
from ser_store.heads.requests import HeadRequest, describe_run
from ser_store.heads.sweep_cells import deal_rows
from ser_store.heads.trials import Examples, FittedTrial, Input, Trial, fit_trial, list_trials
from ser_store_h5.fitted import KEY as FITTED
from ser_store_h5.fitted import Fitted
from ser_store_h5.names import parse_member
from ser_store_h5.progress import Progress
from ser_store_h5.runs import RunRecord


@dataclass(frozen=True, eq=False)
class HeadSite:
    """One corpus, its representations, and who is learned from and judged in it.

    Attributes:
        site: the corpus on the classes of all.
        input: the representations.
        trial: the way the head is made.
        protocol: by what the head is judged in its own corpus.
        normalise: what inputs are standardised on.
    """

    site: Site
    input: Input
    trial: Trial
    protocol: Protocol
    normalise: Normalise

    @cached_property
    def rows(self) -> Rows:
        """The utterances with representations, of classes that all corpora have."""
        return self.site.keep(find_covered(self.site.store, [self.input]))

    @cached_property
    def pairs(self) -> list[tuple[Rows, Rows]]:
        """Of each fold the rows to fit on and to score in the corpus itself.

        Raises:
            CorpusError: if there are none of the classes that all have.
        """
        dealt = deal_rows(self.site.corpus, self.protocol, self.rows)
        pairs = [(np.intersect1d(train, self.rows), np.intersect1d(scored, self.rows)) for train, scored in dealt]
        if any(not len(train) or not len(scored) for train, scored in pairs):
            raise CorpusError(
                f"{self.site.name} has utterances of the classes that all have, {', '.join(self.site.classes)}, not in "
                "every part that is learned from or judged on: expected some; choose another `split`"
            )
        return pairs

    @property
    def learned(self) -> Rows:
        """The rows that the head which is judged elsewhere is fitted on: the training part, or all."""
        return self.pairs[0][0] if self.protocol.cv is None else self.rows

    @cached_property
    def judged(self) -> Rows:
        """The rows that all heads are judged on."""
        return np.sort(np.concatenate([scored for _, scored in self.pairs]))

    @cached_property
    def examples(self) -> Examples:
        """All rows, with classes of all as labels."""
        features = {self.input: load_input(self.site.store, self.input, self.rows, self.normalise)}
        return Examples(features, self.site.truth(self.rows), None, len(self.site.classes))

    def fit(self, rows: Rows) -> FittedTrial:
        return fit_trial(self.trial, self.examples, np.searchsorted(self.rows, rows))

    def answer(self, fitted: FittedTrial, rows: Rows) -> NDArray[np.int16]:
        """Return what a head says of some utterances, ``(m,)`` among the classes of all."""
        said, what = fitted.score(self.examples.features[self.input][np.searchsorted(self.rows, rows)])
        return np.asarray(said if what == "predicted" else said.argmax(axis=1), dtype=np.int16)


def prepare_heads(
    sites: Sequence[Site],
    source: str,
    classifier: Classifier,
    *,
    layer: Layers,
    normalise: Normalise,
    split: str | None,
    seed: int,
) -> list[HeadSite]:
    """Return what is fitted in each corpus, on representations of one model.

    Raises:
        StoreError: if a store has them not, several layers are named, or they are of different models.
    """
    found = []
    for site in sites:
        inputs = list_inputs(site.store, source, layer)
        if len(inputs) > 1:
            raise StoreError(f"`layer` is {layer}: expected one, or several joined by + that stand side by side")
        [trial] = list_trials(classifier, inputs[0], False)
        protocol = _choose_protocol(site, split, seed)
        found.append(HeadSite(site, inputs[0], trial, protocol, normalise))
        _refuse_other(found[0], found[-1])
    return found


def _choose_protocol(site: Site, split: str | None, seed: int) -> Protocol:
    """The split that is named; else folds of whole speakers where some are known, else of utterances."""
    if split is not None:
        return Protocol(None, None, split, None, seed) if is_folded(site.corpus, split) else Protocol(split, seed=seed)
    n_speakers = len(site.corpus.known_speakers)
    folds = DEFAULT_FOLDS if n_speakers < 2 else min(DEFAULT_FOLDS, n_speakers)
    return Protocol(None, None, "utterance" if n_speakers < 2 else "speaker", folds, seed)


def _refuse_other(first: HeadSite, other: HeadSite) -> None:
    for one, own in zip(first.input.members, other.input.members, strict=True):
        held, asked = (x.site.store.describe_member(name) for x, name in ((other, own), (first, one)))
        differing = list_identity_differences(held.provenance, asked.provenance)
        if differing:
            raise StoreError(
                f"{own} in {other.site.store.path} is from other {' and '.join(differing)} than {one} in "
                f"{first.site.store.path}: expected representations of one model; name another source"
            )


def cross_heads(sites: Sequence[HeadSite], member: str, progress: Progress) -> list[CrossedPair]:
    """Return the figures of a head of each corpus on each."""
    pairs = [(train, test) for train in sites for test in sites]
    fitted: dict[str, FittedTrial] = {}
    found = []
    for train, test in progress(pairs, total=len(pairs), label="crossing"):
        if train is test:
            found.append(_judge_itself(test, member))
            continue
        if train.site.name not in fitted:
            fitted[train.site.name] = train.fit(train.learned)
        said = test.answer(fitted[train.site.name], test.judged)
        record = _describe_elsewhere(train, test, member)
        cautions = [str(one) for one in iter_leakage(test.site.store, record, test.judged)]
        found.append(judge_pair(train.site, test.site, member, test.judged, said, cautions))
    return found


def _judge_itself(one: HeadSite, member: str) -> CrossedPair:
    said = np.concatenate([one.answer(one.fit(train), scored) for train, scored in one.pairs])
    order = np.argsort(np.concatenate([scored for _, scored in one.pairs]))
    request = HeadRequest(one.trial.kind, (one.input,), ((one.trial,),))
    details = {**request.describe(), **one.protocol.describe(one.site.corpus, len(one.pairs))}
    record = describe_run(one.site.store, member, request, one.pairs, {**details, "normalise": one.normalise})
    cautions = [str(caution) for caution in iter_leakage(one.site.store, record, one.judged)]
    return judge_pair(one.site, one.site, member, one.judged, said[order], cautions)


def _describe_elsewhere(train: HeadSite, test: HeadSite, member: str) -> RunRecord:
    """The record that a head of another corpus would have here: what it has heard of this one, itself or below."""
    here, there, store = train.site.corpus, test.site.corpus, test.site.store
    learned = Fitted.on_rows(find_same(here, train.learned, there), len(there))
    runs = dict.fromkeys(parse_member(one)[0] for one in test.input.members)
    below = [find_fitted(store, run) for run in runs]
    for one in below:
        learned = learned if one is None else learned.joined(one)
    applied = {"corpus": train.site.name, "same_speakers": count_same_speakers(here, train.learned, there)}
    details = {"source": test.input.source, "normalise": test.normalise, APPLIED: applied}
    details |= {} if None in below else {FITTED: learned.to_json()}
    return RunRecord(member, "head", "+".join(runs), details=details)
