from collections.abc import Sequence

import numpy as np
import pytest

from ser_store.corpora.splits.cautions import caution_split
from ser_store_h5.corpus import Corpus

PARTS = {"t": "train", "v": "valid", "e": "test", "1": "fold-1", "2": "fold-2", "3": "fold-3", "x": "mine", " ": ""}


def make_split(
    parts: str, *, labels: str, speakers: str | None = None, copies: Sequence[tuple[int, int]] = ()
) -> Corpus:
    """One utterance per letter; ``copies`` are pairs that sound the same."""
    classes = tuple(sorted(set(labels)))
    digests = np.arange(len(parts), dtype=np.uint8)[:, None].repeat(32, axis=1)
    for one, other in copies:
        digests[other] = digests[one]
    return Corpus(
        name="letters",
        ids=np.array([f"u{number:03}" for number in range(len(parts))]),
        labels=np.array([classes.index(label) for label in labels], dtype=np.int16),
        classes=classes,
        speakers=None if speakers is None else np.array([speaker.strip() for speaker in speakers]),
        audio_digests=digests,
    ).with_split("s", np.array([PARTS[part] for part in parts]))


APART = "figures are of voices that were trained on, too good for new ones; the split"


@pytest.mark.parametrize(
    ("parts", "speakers", "expected"),
    [
        ("t" * 20 + "e" * 20, "a" * 20 + "b" * 20, None),
        ("t" * 20 + "e" * 20, None, None),
        ("te" * 20, "a" * 20 + "b" * 20, f"2 of 2 of test are in train too: {APART} speaker-folds keeps"),
        ("te" * 20, "abcd" * 10, None),
        ("te" * 20, "ab" * 19 + "cc", "1 of 2 of test are in train too"),
        ("te" * 20, "a" * 40, "1 of 1 of test are in train too: figures are of voices that were trained on, too good "
         "for new ones; one speaker cannot be kept apart"),
        ("tvte" * 10, "a" * 20 + "b" * 20, "2 of 2 of valid and 2 of 2 of test are in train too"),
        ("t" * 20 + "ve" * 10, "a" * 20 + "b" * 20, None),  # valid and test share, train does not
        ("tv" * 20, "a" * 20 + "b" * 20, "2 of 2 of valid are in train too"),
        ("12" * 20, "abc" * 13 + "a", f"3 of 3 are in several parts: {APART} speaker or speaker-folds keeps"),
        ("1" * 20 + "2" * 20, "a" * 20 + "b" * 20, None),
        ("1" * 20 + "2" * 20, "a" * 21 + "b" * 19, "1 of 2 are in several parts"),
        ("te" * 10 + " " * 20, "ab" * 10 + "ab" * 10, None),  # shared only outside the split
        ("te" * 20, " " * 40, None),  # nobody is known
        ("te" * 20, "a" * 5 + " " * 35, "1 of 1 of test are in train too"),
    ],
)  # fmt: skip
def test_speakers_on_both_sides_are_counted(parts: str, speakers: str | None, expected: str | None) -> None:
    lines = [
        line for line in caution_split(make_split(parts, labels="aabb" * 10, speakers=speakers)) if "speaker" in line
    ]
    assert len(lines) == (expected is not None)
    if expected is not None:
        assert lines[0].startswith("split s: of the speakers, ")
        assert expected in lines[0]


