"""A store to vote from, and votes on it by the definitions of the rules."""

from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np

from ser_store import Correction, Limits, Search, Store, vote
from ser_store.metrics import compute_balanced_accuracy, softmax
from ser_store.voting import hard_vote, soft_log_vote, soft_vote
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.runs import Selection as Selected

CLASSES = ("angry", "calm", "happy", "sad")
RUNS = {"base": (0.6, 20), "large": (0.75, 30), "xl": (0.8, 10)}
STEPS = (10, 20, 30)
N, N_TEST = 60, 40


@dataclass(frozen=True)
class Sample:
    """A store, and what is in it: predictions and probabilities by member, on all utterances."""

    store: Store
    names: tuple[str, ...]
    predicted: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    truth: np.ndarray
    test: np.ndarray
    valid: np.ndarray

    def right(self, name, rows):
        return self.predicted[name][rows] == self.truth[rows]

    def decide(self, members, rows, *, rule="hard", tie="lowest", weights=None, accuracies_on=None):
        """By the definitions of the rules."""
        weighed = None if weights is None else [weights[name] for name in members]
        probabilities = np.array([self.probabilities[name][rows] for name in members])
        if rule != "hard":
            return {"soft": soft_vote, "soft-log": soft_log_vote}[rule](probabilities, weights=weighed)
        accuracies_on = rows if accuracies_on is None else accuracies_on
        return hard_vote(
            [self.predicted[name][rows] for name in members],
            n_classes=4,
            tie=tie,
            probabilities=probabilities,
            accuracies=[self.right(name, accuracies_on).mean() for name in members],
            weights=weighed,
        )

    def rank(self, ks, *, names=None, rows=None, allows=lambda members: True, objective="accuracy", **rule):
        """Every ensemble, best first: members, utterances right, balanced accuracy and ties."""
        rows = self.test if rows is None else rows
        ranked = []
        for k in np.atleast_1d(ks):
            for members in combinations(self.names if names is None else sorted(names), k):
                if allows(members):
                    votes = self.decide(members, rows, **rule)
                    balanced = compute_balanced_accuracy(self.truth[rows], votes.predicted, n_classes=4)
                    correct = int((votes.predicted == self.truth[rows]).sum())
                    ranked.append((members, correct, balanced, int(votes.tied.sum())))
        figures = (1, 2) if objective == "accuracy" else (2, 1)
        # Equal means of recalls may differ in the last bit.
        return sorted(ranked, key=lambda one: (*(-round(one[figure], 12) for figure in figures), len(one[0]), one[0]))


def make_corpus():
    rng = np.random.default_rng(7)
    parts = np.array(["test"] * N_TEST + ["valid"] * (N - N_TEST))
    return Corpus(
        name="sample",
        ids=np.array([f"u{row:03}" for row in range(N)]),
        labels=rng.integers(4, size=N).astype(np.int16),
        classes=CLASSES,
        speakers=np.array([f"s{row % 8}" for row in range(N)]),
        columns={
            "room": np.array([f"r{row % 3}" for row in range(N)]),
            "desk": np.array([f"d{row % 10}" for row in range(N)]),
        },
        splits={"usual": parts},
        default_split="usual",
    )


def make_sample(path):
    """Three runs at three steps with logits, on 40 test and 20 valid utterances of eight speakers."""
    corpus = make_corpus()
    store = Store.create(path, corpus)
    rng = np.random.default_rng(11)
    difficulty = rng.normal(size=N)
    predicted, probabilities = {}, {}
    for run, (accuracy, selected) in RUNS.items():
        store.add_run(
            RunRecord(run, "finetune", "tiny-hubert", selected=Selected(selected, "best", "test", "the best"))
        )
        for step in STEPS:
            logits = rng.normal(size=(N, 4)).astype(np.float32)
            is_sure = difficulty + rng.normal(size=N) < np.quantile(difficulty, accuracy)
            logits[np.arange(N), corpus.labels] += np.where(is_sure, 2.0, 0.2).astype(np.float32)
            store.write_member(Member(run, step, np.arange(N, dtype=np.int32), logits=logits))
            predicted[f"{run}@{step}"] = logits.argmax(axis=1)
            probabilities[f"{run}@{step}"] = softmax(logits)
    rows = np.arange(N)
    names = tuple(sorted(predicted))
    return Sample(store, names, predicted, probabilities, corpus.labels, rows[:N_TEST], rows[N_TEST:])


def list_results(report):
    return [(one.members, one.score.correct, one.score.balanced_accuracy, one.score.ties) for one in report.ensembles]


def search(sample, *names, k=3, **options):
    asked = {"k": k, "all_combos": True, "steps": "all", "correction": "none"} | options
    return vote(sample.store, names, **group_options(**asked))


def group_options(**options):
    """Flat options as ``vote`` takes them: ``min_accuracy`` in ``limits``, ``threads`` in ``search``, ``by`` in …"""
    grouped = dict(options)
    for name, kind in (("limits", Limits), ("search", Search), ("correction", Correction)):
        own = {field.name: grouped.pop(field.name) for field in fields(kind) if field.name in grouped}
        if own:
            method = {"method": grouped.pop(name)} if name in grouped else {}
            grouped[name] = kind(**method, **own)
    return grouped


def runs_of(members):
    return {name.partition("@")[0] for name in members}


def interrupt_in(label, *, after):
    def progress(items, /, *, total, label):
        for number, item in enumerate(items):
            if label.startswith(wanted) and number == after:
                raise KeyboardInterrupt
            yield item

    wanted = label
    return progress
