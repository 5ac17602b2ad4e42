"""Heads over all folds of a split, and on inputs that are standardised by speaker."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import ser_store as ss

SPEAKERS, EACH, WIDTH = 8, 12, 6


@pytest.fixture
def store(tmp_path):
    """Speakers whose offsets hide their classes; a split into folds of two speakers, and one into parts."""
    rng = np.random.default_rng(3)
    n = SPEAKERS * EACH
    speakers, labels = np.arange(n) % SPEAKERS, np.arange(n) // SPEAKERS % 3
    made = ss.Store.create(
        tmp_path / "made.store",
        ids=[f"u{place:03}" for place in range(n)],
        labels=[f"class-{label}" for label in labels],
        speakers=[f"s{speaker}" for speaker in speakers],
        splits={
            "pairs": [f"fold-{speaker // 2 + 1}" for speaker in speakers],
            "apart": ["test" if speaker < 2 else "train" for speaker in speakers],
        },
    )
    offsets = rng.normal(scale=30, size=(SPEAKERS, WIDTH))
    pooled = rng.normal(size=(n, WIDTH)) + 1.5 * np.eye(3, WIDTH)[labels] + offsets[speakers]
    made.add("features", ids=made.corpus.ids.tolist(), pooled=pooled.astype(np.float32), trained_on="nothing")
    return made


def fit_by_hand(values, labels, speakers):
    """Log-probabilities of each utterance by a model that has not met the speakers of its pair."""
    said = np.empty((len(values), 3))
    for pair in range(SPEAKERS // 2):
        held_out = speakers // 2 == pair
        scaler = StandardScaler().fit(values[~held_out])
        model = LogisticRegression(max_iter=1000).fit(scaler.transform(values[~held_out]), labels[~held_out])
        said[held_out] = model.predict_log_proba(scaler.transform(values[held_out]))
    return said


@pytest.mark.parametrize("normalise", ["train", "speaker", "corpus"])
def test_a_split_of_folds_gives_one_member_that_a_plain_script_gives(store, normalise):
    estimator = LogisticRegression(max_iter=1000)
    fitted = ss.head(store, "features", estimator=estimator, cv="pairs", normalise=normalise)[0]
    assert (fitted.n_train, fitted.n_scored) == (72, 96)
    values, labels = store.pooled("features").astype(np.float64), store.corpus.labels.astype(int)
    speakers = np.arange(len(values)) % SPEAKERS
    if normalise != "train":
        groups = speakers if normalise == "speaker" else np.zeros(len(values))
        for group in np.unique(groups):
            own = groups == group
            values[own] = (values[own] - values[own].mean(axis=0)) / values[own].std(axis=0)
    expected = fit_by_hand(values, labels, speakers)
    np.testing.assert_allclose(store.logits([fitted.member])[0], expected, atol=2e-4)


def test_by_speaker_new_ones_are_understood_and_every_figure_says_what_it_took(store):
    plain, own = (ss.head(store, "features", cv="pairs", normalise=one)[0].member for one in ("train", "speaker"))
    assert own == "features-logreg-by-speaker@0"
    evaluated = ss.evaluate(store, [plain, own], on="all")
    accuracy = {one["member"]: one["accuracy"] for one in evaluated.records()}
    assert accuracy[own] > accuracy[plain] + 0.2
    said = [line for line in evaluated.cautions if "standardised by speaker" in line]
    assert len(said) == 1
    assert "features-logreg-by-speaker" in said[0]
    assert not [line for line in evaluated.cautions if "figures are those of known speakers" in line]
    assert [line for line in ss.vote(store, f"{plain}+{own}".split("+"), on="all").cautions if "standardised" in line]


def test_a_head_on_a_normalised_head_says_so_too(store):
    below = ss.head(store, "features", cv="pairs", normalise="speaker")[0].member
    above = ss.head(store, below, split="apart")[0].member
    said = ss.evaluate(store, above, on="test", split="apart").cautions
    assert [line.partition(" on all recordings")[0] for line in said if "standardised" in line] == [
        "features-logreg-by-speaker-logreg stands on features-logreg-by-speaker, which was standardised by speaker"
    ]


def test_a_head_on_a_cross_validated_head_has_learned_through_its_inputs_and_says_so(store):
    """The trap: what a model that left one out says of it holds its label, even where nothing can be learned."""
    from sklearn.dummy import DummyClassifier
    from sklearn.tree import DecisionTreeClassifier

    each = store.corpus.with_split("each", np.array([f"fold-{place + 1}" for place in range(SPEAKERS * EACH)]))
    store.update_corpus(each)
    below = ss.head(store, "features", estimator=DummyClassifier(), cv="each", run="below")[0].member
    above = ss.head(store, below, estimator=DecisionTreeClassifier(), cv="pairs", run="above")[0].member
    blind, trapped = ss.evaluate(store, [below, above], on="all").members
    assert blind.metrics.accuracy == 0
    assert trapped.metrics.accuracy == 1
    assert blind.cautions != trapped.cautions
    assert [line.partition(":")[0] for line in trapped.cautions if "trained on 96 of these 96" in line] == [
        "above was trained on 96 of these 96 utterances, itself or through below@0"
    ]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"cv": "apart"}, ss.CorpusError, "split apart has the parts train, test: expected one that consists of folds"),
        ({"cv": "pears"}, ss.UnknownNameError, "unknown cross-validation 'pears': expected one of pairs (nearest)"),
        ({"cv": "pairs", "folds": 4}, ss.StoreError, "`cv` is the split pairs, which has its own: leave `folds` out"),
        (
            {"cv": "pairs", "normalise": "speakers"},
            ss.UnknownNameError,
            "'speakers': expected one of speaker (nearest)",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(store, asked, error, words):
    with pytest.raises(error) as caught:
        ss.head(store, "features", **asked)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_head_that_is_normalised_otherwise_is_another_one(store):
    ss.head(store, "features", cv="pairs", run="mine")
    with pytest.raises(ss.ExistsError, match="fitted with no normalise: this one has normalise speaker"):
        ss.head(store, "features", cv="pairs", run="mine", normalise="speaker")


def test_the_command_says_it_too(store, serstore):
    ran = serstore("head", "--cv", "pairs", "--normalise", "speaker", "--store", store.path)
    assert ran.code == 0
    assert "scored 96 out of fold" in ran.out
    assert "caution: features-logreg-by-speaker was standardised by speaker" in ran.err


@pytest.mark.parametrize("given", ["none", [], ["train"]])
def test_what_features_learned_from_is_one_of_a_few_words(store, given):
    with pytest.raises(ss.UnknownNameError, match=r"unknown `trained_on` .*nothing"):
        store.add("others", ids=store.corpus.ids.tolist(), pooled=np.ones((96, 2)), trained_on=given)
