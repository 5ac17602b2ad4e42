"""``predictions``: what members said about every utterance, as one data frame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_store.evaluation.choice.covering import choose_covering
from ser_store.evaluation.choice.ensemble_names import EnsembleRule, VotingRule, load_members
from ser_store.evaluation.choice.member_choice import Steps, name_part
from ser_store.evaluation.score_kinds import load_probabilities
from ser_store.metrics import softmax
from ser_store.voting.checks import Tie
from ser_store_h5.member import NO_ANSWER
from ser_store_h5.names import PLUS, list_names
from ser_store_h5.store import Store, StoreLike, open_store

if TYPE_CHECKING:
    from polars import DataFrame


def predictions(
    store: StoreLike,
    members: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    steps: Steps = "selected",
    rule: EnsembleRule = "hard",
    tie: Tie = "lowest",
) -> "DataFrame":
    """Return what members said about every utterance, a row for each member and utterance.

    Columns are ``member``, ``utterance``, ``path`` and ``speaker`` (null where unknown), ``part``, ``label``,
    ``predicted`` (null where there was no answer), ``correct``, and ``p_CLASS`` for each class, the probabilities; null
    of members that hold predicted classes alone. Of ensembles they are by ``rule`` the shares of the votes (``hard``),
    the mean probabilities (``soft``), the softmax of the mean scores (``soft-log``), or what the fitted weights make.

    Args:
        store: the store.
        members: members, or ensembles such as ``a@1+b@2+c@3``. Default: every run's selected step.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: default: the corpus' default split.
        steps: ``selected``, or ``all`` steps of runs that are named alone or not at all.
        rule: how ensembles vote: ``hard``, ``soft`` or ``soft-log``; or by weights that are fitted without the speaker
            that they score, as :func:`ser_store.vote` has them: ``pool``, ``stack`` or ``greedy-pool``.
        tie: how their hard votes break ties: ``lowest``, ``confidence``, ``best`` or ``abstain``.

    Raises:
        StoreError: if a member covers not all utterances asked for.
        UnknownNameError: if there is no such member or part.

    >>> import ser_store as ss
    >>> frame = ss.predictions(ss.open_example(), ["xlsr53"])
    >>> frame.columns[:4], frame["correct"].sum()
    (['member', 'utterance', 'path', 'speaker'], 267)
    """
    store = open_store(store)
    members = list_names(members)
    voting = VotingRule(rule, tie, split)
    on = name_part(store.corpus, on, split)
    chosen = choose_covering(store, members, store.corpus.rows(on, split=split), on=on, steps=steps)
    return tabulate_answers(store, chosen.names, chosen.rows, split=split, voting=voting)


def tabulate_answers(
    store: Store, names: Sequence[str], rows: NDArray[np.int32], *, split: str | None, voting: VotingRule
) -> "DataFrame":
    """Return the table of :func:`predictions`.

    Args:
        names: full names of members and ensembles.
        rows: ``(n,)`` indices of the utterances.
        split: whose parts are named. Default: the corpus' default split.
    """
    import polars

    corpus = store.corpus
    classes = np.array([*corpus.classes, None], dtype=object)  # the last is that of -1
    parts = corpus.parts(split)[rows] if corpus.splits else np.full(len(rows), None)
    known: dict[str, Any] = {
        "utterance": corpus.ids[rows].tolist(),
        "path": [None] * len(rows) if corpus.paths is None else corpus.paths[rows].tolist(),
        "speaker": [None] * len(rows)
        if corpus.speakers is None
        else [name or None for name in corpus.speakers[rows].tolist()],
        "part": parts.tolist(),
        "label": classes[corpus.labels[rows]].tolist(),
    }
    predicted, scores = load_members(store, names, rows, rule=voting)
    texts = ("member", *known, "predicted")
    frames = []
    for name, codes, said in zip(names, predicted, scores, strict=True):
        own: dict[str, Any] = {"member": name, **known, "predicted": classes[codes].tolist()}
        own["correct"] = (codes == corpus.labels[rows]) & (codes != NO_ANSWER)
        shares = softmax(said) if PLUS in name and said is not None else _load_shares(store, name, rows, voting)
        own |= {f"p_{label}": None if shares is None else shares[:, c] for c, label in enumerate(corpus.classes)}
        numbers = {f"p_{label}": polars.Float64 for label in corpus.classes}
        frames.append(polars.DataFrame(own, schema_overrides={**dict.fromkeys(texts, polars.String), **numbers}))
    return polars.concat(frames)


def _load_shares(store: Store, name: str, rows: NDArray[np.int32], voting: VotingRule) -> NDArray[np.float64] | None:
    """Return what a member or ensemble gives each class, ``(n, c)``, summing to 1; None of a member of labels only.

    Answers that are none of the classes have no share.
    """
    members = sorted(name.split(PLUS))
    if len(members) == 1:
        has_scores = store.describe_member(name).logits is not None
        return load_probabilities(store, members, rows)[0] if has_scores else None
    if voting.rule == "hard":
        votes = store.predictions(members, rows)[:, :, None] == np.arange(len(store.corpus.classes))
        return np.asarray(votes.mean(axis=0))
    if voting.rule == "soft":
        return np.asarray(load_probabilities(store, members, rows).mean(axis=0))
    return softmax(store.logits(members, rows).mean(axis=0, dtype=np.float64))
