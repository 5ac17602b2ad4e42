import hashlib
from pathlib import Path

import pytest
import torch
from backbone_samples import CLASSES, make_model, make_utterances, pad, prepare
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, Wav2Vec2Config

from ser_store.backbones.description import POOLINGS, Pooling
from ser_store.backbones.digest import compute_model_digest
from ser_store.backbones.heads import ClassificationHead
from ser_store.backbones.model import (
    SpeechClassifier,
    SpeechClassifierConfig,
    build_config,
    pool_frames,
)
from ser_store.errors import UnknownNameError


def test_a_batch_gives_logits_pooled_representations_and_loss() -> None:
    model = make_model("wav2vec2-layer")
    values, mask = pad(make_utterances(4_000, 6_000))
    labels = torch.tensor([2, 0])
    with torch.inference_mode():
        said = model(values, attention_mask=mask, labels=labels, rows=torch.tensor([7, 5]))
    assert tuple(said) == ("loss", "logits", "pooled")
    assert said.logits.shape == (2, len(CLASSES))
    assert said.pooled.shape == (2, 32)
    torch.testing.assert_close(said.loss, functional.cross_entropy(said.logits, labels))


def test_the_head_is_dropout_dense_tanh_dropout_out_proj() -> None:
    head = ClassificationHead(4, 3, dropout=0.5).eval()
    pooled = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    dense = torch.tanh(pooled @ head.dense.weight.T + head.dense.bias)
    torch.testing.assert_close(head(pooled), dense @ head.out_proj.weight.T + head.out_proj.bias)
    assert head.dropout.p == 0.5


def test_the_logits_are_the_head_over_the_pooled_representations() -> None:
    model = make_model("hubert-layer")
    values, mask = pad(make_utterances(4_000, 6_000))
    with torch.inference_mode():
        said = model(values, attention_mask=mask)
        torch.testing.assert_close(model.classifier(said.pooled), said.logits)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padded_frames_never_count(pooling: Pooling) -> None:
    hidden = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)) - 3
    counts = (5, 1, 3)
    expected = []
    for frames, count in zip(hidden, counts, strict=True):
        valid = frames[:count]
        expected.append({"mean": valid.mean(dim=0), "sum": valid.sum(dim=0), "max": valid.amax(dim=0)}[pooling])
        frames[count:] = torch.nan
    torch.testing.assert_close(pool_frames(hidden, counts, pooling), torch.stack(expected))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_half_precision_is_pooled_in_single_precision(pooling: Pooling) -> None:
    hidden = torch.full((1, 4_000, 1), 100.0, dtype=torch.float16)
    pooled = pool_frames(hidden, (4_000,), pooling)
    assert pooled.dtype == torch.float32
    assert pooled.item() == (400_000.0 if pooling == "sum" else 100.0)


@pytest.mark.parametrize("variant", ["hubert-group", "whisper"])
def test_models_of_half_precision_and_mixed_precision_run(variant: str) -> None:
    model = make_model(variant)
    values, mask = pad(prepare(model, make_utterances(4_000, 6_000)))
    with torch.inference_mode():
        expected = model(values, mask).pooled
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model(values, mask)
        narrow = model.to(torch.bfloat16)(values.bfloat16(), mask)
    for said in (mixed, narrow):
        assert said.pooled.dtype == said.logits.dtype == torch.float32
        assert (said.pooled - expected).abs().mean() < 0.2 * expected.abs().mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("is_training", [False, True])
def test_head_and_loss_are_computed_in_float32_whatever_the_precision_around_them(
    dtype: torch.dtype, is_training: bool
) -> None:
    model = make_model("wav2vec2-layer").train(is_training)
    with torch.no_grad():
        # The classes are so close to one another that eight bits cannot tell most of them apart.
        model.classifier.out_proj.weight *= 1e-3
        model.classifier.out_proj.bias.fill_(3.0)
    values, mask = pad(make_utterances(*range(4_000, 8_000, 500)))
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    with torch.autocast("cpu", dtype=dtype):
        said = model(values, mask, labels=labels)
    dense, out_proj = model.classifier.dense, model.classifier.out_proj
    assert torch.equal(said.logits, out_proj(torch.tanh(dense(said.pooled))))
    assert torch.equal(said.loss, functional.cross_entropy(said.logits, labels))
    assert (said.logits != said.logits.to(dtype).float()).any(dim=1).all()
    assert count_shared_first_places(said.logits) == 0
    assert count_shared_first_places(said.logits.to(dtype)) > 0
    if is_training:
        said.loss.backward()
        assert all(weight.grad.dtype == torch.float32 for weight in model.classifier.parameters())


def count_shared_first_places(logits: Tensor) -> int:
    first, second = logits.topk(2, dim=1).values.T
    return int((first == second).sum())


