"""Figures of what members answered: confusions, accuracies, and whether they are as often right as they are sure."""

from collections.abc import Iterator
from dataclasses import replace

from ser_store.errors import StoreError
from ser_store.evaluation import Evaluations, evaluate
from ser_store.evaluation.choice.ensemble_names import load_members
from ser_store.evaluation.tables import describe_intervals, format_p
from ser_store.figures.drawing.matrices import draw_confusions, draw_matrix
from ser_store.figures.drawing.members import draw_accuracies, draw_difficulty, draw_reliability
from ser_store.figures.question import (
    Drawn,
    Question,
    describe_figures,
    describe_methods_of,
    find_rows,
    list_notes,
    name_members,
    name_scope_of,
)
from ser_store.metrics.calibration import compute_reliability
from ser_store.voting.checks import count_unanswered
from ser_store.voting.diversity import compute_pair_diversity
from ser_store_h5.names import parse_member

# Confusion matrices that fit on one page.
_MOST = {"column": 3, "page": 9}
# Utterances that a note names before it only counts them.
_SHOWN = 4


def draw_confusion(asked: Question) -> Drawn:
    """Draw the confusion matrix of each member."""
    found = _choose_shown(asked, evaluate(asked.store, asked.members, **asked.voting))
    names = [one.member for one in found.members]
    title = f"Confusion of {name_members(names)} {name_scope_of(found)}"
    methods = describe_methods_of(found)
    if len(names) == 1:
        [one] = found.members
        title += f": {describe_figures(one.metrics, one.interval)}"
    else:
        names = [f"{one.member}, {one.metrics.accuracy:.2%}" for one in found.members]
        methods = ""
    figure = draw_confusions(
        [one.metrics.confusion for one in found.members],
        found.members[0].classes,
        names,
        title=title,
        notes=list_notes(found.cautions, methods),
        width=asked.width,
    )
    return Drawn(figure, title, found.cautions)


def _choose_shown(asked: Question, found: Evaluations) -> Evaluations:
    """Return what is drawn where nobody is named: all, or of too many the saved ensembles, else the most accurate."""
    members, most = found.members, _MOST[asked.width]
    if asked.members or len(members) <= most:
        return found
    shown = tuple(one for one in members if asked.store.run(parse_member(one.member)[0]).kind == "ensemble")
    why = "these are the saved ensembles"
    if not 0 < len(shown) <= most:
        # Whose figures mislead, is not chosen for them.
        shown = (max([one for one in members if not one.cautions] or members, key=lambda one: one.metrics.accuracy),)
        why = "this is the most accurate on these utterances, and looks better than it is"
    left_out = f"{len(members) - len(shown)} of {len(members)} members are left out: {why}; name those that are meant"
    return replace(found, members=shown, cautions=(*found.cautions, left_out))


def draw_accuracy(asked: Question) -> Drawn:
    """Draw the accuracy of each member, or of each group of utterances by ``by``, with intervals."""
    found = evaluate(asked.store, asked.members, by=asked.by, **asked.voting)
    names = [one.member for one in found.members]
    scope = name_scope_of(found)
    if asked.by is None:
        title = f"Accuracy of {name_members(names)} {scope}"
        figure = draw_accuracies(
            [[one.metrics.accuracy for one in found.members]],
            [[one.interval.bounds for one in found.members]],
            ["accuracy"],
            names,
            title=title,
            notes=list_notes(found.cautions, describe_methods_of(found)),
            width=asked.width,
        )
        return Drawn(figure, title, found.cautions)
    title = f"Accuracy by {asked.by} of {name_members(names)} {scope}"
    slices = [one.sliced.slices for one in found.members if one.sliced is not None]
    order = sorted(range(len(slices[0])), key=lambda place: -sum(own[place].metrics.accuracy for own in slices))
    methods = describe_intervals([one.interval for own in slices for one in own], said=found.cautions)
    figure = draw_accuracies(
        [[own[place].metrics.accuracy for place in order] for own in slices],
        [[own[place].interval.bounds for place in order] for own in slices],
        names,
        [f"{slices[0][place].group} (n = {slices[0][place].metrics.n})" for place in order],
        title=title,
        notes=list_notes(found.cautions, f"95% intervals: {methods}", *_describe_gaps(found)),
        width=asked.width,
    )
    return Drawn(figure, title, found.cautions)


def _describe_gaps(found: Evaluations) -> Iterator[str]:
    """Yield for each member whether its groups differ by more than chance."""
    for one in found.members:
        if one.sliced is not None and one.sliced.test is not None:
            test = one.sliced.test
            yield f"{one.member}: gap of {one.sliced.gap * 100:.1f} points, p {format_p(test.p)} ({test.method})"


def draw_calibration(asked: Question) -> Drawn:
    """Draw how often each member is right by how sure it is."""
    found = evaluate(asked.store, asked.members, **asked.voting)
    named = [one.member for one in found.members if one.probabilities is not None]
    mute = [one.member for one in found.members if one.probabilities is None]
    if not named or (mute and asked.members):
        raise StoreError(f"{(mute or ['no member'])[0]} holds no scores of the classes: expected members with logits")
    rows = find_rows(asked, found)
    truth = asked.store.corpus.labels[rows]
    _, scores = load_members(asked.store, named, rows, rule=asked.voting_rule)
    reliabilities = [compute_reliability(truth, own) for own in scores if own is not None]
    title = f"Calibration of {name_members(named)} {name_scope_of(found)}"
    errors = {one.member: one.probabilities.ece for one in found.members if one.probabilities is not None}
    cautions = (*found.cautions, *found.loss_cautions)
    figure = draw_reliability(
        reliabilities,
        [f"{name}, error {errors[name]:.3f}" for name in named],
        title=title,
        notes=list_notes(cautions, "error: expected calibration error of 15 bins; below the diagonal: too sure"),
        width=asked.width,
    )
    return Drawn(figure, title, cautions)


def draw_disagreement(asked: Question) -> Drawn:
    """Draw for every two members the share of the utterances that exactly one of them gets right."""
    found = evaluate(asked.store, asked.members, **asked.voting)
    if len(found.members) < 2:
        raise StoreError(f"there is only {found.members[0].member}: expected two members or more, which can disagree")
    rows = find_rows(asked, found)
    names = [one.member for one in found.members]
    corpus = asked.store.corpus
    answers = load_members(asked.store, names, rows, rule=asked.voting_rule)[0]
    ballots, n_classes = count_unanswered(answers, len(corpus.classes))
    shares = compute_pair_diversity(ballots, corpus.labels[rows], n_classes=n_classes).disagreement
    title = f"Disagreement of {name_members(names)} {name_scope_of(found)}"
    figure = draw_matrix(
        shares,
        names,
        names,
        title=title,
        shaded="exactly one is right",
        from_zero=True,
        digits=0,
        notes=list_notes(found.cautions, "percent of the utterances that exactly one of the two gets right"),
        width=asked.width,
    )
    return Drawn(figure, title, found.cautions)


def draw_hardness(asked: Question) -> Drawn:
    """Draw which members get which utterances right."""
    found = evaluate(asked.store, asked.members, **asked.voting)
    rows = find_rows(asked, found)
    names = [one.member for one in found.members]
    corpus = asked.store.corpus
    answers = load_members(asked.store, names, rows, rule=asked.voting_rule)[0]
    right = answers == corpus.labels[rows]
    easy, hard = int(right.all(axis=0).sum()), [str(one) for one in corpus.ids[rows[~right.any(axis=0)]]]
    shown = f": {', '.join(hard[:_SHOWN])}{', …' if len(hard) > _SHOWN else ''}" if hard else ""
    title = f"What {name_members(names)} get right {name_scope_of(found)}"
    figure = draw_difficulty(
        right,
        [f"{one.member}  {one.metrics.accuracy:.1%}" for one in found.members],
        title=title,
        notes=list_notes(found.cautions, f"dark: wrong; right for all members: {easy}; for none: {len(hard)}{shown}"),
        width=asked.width,
    )
    return Drawn(figure, title, found.cautions)
