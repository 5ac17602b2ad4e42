"""What is chosen for a head is chosen by speakers that it is not judged on, nor fitted on."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ser_store as ss
from ser_store.heads.folds import split_by_speaker
from ser_store.voting.fitted import fit_weights
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

PAIRS, EACH, WIDTH = 4, 24, 6
N = 2 * PAIRS * EACH
SPEAKERS = np.arange(N) % (2 * PAIRS)
LABELS = np.arange(N) // (2 * PAIRS) % 2
FOLD = SPEAKERS // 2


def make_store(path, layers, labels=LABELS):
    """Eight speakers in four folds of two, and a frozen run with the layers given."""
    store = ss.Store.create(
        path,
        ids=[f"u{place:03}" for place in range(N)],
        labels=[("a", "b")[label] for label in labels],
        speakers=[f"s{speaker}" for speaker in SPEAKERS],
        splits={"pairs": [f"fold-{fold + 1}" for fold in FOLD]},
    )
    store.add_run(RunRecord("frozen", "frozen", "whisper-base", details={"fitted": {"n": N, "models": []}}))
    store.write_member(Member("frozen", 0, np.arange(N, dtype=np.int32), layers=layers))
    return store


def draw_layers(seed=11, clear=2, names=range(4)):
    """Layers of noise, one of which tells the classes apart."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.normal(size=(N, WIDTH)) + 1.2 * (name == clear) * LABELS[:, None]).astype(np.float32)
        for name in names
    }


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "made.store", draw_layers())


def measure(store, member, figure="accuracy"):
    return ss.evaluate(store, member, on="all").records()[0][figure]


def test_kind_layer_and_settings_are_chosen_fold_by_fold_recorded_and_printed(store, serstore):
    words = ("head", "--from", "frozen", "--kind", "lda,knn", "--layer", "1,2", "--cv", "pairs", "--tune")
    done = serstore(*words, "--store", store.path)
    assert "frozen-l1-2-lda-knn-tuned@0: fitted on 144 utterances of frozen@0, scored 192 out of fold" in done.out
    assert "chosen among 16, on the training utterances of each fold alone:" in done.out
    assert done.out.count("frozen@0 l2") == PAIRS
    found = store.run("frozen-l1-2-lda-knn-tuned").details
    assert [len(heads[0]["accuracies"]) for heads in found["chosen"]] == [16] * PAIRS
    assert {heads[0]["layer"] for heads in found["chosen"]} == {2}
    assert len(found["trials"][0]) == 16
    assert found["tune"] == {"lda": {"shrinkage": [0.6, 0.3, 0.1, "auto"]}, "knn": {"n_neighbors": [25, 15, 9, 5]}}
    document = serstore(*words, "--run", "again", "--store", store.path, "--json").json["heads"][0]
    assert [one["fold"] for one in document["choices"]] == ["fold-1", "fold-2", "fold-3", "fold-4"]
    np.testing.assert_array_equal(*store.logits(["again", "frozen-l1-2-lda-knn-tuned"]))


def test_a_name_of_its_own_belongs_to_one_grid(store):
    asked = {"kind": "knn", "layer": 2, "cv": "pairs", "run": "mine"}
    ss.head(store, "frozen", tune={"n_neighbors": [3, 5]}, **asked)
    with pytest.raises(ss.ExistsError, match=r"fitted with tune \{'knn': .*\[3, 5\]\}\}: this one has no tune"):
        ss.head(store, "frozen", **asked)


def test_the_choice_is_that_of_a_plain_script(store):
    fitted = ss.head(store, "frozen", kind="knn", layer="2,3", cv="pairs", tune={"n_neighbors": np.array([3, 11])})[0]
    for fold, choice in enumerate(fitted.choices):
        train, hits = np.flatnonzero(fold != FOLD), {}
        groups = np.array([f"s{speaker}" for speaker in SPEAKERS[train]])
        for layer in (2, 3):
            values = store.pooled("frozen", layer=layer).astype(float)[train]
            for k in (3, 11):
                model = make_pipeline(StandardScaler(), KNeighborsClassifier(k, weights="distance"))
                hits[layer, k] = sum(
                    (model.fit(values[own], LABELS[train][own]).predict(values[out]) == LABELS[train][out]).sum()
                    for own, out in split_by_speaker(LABELS[train], groups, seed=42)
                )
        best = max(hits, key=hits.get)
        assert (choice.layer, choice.settings["n_neighbors"]) == best
        assert choice.accuracy == hits[best] / len(train)


