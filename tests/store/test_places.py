"""What a file says of itself agrees with where it stands, and what does not hides nothing else."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from place_samples import BB_20, CASES, MEMBERS, make_three_runs
from store_samples import assert_one_line, assert_same_member, find_problem_files, get_bytes, get_problem, make_member

from ser_store_h5.errors import ExistsError, FormatError, IntegrityError, StoreError, UnknownNameError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.names import find_twins
from ser_store_h5.pack.merging import merge
from ser_store_h5.pack.packing import pack, unpack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

ALL_STEPS = ("--all-combos", "--steps", "all", "--correct", "none")


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Read only."""
    return make_three_runs(tmp_path_factory.mktemp("intact") / "store")


@pytest.fixture
def path(intact: Store, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact.path, tmp_path / "store"))


def list_names(members: list[dict[str, Any]]) -> list[str]:
    return [member["member"] for member in members]


@pytest.mark.parametrize("happened", CASES)
def test_every_command_has_the_right_answer(intact: Store, path: Path, serstore: Any, happened: str) -> None:
    case = CASES[happened]
    expected = serstore("evaluate", "aa", "cc", "--store", intact.path, "--json").json["members"]
    case.change(path)

    listed = serstore("ls", "--store", path, "--json")
    assert listed.code == 0
    assert list_names(listed.json["members"]) == [name for name in MEMBERS if name not in case.unlisted]
    assert sorted(problem["file"] for problem in listed.json["problems"]) == sorted(case.problems)
    assert len(listed.err.splitlines()) == len(case.problems)
    assert sorted(find_problem_files(path)) == sorted((*case.problems, *case.unnoticed))
    informed = serstore("info", "--store", path, "--json")
    assert (informed.code, informed.json["problems"]) == (0, listed.json["problems"])

    assert serstore("evaluate", "aa", "cc", "--store", path, "--json").json["members"] == expected
    others = [run for run in Store(path).runs() if run not in ("aa", "cc")]
    exclude = [word for run in others for word in ("--exclude", run)]
    voted = serstore("vote", "--k", 2, *ALL_STEPS, *exclude, "--store", path, "--json")
    assert voted.json["candidates"] == ["aa@10", "aa@20", "cc@10", "cc@20"]

    for words in (("evaluate",), ("vote", "--k", 2, *ALL_STEPS)):
        outcome = serstore(*words, "--store", path)
        assert outcome.code == 0, words
        assert ("caution: left out, since it cannot be read" in outcome.err) == bool(case.refused)
    named = sorted({Path(file).parts[1] for file in case.problems}) if case.refused else ["bb"]
    for words in (("evaluate", named[0]), ("vote", "aa", named[0]), ("pack", path.with_name("pack.h5"))):
        outcome = serstore(*words, "--store", path)
        assert outcome.code == (1 if case.refused else 0), words
        if case.refused:
            assert_one_line(outcome.err.strip())
            assert case.refused in outcome.err


@pytest.mark.parametrize(("damage", "n_problems"), [("a member cut off", 1), ("a run renamed", 3), ("no record", 1)])
def test_the_other_lists_say_the_same(path: Path, serstore: Any, damage: str, n_problems: int) -> None:
    CASES[damage].change(path)
    listed = serstore("ls", "--store", path, "--json").json["problems"]
    assert len(listed) == n_problems
    assert serstore("info", "--store", path, "--json").json["problems"] == listed
    said = [f"serstore: {problem['file']}: {problem['problem']}" for problem in listed]
    for words in (("ls",), ("info",)):
        outcome = serstore(*words, "--store", path)
        assert (outcome.code, outcome.err.splitlines()) == (0, said)
    verified = serstore("verify", "--store", path, "--json")
    assert (verified.code, len(verified.json["problems"])) == (1, n_problems)


