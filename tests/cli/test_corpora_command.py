"""`serstore corpora`, and `init` and `import` of corpora without recordings."""

import json
from pathlib import Path

import pytest

import ser_store

TABLE = "utterance;emotion;speaker;fold\nu1;joy;a;1\nu2;sad;a;1\nu3;joy;b;2\nu4;sad;b;2\nu5;other;b;2\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    return tmp_path / "table.csv"


def refused(outcome):
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    return line


def test_the_published_corpora_are_listed_by_name(serstore):
    told = serstore("corpora")
    assert told.code == 0
    for name in ("emodb", "iemocap", "msp-podcast", "ravdess"):
        assert any(line.startswith(f"{name} ") for line in told.out.splitlines())
    rows = {row["corpus"]: row for row in serstore("corpora", "--json").json["corpora"]}
    assert rows["iemocap"]["split"] == "session"
    assert rows["emodb"]["doi"] == "10.21437/Interspeech.2005-446"


def test_one_is_described_and_its_page_printed(serstore):
    told = serstore("corpora", "iemocap").out
    assert "left out by usual practice, unless a label map lists them: other (oth), no agreement (xxx)" in told
    page = serstore("corpora", "emodb", "--page").out
    folder = Path(ser_store.__file__).parent / "corpora" / "pages"
    assert page == (folder / "emodb.toml").read_text(encoding="utf-8")
    line = refused(serstore("corpora", "emodbb"))
    assert line.startswith("serstore: unknown corpus 'emodbb': expected one of emodb (nearest)")


def test_a_corpus_without_recordings_and_what_needs_some(serstore, table, tmp_path):
    store = ("--store", tmp_path / "s")
    (tmp_path / "map.toml").write_text('happy = "joy"\ndrop = ["other"]\n')
    made = serstore("init", "--corpus", table, "--no-audio", "--labels", tmp_path / "map.toml", *store, "--json")
    assert made.code == 0, made.err
    assert made.json["classes"] == ["happy", "sad"]
    assert made.json["parts"] == {"test": 4}
    assert any("other (1)" in line for line in made.json["notes"])
    (tmp_path / "said.csv").write_text("utterance,m@1\nu1,happy\nu2,happy\nu3,sad\nu4,sad\n")
    assert serstore("import", tmp_path / "said.csv", *store).code == 0
    assert serstore("evaluate", "--json", *store).json["members"][0]["correct"] == 2
    for words in ("extract --model mfcc", "finetune --model tiny-wav2vec2", f"audit --audio {tmp_path}"):
        line = refused(serstore(*words.split(), *store))
        assert "recordings" in line
        assert line.endswith("and their folder as --audio adds them to this store")


def test_predictions_and_what_is_known_of_them_in_two_tables(serstore, table, tmp_path):
    store = ("--store", tmp_path / "s")
    (tmp_path / "said.csv").write_text("utterance,m@1\nu1,joy\nu2,sad\nu3,sad\nu9,sad\n")
    line = refused(serstore("import", tmp_path / "said.csv", *store))
    assert line.endswith("or --meta TABLE, which says them")
    done = serstore("import", tmp_path / "said.csv", "--meta", table, "--trained-on", "nothing", *store)
    assert done.code == 0, done.err
    assert "answers about utterances that table.csv does not list, left out: 1 of 4" in done.err
    assert "utterances of table.csv without an answer: 2 of 5, the first 'u4'" in done.err
    evaluated = json.loads(serstore("evaluate", "--json", *store).out)
    assert [(one["n"], one["correct"]) for one in evaluated["members"]] == [(3, 2)]
    line = refused(serstore("import", tmp_path / "said.csv", "--meta", table, *store))
    assert "expected --meta for a new one only; `serstore init`" in line
