"""What a model has learned from follows it through heads into every figure, and is said there."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows, digest_train_eval_rows
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import Fitted
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

N, SPEAKERS = 120, 6
RNG = np.random.default_rng(12)


def make_corpus():
    """Six speakers of twenty utterances; by ``mixed`` all are on both sides, by ``apart`` none is."""
    speakers = np.array([f"s{i % SPEAKERS}" for i in range(N)])
    mixed = np.where(np.arange(N) % 5 == 0, "test", "train")
    apart = np.where(np.isin(speakers, ["s0", "s1"]), "test", "train")
    return Corpus(
        name="made",
        ids=np.array([f"u{i:03}" for i in range(N)]),
        labels=(np.arange(N) // SPEAKERS % 3).astype(np.int16),
        classes=("a", "b", "c"),
        speakers=speakers,
        splits={"mixed": mixed, "apart": apart},
        default_split="mixed",
    )


def represent(labels, learned):
    """Representations that give away the label of what was learned from, and nothing else."""
    pooled = RNG.normal(size=(len(labels), 8)).astype(np.float32)
    pooled[learned, labels[learned]] += 20
    return pooled


@pytest.fixture
def path(tmp_path):
    """A backbone fine-tuned by ``mixed``, extracted for everybody, and a frozen one."""
    path = tmp_path / "made.store"
    store = Store.create(path, make_corpus())
    corpus = store.corpus
    rows = np.arange(N, dtype=np.int32)
    train_eval = choose_train_eval_rows(corpus, split="mixed")
    learned = np.isin(rows, train_eval.train)
    details = {"split": "mixed", "fold": None, "on": "test", "fitted": Fitted.on_rows(train_eval.train, N).to_json()}
    store.add_run(RunRecord("fit", "finetune", "tiny-hubert", details=details))
    logits = represent(corpus.labels, learned)[:, :3]
    store.write_member(Member("fit", 400, rows, logits=logits, pooled=represent(corpus.labels, learned)))
    store.add_run(RunRecord("frozen", "frozen", "mfcc", details={"fitted": Fitted.on_nothing(N).to_json()}))
    store.write_member(Member("frozen", 0, rows, pooled=represent(corpus.labels, np.zeros(N, dtype=bool))))
    return path


def read_cautions(serstore, path, *words):
    done = serstore(*words, "--store", path, "--json")
    assert done.code == 0, done.err
    # Of two speakers the intervals say so, too.
    return [line for line in done.json["cautions"] if not line.startswith("intervals")]


def test_a_head_has_heard_what_its_backbone_was_trained_on(path, serstore):
    """By ``apart`` 40 utterances are judged, 32 of which the backbone has learned from."""
    words = ("head", "--kind", "logreg", "--from", "fit@400", "--split", "apart")
    assert read_cautions(serstore, path, *words)[0].startswith("fit-logreg was trained on 32 of these 40 utterances")
    cautions = read_cautions(serstore, path, "evaluate", "fit-logreg", "--split", "apart")
    assert cautions[0].startswith("fit-logreg was trained on 32 of these 40 utterances")
    assert cautions[1].startswith("fit-logreg was trained on other utterances of 2 of these 2 speakers")


def test_out_of_fold_is_not_unheard(path, serstore):
    words = ("head", "--kind", "logreg", "--from", "fit@400", "--cv", "speaker", "--run", "out-of-fold")
    assert read_cautions(serstore, path, *words)[0].startswith("out-of-fold was trained on 96 of these 120 utterances")
    said = read_cautions(serstore, path, "evaluate", "out-of-fold", "--on", "all")
    assert said[0].startswith("out-of-fold was trained on 96 of these 120")


def test_a_head_on_a_frozen_backbone_is_honest_by_speaker_and_knows_speakers_by_utterance(path, serstore):
    for cv in ("speaker", "utterance"):
        serstore("head", "--kind", "lda", "--from", "frozen", "--cv", cv, "--run", f"by-{cv}", "--store", path)
    done = serstore("evaluate", "by-speaker", "by-utterance", "--on", "all", "--store", path, "--json")
    by_speaker, by_utterance = done.json["members"]
    assert by_speaker["cautions"] == []
    expected = "by-utterance was trained on other utterances of 6 of these 6 speakers"
    assert [text.startswith(expected) for text in by_utterance["cautions"]] == [True]
    voted = read_cautions(serstore, path, "vote", "by-speaker", "by-utterance", "--k", 2, "--on", "all")
    assert any(text.startswith(expected) for text in voted)


COMMANDS = [
    ("evaluate", "fit"),
    ("evaluate", "fit", "--by", "speaker"),
    ("compare", "fit", "other"),
    ("vote", "fit", "other", "--k", 2),
    ("vote", "fit", "other", "--k", 1, "--all-combos"),
    ("steps", "--run", "fit"),
    ("export", "NEW.csv", "fit"),
    ("audit",),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_every_document_and_every_table_says_it(words, path, tmp_path, serstore):
    """A member judged by another split than it was trained by."""
    store = Store(path)
    store.add_run(RunRecord("other", "import", "elsewhere"))
    rows = np.arange(N, dtype=np.int32)
    store.write_member(Member("other", 1, rows, logits=RNG.normal(size=(N, 3)).astype(np.float32)))
    expected = "fit was trained on 32 of these 40 utterances (split mixed): its figures are too good; --split mixed has"
    for suffix in ("--json", "--debug"):
        named = [str(tmp_path / f"{suffix}.csv") if word == "NEW.csv" else word for word in words]
        done = serstore(*named, "--split", "apart", "--store", path, suffix)
        assert done.code == 0, done.err
        assert expected in done.err + done.out
        if suffix == "--json":
            assert any(text.startswith(expected) for text in json.loads(done.out)["cautions"])


def test_nothing_is_said_of_who_has_learned_from_nobody_here(path, serstore):
    serstore("head", "--kind", "lda", "--from", "frozen", "--split", "apart", "--store", path)
    assert read_cautions(serstore, path, "evaluate", "frozen-lda", "--split", "apart") == []


def test_a_split_that_was_replaced_under_its_name_hides_nothing(path, serstore):
    """As stores of earlier releases allowed: ``mixed`` is another assignment now, and the run remembers its own."""
    store = Store(path)
    corpus = store.corpus
    again = np.where(np.arange(N) % 5 == 1, "test", "train")
    store.update_corpus(replace(corpus, splits={**corpus.splits, "mixed": again}))
    said = read_cautions(serstore, path, "evaluate", "fit")
    assert said[0].startswith("fit was trained on 24 of these 24 utterances")


def test_an_older_record_is_judged_by_its_split_or_known_to_be_unknown(path, serstore):
    store = Store(path)
    record = store.run("fit")
    train_eval = choose_train_eval_rows(store.corpus, split="mixed")
    older = {"split": "mixed", "fold": None, "sides_digest": digest_train_eval_rows(train_eval)}
    store.update_run(replace(record, details=older))
    said = read_cautions(serstore, path, "evaluate", "fit", "--split", "apart")
    assert said[0].startswith("fit was trained on 32 of these 40 utterances")
    store.update_run(replace(record, details={**older, "sides_digest": "0" * 64}))
    said = read_cautions(serstore, path, "evaluate", "fit", "--split", "apart")
    assert [text.startswith("fit was trained by a split that this store does not have as it was") for text in said] == [
        True
    ]
    done = serstore("head", "--from", "fit@400", "--split", "apart", "--store", path, "--json")
    expected = "fit-logreg stands on fit, which was trained by a split that this store does not have as it was: "
    assert done.json["cautions"][0].startswith(expected)


def test_of_heads_on_what_states_nothing_it_is_unknown_what_they_learned_from(path, serstore):
    """By a split, by folds and on another head; imported, stated and taken away."""
    store = Store(path)
    pooled = RNG.normal(size=(N, 4))
    store.add("silent", ids=store.corpus.ids, pooled=pooled)
    store.add("stated", ids=store.corpus.ids, pooled=pooled, trained_on="nothing")
    store.add("foreign", ids=store.corpus.ids, logits=pooled[:, :3])
    fit = ("head", "--kind", "lda", "--store", path)
    for source, *words in (
        ("silent", "--split", "apart"),
        ("silent", "--cv", "speaker", "--run", "folded"),
        ("stated", "--split", "apart"),
        ("foreign", "--cv", "speaker"),
    ):
        assert serstore(*fit, "--from", source, *words).code == 0
    assert serstore(*fit, "--from", "foreign-lda", "--split", "apart", "--run", "above").code == 0
    unknown = "stand on silent, which does not state what it learned from: they may have learned from these"
    said = read_cautions(serstore, path, "evaluate", "silent-lda", "folded", "stated-lda", "--split", "apart")
    assert said == [f"silent-lda, folded {unknown}"]
    assert read_cautions(serstore, path, "evaluate", "above", "foreign", "--split", "apart") == [
        "above stands on foreign, which does not state what it learned from: it may have learned from these"
    ]
    store.remove("silent")
    assert read_cautions(serstore, path, "vote", "silent-lda", "stated-lda", "--k", 2, "--split", "apart") == [
        "silent-lda stands on silent, which is not in this store: it may have learned from these"
    ]


@pytest.mark.parametrize(
    ("on", "criterion", "is_said"), [("test", "best", True), ("train", "best", False), ("test", "last", False)]
)
def test_a_step_selected_on_these_utterances_is_said_to_be(on, criterion, is_said, path, serstore):
    store = Store(path)
    store.update_run(replace(store.run("fit"), selected=Selection(400, criterion, on, "highest accuracy")))
    said = read_cautions(serstore, path, "evaluate", "fit")
    expected = "fit@400 was selected among the steps of fit on 24 of these 24 utterances"
    assert any(text.startswith(expected) for text in said) == is_said


def test_steps_of_one_head_run_share_one_protocol(path, serstore):
    words = ("head", "--kind", "lda", "--from", "frozen", "--store", path)
    assert serstore(*words, "--split", "apart").code == 0
    done = serstore(*words, "--cv", "speaker")
    assert done.code == 1
    assert "fitted with split apart: this one has cv speaker, folds 5" in done.err
    assert "--run frozen-lda-speaker" in done.err
    assert serstore(*words, "--cv", "speaker", "--run", "frozen-lda-speaker").code == 0


def test_what_was_learned_from_is_kept_bit_by_bit_and_joined_model_by_model():
    """Against sets, for folds of any shape on a backbone of any shape."""
    from ser_store_h5.fitted import parse_fitted

    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, n_below, n_own = (int(rng.integers(1, high)) for high in (40, 4, 5))
        below, own = (Fitted(rng.random((k, n)) < 0.4, rng.integers(0, k, n).astype(np.intp)) for k in (n_below, n_own))
        both = parse_fitted({"fitted": own.joined(below).to_json()}, n=n, where="run r")
        groups = rng.integers(-1, 4, n).astype(np.intp)
        rows = np.arange(n)
        for row in range(n):
            heard = {
                int(other) for fitted in (own, below) for other in np.flatnonzero(fitted.learned[fitted.scored_by[row]])
            }
            assert both.learned_from(rows)[row] == (row in heard)
            known = groups[row] >= 0 and any(groups[other] == groups[row] for other in heard)
            assert both.learned_from_group(rows, groups)[row] == known
    nothing = Fitted.on_nothing(3)
    assert not nothing.learned_from(np.arange(3)).any()
    assert nothing.to_json() == {"n": 3, "models": []}


@pytest.mark.parametrize(
    "stated",
    [
        {"n": 7, "models": []},
        {"n": N, "models": ["AAAA"]},
        {"n": N, "models": ["*"]},
        {"n": N, "models": ["A" * 20, "A" * 20]},
        {"models": []},
        [],
    ],
)
def test_a_damaged_statement_is_refused_in_one_line(stated, path, serstore):
    store = Store(path)
    record = store.run("fit")
    store.update_run(replace(record, details={**record.details, "fitted": stated}))
    done = serstore("evaluate", "fit", "--store", path)
    assert done.code == 1
    assert "run fit: key fitted: expected what FORMAT.md describes" in done.err
    assert done.err.count("\n") == 1


def test_imports_that_state_what_they_were_trained_on_are_judged_by_it(path, tmp_path, serstore):
    """Out of the other folds nothing is learned from twice; of one part everything is."""
    store = Store(path)
    corpus = store.corpus
    folds = np.array([f"fold-{int(speaker[1:]) % 3 + 1}" for speaker in corpus.speakers])
    store.update_corpus(replace(corpus, splits={**corpus.splits, "folds": folds}))
    said = "".join(
        f"{utterance},{corpus.classes[label]}\n" for utterance, label in zip(corpus.ids, corpus.labels, strict=True)
    )
    for run, words in {
        "folded": ("--trained-on", "others", "--split", "folds"),
        "half": ("--trained-on", "train", "--split", "mixed"),
        "foreign": ("--trained-on", "nothing"),
        "silent": (),
    }.items():
        (tmp_path / "said.csv").write_text(f"utterance,{run}@1\n{said}")
        done = serstore("import", tmp_path / "said.csv", *words, "--store", path)
        assert done.code == 0, done.err
    for run in ("folded", "foreign", "silent"):
        assert read_cautions(serstore, path, "evaluate", run, "--on", "all") == []
    cautions = read_cautions(serstore, path, "evaluate", "half", "--on", "all")
    assert cautions[0] == "half was trained on 96 of these 120 utterances: its figures are too good"
    (tmp_path / "said.csv").write_text(f"utterance,half@2\n{said}")
    done = serstore("import", tmp_path / "said.csv", "--trained-on", "nothing", "--store", path)
    assert done.code == 1
    assert "run half" in done.err
    assert "states otherwise what it was trained on" in done.err
    done = serstore("import", tmp_path / "said.csv", "--trained-on", "others", "--split", "mixed", "--store", path)
    assert done.code == 1
    assert "split mixed has the parts train, test: expected a split into folds" in done.err