@pytest.mark.parametrize("combine", [None, "average", "pool"])
def test_no_choice_depends_on_a_label_of_the_fold_that_it_is_for(tmp_path, combine):
    layers = draw_layers(seed=3, clear=None)
    rng = np.random.default_rng(5)
    swapped = np.where(FOLD == 1, rng.permutation(LABELS), LABELS)
    said, chosen = [], []
    for name, labels in (("as-it-is", LABELS), ("swapped", swapped)):
        store = make_store(tmp_path / f"{name}.store", layers, labels)
        options = {"kind": "lda", "layer": "0,3", "cv": "pairs", "tune": True, "combine": combine}
        fitted = ss.head(store, "frozen", **options)[0]
        chosen.append([one for one in fitted.choices if one.fold == "fold-2"])
        said.append(store.logits([fitted.member])[0][FOLD == 1])
    assert (swapped != LABELS).sum() > 10
    assert chosen[0] == chosen[1]
    np.testing.assert_array_equal(*said)


def test_planted_leaks_profit_a_choice_that_peeks_and_not_one_that_does_not(tmp_path):
    """Each layer tells the classes of one fold's speakers, and of one speaker else: who looks at the fold, takes it."""
    rng, layers = np.random.default_rng(8), {}
    for fold in range(PAIRS):
        values = rng.normal(size=(N, WIDTH))
        told = (fold == FOLD) | (2 * ((fold + 1) % PAIRS) == SPEAKERS)
        values[told] += 6 * (LABELS[told, None] - 0.5)
        layers[fold] = values.astype(np.float32)
    store = make_store(tmp_path / "leaky.store", layers)
    tuned = ss.head(store, "frozen", kind="lda", layer="all", cv="pairs", tune=True)[0]
    alone = [one.member for one in ss.head(store, "frozen", kind="lda", layer="all", cv="pairs")]
    right = store.logits(alone).argmax(axis=2) == LABELS
    peeking = np.mean([right[:, fold == FOLD].mean(axis=1).max() for fold in range(PAIRS)])
    assert peeking > 0.9
    assert measure(store, tuned.member) < 0.75 < peeking - 0.15


def test_layers_side_by_side_are_one_input(store):
    fitted = ss.head(store, "frozen", kind="lda", layer=["2+3", 0], cv="pairs")
    assert [one.member for one in fitted] == ["frozen-l2-3-lda@0", "frozen-l0-lda@0"]
    values = np.concatenate([store.pooled("frozen", layer=layer) for layer in (2, 3)], axis=1).astype(float)
    own = FOLD == 0
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    expected = model.fit(values[~own], LABELS[~own]).predict_log_proba(values[own])
    np.testing.assert_allclose(store.logits(["frozen-l2-3-lda"])[0][own], expected, atol=1e-5)
    assert store.run("frozen-l2-3-lda").details["layer"] == "2+3"


def test_members_side_by_side_are_one_input_and_both_are_learned_from(store):
    values = draw_layers(seed=1)[2]
    store.add("mine", ids=store.corpus.ids.tolist(), pooled=values, trained_on="fold-1")
    fitted = ss.head(store, "frozen+mine", kind="lda", cv="pairs")[0]
    assert (fitted.member, fitted.source) == ("frozen-mine-lda@0", "frozen@0+mine@0")
    assert [line for line in ss.evaluate(store, fitted.member, on="all").cautions if "trained on 48 of these" in line]


