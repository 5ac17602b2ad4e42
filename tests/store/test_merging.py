"""Merging: all of it or nothing, nothing lost on either side, and a way out of every conflict."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hostile_samples
import numpy as np
import pytest
from store_samples import (
    assert_same_array,
    assert_same_corpus,
    assert_same_member,
    get_bytes,
    get_problem,
    make_corpus,
    make_member,
    make_store,
)

from ser_store_h5.errors import FormatError, IntegrityError, StoreError, UnknownNameError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.pack.merging import MergeResult, merge
from ser_store_h5.pack.packing import pack
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

EMPTY = MergeResult((), (), (), ())


@pytest.fixture
def target(tmp_path: Path) -> Store:
    return make_store(tmp_path / "target")


@pytest.fixture
def source(tmp_path: Path, target: Store) -> Store:
    """A copy of the target, to be changed."""
    shutil.copytree(target.path, tmp_path / "source")
    return Store(tmp_path / "source")


def add_other_run(store: Store, run: str = "other") -> None:
    store.add_run(RunRecord(run, "frozen", "mfcc", details={"split": "usual"}))
    store.write_member(make_member(store.corpus, run, 0, seed=5))
    store.append_curve(run, step=0, eval_loss=0.25)


def select(store: Store, step: int) -> None:
    store.update_run(replace(store.run("tiny"), selected=Selection(step, "step", "test", "chosen")))


def test_two_equal_stores_have_nothing_to_merge(target: Store, source: Store) -> None:
    before = get_bytes(target.path)
    assert merge(target, source) == replace(EMPTY, identical=("tiny@10", "tiny@20"))
    assert get_bytes(target.path) == before


@pytest.mark.parametrize("is_packed", [False, True])
def test_runs_members_curves_splits_and_columns_are_added(
    target: Store, source: Store, tmp_path: Path, is_packed: bool
) -> None:
    add_other_run(source)
    source.write_member(make_member(source.corpus, "tiny", 30))
    source.append_curve("tiny", step=30, eval_loss=0.1)
    further = {"take": source.corpus.columns["take"], "weight": np.linspace(0, 1, 12)}
    parts = np.where(source.corpus.columns["take"] < 6, "fold-1", "fold-2")
    source.update_corpus(replace(source.corpus, columns=further).with_split("folds", parts))
    if is_packed:
        pack(source, tmp_path / "packed.h5")
        source = Store(tmp_path / "packed.h5")
    before = get_bytes(tmp_path / "source")
    found = merge(target, source)
    assert found == MergeResult(
        ("other@0", "tiny@30"), ("tiny@10", "tiny@20"), ("folds",), ("weight",), runs=("other",)
    )
    assert get_bytes(tmp_path / "source") == before
    assert verify_store(target.path).ok
    reopened = Store(target.path)
    assert_same_corpus(reopened.corpus, source.corpus)
    for name in source.member_names():
        assert_same_member(reopened.read_member(name), source.read_member(name))
    for run in source.runs():
        assert reopened.run(run) == source.run(run)
        assert reopened.curves(run) == source.curves(run)


def test_what_only_the_target_has_stays(target: Store, source: Store) -> None:
    add_other_run(target)
    parts = np.where(target.corpus.columns["take"] < 6, "fold-1", "fold-2")
    target.update_corpus(target.corpus.with_split("folds", parts))
    target.append_curve("tiny", step=30, eval_loss=0.1)
    before = get_bytes(target.path)
    assert merge(target, source) == replace(EMPTY, identical=("tiny@10", "tiny@20"))
    assert get_bytes(target.path) == before


def test_stores_of_two_corpora_are_not_merged(target: Store, tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"is of another corpus \(sample, 15 utterances\) than .*: expected two stores"
    ):
        merge(target, make_store(tmp_path / "another", n=15))


def test_a_packed_target_is_refused(target: Store, source: Store, tmp_path: Path) -> None:
    pack(target, tmp_path / "packed.h5")
    with pytest.raises(StoreError, match="is a packed store, which is never changed"):
        merge(Store(tmp_path / "packed.h5"), source)


def conflict_kind(store: Store) -> None:
    store.update_run(replace(store.run("tiny"), kind="head", backbone="svm", details={"seed": 2, "new": 1}))


def conflict_member(store: Store) -> None:
    store.write_member(make_member(store.corpus, "tiny", 20, seed=9), replace=True)


def conflict_curves(store: Store) -> None:
    store.remove("tiny")
    store.add_run(RunRecord("tiny", "finetune", "tiny-hubert", details={"seed": 1}))
    store.append_curve("tiny", step=10, eval_loss=9)


def conflict_split(store: Store) -> None:
    store.update_corpus(replace(store.corpus, splits={"usual": store.corpus.splits["usual"][::-1]}))


def conflict_column(store: Store) -> None:
    store.update_corpus(replace(store.corpus, columns={"take": np.zeros(12)}))


def conflict_speakers(store: Store) -> None:
    assert store.corpus.speakers is not None
    store.update_corpus(replace(store.corpus, speakers=store.corpus.speakers[::-1]))


CONFLICTS: dict[str, tuple[Callable[[Store], None], str]] = {
    "record": (conflict_kind, "run tiny has another kind, backbone, seed;"),
    "member": (conflict_member, "member tiny@20 has other numbers;"),
    "curves": (conflict_curves, "run tiny has other curves;"),
    "split": (conflict_split, "split usual says something else;"),
    "column": (conflict_column, "column take says something else;"),
    "speakers": (conflict_speakers, "speakers of the utterances differ;"),
}


@pytest.mark.parametrize("kind", CONFLICTS)
def test_a_conflict_is_named_and_nothing_is_written(target: Store, source: Store, kind: str) -> None:
    change, message = CONFLICTS[kind]
    change(source)
    add_other_run(source)
    before = get_bytes(target.path)
    problem = get_problem(lambda: merge(target, source))
    assert isinstance(problem, StoreError)
    assert f"contradicts {target.path}, nothing was merged: {message} give what differs another name" in str(problem)
    assert get_bytes(target.path) == before


def test_all_conflicts_are_named_in_one_line_but_not_thousands(target: Store, source: Store) -> None:
    for step in range(100, 130):
        for seed, store in enumerate((target, source)):
            store.write_member(make_member(store.corpus, "tiny", step, seed=seed))
    conflict_split(source)
    conflict_member(source)
    problem = str(get_problem(lambda: merge(target, source)))
    assert "split usual says something else; member tiny@20 has other numbers; member tiny@100 has" in problem
    assert "; … (32 in all); give" in problem


def test_another_name_is_the_way_out_of_every_conflict(target: Store, source: Store) -> None:
    for change in (conflict_kind, conflict_member, conflict_split, conflict_column):
        change(source)
    source.update_run(source.run("tiny").updated(split="usual"))
    names = {"tiny": "theirs", "usual": "mirrored", "take": "zeros"}
    found = merge(target, source, rename=names)
    assert (found.added, found.splits, found.columns) == (("theirs@10", "theirs@20"), ("mirrored",), ("zeros",))
    assert verify_store(target.path).ok
    assert target.run("theirs").details["split"] == "mirrored"
    for step in (10, 20):
        theirs = source.read_member(f"tiny@{step}")
        assert_same_member(target.read_member(f"theirs@{step}"), replace(theirs, run="theirs"))
    assert_same_array(target.corpus.splits["mirrored"], source.corpus.splits["usual"])
    assert merge(target, source, rename=names).identical == found.added


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        ({"tinny": "x"}, UnknownNameError, "unknown run, split or column 'tinny': expected one of tiny (nearest)"),
        ({"useual": "y"}, UnknownNameError, "unknown run, split or column 'useual': expected one of usual (nearest)"),
        ({"takes": "y"}, UnknownNameError, "unknown run, split or column 'takes': expected one of take (nearest)"),
        ({"tiny": "other"}, StoreError, "runs other, tiny would be called other: give each a name of its"),
        ({"tiny": "../x"}, StoreError, "run name '../x': expected 1 to 100 letters"),
        ({"usual": "a/b"}, StoreError, "'a/b': expected 1 to 100 characters"),
    ],
)
def test_a_name_that_cannot_be_given_is_refused(
    target: Store, source: Store, names: Any, kind: type[Exception], message: str
) -> None:
    add_other_run(source)
    before = get_bytes(target.path)
    problem = get_problem(lambda: merge(target, source, rename=names))
    assert problem is not None
    assert message in str(problem)
    assert kind is StoreError or isinstance(problem, kind)
    assert get_bytes(target.path) == before


def test_a_member_that_covers_more_or_holds_more_takes_the_place_of_one_that_agrees(
    target: Store, source: Store
) -> None:
    whole = make_member(source.corpus, "tiny", 30)
    assert whole.logits is not None
    part = replace(whole, rows=whole.rows[::2], logits=whole.logits[::2], pooled=None)
    source.write_member(whole)
    target.write_member(part)
    assert merge(target, source).replaced == ("tiny@30",)
    assert_same_member(target.read_member("tiny@30"), whole)
    source.write_member(part, replace=True)
    assert "tiny@30" in merge(target, source).identical
    assert_same_member(target.read_member("tiny@30"), whole)


def test_members_of_which_each_has_what_the_other_lacks_are_a_conflict(target: Store, source: Store) -> None:
    whole = make_member(source.corpus, "tiny", 30)
    source.write_member(replace(whole, logits=None))
    target.write_member(replace(whole, pooled=None))
    with pytest.raises(StoreError, match="member tiny@30 has other numbers"):
        merge(target, source)


def test_equal_numbers_of_another_dtype_or_sign_are_a_conflict(target: Store, source: Store) -> None:
    whole = replace(make_member(source.corpus, "tiny", 30), logits=np.zeros((12, 3), dtype=np.float32))
    assert whole.logits is not None
    target.write_member(whole)
    for other in (replace(whole, pooled=np.float32(whole.pooled)), replace(whole, logits=-whole.logits)):
        source.write_member(other, replace=30 in source.steps("tiny"))
        with pytest.raises(StoreError, match="member tiny@30 has other numbers"):
            merge(target, source)


def test_of_two_curves_the_longer_wins(target: Store, source: Store) -> None:
    source.append_curve("tiny", step=30, eval_loss=float("nan"), run="a key like any other")
    merge(target, source)
    assert target.curves("tiny") == source.curves("tiny")
    assert len(target.curves("tiny")) == 3


def test_selected_steps_stay_and_are_taken_over_only_where_there_is_none(target: Store, source: Store) -> None:
    select(source, 10)
    assert merge(target, source).kept_selections == ()
    assert target.run("tiny").selected == source.run("tiny").selected
    select(source, 20)
    assert merge(target, source).kept_selections == ("tiny",)
    assert target.selected_step("tiny") == 10


def test_a_run_that_went_on_elsewhere_takes_its_state_and_details(target: Store, source: Store) -> None:
    target.update_run(target.run("tiny").updated(state="running"))
    source.update_run(source.run("tiny").updated(state="finished", seconds=7.5))
    merge(target, source)
    assert (target.run("tiny").state, target.run("tiny").details) == ("finished", {"seed": 1, "seconds": 7.5})
    source.update_run(source.run("tiny").updated(state="failed"))
    merge(target, source)
    assert target.run("tiny").state == "finished"


def test_what_the_corpus_of_the_target_lacks_is_added(tmp_path: Path) -> None:
    bare = replace(make_corpus(), speakers=None, columns={}, splits={}, default_split=None)
    paths = np.array([f"{i}.wav" for i in range(12)])
    full = replace(make_corpus(), paths=paths, audio_root="/audio", audio_digests=np.zeros((12, 32), np.uint8))
    target, source = Store.create(tmp_path / "target", bare), Store.create(tmp_path / "source", full)
    found = merge(target, source)
    assert (found.splits, found.columns) == (("usual",), ("take", "speakers", "audio_digests", "paths"))
    assert_same_corpus(Store(target.path).corpus, full)
    elsewhere = replace(full, paths=paths[::-1], audio_root="/elsewhere")
    source.update_corpus(elsewhere)
    merge(target, source)
    assert_same_corpus(Store(target.path).corpus, full)


def test_a_damaged_source_is_found_before_anything_is_written(target: Store, source: Store) -> None:
    add_other_run(source)
    path = source.member_path("other", 0)
    content = bytearray(path.read_bytes())
    content[-1_000] ^= 1
    path.write_bytes(content)
    before = get_bytes(target.path)
    with pytest.raises((IntegrityError, FormatError)):
        merge(target, source)
    assert get_bytes(target.path) == before


def test_a_source_whose_members_say_they_are_others_is_refused(target: Store, source: Store) -> None:
    """What a stranger's file says must not choose where in the target it is written."""
    hostile_samples.write_member(
        source.member_path("tiny", 30), source.corpus, lambda file: hostile_samples.put_text(file, "run", "elsewhere")
    )
    before = get_bytes(target.path)
    with pytest.raises(FormatError, match="tiny@30 says it is elsewhere@30: expected the name its folder and file"):
        merge(target, source)
    assert get_bytes(target.path) == before


