"""Questions that name no member are answered by those that can, and the rest is said in one line."""

import numpy as np
import pytest

import ser_store as ss
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.names import Ensemble
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

N = 60


@pytest.fixture
def path(tmp_path):
    """Runs by two splits: each member covers the test part of its own; q covers two utterances of ``one``'s."""
    ids = np.array([f"utterance-with-a-long-name-{i:03}" for i in range(N)])
    one = np.where(np.arange(N) < 20, "test", "train")
    two = np.where(np.arange(N) >= 40, "test", "train")
    labels = (np.arange(N) % 3).astype(np.int16)
    splits = {"one": one, "two": two}
    corpus = Corpus("made", ids, labels, ("a", "b", "c"), splits=splits, default_split="one")
    store = Store.create(tmp_path / "two.store", corpus)
    rng = np.random.default_rng(0)
    for run, kept in (("x", one), ("y", one), ("z", two), ("w", two)):
        rows = np.flatnonzero(kept == "test").astype(np.int32)
        store.add_run(RunRecord(run, "import", "elsewhere"))
        for step in (1, 2):
            store.write_member(Member(run, step, rows, logits=rng.normal(size=(len(rows), 3)).astype(np.float32)))
    store.add_run(RunRecord("q", "import", "elsewhere"))
    store.write_member(Member("q", 1, np.array([0, 4], dtype=np.int32), predicted=np.array([0, 0], dtype=np.int16)))
    return tmp_path / "two.store"


LEFT_OUT = "members left out, since they do not cover the 20 utterances of test"


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate",),
        ("evaluate", "--steps", "all"),
        ("evaluate", "--hard"),
        ("compare",),
        ("vote", "--k", 2),
        ("vote", "--k", 2, "--all-combos", "--steps", "all"),
        ("steps",),
        ("evaluate", "*"),
        ("compare", "[w-z]"),
        ("vote", "?@2", "--k", 2),
        ("export", "NEW.csv"),
        ("export", "NEW.npz", "*"),
        ("export", "NEW.parquet", "--what", "logits"),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
@pytest.mark.parametrize(("split", "there"), [("one", {"x", "y"}), ("two", {"z", "w"})])
def test_those_that_cover_the_part_answer(words, split, there, path, tmp_path, serstore):
    words = [str(tmp_path / word) if str(word).startswith("NEW") else word for word in words]
    done = serstore(*words, "--split", split, "--store", path, "--json")
    assert done.code == 0, done.err
    [left_out] = [line for line in done.err.splitlines() if LEFT_OUT in line]
    assert len(left_out) < 200
    document = done.json
    assert any(LEFT_OUT in caution for caution in document["cautions"])
    named = {
        name.partition("@")[0]
        for name in [
            *(one["member"] for one in (document["members"] if words[0] == "evaluate" else [])),
            *(one["name"] for one in document.get("compared", [])),
            *document.get("candidates", []),
            *(one["run"] for one in document.get("runs", [])),
        ]
    }
    assert named in (there, set())
    assert document.get("split", split) == split


def test_named_members_that_do_not_cover_the_part_are_refused_in_one_short_line(path, tmp_path, serstore):
    for words in (("evaluate",), ("compare",), ("vote",), ("export", tmp_path / "new.csv")):
        done = serstore(*words, "x", "z", "--store", path)
        assert done.code == 1
        assert done.err.count("\n") == 1
        assert len(done.err) < 400


def test_one_named_alone_is_judged_on_what_it_covers(path, serstore):
    done = serstore("evaluate", "q", "--store", path, "--json")
    assert done.code == 0, done.err
    [member] = done.json["members"]
    assert (member["n"], member["correct"]) == (2, 1)
    assert done.json["cautions"][0] == "q@1 covers 2 of the 20 utterances of test: its figures are of these 2 alone"
    done = serstore("evaluate", "q", "--split", "two", "--store", path)
    assert done.code == 1
    assert "q@1 covers none of the 20 utterances of test: expected some" in done.err


