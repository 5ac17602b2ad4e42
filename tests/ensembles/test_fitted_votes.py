"""Votes with fitted weights: every utterance is scored by what has not seen its speaker."""

import numpy as np
import pytest
from ensemble_samples import N_TEST, make_sample

import ser_store as ss
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.ensembles.choice import choose_candidates
from ser_store.ensembles.fitted.vote import vote_fitted
from ser_store.ensembles.options import VoteOptions
from ser_store.ensembles.utterances import find_utterances
from ser_store.evaluation.fitted import group_speakers
from ser_store.metrics.calibration import evaluate_logits, log_softmax
from ser_store.voting.fitted import fit_weights
from ser_store_h5.member import Member
from ser_store_h5.names import Ensemble
from ser_store_h5.progress import silent
from ser_store_h5.runs import RunRecord

N, CLASSES = 160, ("angry", "happy", "sad")
SPEAKERS = np.arange(N) % 8
WAY_OUT = {"split": None, "way_out": "way out"}


@pytest.fixture(scope="module")
def published(published_logits, serstore, tmp_path_factory):
    """The store that a user makes of the published logits: no audio, the folds those of the table."""
    store = tmp_path_factory.mktemp("published") / "published.store"
    assert serstore("import", published_logits, "--label", "emotion", "--store", store).code == 0
    return store


def make_store(path, *, labels=None, speakers=SPEAKERS, splits=None, classes=CLASSES):
    """Two members with logits and one with labels alone, on utterances of eight speakers."""
    rng = np.random.default_rng(5)
    truth = rng.integers(len(CLASSES), size=N)
    logits = rng.normal(size=(2, N, len(classes))).astype(np.float32)
    logits[:, np.arange(N), truth] += np.array([[1.5], [0.7]], dtype=np.float32)
    store = ss.Store.create(
        path,
        ids=[f"u{place:03}" for place in range(N)],
        labels=truth if labels is None else labels,
        classes=classes,
        speakers=None if speakers is None else [f"s{one}" for one in speakers],
        splits=splits,
    )
    rows = np.arange(N, dtype=np.int32)
    for run, own in zip(("good", "fair"), logits, strict=True):
        store.add_run(RunRecord(run, "import", run))
        store.write_member(Member(run, 0, rows, own))
    store.add_run(RunRecord("plain", "import", "plain"))
    store.write_member(Member("plain", 0, rows, predicted=truth.astype(np.int16)))
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("fitted") / "fitted.store")


def test_the_published_logits_pool_as_an_outside_script_has_it(published, serstore):
    words = ("vote", "--split", "fold", "--store", published)
    document = serstore(*words, "--rule", "pool", "--json").json
    accuracies = {one["rule"]: 100 * one["accuracy"] for one in document["rules"]}
    assert accuracies["best member"] == pytest.approx(81.94, abs=0.005)
    assert accuracies["hard"] == pytest.approx(71.39, abs=0.005)
    assert accuracies["soft"] == pytest.approx(77.50, abs=0.005)
    assert accuracies["soft-log"] == pytest.approx(85.83, abs=0.005)
    assert accuracies["pool"] == pytest.approx(87.43, abs=0.15)
    assert accuracies["greedy-pool"] > 86.74  # the authors' own fusion
    assert "without the fold of split fold that is scored" in document["fitted"]["how"]
    result = document["results"][0]
    assert result["accuracy"] * 100 == accuracies["pool"]
    assert result["members"] == document["candidates"] == ["lstm_au@0", "mlp_au@0", "wav2vec@0"]
    assert len(result["weights"]) == 3
    assert min(result["weights"]) > 0
    assert {one["rule"]: one["against"]["verdict"] for one in document["rules"] if one["against"]} == {
        "best member": "worse",
        "hard": "worse",
        "soft": "worse",
        "soft-log": "cannot tell",
        "stack": "worse",
        "greedy-pool": "cannot tell",
    }
    for rule in ("hard", "soft", "soft-log"):
        alone = serstore(*words, "--rule", rule, "--json").json["results"][0]
        beside = next(one for one in document["rules"] if one["rule"] == rule)
        assert (alone["correct"], alone["ci95"]) == (beside["correct"], beside["ci95"])


