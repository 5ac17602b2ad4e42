"""The store of real models that comes with the package: small, whole, and with the figures that the README prints."""

import ser_store as ss
from ser_store.reproduction.published import SAMPLES
from ser_store_h5.integrity.verify import verify_store


def test_it_is_small_and_whole():
    assert (SAMPLES / "whisper_base.h5").stat().st_size < 2_000_000
    assert verify_store(ss.open_example("whisper-base")).ok


def test_its_figures_are_those_that_are_printed():
    store = ss.open_example("whisper-base")
    said = ss.evaluate(store, ["whisper-base-ft", "whisper-base-fts"], on="all", split="emobox").to_json()
    assert [one["correct"] for one in said["members"]] == [1113, 1232]
    assert [one["n"] for one in said["members"][0]["folds"]] == [240] * 6
    assert "standardised by speaker" in " ".join(said["members"][1]["cautions"])
    together = "whisper-base-fts+whisper-base-pool-speeds-by-speaker"
    assert ss.evaluate(store, together, on="all", split="emobox", rule="soft-log").records()[0]["correct"] == 1264
    heads = [f"whisper-base-{head}-speeds-by-speaker-paper" for head in ("l1-lda", "l2-logreg", "l2-svm")]
    five = "+".join(["paper-five-layers@504", "paper-five-layers@684", *heads])
    assert ss.evaluate(store, five, split="paper", rule="soft-log").records()[0]["correct"] == 279
    assert store.corpus.paths is None
    assert len(store.steps("whisper-base-ft")) == 8
