"""Several layers from one forward pass: what is kept, what an extraction is known by, what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from training_kills import save_backbone

import ser_store as ss
from ser_store.common.provenance import digest_recordings
from ser_store.extraction.layers import parse_layers, parse_statistics, resolve_layers
from ser_store.inference.forward import cut_batches
from ser_store.recipes.recipe import Recipe
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

MODEL = ("--model", "tiny-whisper")


@pytest.fixture(scope="module")
def extracted(empty, tmp_path_factory):
    """A store with the top of a backbone, and with all its layers by mean and standard deviation. Read only."""
    store = Store(shutil.copytree(empty, tmp_path_factory.mktemp("layers") / "speech.store"))
    ss.extract(store, model="tiny-whisper", run="top")
    ss.extract(store, model="tiny-whisper", run="all", layers="all", statistics="mean,std")
    return store


@pytest.fixture
def store(extracted, tmp_path):
    return Store(shutil.copytree(extracted.path, tmp_path / "speech.store"))


def test_the_last_layer_is_what_is_pooled_without_layers(extracted):
    top, every = extracted.read_member("top"), extracted.read_member("all")
    d = top.pooled.shape[1]
    assert (tuple(every.layers), every.pooled.shape) == ((0, 1), (48, 2 * d))
    np.testing.assert_array_equal(every.pooled[:, :d], top.pooled)
    assert np.abs(every.layers[0].astype(float) - every.layers[1]).max() > 0.1
    assert (every.layers[0][:, d:] >= 0).all()
    assert (every.provenance["pooling"], every.provenance["layers"]) == ("mean,std", [0, 1])
    assert top.layers == {}
    assert "layers" not in top.provenance


@pytest.mark.parametrize("words", [("--layers", "last"), ("--layers", 1), ("--statistics", "mean")])
def test_the_top_by_its_mean_is_the_same_however_it_is_asked_for(words, store, serstore):
    done = serstore("extract", *MODEL, "--run", "top", *words, "--store", store.path)
    assert done.out == "top@0: 0 utterances computed, 48 were there already\n"


def test_its_size_is_said_beforehand(store, serstore):
    done = serstore("extract", *MODEL, "--run", "lower", "--layers", 0, "--statistics", "std", "--store", store.path)
    assert done.code == 0
    assert "serstore: lower@0: 1 layer × 48 utterances × 128 numbers × 2 bytes: 12.3 kB\n" in done.err
    listed = serstore("ls", "--store", store.path)
    assert "2 × 48 × 256" in listed.out
    [lower] = [one for one in serstore("ls", "--json", "--store", store.path).json["members"] if one["run"] == "lower"]
    assert (lower["layers"], lower["pooled"]) == ([0], [48, 128])
    np.testing.assert_array_equal(store.pooled("lower", layer=0), store.pooled("all", layer=0)[:, 128:])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--layers", "all"), "pooling"),
        (("--layers", 0, "--statistics", "mean,std"), "layers"),
        (("--statistics", "mean,std"), "layers"),
        ((), "pooling and layers"),
    ],
)
def test_other_layers_or_statistics_are_another_extraction(words, told, store, serstore):
    before = store.member_path("all", 0).read_bytes()
    refused = serstore("extract", *MODEL, "--run", "all", *words, "--store", store.path)
    assert refused.err == (
        f"serstore: all@0 is in the store already from other {told}: nothing was written; name this one with --run, or "
        "remove the old one with `serstore rm`\n"
    )
    assert store.member_path("all", 0).read_bytes() == before


def test_a_part_that_is_there_is_gone_on_with(store, extracted):
    whole = store.read_member("all")
    kept = {number: array[::2] for number, array in whole.layers.items()}
    provenance = {**whole.provenance, "audio_digest": digest_recordings(store.corpus, whole.rows[::2])}
    part = replace(whole, rows=whole.rows[::2], pooled=None, layers=kept, provenance=provenance)
    store.write_member(part, replace=True)
    [done] = ss.extract(store, model="tiny-whisper", run="all", layers=[1, 0], statistics=["std", "mean"])
    assert (done.computed, done.kept) == (24, 24)
    again = store.read_member("all")
    for number, array in whole.layers.items():
        np.testing.assert_allclose(again.layers[number], array, rtol=2e-3, atol=2e-3)
    assert store.describe_member("all").layers == (0, 1)


def test_a_checkpoint_has_layers_and_logits_of_one_pass(empty, tmp_path, serstore):
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    finetune(store, str(save_backbone(tmp_path / "mine")), run="r", recipe=Recipe(max_steps=1, logging_steps=1))
    words = ("extract", "--run", "r", "--layers", "all", "--store", store.path)
    refused = serstore(*words).err
    assert "r@1 is in the store already from other layers: nothing was written; name the checkpoint's folder" in refused
    assert "with --model, and a --run, or remove the old one with `serstore rm`" in refused
    before = store.read_member("r@1")
    store.remove("r@1")
    assert serstore(*words).code == 0
    member = store.read_member("r@1")
    np.testing.assert_allclose(member.logits[before.rows], before.logits, atol=1e-5)
    np.testing.assert_allclose(member.pooled[before.rows], before.pooled, rtol=2e-3, atol=2e-3)
    assert tuple(member.layers) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*MODEL, "--layers", "0,2"), "--layers has 2: expected numbers of 0 to 1, which are the layers of tiny-"),
        ((*MODEL, "--layers", "-1"), "--layers has -1: expected numbers of 0 to 1"),
        ((*MODEL, "--layers", "top"), "--layers is 'top': expected all, last, or numbers such as 3 or 3,4,5"),
        ((*MODEL, "--layers", ""), "--layers is '': expected all, last, or numbers"),
        ((*MODEL, "--statistics", "mena"), "unknown statistic 'mena': expected one of mean (nearest), std"),
        ((*MODEL, "--statistics", ""), "unknown statistic ''"),
        ((*MODEL, "--statistics", "std", "--pooling", "max"), "--statistics std with --pooling max: expected one of"),
        (("--model", "mfcc", "--layers", "all"), "--layers with --model mfcc: a feature set has neither layers nor"),
        (("--model", "mfcc", "--statistics", "mean"), "--statistics with --model mfcc: a feature set has neither"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, told, store, serstore):
    refused = serstore("extract", *words, "--run", "other", "--store", store.path)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.startswith(f"serstore: {told}")
    assert not store.has_run("other")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("all", (0, 1, 2)), ("last", (2,)), (0, (0,)), ("2,1", (1, 2)), ([1, 1], (1,)), (np.arange(2), (0, 1))],
)
def test_layers_are_all_the_last_or_numbers(given, expected):
    assert resolve_layers(parse_layers(given), 2, backbone="mine") == expected


@pytest.mark.parametrize("given", [True, 1.5, [0.0], None, [], "1,,2", {"a": 1}])
def test_anything_else_is_no_layer(given):
    with pytest.raises(ss.ModelError, match=r"`layers` is .*: expected all, last, or numbers such as 3 or 3,4,5"):
        parse_layers(given)


@pytest.mark.parametrize("given", [0, -1, 2.5, "8", True])
def test_a_batch_has_one_utterance_or_more(given, store):
    with pytest.raises(ss.ModelError, match=r"`batch_size` is .*: expected a whole number from 1 on"):
        ss.extract(store, model="tiny-whisper", batch_size=given)


def test_statistics_have_one_order():
    assert parse_statistics(["std", "mean"], "mean") == parse_statistics("mean,std", "mean") == ("mean", "std")
    assert parse_statistics(None, "max") == ()


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 48}, {"batch_seconds": 20}])
def test_a_batch_changes_nothing(options, extracted, store):
    ss.extract(store, model="tiny-whisper", run="again", layers="all", **options)
    again = store.read_member("again")
    for number, array in extracted.read_member("all").layers.items():
        d = array.shape[1] // 2
        np.testing.assert_allclose(again.layers[number], array[:, :d], rtol=2e-3, atol=2e-3)


def test_batches_are_cut_by_number_and_by_length_with_padding():
    assert cut_batches([], size=3) == []
    assert cut_batches([9, 4, 3, 3, 1], size=2) == [range(2), range(2, 4), range(4, 5)]
    assert cut_batches([9, 4, 3, 3, 1], size=9, most=8) == [range(1), range(1, 3), range(3, 5)]
    assert cut_batches([1, 1, 4, 4], size=9, most=8) == [range(2), range(2, 4)]


def test_precision_belongs_to_what_an_extraction_is(extracted, store, serstore):
    refused = serstore("extract", *MODEL, "--run", "top", "--precision", "bf16", "--store", store.path)
    assert refused.err.startswith("serstore: top@0 is in the store already from other precision: nothing was written")
    assert serstore("extract", *MODEL, "--run", "half", "--precision", "bf16", "--store", store.path).code == 0
    assert store.read_member("half").provenance["precision"] == "bf16"
    error = np.abs(store.read_member("half").pooled - extracted.read_member("top").pooled).max()
    assert 0 < error < 0.1
    told = serstore("extract", *MODEL, "--run", "other", "--precision", "bf61", "--store", store.path)
    assert told.err.startswith("serstore: unknown precision 'bf61': expected one of bf16 (nearest)")


@pytest.mark.parametrize("given", [0, -1, "8", True, float("nan")])
def test_a_batch_has_a_second_or_more(given, store):
    with pytest.raises(ss.ModelError, match=r"`batch_seconds` is .*: expected a finite number from 1 on"):
        ss.extract(store, model="tiny-whisper", batch_seconds=given)
