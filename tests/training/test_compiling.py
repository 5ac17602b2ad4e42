"""Compiled layers give the same numbers, and are compiled once for all lengths: not once for each."""

import pytest
import torch
from backbone_samples import make_model, make_utterances, pad, prepare
from torch._dynamo.utils import counters

from ser_store.errors import SerstoreError
from ser_store.training.preparing import compile_layers

# torch's own, while it traces.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

# The fourth has no padding.
BATCHES = ((9000, 4000, 7000), (5000, 8000, 3000), (6000, 6500), (7000, 7000), (3000, 9500, 4000, 5000))


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compute(model, batches=BATCHES):
    """Losses, gradient norms and logits over batches of other sizes and lengths each, in training and in evaluation."""
    said = []
    for seed, lengths in enumerate(batches):
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
    if variant == "whisper":
        compute(model, [(6000,), (8000,)])
        assert counters["stats"]["unique_graphs"] == 4, "one utterance alone takes another graph of each"


def test_the_layers_of_wavlm_take_twice_as_many_and_none_is_given_up():
    model, expected = (make_model("wavlm-layer", num_hidden_layers=3) for _ in range(2))
    compile_layers(model, backend="eager")  # as many graphs, in a quarter of the time
    batches = BATCHES[2:4]
    for found, eager in zip(compute(model, batches), compute(expected, batches), strict=True):
        for value, same in zip(found, eager, strict=True):
            torch.testing.assert_close(value, same, rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 2 * 2
    assert counters["frames"]["ok"] == counters["frames"]["total"]


@pytest.mark.parametrize("variant", ["wav2vec2-layer", "whisper"])
def test_compiled_layers_see_a_mask_and_sixteens_of_frames(variant):
    model, seen = make_model(variant), []
    compile_layers(model, backend="eager")

    def note(layer, arguments, named):
        mask = named["attention_mask"] if "attention_mask" in named else arguments[1]
        seen.append((arguments[0].shape[1] % 16, mask is not None))

    for layer in model.backbone.encoder.layers:
        layer._compiled_call_impl = None
        layer.register_forward_pre_hook(note, with_kwargs=True)
    compute(model)
    assert set(seen) == {(0, True)}


def test_want_of_a_compiler_is_said_before_training(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        SerstoreError, match=r"^`torch_compile` found no C\+\+ compiler: expected one of g\+\+, .* by CXX, or"
    ):
        compile_layers(make_model("wav2vec2-layer"))
