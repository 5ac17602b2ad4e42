"""Two trainings by turns: neither notices the other, and what is not the same training is not compared."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from measuring.flops import count_flops
from measuring.measured import compare
from measuring.notebook import ORIGINAL_RATE, find_originals
from measuring.step_clock import Batch, Stretch, Way
from measuring.timing import (
    compare_losses,
    count_flops_per_utterance,
    refuse_other_batches,
    refuse_other_utterances,
)
from measuring.training_corpus import scratch_store
from measuring.turns import AbandonedError, Turns
from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe

CLASSES = tuple("abcdefgh")


def make_way(*seconds, losses=(2.0, 1.9), samples=16_000, labels=(0, 1, 2, 3, 4, 5, 6, 7)):
    batches = (Batch(4, samples, 1), Batch(4, samples, 1))
    return Way(tuple(Stretch(one, batches, labels) for one in seconds), losses, 1.0, 1.0, 1.0)


def test_each_of_two_threads_draws_the_numbers_that_it_would_draw_alone():
    def draw(place, turns):
        turns.begin(place)
        torch.manual_seed(place)
        drawn = []
        for _ in range(3):
            drawn.append(torch.rand(2).tolist())
            turns.pass_on(place)
        turns.leave(place)
        return drawn

    turns = Turns(2)
    with torch.random.fork_rng(), ThreadPoolExecutor(2) as threads:
        together = [future.result() for future in [threads.submit(draw, place, turns) for place in (0, 1)]]
        for place in (0, 1):
            torch.manual_seed(place)
            assert together[place] == [torch.rand(2).tolist() for _ in range(3)]


def test_who_waits_for_a_thread_that_has_given_up_is_told():
    turns = Turns(2)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(turns.begin, 1)
        turns.abandon()
        with pytest.raises(AbandonedError):
            waiting.result(600)


def test_the_first_stretch_warms_up_and_counts_for_nothing():
    ours, notebook = make_way(9.0, 2.0, 4.0, 2.0), make_way(1.0, 4.0, 4.0, 6.0)
    assert compare(ours, notebook) == (2.0, 1.0, 3.0)
    assert ours.utterances_per_second == 4.0


def test_other_batches_are_refused():
    with pytest.raises(SerstoreError, match=r"x was trained on other batches .* \(4, 16000\) and \(4, 16001\)"):
        refuse_other_batches("x", make_way(1.0), make_way(1.0, samples=16_001))
    with pytest.raises(SerstoreError, match="the first are 2 and 4"):
        refuse_other_batches("x", make_way(1.0), make_way(1.0, 1.0))


def test_other_utterances_are_refused():
    refuse_other_utterances("x", make_way(1.0), make_way(2.0, samples=16_001))
    with pytest.raises(SerstoreError, match=r"x was trained on other utterances .* in stretch 1 of 1: expected"):
        refuse_other_utterances("x", make_way(1.0), make_way(1.0, labels=(1, 0, 2, 3, 4, 5, 6, 7)))


@pytest.mark.parametrize("loss", [1.8, float("nan")])
def test_other_losses_are_refused(loss):
    ours = make_way(1.0, 1.0)
    assert compare_losses("x", ours, ours, tolerance=1e-3) == 0
    with pytest.raises(SerstoreError, match=r"the training losses of x are up to .* off those of the published way"):
        compare_losses("x", ours, replace(ours, losses=(2.0, loss)), tolerance=1e-3)


def test_operations_are_those_of_the_batches_as_they_were_padded_without_the_layers_that_were_dropped():
    from ser_store.backbones.model import build_config
    from ser_store.backbones.source import find_source

    config = build_config(find_source("tiny-wav2vec2", init="random", checkpoint=None).config, CLASSES, pooling="mean")
    layers = config.backbone_config.num_hidden_layers
    lengths = (16_000, 20_800, 30_400, 48_000)
    stretch = Stretch(1.0, tuple(Batch(2, samples, layers) for samples in lengths), (0,) * 8)
    counted = count_flops_per_utterance(CLASSES, "tiny-wav2vec2", Recipe(), [stretch])
    exact = [count_flops(config, Recipe(), samples=samples)[1] for samples in lengths]
    assert counted == pytest.approx(sum(exact) / 4, rel=1e-3)
    without = Stretch(1.0, tuple(Batch(2, samples, layers - 1) for samples in lengths), (0,) * 8)
    assert count_flops_per_utterance(CLASSES, "tiny-wav2vec2", Recipe(), [without]) < 0.95 * counted


def test_originals_are_taken_as_they_are(ravdess_48k, tmp_path):
    import soundfile

    with scratch_store(ravdess_48k, folder=tmp_path) as store:
        originals = find_originals(store, tmp_path / "originals")
    assert originals.upsampled == 0
    assert {soundfile.info(path).samplerate for path in originals.paths} == {ORIGINAL_RATE}
    assert all(ravdess_48k in path.parents for path in originals.paths)
