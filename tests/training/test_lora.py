"""LoRA trains adapters and the head alone, in every family, and merges into what a model has without adapters."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from backbone_samples import VARIANTS, make_model, make_utterances, pad, prepare
from torch import nn
from training_kills import save_backbone
from transformers import TrainerCallback

from ser_store.backbones.checkpoint import load_entries
from ser_store.backbones.digest import compute_model_digest
from ser_store.backbones.loading import load_classifier
from ser_store.backbones.lora import add_adapters, iter_whole
from ser_store.backbones.model import SpeechClassifier
from ser_store.errors import ModelError, SerstoreError
from ser_store.extraction.extract import extract
from ser_store.recipes.masking import Masking
from ser_store.recipes.recipe import Recipe
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

RECIPE = {"max_steps": 6, "eval_steps": 3, "save_steps": 3, "logging_steps": 1, "gradient_accumulation_steps": 1}


def adapt(variant, **fields):
    """A model with adapters that say something, and a batch."""
    model = make_model(variant, **fields)
    add_adapters(model, rank=3, alpha=6.0, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lora_B"):
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    values, mask = pad(prepare(model, make_utterances(9_000, 16_000, seed=3)))
    return model, {"input_values": values, "attention_mask": mask}


@pytest.mark.parametrize("variant", VARIANTS)
def test_adapters_merge_to_plain_names_and_the_same_answers(variant):
    model, batch = adapt(variant)
    plain = SpeechClassifier(model.config).eval()
    plain.load_state_dict(dict(iter_whole(model)))
    assert compute_model_digest(plain) == compute_model_digest(model)
    with torch.no_grad():
        merged = plain(**batch).logits
        # The same weights at other places in memory: on some processors a matrix product rounds otherwise.
        torch.testing.assert_close(model(**batch).logits, merged, rtol=1e-5, atol=1e-6)
        if variant != "hubert-batch":  # which normalises over the batch while it trains; nothing else is random
            torch.testing.assert_close(model.train()(**batch).logits, merged, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(make_model(variant)(**batch).logits, merged, atol=1e-3)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("variant", ["wav2vec2-layer", "hubert-group", "unispeech-layer", "wavlm-layer", "whisper"])
def test_every_adapter_and_the_head_learn_and_nothing_else_does(variant, checkpointing):
    model, batch = adapt(variant)
    if checkpointing:
        model.activation_checkpointing_enable()
    model.train()(**batch, labels=torch.tensor([0, 2])).loss.backward()
    learned = {name for name, one in model.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    projections = [name for name in learned if name.endswith("lora_A")]
    assert len(projections) == 2 * 6, "two layers with four projections of attention and two of the feed-forward part"
    assert learned == {name for name, one in model.named_parameters() if one.requires_grad}
    assert {name for name in learned if ".lora_" not in name} == {
        f"classifier.{name}" for name, _ in model.classifier.named_parameters()
    }


@pytest.fixture(scope="module")
def trained(empty, tmp_path_factory):
    """A store with a run that went through. Read only."""
    store = Store(shutil.copytree(empty, tmp_path_factory.mktemp("lora") / "speech.store"))
    finetune(store, "tiny-wavlm", run="adapted", recipe=Recipe(**RECIPE, lora=2))
    return store


@pytest.fixture(scope="module")
def checkpoint(trained):
    """The last that was saved."""
    return Path(trained.run("adapted").details["checkpoints"]) / "checkpoint-6"


class Interrupt(TrainerCallback):
    """Ctrl-C after the fourth step."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == 4:
            raise KeyboardInterrupt


def test_a_checkpoint_has_adapters_and_the_head_and_is_extracted_as_any(trained, checkpoint, tmp_path):
    kept = load_classifier(checkpoint).model
    assert kept.config.lora is None
    assert not any("lora" in name for name in kept.state_dict())
    whole = sum(one.nbytes for one in kept.state_dict().values())
    assert (checkpoint / "model.safetensors").stat().st_size < whole / 5
    assert json.loads((checkpoint / "config.json").read_text())["lora"] == {"rank": 2, "alpha": 4, "frozen_layers": 0}
    store = Store(shutil.copytree(trained.path, tmp_path / "speech.store"))
    before = store.read_member("adapted@6")
    assert before.provenance["model_digest"] == compute_model_digest(kept)
    extract(store, run="adapted", step=6)
    after = store.read_member("adapted@6")
    assert len(after.rows) == len(store.corpus) > len(before.rows)
    again = after.logits[np.isin(after.rows, before.rows)]
    np.testing.assert_allclose(again, before.logits, rtol=0, atol=1e-5)


def test_a_run_that_is_resumed_is_that_which_went_through(trained, empty, tmp_path):
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    with pytest.raises(KeyboardInterrupt):
        finetune(store, "tiny-wavlm", run="adapted", recipe=Recipe(**RECIPE, lora=2), callbacks=[Interrupt()])
    finetune(store, run="adapted", resume=True)
    for step in (3, 6):
        found, expected = (one.read_member(f"adapted@{step}") for one in (store, trained))
        np.testing.assert_array_equal(found.logits, expected.logits)
        assert found.provenance["model_digest"] == expected.provenance["model_digest"]


def test_adapters_learn_above_frozen_layers_that_are_kept(empty, tmp_path):
    backbone = save_backbone(tmp_path / "backbone")
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    masking = Masking(mask_time_prob=0.0, mask_feature_prob=0.0, layerdrop=0.0)
    recipe = Recipe(**RECIPE, lora=2, frozen_layers=1, cache_frozen=True, masking=masking)
    record = finetune(store, str(backbone), run="upper", recipe=recipe)
    folder = Path(record.details["checkpoints"]) / "checkpoint-6"
    adapted = {name.split(".")[3] for name in load_entries(folder) if ".lora_" in name}
    assert adapted == {
        str(layer) for layer in range(1, load_classifier(folder).model.config.backbone_config.num_hidden_layers)
    }
    assert store.read_member("upper@6").provenance["model_digest"] == compute_model_digest(
        load_classifier(folder).model
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": 0}, "`lora` is 0: expected a whole number of at least 1"),
        ({"lora_alpha": 4}, "`lora_alpha` is 4 and `lora` is not given: expected both or none"),
        ({"lora": 4, "lora_alpha": 0}, "`lora_alpha` is 0: expected a finite number above 0"),
        ({"lora": 4, "torch_compile": True}, "`lora` and `torch_compile` are given: expected one of the two"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    with pytest.raises(SerstoreError, match=message):
        Recipe(**options)


def test_adapters_without_their_backbone_say_what_they_need(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    config["origin"] |= {"folder": str(tmp_path / "gone"), "init": "pretrained"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ModelError, match=r"keeps what LoRA added to .*gone, which cannot be had .*: expected the weight"
    ):
        load_classifier(folder)


def test_rank_and_projections_are_those_of_the_layers():
    model = make_model("whisper")
    add_adapters(model, rank=2, alpha=2.0, frozen_layers=1)
    adapted = [
        name for name, one in model.named_modules() if isinstance(one, nn.Linear) and hasattr(one, "parametrizations")
    ]
    assert all(name.startswith("backbone.encoder.layers.1.") for name in adapted)
    assert {name.rpartition(".")[2] for name in adapted} == {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}