def test_a_head_whose_weights_are_rounded_computes_in_float32_with_them() -> None:
    model = make_model("wav2vec2-layer")
    pooled = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    rounded = ClassificationHead(32, len(CLASSES), dropout=0.0).eval()
    rounded.load_state_dict({name: weight.bfloat16().float() for name, weight in model.classifier.state_dict().items()})
    assert torch.equal(model.classifier.bfloat16()(pooled), rounded(pooled))


def test_an_unknown_pooling_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown pooling 'men': expected one of mean \\(nearest\\), sum, max"):
        pool_frames(torch.zeros(1, 2, 3), (2,), "men")


@pytest.mark.parametrize("variant", ["wav2vec2-layer-stable", "hubert-group", "wavlm-layer", "data2vec-audio"])
def test_a_saved_model_comes_back_as_it_was(variant: str, tmp_path: Path) -> None:
    model = make_model(variant, pooling="max")
    values, mask = pad(make_utterances(4_000, 6_000))
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, SpeechClassifier)
    assert not again.training
    assert again.config.classes == CLASSES
    assert again.config.pooling == "max"
    assert again.config.backbone_config.to_dict() == model.config.backbone_config.to_dict()
    assert compute_model_digest(again) == compute_model_digest(model)
    with torch.inference_mode():
        torch.testing.assert_close(again(values, mask).logits, model(values, mask).logits)


def test_the_configuration_says_what_is_not_the_default() -> None:
    backbone = Wav2Vec2Config(hidden_size=32, num_attention_heads=4, final_dropout=0.25, add_adapter=True)
    config = build_config(backbone, ["sad", "happy"], pooling="sum", backbone_key="mine", origin={"init": "random"})
    again = SpeechClassifierConfig.from_dict(config.to_dict())
    assert again.classes == ("sad", "happy")
    assert again.label2id == {"sad": 0, "happy": 1}
    assert (again.pooling, again.head_dropout, again.backbone_key) == ("sum", 0.25, "mine")
    assert again.origin == {"init": "random"}
    assert again.backbone_config.hidden_size == 32
    assert not again.backbone_config.add_adapter


def test_training_masks_batches_too_short_for_a_mask() -> None:
    # 4,000 samples are 12 frames; a mask is 20 frames long.
    model = make_model("unispeech-layer", mask_time_prob=0.3, mask_time_length=20).train()
    (samples,) = make_utterances(4_000)
    said = model(samples[None], labels=torch.tensor([1]))
    said.loss.backward()
    assert torch.isfinite(said.pooled).all()


def test_a_few_steps_of_training_lower_the_loss() -> None:
    model = make_model("hubert-group").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    values, mask = pad(make_utterances(4_000, 6_000, 5_000))
    losses = []
    for _ in range(12):
        loss = model(values, attention_mask=mask, labels=torch.tensor([0, 1, 2])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_every_weight_learns() -> None:
    for variant in ("wav2vec2-group", "data2vec-audio", "hubert-batch"):
        model = make_model(variant).train()
        values, mask = pad(make_utterances(4_000, 6_000))
        model(values, attention_mask=mask, labels=torch.tensor([0, 1])).loss.backward()
        assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_the_digest_is_that_of_names_types_shapes_and_bytes() -> None:
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0]]))
        model.bias.zero_()
    expected = hashlib.sha256()
    for header, numbers in ((b"bias\0float32\0(1,)\0", [0.0]), (b"weight\0float32\0(1, 2)\0", [1.0, 2.0])):
        hashed = hashlib.sha256(torch.tensor(numbers).numpy().tobytes()).digest()
        expected.update(len(header).to_bytes(4, "little") + header + hashed)
    assert compute_model_digest(model) == expected.hexdigest()


def test_the_digest_of_many_large_and_small_weights_is_that_of_one_after_the_other() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(*(torch.nn.Linear(100, 1 + 20 * (layer % 4)) for layer in range(40)))
    expected = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        header = f"{name}\0float32\0{tuple(weight.shape)}\0".encode()
        expected.update(len(header).to_bytes(4, "little") + header)
        expected.update(hashlib.sha256(weight.numpy().tobytes()).digest())
    assert compute_model_digest(model) == expected.hexdigest()


def test_the_digest_sees_every_weight_and_no_layout() -> None:
    model = torch.nn.Linear(3, 2)
    digest = compute_model_digest(model)
    with torch.no_grad():
        model.weight.set_(model.weight.T.contiguous().T)
    assert not model.weight.is_contiguous()
    assert compute_model_digest(model) == digest
    with torch.no_grad():
        model.weight[0, 1] += 1e-6
    assert compute_model_digest(model) != digest
    assert compute_model_digest(model.to(torch.bfloat16)) != digest


def test_the_digest_takes_tied_weights_and_scalars() -> None:
    tied = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    tied[1].weight = tied[0].weight
    apart = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    apart.load_state_dict(tied.state_dict())
    assert compute_model_digest(tied) == compute_model_digest(apart)
