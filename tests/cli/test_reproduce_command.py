"""The paper in small: audio to tables with presets that stand for its models, in as many attempts as it takes."""

import pytest

from ser_store_h5.store import Store

OPTIONS = ("--max-steps", 1, "--eval-steps", 1, "--save-steps", 1, "--logging-steps", 1, "--accumulation", 1)
MODELS = ("tiny-wav2vec2", "tiny-hubert", "tiny-unispeech")


def list_times(store):
    return {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}


def test_what_is_done_is_left_alone_and_what_is_missing_is_made(serstore, speech, tmp_path):
    store, empty = tmp_path / "paper.store", tmp_path / "no-weights"
    empty.mkdir()
    words = ("reproduce", "--audio", speech, "--store", store)
    first = serstore(*words, "--models", f"tiny-wav2vec2,{empty},tiny-hubert", *OPTIONS)
    assert first.code == 1
    assert f"$ serstore init --corpus ravdess --audio {speech} --split paper --store {store}" in first.out
    assert f"{empty} could not be trained, see above: the same command goes on from here" in first.err
    assert "2 models make no ensemble of 3" in first.out
    assert Store(store).runs() == ["tiny-hubert", "tiny-wav2vec2"]

    opened = Store(store)
    opened.update_run(opened.run("tiny-hubert").updated(state="interrupted"))
    second = serstore(*words, "--models", ",".join(MODELS), *OPTIONS)
    assert second.code == 0, second.err
    assert "finished already: tiny-wav2vec2" in second.out
    assert "$ serstore finetune --model tiny-hubert --resume" in second.out
    assert "$ serstore steps --run tiny-unispeech --select divergence" in second.out
    assert "$ serstore vote tiny-wav2vec2 tiny-hubert tiny-unispeech --k 3 --all-combos" in second.out
    assert "has no run of w2v2-large, xlsr53" in second.err
    assert {Store(store).run(run).selected.criterion for run in MODELS} == {"divergence"}

    times = list_times(store)
    third = serstore(*words, "--models", ",".join(MODELS), *OPTIONS)
    assert third.code == 0
    assert "$ serstore finetune" not in third.out
    assert "selected already" in third.out
    assert list_times(store) == times

    opened.update_run(opened.run("tiny-hubert").updated(split="speaker"))
    fourth = serstore(*words, "--models", ",".join(MODELS), *OPTIONS)
    assert fourth.code == 1
    assert "run tiny-hubert was begun with `split` speaker: got paper" in fourth.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "tiny-hubrt"), "unknown backbone 'tiny-hubrt'"),
        (("--models", "tiny-hubert,tiny-hubert"), "two models would be trained in the run tiny-hubert"),
    ],
)
def test_names_that_cannot_be_right_are_refused_before_a_store_is_made(serstore, speech, tmp_path, words, message):
    outcome = serstore("reproduce", "--audio", speech, "--store", tmp_path / "paper.store", *words)
    assert outcome.code == 1
    assert message in outcome.err
    assert not (tmp_path / "paper.store").exists()
