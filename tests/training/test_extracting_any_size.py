"""An extraction of any size: written in blocks, gone on with after a kill, shared by processes, to the same member."""

import random
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from training_kills import save_backbone

import ser_store as ss
from ser_store.errors import SerstoreError
from ser_store.extraction import filling
from ser_store_h5 import growing
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.member_file import write_member
from ser_store_h5.store import Store

RUN = "mine-frozen"
OPTIONS = {"layers": "all", "batch_size": 4}


@pytest.fixture(scope="module")
def place(empty, tmp_path_factory):
    """A backbone, and a store with all its layers, extracted in one go. Read only."""
    place = tmp_path_factory.mktemp("whole")
    shutil.copytree(empty, place / "speech.store")
    ss.extract(place / "speech.store", model=str(save_backbone(place / "mine")), **OPTIONS)
    return place


@pytest.fixture
def store(empty, tmp_path):
    return Store(shutil.copytree(empty, tmp_path / "speech.store"))


def read_file(store):
    return store.member_path(RUN, 0).read_bytes()


def blocks_of(store):
    return store.path / "runs" / f".{RUN}@0.blocks.partial"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_kills_at_any_write_the_member_is_that_of_one_go(number, place, store, empty, trainer, tmp_path):
    draw, extract = random.Random(number), partial(trainer, recipe=None, model=place / "mine")
    writes = extract(shutil.copytree(empty, tmp_path / "through.store"))["writes"]
    for _ in range(3):
        moment = {"end_at_write": draw.randrange(1, writes // 3), "signal": number}
        ended = extract(store.path, **moment)
        assert ended["killed"] or ended["problem"] == "KeyboardInterrupt"
        assert verify_store(store).ok
    assert not store.has_run(RUN)
    assert list(blocks_of(store).glob("*.h5"))
    assert extract(store.path)["state"] == "finished"
    assert read_file(store) == read_file(Store(place / "speech.store"))
    assert not blocks_of(store).exists()


def test_what_was_computed_is_not_computed_again_and_one_line_says_so(place, store, serstore, monkeypatch):
    interrupt(store, place, monkeypatch, after=5)
    words = ("--model", place / "mine", "--layers", "all", "--batch-size", 4, "--store", store.path)
    seen = count_pieces(monkeypatch)
    done = serstore("extract", *words)
    assert done.out == f"{RUN}@0: 48 utterances computed\n", done.err
    assert f"serstore: {RUN}@0: 20 of 48 utterances were computed before an interruption\n" in done.err
    assert sum(seen) == 28
    assert read_file(store) == read_file(Store(place / "speech.store"))


def count_pieces(monkeypatch):
    """The utterances of each block that is written from now on."""
    seen, add = [], growing.GrowingMember.add
    monkeypatch.setattr(growing.GrowingMember, "add", lambda self, one: (seen.append(len(one.rows)), add(self, one)))
    return seen


def interrupt(store, place, monkeypatch, *, after, **options):
    """Extract until so many batches are computed."""
    from ser_store.inference import forward

    iter_batches = forward.iter_batches

    def ending(*arguments, **named):
        for number, said in enumerate(iter_batches(*arguments, **named)):
            if number == after:
                raise KeyboardInterrupt
            yield said

    with monkeypatch.context() as patch:
        patch.setattr(forward, "iter_batches", ending)
        with pytest.raises(KeyboardInterrupt):
            ss.extract(store, model=str(place / "mine"), **{**OPTIONS, **options})
    assert not store.has_run(RUN)


def test_blocks_of_something_else_are_refused_until_they_are_swept(place, store, serstore, monkeypatch):
    interrupt(store, place, monkeypatch, after=2)
    words = ("extract", "--model", place / "mine", "--batch-size", 4, "--store", store.path)
    refused = serstore(*words, "--precision", "bf16")
    assert refused.err == (
        f"serstore: {RUN}@0 is there in part, interrupted, from other layers and precision: nothing was written; name "
        "this one with --run, or remove what was begun with `serstore gc`\n"
    )
    assert len(list(blocks_of(store).glob("*.h5"))) == 1
    assert serstore("gc", "--store", store.path).code == 0
    assert not blocks_of(store).exists()
    assert serstore(*words, "--precision", "bf16").code == 0


def test_a_damaged_block_is_computed_anew(place, store, monkeypatch):
    monkeypatch.setattr(filling, "BLOCK_SECONDS", 0.0)
    interrupt(store, place, monkeypatch, after=4)
    first, second, *_ = sorted(blocks_of(store).glob("*.h5"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:700])
    ss.extract(store, model=str(place / "mine"), **OPTIONS)
    assert read_file(store) == read_file(Store(place / "speech.store"))


def test_two_extractions_do_not_write_one_member(place, store):
    held = growing.GrowingMember(store, RUN, 0)
    told = f"{RUN}@0 is being written by another process: expected it to finish; wait for it, or name another `run`"
    with held.held(), pytest.raises(SerstoreError, match=told):
        ss.extract(store, model=str(place / "mine"), **OPTIONS)
    assert not blocks_of(store).exists()
    assert not store.has_run(RUN)


@pytest.mark.parametrize("largest", [1, 1 << 28])
def test_the_composed_file_is_the_one_written_at_once(largest, place, tmp_path, store, monkeypatch):
    monkeypatch.setattr(growing, "COMPOSED_BYTES", largest)
    monkeypatch.setattr(filling, "BLOCK_SECONDS", 0.0)
    ss.extract(store, model=str(place / "mine"), **OPTIONS)
    write_member(tmp_path / "step-000000.h5", store.read_member(RUN), store.header)
    assert read_file(store) == (tmp_path / "step-000000.h5").read_bytes()
    assert read_file(store) == read_file(Store(place / "speech.store"))


def test_two_processes_give_the_member_of_one(place, store, launch):
    words = ("extract", "--model", place / "mine", "--layers", "all", "--batch-size", 4)
    done = launch(*words, "--store", store.path, environment=None)
    assert done.codes == [0, 0], done.said
    assert done.printed == [f"{RUN}@0: 48 utterances computed\n", ""]
    # A launcher gives each process one thread, in which sums round otherwise.
    one, both = (where.read_member(RUN).layers for where in (Store(place / "speech.store"), store))
    assert one.keys() == both.keys()
    for number, values in one.items():
        np.testing.assert_allclose(both[number], values, rtol=2e-3, atol=2e-3)
    assert verify_store(store).ok
    again = launch(*words, "--store", store.path, environment=None)
    assert again.printed == [f"{RUN}@0: 0 utterances computed, 48 were there already\n", ""]
    refused = launch(*words, "--store", store.path, "--precision", "bf16", environment=None, alone=True)
    assert (refused.codes, "".join(refused.said).count("from other precision")) == ([1, 1], 1)


def test_two_processes_give_the_features_of_one(store, launch):
    assert launch("extract", "--model", "mfcc", "--store", store.path, environment=None).codes == [0, 0]
    ss.extract(store, model="mfcc", run="r")
    np.testing.assert_array_equal(store.pooled("mfcc"), store.pooled("r"))
    assert sorted(found.name for found in (store.path / "runs").iterdir()) == ["mfcc", "r"]


def test_windows_are_pooled_as_if_they_were_one(place, store):
    """Layer 0 by a mean over windows: only at their edges do convolutions miss what is beside."""
    ss.extract(store, model="tiny-whisper", run="whole", layers="all", statistics="mean,std")
    ss.extract(store, model="tiny-whisper", run="cut", layers="all", statistics="mean,std", window_seconds=1)
    ss.extract(store, model="tiny-whisper", run="std", layers=0, statistics="std", window_seconds=1)
    ss.extract(store, model="tiny-whisper", run="never", layers="all", statistics="mean,std", window_seconds=60)
    whole, cut, never = (store.read_member(name) for name in ("whole", "cut", "never"))
    d = whole.pooled.shape[1] // 2
    np.testing.assert_array_equal(whole.pooled, never.pooled)
    np.testing.assert_array_equal(cut.layers[0][:, d:], store.pooled("std", on="all"))
    assert 0 < np.abs(cut.pooled - whole.pooled).max() < 0.5
    assert cut.provenance["window_seconds"] == 1


def test_windows_belong_to_what_an_extraction_is(place, store, serstore):
    ss.extract(store, model="tiny-whisper", run="r")
    words = ("extract", "--model", "tiny-whisper", "--run", "r", "--window-seconds", 1, "--store", store.path)
    assert "r@0 is in the store already from other windows: nothing was written" in serstore(*words).err
    said = serstore(*words, "--whisper-context", "full").err
    assert said.startswith("serstore: --window-seconds with --whisper-context full: its windows are Whisper's thirty")
    said = serstore("extract", "--model", "mfcc", "--window-seconds", 1, "--store", store.path).err
    assert said.startswith("serstore: --window-seconds with --model mfcc: a feature set takes utterances whole")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not forget the most that was in use")
def test_ten_minutes_take_hardly_more_memory_than_a_window(place, speech, tmp_path):
    recordings = shutil.copytree(speech, tmp_path / "recordings")
    samples = np.random.default_rng(0).normal(0, 0.1, 600 * 16_000).astype(np.float32)
    soundfile.write(sorted(recordings.rglob("*.wav"))[5], samples, 16_000, subtype="PCM_16")
    ss.init(tmp_path / "speech.store", corpus="ravdess", audio=recordings, split="speaker")
    Path("/proc/self/clear_refs").write_text("5")
    before = read_memory("VmRSS")
    done = ss.extract(tmp_path / "speech.store", model=str(place / "mine"), run="long", layers="all", window_seconds=30)
    assert done[0].computed == 48
    assert read_memory("VmHWM") - before < 500 << 20  # 200 here


def read_memory(name):
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) << 10
