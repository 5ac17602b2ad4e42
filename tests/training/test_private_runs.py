"""Runs of all kinds are packed without a word of where anything lay on this machine, and serve elsewhere."""

import shutil

import pytest

from ser_store_h5.store import Store

OWN = "machine-4711"
RECIPE = ("--max-steps", 1, "--save-steps", 1, "--logging-steps", 1, "--accumulation", 1, "--init", "random")


@pytest.fixture(scope="module")
def given(serstore, speech, tmp_path_factory):
    """A packed store, and the folder with all that it was made from, which bears a name found nowhere else."""
    own = tmp_path_factory.mktemp("home") / OWN
    recordings = shutil.copytree(speech, own / "My Recordings")
    store = ("--store", own / "my.store")
    assert serstore("init", "--corpus", "ravdess", "--audio", recordings, "--split", "speaker", *store).code == 0
    first = ("finetune", "--model", "tiny-hubert", "--run", "first", "--checkpoints", own / "kept here", *RECIPE)
    assert serstore(*first, *store).code == 0
    weights = shutil.copytree(own / "kept here" / "checkpoint-1", own / "weights")
    for words in (
        ("finetune", "--model", weights, "--run", "second", *RECIPE[:-2]),
        ("finetune", "--model", "tiny-hubert", "--checkpoint", weights, "--run", "third", *RECIPE[:-2]),
        ("extract", "--model", weights, "--run", "frozen"),
        ("extract", "--model", "mfcc"),
        ("head", "--kind", "lda", "--from", "mfcc", "--keep"),
        ("vote", "first", "second", "--save", "both"),
    ):
        assert serstore(*words, *store).code == 0, words
    assert OWN in (own / "my.store" / "runs" / "second" / "run.json").read_text()
    packed = tmp_path_factory.mktemp("given") / "given.h5"
    assert serstore("pack", packed, *store).code == 0
    return packed, own


def test_no_byte_of_a_pack_says_where_anything_lay(given):
    packed, own = given
    content = packed.read_bytes()
    for said in (OWN, str(own.parent), "My Recordings", "kept here"):
        assert said.encode() not in content
    store = Store(packed)
    assert (store.run("second").details["model"], store.run("third").details["checkpoint"]) == ("weights", "weights")
    assert store.run("frozen").backbone == "weights"


def test_unpacked_it_asks_for_the_recordings_and_goes_on_with_them(given, serstore, speech, tmp_path, monkeypatch):
    packed, own = given
    monkeypatch.chdir(own)  # where "weights" is something else's
    store = ("--store", tmp_path / "again.store")
    assert serstore("unpack", packed, *store).code == 0
    for words in (
        ("extract", "--model", "mfcc", "--run", "again"),
        ("finetune", "--model", "tiny-hubert", "--run", "fourth", *RECIPE),
    ):
        asked = serstore(*words, *store)
        assert (asked.code, asked.out) == (1, "")
        assert asked.err.splitlines()[-1] == (
            "serstore: corpus ravdess came in a packed store, which does not say where the recordings are: expected "
            "their folder; name it by --audio"
        )
        assert serstore(*words, "--audio", speech, *store).code == 0
    found = Store(tmp_path / "again.store")
    assert found.pooled("again").tobytes() == found.pooled("mfcc").tobytes()
    assert serstore("audit", "--audio", speech, *store).code == 0
    lost = serstore("extract", "--run", "first", "--audio", speech, *store)
    assert lost.err.startswith("serstore: run first has no checkpoint left: expected one in ")
    assert serstore("merge", packed, "--store", own / "my.store").code == 0
