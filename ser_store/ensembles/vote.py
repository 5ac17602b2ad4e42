"""``vote``: from a store to the best ensembles."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ser_store.common.progress import Progress, silent
from ser_store.ensembles.candidate_pool import admit, check_sizes
from ser_store.ensembles.candidates import Candidates, load_candidates
from ser_store.ensembles.choice import choose_candidates
from ser_store.ensembles.correction import Correction, check_method, correct_choice
from ser_store.ensembles.cost import check_reach
from ser_store.ensembles.options import WEIGHTED, Terms, check_terms, settle_sizes
from ser_store.ensembles.ranking import Ranking
from ser_store.ensembles.report import RankedEnsemble, VoteReport, distribute
from ser_store.ensembles.scores_file import check_scores, write_scores
from ser_store.ensembles.search import order_best, search_sizes
from ser_store.ensembles.utterances import find_other_rows, find_units
from ser_store.ensembles.vote_weights import Weights, settle_weights
from ser_store.evaluation.leakage import caution_leakage
from ser_store.evaluation.member_choice import name_part
from ser_store.evaluation.score_kinds import CONFIDENCE, SOFT_VOTES, caution_scores
from ser_store.metrics import caution_absent_classes
from ser_store.metrics.absent_classes import caution_unanswered
from ser_store.metrics.class_indices import ABSTAINED
from ser_store.statistics.selection import SelectionBias
from ser_store_h5.store import Store


def vote(
    store: Store,
    members: Sequence[str] = (),
    *,
    k: int | Sequence[int] | None = None,
    all_combos: bool = False,
    steps: str = "selected",
    rule: str = "hard",
    tie: str = "lowest",
    weights: Weights | None = None,
    objective: str = "accuracy",
    min_accuracy: float = 0.0,
    one_step_per_run: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    search: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    scheduler: str | None = None,
    max_seconds: float | None = None,
    on: str | None = None,
    split: str | None = None,
    select_on: str | None = None,
    top: int = 20,
    correct: str = "bootstrap",
    correct_by: str | None = None,
    repeats: int | None = None,
    seed: int = 0,
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
        rule: ``hard`` (plurality), ``soft`` (mean probability), ``soft-log`` (mean log-probability), or ``weighted``:
            hard voting with weights, by accuracy where none are named.
        tie: of hard voting: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        weights: how much each vote weighs: ``accuracy`` (utterances predicted right), ``balanced_accuracy``, a weight
            for each member or run by name, or as many numbers as there are candidates, in the order in which they are
            named (else by name). Default: all alike.
        objective: ``accuracy`` or ``balanced_accuracy``: what the best are best by.
        min_accuracy: candidates below it, on the utterances searched, are left out, save those of ``include``.
        one_step_per_run: no ensemble holds two steps of one run.
        include: members, runs or patterns such as ``hubert-*``: every ensemble holds one candidate of each.
        exclude: members, runs or patterns: no candidates.
        search: ``exhaustive``; ``greedy`` forward selection; ``pruned``, exact by bounds; or ``auto``:
            exhaustive, if it ends within ten minutes.
        backend: of the exhaustive search: ``auto``, ``batched``, ``bitsliced`` or ``summed`` on this machine; joblib's
            ``loky``, ``threading``, ``dask`` or ``ray``.
        threads: or workers. Default: as many as there are processors.
        scheduler: address of the Dask scheduler.
        max_seconds: when a pruned search ends unfinished.
        on: part of the split to report on, or ``all``. Default: ``test`` where the split has it, else all.
        select_on: another part, on which to choose everything.
        top: how many of the best to return.
        correct: correct the best figure for having been chosen on these utterances: by ``bootstrap``, by disjoint
            ``halves``, or ``none``.
        correct_by: draw whole groups: ``speaker`` or a column; or ``utterance``. Default: by speaker where the corpus
            knows them. Nothing is corrected by fewer than 8 groups or 10 utterances.
        repeats: of the correction. Default: 1000 where the outcomes of all ensembles fit in memory, else 200 searches
            or as many as fit into about two minutes.
        seed: of the correction.
        diversity: measure how differently candidates err, and what each member of the best ensemble brings.
        scores: a Parquet file to write the scores of all ensembles to.
        progress: shows how far it is.

    Raises:
        EnsembleError: if options do not go together, k does not fit the candidates, or the search would take too long.
        ExistsError: if the file for the scores is there already.
        StoreError: if a candidate covers not all utterances, or lacks what the rule needs.
        UnknownNameError: if there is no such member, part, rule, …
    """
    on = name_part(store.corpus, on, split)
    check_method(correct)
    rows = store.corpus.rows(on, split=split)
    parts = {on: rows}
    if select_on is not None:
        parts[select_on] = find_other_rows(store.corpus, rows, on=on, select_on=select_on, split=split)
    choice = choose_candidates(store, members, parts, steps=steps, include=include, exclude=exclude)
    if weights is None and rule == WEIGHTED:
        weights = "accuracy"
    terms = Terms(
        rule="hard" if rule == WEIGHTED else rule,
        tie=tie,
        weights=None if weights is None else settle_weights(weights, choice.names),
        objective=objective.replace("-", "_"),
        min_accuracy=min_accuracy,
        one_step_per_run=one_step_per_run,
        include=tuple(include),
        search=search,
        backend=backend,
        threads=threads,
        scheduler=scheduler,
        max_seconds=max_seconds,
    )
    check_terms(terms)
    if scores is not None:
        check_scores(scores, terms, k)
    # By name, so that the outcome does not hang on the order in which the members were named.
    names, needs_shares = sorted(choice.names), terms.needs_shares
    reported = load_candidates(store, names, rows, rule=terms.rule, needs_shares=needs_shares)
    everything = reported
    if select_on is not None:
        others = parts[select_on]
        everything = load_candidates(store, names, others, rule=terms.rule, needs_shares=needs_shares)
    electorate = admit(everything, terms)
    terms = replace(terms, ks=settle_sizes(k, len(electorate.places)))
    check_sizes(electorate, everything, terms, is_search=all_combos or search != "auto", choice=choice)
    check_reach(electorate, terms)
    groups, group_name = find_units(store.corpus, rows, correct_by)
    speakers, _ = find_units(store.corpus, rows, None)
    ignores_speakers = groups is None and speakers is not None
    correction = Correction(correct, groups, group_name, repeats=repeats, seed=seed, ignores_speakers=ignores_speakers)

    found = tuple(one for one in search_sizes(electorate, terms, top=top, progress=progress) if one.results)
    if not found:
        raise KeyboardInterrupt
    complete = len(found) == len(terms.ks) and found[-1].complete
    ranking = Ranking(electorate, reported, terms, speakers=speakers, is_elsewhere=select_on is not None)
    best_by_size = {one.k: ranking.rank((one,), top) for one in found}
    ensembles = best_by_size[found[0].k] if len(found) == 1 else ranking.rank(found, top)
    selection, note = None, "not corrected: interrupted"
    if select_on is not None:
        selection, note = _hold_out(ensembles[0], terms, select_on), ""
    elif complete:
        try:
            selection, note = correct_choice(
                everything, electorate, terms, found, correction=correction, progress=progress
            )
        except KeyboardInterrupt:
            complete = False
    if scores is not None and complete:
        write_scores(scores, electorate, terms, progress=progress)
    differing = None
    if diversity:
        from ser_store.ensembles.diversity import measure_diversity

        best = order_best(found, terms)[0][1].members
        differing = measure_diversity(reported.keep(electorate.places), best, electorate.weights, terms)
    return VoteReport(
        on=on,
        split=split or store.corpus.default_split,
        chosen_on=select_on,
        terms=terms,
        rule=rule,
        candidates=electorate.candidates.names,
        weights=None if electorate.weights is None else tuple(map(float, electorate.weights)),
        found=found,
        ensembles=ensembles,
        best_by_size=best_by_size,
        best_single=ranking.best_single,
        complete=complete,
        selection=selection,
        note=note,
        diversity=differing,
        distribution=distribute(found),
        heard=(
            *choice.left_out,
            *caution_leakage(store, electorate.candidates.names, rows, chosen=steps != "all"),
            *caution_absent_classes(reported.truth, store.corpus.classes),
            *_caution_unanswered(reported, len(store.corpus.classes)),
        ),
        kinds=caution_scores(store, electorate.candidates.names, of=CONFIDENCE if terms.rule == "hard" else SOFT_VOTES)
        if needs_shares
        else (),
    )


def _caution_unanswered(candidates: Candidates, n_classes: int) -> tuple[str, ...]:
    """Of the candidates, who vote for one class more where their answer is none of the ``n_classes``."""
    answers = np.where(candidates.predictions == n_classes, ABSTAINED, candidates.predictions)
    return caution_unanswered(candidates.names, answers)


def _hold_out(best: RankedEnsemble, terms: Terms, select_on: str) -> SelectionBias:
    """The figure where the ensemble was chosen, and where it was not."""
    figures = [
        score.accuracy if terms.objective == "accuracy" else score.balanced_accuracy
        for score in (best.chosen_score, best.score)
    ]
    low, high = best.interval.bounds if terms.objective == "accuracy" else (None, None)
    method = f"held out: chosen on {select_on}"
    return SelectionBias(apparent=figures[0], corrected=figures[1], repeats=0, method=method, low=low, high=high)
