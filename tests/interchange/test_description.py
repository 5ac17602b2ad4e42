"""What a store says of itself: sizes that add up, by run and by dataset, and beside the checkpoints it stands for."""

import numpy as np
import pytest

from ser_store.backbones.catalogue import lookup
from ser_store.errors import StoreError
from ser_store.interchange.description import describe_store
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.pack.packing import pack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@pytest.fixture
def store(tmp_path):
    """Two runs of xlsr53 with three steps together, one by its hub id; a head, features and an unknown backbone."""
    n = 30
    corpus = Corpus(
        "sample", np.array([f"u{row:02}" for row in range(n)]), (np.arange(n) % 2).astype(np.int16), ("a", "b")
    )
    store = Store.create(tmp_path / "x.store", corpus)
    runs = {
        "first": ("finetune", "xlsr53", (100, 200)),
        "second": ("finetune", "facebook/wav2vec2-large-xlsr-53", (100,)),
        "head": ("head", "xlsr53", (0,)),
        "mfcc": ("frozen", "mfcc", (0,)),
        "mine": ("finetune", "me/mine", (7,)),
        "empty": ("finetune", "hubert-base", ()),
    }
    rows = np.arange(n, dtype=np.int32)
    for run, (kind, backbone, steps) in runs.items():
        store.add_run(RunRecord(run, kind, backbone))
        for step in steps:
            logits = np.zeros((n, 2), dtype=np.float32)
            pooled = None if kind == "head" else np.zeros((n, 16), dtype=np.float16)
            store.write_member(Member(run, step, rows, logits, pooled))
    return store


def test_sizes_are_those_of_the_files(store):
    description = describe_store(store.path)
    assert description.bytes == sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    assert description.corpus_bytes == (store.path / "corpus.h5").stat().st_size
    for run in description.runs:
        files = store.run_folder(run.record.run).iterdir()
        assert run.bytes == sum(file.stat().st_size for file in files)


def test_sizes_by_dataset_are_those_of_the_arrays_and_add_up(store):
    description = describe_store(store.path)
    sizes = description.dataset_bytes
    assert {name: sizes[name] for name in ("pooled", "logits", "rows")} == {
        "pooled": 5 * 30 * 16 * 2,
        "logits": 6 * 30 * 2 * 4,
        "rows": 6 * 30 * 4,
    }
    assert sum(sizes.values()) == description.bytes
    assert list(sizes)[-1] == "other"
    first = next(run for run in description.runs if run.record.run == "first")
    assert first.dataset_bytes == {"pooled": 2 * 30 * 16 * 2, "logits": 2 * 30 * 2 * 4, "rows": 2 * 30 * 4}


def test_checkpoints_are_counted_for_each_cached_step_of_a_pretrained_backbone(store):
    description = describe_store(store.path)
    [comparison] = description.comparisons
    expected = lookup("xlsr53")
    assert (comparison.backbone, comparison.runs, comparison.steps) == ("xlsr53", ("first", "second"), 3)
    assert comparison.parameters == expected.parameters
    assert comparison.checkpoints_bytes == 3 * 4 * expected.parameters
    assert comparison.store_bytes == sum(r.bytes for r in description.runs if r.record.run in ("first", "second"))
    assert comparison.ratio == comparison.checkpoints_bytes / comparison.store_bytes
    assert description.to_json()["checkpoints"][0]["checkpoints_bytes"] == comparison.checkpoints_bytes


def test_checkpoints_that_are_there_are_measured_and_not_part_of_the_store(store):
    folder = store.run_folder("first") / "checkpoints" / "checkpoint-100"
    folder.mkdir(parents=True)
    before = describe_store(store.path).bytes
    (folder / "model.safetensors").write_bytes(bytes(1234))
    description = describe_store(store.path)
    assert description.bytes == before
    assert [run.checkpoint_bytes for run in description.runs if run.record.run == "first"] == [1234]


def test_a_packed_store_is_described_like_the_folder(store, tmp_path):
    pack(store, tmp_path / "x.h5")
    folder, packed = describe_store(store.path), describe_store(tmp_path / "x.h5")
    assert packed.bytes == (tmp_path / "x.h5").stat().st_size
    assert [run.record for run in packed.runs] == [run.record for run in folder.runs]
    assert [run.dataset_bytes for run in packed.runs] == [run.dataset_bytes for run in folder.runs]
    assert sum(packed.dataset_bytes.values()) == packed.bytes
    assert [one.steps for one in packed.comparisons] == [3]


def test_without_a_store_there_is_nothing_to_describe(tmp_path):
    with pytest.raises(StoreError, match="no store at"):
        describe_store(tmp_path)