def test_where_nobody_covers_the_part_it_is_said_who_covers_how_much(path, serstore):
    done = serstore("evaluate", "--on", "all", "--store", path)
    assert done.code == 1
    assert "no member covers the 60 utterances of all; of them q@1 2, w@2 20, x@2 20 and 2 more" in done.err


@pytest.mark.parametrize("words", [("evaluate", "q"), ("compare", "q", "v"), ("vote", "q", "v", "--k", 2)])
def test_answers_that_are_no_class_are_said_wherever_they_count_as_wrong(words, tmp_path, serstore):
    corpus = Corpus("made", np.array(["a", "b", "c"]), np.array([0, 1, 1], dtype=np.int16), ("x", "y"))
    store = Store.create(tmp_path / "said.store", corpus)
    for run, answers in (("q", [0, -1, -1]), ("v", [0, 1, 1])):
        store.add_run(RunRecord(run, "import", "elsewhere"))
        rows = np.arange(3, dtype=np.int32)
        store.write_member(Member(run, 1, rows, predicted=np.array(answers, dtype=np.int16)))
    done = serstore(*words, "--store", store.path, "--json")
    assert done.code == 0, done.err
    assert "2 of 3 answers of q@1 are none of the classes: they count as wrong" in done.json["cautions"]


def test_intervals_of_two_speakers_carry_their_caution_into_every_document(tmp_path, serstore):
    speakers = np.repeat(["s1", "s2"], 10)
    labels = (np.arange(20) % 2).astype(np.int16)
    corpus = Corpus("made", np.array([f"u{i:02}" for i in range(20)]), labels, ("x", "y"), speakers=speakers)
    store = Store.create(tmp_path / "two.store", corpus)
    for run, flipped in (("q", 3), ("v", 5)):
        store.add_run(RunRecord(run, "import", "elsewhere"))
        answers = np.where(np.arange(20) < flipped, 1 - labels, labels).astype(np.int16)
        store.write_member(Member(run, 1, np.arange(20, dtype=np.int32), predicted=answers))
    expected = "intervals take utterances as independent: 2 speakers are too few"
    for words in (("evaluate",), ("compare", "q", "v"), ("vote", "q", "v", "--k", 2)):
        assert expected in serstore(*words, "--store", store.path, "--json").json["cautions"], words
        said = serstore(*words, "--store", store.path)
        assert (said.out + said.err).count(expected) == 1, words


def make_whole(path, *runs):
    """Twelve utterances of two classes, and what these runs say at two steps; the last of the runs is always wrong."""
    labels = (np.arange(12) % 2).astype(np.int16)
    store = Store.create(path, Corpus("made", np.array([f"u{i:02}" for i in range(12)]), labels, ("x", "y")))
    for place, run in enumerate(runs):
        store.add_run(RunRecord(run, "import", "elsewhere"))
        answers = labels.copy()
        answers[: 12 if run == runs[-1] else place] ^= 1
        for step in (1, 2):
            store.write_member(Member(run, step, np.arange(12, dtype=np.int32), predicted=answers))
    return store


def spoil_record(store):
    (store.path / "runs" / "bad" / "run.json").write_text("{")
    return "bad"


def spoil_member(store):
    file = store.path / "runs" / "bad" / "step-000002.h5"
    file.write_bytes(file.read_bytes()[:-100])
    return "bad@2"


QUESTIONS = [
    ("evaluate",),
    ("evaluate", "--hard"),
    ("evaluate", "--steps", "all"),
    ("compare",),
    ("vote",),
    ("steps",),
    ("export", "NEW.csv"),
]


@pytest.mark.parametrize("spoil", [spoil_record, spoil_member])
@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_a_damaged_run_is_left_out_and_said_where_all_are_meant(words, spoil, tmp_path, serstore):
    store = make_whole(tmp_path / "whole.store", "a", "b", "bad")
    left_out = f"left out, since it cannot be read (`serstore ls` says why): {spoil(store)}"
    words = [tmp_path / word if word == "NEW.csv" else word for word in words]
    done = serstore(*words, "--store", store.path, "--json")
    assert done.code == 0, done.err
    assert left_out in done.json["cautions"]
    assert f"caution: {left_out}" in done.err


