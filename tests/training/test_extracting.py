"""An extraction is known by all that changes its values: what was computed otherwise is never taken for it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from training_kills import save_backbone

import ser_store as ss
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.errors import StoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

SHORT = Recipe(max_steps=1, logging_steps=1)


@pytest.fixture(scope="module")
def extracted(empty, tmp_path_factory):
    """A store with the representations of a frozen backbone, and its folder beside it. Read only."""
    place = tmp_path_factory.mktemp("extracted")
    shutil.copytree(empty, place / "speech.store")
    ss.extract(Store(place / "speech.store"), model=str(save_backbone(place / "mine")))
    return place


@pytest.fixture
def store(extracted, tmp_path):
    """A copy; its record names the copy of the folder."""
    shutil.copytree(extracted / "mine", tmp_path / "mine")
    store = Store(shutil.copytree(extracted / "speech.store", tmp_path / "speech.store"))
    path = store.run_folder("mine-frozen") / "run.json"
    record = json.loads(path.read_text())
    path.write_text(
        json.dumps({**{k: v for k, v in record.items() if k != "sha256"}, "backbone": str(tmp_path / "mine")})
    )
    return store


def change(store, file, **fields):
    path = store.path.parent / "mine" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def extract(serstore, store, *words):
    return serstore("extract", "--model", store.path.parent / "mine", "--store", store.path, *words)


@pytest.mark.parametrize(
    ("file", "fields", "told"),
    [
        ("config.json", {"do_stable_layer_norm": True}, "do_stable_layer_norm (its default, now true)"),
        ("config.json", {"hidden_act": "relu"}, 'hidden_act (its default, now "relu")'),
        ("config.json", {"feat_extract_activation": "relu"}, 'feat_extract_activation (its default, now "relu")'),
        ("config.json", {"layer_norm_eps": 0.1}, "layer_norm_eps (its default, now 0.1)"),
        ("config.json", {"conv_stride": [80, 2]}, "conv_stride ([160, 2], now [80, 2])"),
        ("config.json", {"num_attention_heads": 1}, "num_attention_heads (2, now 1)"),
        ("config.json", {"is_causal": True}, "is_causal (its default, now true)"),
        ("config.json", {"attn_implementation": "eager"}, "attention"),
        ("preprocessor_config.json", {"do_normalize": False}, "do_normalize (true, now false)"),
    ],
)
def test_what_would_come_out_otherwise_is_not_there_already(file, fields, told, store, serstore):
    before = store.member_path("mine-frozen", 0).read_bytes()
    change(store, file, **fields)
    refused = extract(serstore, store)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        f"serstore: mine-frozen@0 is in the store already from other {told}: nothing was written; name this one with "
        "--run, or remove the old one with `serstore rm`\n"
    )
    assert store.member_path("mine-frozen", 0).read_bytes() == before
    assert store.runs() == ["mine-frozen"]


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("config.json", {"mask_time_prob": 0.3, "apply_spec_augment": True, "layerdrop": 0.5, "final_dropout": 0.3}),
        ("config.json", {"gradient_checkpointing": True, "return_dict": False, "vocab_size": 40, "dtype": "float16"}),
        ("preprocessor_config.json", {"return_attention_mask": False, "padding_value": 7.0, "padding_side": "left"}),
    ],
)
def test_what_comes_out_all_the_same_is_there_already(file, fields, store, serstore):
    cached = store.read_member("mine-frozen@0")
    change(store, file, **fields)
    again = extract(serstore, store)
    assert again.out == "mine-frozen@0: 0 utterances computed, 48 were there already\n", again.err
    assert extract(serstore, store, "--run", "again").code == 0
    np.testing.assert_array_equal(store.read_member("again@0").pooled, cached.pooled)


def test_the_old_member_makes_way_and_the_record_tells_of_the_new_one(store, serstore):
    cached = store.read_member("mine-frozen@0")
    change(store, "preprocessor_config.json", do_normalize=False)
    weights = load_file(store.path.parent / "mine" / "model.safetensors")
    weights["encoder.layer_norm.bias"] += 1
    save_file(weights, store.path.parent / "mine" / "model.safetensors", metadata={"format": "pt"})
    told = "from other model weights and do_normalize (true, now false): nothing was written"
    assert told in extract(serstore, store).err
    store.remove("mine-frozen@0")
    store.update_run(store.run("mine-frozen").updated(origin={"folder": "elsewhere"}))
    assert "48 utterances computed\n" in extract(serstore, store).out
    assert store.run("mine-frozen").details["origin"]["folder"] == str(store.path.parent / "mine")
    assert np.abs(store.read_member("mine-frozen@0").pooled - cached.pooled).max() > 0.1


def test_a_member_that_does_not_say_how_its_model_computed_is_not_mixed_with_others(store, serstore):
    member = store.read_member("mine-frozen@0")
    provenance = {key: value for key, value in member.provenance.items() if key != "configuration"}
    rows = member.rows[:9]
    part = type(member)(member.run, 0, rows, pooled=member.pooled[:9], provenance=provenance)
    store.write_member(part, replace=True)
    assert "from other or unknown configuration" in extract(serstore, store).err


def test_a_run_that_was_not_fine_tuned_has_no_checkpoints(store, serstore):
    done = serstore("extract", "--run", "mine-frozen", "--store", store.path)
    expected = "run mine-frozen is of kind frozen, which has no checkpoints: expected a fine-tuned run"
    assert (done.code, done.err) == (1, f"serstore: {expected}\n")


def test_weights_in_half_precision_are_those_they_are_read_as(store, serstore):
    path = store.path.parent / "mine" / "model.safetensors"
    halves = {name: weight.half() for name, weight in load_file(path).items()}
    save_file(halves, path, metadata={"format": "pt"})
    assert "from other model weights" in extract(serstore, store).err
    assert extract(serstore, store, "--run", "halves").code == 0
    save_file({name: weight.float() for name, weight in halves.items()}, path, metadata={"format": "pt"})
    assert "48 were there already" in extract(serstore, store, "--run", "halves").out


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sampling_rate": 8_000}, "the feature extractor in {} is for 8000 Hz: expected 16000 Hz"),
        ({"do_normalize": "no"}, "the feature extractor in {} has do_normalize 'no': expected true or false"),
    ],
)
def test_preprocessing_that_is_not_ours_is_refused(fields, told, store, serstore):
    change(store, "preprocessor_config.json", **fields)
    refused = extract(serstore, store, "--run", "other")
    assert refused.err.startswith(f"serstore: {told.format(store.path.parent / 'mine')}")
    assert refused.code == 1


def test_a_folder_that_does_not_say_how_samples_were_prepared_is_named(store, serstore):
    (store.path.parent / "mine" / "preprocessor_config.json").unlink()
    again = extract(serstore, store)
    assert again.out == "mine-frozen@0: 0 utterances computed, 48 were there already\n"
    assert again.err.startswith(
        "serstore: mine: no preprocessor_config.json in the checkpoint: each utterance is normalised to zero mean and "
    )
    for words in (("--model", "tiny-hubert"), ("--model", store.path.parent / "mine", "--init", "random")):
        said = serstore("extract", *words, "--run", "random", "--store", store.path)
        assert "preprocessor_config" not in said.err
        store.remove("random")


def test_a_checkpoint_of_a_run_computes_as_the_run_did(store, serstore):
    folder = store.path.parent / "mine"
    finetune(store, str(folder), run="r", recipe=Recipe(max_steps=1, logging_steps=1, attn_implementation="eager"))
    cached, record = store.read_member("r@1"), store.run("r")
    assert cached.provenance["attention"] == record.details["attention"] == "eager"
    assert cached.provenance["configuration"] == record.details["configuration"]
    assert record.details["configuration"]["do_normalize"] is True
    assert serstore("extract", "--run", "r", "--store", store.path).out.endswith("32 were there already\n")
    store.remove("r@1")
    path = store.run_folder("r") / "checkpoints" / "checkpoint-1" / "preprocessor_config.json"
    path.write_text(
        path.read_text().replace("true,", "false,").replace('"do_normalize": true', '"do_normalize": false')
    )
    refused = serstore("extract", "--run", "r", "--step", 1, "--checkpoint", path.parent, "--store", store.path)
    assert (
        "computes otherwise than run r was trained, by another do_normalize (true, now false): expected" in refused.err
    )
    assert store.steps("r") == []


def test_of_all_runs_the_damaged_one_is_left_out_and_said(store, serstore):
    finetune(store, str(store.path.parent / "mine"), run="r", recipe=SHORT)
    store.run_folder("broken").mkdir()
    (store.run_folder("broken") / "run.json").write_text("{")
    outcome = serstore("extract", "--store", store.path)
    assert outcome.code == 0
    assert outcome.out.endswith("32 were there already\n")
    assert "serstore: caution: left out, since it cannot be read (`serstore ls` says why): broken\n" in outcome.err
    assert serstore("extract", "--run", "broken", "--store", store.path).code == 1


def test_a_backbone_that_has_changed_meanwhile_is_not_gone_on_with(store):
    finetune(store, str(store.path.parent / "mine"), run="r", recipe=SHORT)
    store.update_run(store.run("r").updated(state="running"))
    change(store, "config.json", do_stable_layer_norm=True)
    told = (
        r"run r was begun with a backbone of another do_stable_layer_norm \(its default, now true\): expected the same"
    )
    with pytest.raises(StoreError, match=told):
        finetune(store, run="r", resume=True)
    assert store.run("r").state == "running"


def test_weights_carry_what_they_have_learned_from_wherever_they_go(empty, tmp_path, serstore):
    """A checkpoint of one split is a frozen backbone, and the beginning of a run of another split."""
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    corpus = store.corpus
    first = set(corpus.ids[corpus.rows("train")].tolist())
    other = np.where(np.arange(len(corpus)) % 2 == 0, "test", "train")
    store.update_corpus(replace(corpus, splits={**corpus.splits, "other": other}))
    store = Store(store.path)
    finetune(store, "tiny-wav2vec2", run="first", recipe=SHORT)
    [checkpoint] = store.run_folder("first").glob("checkpoints/checkpoint-*")
    on_other = set(corpus.ids[other == "test"].tolist())

    assert serstore("extract", "--model", checkpoint, "--run", "frozen", "--store", store.path).code == 0
    heard = find_fitted(store, "frozen")
    assert set(corpus.ids[heard.learned.any(axis=0)].tolist()) == first
    done = serstore("head", "--from", "frozen", "--split", "other", "--kind", "lda", "--store", store.path, "--json")
    expected = f"frozen-lda was trained on {len(first & on_other)} of these {len(on_other)} utterances"
    assert done.json["cautions"][0].startswith(expected)

    finetune(store, str(checkpoint), run="second", split="other", recipe=SHORT)
    heard = find_fitted(store, "second")
    assert set(corpus.ids[heard.learned.any(axis=0)].tolist()) == first | set(corpus.ids[other == "train"].tolist())
    done = serstore("evaluate", "second", "--split", "other", "--store", store.path, "--json")
    assert done.json["cautions"][0].startswith(
        f"second was trained on {len(first & on_other)} of these {len(on_other)} utterances"
    )

    [foreign] = store.run_folder("second").glob("checkpoints/checkpoint-*")
    words = ("extract", "--run", "first", "--step", 1, "--checkpoint", foreign, "--store", store.path)
    done = serstore(*words)
    assert done.code == 1
    assert "was trained on other utterances than run first" in done.err
