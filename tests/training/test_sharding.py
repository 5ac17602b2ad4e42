"""What a model and a configuration have to be for shards, in one process."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import FullyShardedDataParallelPlugin

from ser_store.backbones.loading import build_model
from ser_store.errors import SerstoreError
from ser_store.training.distributed.processes import find_plugin, keep_float32, refuse_sharding
from ser_store.training.preparing import copy_before_encoder, may_leave_out_weights


@pytest.fixture
def model():
    return build_model("tiny-hubert", classes=("a", "b"), init="random").model


def ask(**options):
    """An accelerator that was asked to shard so."""
    return SimpleNamespace(state=SimpleNamespace(fsdp_plugin=FullyShardedDataParallelPlugin(**options)))


@pytest.mark.parametrize(
    ("options", "layerdrop", "message"),
    [
        ({"fsdp_version": 1}, 0, "has fsdp_version 1: expected fsdp_version: 2"),
        (
            {"fsdp_version": 2, "activation_checkpointing": True},
            0,
            "has fsdp_activation_checkpointing, which draws other dropout masks on the way back than on the way forth: "
            "expected `gradient_checkpointing` instead",
        ),
        ({"fsdp_version": 2}, 0.1, "drops layers with probability 0.1, .*: expected none; set `layerdrop` to 0"),
    ],
)
def test_what_cannot_be_trained_sharded_is_refused_with_the_option_to_mend(options, layerdrop, message):
    with pytest.raises(SerstoreError, match=message):
        refuse_sharding(find_plugin(ask(**options)), layerdrop=layerdrop)


def test_a_model_can_be_sharded_without_naming_its_layers(model):
    refuse_sharding(find_plugin(ask(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")), layerdrop=0.0)
    assert model._no_split_modules == {"HubertEncoderLayer"}


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
    compute(copy_before_encoder).backward()


def test_outputs_and_gradients_are_not_rounded_to_bf16():
    accelerator = ask(fsdp_version=2, mixed_precision_policy="bf16")
    accelerator.gradient_state = SimpleNamespace(plugin_kwargs={})
    keep_float32(accelerator)
    policy = accelerator.state.fsdp_plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (torch.bfloat16, torch.float32, None)
    assert accelerator.gradient_state.plugin_kwargs == {"sync_each_batch": True}


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
