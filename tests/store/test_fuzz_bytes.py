"""Bytes that were damaged, with and without checksums that fit: what is read is what was written, or one line says no.

``benchmarks/soak_fuzz.py`` does the same with as many inputs as one has time for.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_samples import SAMPLES, make_sample
from fuzzing import Prober, sum_up
from hdf5_blocks import find_blocks, repair
from mutations import KINDS

INPUTS = 20  # of each kind for each sample


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_bytes_are_refused_or_do_no_harm(prober: Prober, tmp_path: Path, name: str, kind: str) -> None:
    for in_chunks in (0, 1):
        start = INPUTS * in_chunks
        answered = dict(prober.damage(tmp_path, name, kind, start=start, stop=start + INPUTS, in_chunks=in_chunks))
        assert list(answered) == list(range(start, start + INPUTS))
        for seed, answers in answered.items():
            outcome = sum_up(answers)
            assert not outcome.startswith("escaped"), (seed, answers)
            if kind != "checksummed":
                assert not outcome.startswith(("wrong", "forged")), (seed, answers)
            elif not in_chunks:  # an index of chunks with checksums that fit can say where others lie
                assert not outcome.startswith("wrong"), (seed, answers)
            if kind == "unsealed":
                assert answers["verify"] == "refused: Verification", seed


@pytest.mark.parametrize("name", SAMPLES)
def test_an_undamaged_sample_is_read_and_its_checksums_are_known(prober: Prober, tmp_path: Path, name: str) -> None:
    sample = make_sample(name)
    answers = prober.probe(sample.write(tmp_path, sample.content))
    assert answers["verify"] == "ok"
    assert not [said for said in answers.values() if said.startswith(("refused: C", "escaped"))]
    repaired = bytearray(sample.content)
    for _, end in sample.blocks:
        repaired[end : end + 4] = b"\0\0\0\0"
    assert not find_blocks(bytes(repaired))
    repair(repaired, sample.blocks)
    assert bytes(repaired) == sample.content


def test_a_reader_that_crashes_or_hangs_is_found_out(prober: Prober, tmp_path: Path) -> None:
    assert prober.probe(tmp_path) == {"store": "refused: StoreError", "verify": "refused: Verification"}
    assert sum_up({"a": "same", "b": "escaped: hang", "c": "refused: FormatError"}) == "escaped: hang"
    assert sum_up({"a@1: rows": "other"}) == "wrong: ['a@1: rows']"
    assert sum_up({"members": "other"}) == "forged"
    assert sum_up({"a": "same", "c": "refused: FormatError"}) == "refused: FormatError"
    assert sum_up({"a": "same"}) == "read"
