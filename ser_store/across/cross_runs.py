"""Runs and kept heads of one corpus that are applied to another, and judged there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.across.applying import apply
from ser_store.across.crossed import CrossedPair, judge_pair
from ser_store.across.sites import Site
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store.evaluation.choice.member_choice import name_part
from ser_store.evaluation.leakage import find_cautions
from ser_store_h5.names import format_member, parse_member


@dataclass(frozen=True, eq=False)
class RunSite:
    """One corpus with its own run.

    Attributes:
        site: the corpus on the classes of all.
        member: of its own run; None if it has none, and is judged on alone.
        on: what the utterances are called that all are judged on.
        rows: these: what its own run was judged on, else all, of classes that all corpora have.
    """

    site: Site
    member: str | None
    on: str
    rows: Rows


def prepare_runs(sites: Sequence[Site], model: str, split: str | None) -> list[RunSite]:
    """Return the run of each corpus that is called so, and the utterances that it has not learned from.

    Raises:
        StoreError: if there are no utterances to judge on.
        UnknownNameError: if no store has such a run.
    """
    run = parse_member(model)[0]
    known = [name for site in sites for name in site.store.runs()]
    if run not in known:
        raise UnknownNameError(describe_unknown("run", run, [*dict.fromkeys(known)]))
    found = []
    for site in sites:
        member = format_member(*site.store.resolve(model)) if site.store.has_run(run) else None
        own = _choose_split(site, member, split)
        rows = site.corpus.rows("all") if own is None else site.corpus.rows(None, split=own)
        rows = site.keep(rows if member is None else np.intersect1d(rows, site.store.covered(member)))
        if not len(rows):
            raise StoreError(
                f"{site.name}: nothing to judge {member or model} on of the classes that all have: expected some; "
                "choose another `split`"
            )
        on = "all" if own is None else f"{name_part(site.corpus, None, own)} of {own}"
        found.append(RunSite(site, member, on, rows.astype(np.int32)))
    return found


def _choose_split(site: Site, member: str | None, split: str | None) -> str | None:
    """The split that is named, or that the member was trained by; None where all utterances are judged on."""
    if split is not None or member is None:
        return split or site.corpus.default_split
    own = site.store.run(parse_member(member)[0]).details.get("split")
    return own if own in site.corpus.splits else None


def cross_runs(sites: Sequence[RunSite], *, labels: Path | None, **options: Any) -> list[CrossedPair]:
    """Return the figures of the run of each corpus on each; options are those of :func:`ser_store.apply`."""
    found = []
    for train in sites:
        if train.member is None:
            continue
        for test in sites:
            member = train.member
            if test is not train:
                member = apply(train.site.store, train.member, test.site.store, labels=labels, **options).member
            cautions = [str(one) for one in find_cautions(test.site.store, [member], test.rows)[member]]
            rows = np.intersect1d(test.rows, test.site.store.covered(member)).astype(np.int32)
            said = test.site.answer(member, rows)
            found.append(judge_pair(train.site, test.site, member, rows, said, cautions))
    return found
