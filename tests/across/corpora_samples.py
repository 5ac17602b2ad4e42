"""Small stores of different corpora, with representations of one model."""

import numpy as np

import ser_store as ss
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

CENTRES = np.random.default_rng(1).normal(size=(5, 6)) * 2
NAMES = ("angry", "calm", "happy", "sad", "tense")


def make_store(
    path,
    classes,
    *,
    seed,
    n=120,
    prefix="",
    rename=None,
    speakers=6,
    digest="one",
    splits=None,
    permuted=False,
    layers=(),
    audio=False,
):
    """``n`` utterances of the classes named, whose representations lie around the centre of each class."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(classes), size=n)
    labels = np.array(classes)[drawn]
    ids = [f"{prefix}{place:03}" for place in range(n)]
    spoken = [f"{prefix}s{place % speakers}" for place in range(n)]
    told = [(rename or {}).get(one, one) for one in labels]
    store = ss.Store.create(path, ids=ids, labels=told, speakers=spoken, splits=splits and splits(n))
    codes = np.array([NAMES.index(one) for one in labels])
    if permuted:
        codes = rng.permutation(codes)
    pooled = (CENTRES[codes] + rng.normal(size=(n, 6)) * 1.5).astype(np.float32)
    record = RunRecord("feat", "frozen", "mine", details={KEY: Fitted.on_nothing(n).to_json()})
    store.add_run(record)
    by_layer = {number: (pooled + number).astype(np.float32) for number in layers}
    rows = np.arange(n, dtype=np.int32)
    held = {"layers": by_layer} if layers else {"pooled": pooled}
    provenance = {"model_digest": digest, "layers": list(layers)} if layers else {"model_digest": digest}
    store.write_member(Member("feat", 0, rows, provenance=provenance, **held))
    return store