def test_a_member_under_another_name_lends_its_figures_to_nobody(path: Path, serstore: Any) -> None:
    """Its figures were printed as the other model's, and packed so that nobody could read them."""
    shutil.copy(path / "runs/aa/step-000020.h5", path / BB_20)
    assert list_names(serstore("evaluate", "--store", path, "--json").json["members"]) == ["aa@20", "cc@20"]
    for words in (("evaluate", "bb@20"), ("vote", "aa", "bb"), ("pack", path.with_name("pack.h5"))):
        outcome = serstore(*words, "--store", path)
        assert (outcome.code, outcome.out) == (1, "")
        assert "bb@20 says it is aa@20: expected the name its folder and file give it" in outcome.err
        assert "remove it with `serstore rm`, name other members, or leave it out" in outcome.err
    assert not path.with_name("pack.h5").exists()
    assert serstore("rm", "bb@20", "--store", path).code == 0
    assert serstore("verify", "--store", path).code == 0
    assert list_names(serstore("evaluate", "--store", path, "--json").json["members"]) == ["aa@20", "bb@10", "cc@20"]


@pytest.mark.parametrize("happened", [name for name, case in CASES.items() if case.refused and "out of" not in name])
def test_what_is_damaged_can_be_removed(path: Path, serstore: Any, happened: str) -> None:
    CASES[happened].change(path)
    named = {Path(file).parent.name for file in CASES[happened].problems}
    for run in named:
        assert serstore("rm", run, "--store", path).code == 0
    assert verify_store(path).ok
    assert Store(path).survey().problems == ()
    assert {"aa", "cc"} <= {member.run for member in Store(path).members()} <= {"aa", "bb", "cc"} - named


@given(source=st.sampled_from(MEMBERS), target=st.sampled_from(MEMBERS))
def test_a_member_is_read_from_no_place_but_its_own(
    intact: Store, tmp_path_factory: pytest.TempPathFactory, source: str, target: str
) -> None:
    store = Store(shutil.copytree(intact.path, tmp_path_factory.mktemp("moved") / "store"))
    shutil.copy(intact.member_path(*intact.resolve(source)), store.member_path(*store.resolve(target)))
    reads = (
        lambda: store.logits([target], on="all"),
        lambda: store.predictions([target], on="test"),
        lambda: store.pooled(target, on="test"),
        lambda: store.read_member(target),
        lambda: store.describe_member(target),
        store.members,
    )
    for read in reads:
        assert isinstance(get_problem(read), FormatError) == (source != target)
    assert_same_member(store.read_member(source), intact.read_member(source))


DAMAGES = {
    "cut off": lambda content: content[:600],
    "emptied": lambda _: b"",
    "a byte of its structure": lambda content: content[:530] + bytes([content[530] ^ 1]) + content[531:],
    "another program's": lambda content: b"x" * len(content),
}


@settings(max_examples=40)
@given(damages=st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(sorted(DAMAGES))))
def test_a_survey_has_everything_that_is_whole_and_names_everything_that_is_not(
    intact: Store, tmp_path_factory: pytest.TempPathFactory, damages: dict[str, str]
) -> None:
    store = Store(shutil.copytree(intact.path, tmp_path_factory.mktemp("damaged") / "store"))
    expected = {member.name: member for member in intact.members()}
    for name, damage in damages.items():
        path = store.member_path(*store.resolve(name))
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    survey = store.survey()
    whole = [name for name in MEMBERS if name not in damages]
    assert [member.name for member in survey.members] == whole
    assert all(member == expected[member.name] for member in survey.members)
    files = [f"runs/{name[:2]}/step-0000{name[3:]}.h5" for name in MEMBERS if name in damages]
    assert [problem.file for problem in survey.problems] == files
    assert store.logits(whole, on="all").tobytes() == intact.logits(whole, on="all").tobytes()
    problem = get_problem(store.members)
    assert (problem is None) == (not damages)
    assert problem is None or "to go on without it: remove it with `rm()`" in str(problem)


