import numpy as np
import pytest
from numpy.typing import NDArray

from ser_store.backbones.acoustic import (
    ACOUSTIC_SETTINGS,
    COMPARE_SIZE,
    EGEMAPS_SIZE,
    FEATURE_SETS,
    LOGMEL_SIZE,
    MFCC_SIZE,
    PITCH_WINDOW,
    WINDOW,
    compute_functionals,
    compute_logmel_statistics,
    compute_mfcc_statistics,
)
from ser_store.backbones.catalogue import Backbone, list_backbones
from ser_store.errors import AudioError

ACOUSTIC = [one for one in list_backbones() if one.kind == "acoustic"]


def make_tone(seconds: float, *, pitch: float = 220.0, seed: int = 0) -> NDArray[np.float32]:
    """A tone with a little noise, at 16 kHz."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    noise = np.random.default_rng(seed).normal(scale=0.01, size=len(time))
    return (0.3 * np.sin(2 * np.pi * pitch * time) + noise).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.025, 0.25, 3.7])
def test_an_utterance_of_any_length_gives_240_finite_numbers(seconds: float) -> None:
    statistics = compute_mfcc_statistics(make_tone(seconds))
    assert statistics.shape == (MFCC_SIZE,) == (240,)
    assert statistics.dtype == np.float32
    assert np.isfinite(statistics).all()


def test_the_order_is_means_then_deviations_of_coefficients_deltas_and_accelerations() -> None:
    import torch
    import torchaudio

    samples = make_tone(1.0)
    transform = torchaudio.transforms.MFCC(
        sample_rate=16_000,
        n_mfcc=40,
        log_mels=True,
        melkwargs={"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40},
    )
    coefficients = transform(torch.from_numpy(samples)).numpy()
    # The regression of torchaudio.functional.compute_deltas over two frames on each side, written out.
    padded = np.pad(coefficients, ((0, 0), (2, 2)), mode="edge")
    near, far = padded[:, 3:-1] - padded[:, 1:-3], padded[:, 4:] - padded[:, :-4]
    deltas = (near + 2 * far) / 10
    statistics = compute_mfcc_statistics(samples).astype(np.float64)
    np.testing.assert_allclose(statistics[:40], coefficients.mean(axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(statistics[40:80], deltas.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(statistics[120:160], coefficients.std(axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(statistics[160:200], deltas.std(axis=1), rtol=1e-3, atol=1e-4)


def test_a_louder_recording_differs_in_the_mean_of_the_first_coefficient_alone() -> None:
    quiet = make_tone(1.0)
    difference = compute_mfcc_statistics(2 * quiet) - compute_mfcc_statistics(quiet)
    # Forty mel bands rise by log 4 each, and the orthonormal DCT of a constant is its zeroth coefficient.
    assert difference[0] == pytest.approx(np.log(4) * np.sqrt(40), rel=0.02)
    assert np.abs(np.delete(difference, 0)).max() < 0.5


def test_the_same_samples_give_the_same_numbers() -> None:
    samples = make_tone(0.5)
    np.testing.assert_array_equal(compute_mfcc_statistics(samples), compute_mfcc_statistics(samples.copy()))


def test_the_samples_are_left_as_they_were() -> None:
    samples = make_tone(0.5)
    samples.flags.writeable = False
    before = samples.copy()
    compute_mfcc_statistics(samples)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((4000, 2), np.float32), r"samples of shape \(4000, 2\) have no MFCC: expected one channel"),
        (np.zeros(160, np.float32), r"samples of shape \(160,\) have no MFCC: .* at least 400 samples \(25 ms"),
        (np.full(4000, np.nan, np.float32), "NaN or infinity: expected finite numbers"),
    ],
)
def test_samples_that_cannot_be_used_are_refused(samples: NDArray[np.float32], message: str) -> None:
    with pytest.raises(AudioError, match=message):
        compute_mfcc_statistics(samples)


def test_the_settings_name_what_the_numbers_depend_on() -> None:
    for part in ("mfcc v1", "n_mfcc 40", "n_mels 40", "n_fft 512", "window 400", "hop 160", "16000 Hz"):
        assert part in ACOUSTIC_SETTINGS
    assert "\n" not in ACOUSTIC_SETTINGS


def test_the_catalogue_lists_every_feature_set_with_its_size() -> None:
    listed = {one.key: one.hidden_size for one in ACOUSTIC}
    assert listed == {"mfcc": MFCC_SIZE, "logmel": LOGMEL_SIZE, "egemaps": EGEMAPS_SIZE, "compare": COMPARE_SIZE}
    assert listed.keys() == FEATURE_SETS.keys()


@pytest.mark.parametrize("backbone", ACOUSTIC, ids=lambda one: one.key)
def test_a_feature_set_gives_as_many_numbers_as_the_catalogue_says(backbone: Backbone) -> None:
    pytest.importorskip(backbone.architecture)
    assert FEATURE_SETS[backbone.key].compute(make_tone(0.5)).shape == (backbone.hidden_size,)


def test_log_mel_bands_are_those_of_whispers_filters_by_hand() -> None:
    """Whisper's own filters are the same triangles, each divided by its width."""
    from transformers.audio_utils import mel_filter_bank

    samples = make_tone(1.0)
    filters = mel_filter_bank(257, 80, 0.0, 8_000.0, 16_000, norm=None, mel_scale="slaney")
    padded = np.pad(samples.astype(np.float64), 256, mode="reflect")
    window = np.zeros(512)
    window[56:456] = np.hanning(401)[:-1]
    frames = np.stack([padded[start : start + 512] * window for start in range(0, len(samples) + 1, 160)])
    bands = np.log(np.abs(np.fft.rfft(frames)) ** 2 @ filters + 1e-6)
    expected = np.concatenate([bands.mean(axis=0), bands.std(axis=0)])
    np.testing.assert_allclose(compute_logmel_statistics(samples), expected, rtol=1e-3, atol=1e-3)


