"""The head that hears how an utterance differs from the others of its speaker: its batches, its numbers, its limits."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from training_kills import save_backbone

import ser_store as ss
from ser_store.backbones.heads import SpeakerHead
from ser_store.backbones.loading import load_classifier
from ser_store.errors import CorpusError, ModelError, SerstoreError, StoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import build_training_arguments
from ser_store.training.batches import SpeakerBatchSampler, count_steps_per_epoch
from ser_store_h5.store import Store

HEAD = {"classification_head": "linear-by-speaker"}
SHORT = {**HEAD, "max_steps": 4, "eval_steps": 2, "logging_steps": 2, "save_steps": 2, "max_seconds": 0.8}


def sample(speakers, labels, size, *, epoch=0, seed=42):
    recipe = Recipe(per_device_train_batch_size=size, seed=seed, **HEAD)
    dataset = SimpleNamespace(epoch=epoch, labels=np.array(labels))
    return list(SpeakerBatchSampler(dataset, np.array(speakers), recipe))


@given(
    who=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=60),
    size=st.integers(1, 9),
    epoch=st.integers(0, 3),
)
def test_batches_are_of_one_speaker_and_share_out_his_classes(who, size, epoch):
    speakers, labels = (np.array(one) for one in zip(*who, strict=True))
    batches = sample(speakers, labels, size, epoch=epoch)
    assert sorted(place for batch in batches for place in batch) == list(range(len(who)))
    for speaker in np.unique(speakers):
        own = [batch for batch in batches if speakers[batch[0]] == speaker]
        assert all((speakers[batch] == speaker).all() for batch in own)
        assert len(own) == -(-(speakers == speaker).sum() // size)
        counts = np.array([np.bincount(labels[batch], minlength=4) for batch in own])
        assert (np.ptp(counts, axis=0) <= 1).all()
        assert np.ptp(counts.sum(axis=1)) <= 1
    recipe = Recipe(per_device_train_batch_size=size, **HEAD)
    assert count_steps_per_epoch(recipe, np.ones(len(who)), speakers) == -(-len(batches) // 2)


def test_epochs_and_seeds_draw_others_and_the_same_draw_the_same():
    speakers, labels = np.repeat(["a", "b"], 30), np.tile(np.arange(6), 10)
    first = sample(speakers, labels, 8)
    assert first == sample(speakers, labels, 8)
    assert first != sample(speakers, labels, 8, epoch=1)
    assert first != sample(speakers, labels, 8, seed=1)


def test_the_head_standardises_over_its_batch_and_says_nothing_of_one_utterance():
    head, pooled = SpeakerHead(5, 3, dropout=0.0).eval(), 100 * torch.randn(7, 5)
    expected = torch.from_numpy(StandardScaler().fit_transform(pooled.numpy())).float()
    assert torch.allclose(head(pooled), head.out_proj(expected), atol=1e-4)
    assert head(pooled[:1]).isnan().all()
    alone = head.train()(pooled[:1].requires_grad_())
    assert torch.equal(alone[0], head.out_proj.bias)
    alike = pooled[:1].detach().repeat(4, 1).requires_grad_()
    head(alike).sum().backward()
    assert alike.grad.isfinite().all()


@pytest.fixture(scope="module")
def trained(empty, tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-speaker")
    path = shutil.copytree(empty, folder / "own.store")
    record = ss.finetune(path, str(save_backbone(folder / "tiny")), run="r", recipe=Recipe().changed(**SHORT))
    return Store(path), record


def test_members_hold_what_the_head_says_of_all_utterances_of_each_speaker(trained, caplog):
    store, record = trained
    for step in store.steps("r"):
        member = store.read_member(f"r@{step}")
        speakers = store.corpus.speakers[member.rows]
        pooled = member.pooled.astype(np.float64)
        for speaker in np.unique(speakers):
            pooled[speakers == speaker] = StandardScaler().fit_transform(pooled[speakers == speaker])
        if step == store.steps("r")[-1]:
            head = load_classifier(store.path / "runs" / "r" / "checkpoints" / f"checkpoint-{step}").model.classifier
            expected = pooled @ head.out_proj.weight.detach().numpy().T + head.out_proj.bias.detach().numpy()
            # Pooled representations are kept in half precision.
            assert np.allclose(member.logits, expected, atol=0.02)
    assert record.details["normalise"] == "speaker"
    found = ss.evaluate(store, "r", on="valid")
    assert any("standardised by speaker on all recordings, these among them" in one for one in found.cautions)


def test_it_answers_no_recording_alone_and_gives_representations(trained):
    store, _ = trained
    folder = store.path / "runs" / "r" / "checkpoints" / f"checkpoint-{store.steps('r')[-1]}"
    recording = sorted(Path(store.corpus.audio_root).rglob("*.wav"))[0]
    message = "the head of .* hears how an utterance differs from the others of its speaker, and answers none alone"
    for ask in (
        lambda: ss.predict("r", recording, store=store),
        lambda: ss.predict(str(folder), recording),
        lambda: ss.extract(store, run="r"),
        lambda: ss.push_to_hub(store, "r", "me/mine"),
    ):
        with pytest.raises((ModelError, StoreError), match=message):
            ask()
    made = ss.extract(store, run="layers", model=str(folder), layers="all")[0]
    assert store.describe_member(made.member).logits is None
    assert store.describe_member(made.member).layers


def test_it_answers_a_corpus_whose_speakers_are_known(trained):
    store, _ = trained
    step = store.steps("r")[-1]
    folder = store.path / "runs" / "r" / "checkpoints" / f"checkpoint-{step}"
    made = ss.extract(store, run="answers", model=str(folder))[0]
    held = store.read_member(f"r@{step}")
    # What it was not trained on is of speakers who are not trained on: they are heard among the same utterances.
    assert np.allclose(store.logits([made.member], held.rows)[0], held.logits, atol=1e-3)
    found = ss.evaluate(store, "answers", on="valid")
    assert found.records()[0]["correct"] == ss.evaluate(store, "r", on="valid").records()[0]["correct"]
    assert any("standardised by speaker on all recordings, these among them" in one for one in found.cautions)
    recording = next(Path(store.corpus.audio_root).rglob("*.wav"))
    with pytest.raises(StoreError, match=r"answers@0 is what .*checkpoint-4 answers to this corpus: expected"):
        ss.predict("answers", recording, store=store)


def test_an_answer_is_heard_among_all_that_are_extracted_now_or_before(trained, tmp_path, caplog):
    store, _ = trained
    folder = store.path / "runs" / "r" / "checkpoints" / f"checkpoint-{store.steps('r')[-1]}"
    audio = tmp_path / "audio"
    audio.mkdir()
    recordings = sorted(Path(store.corpus.audio_root).rglob("*.wav"))[:4]
    lines = [
        f"{one.name},{store.corpus.classes[place % 2]},{'aaab'[place]},{'test' if place else 'train'}"
        for place, one in enumerate(recordings)
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,speaker,split", *lines]) + "\n")
    for one in recordings:
        shutil.copy(one, audio)
    few = Store(ss.init(tmp_path / "few.store", corpus=table, audio=audio, split="split").path)
    asked = {"model": str(folder), "batch_size": 1}
    with caplog.at_level("INFO", logger="ser_store"):
        whole = ss.extract(few, run="whole", **asked)[0].member
    assert "whole@0: utterances that have no other of their speaker beside them, and differ from none: 1" in caplog.text
    cautions = ss.evaluate(few, "whole", on="all").cautions
    assert any(
        "has nothing to go by in 1 of these 4 utterances, the only ones of their speakers" in one for one in cautions
    )
    damaged = audio / recordings[1].name
    damaged.rename(tmp_path / "kept")
    damaged.write_bytes(b"")
    mended = ss.extract(few, run="mended", on_bad="skip", **asked)[0].member
    without = few.logits([mended], few.covered(mended))[0]
    assert len(without) == 3
    (tmp_path / "kept").replace(damaged)
    assert ss.extract(few, run="mended", **asked)[0].kept == 3
    assert np.allclose(few.logits([mended])[0], few.logits([whole])[0], atol=1e-3)
    assert not np.allclose(few.logits([mended])[0][0], without[0], atol=1e-3)


def test_what_could_not_be_published_is_not_trained(empty, serstore):
    words = (
        "--model",
        "tiny-wav2vec2",
        "--classification-head",
        HEAD["classification_head"],
        "--push-to-hub",
        "me/mine",
    )
    refused = serstore("finetune", *words, "--store", empty)
    assert refused.code == 1
    assert "the head of me/mine hears how an utterance differs" in refused.err
    assert Store(empty).runs() == []


def test_what_does_not_go_with_it_is_refused(empty, tmp_path, monkeypatch):
    for options, message in (
        ({"batch_seconds": 30.0}, "`batch_seconds` is 30.0 and `classification_head` is linear-by-speaker"),
        ({"group_by_length": True}, "`group_by_length` is True and `classification_head` is linear-by-speaker"),
        ({"micro_batch": "auto"}, "`micro_batch` is auto and `classification_head` is linear-by-speaker"),
    ):
        with pytest.raises(SerstoreError, match=message):
            Recipe(**HEAD, **options)
    recordings = sorted(ss.write_synthetic_corpus(tmp_path / "recordings", speakers=2))
    lines = [f"{one},{one.stem.split('-')[2]},{('train', 'valid')[place % 2]}" for place, one in enumerate(recordings)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,split", *lines]) + "\n")
    store = Store(ss.init(tmp_path / "nobody.store", corpus=str(table), split="split").path)
    with pytest.raises(CorpusError, match="knows no speakers: expected some, to standardise by speaker"):
        ss.finetune(store, "tiny-wav2vec2", recipe=Recipe().changed(**SHORT))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SerstoreError, match="`classification_head` is linear-by-speaker and 2 processes"):
        build_training_arguments(Recipe(**HEAD), tmp_path)


def test_a_dry_run_counts_its_steps(empty):
    store = Store(empty)
    recipe = Recipe(**{**HEAD, "num_train_epochs": 2, "per_device_train_batch_size": 5})
    train = store.corpus.speakers[store.corpus.rows("train")]
    batches = sum(-(-count // 5) for count in np.unique(train, return_counts=True)[1])
    assert ss.estimate(store, "tiny-wav2vec2", recipe=recipe).steps == 2 * -(-batches // 2)
