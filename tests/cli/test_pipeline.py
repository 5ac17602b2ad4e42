"""The main job on synthetic speech: corpus, representations, heads, training, steps, vote; each on what came before."""

import json

import numpy as np
import pytest

from ser_store_h5.store import Store

RECIPE = ("--max-steps", 4, "--eval-steps", 2, "--save-steps", 2, "--logging-steps", 1)
RECIPE += ("--train-batch-size", 4, "--eval-batch-size", 5, "--accumulation", 1, "--learning-rate", "1e-3")
MODELS = ("tiny-wav2vec2", "tiny-hubert", "tiny-unispeech")


@pytest.fixture(scope="module")
def store(serstore, speech, tmp_path_factory):
    """A store with frozen features, two heads and three runs of two steps each."""
    path = tmp_path_factory.mktemp("pipeline") / "speech.store"
    done = [serstore("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", path)]
    done.append(serstore("extract", "--model", "mfcc", "--store", path))
    done += [serstore("head", "--kind", kind, "--from", "mfcc", "--store", path) for kind in ("logreg", "svm")]
    done += [serstore("finetune", "--model", model, *RECIPE, "--store", path) for model in MODELS]
    for outcome in done:
        assert outcome.code == 0, outcome.err
    return path


def test_every_evaluation_left_a_member_that_covers_all_who_are_not_trained_on(serstore, store):
    members = {entry["member"]: entry for entry in serstore("ls", "--json", "--store", store).json["members"]}
    assert set(members) == {
        "mfcc@0",
        "mfcc-logreg@0",
        "mfcc-svm@0",
        *(f"{model}@{step}" for model in MODELS for step in (2, 4)),
    }
    assert members["mfcc@0"]["pooled"] == [48, 240]
    assert members["mfcc@0"]["logits"] is None
    for model in MODELS:
        entry = members[f"{model}@4"]
        assert (entry["n"], entry["logits"], entry["backbone"]) == (32, [32, 8], model)
        assert entry["pooled"][0] == 32


def test_members_that_three_runs_left_differ(store):
    opened = Store(store)
    rows = opened.corpus.rows("test")
    logits = opened.logits([f"{model}@4" for model in MODELS], rows)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(logits[first], logits[second], atol=1e-4)


def test_curves_hold_losses_rates_and_accuracies_by_step(store):
    points = Store(store).curves("tiny-hubert")
    assert [point["step"] for point in points if "train_loss" in point] == [1, 2, 3, 4]
    evaluations = [point for point in points if "eval_loss" in point]
    assert [point["step"] for point in evaluations] == [2, 4]
    assert all({"accuracy", "balanced_accuracy", "seconds", "on"} <= set(point) for point in evaluations)
    assert {point["on"] for point in evaluations} == {"valid"}


def test_steps_are_compared_with_the_losses_of_the_curves(serstore, store):
    document = serstore("steps", "--run", "tiny-hubert", "--on", "valid", "--json", "--store", store).json
    [run] = document["runs"]
    assert [step["step"] for step in run["steps"]] == [2, 4]
    logged = {p["step"]: p for p in Store(store).curves("tiny-hubert") if "eval_loss" in p}
    for step in run["steps"]:
        assert step["eval_loss"] == pytest.approx(logged[step["step"]]["eval_loss"], abs=1e-6)
        assert step["accuracy"] == pytest.approx(logged[step["step"]]["accuracy"])
        assert step["train_loss"] > 0


def test_a_selected_step_is_what_the_runs_name_stands_for(serstore, store):
    assert serstore("steps", "--run", "tiny-wav2vec2", "--select", "2", "--store", store).code == 0
    members = serstore("evaluate", "tiny-wav2vec2", "--json", "--store", store).json["members"]
    assert [entry["member"] for entry in members] == ["tiny-wav2vec2@2"]
    record = json.loads((store / "runs" / "tiny-wav2vec2" / "run.json").read_text())
    assert (record["selected"]["step"], record["selected"]["criterion"]) == (2, "step")


def test_the_run_records_recipe_split_versions_and_state(store):
    record = json.loads((store / "runs" / "tiny-unispeech" / "run.json").read_text())
    assert (record["state"], record["split"], record["on"], record["steps_done"]) == ("finished", "speaker", "valid", 4)
    assert record["recipe"]["learning_rate"] == 1e-3
    assert {"torch", "transformers", "ser-store"} <= set(record["versions"])


def test_all_candidates_vote(serstore, store):
    document = serstore("vote", "--k", 3, "--all-combos", "--steps", "all", "--json", "--store", store).json
    assert len(document["candidates"]) == 8
    assert document["searched"] == 56
    assert document["on"] == "test"


def test_soft_voting_takes_the_logits_of_heads_and_runs(serstore, store):
    outcome = serstore("vote", "--k", 2, "--all-combos", "--rule", "soft", "--json", "--store", store)
    assert outcome.json["rule"] == "soft"


