"""A fine-tuned model in the store of another corpus: the logits that it has at home, on the classes that both have."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ser_store as ss
from ser_store.metrics import softmax
from ser_store.recipes.recipe import Recipe
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

OTHER_NAMES = {"angry": "ANG", "happy": "happy", "sad": "sad", "neutral": "N"}
MAP = 'angry = "ANG"\nneutral = ["N"]\n'


def make_other(folder: Path, home: Store, names: dict[str, str], *, rename_ids: str = "", further: str = "") -> Store:
    """The recordings of some classes of the home corpus as another one, under other names."""
    corpus = home.corpus
    lines = [
        (f"{rename_ids}{one}", path, names.get(label, further), f"{rename_ids}{speaker}")
        for one, path, label, speaker in zip(
            corpus.ids, corpus.paths, np.array(corpus.classes)[corpus.labels], corpus.speakers, strict=True
        )
        if names.get(label, further)
    ]
    with (folder / "other.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("utterance", "path", "label", "speaker"), *lines])
    made = ss.init(folder / "other.store", corpus=folder / "other.csv", audio=corpus.audio_root, split="speaker")
    return made.store


@pytest.fixture(scope="module")
def trained(empty, tmp_path_factory):
    """A store with a fine-tuned run that has its checkpoint, and logits of all recordings. Read only."""
    path = tmp_path_factory.mktemp("trained") / "home.store"
    shutil.copytree(empty, path)
    finetune(path, "tiny-wav2vec2", run="r", recipe=Recipe(max_steps=2, logging_steps=1))
    ss.extract(path, run="r")
    return Store(path)


@pytest.fixture
def other(trained, tmp_path):
    (tmp_path / "map.toml").write_text(MAP)
    return make_other(tmp_path, trained, OTHER_NAMES)


def expect(trained, other, names):
    """What the run says at home of the same recordings, as probabilities among the shared classes, by their names."""
    rows = trained.corpus.find(other.corpus.ids.tolist())
    logits = trained.logits(["r"], rows)[0]
    return softmax(logits[:, [trained.corpus.classes.index(one) for one in names]])


def check(trained, other, member):
    said = softmax(other.logits([member], other.corpus.rows("all"))[0])
    expected = expect(trained, other, ("angry", "neutral", "happy", "sad"))
    columns = [other.corpus.classes.index(one) for one in ("ANG", "N", "happy", "sad")]
    np.testing.assert_allclose(said[:, columns], expected, atol=1e-5)


def test_applied_to_another_store_it_says_what_it_says_at_home_among_the_shared_classes(trained, other, tmp_path):
    done = ss.apply(trained, "r", other, labels=tmp_path / "map.toml")
    assert (done.member, done.source, done.computed) == ("r-from-ravdess@2", "r@2", len(other.corpus))
    assert done.classes == ("ANG", "N", "happy", "sad")
    assert done.left_out == ("calm", "disgust", "fearful", "surprised")
    check(trained, other, done.member)
    written = other.member_path("r-from-ravdess", 2).stat().st_mtime_ns
    again = ss.apply(trained, "r", other, labels=tmp_path / "map.toml")
    assert again.computed == 0
    assert other.member_path("r-from-ravdess", 2).stat().st_mtime_ns == written
    assert ss.verify_store(other).ok


@pytest.mark.parametrize("words", [("--model",), ("--checkpoint",), ("--run", "mine", "--checkpoint")])
def test_an_extracted_checkpoint_of_another_store_keeps_its_classifier(trained, other, serstore, tmp_path, words):
    checkpoint = trained.run_folder("r") / "checkpoints" / "checkpoint-2"
    labels = ("--labels", tmp_path / "map.toml", "--store", other.path)
    said = serstore("extract", *words, checkpoint, *labels)
    assert said.code == 0, said.err
    assert "classes of both: ANG, N, happy, sad; calm, disgust, fearful, surprised are left out" in said.err
    check(trained, other, other.runs()[0])
    assert "0 utterances computed" in serstore("extract", *words, checkpoint, *labels).out
    refused = serstore("extract", *words, checkpoint, "--store", other.path)
    assert "from other classes: nothing was written" in refused.err


def test_a_class_that_it_cannot_say_never_wins_and_every_figure_says_so(trained, tmp_path):
    other = make_other(tmp_path, trained, {"angry": "angry", "sad": "sad", "calm": "bored"})
    done = ss.apply(trained, "r", other)
    assert done.unsaid == ("bored",)
    said = softmax(other.logits([done.member], other.corpus.rows("all"))[0])
    assert said[:, other.corpus.classes.index("bored")].max() < 1e-30
    np.testing.assert_allclose(said.sum(axis=1), 1)
    cautions = ss.evaluate(other, done.member, on="all").cautions
    assert "r-from-ravdess never answers bored, which its training had not: such utterances are wrong" in cautions
    assert any("chooses among the classes of this corpus alone: calm, disgust, fearful" in line for line in cautions)
    shared = ss.evaluate(other, done.member, on="all", classes=done.classes)
    assert shared.members[0].metrics.n == int((other.corpus.labels != other.corpus.classes.index("bored")).sum())


def test_what_it_has_heard_is_told_by_id_and_by_samples(trained, other, tmp_path):
    trained_on = trained.corpus.rows("train")
    done = ss.apply(trained, "r", other, labels=tmp_path / "map.toml")
    n = int(np.isin(other.corpus.ids, trained.corpus.ids[trained_on]).sum())
    cautions = ss.evaluate(other, done.member, on="all").cautions
    assert any(f"was trained on {n} of these {len(other.corpus)} utterances" in line for line in cautions)
    assert any("trained on speakers that are called as 1 of this corpus" in line for line in cautions)
    (tmp_path / "again").mkdir()
    renamed = make_other(tmp_path / "again", trained, OTHER_NAMES, rename_ids="other-")
    again = ss.apply(trained, "r", renamed, labels=tmp_path / "map.toml")
    cautions = ss.evaluate(renamed, again.member, on="all").cautions
    assert any(f"was trained on {n} of these {len(other.corpus)} utterances" in line for line in cautions)
    assert not any("called as" in line for line in cautions)


def test_evaluated_in_another_store_it_has_the_document_of_evaluate(trained, other, serstore, tmp_path):
    words = ("evaluate", "r", "--store", trained.path, "--in", other.path, "--on", "all", "--json")
    said = serstore(*words, "--labels", tmp_path / "map.toml")
    assert said.code == 0, said.err
    document = json.loads(said.out)
    [member] = document["members"]
    assert member["member"] == "r-from-ravdess@2"
    assert member["n"] == len(other.corpus)
    assert member["accuracy"] == ss.evaluate(other, "r-from-ravdess", on="all").members[0].metrics.accuracy
    assert "r@2 is r-from-ravdess@2 there" in said.err
    refused = serstore(*words[:1], *words[2:])
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith("serstore: --in without a member: expected")


def test_without_two_shared_classes_there_are_representations_alone(trained, serstore, tmp_path):
    other = make_other(tmp_path, trained, {"angry": "angry", "sad": "gloomy"})
    checkpoint = trained.run_folder("r") / "checkpoints" / "checkpoint-2"
    said = serstore("extract", "--model", checkpoint, "--run", "mine", "--store", other.path)
    assert "mine: representations alone, no logits: of its classes" in said.err
    assert other.describe_member("mine").logits is None
    with pytest.raises(ss.CorpusError, match="has the classes angry, gloomy: expected at least two of those of r"):
        ss.apply(trained, "r", other)


def test_a_kept_head_gets_what_it_is_fitted_on_extracted_there(trained, tmp_path):
    home = Store(shutil.copytree(trained.path, tmp_path / "home.store"))
    other = make_other(tmp_path, home, {"angry": "angry", "sad": "sad", "happy": "happy"})
    ss.extract(home, model="tiny-hubert", layers="0,1", statistics="mean,std")
    ss.head(home, "r+tiny-hubert-frozen", kind="lda", run="both", split="speaker", keep=True)
    done = ss.apply(home, "both", other)
    assert done.member == "both-from-ravdess@2"
    assert other.runs() == ["both-from-ravdess", "r-from-ravdess", "tiny-hubert-frozen"]
    assert other.describe_member("tiny-hubert-frozen").layers == (0, 1)
    test = home.corpus.rows("test", split="speaker")
    test = test[np.isin(home.corpus.ids[test], other.corpus.ids)]
    own = [home.corpus.classes.index(one) for one in other.corpus.classes]
    expected = softmax(home.logits(["both"], test)[0][:, own])
    rows = other.corpus.find(home.corpus.ids[test].tolist())
    np.testing.assert_allclose(softmax(other.logits([done.member], rows)[0]), expected, atol=1e-3)
    assert ss.apply(home, "both", other).computed == 0


def test_what_cannot_be_applied_is_refused_in_one_line(trained, other, tmp_path):
    home = Store(shutil.copytree(trained.path, tmp_path / "home.store"))
    ss.extract(home, model="mfcc")
    with pytest.raises(
        ss.StoreError, match="run mfcc is of kind frozen: expected a fine-tuned run with a checkpoint, or"
    ):
        ss.apply(home, "mfcc", other)
    other.add("r-from-ravdess", ids=other.corpus.ids, predicted=["sad"] * len(other.corpus))
    with pytest.raises(
        ss.ExistsError, match=r"run r-from-ravdess is in .* already, and not what r@2 says now: .*`name`"
    ):
        ss.apply(home, "r", other, labels=tmp_path / "map.toml")
    home.update_run(home.run("r").updated(checkpoints=""))
    shutil.rmtree(home.run_folder("r") / "checkpoints")
    with pytest.raises(ss.ModelError, match="run r has no checkpoint left"):
        ss.apply(home, "r", other, labels=tmp_path / "map.toml")