def test_groups_of_speakers_in_place_of_folds_come_to_the_same(published, serstore):
    document = serstore("vote", "--store", published, "--rule", "pool", "--json").json
    assert document["results"][0]["accuracy"] * 100 == pytest.approx(87.43, abs=0.15)
    assert "without the group of speakers that is scored" in document["fitted"]["how"]


@pytest.mark.parametrize("rule", ["pool", "stack", "greedy-pool"])
def test_labels_of_a_speaker_do_not_change_what_is_said_of_him(tmp_path, store, rule):
    labels, own = store.corpus.labels.copy(), SPEAKERS == 3
    labels[own] = np.random.default_rng(0).permutation(labels[own])
    other = make_store(tmp_path / "permuted.store", labels=labels)
    assert (labels != store.corpus.labels).sum() > 5
    before, after = (ss.vote(one, ["good", "fair"], rule=rule).said for one in (store, other))
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any()


def test_the_weights_are_those_of_a_plain_script(store):
    report = ss.vote(store, ["good", "fair"], rule="pool")
    groups = group_speakers(store.corpus, store.corpus.rows("all"), **WAY_OUT)
    scores = log_softmax(store.logits(["fair", "good"]))
    weights = [
        fit_weights(scores[:, groups.places != one], store.corpus.labels[groups.places != one]) for one in range(5)
    ]
    assert [one.member for one in report.fitted_weights] == ["fair@0", "good@0"]
    np.testing.assert_allclose([one.mean for one in report.fitted_weights], np.mean(weights, axis=0))
    np.testing.assert_allclose([one.low for one in report.fitted_weights], np.min(weights, axis=0))
    np.testing.assert_allclose([one.high for one in report.fitted_weights], np.max(weights, axis=0))
    said = log_softmax(np.tensordot(weights[2], scores[:, groups.places == 2], 1))
    np.testing.assert_allclose(report.said[groups.places == 2], said)


@pytest.mark.parametrize("rule", ["pool", "stack", "greedy-pool"])
def test_an_ensemble_that_is_named_is_what_its_vote_says_wherever_a_member_goes(store, rule):
    report, name = ss.vote(store, ["good", "fair"], rule=rule), Ensemble(("good@0", "fair@0"))
    score, interval = report.ensembles[0].score, report.ensembles[0].interval
    found = ss.evaluate(store, name, rule=rule)
    [one] = found.members
    assert (one.metrics.correct, one.metrics.balanced_accuracy) == (score.correct, score.balanced_accuracy)
    assert one.interval.bounds == interval.bounds
    assert one.probabilities == evaluate_logits(store.corpus.labels, report.said)
    assert f"ensembles by `rule` {rule}: {report.fitted}" in found.cautions
    compared = ss.compare(store, [name, "good"], rule=rule)
    assert compared.compared[0].metrics.correct == score.correct
    assert f"ensembles by `rule` {rule}: {report.fitted}" in compared.cautions
    frame = ss.predictions(store, name, rule=rule)
    assert frame["predicted"].to_list() == [CLASSES[label] for label in report.said.argmax(axis=1)]
    np.testing.assert_allclose(frame.select(f"p_{label}" for label in CLASSES).to_numpy(), np.exp(report.said))


def test_a_fitted_ensemble_is_evaluated_exported_and_drawn_by_the_command(store, serstore, tmp_path):
    words = ("good+fair", "--rule", "pool", "--store", store.path)
    voted = serstore("vote", "good", "fair", "--rule", "pool", "--store", store.path, "--json").json
    evaluated = serstore("evaluate", *words, "--json").json
    assert evaluated["members"][0]["correct"] == voted["results"][0]["correct"]
    assert any(voted["fitted"]["how"] in line for line in evaluated["cautions"])
    assert serstore("export", tmp_path / "said.csv", *words).code == 0
    for kind in ("confusion", "calibration"):
        assert serstore("plot", kind, *words, "-o", tmp_path / f"{kind}.svg").code == 0
    assert serstore("evaluate", "good+fair", "--rule", "soft", "--store", store.path, "--json").code == 0


