"""What members and ensembles say of recordings, from what their networks and feature sets give of these."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.options import WEIGHTED
from ser_store.ensembles.saving import average_shares
from ser_store.heads.kept_heads import KeptHead
from ser_store.heads.trials import Input
from ser_store.metrics import log_softmax, softmax
from ser_store.voting.checks import Tie, count_unanswered
from ser_store.voting.fitted import sum_weighted
from ser_store.voting.quantize import Logits
from ser_store.voting.rules import ABSTAINED, RULES, hard_vote, soft_log_vote, soft_vote

# Rules by which what members say can be taken together; a stack's regression is not kept.
HARD, SUMMED = ("hard", WEIGHTED), ("soft", "soft-log", "pool", "greedy-pool")
# A member, and a layer of it that is taken; None for the last.
Need = tuple[str, int | None]


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network or a feature set gives of ``n`` recordings.

    Attributes:
        logits: ``(n, c)`` float32, of a fine-tuned classifier.
        by_layer: ``(n, d)`` for each layer that is asked for, as the store would keep it.
    """

    logits: NDArray[np.float32] | None
    by_layer: Mapping[int | None, NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Said:
    """What is said of ``n`` recordings.

    Attributes:
        predicted: ``(n,)`` int16 class indices, -1 for no answer.
        scores: ``(n, c)`` float32, as a member of a store would hold them; None where classes alone are said.
        shares: ``(n, c)``, the probabilities; of a hard vote the shares of the votes; None where there are none.
        lacking: what is said, where there are no probabilities.
    """

    predicted: NDArray[np.int16]
    scores: NDArray[np.float32] | None = None
    shares: NDArray[np.float64] | None = None
    lacking: str = "classes alone"


class Answerer(Protocol):
    """What says something of recordings: a member, or an ensemble of members."""

    @property
    def name(self) -> str:
        """The member that it is; of an ensemble its members', joined by plus signs."""

    def needs(self) -> Iterator[Need]:
        """Yield the outputs that it is said from."""

    def say(self, outputs: Mapping[str, Outputs]) -> Said:
        """Return what it says, from the outputs by member."""

    def explain(self) -> Iterator[str]:
        """Yield a line for what may not be expected of its answers."""


def _say_scores(scores: NDArray[np.floating], *, lacking: str = "") -> Said:
    kept = scores.astype(np.float32)
    return Said(kept.argmax(axis=1).astype(np.int16), kept, None if lacking else softmax(kept), lacking)


@dataclass(frozen=True)
class Network:
    """A fine-tuned classifier."""

    name: str

    def needs(self) -> Iterator[Need]:
        yield self.name, None

    def say(self, outputs: Mapping[str, Outputs]) -> Said:
        logits = outputs[self.name].logits
        if logits is None:
            raise TypeError(f"{self.name} has no logits")
        return _say_scores(logits)

    def explain(self) -> Iterator[str]:
        yield from ()


@dataclass(frozen=True, eq=False)
class Head:
    """A head that was kept.

    Attributes:
        kept: the head.
        below: what says the logits that it takes of members without representations, by member.
        standardise: does so with a member's representations as where the head was fitted; None where its own part does.
        scores: what these are, where they are no probabilities; empty where they are.
    """

    kept: KeptHead
    below: Mapping[str, Answerer]
    standardise: Callable[[str, int | None, NDArray[np.floating]], NDArray[np.floating]] | None
    scores: str

    @property
    def name(self) -> str:
        return self.kept.member

    def needs(self) -> Iterator[Need]:
        for one in self.kept.inputs:
            for member in one.members:
                if member in self.below:
                    yield from self.below[member].needs()
                else:
                    yield from ((member, layer) for layer in one.layers)

    def say(self, outputs: Mapping[str, Outputs]) -> Said:
        said, what = self.kept.score(lambda one: self._gather(one, outputs))
        if what == "predicted":
            return Said(said.astype(np.int16))
        return _say_scores(said, lacking=self.scores)

    def _gather(self, one: Input, outputs: Mapping[str, Outputs]) -> NDArray[np.floating]:
        blocks = [self._take(member, layer, outputs) for member in one.members for layer in one.layers]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)

    def _take(self, member: str, layer: int | None, outputs: Mapping[str, Outputs]) -> NDArray[np.floating]:
        below = self.below.get(member)
        values = outputs[member].by_layer[layer] if below is None else below.say(outputs).scores
        if values is None:
            raise TypeError(f"{member} says classes alone")
        return values if self.standardise is None else self.standardise(member, layer, values)

    def explain(self) -> Iterator[str]:
        if len(self.kept.folds) > 1:
            yield f"{self.name}: the mean of what the heads of its {len(self.kept.folds)} folds say"
        for one in self.below.values():
            yield from one.explain()


