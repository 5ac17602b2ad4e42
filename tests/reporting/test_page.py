"""The page in a browser: it sorts, filters, votes, and says no more than it may."""

import re

import numpy as np
import pytest

import ser_store as ss
from ser_store.evaluation.choice.ensemble_names import VotingRule, vote_ensemble
from ser_store.metrics.predictions import evaluate_predictions
from ser_store.voting.checks import TIES

FIVE = ["hubert-base@900", "hubert-xlarge@600", "unispeech-large@700", "unispeech-ml@600", "xlsr53@1100"]
SCRIPT = "<script>alert(1)</script><!--"


def read_column(page, place):
    return page.eval_on_selector_all(
        "#members-table tbody tr:not([hidden])", f"rows => rows.map(row => row.cells[{place}].textContent.trim())"
    )


def test_the_best_three_of_the_paper_stand_there_and_the_page_votes_the_same(open_page, paper_page):
    page = open_page(paper_page)
    assert page.inner_text(".figure.main .value") == "95.03%"
    assert page.inner_text(".figure:not(.main) .value") == "96.53%"
    assert "278/288" in page.inner_text("#verdict")
    assert "96.53%" in page.inner_text("#verdict")


def test_ticking_members_gives_the_published_ensemble_of_five(open_page, paper_page):
    page = open_page(paper_page)
    page.click("text=clear")
    assert "Pick a member" in page.inner_text("#verdict")
    for name in FIVE:
        page.check(f'input[aria-label="{name} votes"]')
    verdict = page.inner_text("#verdict")
    assert "279/288" in verdict
    assert "96.88%" in verdict
    [found] = ss.evaluate(ss.open_example(), "+".join(FIVE)).members
    shown = page.eval_on_selector_all(".confusion td", "cells => cells.map(cell => Number(cell.textContent))")
    assert shown == found.metrics.confusion.ravel().tolist()
    assert "serstore vote hubert-base@900" in page.inner_text("#outcome")


def test_tables_sort_by_their_heads(open_page, paper_page):
    page = open_page(paper_page)
    head = page.locator("#members-table thead th", has_text="accuracy").first
    for order, reverse in (("descending", True), ("ascending", False)):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order
        assert read_column(page, 3) == sorted(read_column(page, 3), reverse=reverse)
    assert page.locator("#members-table th[aria-sort]").count() == 1


def test_a_filter_leaves_members_by_any_of_their_words(open_page, paper_page):
    page = open_page(paper_page)
    page.fill('input[type="search"]', "unispeech large")
    assert read_column(page, 1) == ["unispeech-large@700"]
    assert page.inner_text('[data-shown="members-table"]') == "1 of 6"


def test_members_that_hold_labels_only_are_not_summed(open_page, paper_page):
    page = open_page(paper_page)
    page.check('input[value="soft"]')
    assert "needs probabilities" in page.inner_text("#verdict")
    assert page.locator('input[name="tie"]:disabled').count() == 4


def make_store(folder, seed, *, answers="logits", m=5, n=40, c=4):
    """Scores of few values, so that votes and sums are often tied."""
    rng = np.random.default_rng(seed)
    classes, ids = [f"class {i}" for i in range(c)], [f"u{i:02}" for i in range(n)]
    store = ss.Store.create(folder, ids=ids, labels=rng.integers(0, c, n), classes=classes)
    for member in range(m):
        if answers == "logits":
            given = {"logits": rng.choice([0.0, 0.5, 1.0, 3.0, -40.0], (n, c)).astype(np.float32)}
        elif answers == "probabilities":
            parts = rng.multinomial(10, np.full(c, 1 / c), n) / 10
            given = {"probabilities": parts}
        elif answers == "scores":
            given = {"scores": rng.normal(0, 4, (n, c)).astype(np.float32)}
        else:
            said = rng.integers(-1, c, n)
            given = {"predicted": [None if one < 0 else classes[one] for one in said]}
        store.add(f"m{member}", ids=ids, **given)
    return store


@pytest.mark.parametrize("answers", ["logits", "probabilities", "scores", "labels"])
def test_the_page_votes_as_the_command_does_by_every_rule_and_tie(answers, open_page, tmp_path):
    ties = 0
    for seed in range(2):
        store = make_store(tmp_path / f"{seed}.store", seed, answers=answers, c=3 + 2 * seed)
        page = open_page(ss.report(store, tmp_path / f"{seed}.html").file)
        rng, names = np.random.default_rng(seed), store.member_names()
        mute = answers == "labels"
        rules = [(rule, tie) for rule in ("hard", "weighted") for tie in TIES if not (mute and tie == "confidence")]
        rules += [] if mute else [("soft", "lowest"), ("soft-log", "lowest")]
        picks = [
            (rng.choice(names, size, replace=False).tolist(), *rule) for rule in rules for size in (2, 3, 4, len(names))
        ]
        shown = page.evaluate("picks => picks.map(pick => serstore.vote(...pick))", picks)
        for asked, own in zip(picks, shown, strict=True):
            check_vote(store, *asked, own)
            ties += own["ties"]
    assert ties > 100