def test_a_damaged_member_of_a_pack_hides_no_other(intact: Store, tmp_path: Path, serstore: Any) -> None:
    path = tmp_path / "pack.h5"
    pack(intact, path)
    content = path.read_bytes()
    place = content.index(intact.read_member("bb@20").logits.tobytes())
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert serstore("evaluate", "aa", "--store", path).code == 0
    assert serstore("vote", "--k", 2, "--exclude", "bb", "--correct", "none", "--store", path).code == 0
    refused = serstore("evaluate", "--store", path)
    assert refused.code == 1
    assert "runs/bb/step-000020: logits: its bytes are damaged" in refused.err
    assert "to go on without it: name other members, or leave it out (--exclude)" in refused.err
    assert find_problem_files(path) == ["runs/bb/step-000020"]


@pytest.mark.parametrize(
    ("damage", "left_out"), [("a member cut off", "bb@20"), ("no record", "bb"), ("a run renamed", "dd")]
)
def test_what_is_asked_of_one_run_or_of_the_corpus_needs_no_other_run(
    path: Path, serstore: Any, damage: str, left_out: str
) -> None:
    CASES[damage].change(path)
    audited = serstore("audit", "--store", path, "--json")
    assert audited.code == 0
    assert audited.json["cautions"][-1] == f"left out, since it cannot be read (`serstore ls` says why): {left_out}"
    assert serstore("steps", "--run", "aa", "--store", path).code == 0
    assert serstore("export", path.with_name("x.csv"), "aa", "--store", path).code == 0
    assert serstore("pack", path.with_name("x.h5"), "aa", "cc@10", "--store", path).code == 0
    assert Store(path.with_name("x.h5")).member_names() == ["aa@20", "cc@10"]


def test_a_merge_restores_what_was_removed_as_damaged(intact: Store, path: Path) -> None:
    CASES["a member cut off"].change(path)
    store = Store(path)
    with pytest.raises(IntegrityError, match=r"has 600 bytes.*to go on without it: remove it with `rm\(\)`"):
        merge(store, intact)
    store.remove("bb@20")
    assert merge(store, intact).added == ("bb@20",)
    assert_same_member(store.read_member("bb@20"), intact.read_member("bb@20"))


def test_a_corpus_of_another_store_is_told_from_a_member_of_one(path: Path) -> None:
    other = make_three_runs(path.with_name("other"), shift=1)
    shutil.copy(other.path / "corpus.h5", path / "corpus.h5")
    survey = Store(path).survey()
    assert (survey.members, len(survey.problems)) == ((), len(MEMBERS))
    assert "or corpus.h5 was if all members say so" in survey.problems[0].problem


@pytest.mark.parametrize("is_packed", [False, True])
def test_runs_that_differ_in_case_alone_are_not_made(intact: Store, path: Path, is_packed: bool) -> None:
    store = Store(path)
    message = r"run bb is in .* already and differs from Bb in case alone.*`rm\(\)`"
    with pytest.raises(ExistsError, match=message):
        store.add_run(RunRecord("Bb", "import", "x"))
    source = intact
    if is_packed:
        pack(intact, path.with_name("pack.h5"))
        source = Store(path.with_name("pack.h5"))
    before = get_bytes(path)
    with pytest.raises(StoreError, match=r"nothing was merged: runs Bb and bb differ in case alone"):
        merge(store, source, rename={"aa": "Bb"})
    with pytest.raises(StoreError, match=r"nothing was merged: runs DD and dd differ in case alone"):
        merge(store, source, rename={"aa": "dd", "cc": "DD"})
    assert get_bytes(path) == before