def test_the_average_of_heads_is_their_soft_log_vote(store, serstore):
    one = ss.head(store, "frozen", kind=["lda", "logreg"], layer="1,2", cv="pairs", combine="average")[0]
    assert (one.member, one.kind) == ("frozen-l1-2-lda-logreg-average@0", "lda+logreg")
    alone = [own.member for own in ss.head(store, "frozen", kind=["lda", "logreg"], layer="1,2", cv="pairs")]
    mean = store.logits(alone).astype(float).mean(axis=0)
    np.testing.assert_allclose(
        store.logits([one.member])[0], mean - np.log(np.exp(mean).sum(axis=1, keepdims=True)), atol=1e-6
    )
    assert (
        measure(store, one.member)
        == ss.evaluate(store, "+".join(alone), on="all", rule="soft-log").records()[0]["accuracy"]
    )
    done = serstore(
        "head",
        "--layer",
        "1,2",
        "--kind",
        "lda",
        "--cv",
        "pairs",
        "--combine",
        "average",
        "--tune",
        "--store",
        store.path,
    )
    assert "frozen-l1-2-lda-average-tuned@0" in done.out
    assert done.out.count("\nlda   frozen@0 l") == 2


def test_a_pool_weighs_heads_of_any_scale_by_what_they_say_of_training_speakers(store, serstore):
    words = ("head", "--kind", "svm,lda", "--layer", "all", "--cv", "pairs", "--combine", "pool")
    done = serstore(*words, "--store", store.path)
    assert "weights fitted, on the training utterances of each fold alone:" in done.out
    heads = store.run("frozen-l0-3-svm-lda-pool").details["chosen"]
    told, noise = (sum(one["weight"] for own in heads for one in own if one["layer"] == layer) for layer in (2, 0))
    assert told > 3 * noise
    assert min(one["weight"] for own in heads for one in own) > 0
    np.testing.assert_allclose(np.exp(store.logits(["frozen-l0-3-svm-lda-pool"])).sum(axis=2), 1, atol=1e-5)
    average = ss.head(store, "frozen", kind="lda", layer="all", cv="pairs", combine="average")[0]
    assert measure(store, "frozen-l0-3-svm-lda-pool", "log_loss") < measure(store, average.member, "log_loss")


def test_of_heads_that_are_all_worse_than_a_guess_a_pool_makes_a_guess(tmp_path):
    """Two training speakers whose classes are told by opposite signs."""
    signs = np.where(SPEAKERS == 1, -1, 1) * (2 * LABELS - 1)
    pooled = (signs[:, None] + np.random.default_rng(0).normal(scale=0.1, size=(N, WIDTH))).astype(np.float32)
    parts = np.where(SPEAKERS < 2, "train", "test").tolist()
    store = make_plain(tmp_path / "opposite.store", pooled, split=parts)
    fitted = ss.head(store, "mine", kind=["lda", "logreg"], combine="pool")[0]
    assert [one.weight for one in fitted.choices] == [0.0]
    np.testing.assert_allclose(store.logits([fitted.member])[0], np.log(0.5), atol=1e-6)


def test_no_weights_near_those_of_a_pool_have_less_loss():
    rng = np.random.default_rng(4)
    labels, scores = rng.integers(3, size=90), rng.normal(size=(4, 90, 3))
    scores[:2, np.arange(90), labels] += [[1.0], [0.5]]

    def compute_loss(weights):
        return metrics.log_loss(labels, softmax(np.tensordot(weights, scores, 1), axis=1))

    weights = fit_weights(scores, labels)
    assert weights.min() >= 0
    for _ in range(200):
        near = np.maximum(weights + rng.normal(scale=0.05, size=4), 0)
        assert compute_loss(near) > compute_loss(weights) - 1e-7


