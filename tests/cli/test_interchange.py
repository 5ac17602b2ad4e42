"""Stores that travel: packed, unpacked, merged and swept from the command line; every reading command takes a pack."""

import shutil

import numpy as np
import pytest

from ser_store_h5.member import Member
from ser_store_h5.pack.packing import pack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@pytest.fixture(scope="module")
def packed(paper_store, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "paper.h5"
    pack(Store(paper_store), path)
    return path


@pytest.fixture
def store(paper_store, tmp_path):
    """A copy of the published predictions, to be written to."""
    return shutil.copytree(paper_store, tmp_path / "copy.store")


def ask(serstore, *words):
    outcome = serstore(*words)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate",),
        ("evaluate", "xlsr53", "--by", "speaker"),
        ("steps",),
        ("vote", "--k", "3", "--all-combos"),
        ("audit",),
    ],
    ids=" ".join,
)
def test_a_reading_command_says_the_same_of_a_packed_store(serstore, paper_store, packed, words):
    said = [ask(serstore, *words, "--json", "--store", path).json for path in (paper_store, packed)]
    for document in said:
        document.pop("seconds", None)
    assert said[0] == said[1]


def test_ls_info_and_verify_read_a_packed_store(serstore, paper_store, packed):
    listed = [ask(serstore, "ls", "--json", "--store", path).json["members"] for path in (paper_store, packed)]
    for members in listed:
        assert all(member.pop("bytes") > 0 for member in members)
    assert listed[0] == listed[1]
    assert ask(serstore, "info", "--json", "--store", packed).json["bytes"] == packed.stat().st_size
    verified = ask(serstore, "verify", "--json", "--store", packed).json
    assert (verified["ok"], verified["files"], verified["problems"]) == (True, 1, [])
    assert ask(serstore, "verify", "--store", packed).out.startswith("1 file, ")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_a_packed_store_exports_what_its_folder_does(serstore, paper_store, packed, tmp_path, suffix):
    files = [tmp_path / f"{name}.{suffix}" for name in ("folder", "packed")]
    for path, file in zip((paper_store, packed), files, strict=True):
        said = ask(serstore, "export", file, "--store", path).out
        assert said == f"wrote predicted of 6 members on 288 utterances to {file}\n"
    if suffix == "npz":  # archives name the time
        with np.load(files[0]) as first, np.load(files[1]) as second:
            assert all(np.array_equal(first[name], second[name]) for name in first.files)
    else:
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    "words",
    [("rm", "xlsr53"), ("steps", "--select", "best"), ("gc",)],
    ids=" ".join,
)
def test_a_packed_store_is_never_written_to(serstore, packed, words):
    before = packed.read_bytes()
    outcome = serstore(*words, "--store", packed)
    assert outcome.code == 1
    assert len(outcome.err.strip().splitlines()) == 1
    assert "packed store" in outcome.err
    assert packed.read_bytes() == before


def test_importing_into_a_packed_store_is_refused(serstore, packed, paper_store, tmp_path):
    (tmp_path / "m.csv").write_text(f"utterance,m@1\n{Store(paper_store).corpus.ids[0]},sad\n")
    outcome = serstore("import", tmp_path / "m.csv", "--store", packed)
    assert outcome.code == 1
    assert "packed store" in outcome.err


def test_a_store_is_packed_and_unpacked_again(serstore, paper_store, tmp_path):
    file, folder = tmp_path / "p.h5", tmp_path / "again.store"
    said = ask(serstore, "pack", file, "--store", paper_store).out
    assert said.startswith(f"packed 6 members into {file}, ")
    assert ask(serstore, "unpack", file, "--store", folder).out == f"unpacked 6 members into {folder}\n"
    first, second = Store(paper_store), Store(folder)
    assert first.member_names() == second.member_names()
    assert np.array_equal(first.predictions(first.member_names()), second.predictions(first.member_names()))
    assert ask(serstore, "verify", "--store", folder).code == 0


def test_some_members_are_packed_without_what_they_pooled(serstore, store, tmp_path):
    opened = Store(store)
    opened.add_run(RunRecord("deep", "finetune", "xlsr53"))
    rows = opened.corpus.rows()
    arrays = {"logits": np.zeros((len(rows), 8), dtype=np.float32), "pooled": np.ones((len(rows), 4), dtype=np.float16)}
    opened.write_member(Member("deep", 5, rows, **arrays))
    done = ask(
        serstore, "pack", tmp_path / "p.h5", "deep", "xlsr53", "--without-pooled", "--json", "--store", store
    ).json
    assert done["members"] == ["deep@5", "xlsr53@1100"]
    assert done["bytes"] == (tmp_path / "p.h5").stat().st_size
    [deep, _] = ask(serstore, "ls", "--json", "--store", tmp_path / "p.h5").json["members"]
    assert (deep["logits"], deep["pooled"]) == ([288, 8], None)


def test_two_stores_of_one_corpus_are_merged(serstore, store, packed):
    ask(serstore, "rm", "xlsr53", "--store", store)
    said = ask(serstore, "merge", packed, "--store", store).out
    assert said == "added 1 member (xlsr53@1100); 5 members there already, the same\n"
    again = ask(serstore, "merge", packed, "--json", "--store", store).json
    assert (again["added"], len(again["identical"])) == ([], 6)


