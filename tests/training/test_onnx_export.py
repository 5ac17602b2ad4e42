"""An exported model says in onnxruntime what it says in torch, of recordings as they are read."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from backbone_samples import CLASSES, make_model

import ser_store as ss
from ser_store.audio.decode import load_speech
from ser_store.backbones.checkpoint import load_feature_extractor
from ser_store.backbones.loading import load_classifier
from ser_store.errors import ExistsError, ModelError, StoreError
from ser_store.hub import onnx_export
from ser_store.hub.waveforms import WaveformClassifier
from ser_store.inference.features import extract_features

onnxruntime = pytest.importorskip("onnxruntime")
RECIPE = ("--max-steps", 2, "--eval-steps", 1, "--save-steps", 1, "--logging-steps", 1, "--accumulation", 1)
# Seven convolutions once, both norms of theirs, and what each family has of its own: WavLM's second layer takes the
# positions of the first. The run further down is of Whisper.
FEW = {"conv_dim": (16,) * 3, "conv_kernel": (10, 8, 8), "conv_stride": (5, 8, 8)}
ONE = {**FEW, "num_hidden_layers": 1}
VARIANTS = [
    ("wav2vec2-layer-stable", "mean", {}),
    ("hubert-group", "mean", ONE),
    ("hubert-batch", "max", ONE),
    ("unispeech-layer", "sum", ONE),
    ("wavlm-layer", "mean", FEW),
    ("data2vec-audio", "mean", ONE),
]


def run(path, *waveforms):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"waveform": np.stack(waveforms)})[0], session.get_modelmeta().custom_metadata_map


@pytest.fixture
def recordings(ravdess_16k):
    """Of three actors: calm, loud, and the shortest there is."""
    names = ["01/03-01-02-01-01-01-01", "12/03-01-05-02-02-01-12", "24/03-01-08-01-01-02-24"]
    return [load_speech(next(ravdess_16k.glob(f"Actor_{name}.*"))) for name in names]


@pytest.fixture(scope="module")
def trained(serstore, empty, tmp_path_factory):
    path = shutil.copytree(empty, tmp_path_factory.mktemp("trained") / "speech.store")
    assert serstore("finetune", "--model", "tiny-whisper", *RECIPE, "--store", path).code == 0
    assert serstore("extract", "--model", "mfcc", "--store", path).code == 0
    return ss.Store(path)


@pytest.fixture
def traced_once(monkeypatch):
    """The run is traced once for all tests of it: that takes most of an export. Each step has weights of its own."""

    def trace(classifier, **options):
        weights = tuple(float(one.double().sum()) for one in classifier.state_dict().values())
        if weights not in PROGRAMS:
            PROGRAMS[weights] = TRACE(classifier, **options)
        return PROGRAMS[weights]

    monkeypatch.setattr(onnx_export, "_trace", trace)


PROGRAMS, TRACE = {}, onnx_export._trace


def save(folder, variant, pooling, **sizes):
    model = make_model(variant, pooling=pooling, **sizes)
    model.save_pretrained(folder)
    load_feature_extractor(None, model.backbone.config).save_pretrained(folder)
    return load_classifier(folder)


def test_whisper_pools_the_highest_too(recordings, tmp_path):
    loaded = save(tmp_path / "saved", "whisper", "max")
    values = torch.from_numpy(extract_features(recordings[0], loaded.feature_extractor))
    with torch.inference_mode():
        expected = loaded.model(values[None]).logits.numpy()
        found = WaveformClassifier(loaded).eval()(torch.from_numpy(recordings[0])[None]).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("variant", "pooling", "sizes"), VARIANTS)
def test_every_family_says_of_real_recordings_what_it_says_in_torch(variant, pooling, sizes, recordings, tmp_path):
    loaded = save(tmp_path / "saved", variant, pooling, **sizes)
    written = ss.export_onnx(tmp_path / "saved", tmp_path / "model.onnx")
    assert written.classes == CLASSES
    for samples in (*recordings, recordings[0][:5_000]):
        values = torch.from_numpy(extract_features(samples, loaded.feature_extractor))
        with torch.inference_mode():
            expected = loaded.model(values[None]).logits.numpy()
        alone, said = run(tmp_path / "model.onnx", samples)
        assert np.abs(alone - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
    together, _ = run(tmp_path / "model.onnx", samples, samples[::-1], 0.5 * samples)
    np.testing.assert_allclose(together[:1], alone, atol=1e-4)
    assert json.loads(said["labels"]) == list(CLASSES)
    assert "max_samples" not in said
    shortest = int(said["min_samples"])
    assert np.isfinite(run(tmp_path / "model.onnx", recordings[0][:shortest])[0]).all()


@pytest.mark.usefixtures("traced_once")
def test_a_run_says_what_the_store_has_and_the_file_says_what_it_is(trained, speech, tmp_path, serstore):
    path = tmp_path / "model.onnx"
    done = serstore("export-onnx", "tiny-whisper", "-o", path, "--store", trained.path, "--json").json
    assert (done["model"], done["file"], done["bytes"]) == ("tiny-whisper@2", str(path), path.stat().st_size)
    assert done["difference"] < 1e-4
    rows = trained.corpus.rows("test")[:4]
    for row, expected in zip(rows, trained.logits(["tiny-whisper@2"], rows)[0], strict=True):
        samples = load_speech(speech / str(trained.corpus.paths[row]))
        logits, said = run(path, samples)
        np.testing.assert_allclose(logits[0], expected, atol=1e-4)
    np.testing.assert_allclose(run(path, samples, samples[::-1])[0][:1], logits, atol=1e-4)
    for length in (int(said["min_samples"]), 480_000):
        assert np.isfinite(run(path, np.resize(samples, length))[0]).all()
    with pytest.raises(Exception, match=r"(?i)broadcast|shape|dimension"):  # it has no positions for more
        run(path, np.zeros(480_640, dtype=np.float32))
    assert json.loads(said["labels"]) == list(trained.corpus.classes)
    assert (said["sampling_rate"], said["max_samples"]) == ("16000", "480000")
    assert (said["member"], said["split"]) == ("tiny-whisper@2", "speaker")
    heard = json.loads(said["heard_in_training"])
    learned = trained.corpus.rows("train")
    assert heard == {"utterances": len(learned), "speakers": sorted(set(trained.corpus.speakers[learned].tolist()))}
    figures = json.loads(said["figures"])
    evaluated = ss.evaluate(trained, ["tiny-whisper@2"], on="test").members[0].metrics
    assert (figures["on"], figures["accuracy"]) == ("test", evaluated.accuracy)


@pytest.mark.usefixtures("traced_once")
def test_weights_of_more_than_a_file_takes_lie_beside_it(trained, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "ONE_FILE_BYTES", 0)
    written = ss.export_onnx("tiny-whisper@2", tmp_path / "model.onnx", store=trained)
    names = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert names.keys() == {"model.onnx", "model.onnx.data"}
    assert written.bytes == sum(names.values())
    row = trained.corpus.rows("test")[0]
    logits, _ = run(tmp_path / "model.onnx", load_speech(speech / str(trained.corpus.paths[row])))
    np.testing.assert_allclose(logits[0], trained.logits(["tiny-whisper@2"], [row])[0, 0], atol=1e-4)


@pytest.mark.usefixtures("traced_once")
@pytest.mark.parametrize("size", [0, onnx_export.ONE_FILE_BYTES])
def test_a_file_that_says_anything_else_is_not_written(size, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "ONE_FILE_BYTES", size)
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match=r"^tiny-whisper@2: the logits that onnxruntime gives differ by .*e-0"):
        ss.export_onnx("tiny-whisper", tmp_path / "model.onnx", store=trained)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("traced_once")
def test_what_cannot_be_exported_is_refused_in_one_line(trained, tmp_path, serstore):
    path = tmp_path / "model.onnx"
    assert serstore("head", "--kind", "lda", "--from", "mfcc", "--store", trained.path).code == 0
    for run_name, kind in (("mfcc-lda", "head"), ("mfcc", "frozen")):
        with pytest.raises(ModelError, match=f"^run {run_name} is of kind {kind}: expected a fine-tuned run"):
            ss.export_onnx(run_name, path, store=trained)
    with pytest.raises(ModelError, match=r"^tiny-whisper is no folder and no hub id: expected its store by `store`"):
        ss.export_onnx("tiny-whisper", path)
    with pytest.raises(ModelError, match="has no checkpoint of step 7: there are"):
        ss.export_onnx("tiny-whisper@7", path, store=trained)
    bare = make_model("wav2vec2-layer").backbone
    bare.save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match="holds a bare wav2vec2: expected a classifier saved by fine-tuning"):
        ss.export_onnx(tmp_path / "bare", path)
    assert not path.exists()
    with pytest.raises(StoreError, match=re.escape("could not be written")):
        ss.export_onnx("tiny-whisper", tmp_path / "bare" / "config.json" / "model.onnx", store=trained)
    path.write_text("mine")
    with pytest.raises(ExistsError, match=r"model\.onnx is there already: expected a new file"):
        ss.export_onnx("tiny-whisper", path, store=trained)
    assert path.read_text() == "mine"
