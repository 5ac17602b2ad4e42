"""Figures on pages written by hand are those of the committed results."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_speed_of_the_search_is_the_measured_one():
    measured = json.loads((RESULTS / "vote.json").read_text())
    posed = measured["voting_problem"]
    hard, soft = (find_search(measured["rates"], rule, posed["ensembles"]) for rule in ("hard", "soft"))
    sentence = (
        f"all {posed['ensembles']:,} five-member ensembles of {posed['members']} members (six models at "
        f"{posed['steps']} steps) on {posed['n']} utterances take {hard['seconds']:.2f} s by hard and "
        f"{soft['seconds']:.2f} s by soft voting on two cores, {round_to_two(hard['ratio'])} and "
        f"{round_to_two(soft['ratio'])} times the rate of batched numpy in the same run"
    )
    assert (posed["k"], posed["runs"]) == (5, 6)
    assert sentence in " ".join((ROOT / "docs" / "tasks" / "vote.md").read_text().split())


def test_the_corrections_are_as_good_as_they_were_in_the_simulation():
    def off(error):
        return f"{error['mean']:+.2f} ± {error['se']:.2f}".replace("-", "−")

    page = (ROOT / "docs" / "corrected.md").read_text()
    for name, world in json.loads((RESULTS / "selection.json").read_text())["worlds"].items():
        bias, coverage = world["bias"], world["coverage"]["bootstrap"]
        cells = (name, off(bias["apparent"]), off(bias["bootstrap"]), f"{coverage:.1%}", off(bias["halves"]))
        assert f"| {' | '.join(cells)} |" in page


def find_search(rates, rule, ensembles):
    """The search of all ensembles on two cores."""
    [found] = [rate for rate in rates if (rate["rule"], rate["threads"], rate["measured"]) == (rule, 2, ensembles)]
    return found


def round_to_two(number):
    """Two digits that count: 1,349 as 1,300."""
    return f"{float(f'{number:.2g}'):,.0f}"
