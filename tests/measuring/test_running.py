"""What training and extraction take, in small: real runs of tiny presets, whose figures must fit together."""

import pytest

from ser_store.errors import SerstoreError
from ser_store.measuring.extracting import compare_extraction
from ser_store.measuring.running import Runtime, compare_runtimes


def test_a_recipe_is_extrapolated_from_steps_that_were_run(speech, tmp_path):
    compared = compare_runtimes(["tiny-wav2vec2", "mfcc"], audio=speech, steps=12, with_notebook=True, folder=tmp_path)
    (runtime,) = compared.runtimes
    assert list(compared.problems) == ["mfcc"]
    assert (compared.n_train, compared.n_evaluated) == (38, 10)
    # Ten epochs of ten batches of four, accumulated twice.
    assert (runtime.recipe_steps, runtime.evaluations) == (50, 1)
    assert min(runtime.step_seconds, runtime.evaluation_seconds, runtime.notebook_step_seconds, runtime.peak_bytes) > 0
    assert runtime.published is None
    stated = compared.to_json()
    assert stated["recipe"]["max_steps"] == 12
    assert {"machine", "versions", "weights"} <= set(stated)
    assert list(tmp_path.iterdir()) == []


def test_100_steps_are_with_their_evaluation_and_checkpoint():
    runtime = Runtime("xlsr53", 1, 0.5, 20.0, 5.0, 1440, 15, 1, 2.0, {"total": 4277.0})
    assert runtime.per_100_steps == 75
    assert runtime.total == 1440 * 0.5 + 15 * 25
    assert runtime.ratio == 4


def test_too_few_steps_cannot_be_timed():
    with pytest.raises(SerstoreError, match="11 steps cannot be timed: expected at least 12"):
        compare_runtimes(["tiny-hubert"], steps=11)


def test_every_recording_is_represented_once(speech, tmp_path):
    compared = compare_extraction(["mfcc", "tiny-hubert"], audio=speech, folder=tmp_path)
    assert [(rate.model, rate.utterances) for rate in compared.rates] == [("mfcc", 48), ("tiny-hubert", 48)]
    assert all(rate.per_second == rate.utterances / rate.seconds > 0 for rate in compared.rates)
    assert list(tmp_path.iterdir()) == []


def test_full_size_without_a_gpu_is_refused_in_one_line(serstore):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    outcome = serstore("bench", "runtime", "--full")
    assert outcome.code == 1
    assert outcome.err.startswith("serstore: --full, and torch sees no GPU")
