"""Random sequences of operations on a store, against a model of plain dictionaries, compared after every step.

What the store says is compared by its own methods, and what lies on the disk by the second reader, which shares no line
with it. ``SERSTORE_MODEL_STEPS`` makes it go on for longer.
"""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from second_reader import read_pack, read_store
from store_model import ConflictError, Model, ModelRun, as_read, make_member, merge_models, predict, select
from store_samples import assert_same_array, assert_same_corpus, assert_same_member, get_bytes

from ser_store.interchange.export import export
from ser_store_h5.errors import ExistsError, StoreError, UnknownNameError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.pack.merging import merge
from ser_store_h5.pack.packing import pack, unpack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

EXAMPLES = int(os.environ.get("SERSTORE_MODEL_EXAMPLES", "15"))
STEPS = 25
RUNS = ("a", "b", "frozen-1.2")
SEEDS = st.integers(0, 40)  # few, so that equal members come about
WHEN = st.sampled_from([0, 7, 10, 999_999, 10**12 - 1])
DETAILS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.none() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=4).map(lambda text: text.encode(
        errors="replace").decode()) | st.lists(st.booleans(), max_size=2),
    max_size=3,
)  # fmt: skip
RESERVED = {"format", "format_version", "run", "kind", "backbone", "state", "selected", "sha256", "crc32"}


