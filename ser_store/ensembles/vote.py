"""``vote``: from a store to the best ensembles."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike

from ser_store.ensembles.candidate_pool import check_sizes, pose_pool
from ser_store.ensembles.candidates import load_candidates
from ser_store.ensembles.choice import choose_candidates
from ser_store.ensembles.correction import correct_choice
from ser_store.ensembles.cost import check_cost
from ser_store.ensembles.diversity import measure_diversity
from ser_store.ensembles.options import (
    Correction,
    CorrectionMethod,
    Limits,
    Search,
    SearchMethod,
    VoteOptions,
    VoteRule,
    check_options,
    order_sizes,
)
from ser_store.ensembles.ranking import rank
from ser_store.ensembles.report import VoteReport, list_cautions, make_report
from ser_store.ensembles.saving import check_save, save_best
from ser_store.ensembles.search import check_scores, search_pool, write_scores
from ser_store.ensembles.utterances import find_utterances
from ser_store.ensembles.vote_weights import Weights
from ser_store.evaluation.choice.member_choice import Steps
from ser_store.voting.checks import Tie
from ser_store.voting.problem import Objective
from ser_store.voting.search import check_top
from ser_store_h5.names import list_names
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import StoreLike, open_store


def vote(
    store: StoreLike,
    members: str | Sequence[str] = (),
    *,
    k: int | Iterable[int] | None = None,
    all_combos: bool = False,
    steps: Steps = "selected",
    rule: VoteRule = "hard",
    tie: Tie = "lowest",
    weights: Weights | None = None,
    objective: Objective = "accuracy",
    on: str | None = None,
    split: str | None = None,
    select_on: str | None = None,
    top: int = 20,
    limits: Limits | None = None,
    search: Search | SearchMethod = "auto",
    correction: Correction | CorrectionMethod = "bootstrap",
    diversity: bool = False,
    scores: str | PathLike[str] | None = None,
    save: str | None = None,
    preview: Callable[[VoteReport], object] | None = None,
    progress: ProgressLike = False,
) -> VoteReport:
    """Let one ensemble vote, or find the best of all ensembles of ``k`` members.

    Ctrl-C ends the search early: the report then holds the best so far, and its ``complete`` is False. During the
    correction it leaves that out: the report holds all that was found, ``selection`` is None and ``note`` says so.

    Args:
        store: an open store, or the path of one.
        members: the candidates: names such as ``xlsr53@1100``, runs, or patterns such as ``hubert-*``; a string is one
            name. Default: the selected step of every run, or with ``steps="all"`` every cached step; of a member that
            :func:`ser_store.calibrate` made another of, only that one.
        k: the number of members of an ensemble, or several such numbers. Default: all candidates vote together.
        all_combos: search all ensembles of ``k`` candidates. Without it, or a ``search``, there must be exactly ``k``.
        steps: which steps of a run are candidates where no step is named: the ``selected`` one, or ``all``.
        rule: ``hard`` (most votes), ``soft`` (highest mean probability), ``soft-log`` (highest mean log-probability),
            or ``weighted``: hard voting with ``weights``, by accuracy unless others are given. Three fit weights to all
            candidates, each utterance being scored by weights that have not seen its speaker, or that were fitted on
            ``select_on``: ``pool`` (sum of log-probabilities, one weight each, by log-loss), ``greedy-pool`` (the same
            of members that are chosen one after the other) and ``stack`` (logistic regression on all of them). The
            report, a :class:`~ser_store.ensembles.fitted.report.FittedVote`, then has every rule's figures.
        tie: who decides where hard voting has several winners: the ``lowest`` class, the highest ``confidence`` (sum
            of probabilities), the ``best`` member, or nobody (``abstain``, which counts as wrong).
        weights: what each vote counts: ``accuracy`` (the number of utterances a member has right),
            ``balanced_accuracy``, a dictionary of numbers by member or run, or a sequence of one number for each
            candidate, in the order of ``members``, else in alphabetical order. Default: all count the same.
        objective: rank ensembles by ``accuracy`` or ``balanced_accuracy``.
        on: the utterances to report on: a part of the split, or ``all``. Default: ``test`` where there is one, else
            all.
        split: the split that ``on`` and ``select_on`` are parts of. Default: the store's default split.
        select_on: another part, such as ``valid``, to choose ensemble, weights and candidates on, or to fit weights.
        top: how many of the best ensembles to return.
        limits: which candidates and ensembles are allowed. Default: all.
        search: how and where to search, or the method alone, such as ``"greedy"``.
        correction: how to correct the best figure for having been chosen on the utterances it is reported on, or the
            method alone, such as ``"none"``.
        diversity: also measure how differently candidates err, and what each member adds to the best ensemble.
        scores: a new Parquet file for the scores of all ensembles.
        save: keep the best ensemble under this name, as a run whose member holds what was voted for each utterance
            that its members cover: votes, or of the soft rules the mean scores. It can stand wherever a member can, and
            its record says how it was chosen. Votes of later searches leave it out unless it is named.
        preview: is called with the report as soon as the best ensembles are known, before the best is corrected.
        progress: show a bar over the search; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Returns:
        The best ensembles, best first, with figures, intervals and the correction.

    Raises:
        CorpusError: if weights are to be fitted and all utterances are of one speaker.
        EnsembleError: if options do not go together, ``k`` does not fit the candidates, or the search would take more
            than ten minutes; if weights cannot be fitted.
        ExistsError: if the file for the scores exists, or a run of the name to save.
        StoreError: if a candidate that was named does not cover all utterances, or has no probabilities where the rule
            needs them.
        UnknownNameError: if there is no such member, part, split, rule and so on.

    >>> import ser_store as ss
    >>> report = ss.vote(ss.open_example(), k=3, all_combos=True)
    >>> best = report.ensembles[0]
    >>> best.name, best.score.correct, best.score.n
    ('hubert-xlarge@600+unispeech-ml@600+xlsr53@1100', 278, 288)
    >>> report.to_frame().height
    20
    >>> mine = ss.unpack(ss.open_example().path, "mine.store")
    >>> _ = ss.vote(mine, k=3, all_combos=True, save="best3")
    >>> ss.evaluate(mine, "best3").members[0].metrics.correct
    278
    >>> ss.vote(ss.open_example(), ["xlsr53", "hubert-base"], tie="abstain").ensembles[0].score.ties
    36
    >>> store = ss.open_example("whisper-base")
    >>> pooled = ss.vote(store, ["whisper-base-ft@600", "whisper-base-tuned"], rule="pool")
    >>> list(pooled.rules)
    ['best member', 'hard', 'soft', 'soft-log', 'pool', 'stack', 'greedy-pool']
    >>> pooled.ensembles[0].score.accuracy > pooled.rules["soft"].score.accuracy
    True
    """
    store = open_store(store)
    asked = VoteOptions(
        ks=order_sizes(k),
        rule=rule,
        tie=tie,
        objective=objective,
        limits=Limits() if limits is None else limits,
        search=Search(search) if isinstance(search, str) else search,
        correction=Correction(correction) if isinstance(correction, str) else correction,
    )
    options = check_options(asked, weights)
    check_top(top)
    check_scores(scores, options)
    check_save(store, save)
    utterances = find_utterances(store.corpus, on=on, split=split, select_on=select_on, correction=options.correction)
    choice = choose_candidates(store, list_names(members), utterances.parts, steps=steps, limits=options.limits)
    shown = to_progress(progress)
    if options.fits_weights:
        from ser_store.ensembles.fitted.vote import refuse_searching, vote_fitted  # what other rules need nothing of

        refuse_searching(options, all_combos=all_combos, weights=weights, diversity=diversity, scores=scores)
        return vote_fitted(store, choice, utterances, options, chosen=steps != "all", save=save, progress=shown)
    options = options.settle(weights, choice.names)
    reported = load_candidates(store, choice.names, utterances.reported, options)
    searched = load_candidates(store, choice.names, utterances.searched, options) if select_on else reported

    pool = pose_pool(searched, options)
    check_sizes(pool, searched, choice, is_search=all_combos or options.search.method != "auto")
    check_cost(pool)
    found = search_pool(pool, top=top, progress=shown)
    ranking = rank(pool, found, reported, utterances, top=top)
    report = make_report(
        pool,
        found,
        ranking,
        utterances,
        cautions=(*choice.left_out, *list_cautions(store, pool, reported, utterances, chosen=steps != "all")),
        diversity=measure_diversity(pool, reported, found) if diversity else None,
    )
    if preview is not None:
        preview(report)
    report = report.correct(correct_choice(searched, pool, found, ranking, utterances, progress=shown))
    if scores is not None and report.complete:
        write_scores(scores, pool, progress=shown)
    return replace(report, saved=save_best(store, save, pool, report)) if save and report.is_searched else report
