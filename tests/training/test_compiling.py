"""Compiled layers give the same numbers, and are compiled once for all lengths: not once for each."""

import pytest
import torch
from backbone_samples import make_model, make_utterances, pad, prepare
from torch._dynamo.utils import counters

from ser_store.errors import SerstoreError
from ser_store.training.preparing import compile_layers

# torch's own, while it traces.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

BATCHES = ((9000, 4000, 7000), (5000, 8000, 3000), (6000, 6500), (3000, 9500, 4000, 5000), (7777, 4444, 3333))


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compute(model):
    """Losses, gradient norms and logits over batches of other sizes and lengths each, in training and in evaluation."""
    said = []
    for seed, lengths in enumerate(BATCHES):
        values, mask = pad(prepare(model, make_utterances(*lengths, seed=seed)))
        labels = torch.arange(len(lengths)) % 3
        model.train()
        model.zero_grad()
        loss = model(values, attention_mask=mask, labels=labels).loss
        loss.backward()
        norm = torch.nn.utils.get_total_norm([each.grad for each in model.parameters() if each.grad is not None])
        model.eval()
        with torch.inference_mode():
            logits = model(values, attention_mask=mask).logits
        said.append((loss.detach(), norm, logits))
    return said


@pytest.mark.parametrize("variant", ["wav2vec2-layer-stable", "hubert-group", "whisper"])
def test_all_layers_and_lengths_share_one_graph_for_training_and_one_for_evaluation(variant):
    layers = {"encoder_layers" if variant == "whisper" else "num_hidden_layers": 3}
    expected = compute(make_model(variant, **layers))
    model = make_model(variant, **layers)
    names = list(model.state_dict())
    # The graphs and what they are compiled for are the same with this backend, which needs no C++ compiler.
    compile_layers(model, backend="aot_eager")
    for found, eager in zip(compute(model), expected, strict=True):
        for value, same in zip(found, eager, strict=True):
            torch.testing.assert_close(value, same, rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 2
    assert list(model.state_dict()) == names


def test_want_of_a_compiler_is_said_before_training(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        SerstoreError, match=r"^`torch_compile` found no C\+\+ compiler: expected one of g\+\+, .* by CXX, or"
    ):
        compile_layers(make_model("wav2vec2-layer"))