def test_of_many_that_were_merged_the_first_are_named(serstore, store, packed):
    names = Store(store).member_names()
    for name in names:
        ask(serstore, "rm", name.partition("@")[0], "--store", store)
    said = ask(serstore, "merge", packed, "--store", store).out
    assert said == f"added 6 members ({', '.join(names[:5])}, …)\n"


def test_members_that_contradict_each_other_are_merged_under_another_name(serstore, store, packed, tmp_path):
    ask(serstore, "rm", "xlsr53", "--store", store)
    ids = Store(store).corpus.ids
    (tmp_path / "m.csv").write_text("utterance,xlsr53@1100\n" + "".join(f"{name},sad\n" for name in ids))
    ask(serstore, "import", tmp_path / "m.csv", "--store", store)
    refused = serstore("merge", packed, "--store", store)
    assert refused.code == 1
    assert "another name with --rename, or remove it" in refused.err
    ask(serstore, "merge", packed, "--rename", "xlsr53=theirs", "--store", store)
    assert {"theirs@1100", "xlsr53@1100"} <= set(Store(store).member_names())
    for words, said in (
        (("--rename", "xlsr53"), "expected OLD=NEW"),
        (("--rename", "a=b"), "unknown run, split or column 'a'"),
    ):
        outcome = serstore("merge", packed, *words, "--store", store)
        assert outcome.code == 1
        assert said in outcome.err


def test_what_killed_writers_left_is_named_and_swept(serstore, store):
    leftover = store / "runs" / "xlsr53" / ".step-000100.h5.0123456789ab.partial"
    leftover.write_bytes(bytes(2000))
    assert "serstore gc" in serstore("verify", "--store", store).err
    dry = ask(serstore, "gc", "--dry-run", "--json", "--store", store).json
    assert dry == {"removed": [str(leftover.relative_to(store))], "in_use": [], "bytes": 2000, "dry_run": True}
    assert leftover.exists()
    assert ask(serstore, "gc", "--store", store).out.splitlines()[-1] == "removed 1 leftover, 2 kB"
    assert not leftover.exists()
    assert ask(serstore, "gc", "--store", store).out == "removed 0 leftovers, 0 B\n"


def test_info_says_what_each_dataset_takes_and_sets_no_labels_beside_checkpoints(serstore, paper_store):
    said = ask(serstore, "info", "--store", paper_store).out
    assert "by dataset: rows 6.91 kB, predicted 3.46 kB, other " in said
    document = ask(serstore, "info", "--json", "--store", paper_store).json
    assert document["checkpoints"] == []
    assert sum(document["dataset_bytes"].values()) == document["bytes"]


def test_a_long_table_of_labels_says_which_columns_it_ignores(serstore, store, tmp_path):
    (tmp_path / "m.csv").write_text(
        f"utterance,run,step,predicted,confidence\n{Store(store).corpus.ids[0]},m,1,sad,0.3\n"
    )
    outcome = ask(serstore, "import", tmp_path / "m.csv", "--store", store)
    assert outcome.out == "imported 1 member on 1 utterance: m@1\n"
    assert "ignored, since they are neither ids nor predictions: confidence" in outcome.err


def test_what_an_import_understood_is_printed_and_in_the_document(serstore, tmp_path):
    rows = "a,m,1,angry,0.9,0.1,0,s1\nb,m,1,sad,0.1,0.2,0.7,s2\n"
    (tmp_path / "m.csv").write_text(f"utterance,run,step,emotion,angry,sad,contempt,speaker\n{rows}")
    words = ("import", tmp_path / "m.csv", "--label", "emotion", "--classes", "angry,sad", "--json")
    outcome = ask(serstore, *words, "--store", tmp_path / "s")
    lines = [line.removeprefix("serstore: ") for line in outcome.err.splitlines()]
    assert lines == outcome.json["understood"]
    assert [line.split(" ")[0] for line in lines] == ["numbers", "no", "answers", "the", "what"]
    assert outcome.json["scores"] == {}
    evaluated = ask(serstore, "evaluate", "--json", "--store", tmp_path / "s").json["members"][0]
    assert (evaluated["correct"], evaluated["n"], evaluated["classes"]) == (1, 2, ["angry", "sad"])
    again = ask(serstore, *words, "--store", tmp_path / "s").json
    assert (again["members"], again["identical"]) == ([], ["m@1"])
    outcome = ask(serstore, *words[:-1], "--store", tmp_path / "s")
    assert outcome.out == "imported 0 members on 2 utterances; 1 member there already, the same\n"
    names = ask(serstore, *words[:4], "--classes", 'sad, angry,"contempt, or so"', "--store", tmp_path / "t")
    assert "contempt 1 (m@1 1)" in names.err


def test_a_kind_of_numbers_that_is_stated_is_kept(serstore, tmp_path):
    (tmp_path / "m.csv").write_text("utterance,run,step,emotion,angry,sad\na,m,1,angry,0.9,0.1\nb,m,1,sad,0.1,0.9\n")
    words = ("import", tmp_path / "m.csv", "--label", "emotion", "--json")
    assert ask(serstore, *words, "--kind", "scores", "--store", tmp_path / "s").json["scores"] == {"m": "scores"}
    assert ask(serstore, *words, "--store", tmp_path / "t").json["scores"] == {"m": "log-probabilities"}
    refused = serstore(*words, "--kind", "odds", "--store", tmp_path / "u")
    assert refused.code == 1
    assert "unknown kind of numbers 'odds': expected one of" in refused.err
    assert "\n" not in refused.err.strip()