def test_what_a_named_ensemble_cannot_be_fitted_by_is_said(store, tmp_path):
    name = Ensemble(("good@0", "fair@0"))
    with pytest.raises(ss.EnsembleError, match="`tie` with `rule` pool: expected a rule that fits no weights"):
        ss.evaluate(store, name, rule="pool", tie="best")
    with pytest.raises(ss.StoreError, match="plain@0 has labels only: expected logits"):
        ss.evaluate(store, Ensemble(("good@0", "plain@0")), rule="pool")
    alone = make_store(tmp_path / "one.store", speakers=np.zeros(N, dtype=int))
    with pytest.raises(ss.CorpusError, match=r"are of speaker s0: expected two speakers or more.*take `rule` soft-log"):
        ss.evaluate(alone, name, rule="pool")
    lacking = make_store(tmp_path / "lacking.store", classes=(*CLASSES, "tired"))
    with pytest.raises(ss.EnsembleError, match=r"labelled tired among those that it is fitted on.*take `rule` pool"):
        ss.compare(lacking, [name, "good"], rule="stack")


def test_a_part_to_fit_on_has_one_fit_and_what_it_shares_is_said(tmp_path):
    sample = make_sample(tmp_path / "votes.store")
    report = ss.vote(sample.store, rule="pool", select_on="valid")
    rows, names = sample.valid, ["base@20", "large@30", "xl@10"]
    weights = fit_weights(log_softmax(sample.store.logits(names, rows)), sample.truth[rows])
    np.testing.assert_allclose([one.mean for one in report.fitted_weights], weights)
    assert [(one.low, one.high) for one in report.fitted_weights] == [
        (one.mean, one.mean) for one in report.fitted_weights
    ]
    assert report.fitted == "fitted on valid, 20 utterances"
    assert len(report.said) == report.ensembles[0].score.n == N_TEST
    assert report.selection.method == "none: fitted on valid"
    said = "the weights were fitted on other utterances of 8 of these 8 speakers"
    assert [line for line in report.cautions if line.startswith(said)]


def test_the_report_is_a_vote_with_a_row_for_each_rule(store, serstore):
    report = ss.vote(store, ["good", "fair"], rule="greedy-pool", select_on=None)
    frame = report.to_frame()
    assert frame["rule"].to_list() == ["best member", "hard", "soft", "soft-log", "pool", "stack", "greedy-pool"]
    assert frame["gain"].to_list()[0] == 0
    assert report.best_single == ("good@0", frame["accuracy"][0])
    assert report.ensembles[0] == report.rules["greedy-pool"]
    printed = serstore("vote", "good", "fair", "--rule", "greedy-pool", "--store", store.path).out
    assert printed.rstrip("\n") == str(report).rstrip("\n")
    assert "best member, good@0" in printed
    document = report.to_json()
    assert document["search"] == "greedy"
    assert document["selection"]["corrected"] == document["results"][0]["accuracy"]