def test_every_class_weighs_the_same_where_that_is_asked_for(tmp_path):
    labels = (np.arange(N) // (2 * PAIRS) % 8 == 0).astype(int)
    rng = np.random.default_rng(2)
    layers = {0: (rng.normal(size=(N, WIDTH)) + 0.4 * labels[:, None]).astype(np.float32)}
    store = make_store(tmp_path / "rare.store", layers, labels)
    plain, even = (ss.head(store, "frozen", cv="pairs", class_weight=one)[0].member for one in (None, "balanced"))
    assert even == "frozen-logreg-balanced@0"
    recall = [(store.logits([one])[0].argmax(axis=1) == 1)[labels == 1].mean() for one in (plain, even)]
    assert recall[1] > recall[0] + 0.3


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"tune": True, "estimator": KNeighborsClassifier()}, ss.StoreError, "`tune` has nothing to choose from"),
        ({"tune": {"k": [3]}, "kind": "knn"}, ss.StoreError, "`tune` has k: [3]: expected a list of values for each"),
        ({"tune": {"n_neighbors": 3}, "kind": "knn"}, ss.StoreError, "`tune` has n_neighbors: 3: expected a list"),
        (
            {"combine": "average"},
            ss.StoreError,
            "`combine` average of one head: expected several layers, sources or kinds",
        ),
        (
            {"combine": "average", "kind": ["svm", "lda"]},
            ss.StoreError,
            "`combine` average of heads that give scores, log-prob",
        ),
        (
            {"class_weight": "balanced", "kind": "knn"},
            ss.StoreError,
            "and knn weighs no classes: expected one of logreg",
        ),
        ({"class_weight": "even"}, ss.UnknownNameError, "unknown class weight 'even': expected one of balanced"),
        ({"kind": []}, ss.StoreError, "`kind` is an empty list"),
        ({"layer": "2+9"}, ss.StoreError, "`layer` is 9: expected 0, 1, 2, 3 or all, the layers of frozen"),
        ({"layer": "1,2", "run": "one", "kind": ["lda", "knn"]}, ss.StoreError, "`run` one with 2 layers of frozen"),
        ({"kind": ["lda", "knn"], "run": "one"}, ss.StoreError, "`run` one with 2 kinds: expected one; leave"),
    ],
)
def test_what_cannot_be_chosen_or_averaged_is_refused_in_one_line(store, asked, error, words):
    with pytest.raises(error) as refused:
        ss.head(store, "frozen", **{"cv": "pairs", **asked})
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert store.runs() == ["frozen"]


def make_plain(path, pooled, *, labels=LABELS, speakers=SPEAKERS, split=None):
    ids = [f"u{place:03}" for place in range(N)]
    names = None if speakers is None else [f"s{speaker}" for speaker in speakers]
    parts = [f"fold-{fold + 1}" for fold in FOLD] if split is None else split
    store = ss.Store.create(path, ids=ids, labels=[f"c{one}" for one in labels], speakers=names, splits={"own": parts})
    store.add("mine", ids=ids, pooled=pooled, trained_on="nothing")
    return store


@pytest.mark.parametrize("kind", ["logreg", "svm", "linear-svm", "lda", "centroid"])
def test_a_class_that_is_absent_from_training_is_said_and_never_answered(tmp_path, caplog, kind):
    labels = np.where(FOLD == 3, 2, LABELS)
    store = make_plain(tmp_path / "absent.store", draw_layers()[2], labels=labels)
    with caplog.at_level("INFO", "ser_store"):
        fitted = ss.head(store, "mine", kind=kind, cv="own")[0]
    assert "the training utterances have none labelled c2 in 1 of 4 folds: no head answers so" in caplog.text
    answers = store.logits([fitted.member])[0].argmax(axis=1)
    assert set(answers[FOLD == 3]) <= {0, 1}
    assert (answers[FOLD < 3] == labels[FOLD < 3]).mean() > 0.6


def test_speakers_are_needed_to_tune(tmp_path):
    pooled, parts = draw_layers()[2], np.where(np.arange(N) % 3 == 0, "test", "train").tolist()
    for name, speakers, words in (
        ("one", np.zeros(N, int), "are of 1 known speaker: expected at least 2 for `tune`"),
        ("none", None, "are of 0 known speakers: expected at least 2 for `tune`"),
    ):
        store = make_plain(tmp_path / f"{name}.store", pooled, speakers=speakers, split=parts)
        assert ss.head(store, "mine", kind="lda")
        with pytest.raises(ss.CorpusError, match=words):
            ss.head(store, "mine", kind="lda", tune=True)


def test_a_fold_without_representations_is_refused(tmp_path):
    store = make_plain(tmp_path / "made.store", draw_layers()[2])
    some = np.flatnonzero(FOLD > 0)
    ids = store.corpus.ids[some].tolist()
    store.add("some", ids=ids, pooled=draw_layers()[2][some], trained_on="nothing")
    with pytest.raises(ss.CorpusError, match="fold 1 of split own has 0 utterances with representations, the other"):
        ss.head(store, "some", kind="lda", cv="own")
