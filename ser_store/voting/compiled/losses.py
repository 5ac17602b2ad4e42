"""Compiled: how many utterances of each unit every ensemble gets wrong, by whatever rule adds up what members give.

An utterance is lost if the margin of its truth over any rival is below 0. Margins are kept in 16 bits, 32 lanes at a
time, an utterance a lane; the last of ``k`` members takes one addition for each rival. Those that do not fit are
divided by a step of their own and rounded down: a sum of them is at most ``band`` steps too low, so that it is wrong
only where it lies between ``-band`` and 0, and there it is added up again, exactly.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.compiled.jit import compiled, compiled_inline, compiled_inner
from ser_store.voting.compiled.simd import count_negative, find_first, find_lower, find_negative, get, load, store
from ser_store.voting.compiled.summed import find_open
from ser_store.voting.problem import Problem

Ints = NDArray[np.int64]
Shorts = NDArray[np.int16]

WIDTH = 32
MOST = 2**15 - 1
# An ensemble's time for a place of seven rivals, in times of a lane and sample.
PLACE_COST = 400


class Margins(NamedTuple):
    """What members add to the margins of the utterances that can be lost and won.

    A *place* is ``WIDTH`` lanes of the table, with an utterance or nobody in each. Places are in ``blocks`` of the same
    number, in each of which every lane has utterances of one unit.

    ``shorts``: ``(2 * m + 1, rows * WIDTH)``, by member, then of no votes, then the highest of each member and those
    after it; ``starts``: ``(places + 1,)``, the first
    row of each place, which has one for each rival. ``exact``, ``(m + 1, utterances * rivals)``, the same undivided,
    and ``utterances``: ``(places * WIDTH,)``, the number of each; empty where all fit.
    """

    shorts: Shorts
    starts: Ints
    exact: Ints
    utterances: Ints
    rivals: int
    blocks: int
    band: int


@compiled
def count_losses(
    margins: Margins, roots: Ints, begins: Ints, held: Ints, hits: Ints, needed: int, losses: Shorts, ensembles: Ints
) -> int:
    """Count what each ensemble loses that begins with one of ``roots``, in lexicographic order; return how many.

    Args:
        roots: ``(e, k - 1)``. The last member is one from ``begins``, ``(e,)``, on who completes what is ``held``.
        losses: ``(ensembles, blocks * WIDTH)``, takes the counts.
        ensembles: ``(ensembles, 2)``, takes the root and the last member.
    """
    shorts, starts, blocks, band = margins.shorts, margins.starts, margins.blocks, margins.band
    m, size = shorts.shape[0] // 2, shorts.shape[1]
    before = np.empty(size, dtype=np.int16)
    bands = np.full(WIDTH, band, dtype=np.int16)
    n_found = 0
    per_block = (len(starts) - 1) // blocks
    for number in range(len(roots)):
        _add_root(shorts, roots, number, before)
        for last in range(begins[number], m):
            if (held[number] | hits[last]) != needed:
                continue
            unsure = np.uint64(0)
            for block in range(blocks):
                lost = load(bands, 0) & ~load(bands, 0)
                near = lost
                for place in range(block * per_block, (block + 1) * per_block):
                    low = _add_last(shorts, before, last * size, get(starts, place), get(starts, place + 1))
                    lost = count_negative(lost, low)
                    near = near | (low & ~(low + load(bands, 0)))
                unsure |= find_negative(near)
                store(losses, (n_found * blocks + block) * WIDTH, lost)
            if unsure:
                _settle(margins, roots, number, last, before, bands, losses, n_found)
            ensembles[n_found, 0], ensembles[n_found, 1] = number, last
            n_found += 1
    return n_found


@compiled
def bound_losses(margins: Margins, roots: Ints, begins: Ints, losses: Shorts) -> None:
    """Count what all ensembles lose that begin with each of ``roots``, whoever is the last; as :func:`count_losses`."""
    shorts, starts, blocks = margins.shorts, margins.starts, margins.blocks
    m, size = shorts.shape[0] // 2, shorts.shape[1]
    before = np.empty(size, dtype=np.int16)
    bands = np.full(WIDTH, margins.band, dtype=np.int16)
    per_block = (len(starts) - 1) // blocks
    for number in range(len(roots)):
        _add_root(shorts, roots, number, before)
        highest = (m + 1 + begins[number]) * size
        for block in range(blocks):
            lost = load(bands, 0) & ~load(bands, 0)
            for place in range(block * per_block, (block + 1) * per_block):
                low = _add_last(shorts, before, highest, get(starts, place), get(starts, place + 1))
                lost = count_negative(lost, low + load(bands, 0))
            store(losses, (number * blocks + block) * WIDTH, lost)


@compiled_inner
def _add_root(shorts: Shorts, roots: Ints, number: int, before: Shorts) -> None:
    """Put the margins after the votes of a root into ``before``."""
    size = shorts.shape[1]
    for row in range(0, size, WIDTH):
        total = load(shorts, shorts.shape[0] // 2 * size + row)
        for vote in range(roots.shape[1]):
            total = total + load(shorts, roots[number, vote] * size + row)
        store(before, row, total)


@compiled_inline
def _add_last(shorts: Shorts, before: Shorts, offset: int, begin: int, end: int):  # type: ignore[no-untyped-def]  # a vector
    """Return the lowest margin of each utterance of a place after the last vote."""
    low = load(before, begin * WIDTH) + load(shorts, offset + begin * WIDTH)
    for row in range(begin + 1, end):
        low = find_lower(low, load(before, row * WIDTH) + load(shorts, offset + row * WIDTH))
    return low


@compiled_inner
def _settle(
    margins: Margins, roots: Ints, number: int, last: int, before: Shorts, bands: Shorts, losses: Shorts, found: int
) -> None:
    """Take back the losses of one ensemble that are none by the exact sums."""
    exact, utterances, starts, rivals = margins.exact, margins.utterances, margins.starts, margins.rivals
    m = exact.shape[0] - 1
    n_places = len(starts) - 1
    per_block = n_places // margins.blocks
    for place in range(n_places):
        low = _add_last(margins.shorts, before, last * margins.shorts.shape[1], starts[place], starts[place + 1])
        unsure = find_negative(low & ~(low + load(bands, 0)))
        while unsure:
            lane = find_first(unsure)
            unsure &= unsure - np.uint64(1)
            is_right = True
            for pair in range(
                utterances[place * WIDTH + lane] * rivals, (utterances[place * WIDTH + lane] + 1) * rivals
            ):
                total = exact[m, pair] + exact[last, pair]
                for vote in range(roots.shape[1]):
                    total += exact[roots[number, vote], pair]
                is_right = is_right and total >= 0
            if is_right:
                losses[found, place // per_block * WIDTH + lane] -= 1


def encode_margins(problem: Problem, units: NDArray[np.intp], *, n_samples: int) -> tuple[Margins, NDArray[np.intp]]:
    """Return the margins of a problem whose sums fit, and the unit of every lane that has one, ``(lanes,)``.

    Args:
        units: ``(n,)``, the number of each utterance's unit.
        n_samples: in how many samples the losses of each lane are weighed afterwards.
    """
    k, m = problem.k, problem.m
    margins, starts, _, can_win = find_open(problem)
    is_open = can_win.any(axis=1)
    can_win, units = can_win[is_open], units[is_open]
    # The rivals who can win first; the others never do.
    order = np.argsort(~can_win, axis=1, kind="stable")[..., None]
    exact = np.concatenate([margins[is_open], starts[is_open][..., None]], axis=2)
    exact = np.take_along_axis(np.where(can_win[..., None], exact, 0), order, axis=1)
    n_open, n_rivals, _ = exact.shape
    reach = np.abs(exact[..., m]) + k * np.abs(exact[..., :m]).max(axis=2)
    steps = np.maximum(1, -(-reach // (MOST - 2 * k - 2)))
    band = k + 1 if (steps > 1).any() else 0

    needed = can_win.sum(axis=1)
    lane, depth, lane_units = _lay_out(units, needed, n_samples)
    blocks, n_depths = max(1, -(-len(lane_units) // WIDTH)), int(depth.max(initial=0)) + 1
    place = lane // WIDTH * n_depths + depth
    rows = np.ones(blocks * n_depths, dtype=np.int64)
    np.maximum.at(rows, place, needed)
    begins = np.append(0, rows.cumsum())
    utterances = np.zeros(len(rows) * WIDTH, dtype=np.int64)
    utterances[place * WIDTH + lane % WIDTH] = np.arange(n_open)
    shorts = np.zeros((m + 1, int(begins[-1]), WIDTH), dtype=np.int16)
    of, rival = np.nonzero(np.arange(n_rivals) < needed[:, None])
    shorts[:, begins[place[of]] + rival, lane[of] % WIDTH] = (exact[of, rival] // steps[of, rival, None]).T
    table = exact.reshape(n_open * n_rivals, m + 1).T if band else np.zeros((m + 1, 0))
    return Margins(
        shorts=np.concatenate([shorts, np.maximum.accumulate(shorts[:m][::-1])[::-1]]).reshape(2 * m + 1, -1),
        starts=begins,
        exact=np.ascontiguousarray(table, dtype=np.int64),
        utterances=utterances,
        rivals=n_rivals,
        blocks=blocks,
        band=band,
    ), lane_units


def _lay_out(
    units: NDArray[np.intp], needed: Ints, n_samples: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the lane of each utterance and its number there, those with the most rivals first; and the lanes' units.

    Units may take several lanes, where it costs less to weigh these than to add up places with few in them.
    """
    sizes = np.bincount(units, minlength=1)

    def count_cost(depth: int) -> int:
        lanes = int((-(-sizes // depth)).sum())
        return -(-lanes // WIDTH) * depth * PLACE_COST + lanes * n_samples

    n_depths = min(range(1, max(2, sizes.max() + 1)), key=count_cost)
    per_unit = -(-sizes // n_depths)
    order = np.lexsort((-needed, units))
    rank = np.empty_like(units)
    rank[order] = np.arange(len(units)) - np.repeat(sizes.cumsum() - sizes, sizes)
    lane = (per_unit.cumsum() - per_unit)[units] + rank % np.maximum(1, per_unit[units])
    return lane, rank // np.maximum(1, per_unit[units]), np.repeat(np.arange(len(sizes)), per_unit)
