"""What training and extraction take, in small: real runs of tiny presets, whose figures must fit together."""

import json
from statistics import median

import pytest

from measuring.extracting import compare_extraction
from measuring.plan import PUBLISHED
from measuring.running import compare_runtimes
from measuring.training_tables import print_rates, print_runtimes
from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe


def test_a_recipe_is_extrapolated_from_steps_that_were_run(speech, tmp_path, capsys):
    compared = compare_runtimes(["tiny-wav2vec2", "mfcc"], audio=speech, steps=5, with_notebook=True, folder=tmp_path)
    (runtime,) = compared.runtimes
    assert list(compared.problems) == ["mfcc"]
    assert (compared.n_train, compared.n_evaluated, compared.upsampled) == (38, 10, 48)
    assert min(runtime.evaluation_seconds, runtime.saving_seconds, runtime.peak_bytes, runtime.floor_share) > 0
    # Fifteen evaluations of 288 utterances, where ten were measured.
    steps = 1440 * 8 / runtime.utterances_per_second
    rest = 15 * (28.8 * runtime.evaluation_seconds + runtime.saving_seconds)
    before = runtime.startup_seconds + 1440 * compared.decoding_seconds
    assert runtime.extrapolated["total"] == pytest.approx(before + steps + rest)
    assert runtime.extrapolated["to_selected_step"] is None
    notebook = runtime.notebook
    steps = 1440 * 8 / notebook["utterances_per_second"]
    rest = 15 * (2 * 28.8 * notebook["evaluation_seconds"] + notebook["saving_seconds"])
    assert notebook["extrapolated"]["total"] > steps + rest
    assert (len(runtime.ratios), runtime.ratio) == (4, median(runtime.ratios))
    assert runtime.loss_difference < 1e-2  # by way of 48 kHz
    assert list(tmp_path.iterdir()) == []
    print_runtimes(compared)
    assert "notebook: the published way in fp32" in capsys.readouterr().out
    stated = json.loads(json.dumps(compared.to_json()))
    assert stated["recipe"]["max_steps"] is None
    assert {"machine", "versions", "weights", "plan", "matrix_rate_flops"} <= set(stated)


def test_an_optimizer_step_in_one_pass_is_compared_with_the_published_two(speech, tmp_path):
    one_pass = Recipe(per_device_train_batch_size=8, gradient_accumulation_steps=1)
    compared = compare_runtimes(
        ["tiny-wav2vec2"], audio=speech, steps=3, recipe=one_pass, with_notebook=True, folder=tmp_path
    )
    stated = compared.to_json()
    (runtime,) = stated["runtimes"]
    assert stated["problems"] == {}
    assert (stated["recipe"]["per_device_train_batch_size"], stated["recipe"]["gradient_accumulation_steps"]) == (8, 1)
    assert (
        stated["notebook_recipe"]["per_device_train_batch_size"],
        stated["notebook_recipe"]["gradient_accumulation_steps"],
    ) == (4, 2)
    assert runtime["ratio"] > 0
    assert runtime["loss_difference"] is None  # dropout is drawn for other passes


def test_another_number_of_utterances_in_a_step_is_not_compared(speech):
    with pytest.raises(SerstoreError, match=r"batches of 4 accumulated 4 times cannot be compared .* expected 8 utter"):
        compare_runtimes(
            ["tiny-hubert"], audio=speech, recipe=Recipe(gradient_accumulation_steps=4), with_notebook=True
        )


def test_the_plan_is_the_published_training():
    assert (PUBLISHED.steps, PUBLISHED.batch, PUBLISHED.count_evaluations(1440)) == (1440, 8, 15)
    assert PUBLISHED.count_evaluations(1100) == 11


def test_too_few_steps_cannot_be_timed():
    with pytest.raises(SerstoreError, match="2 steps cannot be timed: expected at least 3"):
        compare_runtimes(["tiny-hubert"], steps=24, full_size_steps=2)


def test_every_recording_is_represented_once(speech, tmp_path, capsys):
    compared = compare_extraction(["mfcc", "tiny-hubert"], audio=speech, folder=tmp_path)
    assert [(rate.model, rate.utterances) for rate in compared.rates] == [("mfcc", 48), ("tiny-hubert", 48)]
    assert all(rate.per_second == rate.utterances / rate.seconds > 0 for rate in compared.rates)
    assert list(tmp_path.iterdir()) == []
    print_rates(compared)
    assert "tiny-hubert" in capsys.readouterr().out