class StoreMachine(RuleBasedStateMachine):
    """One store and its model. Every rule does the same to both; the invariants compare them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.model = Model()
        self.count = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def new_path(self) -> Path:
        self.count += 1
        return self.folder / f"{self.count}"

    @initialize(members=st.lists(st.tuples(st.sampled_from(RUNS), WHEN, SEEDS), min_size=1, max_size=5))
    def create(self, members: list[tuple[str, int, int]]) -> None:
        self.store = Store.create(self.new_path(), self.model.corpus)
        for run, step, seed in members:
            self.add_or_refuse_run(self.store, self.model, run, "finetune", {})
            self.write_or_refuse_member(self.store, self.model, run, step, seed, "replace")

    # What changes a store; also done to the other store of a merge.

    def add_or_refuse_run(self, store: Store, model: Model, run: str, kind: str, details: dict[str, Any]) -> None:
        given = {key: value for key, value in details.items() if key not in RESERVED}
        record = RunRecord(run, kind, "mfcc", state="running", details=given)
        if run in model.runs:
            with pytest.raises(ExistsError):
                store.add_run(record)
        else:
            store.add_run(record)
            model.runs[run] = ModelRun(replace(record, details=as_read(given)))

    def write_or_refuse_member(self, store: Store, model: Model, run: str, step: int, seed: int, how: str) -> None:
        member = make_member(run, step, seed, model.corpus)
        if run not in model.runs:
            with pytest.raises(UnknownNameError):
                store.write_member(member)
        elif step in model.runs[run].members and how == "new":
            with pytest.raises(ExistsError):
                store.write_member(member)
        else:
            store.write_member(member, replace=how == "replace")
            model.runs[run].members[step] = member

    def append_point(self, store: Store, model: Model, run: str, point: dict[str, Any]) -> None:
        given = {key: value for key, value in point.items() if key != "crc32"}
        if run in model.runs:
            store.append_curve(run, **given)
            model.runs[run].points.append(as_read(given))

    def thin_out(self, store: Store, model: Model, name: str, seed: int) -> None:
        """Put in the place of a member one that covers fewer utterances or holds fewer arrays of it."""
        whole = model.member(name)
        kept = np.random.default_rng(seed).random(len(whole.rows)) < 0.7
        kept[0] = True
        arrays = {kind: getattr(whole, kind) for kind in ("logits", "pooled", "predicted")}
        part = {kind: None if array is None else array[kept] for kind, array in arrays.items()}
        if seed % 2 and sum(array is not None for array in part.values()) > 1:
            part[next(kind for kind, array in part.items() if array is not None)] = None
        thin = replace(whole, rows=whole.rows[kept], **part)
        store.write_member(thin, replace=True)
        model.runs[thin.run].members[thin.step] = thin

    def add_split_or_column(self, store: Store, model: Model, name: str, seed: int) -> None:
        random = np.random.default_rng(seed % 3)
        n = len(model.corpus)
        changed = model.corpus.with_split(f"split {name}", random.choice(["train", "test", ""], n))
        columns = {**changed.columns, f"column {name}": random.normal(size=n)}
        changed = replace(changed, columns=columns)
        store.update_corpus(changed)
        model.corpus = changed

    @rule(run=st.sampled_from(RUNS), kind=st.sampled_from(["finetune", "frozen"]), details=DETAILS)
    def add_run(self, run: str, kind: str, details: dict[str, Any]) -> None:
        self.add_or_refuse_run(self.store, self.model, run, kind, details)

    @rule(run=st.sampled_from(RUNS), step=WHEN, seed=SEEDS, how=st.sampled_from(["new", "replace"]))
    def write_member(self, run: str, step: int, seed: int, how: str) -> None:
        self.write_or_refuse_member(self.store, self.model, run, step, seed, how)

    @rule(run=st.sampled_from(RUNS), point=DETAILS)
    def append_curve(self, run: str, point: dict[str, Any]) -> None:
        self.append_point(self.store, self.model, run, point)

    @rule(name=st.sampled_from(["x", "ä"]), seed=SEEDS)
    def update_corpus(self, name: str, seed: int) -> None:
        self.add_split_or_column(self.store, self.model, name, seed)

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data(), step=WHEN, state=st.sampled_from(["finished", "failed"]))
    def update_run(self, data: Any, step: int, state: str) -> None:
        run = data.draw(st.sampled_from(sorted(self.model.runs)))
        record = replace(self.store.run(run).updated(state=state, noted=step), selected=select(step))
        self.store.update_run(record)
        self.model.runs[run].record = record

    @precondition(lambda self: self.model.names)
    @rule(data=st.data())
    def remove_member(self, data: Any) -> None:
        name = data.draw(st.sampled_from(self.model.names))
        assert self.store.remove(name) == [name]
        run, _, step = name.partition("@")
        del self.model.runs[run].members[int(step)]

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data())
    def remove_run(self, data: Any) -> None:
        run = data.draw(st.sampled_from(sorted(self.model.runs)))
        held = [f"{run}@{step}" for step in sorted(self.model.runs[run].members)]
        assert self.store.remove(run) == held
        del self.model.runs[run]

    @rule(run=st.sampled_from(RUNS), step=WHEN)
    def remove_what_is_not_there(self, run: str, step: int) -> None:
        if run not in self.model.runs or step not in self.model.runs[run].members:
            with pytest.raises((UnknownNameError, StoreError)):
                self.store.remove(f"{run}@{step}")

    @rule()
    def reopen(self) -> None:
        self.store = Store(self.store.path)

    def diverge(self, data: Any) -> tuple[Store, Model]:
        """A copy of the store that went its own way for a while."""
        store, model = Store(shutil.copytree(self.store.path, self.new_path())), self.model.copy()
        for _ in range(data.draw(st.integers(0, 3))):
            run, step, seed = data.draw(st.sampled_from(RUNS)), data.draw(WHEN), data.draw(SEEDS)
            change = data.draw(st.sampled_from(["run", "member", "point", "column", "thin"]))
            if change == "run":
                self.add_or_refuse_run(store, model, run, "frozen", {})
            elif change == "member":
                self.write_or_refuse_member(store, model, run, step, seed, "replace")
            elif change == "point":
                self.append_point(store, model, run, {"step": step})
            elif change == "column":
                self.add_split_or_column(store, model, f"{step}", seed)
            elif model.names:
                self.thin_out(store, model, data.draw(st.sampled_from(model.names)), seed)
        return store, model

    @rule(data=st.data(), is_packed=st.booleans(), goes_back=st.booleans())
    def merge(self, data: Any, is_packed: bool, goes_back: bool) -> None:
        """Merge with a copy that went its own way, in either direction, the source as a folder or packed."""
        (target, own), (source, said) = (self.store, self.model), self.diverge(data)
        if goes_back:
            (target, own), (source, said) = (source, said), (target, own)
        if is_packed:
            packed = self.new_path()
            pack(source, packed)
            source = Store(packed)
        before = get_bytes(target.path)
        try:
            expected = merge_models(own, said)
        except ConflictError:
            with pytest.raises(StoreError, match="nothing was merged"):
                merge(target, source)
            assert get_bytes(target.path) == before
            return
        found = merge(target, source)
        assert set(found.added) == set(expected.names) - set(own.names)
        assert merge(target, source).added == ()
        self.store, self.model = target, expected

    @rule()
    def pack_and_unpack(self) -> None:
        packed = self.new_path()
        assert list(pack(self.store, packed).members) == self.model.names
        self.compare(Store(packed))
        self.compare_bytes(*read_pack(packed))
        assert verify_store(packed).ok
        self.store = unpack(packed, self.new_path())

    @precondition(lambda self: any(self.model.member(name).logits is not None for name in self.model.names))
    @rule()
    def export(self) -> None:
        names = [name for name in self.model.names if self.model.member(name).logits is not None]
        whole = [name for name in names if len(self.model.member(name).rows) == len(self.model.corpus)]
        path = self.new_path().with_suffix(".npz")
        if whole:
            export(self.store, path, whole, what="logits", on="all")
            with np.load(path, allow_pickle=False) as exported:
                for name in whole:
                    assert_same_array(exported[name], self.model.member(name).logits)

    # What is compared after every step.

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        if hasattr(self, "store"):
            self.compare(self.store)

    @invariant()
    def the_disk_holds_what_the_model_says(self) -> None:
        if hasattr(self, "store"):
            self.compare_bytes(*read_store(self.store.path))

    @invariant()
    def every_byte_is_verified(self) -> None:
        if hasattr(self, "store"):
            found = verify_store(self.store.path)
            assert (found.problems, found.leftovers) == ((), ())

    def compare(self, store: Store) -> None:
        model = self.model
        assert store.runs() == sorted(model.runs)
        assert store.member_names() == model.names == [info.name for info in store.members()]
        assert_same_corpus(store.corpus, model.corpus)
        for run, expected in model.runs.items():
            assert store.run(run) == expected.record
            assert store.curves(run) == expected.points
            if expected.members:
                assert store.selected_step(run) == expected.selected_step
        for name in model.names:
            self.compare_member(store, name)

    def compare_member(self, store: Store, name: str) -> None:
        expected = self.model.member(name)
        assert_same_member(store.read_member(name), expected)
        places = np.arange(len(expected.rows))[::-2]
        rows = expected.rows[places]
        if expected.logits is not None:
            assert_same_array(store.logits([name], rows)[0], expected.logits[places])
        if expected.pooled is not None:
            assert_same_array(store.pooled(name, rows), expected.pooled[places])
        if expected.logits is not None or expected.predicted is not None:
            assert store.predictions([name], rows)[0].tolist() == [predict(expected)[place] for place in places]
        missing = sorted(set(range(len(self.model.corpus))) - set(expected.rows.tolist()))
        if missing and expected.logits is not None:
            with pytest.raises(StoreError, match=f"says nothing about {len(missing)} of the {len(missing)} utterances"):
                store.logits([name], np.array(missing, dtype=np.int32))

    def compare_bytes(self, corpus: Any, runs: dict[str, Any], members: dict[str, Any]) -> None:
        stated, arrays = corpus
        assert stated["default_split"] == (self.model.corpus.default_split or "")
        for name, values in self.model.corpus.columns.items():
            assert arrays[f"columns/{name}"].tolist() == values.tolist()
        for name, values in self.model.corpus.splits.items():
            assert arrays[f"splits/{name}"].tolist() == values.tolist()
        assert set(runs) == set(self.model.runs)
        assert sorted(members) == sorted(self.model.names)
        for name, (provenance, held) in members.items():
            expected = self.model.member(name)
            assert provenance == expected.provenance
            for kind in ("rows", "logits", "pooled", "predicted"):
                assert_same_array(held.get(kind), getattr(expected, kind))


def test_any_sequence_of_operations_leaves_the_store_that_the_model_says() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]  # hypothesis leaves it untyped
        StoreMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )
