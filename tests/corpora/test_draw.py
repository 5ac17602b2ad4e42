import csv
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_store.corpora.published.fields import describe_name, read_ids
from ser_store.corpora.published.page import open_page
from ser_store.corpora.splits.draw import add_split, normalise_part, twin_groups
from ser_store.corpora.splits.draw_names import SPLITS, name_split
from ser_store.corpora.splits.speakers import FEW
from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows
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
    told = read_ids(open_page("ravdess"), ids)
    assert told is not None
    labels = [str((describe_name(open_page("ravdess"), utterance) or {})["label"]) for utterance in ids]
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


SMALL = make_ravdess(speakers=8)


@pytest.fixture(scope="module")
def ravdess() -> Corpus:
    return make_ravdess()


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_covers_ravdess_and_is_drawn_the_same_twice(ravdess: Corpus, name: str) -> None:
    corpus = add_split(ravdess, name)
    assert corpus.default_split == name
    assert "" not in corpus.part_names(name)
    np.testing.assert_array_equal(corpus.parts(name), add_split(ravdess, name).parts(name))


def test_the_paper_split_is_the_published_one(ravdess: Corpus, paper_predictions: Path) -> None:
    with paper_predictions.open(encoding="utf-8") as file:
        published = {row["utterance"] for row in csv.DictReader(file)}
    corpus = add_split(ravdess, "paper")
    test = corpus.rows("test")
    assert set(corpus.ids[test].tolist()) == published
    assert len(corpus.rows("train")) == 1_152


def test_the_paper_split_has_the_published_supports(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "paper")
    assert np.bincount(corpus.labels[corpus.rows("test")]).tolist() == [38, 39, 38, 39, 38, 19, 38, 39]


def test_of_a_split_drawn_by_another_seed_most_was_trained_on_by_the_first(ravdess: Corpus) -> None:
    corpus = add_split(add_split(ravdess, "paper"), "paper", seed=7)
    trained = corpus.parts("paper") == "train"
    assert np.count_nonzero(trained[corpus.rows("test", split="paper-7")]) == 227


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
    drawn = set()
    for name in ("speaker", "speaker-1", "speaker-2"):
        drawn.add(frozenset(speakers_of(add_split(ravdess, name), name, "test")))
    assert len(drawn) == 3


def test_the_speaker_split_of_ravdess_stays_what_it_always_was(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "speaker")
    assert speakers_of(corpus, "speaker", "test") == {"06", "19", "20", "21"}
    assert speakers_of(corpus, "speaker", "valid") == {"09", "10", "11", "16"}


def test_every_seeds_speaker_split_of_ravdess_is_its_first_draw(ravdess: Corpus) -> None:
    """All actors say the same, so that no draw is more even than another."""
    for seed in range(20):
        rng, expected = np.random.default_rng(seed), {}
        for odd in (0, 1):  # actresses have even numbers
            drawn = rng.permutation([actor for actor in range(1, 25) if actor % 2 == odd])
            expected |= {f"{actor:02}": "test" if place < 2 else "valid" for place, actor in enumerate(drawn[:4])}
        parts = add_split(ravdess, "speaker", seed=seed).parts(name_split(ravdess, "speaker", seed=seed))
        assert parts.tolist() == [expected.get(actor, "train") for actor in np.asarray(ravdess.speakers).tolist()]


def make_skewed() -> Corpus:
    """Thirty speakers of 12 to 47 utterances, who all prefer some of five classes, and one class is rare."""
    rng, labels, speakers = np.random.default_rng(5), "", ""
    for name in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcd":
        shares = rng.dirichlet([1.5, 1.5, 1.5, 1.5, 0.3])
        own = "".join(rng.choice(list("abcde"), size=int(rng.integers(12, 48)), p=shares))
        labels, speakers = labels + own, speakers + name * len(own)
    return make_corpus(labels, speakers=speakers)


