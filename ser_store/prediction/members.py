"""What a name stands for: which networks, heads and rules answer, as the records of a store say."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from ser_store.ensembles.fitted.report import summarize_weights
from ser_store.ensembles.options import WEIGHTED
from ser_store.errors import EnsembleError, StoreError
from ser_store.evaluation.choice.ensemble_names import EnsembleRule, VotingRule
from ser_store.evaluation.choice.member_choice import name_part, resolve_ensemble
from ser_store.evaluation.choice.saved_ensembles import TEMPERATURE, list_members, read_choice
from ser_store.evaluation.fitted import pose_task
from ser_store.evaluation.folds import KIND as FOLDS
from ser_store.evaluation.score_kinds import CONFIDENCE, SOFT_VOTES, caution_scores, describe_scores, find_kind
from ser_store.heads.inputs import standardise_like, takes_logits
from ser_store.heads.kept_heads import load_kept
from ser_store.prediction.answers import HARD, SUMMED, Answerer, Ensemble, FoldMean, Head, Network, Tempered
from ser_store.training.checkpointing.checkpoints import find_checkpoint
from ser_store.voting.checks import Tie
from ser_store.voting.fitted import FittedRule
from ser_store.voting.rules import RULES
from ser_store_h5.names import PLUS, format_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def find_answerer(
    store: Store, name: str, *, rule: EnsembleRule | None = None, tie: Tie | None = None, checkpoint: Path | None = None
) -> Answerer:
    """Return what answers by the name of a member or an ensemble.

    Args:
        store: has the members.
        name: of a member; of several, joined by plus signs; or of a saved ensemble.
        rule: by which members that are named vote; weights are fitted where `evaluate()` fits them. Default: hard.
        tie: of hard votes. Default: the lowest class.
        checkpoint: has the weights of the one network that answers; then the store need not have them.

    Raises:
        EnsembleError: if a rule is stated where nothing votes, or one cannot be applied.
        StoreError, ModelError: naming what is not there any more, or never was.
        UnknownNameError: if there is no such member or rule.
    """
    if store.path.is_file():
        raise StoreError(
            f"{store.path} is a packed store, which leaves models behind: expected the folder it was made of"
        )
    names = resolve_ensemble(store, name)
    if PLUS in name:
        voting = VotingRule(rule or "hard", tie or "lowest")
        if voting.rule != "hard" and voting.tie != "lowest":
            raise EnsembleError(f"`tie` {tie} with `rule` {rule}: expected ties by lowest; leave `tie` out")
        weights, how = _fit_weights(store, sorted(names), voting.rule) if voting.fits_weights else ({}, ())
        names = sorted(weights or names)
        found = _find_voters(store, names, voting.rule, voting.tie, judged=(None, None), checkpoint=checkpoint)
        fitted = tuple(weights[one] for one in names) if weights else None
        return replace(found, weights=fitted, cautions=(*how, *found.cautions))
    if rule is not None or tie is not None:
        what = f"`rule` {rule}" if rule is not None else f"`tie` {tie}"
        raise EnsembleError(f"{what} with {name}: expected members that vote, such as a@1+b@2; leave it out")
    return _find_member(store, names[0], checkpoint)


def _fit_weights(store: Store, names: list[str], rule: EnsembleRule) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the weights above 0 of members, as a vote that is saved keeps them, and a line that says of what.

    Raises:
        CorpusError, EnsembleError, StoreError: if they cannot be fitted, or none is for each member.
    """
    if rule == "stack":
        raise EnsembleError(
            "`rule` stack, of which what is fitted is not kept: expected one of "
            f"{', '.join(one for one in (*HARD, *SUMMED) if one != WEIGHTED)}"
        )
    on = name_part(store.corpus, None)
    task = pose_task(store, names, store.corpus.rows(on), on=on, split=None, way_out="take `rule` soft-log")
    if obstacle := task.find_obstacle(cast(FittedRule, rule), store.corpus.classes):
        raise EnsembleError(obstacle)
    fitted = summarize_weights(names, task.solve(cast(FittedRule, rule))[1])
    every = {one.member: one.mean for one in fitted}
    weights = {name: weight for name, weight in every.items() if weight > 0} or every
    stated = ", ".join(f"{name} {weight:.3f}" for name, weight in weights.items())
    return weights, (
        f"weights: {stated}: the mean of {task.groups.count} fits on {on}, each without one {task.groups.one}",
    )


