"""What is written, from which stores, and what is refused."""

import re
import wave
from dataclasses import replace

import numpy as np
import pytest

import ser_store as ss
from ser_store.reporting.packing import MAX_SHARES, describe_soft, take_soft_steps
from ser_store.voting.quantize import quantize_probabilities

CLASSES = ["angry", "happy", "sad"]


def make_store(folder, *, m=1, steps=1, n=30, speakers=None, splits=None, **answers):
    rng = np.random.default_rng(0)
    ids = [f"u{i:04}" for i in range(n)]
    store = ss.Store.create(
        folder, ids=ids, labels=rng.integers(0, 3, n), classes=CLASSES, speakers=speakers, splits=splits
    )
    for run in range(m):
        for step in range(1, steps + 1):
            store.add(f"m{run}", step=step, ids=ids, logits=rng.normal(0, 1, (n, 3)).astype(np.float32))
    return store


def test_the_page_of_the_paper_is_small_the_same_each_time_and_asks_nobody(tmp_path):
    first = ss.report(ss.open_example(), tmp_path / "a.html")
    text = first.file.read_text()
    assert first.bytes == len(text.encode()) < 300_000
    assert ss.report(ss.open_example(), tmp_path / "a.html").file.read_text() == text
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", text)
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", text)


def test_figures_are_those_of_the_commands(tmp_path):
    store = ss.open_example()
    content = ss.report(store, tmp_path / "a.html", k=5).content
    voted = ss.vote(store, k=5, all_combos=True)
    assert content["choice"]["members"] == list(voted.ensembles[0].members)
    assert content["choice"]["corrected"]["accuracy"] == voted.selection.corrected
    evaluated = {one.member: one for one in ss.evaluate(store).members}
    assert {one["name"]: one["accuracy"] for one in content["members"]} == {
        name: one.metrics.accuracy for name, one in evaluated.items()
    }
    assert content["hard"]["n_by_right"] == list(ss.find_hard_utterances(store).n_by_right)


@pytest.mark.parametrize(("m", "k"), [(1, None), (2, 1), (3, 1), (5, 3)])
def test_what_is_chosen_goes_by_how_many_members_there_are(m, k, tmp_path):
    written = ss.report(make_store(tmp_path / "s.store", m=m), tmp_path / "a.html")
    choice = written.content["choice"]
    assert (choice and choice["k"]) == k
    assert written.content["question"]["parts"] == []
    assert f"{m} member" in str(written)


def test_without_speakers_utterances_are_resampled_and_few_are_not_corrected(tmp_path):
    choice = ss.report(make_store(tmp_path / "s.store", m=4), tmp_path / "a.html").content["choice"]
    assert choice["corrected"]["method"] == "bootstrap"
    few = make_store(tmp_path / "few.store", m=4, speakers=[f"s{i % 3}" for i in range(30)])
    written = ss.report(few, tmp_path / "b.html")
    assert written.content["choice"]["corrected"] is None
    assert "not corrected" in str(written)
    assert "unknown" in written.file.read_text()


def test_folds_parts_and_steps_are_as_elsewhere(tmp_path):
    folds = {"cv": [f"fold-{i % 3 + 1}" for i in range(30)], "paper": ["train", "train", "test"] * 10}
    store = make_store(tmp_path / "s.store", m=2, steps=3, splits=folds)
    everything = ss.report(store, tmp_path / "a.html").content["question"]
    assert (everything["on"], everything["n"], everything["split"]) == ("all", 30, "cv")
    assert all(part["is_judged"] for part in everything["parts"])
    written = ss.report(store, tmp_path / "b.html", split="paper", steps="all").content
    assert (written["question"]["on"], written["question"]["n"]) == ("test", 10)
    assert len(written["members"]) == 6
    assert [len(run["steps"]) for run in written["curves"]] == [3, 3]
    fold = ss.report(store, tmp_path / "c.html", ["m0"], on="fold-2").content
    assert [one["name"] for one in fold["members"]] == ["m0@3"]
    assert fold["choice"] is None


def test_of_many_utterances_all_predictions_are_there_and_a_few_are_listed(tmp_path):
    written = ss.report(make_store(tmp_path / "s.store", m=4, n=5000), tmp_path / "a.html")
    assert len(written.content["hard"]["listed"]) == 60
    assert len(written.content["votes"]["predicted"][0]["data"]) > 5000


def test_scores_beyond_some_size_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("ser_store.reporting.packing.MAX_SHARES", 100)
    assert MAX_SHARES > 1_000_000
    written = ss.report(make_store(tmp_path / "s.store", m=2), tmp_path / "a.html")
    assert written.content["votes"]["shares"] == [None, None]


def test_probabilities_are_found_again_from_logits_to_the_last_step():
    logits = np.random.default_rng(0).normal(0, 6, (2000, 8)).astype(np.float32)
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    steps = quantize_probabilities(exponentials / exponentials.sum(axis=1, keepdims=True))
    told = describe_soft(logits, steps)
    assert len(told["amiss"]) < 40
    found = take_soft_steps(logits, rounded=told["rounded"])
    for place, amiss in told["amiss"]:
        found.flat[place] += amiss
    np.testing.assert_array_equal(found, steps)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"members": ["m0+m1"]}, r"m0\+m1 is an ensemble: expected members"),
        ({"audio": "embed"}, "none of the .* recordings is where the corpus says"),
        ({"audio": "play"}, "unknown `audio` 'play'"),
        ({"members": ["nobody"]}, "nobody"),
        ({"on": "valid"}, "unknown part 'valid'"),
        ({"k": 9}, "`k` is 9 with 4 candidates"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(given, said, tmp_path):
    splits = {"paper": ["train", "test"] * 15}
    store = make_store(tmp_path / "s.store", m=4, splits=splits)
    with pytest.raises(ss.SerstoreError, match=said):
        ss.report(store, tmp_path / "a.html", **given)
    assert not (tmp_path / "a.html").exists()


def test_a_folder_is_no_page(tmp_path):
    with pytest.raises(ss.StoreError, match="expected the name of a file"):
        ss.report(ss.open_example(), tmp_path)


def test_recordings_are_embedded_or_linked(serstore, tmp_path):
    ids, folder = [f"u{i}" for i in range(4)], tmp_path / "recordings"
    folder.mkdir()
    for name in ids[:3]:
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(b"\0" * 8_000)
    plain = ss.Store.create(tmp_path / "p.store", ids=ids, labels=["a", "b", "a", "b"]).corpus
    corpus = replace(plain, paths=np.array([f"{name}.wav" for name in ids]), audio_root=str(folder))
    store = ss.Store.create(tmp_path / "s.store", corpus)
    store.add("none", ids=ids, predicted=[None] * 4)
    words = ("report", "-o", tmp_path / "e.html", "--audio", "embed", "--json", "--store", store.path)
    assert serstore(*words).json["hard"]["audio_bytes"] > 3 * 8_000
    embedded = (tmp_path / "e.html").read_text()
    assert embedded.count('src="data:audio/wav;base64,') == 3
    assert embedded.count("not there") == 1
    ss.report(store, tmp_path / "l.html", audio="link")
    linked = re.findall(r'<audio [^>]*src="([^"]+)"', (tmp_path / "l.html").read_text())
    assert [(tmp_path / one).resolve() for one in linked] == [folder / f"{name}.wav" for name in ids[:3]]
