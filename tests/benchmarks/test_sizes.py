"""Sizes beside the checkpoints: files really written, parameters of the catalogue, the paper's Table 6."""

import pytest

from measuring.checkpoint_files import write_checkpoints
from measuring.sizes import PUBLISHED_BYTES, compare_sizes
from ser_store.backbones.catalogue import lookup

UNITS = {"MB": 1e6, "GB": 1e9}


@pytest.fixture(scope="module")
def compared():
    return compare_sizes(with_checkpoints=False)


def test_the_published_sizes_are_those_of_table_6(published_tables):
    models = published_tables["models"]
    published = {
        key: float(model["table_6_size"][:-2]) * UNITS[model["table_6_size"][-2:]] for key, model in models.items()
    }
    assert published == PUBLISHED_BYTES


def test_parameters_in_float32_are_the_published_sizes_within_their_digits(compared):
    for one in compared.backbones:
        digit = 1e6 if one.published_bytes < 1e9 else 1e7
        assert abs(one.weights_bytes - one.published_bytes) <= digit / 2
        assert (one.weights_bytes, one.checkpoint_bytes) == (4 * one.parameters, 4 * one.parameters)
        assert not one.is_written


def test_a_checkpoint_is_as_large_as_its_parameters_and_a_header(tmp_path):
    (file,) = write_checkpoints(["hubert-base"], n_classes=8, folder=tmp_path).values()
    assert file.parameters == lookup("hubert-base").parameters
    assert 0 < file.bytes - 4 * file.parameters < 100_000
    assert list(tmp_path.iterdir()) == []


def test_a_member_file_holds_its_arrays_and_little_else(compared):
    assert [one.hidden_size for one in compared.backbones] == [1024, 1024, 768, 1280, 1024, 1024]
    for one in compared.backbones:
        arrays = 1440 * (2 * one.hidden_size + 4 * 8 + 4)
        assert arrays < one.member_bytes < 1.5 * arrays
        assert one.ratio > 100


def test_totals_count_every_step(compared):
    assert compared.members == 84
    assert compared.checkpoints_bytes == 14 * sum(one.checkpoint_bytes for one in compared.backbones)
    assert 130e9 < compared.checkpoints_bytes < 131e9
    document = compared.to_json()
    assert document["ratio"] == document["checkpoints_bytes"] / document["store_bytes"]
    assert [one["backbone"] for one in document["backbones"]] == list(PUBLISHED_BYTES)
