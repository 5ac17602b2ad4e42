import pytest
import torch
from backbone_samples import CLASSES, VARIANTS, make_model, make_utterances, pad, prepare
from torch import Tensor
from transformers import AutoModel

from ser_store.backbones.catalogue import FAMILIES, list_backbones
from ser_store.backbones.families.invariance import (
    LengthAware,
    count_frames,
    count_samples,
    known_lengths,
    make_invariant,
)
from ser_store.backbones.loading import build_model
from ser_store.errors import AudioError

# A quarter of a second, odd lengths that end between frames, and five seconds.
LENGTHS = (4_000, 16_001, 80_000, 23_457)
TINY = [backbone.key for backbone in list_backbones() if backbone.kind == "tiny"]


def differ(found: Tensor, expected: Tensor) -> float:
    """The largest difference of each row, relative to the row's largest value; the worst row."""
    return float(((found - expected).abs().amax(dim=1) / expected.abs().amax(dim=1)).max())


def test_every_family_is_among_the_variants() -> None:
    assert {family for family, _ in VARIANTS.values()} == set(FAMILIES)


@pytest.mark.parametrize("variant", VARIANTS)
def test_batches_of_one_and_of_four_agree(variant: str) -> None:
    model = make_model(variant)
    utterances = prepare(model, make_utterances(*LENGTHS))
    values, mask = pad(utterances)
    with torch.inference_mode():
        together = model(values, attention_mask=mask)
        alone = [model(samples[None], attention_mask=torch.ones(1, len(samples))) for samples in utterances]
    assert differ(together.pooled, torch.cat([one.pooled for one in alone])) < 1e-5
    assert differ(together.logits, torch.cat([one.logits for one in alone])) < 1e-5


@pytest.mark.parametrize("key", TINY)
@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_batches_of_one_and_of_four_agree_for_the_presets(key: str, pooling: str) -> None:
    model = build_model(key, classes=CLASSES, pooling=pooling).model
    utterances = prepare(model, make_utterances(*LENGTHS))
    values, mask = pad(utterances)
    with torch.inference_mode():
        together = model(values, attention_mask=mask)
        alone = [model(samples[None]) for samples in utterances]
    assert differ(together.pooled, torch.cat([one.pooled for one in alone])) < 1e-5


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_stands_in_the_padding_does_not_matter(variant: str) -> None:
    model = make_model(variant)
    utterances = prepare(model, make_utterances(4_000, 9_000))
    values, mask = pad(utterances)
    filled, _ = pad(utterances, with_value=37.0)
    with torch.inference_mode():
        assert differ(model(filled, attention_mask=mask).pooled, model(values, attention_mask=mask).pooled) < 1e-5


# Of Whisper, transformers has thirty seconds only: see test_whisper.py.
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "whisper"])
def test_an_utterance_alone_gives_what_transformers_gives(variant: str) -> None:
    model = make_model(variant)
    plain = AutoModel.from_config(model.config.backbone_config).eval()
    plain.load_state_dict(model.backbone.state_dict())  # strict: no name or shape may differ
    (samples,) = make_utterances(16_001)
    with torch.inference_mode():
        expected = plain(samples[None]).last_hidden_state.mean(dim=1)
        found = model(samples[None]).pooled
    assert differ(found, expected) < 1e-5


# In training, batch norm is meant to look at the batch.
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "hubert-batch"])
def test_gradients_of_a_batch_are_the_mean_of_those_of_its_utterances(variant: str) -> None:
    model = make_model(variant).train()
    utterances = prepare(model, make_utterances(4_000, 9_001))
    labels = torch.tensor([0, 2])
    values, mask = pad(utterances, with_value=5.0)
    together = compute_gradients(model, values, mask, labels)
    alone = [
        compute_gradients(model, samples[None], torch.ones(1, len(samples)), labels[place, None])
        for place, samples in enumerate(utterances)
    ]
    for name, gradient in together.items():
        expected = (alone[0][name] + alone[1][name]) / 2
        assert (gradient - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max())), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_checkpointing_changes_no_gradient(variant: str) -> None:
    model = make_model(variant).train()
    values, mask = pad(prepare(model, make_utterances(4_000, 9_001)))
    labels = torch.tensor([0, 2])
    expected = compute_gradients(model, values, mask, labels)
    getattr(
        model, "activation_checkpointing_enable", model.gradient_checkpointing_enable
    )()  # the older name until 5.22
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    # The next batch is under way before the first one is differentiated, as when gradients are accumulated.
    loss = model(values, attention_mask=mask, labels=labels).loss
    model(*pad(prepare(model, make_utterances(5_000, 5_500))))
    model.zero_grad()
    loss.backward()
    for name, parameter in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


def compute_gradients(model: torch.nn.Module, values: Tensor, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    model(values, attention_mask=mask, labels=labels).loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_batch_norm_learns_from_frames_that_are_not_padding() -> None:
    model = make_model("hubert-batch").train()
    norm = model.backbone.encoder.pos_conv_embed.batch_norm
    seen: list[Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    before = norm.running_mean.clone()
    model(*pad(make_utterances(4_000, 9_001)))
    short, long = count_frames((4_000, 9_001), model.config.backbone_config)
    valid = torch.cat([seen[0][0, :, :short], seen[0][1, :, :long]], dim=1)
    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * valid.mean(dim=1))


def test_making_a_backbone_invariant_twice_is_as_good_as_once() -> None:
    for variant in ("hubert-group", "wavlm-layer", "data2vec-audio", "hubert-batch"):
        model = make_model(variant)
        values, mask = pad(make_utterances(4_000, 9_000))
        with torch.inference_mode():
            once = model(values, attention_mask=mask).pooled
            make_invariant(model.backbone)
            torch.testing.assert_close(model(values, attention_mask=mask).pooled, once)


def test_frames_are_counted_as_the_convolutions_make_them() -> None:
    for variant in ("wav2vec2-layer", "data2vec-audio"):
        model = make_model(variant)
        config = model.config.backbone_config
        for count in (400, 719, 720, 16_001):
            features = model.backbone.feature_extractor(torch.zeros(1, count))
            assert count_frames((count,), config) == (features.shape[2],)
    assert count_samples(1, config) == 400
    assert count_samples(2, config) == 720


def test_lengths_are_forgotten_after_the_batch_even_if_it_failed() -> None:
    model = make_model("hubert-group")
    aware = [module for module in model.modules() if isinstance(module, LengthAware)]
    assert len(aware) == 1
    lengths = known_lengths(model.backbone, [4_000])
    with lengths as frame_counts:
        assert (aware[0].lengths, frame_counts) == ((799,), (12,))
    assert aware[0].lengths is None
    with pytest.raises(RuntimeError):
        model(torch.zeros(1, 4_000, dtype=torch.complex64))
    assert aware[0].lengths is None


def test_an_utterance_shorter_than_a_frame_is_refused() -> None:
    model = make_model("wav2vec2-group")
    message = r"an utterance of 399 samples is shorter than one frame: expected at least 400 samples at 16 kHz; leave"
    with pytest.raises(AudioError, match=message):
        model(*pad(make_utterances(4_000, 399)))
