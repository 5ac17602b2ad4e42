"""transformers serves a saved model with nothing but ``import ser_store`` before or after its own import."""

import subprocess
import sys

import pytest
import torch
from backbone_samples import make_utterances
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

from ser_store.backbones.families.mel import UtteranceMelExtractor
from ser_store.backbones.loading import build_model, load_classifier
from ser_store.errors import AudioError

CLASSES = ("angry", "calm", "happy")
# Each in a fork of a process that has loaded torch alone.
ORDERS = {
    "ours first": "import ser_store; from transformers import pipeline; found = pipeline(*asked).model",
    "after the names": "from transformers import AutoConfig; import ser_store; from transformers import pipeline; "
    "found = pipeline(*asked).model",
    "only the configuration": "import transformers, ser_store; "
    "found = transformers.AutoConfig.from_pretrained(asked[1])",
    "of another model": "import ser_store, transformers.models.auto.modeling_auto; "
    "found = None; assert 'ser_store.backbones.model' not in sys.modules",
}
PROGRAM = """
import os, sys, torch
assert "transformers" not in sys.modules
asked = ("audio-classification", sys.argv[1])
for order in sys.argv[2:]:
    if os.fork() == 0:
        exec(order)
        print(type(found).__module__)
        break
    assert os.wait()[1] == 0, order
"""


def save(folder, model):
    loaded = build_model(model, classes=CLASSES)
    loaded.model.save_pretrained(folder)
    loaded.feature_extractor.save_pretrained(folder)
    return str(folder)


def test_our_models_are_found_whatever_is_imported_first_and_loaded_only_when_a_folder_asks_for_one(tmp_path):
    words = [sys.executable, "-c", PROGRAM, save(tmp_path / "saved", "tiny-wav2vec2"), *ORDERS.values()]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*["ser_store.backbones.model"] * 3, "builtins"]
    assert "not supported" not in done.stderr


@pytest.mark.parametrize("model", ["tiny-wav2vec2", "tiny-hubert", "tiny-wavlm", "tiny-data2vec-audio", "tiny-whisper"])
def test_a_pipeline_says_what_the_model_says_alone_and_in_a_batch(model, tmp_path):
    folder = save(tmp_path / "saved", model)
    loaded = load_classifier(tmp_path / "saved")
    heard = [one.numpy() for one in make_utterances(9_000, 16_123, 4_321)]
    expected = []
    for samples in heard:
        taken = loaded.feature_extractor(samples, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            expected.append(loaded.model(**taken).logits[0].softmax(-1))
    classify = pipeline("audio-classification", folder, top_k=None)
    for size in (1, 3):
        for said, probabilities in zip(classify(heard, batch_size=size), expected, strict=True):
            assert {one["label"] for one in said} == set(CLASSES)
            for one in said:
                assert one["score"] == pytest.approx(float(probabilities[CLASSES.index(one["label"])]), abs=1e-5)


def test_the_auto_classes_load_the_model_and_what_prepares_its_input(tmp_path):
    folder = save(tmp_path / "saved", "tiny-whisper")
    model = AutoModelForAudioClassification.from_pretrained(folder)
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert type(extractor) is UtteranceMelExtractor
    short, long = (one.numpy() for one in make_utterances(3_200, 8_000))
    batch = extractor([short, long], sampling_rate=16_000, return_tensors="pt")
    assert batch["input_values"].shape == (2, 50, 80)
    assert batch["attention_mask"].sum(dim=1).tolist() == [20, 50]
    alone = extractor(short, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        together = model.eval()(**batch).logits
        assert torch.allclose(together[0], model(**alone).logits[0], atol=1e-5)
    with pytest.raises(AudioError, match="samples at 8000 Hz: expected 16000 Hz"):
        extractor(short, sampling_rate=8_000)
