"""Bad input gets one line on stderr that says what was got, what was expected and the way out; exit code 1."""

import json
import shutil

import numpy as np
import pytest

CSV = "utterance,emotion,a@1,b@1,c@1\nu1,happy,happy,sad,sad\nu2,sad,sad,sad,happy\nu3,sad,happy,sad,sad\n"


@pytest.fixture
def refused(serstore):
    """Runs a command that must be refused; returns its one line."""

    def run(*words):
        outcome = serstore(*words)
        assert outcome.code == 1, (outcome.code, outcome.out, outcome.err)
        assert outcome.out == ""
        lines = outcome.err.strip().splitlines()
        assert len(lines) == 1, outcome.err
        assert "Traceback" not in lines[0]
        return lines[0]

    return run


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "said.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def store(serstore, table, tmp_path):
    path = tmp_path / "said.store"
    assert serstore("import", table, "--label", "emotion", "--store", path).code == 0
    return path


def write(path, samples, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(path, np.asarray(samples, dtype=np.float32), rate, subtype="FLOAT")


@pytest.fixture
def recordings(speech, tmp_path):
    folder = tmp_path / "audio"
    shutil.copytree(speech, folder)
    return folder


def init(folder, tmp_path, *options):
    return ("init", "--corpus", "ravdess", "--audio", folder, "--store", tmp_path / "new.store", *options)


def test_an_example_that_does_not_come_with_the_package(serstore):
    outcome = serstore("ls", "--store", "example:whispr-base")
    assert outcome.code == 2
    assert "whisper-base (nearest), paper" in outcome.err


def test_no_such_audio_folder(refused, tmp_path):
    assert "nowhere" in refused(*init(tmp_path / "nowhere", tmp_path))


def test_an_empty_audio_folder(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    line = refused(*init(tmp_path / "empty", tmp_path))
    assert "empty" in line
    assert "--corpus" in line


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"not audio at all"), "03-01-05"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "03-01-05"),
        (lambda path: write(path, np.full(16_000, np.nan)), "NaN"),
        (lambda path: write(path, np.zeros(16_000)), "silen"),
        (lambda path: write(path, 0.1 * np.sin(np.arange(160))), "10 ms long"),
        (lambda path: path.write_bytes(b""), "03-01-05"),
    ],
    ids=["unreadable", "truncated", "nan", "silent", "ten milliseconds", "empty"],
)
def test_a_bad_recording_is_named_and_can_be_left_out(refused, serstore, recordings, tmp_path, damage, said):
    [path] = recordings.rglob("03-01-05-*-01-03.*")
    damage(path)
    line = refused(*init(recordings, tmp_path))
    assert path.name in line
    assert said in line
    assert "--skip-bad" in line
    assert not (tmp_path / "new.store").exists()
    assert serstore(*init(recordings, tmp_path, "--skip-bad", "--split", "speaker")).code == 0


def test_a_recording_that_vanished_since_is_a_bad_file_of_the_audit(serstore, recordings, tmp_path):
    assert serstore(*init(recordings, tmp_path, "--split", "speaker")).code == 0
    next(recordings.rglob("03-01-05-*")).unlink()
    document = serstore("audit", "--json", "--store", tmp_path / "new.store").json
    assert len(document["bad_files"]) == 1


def test_unknown_corpus(refused, tmp_path):
    assert "ravdess (nearest)" in refused("init", "--corpus", "ravdes", "--audio", tmp_path, "--store", tmp_path / "x")


def test_unknown_split(refused, recordings, tmp_path):
    assert "paper (nearest)" in refused(*init(recordings, tmp_path, "--split", "papers"))


def test_a_manifest_without_the_needed_columns(refused, tmp_path):
    (tmp_path / "m.csv").write_text("name,mood\na.wav,happy\n")
    line = refused("init", "--corpus", tmp_path / "m.csv", "--store", tmp_path / "x")
    assert "path" in line
    assert "label" in line


def test_a_manifest_with_duplicate_ids(refused, speech, tmp_path):
    path = next(speech.rglob("*.wav"), None) or next(speech.rglob("*.flac"))
    (tmp_path / "m.csv").write_text(f"path,label\n{path},happy\n{path},sad\n")
    assert path.stem in refused("init", "--corpus", tmp_path / "m.csv", "--store", tmp_path / "x")


def test_unknown_model_key(refused, speech, serstore, tmp_path):
    assert serstore(*init(speech, tmp_path, "--split", "speaker")).code == 0
    line = refused("finetune", "--model", "xlsr35", "--store", tmp_path / "new.store")
    assert "xlsr53 (nearest)" in line