def test_of_groups_those_of_the_split_are_taken_if_they_keep_speakers_apart(tmp_path):
    apart = [f"fold-{speaker // 2 + 1}" for speaker in SPEAKERS]
    mixed = [f"fold-{place // 40 + 1}" for place in range(N)]
    store = make_store(tmp_path / "folds.store", splits={"apart": apart, "mixed": mixed})
    corpus, rows = store.corpus, store.corpus.rows("all")
    by_fold = group_speakers(corpus, rows, split="apart", way_out="")
    assert (by_fold.one, by_fold.count) == ("fold of split apart", 4)
    np.testing.assert_array_equal(by_fold.places, SPEAKERS // 2)
    for split, own in (("mixed", rows), ("apart", corpus.rows("fold-2", split="apart"))):
        found = group_speakers(corpus, own, split=split, way_out="")
        assert found.one.endswith("speakers" if split == "mixed" else "speaker")
        for group in range(found.count):
            inside = set(SPEAKERS[own][found.places == group])
            assert not inside & set(SPEAKERS[own][found.places != group])


def test_groups_are_even_and_the_same_again(store):
    rows = store.corpus.rows("all")
    first, again = (group_speakers(store.corpus, rows, **WAY_OUT) for _ in range(2))
    np.testing.assert_array_equal(first.places, again.places)
    assert np.bincount(first.places).tolist() == [40, 40, 40, 20, 20]


def test_without_probabilities_there_is_nothing_to_fit(store):
    with pytest.raises(ss.StoreError, match=r"plain@0 has labels only: .*leave it out"):
        ss.vote(store, ["good", "plain"], rule="pool")


@pytest.mark.parametrize("speakers", [None, np.zeros(N, dtype=int)])
def test_one_speaker_is_too_few(tmp_path, speakers, serstore):
    one = make_store(tmp_path / "one.store", speakers=speakers)
    done = serstore("vote", "good", "fair", "--rule", "pool", "--store", one.path)
    assert done.code == 1
    known = "no speaker is known" if speakers is None else "all 160 utterances are of speaker s0"
    assert done.err.splitlines()[-1] == (
        f"serstore: {known}: expected two speakers or more, so that weights are fitted on others than they score; take "
        "--rule soft-log, which fits nothing, or another part to fit on with --select-on"
    )


def test_a_class_that_nobody_has_is_left_to_the_rules_that_need_none(tmp_path):
    store = make_store(tmp_path / "absent.store", classes=(*CLASSES, "surprised"))
    report = ss.vote(store, ["good", "fair"], rule="pool")
    assert "stack" not in report.rules
    assert "`rule` stack with no utterance labelled surprised among those that it is fitted on" in str(report)
    with pytest.raises(ss.EnsembleError, match=r"labelled surprised .*take `rule` pool, which needs none"):
        ss.vote(store, ["good", "fair"], rule="stack")


def test_two_speakers_are_too_few_to_choose_members_on(tmp_path):
    store = make_store(tmp_path / "two.store", speakers=SPEAKERS % 2)
    assert "greedy-pool" not in ss.vote(store, ["good", "fair"], rule="pool").rules
    with pytest.raises(ss.EnsembleError, match="`rule` greedy-pool with 2 speakers: expected 3 or more to choose on"):
        ss.vote(store, ["good", "fair"], rule="greedy-pool")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 1, "all_combos": True}, "`all_combos` with `rule` pool, which fits weights .* take `rule` greedy-pool"),
        ({"search": "greedy", "k": 1}, "`search` with `rule` pool"),
        ({"k": 1}, "`k` with `rule` pool of 2 members: expected all of them"),
        ({"weights": "accuracy"}, "`weights` with `rule` pool: expected a rule that fits no weights; drop `weights`"),
        ({"weights": [1, 2]}, "`weights` with `rule` pool"),
        ({"tie": "best"}, "`tie` with `rule` pool"),
        ({"objective": "balanced_accuracy"}, "`objective` with `rule` pool"),
        ({"diversity": True}, "`diversity` with `rule` pool"),
        ({"scores": "scores.parquet"}, "`scores` with `rule` pool"),
        ({"limits": ss.Limits(min_accuracy=0.5)}, "`min_accuracy` with `rule` pool"),
        ({"limits": ss.Limits(include="good")}, "`include` with `rule` pool"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else "",
)
def test_what_only_other_rules_take_is_refused(store, options, message):
    with pytest.raises(ss.EnsembleError, match=message):
        ss.vote(store, ["good", "fair"], rule="pool", **options)


def test_what_a_pool_says_is_kept_as_a_member_with_what_it_has_learned_from(tmp_path):
    store = make_store(tmp_path / "kept.store")
    for name in ("good", "fair"):
        store.remove(name)
    own = store.corpus.rows("all")
    scores = np.random.default_rng(2).normal(size=(2, N, len(CLASSES)))
    scores[:, own, store.corpus.labels] += [[1.0], [0.5]]
    for run, logits in zip(("good", "fair"), scores, strict=True):
        store.add(run, ids=store.corpus.ids.tolist(), logits=logits, trained_on="nothing")
    asked = VoteOptions(rule="pool")
    utterances = find_utterances(store.corpus, on=None, split=None, select_on=None, correction=asked.correction)
    choice = choose_candidates(store, ["good", "fair"], utterances.parts, steps="selected", limits=asked.limits)
    report = vote_fitted(store, choice, utterances, asked, chosen=True, save="both", progress=silent)
    evaluated = ss.evaluate(store, "both", on="all")
    assert evaluated.members[0].metrics.correct == report.ensembles[0].score.correct
    assert evaluated.cautions == ()
    record = store.run("both")
    assert (record.kind, record.details["rule"], record.details["members"]) == (
        "ensemble",
        "pool",
        ["fair@0", "good@0"],
    )
    assert min(record.details["weights"]) > 0
    assert ss.verify_store(store).ok
    fitted = find_fitted(store, "both")
    for speaker in range(8):
        rows = np.flatnonzero(speaker == SPEAKERS)
        assert not fitted.learned[fitted.scored_by[rows[0]], rows].any()
        assert len(set(fitted.scored_by[rows].tolist())) == 1