@pytest.mark.parametrize("model", MODELS)
def test_members_cached_while_training_equal_an_extraction_from_the_same_checkpoint(serstore, store, model, tmp_path):
    """All rows at once in batches of another size, against what the evaluation pass said."""
    opened = Store(store)
    cached = opened.read_member(f"{model}@4")
    outcome = serstore("extract", "--run", model, "--step", 4, "--batch-size", 3, "--store", store)
    assert outcome.code == 0, outcome.err
    assert "16 utterances computed, 32 were there already" in outcome.out
    widened = opened.read_member(f"{model}@4")
    assert len(widened.rows) == 48
    assert np.array_equal(widened.logits[cached.rows], cached.logits)

    opened.remove(f"{model}@4")
    assert serstore("extract", "--run", model, "--step", 4, "--batch-size", 7, "--store", store).code == 0
    fresh = opened.read_member(f"{model}@4")
    assert fresh.provenance["model_digest"] == cached.provenance["model_digest"]
    scale = np.abs(cached.logits).max()
    assert np.abs(fresh.logits[cached.rows] - cached.logits).max() < 1e-4 * scale
    assert np.allclose(fresh.pooled[cached.rows], cached.pooled, rtol=2e-3, atol=2e-3)


def test_what_is_extracted_already_is_not_extracted_again(serstore, store):
    again = serstore("extract", "--model", "mfcc", "--store", store)
    assert "mfcc@0: 0 utterances computed, 48 were there already" in again.out


def test_an_extraction_that_would_differ_says_in_what(serstore, store):
    first = serstore("extract", "--model", "tiny-wavlm", "--run", "frozen", "--store", store)
    assert first.code == 0, first.err
    other = serstore("extract", "--model", "tiny-wavlm", "--run", "frozen", "--pooling", "max", "--store", store)
    assert other.code == 1
    assert "from other pooling: nothing was written" in other.err
    other = serstore("extract", "--model", "tiny-wavlm", "--run", "frozen", "--seed", 7, "--store", store)
    assert "from other model weights: nothing was written" in other.err


def test_an_extraction_does_not_slip_into_a_run_of_another_kind(serstore, store):
    outcome = serstore("extract", "--model", "mfcc", "--run", "tiny-hubert", "--store", store)
    assert outcome.code == 1
    assert "run tiny-hubert is in" in outcome.err


def test_heads_are_fitted_on_training_speakers_or_out_of_fold(serstore, store):
    fitted = serstore("head", "--kind", "lda", "--from", "mfcc", "--json", "--store", store).json["heads"]
    described = {"member": "mfcc-lda@0", "source": "mfcc@0", "kind": "lda", "n_train": 16, "n_scored": 32}
    assert fitted == [{**described, "cv": None, "combine": None, "choices": []}]
    options = ("--kind", "lda", "--from", "mfcc", "--cv", "speaker", "--folds", 3, "--run", "by-speaker")
    fitted = serstore("head", *options, "--json", "--store", store).json["heads"]
    assert (fitted[0]["n_train"], fitted[0]["n_scored"]) == (32, 48)


def test_exported_logits_import_again_as_they_were(serstore, store, tmp_path):
    members = [f"{model}@2" for model in MODELS]
    table = tmp_path / "logits.csv"
    assert serstore("export", table, *members, "--what", "logits", "--on", "all", "--store", store).code == 1
    assert serstore("export", table, *members, "--what", "logits", "--store", store).code == 0
    again = tmp_path / "again.store"
    assert serstore("import", table, "--label", "label", "--store", again).code == 0
    first, second = Store(store), Store(again)
    assert np.array_equal(
        first.logits(members, first.corpus.rows("test")), second.logits(members, second.corpus.rows("all"))
    )


def test_the_store_verifies(serstore, store):
    document = serstore("verify", "--json", "--store", store).json
    assert document["ok"], document["problems"]


def test_checkpointing_of_gradients_and_folds_and_other_options_train_too(serstore, speech, tmp_path):
    path = tmp_path / "folds.store"
    words = ("--corpus", "ravdess", "--audio", speech, "--split", "speaker-folds", "--store", path)
    assert serstore("init", *words).code == 0
    options = (*RECIPE, "--gradient-checkpointing", "--pooling", "max", "--schedule", "cosine", "--run", "other")
    outcome = serstore("finetune", "--model", "tiny-wav2vec2", "--fold", 2, *options, "--json", "--store", path)
    assert outcome.code == 0, outcome.err
    assert (outcome.json["on"], outcome.json["members"]) == ("fold-2", ["other@2", "other@4"])
    assert len(Store(path).read_member("other@4").rows) == 16


def test_pretrained_weights_come_from_a_folder_and_what_they_lack_is_said(serstore, store, tmp_path):
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from ser_store.backbones.catalogue import lookup

    Wav2Vec2ForCTC(Wav2Vec2Config(**lookup("tiny-wav2vec2").config)).save_pretrained(tmp_path / "ctc")
    words = ("--model", "tiny-wav2vec2", "--checkpoint", tmp_path / "ctc", "--run", "from-folder", "--max-steps", 1)
    outcome = serstore("finetune", *words, "--store", store)
    assert outcome.code == 0, outcome.err
    record = json.loads((store / "runs" / "from-folder" / "run.json").read_text())
    assert record["origin"]["init"] == "pretrained"
    assert any(key.startswith("lm_head") for key in record["unused_keys"])
    assert "in the checkpoint, but of no use here: lm_head" in outcome.err


def test_a_run_is_not_trained_twice_under_one_name(serstore, store):
    outcome = serstore("finetune", "--model", "tiny-hubert", *RECIPE, "--store", store)
    assert outcome.code == 1
    assert "run tiny-hubert is in" in outcome.err
    assert "name this one with --run" in outcome.err
