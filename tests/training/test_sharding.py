"""What a model and a configuration have to be for shards, in one process."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import FullyShardedDataParallelPlugin

from ser_store.backbones.loading import build_model
from ser_store.backbones.model import SpeechClassifier
from ser_store.errors import SerstoreError
from ser_store.training.distributed.fsdp import (
    find_plugin,
    fit_for_shards,
    keep_precision,
    may_leave_out_weights,
    refuse_configuration,
)


@pytest.fixture
def model():
    return build_model("tiny-hubert", classes=("a", "b"), init="random").model


def ask(**options):
    """An accelerator that was asked to shard so."""
    return SimpleNamespace(state=SimpleNamespace(fsdp_plugin=FullyShardedDataParallelPlugin(**options)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fsdp_version": 1}, "has fsdp_version 1: expected fsdp_version: 2"),
        (
            {"fsdp_version": 2, "activation_checkpointing": True},
            "has fsdp_activation_checkpointing, which draws other dropout masks on the way back than on the way forth: "
            "expected --gradient-checkpointing instead",
        ),
        (
            {
                "fsdp_version": 2,
                "auto_wrap_policy": "transformer_based_wrap",
                "transformer_cls_names_to_wrap": ["LlamaDecoderLayer"],
            },
            "has fsdp_transformer_layer_cls_to_wrap LlamaDecoderLayer, and the model has no such layer: expected "
            "HubertEncoderLayer, which is meant where the option is left out",
        ),
    ],
)
def test_what_cannot_be_trained_sharded_is_refused_with_the_option_to_mend(options, message, model):
    with pytest.raises(SerstoreError, match=message):
        refuse_configuration(find_plugin(ask(**options)), model)


def test_a_model_can_be_sharded_without_naming_its_layers(model):
    refuse_configuration(find_plugin(ask(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")), model)
    assert model._no_split_modules == {"HubertEncoderLayer"}


@pytest.mark.parametrize("name", ["tiny-hubert", "tiny-unispeech", "tiny-wavlm", "tiny-whisper"])
def test_a_layer_that_is_passed_over_is_as_one_that_is_skipped(name):
    def compute(fit):
        config = build_model(name, classes=("a", "b"), init="random").model.config
        config.backbone_config.num_hidden_layers, config.backbone_config.layerdrop = 3, 1.0
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = SpeechClassifier(config).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        fit(model)
        loss = model(audio, labels=torch.tensor([0, 1])).loss
        loss.backward()
        learning = ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
        return loss.item(), {name: weight.grad for name, weight in learning}

    shape = (2, 50, 80) if name == "tiny-whisper" else (2, 8000)
    audio = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    loss, gradients = compute(fit_for_shards)
    expected, others = compute(lambda model: None)
    assert loss == expected
    assert any(gradient is None for gradient in others.values())
    for weight, gradient in gradients.items():
        other = torch.zeros_like(gradient) if others[weight] is None else others[weight]
        torch.testing.assert_close(gradient, other, msg=weight)


class ReturnedAsTheyAre(torch.autograd.Function):
    """As torch takes the inputs of what it shards through a function of its own, to hear of their gradients."""

    @staticmethod
    def forward(context, *inputs):
        return inputs

    @staticmethod
    def backward(context, *gradients):
        return gradients


def test_padding_is_not_written_into_what_torch_gives_a_sharded_encoder():
    def give(encoder, arguments):
        return ReturnedAsTheyAre.apply(*arguments)

    def compute(fit):
        model = build_model("tiny-unispeech", classes=("a", "b"), init="random").model
        fit(model)
        model.backbone.encoder.register_forward_pre_hook(give, prepend=True)
        return model(audio, attention_mask=mask, labels=torch.tensor([0, 1])).loss

    audio, mask = torch.randn(2, 8000, generator=torch.Generator().manual_seed(5)), torch.ones(2, 8000).long()
    mask[1, 6000:] = 0
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        compute(lambda model: None)
    compute(fit_for_shards).backward()


def test_outputs_and_gradients_are_not_rounded_to_bf16():
    accelerator = ask(fsdp_version=2, mixed_precision_policy="bf16")
    keep_precision(accelerator)
    policy = accelerator.state.fsdp_plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (torch.bfloat16, torch.float32, None)


def test_weights_are_looked_for_only_where_one_may_be_left_out(model):
    config = model.backbone.config
    assert not may_leave_out_weights(model)
    config.layerdrop = 0.1
    assert may_leave_out_weights(model)
    config.layerdrop, model.backbone.masked_spec_embed = 0.0, torch.nn.Parameter(torch.zeros(config.hidden_size))
    config.mask_time_prob, config.apply_spec_augment = 0.0, True
    assert may_leave_out_weights(model)
    config.mask_time_prob = 0.1
    assert not may_leave_out_weights(model)
