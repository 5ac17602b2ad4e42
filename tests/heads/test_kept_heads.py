"""Heads that are kept as they were fitted, and applied to other stores."""

import numpy as np
import pytest

import ser_store as ss
from ser_store.heads.classifiers import HEADS
from ser_store.heads.kept_heads import UNKEPT
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

N = 120


def make_store(path, *, classes=("a", "b", "c"), shift=0.0, digest="one"):
    """Six speakers of twenty utterances; the same representations but for ``shift``, whatever the classes' order."""
    rng = np.random.default_rng(7)
    labels = np.array(("a", "b", "c"))[np.arange(N) // 6 % 3]
    ids = [f"u{place:03}" for place in range(N)]
    speakers = [f"s{place % 6}" for place in range(N)]
    store = ss.Store.create(path, ids=ids, labels=labels, classes=classes, speakers=speakers)
    store.add_run(RunRecord("frozen", "frozen", "mfcc"))
    pooled = (rng.normal(size=(N, 5)) + 1.5 * np.eye(5)[np.arange(N) // 6 % 3] + shift).astype(np.float32)
    rows, provenance = np.arange(N, dtype=np.int32), {"model_digest": digest}
    store.write_member(Member("frozen", 0, rows, pooled=pooled, provenance=provenance))
    return store


def drop_classes(store):
    """Give the store a split whose training part is the first four speakers."""
    table = np.where(np.array(store.corpus.speakers) < "s4", "train", "test")
    store.update_corpus(store.corpus.with_split("apart", table))
    return store


@pytest.mark.parametrize("kind", [kind for kind in HEADS if kind not in UNKEPT])
@pytest.mark.parametrize("normalise", ["train", "speaker"])
def test_a_kept_head_says_in_another_store_what_it_said_where_it_was_fitted(tmp_path, kind, normalise):
    here, there = drop_classes(make_store(tmp_path / "here")), make_store(tmp_path / "there", classes=("c", "a", "b"))
    made = ss.head(here, "frozen", kind=kind, split="apart", normalise=normalise, keep=True)[0].member
    run = made.partition("@")[0]
    assert ss.apply_head(here, run, there, name="again") == "again@0"
    test = here.corpus.rows("test", split="apart")
    place = [there.corpus.classes.index(one) for one in here.corpus.classes]
    np.testing.assert_allclose(there.logits(["again"], test)[0][:, place], here.logits([run], test)[0], atol=1e-5)
    assert there.run("again").details["scores"] == here.run(run).details["scores"]
    assert ss.verify_store(here).ok
    assert ss.verify_store(there).ok


def test_what_the_head_has_learned_from_follows_it_by_id(tmp_path):
    here, there = drop_classes(make_store(tmp_path / "here")), make_store(tmp_path / "there")
    ss.head(here, "frozen", kind="lda", split="apart", keep=True)
    ss.apply_head(here, "frozen-lda", there)
    cautions = ss.evaluate(there, "frozen-lda", on="all").cautions
    assert any("trained on 80 of these 120 utterances" in one for one in cautions)


def test_heads_of_folds_and_of_pools_are_averaged(tmp_path):
    here, there = make_store(tmp_path / "here"), make_store(tmp_path / "there")
    ss.head(here, "frozen", kind=["lda", "logreg"], combine="pool", cv="speaker", folds=3, run="pooled", keep=True)
    ss.apply_head(here, "pooled", there)
    logits = there.logits(["pooled"])[0]
    # Every utterance is known to two of the three heads.
    assert (logits.argmax(axis=1) == there.corpus.labels).mean() > 0.8


def test_what_cannot_be_applied_is_refused_in_one_line(tmp_path):
    here = make_store(tmp_path / "here")
    with pytest.raises(ss.StoreError, match="`keep` with `kind` forest, whose trees cannot be read back safely"):
        ss.head(here, "frozen", kind="forest", cv="speaker", keep=True)
    ss.head(here, "frozen", kind="lda", cv="speaker", run="unkept")
    with pytest.raises(ss.StoreError, match=r"unkept@0 was not kept as it was fitted: .* again with `keep`"):
        ss.apply_head(here, "unkept", make_store(tmp_path / "a"))
    ss.head(here, "frozen", kind="lda", cv="speaker", run="kept", keep=True)
    with pytest.raises(ss.StoreError, match="of other weights than frozen@0"):
        ss.apply_head(here, "kept", make_store(tmp_path / "b", digest="other"))
    other = ss.Store.create(tmp_path / "c", ids=["x", "y"], labels=["a", "d"])
    with pytest.raises(ss.CorpusError, match="has the classes a, d: expected at least two of those of kept, a, b, c"):
        ss.apply_head(here, "kept", other)
    file = here.run_folder("kept") / "checkpoints" / "head-000000.skops"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ss.StoreError, match=r"head-000000\.skops cannot be read"):
        ss.apply_head(here, "kept", make_store(tmp_path / "d"))
