"""``vote``: from a store to the best ensembles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ser_store.common.progress import Progress, silent
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
    Objective,
    Rule,
    Search,
    SearchMethod,
    Tie,
    VoteOptions,
    check_options,
    order_sizes,
)
from ser_store.ensembles.ranking import rank
from ser_store.ensembles.report import VoteReport, list_cautions, make_report
from ser_store.ensembles.scores_file import check_scores, write_scores
from ser_store.ensembles.search import search_pool
from ser_store.ensembles.utterances import find_utterances
from ser_store.ensembles.vote_weights import Weights
from ser_store_h5.store import Store


def vote(
    store: Store,
    members: Sequence[str] = (),
    *,
    k: int | Sequence[int] | None = None,
    all_combos: bool = False,
    steps: Literal["selected", "all"] = "selected",
    rule: Rule = "hard",
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
    scores: str | Path | None = None,
    progress: Progress = silent,
) -> VoteReport:
    """Vote one ensemble, or search the k-member ensembles of the candidates for the best.

    Ctrl-C ends the search early with the best so far, and ``complete`` False.

    Args:
        members: the candidates. Default: every run's selected step, or with ``steps="all"`` every cached step.
        k: members of an ensemble, or several such sizes. Default: all candidates.
        all_combos: search all ensembles; without it, or a ``search``, there must be exactly k candidates.
        steps: ``selected`` or ``all``: what a run stands for that is named without a step, or not at all.
        rule: ``hard`` (plurality), ``soft`` (mean probability), ``soft-log`` (mean log-probability), or ``weighted``:
            hard voting with weights, by accuracy where none are named.
        tie: of hard voting: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        weights: how much each vote weighs: ``accuracy`` (utterances predicted right), ``balanced_accuracy``, a weight
            for each member or run by name, or as many numbers as there are candidates, in the order in which they are
            named (else by name). Default: all alike.
        objective: ``accuracy`` or ``balanced_accuracy``: what the best are best by.
        on: part of the split to report on, or ``all``. Default: ``test`` where the split has it, else all.
        split: a split of the corpus. Default: its default one.
        select_on: another part, on which to choose everything.
        top: how many of the best to return.
        limits: which candidates and ensembles are allowed. Default: all.
        search: how and where to search, or the method alone, such as ``"greedy"``.
        correction: how to correct the best figure for having been chosen on these utterances, or the method alone.
        diversity: measure how differently candidates err, and what each member of the best ensemble brings.
        scores: a Parquet file to write the scores of all ensembles to.
        progress: shows how far it is.

    Raises:
        EnsembleError: if options do not go together, k does not fit the candidates, or the search would take too long.
        ExistsError: if the file for the scores is there already.
        StoreError: if a candidate covers not all utterances, or lacks what the rule needs.
        UnknownNameError: if there is no such member, part, rule, …
    """
    asked = VoteOptions(
        ks=order_sizes(k),
        rule=rule,
        tie=tie,
        objective=objective,
        limits=limits or Limits(),
        search=Search(search) if isinstance(search, str) else search,
        correction=Correction(correction) if isinstance(correction, str) else correction,
    )
    options = check_options(asked, weights)
    check_scores(scores, options)
    utterances = find_utterances(store.corpus, on=on, split=split, select_on=select_on, correction=options.correction)
    choice = choose_candidates(store, members, utterances.parts, steps=steps, limits=options.limits)
    options = options.settle(weights, choice.names)
    reported = load_candidates(store, choice.names, utterances.reported, options)
    searched = load_candidates(store, choice.names, utterances.searched, options) if select_on else reported

    pool = pose_pool(searched, options)
    check_sizes(pool, searched, choice, is_search=all_combos or options.search.method != "auto")
    check_cost(pool)
    found = search_pool(pool, top=top, progress=progress)
    ranking = rank(pool, found, reported, utterances, top=top)
    corrected = correct_choice(searched, pool, found, ranking, utterances, progress=progress)
    if scores is not None and corrected.complete:
        write_scores(scores, pool, progress=progress)
    return make_report(
        pool,
        found,
        ranking,
        corrected,
        utterances,
        cautions=(*choice.left_out, *list_cautions(store, pool, reported, utterances, chosen=steps != "all")),
        diversity=measure_diversity(pool, reported, found) if diversity else None,
    )