def test_no_weights_and_no_network(refused, speech, serstore, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert serstore(*init(speech, tmp_path, "--split", "speaker")).code == 0
    line = refused("finetune", "--model", "hubert-base", "--store", tmp_path / "new.store")
    assert "as --checkpoint, or" in line
    assert "--init random" in line
    assert serstore("ls", "--store", tmp_path / "new.store").out.strip().endswith("has no members yet")


def test_no_store(refused, tmp_path):
    assert "serstore init" in refused("ls", "--store", tmp_path / "nothing")


def test_a_store_without_members(refused, serstore, speech, tmp_path):
    assert serstore(*init(speech, tmp_path, "--split", "speaker")).code == 0
    for words in (("evaluate",), ("vote", "--k", 1), ("steps",), ("evaluate", "xlsr53"), ("head",)):
        line = refused(*words, "--store", tmp_path / "new.store")
        assert "serstore " in line.removeprefix("serstore: ")


def test_predictions_without_a_store_and_without_labels(refused, table, tmp_path):
    assert "--label COLUMN" in refused("import", table, "--store", tmp_path / "none")


def test_predictions_with_a_misspelt_label(refused, table, tmp_path):
    table.write_text(CSV.replace("u1,happy,happy", "u1,happy,hapy"))
    line = refused("import", table, "--label", "emotion", "--store", tmp_path / "none")
    assert "'hapy'" in line
    assert "happy (nearest)" in line
    assert not (tmp_path / "none").exists()


def test_predictions_for_unknown_utterances(refused, store, tmp_path):
    (tmp_path / "more.csv").write_text("utterance,d@1\nu1,sad\nu9,sad\n")
    assert "u9" in refused("import", tmp_path / "more.csv", "--store", store)


def test_predictions_that_name_an_utterance_twice(refused, store, tmp_path):
    (tmp_path / "more.csv").write_text("utterance,d@1\nu1,sad\nu1,sad\n")
    assert "u1" in refused("import", tmp_path / "more.csv", "--store", store)


def test_predictions_with_an_empty_cell(refused, store, tmp_path):
    (tmp_path / "more.csv").write_text("utterance,d@1\nu1,sad\nu2,\n")
    line = refused("import", tmp_path / "more.csv", "--store", store)
    assert "d@1" in line
    assert "row 2" in line


def test_predictions_labelled_otherwise_than_the_store(refused, store, tmp_path):
    (tmp_path / "more.csv").write_text("utterance,emotion,d@1\nu1,sad,sad\n")
    assert "another corpus" in refused("import", tmp_path / "more.csv", "--label", "emotion", "--store", store)


def test_a_member_that_is_there_is_not_imported_again_and_none_beside_it(refused, serstore, store, tmp_path):
    (tmp_path / "more.csv").write_text("utterance,d@1,a@1\nu1,sad,sad\n")
    assert "a@1 is in" in refused("import", tmp_path / "more.csv", "--store", store)
    assert [entry["member"] for entry in serstore("ls", "--json", "--store", store).json["members"]] == [
        "a@1",
        "b@1",
        "c@1",
    ]


def test_members_that_do_not_cover_the_part(refused, serstore, store, tmp_path):
    (tmp_path / "more.csv").write_text("utterance,d@1\nu2,sad\n")
    assert serstore("import", tmp_path / "more.csv", "--store", store).code == 0
    line = refused("vote", "a", "b", "d", "--k", 3, "--all-combos", "--store", store)
    assert "d@1 says nothing about 2 of the 3 utterances" in line
    assert "u1, u3" in line


def test_more_places_than_members(refused, store):
    line = refused("vote", "--k", 7, "--all-combos", "--store", store)
    assert "k is 7 with 3 candidates" in line


def test_fewer_places_than_members_without_a_search(refused, store):
    assert "--all-combos" in refused("vote", "--k", 2, "--store", store)


def test_unknown_member_part_and_column(refused, store):
    assert "a@1 (nearest)" in refused("evaluate", "a@2", "--store", store)
    assert "test (nearest)" in refused("evaluate", "--on", "tset", "--store", store)
    assert "unknown column" in refused("evaluate", "--by", "speakr", "--store", store)


def test_soft_voting_on_labels(refused, store):
    assert "expected logits" in refused("vote", "--k", 3, "--rule", "soft", "--store", store)


def test_unknown_rules(refused, store):
    assert "unknown tie rule 'lowst': expected one of lowest (nearest)" in refused(
        "vote", "--k", 3, "--tie", "lowst", "--store", store
    )
    assert "best (nearest)" in refused("steps", "--select", "bst", "--store", store)


def test_an_export_does_not_overwrite(refused, serstore, store, tmp_path):
    assert serstore("export", tmp_path / "out.csv", "--store", store).code == 0
    assert "is there already" in refused("export", tmp_path / "out.csv", "--store", store)


def test_a_damaged_store_is_named_and_verify_exits_with_one(serstore, refused, store):
    path = store / "runs" / "a" / "step-000001.h5"
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 1
    path.write_bytes(bytes(damaged))
    outcome = serstore("verify", "--json", "--store", store)
    assert outcome.code == 1
    assert [problem["file"] for problem in outcome.json["problems"]] == ["runs/a/step-000001.h5"]


def test_debug_shows_the_traceback(serstore, tmp_path):
    outcome = serstore("ls", "--debug", "--store", tmp_path / "nothing")
    assert outcome.code == 1
    assert outcome.err.strip().splitlines()[-1].startswith("serstore: no store at")


def test_wrong_usage_exits_with_two(serstore):
    assert serstore("vote", "--kk", 3).code == 2
    assert serstore("nonsense").code == 2


def test_a_store_of_another_corpus_gains_no_split(refused, serstore, speech, store):
    line = refused("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", store)
    assert "holds another corpus (said, 3 utterances) than the one given (ravdess, 48 utterances)" in line
    assert serstore("evaluate", "--store", store).code == 0


def test_a_member_of_another_store_is_refused(refused, serstore, store, tmp_path):
    (tmp_path / "other.csv").write_text(CSV.replace("u", "v").replace("vtterance", "utterance"))
    other = tmp_path / "other.store"
    assert serstore("import", tmp_path / "other.csv", "--label", "emotion", "--store", other).code == 0
    shutil.copytree(other / "runs" / "a", store / "runs" / "z")
    record = store / "runs" / "z" / "run.json"
    stated = {**json.loads(record.read_text()), "run": "z"}
    del stated["sha256"]
    record.write_text(json.dumps(stated))
    assert "belongs to another corpus" in refused("evaluate", "z", "--store", store)
    assert (
        "left out, since it cannot be read (`serstore ls` says why): z@1" in serstore("evaluate", "--store", store).err
    )
