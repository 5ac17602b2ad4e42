"""Several layers pooled side by side: what a run caches, what its head hears, wherever it is read again."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from training_kills import save_backbone

import ser_store as ss
from ser_store.backbones.loading import load_classifier
from ser_store.errors import ModelError, SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store_h5.store import Store

RECIPE = {
    "pooled_layers": 2,
    "classification_head": "linear",
    "layerdrop": 0.0,
    "mask_feature_prob": 0.0,
    "max_steps": 2,
    "eval_steps": 2,
    "logging_steps": 2,
    "save_steps": 2,
}


@pytest.fixture(scope="module", params=["wav2vec2", "whisper"])
def trained(request, empty, tmp_path_factory):
    path = shutil.copytree(empty, tmp_path_factory.mktemp("pooled") / "own.store")
    ss.finetune(path, f"tiny-{request.param}", run="r", recipe=Recipe().changed(**RECIPE))
    store = Store(path)
    return store, path / "runs" / "r" / "checkpoints" / "checkpoint-2"


def test_the_head_hears_the_layers_that_an_extraction_gives_one_by_one(trained):
    store, checkpoint = trained
    member = store.read_member("r@2")
    made = ss.extract(store, run="layers", model=str(checkpoint), layers="all")[0].member
    top = max(store.describe_member(made).layers)
    apart = np.concatenate([store.pooled(made, member.rows, layer=one) for one in (top - 1, top)], axis=1)
    assert np.allclose(member.pooled, apart, rtol=1e-3, atol=2e-3)
    head = load_classifier(checkpoint).model.classifier
    scale, mean, out = (one.detach().numpy() for one in (head.scale, head.mean, head.out_proj.weight))
    expected = (member.pooled.astype(np.float64) - mean) / scale @ out.T + head.out_proj.bias.detach().numpy()
    assert np.allclose(member.logits, expected, atol=0.05)


def test_predictions_and_extractions_of_the_run_are_the_members(trained):
    store, _ = trained
    before = store.read_member("r@2")
    recording = Path(store.corpus.audio_root) / store.corpus.paths[before.rows[0]]
    said = ss.predict("r", recording, store=store)
    shares = np.exp(before.logits[0] - before.logits[0].max())
    assert np.allclose(said.probabilities, shares / shares.sum(), atol=1e-4)


def test_frozen_layers_that_are_kept_cannot_be_pooled(empty, tmp_path):
    path = shutil.copytree(empty, tmp_path / "own.store")
    model = str(save_backbone(tmp_path / "tiny"))
    recipe = Recipe().changed(**{**RECIPE, "pooled_layers": 4, "frozen_layers": 1, "cache_frozen": True})
    with pytest.raises(SerstoreError, match="`pooled_layers` is 4: expected at most 3, the layers above the 1 frozen"):
        ss.finetune(path, model, recipe=recipe)
    with pytest.raises(ModelError, match="`pooled_layers` is 9: expected at most 4, the layers of the backbone"):
        ss.finetune(path, model, recipe=Recipe(pooled_layers=9))


def test_frozen_layers_from_a_cache_change_nothing_but_rounding(empty, tmp_path):
    model, stores = str(save_backbone(tmp_path / "tiny")), []
    for cached in (False, True):
        path = shutil.copytree(empty, tmp_path / f"{cached}.store")
        options = {"frozen_layers": 1, "mask_time_prob": 0.0, "cache_frozen": cached}
        ss.finetune(path, model, run="r", recipe=Recipe().changed(**RECIPE, **options))
        stores.append(Store(path).read_member("r@2"))
    assert np.allclose(stores[0].logits, stores[1].logits, atol=0.2)
    assert stores[0].pooled.shape == stores[1].pooled.shape == (len(stores[0].rows), 64)