class StopError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("writes", range(9))
def test_a_merge_that_was_cut_off_is_completed_by_the_next(
    target: Store, source: Store, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    for run in ("one", "two"):
        add_other_run(source, run)
    source.update_corpus(source.corpus.with_split("folds", np.full(12, "fold-1")))
    source.append_curve("tiny", step=30)
    done = []
    for name in ("update_corpus", "add_run", "write_member", "append_curve"):
        whole = getattr(Store, name)

        def limited(self: Store, *given: Any, whole: Any = whole, **named: Any) -> Any:
            if len(done) == writes and self.path == target.path:
                raise StopError
            done.append(whole)
            return whole(self, *given, **named)

        monkeypatch.setattr(Store, name, limited)
    if writes < 8:
        with pytest.raises(StopError):
            merge(target, source)
        assert verify_store(target.path).ok
    monkeypatch.undo()
    merge(Store(target.path), source)
    found = Store(target.path)
    assert verify_store(target.path).ok
    assert_same_corpus(found.corpus, source.corpus)
    assert found.member_names() == source.member_names()
    for run in source.runs():
        assert (found.run(run), found.curves(run)) == (source.run(run), source.curves(run))
    assert merge(found, source) == replace(EMPTY, identical=("one@0", "tiny@10", "tiny@20", "two@0"))


def test_progress_is_shown_of_what_is_read_and_of_what_is_written(target: Store, source: Store) -> None:
    add_other_run(source)
    seen: list[list[str]] = []

    def watch(names: Any, /, *, total: int, label: str) -> Any:
        seen.append(list(names))
        return names

    merge(target, source, progress=watch)
    assert seen == [["other@0", "tiny@10", "tiny@20"], ["other@0"]]
