import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_store.corpora.ravdess import describe_ravdess_ids, parse_ravdess_id
from ser_store.corpora.splits import SPLITS, add_split, normalise_part, twin_groups
from ser_store.errors import CorpusError, UnknownNameError
from ser_store_h5.corpus import Column, Corpus


def make_ravdess(*, speakers: int = 24) -> Corpus:
    """RAVDESS as its file names tell it: every id that exists, without audio."""
    ids = [
        f"03-01-{emotion:02}-{intensity:02}-{statement:02}-{repetition:02}-{actor:02}"
        for emotion in range(1, 9)
        for intensity in ((1,) if emotion == 1 else (1, 2))  # neutral has no strong
        for statement in (1, 2)
        for repetition in (1, 2)
        for actor in range(1, speakers + 1)
    ]
    told = describe_ravdess_ids(ids)
    assert told is not None
    labels = [str((parse_ravdess_id(utterance) or {})["label"]) for utterance in ids]
    classes = tuple(sorted(set(labels)))
    return Corpus(
        name="ravdess",
        ids=np.array(ids),
        labels=np.array([classes.index(label) for label in labels], dtype=np.int16),
        classes=classes,
        speakers=told[0],
        columns=told[1],
    )


def make_corpus(labels: str, *, speakers: str | None = None, columns: dict[str, Column] | None = None) -> Corpus:
    """One utterance per letter: its class, and its speaker."""
    classes = tuple(sorted(set(labels)))
    return Corpus(
        name="letters",
        ids=np.array([f"u{number:03}" for number in range(len(labels))]),
        labels=np.array([classes.index(label) for label in labels], dtype=np.int16),
        classes=classes,
        speakers=None if speakers is None else np.array(list(speakers)),
        columns=columns or {},
    )


def speakers_of(corpus: Corpus, split: str, part: str) -> set[str]:
    assert corpus.speakers is not None
    return set(corpus.speakers[corpus.parts(split) == part].tolist())