def _find_member(store: Store, name: str, checkpoint: Path | None) -> Answerer:
    run, step = store.resolve(name)
    record, member = store.run(run), format_member(run, step)
    if record.kind == "finetune":
        if checkpoint is None:
            find_checkpoint(store, record, step)
        return Network(member)
    if record.kind == FOLDS:
        models = store.describe_member(member).provenance.get("members", {})
        return FoldMean(member, tuple(_find_member(store, str(one), checkpoint) for one in models.values()))
    if record.kind == "ensemble":
        return _find_saved(store, record, member, checkpoint)
    if record.kind == "head" and record.details.get("head") == TEMPERATURE:
        made = store.describe_member(member).provenance
        return Tempered(member, _find_member(store, made["source"], checkpoint), tuple(made["temperatures"]))
    if record.kind == "head":
        return _find_head(store, record, member, checkpoint)
    raise StoreError(_explain_mute(record, member, has_answers=store.describe_member(member).logits is not None))


def _explain_mute(record: RunRecord, member: str, *, has_answers: bool) -> str:
    if record.kind == "frozen" and has_answers:
        return f"{member} is what {record.backbone} answers to this corpus: expected the model; name that in its place"
    if record.kind == "frozen":
        return f"{member} has representations and no answers: expected a head on them; fit one by `head()` with `keep`"
    return (
        f"{member} is of kind {record.kind}, made by a program that is not at hand: expected a fine-tuned run whose "
        "checkpoint is kept, or a head that was fitted with `keep`"
    )


def _find_head(store: Store, record: RunRecord, member: str, checkpoint: Path | None) -> Head:
    kept = load_kept(store, member)
    if kept.normalise == "speaker":
        raise StoreError(
            f"{member} standardises on all recordings of each speaker, and who speaks in a file is not known: expected "
            "a head that is standardised on train or corpus; fit one by `head()` with `normalise` train and `keep`"
        )
    members = dict.fromkeys(one for own in kept.inputs for one in own.members)
    below = {}
    for one in members:
        kind = store.run(store.resolve(one)[0]).kind
        if takes_logits(store, one):
            below[one] = _find_member(store, one, checkpoint)
        elif kind == "finetune":
            _find_member(store, one, checkpoint)  # it has a checkpoint
        elif kind != "frozen":
            raise StoreError(
                f"{member} was fitted on {one}, which is of kind {kind}: expected representations that can be made "
                "again, of a frozen backbone, a feature set or a fine-tuned run"
            )
    lacking = describe_scores(record) if find_kind(store, record.run) == "scores" else ""
    return Head(kept, below, partial(standardise_like, store) if kept.normalise == "corpus" else None, lacking)


def _find_saved(store: Store, record: RunRecord, member: str, checkpoint: Path | None) -> Ensemble:
    names, rule, weights = list_members(record), record.details.get("rule"), record.details.get("weights")
    if rule not in (*HARD, *SUMMED):
        raise EnsembleError(
            f"{member} was saved by `rule` {rule}, of which what was fitted is not kept: expected one of "
            f"{', '.join((*HARD, *SUMMED))}; save one by `vote()`"
        )
    order = sorted(range(len(names)), key=names.__getitem__)
    choice, split = read_choice(record), record.details.get("split")
    found = _find_voters(
        store,
        [names[place] for place in order],
        rule,
        record.details.get("tie") or "lowest",
        judged=(None, split) if choice is None else (choice.on, choice.split),
        checkpoint=checkpoint,
    )
    return replace(
        found, name=member, weights=None if weights is None else tuple(float(weights[place]) for place in order)
    )


def _find_voters(
    store: Store,
    names: list[str],
    rule: str,
    tie: Tie,
    *,
    judged: tuple[str | None, str | None],
    checkpoint: Path | None,
) -> Ensemble:
    """Return an ensemble of members that weigh alike; ``judged`` are the part and split of ties by the best."""
    of = CONFIDENCE if tie == "confidence" else SOFT_VOTES if rule in RULES and rule != "hard" else None
    for name in names:
        if (of is not None or rule in SUMMED) and store.describe_member(name).logits is None:
            raise StoreError(f"{name} has labels only: expected logits or probabilities to add up; take `rule` hard")
    return Ensemble(
        PLUS.join(names),
        tuple(_find_member(store, name, checkpoint) for name in names),
        len(store.corpus.classes),
        rule,
        tie,
        accuracies=_find_accuracies(store, names, *judged) if tie == "best" else None,
        cautions=() if of is None else caution_scores(store, names, of=of),
    )


def _find_accuracies(store: Store, names: list[str], on: str | None, split: str | None) -> tuple[float, ...]:
    """Return how often members are right where they were judged, by which the best of them decides ties."""
    rows = store.corpus.rows(name_part(store.corpus, on, split), split=split)
    right = store.predictions(names, rows) == store.corpus.labels[rows]
    return tuple(right.mean(axis=1).tolist())
