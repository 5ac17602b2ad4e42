"""Small stores for the tests beside this file, and what is said of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import SerstoreError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def make_corpus(n: int = 12, *, name: str = "sample") -> Corpus:
    """``n`` utterances of three classes; the last third of them is the test part of the split ``usual``."""
    rows = np.arange(n)
    return Corpus(
        name=name,
        ids=np.array([f"u{row:04}" for row in rows]),
        labels=(rows % 3).astype(np.int16),
        classes=("angry", "happy", "sad"),
        speakers=np.array([f"s{row % 4}" for row in rows]),
        columns={"take": rows.astype(np.int64)},
        splits={"usual": np.where(rows < n - n // 3, "train", "test")},
        default_split="usual",
    )


def make_member(
    corpus: Corpus, run: str, step: int, *, rows: Any = None, seed: int = 0, hidden: int = 8, **changes: Any
) -> Member:
    """A member with random logits and float16 pooled representations of ``rows`` (default: all)."""
    covered = np.arange(len(corpus), dtype=np.int32) if rows is None else np.asarray(rows, dtype=np.int32)
    random = np.random.default_rng([seed, step])
    arrays: dict[str, Any] = {
        "logits": random.normal(size=(len(covered), len(corpus.classes))).astype(np.float32),
        "pooled": random.normal(size=(len(covered), hidden)).astype(np.float16),
        "provenance": {"source": "sample", "seed": seed},
    }
    return Member(run, step, covered, **(arrays | changes))


def make_store(path: Path, *, n: int = 12, hidden: int = 8) -> Store:
    """A store with the run ``tiny`` and its members at steps 10 and 20, and some curves."""
    corpus = make_corpus(n)
    store = Store.create(path, corpus)
    store.add_run(RunRecord("tiny", "finetune", "tiny-hubert", details={"seed": 1}))
    for step in (10, 20):
        store.write_member(make_member(corpus, "tiny", step, hidden=hidden))
        store.append_curve("tiny", step=step, eval_loss=1.0 / step, seconds=0.5)
    return store


def get_bytes(path: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def assert_same_array(found: Any, expected: Any) -> None:
    """Equal shape, dtype and bytes, so that NaN and the sign of zero count; None equals None."""
    assert (found is None) == (expected is None)
    if expected is not None:
        assert (found.shape, found.dtype.kind) == (expected.shape, expected.dtype.kind)
        if expected.dtype.kind == "U":  # widths may differ
            assert found.tolist() == expected.tolist()
        else:
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected.tobytes()


def assert_same_member(found: Member, expected: Member) -> None:
    assert (found.run, found.step, found.provenance) == (expected.run, expected.step, expected.provenance)
    assert (found.arrays.keys(), found.layers.keys()) == (expected.arrays.keys(), expected.layers.keys())
    for name, array in expected.arrays.items():
        assert_same_array(found.arrays[name], array)


def assert_same_corpus(found: Corpus, expected: Corpus) -> None:
    for name in ("name", "classes", "default_split", "audio_root", "digest"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("ids", "labels", "speakers", "paths", "audio_digests"):
        assert_same_array(getattr(found, name), getattr(expected, name))
    for name in ("columns", "splits"):
        assert getattr(found, name).keys() == getattr(expected, name).keys()
        for column, values in getattr(expected, name).items():
            assert_same_array(getattr(found, name)[column], values)


def assert_one_line(problem: SerstoreError | str) -> None:
    text = str(problem)
    assert text.strip()
    assert text.splitlines() == [text]


def get_problem(call: Callable[[], object]) -> SerstoreError | None:
    """The stated problem that ``call`` runs into; anything else that it raises is a failure of the test."""
    try:
        call()
    except SerstoreError as problem:
        assert_one_line(problem)
        return problem
    return None


def find_problem_files(path: Path) -> list[str]:
    """The files that verification names, each with one line."""
    problems = verify_store(path).problems
    for problem in problems:
        assert_one_line(problem.problem)
    return [problem.file for problem in problems]