@pytest.mark.parametrize(
    ("parts", "labels", "expected"),
    [
        ("te" * 20, "aabb" * 10, []),
        ("t" * 20 + "e" * 20, "ab" * 10 + "a" * 20, ["in test none of b: too few to judge by (expected 5 or more)"]),
        ("t" * 20 + "e" * 20, "a" * 20 + "ab" * 10, ["in train none of b: too few to learn from (expected 5 or more)"]),
        ("t" * 20 + "e" * 20, "ab" * 10 + "abab" + "a" * 16, ["in test only 2 of b: too few to judge by"]),
        ("t" * 20 + "e" * 20, "ab" * 10 + "bbbba" + "a" * 15, ["in test only 4 of b"]),
        ("t" * 20 + "e" * 20, "ab" * 10 + "bbbbb" + "a" * 15, []),
        ("t" * 20 + "v" * 10 + "e" * 10, "ab" * 10 + "a" * 20, ["in valid, test none of b: too few to judge by"]),
        ("t" * 20 + "v" * 10 + "e" * 10, "ab" * 10 + "a" * 10 + "aabcbbabcb",
         ["in train none of c: too few to learn", "in valid none of b, c: ", "in test only 3 of a, 2 of c: "]),
        ("t" * 35 + "e" * 23, "abcdefg" * 5 + "a" * 10 + "b" * 4 + "c" * 5 + "defg",
         ["in test only 4 of b, 1 of d, 1 of e, 1 of f, … (5 in all): too few to judge by"]),
        ("t" * 35 + "e" * 10, "abcdefg" * 5 + "a" * 10, ["in test none of b, c, d, e, … (6 in all): too few to judge"]),
        # A class of one fold alone is never trained on where that fold is tried.
        ("1" * 20 + "2" * 20, "ab" * 10 + "a" * 20,
         ["in the training for fold-1 none of b: too few to learn", "in fold-2 none of b: too few to judge by"]),
        ("1" * 10 + "2" * 10 + "3" * 20, "ab" * 10 + "aaab" * 5, []),
        ("123123" * 4 + "1" * 16, "ab" * 12 + "ab" * 8, ["in fold-2, fold-3 only 4 of every class: too few to judge"]),
    ],
)  # fmt: skip
def test_classes_that_a_part_lacks_are_said(parts: str, labels: str, expected: list[str]) -> None:
    lines = caution_split(make_split(parts, labels=labels))
    assert len(lines) == len(expected), lines
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(f"split s: {start}")


def test_many_folds_that_lack_the_same_are_one_line() -> None:
    corpus = make_split("1" * 60, labels="ab" * 30)
    corpus = corpus.with_split("many", np.array([f"fold-{1 + row // 3}" for row in range(60)]))
    lines = caution_split(corpus, "many")
    assert lines == (
        "split many: in fold-1, fold-2, fold-3, fold-4, … (20 in all) only 1 to 2 of every class: too few to judge by "
        "(expected 5 or more)",
    )


def test_utterances_outside_the_split_and_parts_without_a_use_are_counted() -> None:
    assert caution_split(make_split("te" * 10 + " " * 3, labels="aabb" * 5 + "aba")) == (
        "split s: 3 of 23 utterances are outside it: nothing is trained on them or judged by them",
    )
    for parts, names in (("e" * 20, "test"), ("t" * 20, "train"), ("xe" * 10, "test, mine"), ("1" * 20, "fold-1")):
        (line,) = caution_split(make_split(parts, labels="aabb" * 5))
        assert line == f"split s: only {names}: nothing can be trained and judged by it"


@pytest.mark.parametrize(
    ("parts", "copies", "expected"),
    [
        ("te" * 20, [(0, 2)], None),
        ("te" * 20, [(0, 1), (0, 2), (0, 3)], "recordings that are trained on too, under other names: 2, the first "
         "that of 'u001': figures"),
        ("tv" * 20, [(0, 1)], "under other names: 1, "),
        ("12" * 20, [(0, 1)], "under other names: 2, "),
        ("te" * 19 + "  ", [(0, 39)], None),
    ],
)  # fmt: skip
def test_recordings_on_both_sides_are_counted(parts: str, copies: list[tuple[int, int]], expected: str | None) -> None:
    lines = [
        line for line in caution_split(make_split(parts, labels="aabb" * 10, copies=copies)) if "recordings" in line
    ]
    assert len(lines) == (expected is not None)
    if expected is not None:
        assert expected in lines[0]