@dataclass(frozen=True)
class FoldMean:
    """The models of all folds of a fine-tuned run, each of which says something of every recording."""

    name: str
    models: tuple[Answerer, ...]

    def needs(self) -> Iterator[Need]:
        for one in self.models:
            yield from one.needs()

    def say(self, outputs: Mapping[str, Outputs]) -> Said:
        said = [one.say(outputs).scores for one in self.models]
        return _say_scores(np.mean([one for one in said if one is not None], axis=0))

    def explain(self) -> Iterator[str]:
        yield f"{self.name}: the mean of what the models of its {len(self.models)} folds say"


@dataclass(frozen=True)
class Tempered:
    """A member whose scores are divided by a temperature; of several fits the mean of what they say."""

    name: str
    source: Answerer
    temperatures: tuple[float, ...]

    def needs(self) -> Iterator[Need]:
        yield from self.source.needs()

    def say(self, outputs: Mapping[str, Outputs]) -> Said:
        scores = self.source.say(outputs).scores
        if scores is None:
            raise TypeError(f"{self.source.name} says classes alone")
        # The mean of several fits' log-probabilities is that by their mean weight, but for what all classes share.
        weight = float(np.mean(1 / np.array(self.temperatures)))
        return _say_scores(sum_weighted([log_softmax(scores)], [weight]))

    def explain(self) -> Iterator[str]:
        if len(self.temperatures) > 1:
            yield f"{self.name}: the mean by its {len(self.temperatures)} temperatures"
        yield from self.source.explain()


@dataclass(frozen=True)
class Ensemble:
    """Members that vote, or are summed by weights that were fitted.

    Attributes:
        name: of the saved ensemble, or of the members.
        members: in the order of their names; one may be there several times.
        n_classes: of the corpus.
        rule: one of ``SUMMED`` or ``HARD``.
        tie: of hard votes.
        weights: of the members; None where they weigh alike.
        accuracies: of the members, for ties by ``best``.
        cautions: why its answers may mislead.
    """

    name: str
    members: tuple[Answerer, ...]
    n_classes: int
    rule: str
    tie: Tie = "lowest"
    weights: tuple[float, ...] | None = None
    accuracies: tuple[float, ...] | None = None
    cautions: tuple[str, ...] = ()

    def needs(self) -> Iterator[Need]:
        for one in self.members:
            yield from one.needs()

    def say(self, outputs: Mapping[str, Outputs]) -> Said:
        by_name = {one.name: one for one in self.members}
        answers = {name: one.say(outputs) for name, one in by_name.items()}
        said = [answers[one.name] for one in self.members]
        weights = None if self.weights is None else np.array(self.weights)
        if self.rule in HARD:
            return self._vote_hard(said, weights)
        given = _stack_scores(said)
        if self.rule not in RULES:
            return _say_scores(sum_weighted(log_softmax(given), list(self.weights or ())))
        shares = softmax(given) if self.rule == "soft" else Logits(given)
        voted = (soft_vote if self.rule == "soft" else soft_log_vote)(shares, weights=weights).predicted
        scores = average_shares(shares, weights, voted)
        return Said(voted, scores, softmax(scores))

    def _vote_hard(self, said: Sequence[Said], weights: NDArray[np.float64] | None) -> Said:
        ballots, n_options = count_unanswered(np.stack([one.predicted for one in said]), self.n_classes)
        voted = hard_vote(
            ballots,
            n_classes=n_options,
            tie=self.tie,
            probabilities=softmax(_stack_scores(said)) if self.tie == "confidence" else None,
            accuracies=self.accuracies if self.tie == "best" else None,
            weights=weights,
        ).predicted
        own = np.ones(len(said)) if weights is None else weights
        votes = (ballots[:, :, None] == np.arange(self.n_classes)) * own[:, None, None]
        decided = np.where(voted == self.n_classes, ABSTAINED, voted).astype(np.int16)
        return Said(decided, shares=votes.sum(axis=0) / own.sum())

    def explain(self) -> Iterator[str]:
        yield from dict.fromkeys(line for one in self.members for line in one.explain())
        yield from self.cautions
        if self.rule in HARD:
            by = ", by their weights" if self.weights else ""
            yield f"{self.name}: probabilities are shares of its {len(self.members)} votes{by}"


def _stack_scores(said: Sequence[Said]) -> NDArray[np.float32]:
    """Return the scores of members, all of which have some."""
    return np.stack([one.scores for one in said if one.scores is not None])