def test_every_log_mel_band_hears_something_and_a_louder_recording_moves_all_means_alike() -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=16_000).astype(np.float32)
    difference = compute_logmel_statistics(2 * noise) - compute_logmel_statistics(noise)
    np.testing.assert_allclose(difference[:80], np.log(4), atol=1e-3)
    np.testing.assert_allclose(difference[80:], 0, atol=1e-3)


@pytest.mark.parametrize("backbone", ACOUSTIC, ids=lambda one: one.key)
def test_samples_without_a_window_are_refused(backbone: Backbone) -> None:
    least = PITCH_WINDOW if backbone.architecture == "opensmile" else WINDOW
    message = rf"samples of shape \({least - 1},\) have no .*: expected one channel of at least {least} "
    with pytest.raises(AudioError, match=message):
        FEATURE_SETS[backbone.key].compute(np.zeros(least - 1, dtype=np.float32))


@pytest.mark.parametrize("name", ["eGeMAPSv02", "ComParE_2016"])
def test_functionals_are_those_of_opensmile_itself(name: str) -> None:
    opensmile = pytest.importorskip("opensmile")
    samples = make_tone(0.8)
    expected = opensmile.Smile(feature_set=name).process_signal(samples, 16_000).to_numpy()[0]
    np.testing.assert_array_equal(compute_functionals(samples, name), expected)


def test_functionals_of_the_shortest_utterance_and_of_silence_are_finite() -> None:
    pytest.importorskip("opensmile")
    for samples in (make_tone(PITCH_WINDOW / 16_000), np.zeros(8_000, dtype=np.float32)):
        assert np.isfinite(compute_functionals(samples, "eGeMAPSv02")).all()


def test_what_is_at_full_scale_keeps_its_sign_in_sixteen_bits() -> None:
    """Resampling goes a little beyond ±1."""
    pytest.importorskip("opensmile")
    samples = np.clip(4 * make_tone(0.5), -1, 1)
    beyond = np.where(np.abs(samples) == 1, 1.2 * samples, samples).astype(np.float32)
    functionals = compute_functionals(beyond, "eGeMAPSv02")
    just_below = np.clip(samples, -1, 32767 / 32768).astype(np.float32)
    np.testing.assert_array_equal(functionals, compute_functionals(just_below, "eGeMAPSv02"))