def test_runs_that_differ_in_case_alone_are_read_named_and_not_packed(path: Path) -> None:
    """Another program, or hands, made them where both can be."""
    store = Store(path)
    member = make_member(store.corpus, "x", 10, seed=7)
    store.add_run(RunRecord("x", "import", "x"))
    store.write_member(member)
    (path / "runs/x").rename(path / "runs/kept")
    store.add_run(RunRecord("X", "import", "X"))
    store.write_member(make_member(store.corpus, "X", 10, seed=8))
    (path / "runs/kept").rename(path / "runs/x")
    assert_same_member(store.read_member("x@10"), member)
    assert not np.array_equal(store.logits(["x"], on="all"), store.logits(["X"], on="all"))
    (problem,) = verify_store(path).problems
    assert (problem.file, problem.problem[:40]) == ("runs/x", "differs from run X in case alone, which ")
    with pytest.raises(StoreError, match=r"store has runs X and x, which not every disk tells apart"):
        pack(store, path.with_name("pack.h5"))
    pack(store, path.with_name("pack.h5"), members=["x", "aa"])
    assert unpack(path.with_name("pack.h5"), path.with_name("new")).member_names() == ["aa@20", "x@10"]


@given(st.lists(st.sampled_from(["a", "A", "b", "ab", "aB", "Ab", "AB", "ß"]), unique=True))
def test_twins_are_found_in_any_order(runs: list[str]) -> None:
    assert len({run.lower() for run in runs}) + len(find_twins(runs)) == len(runs)
    assert all(one != other and one.lower() == other.lower() for one, other in find_twins(runs))


def test_a_name_in_another_case_is_the_nearest(intact: Store) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown run 'BB': expected one of bb \(nearest\)"):
        intact.run("BB")
    with pytest.raises(UnknownNameError, match=r"unknown member 'BB@10': expected one of bb@10 \(nearest\)"):
        intact.resolve("BB@10")


def test_where_the_disk_knows_no_case_a_run_has_one_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that is not listed stands for such a disk: the folder is there under either name."""
    (path / "runs/BB").symlink_to("bb", target_is_directory=True)
    list_all = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: [name for name in list_all(folder) if name != "BB"])
    store = Store(path)
    for call in (lambda: store.logits(["BB@10"], on="all"), lambda: store.run("BB"), lambda: store.remove("BB")):
        assert isinstance(get_problem(call), UnknownNameError)
    with pytest.raises(ExistsError, match=r"run bb is in .* already and differs from BB in case alone"):
        store.add_run(RunRecord("BB", "import", "x"))


def test_a_run_that_another_removes_is_unknown_and_no_problem(path: Path) -> None:
    store, other = Store(path), Store(path)
    other.remove("bb")
    for call in (lambda: store.logits(["bb"], on="all"), lambda: store.run("bb"), lambda: store.remove("bb")):
        assert isinstance(get_problem(call), UnknownNameError)
    assert isinstance(get_problem(lambda: store.append_curve("bb", step=1)), StoreError)
    assert isinstance(get_problem(lambda: store.write_member(make_member(store.corpus, "bb", 9))), UnknownNameError)
    assert store.survey().problems == ()
    assert store.member_names() == ["aa@10", "aa@20", "cc@10", "cc@20"]


def test_a_run_that_is_removed_while_it_is_surveyed_is_no_problem(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = Store(path), Store(path)
    list_runs = store.place.runs

    def list_and_remove() -> list[str]:
        listed = list_runs()
        other.remove("bb")
        return listed

    monkeypatch.setattr(store.place, "runs", list_and_remove)
    survey = store.survey()
    assert survey.problems == ()
    assert sorted(survey.records) == ["aa", "cc"]


def test_a_reader_keeps_the_member_it_has_opened(path: Path) -> None:
    store = Store(path)
    before, after = store.read_member("bb@20"), make_member(store.corpus, "bb", 20, seed=99)
    with store.place.opened(store.header) as open_member, open_member("bb", 20) as file:
        Store(path).write_member(after, replace=True)
        assert_same_member(file.read(), before)
    assert_same_member(store.read_member("bb@20"), after)