def rate(corpus: Corpus, parts: dict[str, str]) -> tuple[int, int, float]:
    """Classes that parts lack, and have few of, and by chi-square how far they are from even ones."""
    who, counted = np.asarray(corpus.speakers), []
    for part in set(parts.values()):
        own = [name for name, named in parts.items() if named == part]
        for label in range(len(corpus.classes)):
            of_class = corpus.labels == label
            counted.append((np.isin(who[of_class], own).sum(), of_class.sum() * len(own) / len(parts)))
    found, expected = np.array(counted).T
    return int((found == 0).sum()), int((found < FEW).sum()), float(((found - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("name", ["speaker", "speaker-1", "speaker-2", "speaker-folds"])
def test_of_a_skewed_corpus_the_draw_is_at_least_as_even_as_95_of_100(name: str) -> None:
    corpus = make_skewed()
    who, parts = np.asarray(corpus.speakers), add_split(corpus, name).parts(name)
    chosen = dict(zip(who.tolist(), parts.tolist(), strict=True))
    assert Counter(chosen.values()) == (
        {f"fold-{fold}": 5 for fold in range(1, 7)} if "folds" in name else {"train": 20, "valid": 5, "test": 5}
    )
    rng = np.random.default_rng(0)
    others = [
        rate(corpus, dict(zip(chosen, rng.permutation(list(chosen.values())).tolist(), strict=True)))
        for _ in range(400)
    ]
    assert np.mean([other < rate(corpus, chosen) for other in others]) <= 0.05


def test_folds_that_are_no_more_even_by_other_names_keep_their_order() -> None:
    corpus = add_split(make_skewed(), "speaker-folds", folds=30)
    who = np.asarray(corpus.speakers)
    firsts = [speakers_of(corpus, "speaker-folds-30-folds", f"fold-{fold}") for fold in range(1, 31)]
    assert firsts == [{name} for name in sorted(set(who.tolist()))]


def draw_classes(corpus: Corpus, seed: int = 0) -> dict[str, list[int]]:
    """How many of each class are in each part of the split ``speaker``."""
    corpus = replace(add_split(corpus, "speaker", seed=seed), default_split=name_split(corpus, "speaker", seed=seed))
    return {
        part: np.bincount(corpus.labels[corpus.rows(part)], minlength=len(corpus.classes)).tolist()
        for part in ("train", "valid", "test")
    }


def test_the_speaker_split_has_enough_of_every_class_in_every_part_where_a_draw_has() -> None:
    # Of twelve speakers, two in each of valid and test, only three are ever angry.
    speakers = "".join(letter * 20 for letter in "abcdefghijkl")
    labels = "".join(("an" if letter in "bgk" else "hn") * 10 for letter in "abcdefghijkl")
    for seed in range(20):
        counts = draw_classes(make_corpus(labels, speakers=speakers), seed)
        assert min(count for part in counts.values() for count in part) >= FEW


def test_of_draws_that_all_lack_a_class_the_speaker_split_is_that_which_lacks_fewest() -> None:
    # Only two are ever angry: one of three parts has to do without, and never two.
    speakers, labels = "".join(letter * 20 for letter in "abcdefghijkl"), ("an" * 20 + "hn" * 100)
    counts = draw_classes(make_corpus(labels, speakers=speakers))
    assert sum(part.count(0) for part in counts.values()) == 1


def test_few_speakers_are_still_drawn_differently_by_different_seeds() -> None:
    speakers = "".join(letter * (20 + 2 * place) for place, letter in enumerate("abcdefghij"))
    corpus = make_corpus(("ab" * 200)[: len(speakers)], speakers=speakers)
    names = [name_split(corpus, "speaker", seed=seed) for seed in range(8)]
    drawn = {frozenset(speakers_of(add_split(corpus, name), name, "test")) for name in names}
    assert len(drawn) > 4


@given(st.integers(3, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_the_speaker_split_always_has_all_parts(number: int, seed: int, with_sex: bool) -> None:
    names = "".join(chr(ord("0") + place) for place in range(number))
    sexes: dict[str, Column] = {"sex": np.array(["m" if place % 3 else "f" for place in range(number)] * 2)}
    corpus = make_corpus("a" * number + "b" * number, speakers=names * 2, columns=sexes if with_sex else {})
    name = name_split(corpus, "speaker", seed=seed)
    split = add_split(corpus, name)
    sides = [speakers_of(split, name, part) for part in ("train", "valid", "test")]
    assert all(sides)
    assert sum(map(len, sides)) == number


def test_speaker_folds_of_ravdess_are_six_of_four_actors(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "speaker-folds")
    assert corpus.part_names() == [f"fold-{fold}" for fold in range(1, 7)]
    for fold in range(6):
        expected = {f"{actor:02}" for actor in range(4 * fold + 1, 4 * fold + 5)}
        assert speakers_of(corpus, "speaker-folds", f"fold-{fold + 1}") == expected


def test_speaker_folds_of_other_seeds_are_other_whole_speakers(ravdess: Corpus) -> None:
    dealt = []
    for seed in range(3):
        name = name_split(ravdess, "speaker-folds", seed=seed)
        corpus = add_split(ravdess, name)
        folds = [speakers_of(corpus, name, f"fold-{fold}") for fold in range(1, 7)]
        assert [len(own) for own in folds] == [4] * 6
        assert len(set.union(*map(set, folds))) == 24
        dealt.append(folds)
    assert dealt[0] != dealt[1] != dealt[2] != dealt[0]


def test_loso_is_a_fold_for_each_actor(ravdess: Corpus) -> None:
    split = add_split(ravdess, "loso")
    assert split.part_names("loso") == [f"fold-{actor}" for actor in range(1, 25)]
    assert all(set(ravdess.speakers[split.rows(f"fold-{int(one)}", split="loso")]) == {one} for one in ("01", "24"))
    with pytest.raises(CorpusError, match="split 'loso' has no number of folds, got 6"):
        add_split(ravdess, "loso", folds=6)


def test_speaker_folds_are_fewer_where_there_are_fewer_speakers() -> None:
    corpus = add_split(make_corpus("abababab", speakers="xxyyzzzz"), "speaker-folds")
    assert corpus.part_names() == ["fold-1", "fold-2", "fold-3"]
    assert add_split(corpus, "speaker-folds", folds=2).part_names("speaker-folds-2-folds") == ["fold-1", "fold-2"]


def test_the_emobox_folds_of_ravdess_are_the_published_ones(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "emobox")
    actors = [speakers_of(corpus, "emobox", f"fold-{fold}") for fold in range(1, 7)]
    assert [sorted(map(int, fold)) for fold in actors] == [
        [1, 11, 20, 21],
        [4, 10, 12, 14],
        [8, 9, 19, 23],
        [3, 5, 7, 24],
        [2, 15, 16, 18],
        [6, 13, 17, 22],
    ]
    assert sorted(actor for fold in actors for actor in fold) == [f"{actor:02}" for actor in range(1, 25)]


def test_an_emobox_fold_is_judged_by_its_actors_and_trained_on_all_others(ravdess: Corpus) -> None:
    corpus = add_split(ravdess, "emobox")
    assert corpus.speakers is not None
    for fold in range(1, 7):
        rows = choose_train_eval_rows(corpus, fold=fold)
        trained, judged = (set(corpus.speakers[side].tolist()) for side in (rows.train, rows.evaluated))
        assert (len(trained), len(judged), trained & judged) == (20, 4, set())
        assert (len(rows.train), len(rows.evaluated)) == (1_200, 240)


def test_the_emobox_folds_go_by_ids_whatever_the_speakers_are_called(ravdess: Corpus) -> None:
    renamed = replace(ravdess, speakers=np.char.add("Actor_", ravdess.speakers))
    for corpus in (renamed, replace(ravdess, speakers=None)):
        np.testing.assert_array_equal(add_split(corpus, "emobox").parts(), add_split(ravdess, "emobox").parts())


def test_the_emobox_folds_of_actors_of_one_fold_are_refused(ravdess: Corpus) -> None:
    few = ravdess.speakers == "01"
    one = Corpus("ravdess", ravdess.ids[few], ravdess.labels[few], ravdess.classes)
    assert "split 'emobox' has all these actors in fold-1: expected actors of two folds" in refusal(one, "emobox")


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
    assert corpus.part_names("kfold-4-folds") == ["fold-1", "fold-2", "fold-3", "fold-4"]
    for fold in corpus.part_names():
        assert np.bincount(corpus.labels[corpus.rows(fold)]).tolist() == [48, 48, 48, 48, 48, 24, 48, 48]
    other = add_split(corpus, "kfold", folds=4, seed=1)
    assert (other.parts("kfold-4-folds-1") != other.parts("kfold-4-folds")).any()


@pytest.mark.parametrize(
    ("asked", "options", "name"),
    [
        ("paper", {}, "paper"),
        ("paper", {"seed": 101}, "paper"),
        ("paper", {"seed": 7}, "paper-7"),
        ("paper-7", {}, "paper-7"),
        ("paper-007", {"seed": 7}, "paper-7"),
        ("paper-101", {}, "paper"),
        ("paper-valid", {"seed": 0}, "paper-valid-0"),
        ("speaker", {"seed": 0}, "speaker"),
        ("twin", {"seed": 3}, "twin-3"),
        ("kfold", {"folds": 5, "seed": 0}, "kfold"),
        ("kfold", {"folds": 10}, "kfold-10-folds"),
        ("kfold-10-folds", {"seed": 7}, "kfold-10-folds-7"),
        ("kfold", {"seed": 10}, "kfold-10"),
        ("speaker-folds", {"folds": 6}, "speaker-folds"),
        ("speaker-folds", {"folds": 24}, "speaker-folds-24-folds"),
        ("speaker-folds", {"seed": 0}, "speaker-folds"),
        ("speaker-folds-4-folds", {"seed": 7}, "speaker-folds-4-folds-7"),
        ("emobox", {}, "emobox"),
        ("repetition", {}, "repetition"),
    ],
)
def test_a_seed_or_number_of_folds_that_is_not_the_default_is_part_of_the_name(
    ravdess: Corpus, asked: str, options: dict[str, int], name: str
) -> None:
    assert name_split(ravdess, asked, **options) == name
    assert set(add_split(ravdess, asked, **options).splits) == {name}
    np.testing.assert_array_equal(
        add_split(ravdess, asked, **options).parts(name), add_split(ravdess, name).parts(name)
    )


DRAWN = st.one_of(
    st.tuples(st.sampled_from(["paper", "paper-valid", "speaker", "twin"]), st.integers(0, 102), st.none()),
    st.tuples(st.just("kfold"), st.integers(0, 12), st.integers(2, 12)),
    st.tuples(st.just("speaker-folds"), st.integers(0, 12), st.integers(2, 8)),
)


@settings(max_examples=30)
@given(st.lists(DRAWN, min_size=2, max_size=6))
def test_a_name_belongs_to_one_assignment_whatever_is_asked_for_in_whatever_order(
    asked: list[tuple[str, int | None, int | None]],
) -> None:
    corpus, of_name = SMALL, dict[str, bytes]()
    for kind, seed, folds in asked * 2:
        name = name_split(corpus, kind, seed=seed, folds=folds)
        corpus = add_split(corpus, kind, seed=seed, folds=folds)
        parts = corpus.parts(name).tobytes()
        assert of_name.setdefault(name, parts) == parts == add_split(SMALL, name).parts(name).tobytes()
    assert set(corpus.splits) == set(of_name)


def test_a_split_that_is_there_with_other_parts_is_refused() -> None:
    before = make_corpus("abab", columns={"part": np.array(["train", "test", "train", "train"])})
    changed = replace(before, columns={"part": np.array(["train", "train", "", "test"])})
    there = replace(changed, splits=add_split(before, "part").splits)
    line = refusal(there, "part")
    assert (
        "split 'part' is there with other parts: 3 of 4 utterances differ, the first is 'u001' (in test there, " in line
    )
    assert "in train here)" in line
    assert "rename the column" in line
    assert there.parts("part").tolist() == ["train", "test", "train", "train"]


def test_a_drawn_split_does_not_follow_mended_speakers() -> None:
    before = make_corpus("ab" * 30, speakers="abcdef" * 10)
    mended = replace(before, speakers=np.array(list("abcdeg" * 5 + "abcdef" * 5)))
    assert "utterances differ" in refusal(replace(mended, splits=add_split(before, "speaker").splits), "speaker")


def test_a_column_does_not_bear_the_name_of_a_split_that_is_drawn() -> None:
    corpus = make_corpus(
        "ab" * 20, columns={"kfold": np.array([1, 2] * 20), "paper-7": np.array(["train", "test"] * 20)}
    )
    assert "'kfold' is a column, and a split that is drawn" in refusal(corpus, "kfold")
    assert add_split(corpus, "paper-7").parts("paper-7").tolist() == ["train", "test"] * 20
    assert "split 'paper-7' is there with other parts" in refusal(add_split(corpus, "paper-7"), "paper", seed=7)


def test_ten_folds_and_more_keep_their_whole_names() -> None:
    corpus = add_split(make_corpus("ab" * 12), "kfold", folds=12)
    assert corpus.part_names("kfold-12-folds")[-1] == "fold-12"


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
        ("emobox", {}, "is made of the actors of RAVDESS, and 'u000' is not the id of an utterance of it"),
        ("emobox", {"seed": 7}, "split 'emobox' has no seed, got 7: expected none"),
        ("emobox", {"folds": 5}, "split 'emobox' has no number of folds, got 5: expected none"),
        ("twin", {}, "needs speakers and a column 'repetition'"),
        ("kfold", {}, "class 'b' has 1 of 9 to draw from, expected at least 5 of every class"),
        ("kfold", {"folds": 1}, "got 1 folds: expected at least 2"),
        ("paper", {}, "class 'b' has 1 of 9 to draw from"),
        ("paper", {"folds": 3}, "split 'paper' has no number of folds, got 3"),
        ("kfold", {"seed": -1}, "seed -1 is out of range"),
        ("kfold", {"seed": 2**32}, "seed 4294967296 is out of range: expected 0 to 4294967295"),
        ("kfold-4294967296", {}, "seed 4294967296 is out of range"),
        ("kfold-7", {"seed": 8}, "split 'kfold-7' has another seed in its name than 8"),
        ("kfold-7-folds", {"folds": 8}, "split 'kfold-7-folds' has another number of folds in its name than 8"),
        ("paper-7-folds", {}, "split 'paper-7-folds' has no number of folds, got 7"),
        ("loso", {"seed": 7}, "split 'loso' has no seed, got 7: expected none"),
        ("take", {"seed": 7}, "split 'take' has no seed, got 7"),
        ("take", {"folds": 7}, "split 'take' has no number of folds, got 7"),
        ("said", {}, "split said has the parts test, dogs: expected train and others, or folds"),
        ("judged", {}, "split judged has the parts valid, test: expected train and others, or folds"),
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
        "take": np.array([1, 2] * 4 + [1]),
        "said": np.array(["dogs"] * 5 + ["test"] * 4),
        "judged": np.array(["dev"] * 5 + ["test"] * 4),
    }
    assert expected in refusal(make_corpus("aaaaaaaab", columns=columns), name, **options)


def test_who_is_unknown_is_outside_of_splits_by_speaker() -> None:
    corpus = make_corpus("ab" * 30, speakers="abc " * 15)
    corpus = replace(corpus, speakers=np.char.strip(corpus.speakers))
    for name in ("speaker", "speaker-folds"):
        parts = add_split(corpus, name).parts(name)
        np.testing.assert_array_equal(parts == "", corpus.speakers == "")
        assert len(set(parts.tolist())) == 4
    unknown = replace(corpus, speakers=np.full(60, ""))
    assert "needs to know who speaks" in refusal(unknown, "speaker-folds")


def test_too_few_speakers_are_counted_and_sent_where_they_are_kept_apart() -> None:
    two = make_corpus("abab", speakers="xxyy")
    assert refusal(two, "speaker").endswith(
        "needs at least 3 speakers: the corpus has 2; choose the split speaker-folds"
    )
    assert add_split(two, "speaker-folds").part_names() == ["fold-1", "fold-2"]
    for name in ("speaker", "speaker-folds"):
        assert "the corpus has 1; choose the split kfold: one speaker" in refusal(
            make_corpus("abab", speakers="xxxx"), name
        )
    assert "got 3 folds: expected 2 to 2" in refusal(two, "speaker-folds", folds=3)


@pytest.mark.parametrize("speakers", [None, "a" * 40, "ab" * 20, "abc" * 13 + "a"])
@pytest.mark.parametrize("name", ["speaker", "speaker-folds", "twin"])
def test_every_split_that_a_refusal_recommends_can_be_made(name: str, speakers: str | None) -> None:
    corpus = make_corpus("ab" * 20, speakers=speakers)
    try:
        add_split(corpus, name)
    except CorpusError as refused:
        recommended = re.findall(r"speaker-folds|speaker|kfold", str(refused).partition("choose the split ")[2])
        assert set(add_split(corpus, recommended[0]).splits) == {recommended[0]}