def check_vote(store, members, rule, tie, own):
    """What the page gives is what the command gives, utterance by utterance and figure by figure."""
    asked, corpus = (members, rule, tie), store.corpus
    [best] = ss.vote(store, members, rule=rule, tie=tie, correction="none").ensembles
    assert (own["correct"], own["n"], own["ties"]) == (best.score.correct, best.score.n, best.score.ties), asked
    assert own["balanced"] == pytest.approx(best.score.balanced_accuracy, abs=1e-12), asked
    assert own["bounds"] == pytest.approx(best.interval.bounds, abs=1e-12), asked
    if rule == "weighted":
        return
    rows = np.arange(len(corpus), dtype=np.int32)
    said = vote_ensemble(store, members, rows, rule=VotingRule(rule, tie))
    assert [-1 if one == len(corpus.classes) else one for one in own["predicted"]] == said.tolist(), asked
    found = evaluate_predictions(corpus.labels, said, n_classes=len(corpus.classes))
    assert own["confusion"] == found.confusion.tolist(), asked
    assert own["macroF1"] == pytest.approx(found.macro_avg.f1, abs=1e-12), asked
    for place, one in enumerate(own["perClass"]):
        expected = (*found.per_class.list_scores(place), int(found.per_class.support[place]))
        assert (one["precision"], one["recall"], one["f1"], one["support"]) == pytest.approx(expected), asked


def test_real_logits_vote_as_the_command_does(open_page, tmp_path):
    store = ss.open_example("whisper-base")
    written = ss.report(store, tmp_path / "real.html", split="paper", exclude="whisper-base-l*")
    page = open_page(written.file)
    names = [one["name"] for one in page.evaluate("READ.members")][:7]
    for rule, tie in (("soft", "lowest"), ("soft-log", "lowest"), ("weighted", "confidence")):
        voted = ss.vote(store, names, rule=rule, tie=tie, split="paper", correction="none").ensembles[0].score
        own = page.evaluate("pick => serstore.vote(...pick)", [names, rule, tie])
        assert (own["correct"], own["ties"]) == (voted.correct, voted.ties)


def test_names_that_look_like_scripts_stay_text(open_page, tmp_path):
    ids = ["a", "b", "c", "d"]
    store = ss.Store.create(
        tmp_path / "s.store",
        ids=ids,
        labels=["x", SCRIPT, "x", SCRIPT],
        speakers=[SCRIPT, "two", SCRIPT, "two"],
        name=SCRIPT,
        **{"sex": ["f", SCRIPT, "f", SCRIPT]},
    )
    for run in ("one", "script-1"):
        store.add(run, ids=ids, predicted=["x", "x", SCRIPT, SCRIPT])
    page = open_page(ss.report(store, tmp_path / "page.html", title=SCRIPT).file)
    assert page.inner_text("h1") == SCRIPT
    assert SCRIPT in page.inner_text("#slices")
    assert SCRIPT in page.inner_text(".confusion")
    assert page.locator("script").count() == 2


def test_everything_is_reached_by_keys_alone(open_page, paper_page):
    page = open_page(paper_page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.focus('input[aria-label="xlsr53@1100 votes"]')
    page.keyboard.press("Space")
    assert "2 of 6 members" in page.inner_text("#verdict")
    page.focus("#members-table th button")
    page.keyboard.press("Enter")
    assert page.locator("#members-table th[aria-sort]").count() == 1
    page.focus('[data-chart="distribution"] svg')
    page.keyboard.press("ArrowRight")
    assert "of 288 right" in page.inner_text("#ensembles .readout") or "alone" in page.inner_text("#ensembles .readout")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    unnamed = page.eval_on_selector_all(
        "button, input", "all => all.filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length))"
    )
    assert unnamed == []


def test_paper_has_no_tools_and_all_rows(open_page, paper_page):
    page = open_page(paper_page)
    page.emulate_media(media="print")
    assert not page.is_visible("nav")
    assert not page.is_visible("#ballot")
    assert page.is_visible("#members-table")
    assert page.evaluate("getComputedStyle(document.querySelector('.tall')).maxHeight") == "none"
    assert page.pdf()[:5] == b"%PDF-"


def read_luminance(page, selector, what):
    colour = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{what}")
    shares = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_read_in_the_light_and_in_the_dark(scheme, open_page, paper_page):
    page = open_page(paper_page, color_scheme=scheme)
    ground = read_luminance(page, "body", "backgroundColor")
    assert (ground < 0.05) == (scheme == "dark")
    for selector in ("body", ".aside", ".figure .label", ".figure.main .value", ".figure:not(.main) .value", "nav a"):
        ink = read_luminance(page, selector, "color")
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 4.5, selector


@pytest.mark.parametrize("width", [380, 820, 1440])
def test_a_page_is_as_wide_as_its_window_and_stays_in_place(width, open_page, paper_page):
    page = open_page(paper_page, width=width)
    page.wait_for_selector('[data-chart="difficulty"] svg')
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    before = page.evaluate("document.getElementById('provenance').offsetTop")
    page.check('input[name="tie"][value="abstain"]')
    page.hover('[data-chart="difficulty"] svg')
    assert page.evaluate("document.getElementById('provenance').offsetTop") == before
