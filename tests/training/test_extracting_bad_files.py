"""Recordings that cannot be used end an extraction, or are left out and listed."""

import shutil

import numpy as np
import pytest

import ser_store as ss
from ser_store.audio.recordings import resolve_audio
from ser_store_h5.store import Store


@pytest.fixture
def store(empty, tmp_path):
    """A store and its own copy of the recordings, of which one is cut off and one is gone."""
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    shutil.copytree(resolve_audio(store.corpus, None), tmp_path / "recordings")
    damaged, gone = (tmp_path / "recordings" / str(store.corpus.paths[row]) for row in (3, 20))
    shutil.copy(damaged, tmp_path / "whole")
    shutil.copy(gone, tmp_path / "gone")
    damaged.write_bytes(damaged.read_bytes()[:600])
    gone.unlink()
    return store


def extract(serstore, store, model, *words):
    audio = store.path.parent / "recordings"
    return serstore("extract", "--model", model, "--run", "r", "--audio", audio, "--store", store.path, *words)


@pytest.mark.parametrize("model", ["mfcc", "tiny-whisper"])
def test_bad_files_are_left_out_until_they_are_mended(model, store, tmp_path, serstore):
    ids = store.corpus.ids[[3, 20]].tolist()
    failed = extract(serstore, store, model)
    assert (failed.code, failed.err.splitlines()[-1].startswith("serstore: ")) == (1, True)
    assert not store.has_run("r")

    done = extract(serstore, store, model, "--on-bad", "skip")
    assert done.out == f"r@0: 46 utterances computed, 2 left out (the run's record says why): {', '.join(ids)}\n"
    first = store.read_member("r")
    np.testing.assert_array_equal(first.rows, np.setdiff1d(np.arange(48), [3, 20]))
    told = store.run("r").details["left_out"]
    assert list(told) == ids
    assert told[ids[1]].startswith(f"{store.corpus.paths[20]} does not exist")

    again = extract(serstore, store, model, "--on-bad", "skip", "--json")
    assert again.json["members"] == [{"member": "r@0", "computed": 0, "kept": 46, "left_out": told}]
    assert extract(serstore, store, model).code == 1

    shutil.copy(tmp_path / "whole", tmp_path / "recordings" / str(store.corpus.paths[3]))
    assert (
        "1 utterances computed, 46 were there already, 1 left out"
        in extract(serstore, store, model, "--on-bad", "skip").out
    )
    shutil.copy(tmp_path / "gone", tmp_path / "recordings" / str(store.corpus.paths[20]))
    assert extract(serstore, store, model).out == "r@0: 1 utterances computed, 47 were there already\n"
    assert store.run("r").details["left_out"] == {}
    whole = store.read_member("r")
    np.testing.assert_array_equal(whole.rows, np.arange(48))
    np.testing.assert_array_equal(whole.pooled[first.rows], first.pooled)


def test_where_nothing_can_be_used_nothing_is_written(store, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ss.AudioError, match=r"none of the 48 recordings can be used; the first: .* does not exist"):
        ss.extract(store, model="mfcc", audio=tmp_path / "elsewhere", on_bad="skip")
    assert store.runs() == []
    with pytest.raises(ss.UnknownNameError, match="unknown on_bad 'skp': expected one of skip"):
        ss.extract(store, model="mfcc", on_bad="skp")
