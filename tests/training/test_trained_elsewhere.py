"""``extract --classifier``: the logits of what transformers trained are those that its own classes give."""

import logging
import shutil

import numpy as np
import pytest
import torch
from backbone_samples import SMALL, SMALL_WHISPER
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

import ser_store as ss
from ser_store.audio.decode import load_speech
from ser_store.errors import ModelError, UnknownNameError

EMOTIONS = ("angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
SHUFFLED = ("Sad", "calm", "HAPPY", "angry", "neutral", "surprised", "fearful", "disgust")
FAMILIES = {
    "wav2vec2": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "hubert": {"feat_extract_norm": "group"},
    "wavlm": {},
    "unispeech": {},
    "data2vec-audio": {"num_conv_pos_embeddings": 3},
    "whisper": {"classifier_proj_size": 16},
}


def save(folder, family, *, labels=SHUFFLED, **fields):
    """A classifier of transformers with weights in which every part counts, as a plain training saves it."""
    small = SMALL_WHISPER if family == "whisper" else {**SMALL, "classifier_proj_size": 16}
    config = AutoConfig.for_model(
        family, **{**small, **FAMILIES[family], **fields}, id2label=dict(enumerate(labels)), num_labels=len(labels)
    )
    torch.manual_seed(0)
    model = AutoModelForAudioClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    extractor = WhisperFeatureExtractor() if family == "whisper" else Wav2Vec2FeatureExtractor()
    extractor.save_pretrained(folder)
    return model, extractor


@pytest.fixture(scope="module")
def heard(ravdess_16k, tmp_path_factory):
    """One recording of each emotion by each of three actors."""
    folder = tmp_path_factory.mktemp("heard")
    for actor in ("03", "04", "05"):
        for path in sorted(ravdess_16k.glob(f"Actor_{actor}/03-01-0?-01-01-01-{actor}.*")):
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def empty(heard, tmp_path_factory):
    made = ss.init(tmp_path_factory.mktemp("empty") / "my.store", corpus="ravdess", audio=heard, split="speaker")
    return made.path


@pytest.fixture
def store(empty, tmp_path):
    return ss.Store(shutil.copytree(empty, tmp_path / "my.store"))


@pytest.mark.parametrize("weighed", [False, True], ids=["last layer", "all layers"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_are_those_of_transformers_own_class(family, weighed, store, heard, tmp_path):
    model, extractor = save(tmp_path / "mine", family, use_weighted_layer_sum=weighed)
    if weighed:
        with torch.no_grad():
            model.layer_weights += torch.tensor([0.5, -1.0, 1.5])
        model.save_pretrained(tmp_path / "mine")
    [done] = ss.extract(store, model=str(tmp_path / "mine"), classifier=True, batch_size=4)
    assert (done.member, done.computed) == ("mine@0", len(store.corpus))
    order = [[one.lower() for one in SHUFFLED].index(name) for name in EMOTIONS]
    member = store.read_member("mine@0")
    assert member.pooled.shape == (len(store.corpus), 32)
    for row, logits in zip(member.rows, member.logits, strict=True):
        samples = load_speech(heard / str(store.corpus.paths[row]))
        values = extractor(samples, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            expected = model(values[extractor.model_input_names[0]]).logits[0].numpy()
        np.testing.assert_allclose(logits, expected[order], atol=2e-5)
    frozen = {"whisper_context": "full"} if family == "whisper" else {}
    ss.extract(store, model=str(tmp_path / "mine"), run="bare", **frozen)
    assert np.abs(member.pooled - store.read_member("bare@0").pooled).max() <= 2e-3


def test_all_layers_and_their_spread_can_be_kept_beside_the_logits(store, tmp_path):
    save(tmp_path / "mine", "hubert")
    options = {"layers": "all", "statistics": "mean,std"}
    ss.extract(store, model=str(tmp_path / "mine"), classifier=True, run="both", **options)
    ss.extract(store, model=str(tmp_path / "mine"), run="bare", **options)
    rows = store.corpus.rows("all")
    for layer in (0, 1, 2):
        both, bare = (store.pooled(f"{run}@0", rows, layer=layer) for run in ("both", "bare"))
        assert np.array_equal(both, bare)
    assert store.logits(["both@0"], rows).shape == (1, len(rows), 8)


def test_our_own_model_says_what_it_said_where_it_was_trained(store, empty, tmp_path, serstore):
    words = ("--max-steps", 1, "--save-steps", 1, "--logging-steps", 1, "--accumulation", 1, "--store", store.path)
    assert serstore("finetune", "--model", "tiny-wav2vec2", *words).code == 0
    folder = store.run_folder("tiny-wav2vec2") / "checkpoints" / "checkpoint-1"
    other = ss.Store(shutil.copytree(empty, tmp_path / "other.store"))
    ss.extract(other, model=str(folder), run="again", classifier=True)
    rows = store.read_member("tiny-wav2vec2@1").rows
    np.testing.assert_allclose(
        other.logits(["again@0"], rows)[0], store.logits(["tiny-wav2vec2@1"], rows)[0], atol=1e-5
    )
    assert "again was trained on 8 of these 24 utterances" in ss.evaluate(other, "again", on="all").cautions[0]


def test_labels_that_are_no_class_are_left_out_and_said(store, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="ser_store")
    save(tmp_path / "mine", "wavlm", labels=("other", *SHUFFLED, "none"))
    ss.extract(store, model=str(tmp_path / "mine"), classifier=True)
    assert store.describe_member("mine@0").logits == (len(store.corpus), 8)
    assert "other, none are left out of what mine chooses among" in caplog.text
    assert "labels read in the corpus' spelling: 'Sad' as 'sad', 'HAPPY' as 'happy'" in caplog.text
    assert "what it learned from is not stated" in caplog.text
    assert store.run("mine").details["labels"] == ["other", *SHUFFLED, "none"]


def test_what_it_learned_from_can_be_stated(store, tmp_path, serstore):
    save(tmp_path / "mine", "wavlm")
    words = ("extract", "--model", tmp_path / "mine", "--classifier", "--store", store.path)
    assert serstore(*words, "--trained-on", "all").code == 0
    assert "was trained on 24 of these 24 utterances" in serstore("evaluate", "--on", "all", "--store", store.path).err
    with pytest.raises(UnknownNameError, match="unknown `trained_on` 'al': expected one of all"):
        ss.extract(store, model=str(tmp_path / "mine"), run="again", classifier=True, trained_on="al")


def test_a_class_that_it_lacks_is_never_answered_and_said(store, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="ser_store")
    save(tmp_path / "mine", "wavlm", labels=EMOTIONS[1:])
    ss.extract(store, model=str(tmp_path / "mine"), classifier=True)
    logits = store.read_member("mine@0").logits
    assert logits.argmax(axis=1).min() > 0
    assert np.exp(logits[:, 0] - np.logaddexp.reduce(logits[:, 1:], axis=1)).max() < 1e-30
    assert "mine never answers angry" in caplog.text
    assert any("never answers angry" in line for line in ss.evaluate(store, "mine", on="all").cautions)


def test_classes_of_other_names_are_paired_by_a_label_map(store, tmp_path, serstore):
    save(tmp_path / "mine", "wavlm", labels=("LABEL_0", "LABEL_1"))
    words = ("extract", "--model", tmp_path / "mine", "--classifier", "--store", store.path)
    done = serstore(*words)
    [line] = [one for one in done.err.splitlines() if "expected at least two of those of" in one]
    assert (done.code, "LABEL_0, LABEL_1" in line, "--labels" in line) == (1, True, True)
    (tmp_path / "map.toml").write_text('angry = ["LABEL_1"]\nsad = ["LABEL_0"]\n')
    assert serstore(*words, "--labels", tmp_path / "map.toml").code == 0
    answered = store.read_member("mine@0").logits.argmax(axis=1)
    assert {EMOTIONS[one] for one in answered.tolist()} <= {"angry", "sad"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"classifier": True}, "`classifier` without `model`: expected the folder or hub id"),
        ({"classifier": True, "model": "mfcc"}, "`classifier` with `model` mfcc, which classifies nothing"),
        ({"trained_on": "all", "model": "tiny-hubert"}, "`trained_on` without `classifier`"),
        ({"classifier": True, "pooling": "max"}, "`pooling` max with `classifier`: "),
        ({"classifier": True, "window_seconds": 5.0}, "`window_seconds` 5.0 with `classifier`: "),
        ({"classifier": True, "init": "random"}, "`init` random with `classifier`: "),
        ({"classifier": True, "model": "tiny-hubert"}, "tiny-hubert has no weights of its own"),
    ],
)
def test_what_does_not_go_with_a_classifier_is_refused(options, told, store):
    named = {"model": "somewhere"} if options.keys() - {"classifier", "model", "trained_on"} else {}
    with pytest.raises(ModelError) as problem:
        ss.extract(store, **named, **options)
    assert str(problem.value).startswith(told)


def test_a_folder_without_a_classifier_says_so(store, whisper_base):
    with pytest.raises(ModelError, match=r"holds no classifier of transformers, it lacks classifier\.bias: "):
        ss.extract(store, model=str(whisper_base), classifier=True)