def refusal(corpus: Corpus, name: str, **options: int) -> str:
    with pytest.raises(CorpusError) as caught:
        add_split(corpus, name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def ravdess() -> Corpus:
    return make_ravdess()


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_covers_ravdess_and_is_drawn_the_same_twice(ravdess: Corpus, name: str) -> None:
    corpus = add_split(ravdess, name)
    assert corpus.default_split == name
    assert "" not in corpus.part_names(name)
    np.testing.assert_array_equal(corpus.parts(name), add_split(ravdess, name).parts(name))


def test_the_paper_split_is_the_published_one(ravdess: Corpus, paper_dir: Path) -> None:
    with (paper_dir / "predictions.csv").open(encoding="utf-8") as file:
        published = {row["utterance"] for row in csv.DictReader(file)}
    corpus = add_split(ravdess, "paper")
    test = corpus.rows("test")
    assert set(corpus.ids[test].tolist()) == published
    assert len(corpus.rows("train")) == 1_152


def test_the_paper_split_has_the_published_supports(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "paper")
    assert np.bincount(corpus.labels[corpus.rows("test")]).tolist() == [38, 39, 38, 39, 38, 19, 38, 39]


def test_the_paper_split_is_drawn_by_class_names_whatever_the_order_of_classes(ravdess: Corpus) -> None:
    order = [7, 2, 5, 0, 1, 3, 6, 4]
    shuffled = Corpus(
        name="ravdess",
        ids=ravdess.ids,
        labels=np.argsort(order)[ravdess.labels].astype(np.int16),
        classes=tuple(ravdess.classes[place] for place in order),
    )
    np.testing.assert_array_equal(
        add_split(shuffled, "paper").parts("paper"), add_split(ravdess, "paper").parts("paper")
    )


def test_paper_valid_carves_a_stratified_eighth_from_train_and_keeps_the_test(ravdess: Corpus) -> None:
    corpus = add_split(add_split(ravdess, "paper"), "paper-valid")
    paper, carved = corpus.parts("paper"), corpus.parts("paper-valid")
    assert Counter(carved.tolist()) == {"train": 1_008, "valid": 144, "test": 288}
    np.testing.assert_array_equal(paper == "test", carved == "test")
    per_class = np.bincount(corpus.labels[carved == "valid"])
    assert per_class.min() >= 9  # neutral: 77 / 8
    assert per_class.max() <= 20  # the others: 153 / 8


def test_the_speaker_split_has_no_speaker_on_two_sides_and_both_sexes_on_each(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "speaker")
    sides = {part: speakers_of(corpus, "speaker", part) for part in ("train", "valid", "test")}
    assert {part: len(names) for part, names in sides.items()} == {"train": 16, "valid": 4, "test": 4}
    assert len(set.union(*sides.values())) == 24
    for names in sides.values():
        assert sum(int(name) % 2 for name in names) == len(names) / 2


def test_the_speaker_split_depends_on_the_seed(ravdess: Corpus) -> None:
    drawn = {frozenset(speakers_of(add_split(ravdess, "speaker", seed=seed), "speaker", "test")) for seed in range(5)}
    assert len(drawn) > 1


@given(st.integers(3, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_the_speaker_split_always_has_all_parts(number: int, seed: int, with_sex: bool) -> None:
    names = "".join(chr(ord("0") + place) for place in range(number))
    sexes: dict[str, Column] = {"sex": np.array(["m" if place % 3 else "f" for place in range(number)] * 2)}
    corpus = make_corpus("a" * number + "b" * number, speakers=names * 2, columns=sexes if with_sex else {})
    split = add_split(corpus, "speaker", seed=seed)
    sides = [speakers_of(split, "speaker", part) for part in ("train", "valid", "test")]
    assert all(sides)
    assert sum(map(len, sides)) == number


def test_speaker_folds_of_ravdess_are_six_of_four_actors(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "speaker-folds")
    assert corpus.part_names() == [f"fold-{fold}" for fold in range(1, 7)]
    for fold in range(6):
        expected = {f"{actor:02}" for actor in range(4 * fold + 1, 4 * fold + 5)}
        assert speakers_of(corpus, "speaker-folds", f"fold-{fold + 1}") == expected


def test_speaker_folds_are_fewer_where_there_are_fewer_speakers() -> None:
    corpus = add_split(make_corpus("abababab", speakers="xxyyzzzz"), "speaker-folds")
    assert corpus.part_names() == ["fold-1", "fold-2", "fold-3"]
    assert add_split(corpus, "speaker-folds", folds=2).part_names() == ["fold-1", "fold-2"]


def test_twins_are_repetitions_of_one_another(ravdess: Corpus) -> None:
    groups = twin_groups(ravdess)
    assert groups is not None
    # A RAVDESS id without its repetition names the group.
    names = [utterance[:15] + utterance[18:] for utterance in ravdess.ids.tolist()]
    assert len(set(names)) == 720
    assert len(set(zip(names, groups.tolist(), strict=True))) == 720
    assert set(np.bincount(groups).tolist()) == {2}


def test_what_was_measured_does_not_keep_twins_apart(ravdess: Corpus) -> None:
    measured: dict[str, Column] = {
        "duration": np.arange(len(ravdess)) / 7,
        "sample_rate": np.arange(len(ravdess)),
        "loudness": np.arange(len(ravdess)) / 3,
    }
    corpus = Corpus(
        name="ravdess",
        ids=ravdess.ids,
        labels=ravdess.labels,
        classes=ravdess.classes,
        speakers=ravdess.speakers,
        columns={**ravdess.columns, **measured},
    )
    np.testing.assert_array_equal(twin_groups(corpus), twin_groups(ravdess))


def test_twins_are_unknown_without_speakers_or_repetitions() -> None:
    repetition: dict[str, Column] = {"repetition": np.array([1, 2, 1, 2])}
    assert twin_groups(make_corpus("aabb", speakers="xxyy")) is None
    assert twin_groups(make_corpus("aabb", columns=repetition)) is None
    groups = twin_groups(make_corpus("aabb", speakers="xxyy", columns=repetition))
    assert groups is not None
    assert groups.tolist() == [0, 0, 1, 1]


def test_the_twin_split_keeps_twins_together_and_classes_in_proportion(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "twin")
    groups, parts = twin_groups(corpus), corpus.parts("twin")
    assert groups is not None
    assert set(groups[parts == "test"].tolist()).isdisjoint(groups[parts == "train"].tolist())
    assert Counter(parts.tolist()) == {"train": 1_152, "test": 288}
    assert set(np.bincount(corpus.labels[parts == "test"]).tolist()) <= {18, 20, 38, 40}


def test_kfold_has_every_class_in_every_fold(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "kfold", folds=4)
    assert corpus.part_names() == ["fold-1", "fold-2", "fold-3", "fold-4"]
    for fold in corpus.part_names():
        assert np.bincount(corpus.labels[corpus.rows(fold)]).tolist() == [48, 48, 48, 48, 48, 24, 48, 48]
    other = add_split(ravdess, "kfold", folds=4, seed=1)
    assert (other.parts("kfold") != corpus.parts("kfold")).any()


def test_ten_folds_and_more_keep_their_whole_names() -> None:
    corpus = add_split(make_corpus("ab" * 12), "kfold", folds=12)
    assert corpus.part_names()[-1] == "fold-12"


def test_a_column_is_a_split_by_its_name(ravdess: Corpus) -> None:
    assert add_split(ravdess, "statement").part_names("statement") == ["fold-1", "fold-2"]
    assert add_split(ravdess, "repetition").part_names("repetition") == ["fold-1", "fold-2"]


def test_numbers_with_gaps_leave_utterances_outside_the_split() -> None:
    corpus = make_corpus("abab", columns={"part": np.array([1.0, 2.0, np.nan, 2.0])})
    assert add_split(corpus, "part").parts("part").tolist() == ["fold-1", "fold-2", "", "fold-2"]


def test_a_split_that_the_corpus_brought_stays_as_it_is() -> None:
    corpus = make_corpus("abab").with_split("split", np.array(["train", "test", "train", "test"]))
    assert add_split(corpus, "split") is corpus


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("train", "train"),
        (" Training", "train"),
        ("dev", "valid"),
        ("VAL", "valid"),
        ("validation", "valid"),
        ("valid", "valid"),
        ("eval", "test"),
        ("test", "test"),
        ("0", "fold-0"),
        ("12", "fold-12"),
        ("Fold 3", "fold-3"),
        ("fold_03", "fold-3"),
        ("fold-3", "fold-3"),
        ("Session A", "Session A"),
        ("", ""),
    ],
)
def test_parts_have_one_name_each(written: str, part: str) -> None:
    assert normalise_part(written) == part
    assert normalise_part(part) == part


def test_an_unknown_split_offers_the_nearest_and_the_columns(ravdess: Corpus) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown split 'speakers': expected one of speaker \(nearest\)"
    ) as caught:
        add_split(ravdess, "speakers")
    assert "statement" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("speaker", {}, "needs to know who speaks: expected a column 'speaker'"),
        ("speaker-folds", {}, "needs to know who speaks: expected a column 'speaker'"),
        ("twin", {}, "needs speakers and a column 'repetition'"),
        ("kfold", {}, "class 'b' has 1 of 9 to draw from, expected at least 5 of every class"),
        ("kfold", {"folds": 1}, "got 1 folds: expected at least 2"),
        ("paper", {}, "class 'b' has 1 of 9 to draw from"),
        ("paper", {"folds": 3}, "split 'paper' has no number of folds, got 3"),
        ("kfold", {"seed": -1}, "seed -1 is out of range"),
        ("fraction", {}, "column 'fraction' holds fractions"),
        ("constant", {}, "column 'constant' has 1 different values"),
        ("distinct", {}, "column 'distinct' has 9 different values for 9 utterances"),
    ],
)
def test_what_the_corpus_does_not_hold_is_said_in_one_line(name: str, options: dict[str, int], expected: str) -> None:
    columns: dict[str, Column] = {
        "fraction": np.linspace(0, 1, 9),
        "constant": np.full(9, "x"),
        "distinct": np.arange(9),
    }
    assert expected in refusal(make_corpus("aaaaaaaab", columns=columns), name, **options)


def test_too_few_speakers_are_counted() -> None:
    assert "needs at least 3 speakers: the corpus has 2" in refusal(make_corpus("abab", speakers="xxyy"), "speaker")
    assert "needs at least 2 speakers" in refusal(make_corpus("abab", speakers="xxxx"), "speaker-folds")
    assert "got 3 folds: expected 2 to 2" in refusal(make_corpus("abab", speakers="xxyy"), "speaker-folds", folds=3)
