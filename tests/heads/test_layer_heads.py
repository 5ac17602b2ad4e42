"""A head for each layer of a member; each is a member like any other."""

import numpy as np
import pytest

import ser_store as ss
from ser_store.errors import ExistsError, StoreError
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

N = 90
LAYERS = (0, 3, 12)


@pytest.fixture
def store(tmp_path):
    """A frozen run whose layer 3 tells two classes apart, and whose others are noise; and one without layers."""
    rng, labels = np.random.default_rng(5), np.arange(N) // 3 % 2
    store = ss.Store.create(
        tmp_path / "made.store",
        ids=[f"u{place:03}" for place in range(N)],
        labels=[("a", "b")[label] for label in labels],
        speakers=[f"s{place % 6}" for place in range(N)],
        splits={"apart": np.where(np.arange(N) % 6 < 2, "test", "train").tolist()},
    )
    rows = np.arange(N, dtype=np.int32)
    layers = {n: (rng.normal(size=(N, 5)) + 2 * (n == 3) * labels[:, None]).astype(np.float32) for n in LAYERS}
    for run, held in (("frozen", layers), ("top", {})):
        store.add_run(RunRecord(run, "frozen", "whisper-base", details={"fitted": {"n": N, "models": []}}))
        store.write_member(Member(run, 0, rows, pooled=None if held else layers[12], layers=held))
    return store


def test_of_all_layers_a_head_each_and_they_are_compared_like_members(store, serstore):
    done = serstore("head", "--from", "frozen", "--layer", "all", "--store", store.path, "--json").json
    names = [one["member"] for one in done["heads"]]
    assert names == ["frozen-l0-logreg@0", "frozen-l3-logreg@0", "frozen-l12-logreg@0"]
    accuracy = {one["member"]: one["accuracy"] for one in done["members"]}
    assert max(accuracy, key=accuracy.get) == "frozen-l3-logreg@0"
    assert accuracy["frozen-l3-logreg@0"] > 0.8
    assert store.run("frozen-l3-logreg").details["layer"] == 3
    compared = serstore("compare", *names, "--store", store.path)
    assert compared.code == 0
    assert "frozen-l12-logreg" in compared.out


def test_the_head_of_the_last_layer_says_what_it_says_without_a_number(store):
    ss.head(store, "frozen", kind="lda")
    ss.head(store, "frozen", kind="lda", layer=12)
    np.testing.assert_array_equal(*store.logits(["frozen-lda", "frozen-l12-lda"]))


@pytest.mark.parametrize("layer", [[3, 0], "3,0", "3, 0"])
def test_some_layers_by_their_numbers(layer, store):
    fitted = ss.head(store, "frozen", layer=layer, kind="lda", cv="speaker", folds=3)
    assert [one.member for one in fitted] == ["frozen-l3-lda@0", "frozen-l0-lda@0"]


def test_without_sources_those_with_layers_are_meant(store):
    assert [one.source for one in ss.head(store, layer=3, kind="lda")] == ["frozen@0"]


def test_a_name_of_its_own_belongs_to_one_layer(store):
    ss.head(store, "frozen", layer=3, kind="lda", run="mine")
    with pytest.raises(ExistsError, match=r"run mine is in .*, fitted with layer 3: this one has layer 0; keep both"):
        ss.head(store, "frozen", layer=0, kind="lda", run="mine")
    with pytest.raises(StoreError, match=r"`run` one with 3 layers of frozen: expected one; leave `run` out"):
        ss.head(store, "frozen", layer="all", run="one")


@pytest.mark.parametrize(
    ("source", "layer", "told"),
    [
        ("frozen", 4, "--layer is 4: expected 0, 3, 12 or all, the layers of frozen"),
        ("frozen", "3,x", "--layer is x: expected 0, 3, 12 or all, the layers of frozen"),
        ("top", 12, "--layer is 12, and top was extracted with its last layer alone: leave --layer out, or extract"),
        ("top", "all", "--layer is all, and top was extracted with its last layer alone"),
    ],
)
def test_layers_that_are_not_there_are_refused_before_anything_is_written(source, layer, told, store, serstore):
    before = store.runs()
    refused = serstore("head", "--from", source, "--layer", layer, "--store", store.path)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith(f"serstore: {told}")
    assert store.runs() == before
