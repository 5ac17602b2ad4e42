"""The comparison of storage formats tells time only of what gave back what was written."""

import json

import numpy as np
import pytest

from measuring.formats import FORMATS
from measuring.own_formats import SerstoreFolder
from measuring.plain_formats import Savez
from measuring.storing import Costs, compare_storage
from measuring.workload import Workload
from ser_store.errors import StoreError

SMALL = Workload(members=16, n=10, hidden=12, n_classes=3)


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_every_format_gives_back_what_was_written(one, tmp_path):
    for library in one.libraries:
        pytest.importorskip(library)
    workload = Workload(members=15, n=6, hidden=40, n_classes=3)
    one.write(tmp_path, workload)
    assert one.list_members(tmp_path) == [(name, (6, 3)) for name in workload.names]
    rows = np.array([0, 3, 5], dtype=np.int32)
    found = [one.read_logits(tmp_path, rows), one.read_pooled(tmp_path, workload.names[14])]
    found.append(one.read_utterance(tmp_path, 4))
    for array, expected in zip(
        found, (workload.logits[:, rows], workload.pooled[14], workload.pooled[:, 4]), strict=True
    ):
        if one.is_exact:
            assert array.dtype == expected.dtype
            assert array.tobytes() == expected.tobytes()
        else:
            assert np.abs(array - expected.astype(np.float32)).max() <= 1 / 32


def test_formats_are_measured_beside_serstore_in_one_run(tmp_path):
    compared = compare_storage(SMALL, repeats=1, slow_members=2, folder=tmp_path, formats=FORMATS[:4])
    assert [line.name for line in compared.formats] == [one.name for one in FORMATS[:4]]
    assert [line.members for line in compared.formats] == [16, 16, 2, 16]
    assert compared.formats[0].ratios == Costs(1, 1, 1, 1, 1, 1)
    for line in compared.formats:
        assert line.ratios.bytes == line.costs.bytes / compared.formats[0].costs.bytes
        assert min(vars(line.costs).values()) > 0
    assert list(tmp_path.iterdir()) == []


def test_the_document_names_machine_versions_and_seed():
    document = compare_storage(SMALL, repeats=1, formats=FORMATS[:1]).to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["workload"]["seed"] == 0
    assert {"python", "h5py", "numpy"} <= set(document["versions"])
    assert document["machine"]["cores"] > 0


def test_costs_of_one_member_are_not_scaled():
    assert Costs(1, 2, 3, 4, 5, 6).scaled(2) == Costs(2, 4, 6, 8, 5, 12)


class Forgetful(Savez):
    name = "forgetful"

    def load(self, path, content):
        return super().load(path, content) * (0 if content == "pooled" else 1)


class Absent(Savez):
    name = "absent"
    libraries = ("no_such_library",)


def test_a_format_that_forgets_is_not_timed():
    with pytest.raises(StoreError, match=r"forgetful: pooled is off by .*: nothing is timed"):
        compare_storage(SMALL, repeats=1, formats=(SerstoreFolder(), Forgetful()))


def test_a_format_whose_library_is_missing_is_named():
    compared = compare_storage(SMALL, repeats=1, formats=(SerstoreFolder(), Absent()))
    assert compared.missing == {"absent": "no_such_library"}
    assert [line.name for line in compared.formats] == ["serstore"]


def test_the_same_seed_draws_the_same_and_fewer_members_are_the_first_of_more():
    fewer = Workload(members=3, n=10, hidden=12, n_classes=3)
    assert np.array_equal(SMALL.pooled[:3], fewer.pooled)
    assert np.array_equal(SMALL.logits[:3], fewer.logits)
    assert SMALL.names == sorted(SMALL.names)