@pytest.mark.parametrize("spoil", [spoil_record, spoil_member])
@pytest.mark.parametrize(
    "words", [("evaluate", "bad@2"), ("compare", "a", "bad@2"), ("vote", "a", "bad@2"), ("steps", "--run", "bad")]
)
def test_a_damaged_run_is_refused_where_it_is_named(words, spoil, tmp_path, serstore):
    store = make_whole(tmp_path / "whole.store", "a", "b", "bad")
    spoil(store)
    done = serstore(*words, "--store", store.path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "runs/bad" in done.err.replace("\\", "/")


def test_a_size_that_damage_leaves_no_ensembles_of_is_refused_with_what_was_left_out(tmp_path, serstore):
    store = make_whole(tmp_path / "whole.store", "a", "b", "bad")
    spoil_record(store)
    done = serstore("vote", "--k", 3, "--store", store.path)
    assert done.code == 1
    assert "--k is 3 with 2 candidates" in done.err
    assert "left out, since it cannot be read (`serstore ls` says why): bad" in done.err


def test_where_nothing_can_be_read_it_is_said_what_was_left_out(tmp_path, serstore):
    store = make_whole(tmp_path / "whole.store", "bad")
    spoil_record(store)
    done = serstore("vote", "--store", store.path)
    assert done.code == 1
    assert "no member that predicts anything" in done.err
    assert done.err.endswith("; left out, since it cannot be read (`serstore ls` says why): bad\n")


def test_an_excluded_run_may_be_damaged_and_nothing_is_said_of_it(tmp_path, serstore):
    store = make_whole(tmp_path / "whole.store", "a", "b", "bad")
    spoil_record(store)
    done = serstore("vote", "--exclude", "bad", "--store", store.path, "--json")
    assert (done.code, done.json["candidates"]) == (0, ["a@2", "b@2"])
    assert "left out" not in done.err


@pytest.mark.parametrize(
    ("words", "list_left"),
    [
        (("evaluate",), lambda document: [one["member"] for one in document["members"]]),
        (("compare",), lambda document: [one["name"] for one in document["compared"]]),
        (("export", "left.csv"), None),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_members_are_left_out_by_name_and_by_pattern(words, list_left, tmp_path, serstore, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = make_whole(tmp_path / "whole.store", "a", "b", "c1", "c2", "bad")
    spoil_record(store)
    asked = (*words, "--exclude", "bad", "--exclude", "c*", "--store", store.path)
    done = serstore(*asked, "--json")
    assert done.code == 0, done.err
    assert "left out" not in done.err
    if list_left is not None:
        assert list_left(done.json) == ["a@2", "b@2"]
    else:
        assert (tmp_path / "left.csv").read_text().splitlines()[0] == "utterance,label,a@2,b@2"
    unknown = serstore(*words, "--exclude", "d*", "--store", store.path)
    assert "unknown member to exclude 'd*'" in unknown.err
    nobody = serstore(*words, "--exclude", "*", "--store", store.path)
    assert nobody.err == "serstore: --exclude leaves no member: expected at least one; exclude fewer\n"


def test_of_named_members_some_are_left_out_too(tmp_path):
    store = make_whole(tmp_path / "whole.store", "a", "b", "c")
    left = ss.evaluate(store, ["a", "b", "c"], exclude="c").members
    assert [one.member for one in left] == ["a@2", "b@2"]
    compared = ss.compare(store, ["a", "b", "c"], exclude="b").compared
    assert [one.name for one in compared] == ["a@2", "c@2"]
    hard = ss.find_hard_utterances(store, exclude=["a"])
    assert hard.members == ("b@2", "c@2")


def test_a_pattern_means_the_members_that_fit_it(tmp_path):
    store = make_whole(tmp_path / "whole.store", "a1", "a2", "b")
    names = [one.member for one in ss.evaluate(store, ["b", "a*", "?1"]).members]
    assert names == ["b@2", "a1@2", "a2@2"]
    assert [one.name for one in ss.compare(store, ["a*", "a1+b"]).compared] == ["a1@2", "a2@2", "a1@2+b@2"]
    assert ss.vote(store, "a[12]@2").candidates == ("a1@2", "a2@2")
    ss.export(store, tmp_path / "said.csv", "a*", exclude="a2")
    assert (tmp_path / "said.csv").read_text().splitlines()[0] == "utterance,label,a1@2"
    assert ss.evaluate(store, "a*").members[0].intervals == {}
    with pytest.raises(ss.UnknownNameError, match=r"unknown member 'c\*': expected one of a1@1"):
        ss.evaluate(store, "c*")
    with pytest.raises(ss.EnsembleError, match="is a pattern: expected a member, or an ensemble"):
        ss.evaluate(store, "a*+b")


def test_an_ensemble_is_exported_by_the_rule_it_is_voted_by(path, tmp_path):
    import polars

    store = Store(path)
    for number, (rule, tie) in enumerate([("soft", "lowest"), ("soft-log", "lowest"), ("hard", "confidence")]):
        file = tmp_path / f"{number}.csv"
        ss.export(store, file, "x+y", rule=rule, tie=tie)
        table = polars.read_csv(file)
        right = (table[table.columns[2]] == table["label"]).sum()
        assert right == ss.evaluate(store, "x+y", rule=rule, tie=tie).members[0].metrics.correct


ABC = ["a@2+b@2+c@2", Ensemble(("a@2", "b@2", "c@2"))]


@pytest.mark.parametrize("ensemble", ABC, ids=["name", "Ensemble"])
def test_an_ensemble_stands_wherever_a_member_does(ensemble, tmp_path):
    import polars

    store = make_whole(tmp_path / "whole.store", "a", "b", "c", "bad")
    name = "a@2+b@2+c@2"
    [evaluated] = ss.evaluate(store, ensemble).members
    assert (evaluated.member, evaluated.metrics.correct) == (name, 11)
    hard = ss.find_hard_utterances(store, [ensemble, "bad"])
    assert (hard.members, hard.n_by_right) == ((name, "bad@2"), (1, 11, 0))
    assert {one.only for one in hard.one_right} == {name}
    compared = ss.compare(store, ["bad"], against=ensemble)
    assert [one.name for one in compared.compared] == ["bad@2", name]
    assert set(ss.predictions(store, ensemble)["member"]) == {name}
    assert ss.export(store, tmp_path / "said.csv", [ensemble, "a"]).members == 2
    table = polars.read_csv(tmp_path / "said.csv")
    assert table.columns == ["utterance", "label", name, "a@2"]
    assert (table[name] == table["label"]).sum() == 11
    ss.export(store, tmp_path / "said.npz", ensemble)
    with np.load(tmp_path / "said.npz") as arrays:
        assert (arrays[name] == arrays["labels"]).sum() == 11
    for path, what in (("said.npz", "logits"), ("said.h5ad", "predicted")):
        with pytest.raises(ss.StoreError, match="is an ensemble, which has predicted classes alone"):
            ss.export(store, tmp_path / f"other-{path}", ensemble, what=what)
    with pytest.raises(ss.StoreError, match="is one step: expected a run, such as"):
        ss.steps(store, ensemble)


def test_an_ensemble_that_gives_no_answer_is_exported_in_a_long_table(tmp_path):
    import polars

    corpus = Corpus("made", np.array(["u", "v"]), np.array([0, 1], dtype=np.int16), ("x", "y"))
    store = Store.create(tmp_path / "none.store", corpus)
    for run in "ab":
        store.add_run(RunRecord(run, "import", "elsewhere"))
        store.write_member(Member(run, 1, np.arange(2, dtype=np.int32), predicted=np.array([0, -1], dtype=np.int16)))
    ss.export(store, tmp_path / "none.parquet", ["a+b", "a"])
    table = polars.read_parquet(tmp_path / "none.parquet")
    assert table["run"].to_list() == ["a@1+b@1", "a@1+b@1", "a", "a"]
    assert table["step"].to_list() == [None, None, 1, 1]
    assert table["predicted"].to_list() == ["x", None, "x", None]
