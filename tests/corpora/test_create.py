"""Stores that are made, and gain splits: what is said, what is refused, and what never changes."""

import csv

import numpy as np
import pytest

from ser_store.corpora.create import init
from ser_store.corpora.published.fields import describe_name
from ser_store.corpora.published.page import open_page
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@pytest.fixture
def manifest(speech, tmp_path):
    """Writes a manifest of the 48 recordings in order of id; columns are functions of row number and RAVDESS name."""

    def write(label=None, *, name="table.csv", **columns):
        paths = sorted(speech.rglob("*.wav"), key=lambda path: path.stem)
        told = [describe_name(open_page("ravdess"), path.stem) for path in paths]
        columns = {"label": label or (lambda row, said: said["label"]), **columns}
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["path", *columns])
            for row, (path, said) in enumerate(zip(paths, told, strict=True)):
                table.writerow([path, *(make(row, said) for make in columns.values())])
        return tmp_path / name

    return write


@pytest.fixture
def make(serstore, tmp_path):
    """Runs ``init`` over one store, which is ``make.store``."""

    def run(corpus, *words):
        return serstore("init", "--corpus", corpus, *words, "--store", run.store)

    run.store = tmp_path / "made.store"
    return run


def refused(outcome):
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    return line


def test_a_split_is_drawn_several_times_of_which_the_first_is_the_default(speech, make):
    made = make("ravdess", "--audio", speech, "--split", "paper", "--repeats", 3)
    assert made.code == 0
    corpus = Store(make.store).corpus
    assert (list(corpus.splits), corpus.default_split) == (["paper", "paper-102", "paper-103"], "paper")


def test_another_seed_is_another_split_and_the_first_one_stays(speech, make, serstore):
    words = ("ravdess", "--audio", speech)
    assert make(*words).code == 0
    before = Store(make.store).corpus
    train, test = before.rows("train"), before.rows("test")
    store = Store(make.store)
    store.add_run(RunRecord("fit", "finetune", "x", details={"split": "paper", "fold": None}))
    rows = np.arange(len(before), dtype=np.int32)
    # Right on what it was trained on and on every second one of the others.
    predicted = np.where(np.isin(rows, [*train, *test[::2]]), before.labels, (before.labels + 1) % 8).astype(np.int16)
    store.write_member(Member("fit", 1, rows, predicted=predicted))
    honest = serstore("evaluate", "fit", "--json", "--store", make.store).json["members"][0]["accuracy"]
    assert honest == 0.5

    reseeded = make(*words, "--split", "paper", "--seed", 7)
    assert reseeded.code == 0
    assert "split paper-7: 38 train, 10 test\n" in reseeded.out
    assert reseeded.out.endswith("; its default split is paper-7\n")
    assert (
        "serstore: caution: the split is called paper-7, after its seed or number of folds: --split paper-7 means it"
        in (reseeded.err.splitlines())
    )
    assert (
        "serstore: caution: the default split is paper-7 now, it was paper: questions that name no --split answer"
        in reseeded.err
    )
    corpus = Store(make.store).corpus
    np.testing.assert_array_equal(corpus.parts("paper"), before.parts("paper"))
    assert (corpus.parts("paper-7") != before.parts("paper")).any()
    again = serstore("evaluate", "fit", "--split", "paper", "--json", "--store", make.store)
    assert again.json["members"][0]["accuracy"] == honest
    assert "trained on" in serstore("evaluate", "fit", "--store", make.store).err


def test_the_same_split_again_is_fine_and_says_so_little(speech, make):
    words = ("ravdess", "--audio", speech)
    first, again = make(*words, "--json").json, make(*words, "--split", "paper", "--seed", 101, "--json").json
    assert (first["created"], again["created"]) == (True, False)
    assert {**first, "created": False} == again


def test_a_default_split_stays_where_none_is_named(speech, make):
    words = ("ravdess", "--audio", speech)
    assert make(*words, "--split", "speaker").code == 0
    outcome = make(*words)
    assert "the default split is" not in outcome.err
    assert outcome.out.endswith("; its default split is speaker\n")
    assert set(Store(make.store).corpus.splits) == {"speaker"}


def test_a_column_that_was_changed_does_not_change_the_split(manifest, make):
    def table(*test):
        return manifest(part=lambda row, _: "test" if row in test else "train")

    assert make(table(0, 1, 2, 3), "--split", "part").code == 0
    before = Store(make.store).corpus.parts("part").tolist()
    line = refused(make(table(0, 1, 5, 6, 7), "--split", "part"))
    first = Store(make.store).corpus.ids[2]
    assert (
        f"split 'part' is there with other parts: 5 of 48 utterances differ, the first is '{first}' (in test there"
        in line
    )
    assert line.endswith("rename the column, choose another seed, or make another --store")
    assert Store(make.store).corpus.parts("part").tolist() == before
    assert make(table(0, 1, 2, 3), "--split", "part").code == 0


def test_the_manifests_own_split_is_held_to_the_same(manifest, make):
    assert make(manifest(split=lambda row, _: ["train", "dev", "eval"][row % 3])).code == 0
    assert (
        make(manifest(split=lambda row, _: ["training", "val", "test"][row % 3])).code == 0
    )  # the same by other names
    line = refused(make(manifest(split=lambda row, _: ["train", "eval", "dev"][row % 3])))
    assert "split 'split' is there with other parts: 32 of 48 utterances differ" in line


def test_a_corpus_of_known_speakers_on_both_sides_is_said_in_one_line(speech, make, serstore):
    outcome = make("ravdess", "--audio", speech, "--json")
    shared = [line for line in outcome.json["cautions"] if "speakers" in line]
    assert shared == [
        "split paper: of the speakers, 3 of 3 of test are in train too: figures are of voices that were trained on, "
        "too good for new ones; the split speaker or speaker-folds keeps speakers apart"
    ]
    assert outcome.err.splitlines() == [f"serstore: caution: {line}" for line in outcome.json["cautions"]]
    assert serstore("audit", "--json", "--store", make.store).json["cautions"] == outcome.json["cautions"]
    for split in ("kfold --folds 2", "repetition"):
        assert len([line for line in make("ravdess", "--audio", speech, "--split", *split.split()).err.splitlines()
                    if "of the speakers, 3 of 3" in line]) == 1  # fmt: skip
    for split in ("speaker", "speaker-folds"):
        assert "of the speakers" not in make("ravdess", "--audio", speech, "--split", split).err


def test_parts_without_a_class_are_said_by_init_and_audit(manifest, make, serstore):
    # Four speakers, of whom one is ever angry: two of three parts have no such class, whoever is drawn.
    table = manifest(lambda row, _: "angry" if row < 6 else ("happy", "sad")[row % 2], speaker=lambda row, _: row // 12)
    outcome = make(table, "--split", "speaker", "--json")
    lacking = [line for line in outcome.json["cautions"] if "none of angry" in line]
    assert lacking
    assert sum("train" in line.split(" none ")[0] for line in lacking) <= 1
    assert serstore("audit", "--json", "--store", make.store).json["cautions"] == outcome.json["cautions"]


def test_the_speaker_split_avoids_parts_without_a_class(manifest, make):
    # Eight speakers, of whom three are ever angry.
    def label(row, _):
        return "angry" if row // 6 in (1, 4, 6) and row % 2 else "sad"

    document = make(manifest(label, speaker=lambda row, _: f"s{row // 6}"), "--split", "speaker", "--json").json
    assert not [line for line in document["cautions"] if "none of" in line]
    corpus = Store(make.store).corpus
    for part in ("train", "valid", "test"):
        assert set(corpus.labels[corpus.rows(part)].tolist()) == {0, 1}


def test_utterances_outside_a_split_are_counted(manifest, make):
    table = manifest(part=lambda row, _: ["train", "test", ""][row % 3] if row < 45 else "")
    outcome = make(table, "--split", "part")
    assert (
        "serstore: caution: split part: 18 of 48 utterances are outside it: nothing is trained on them" in outcome.err
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda row: "train", "has 1 different values"),
        (lambda row: "", "has 0 different values"),
        (lambda row: ["valid", "test"][row % 2], "has the parts valid, test: expected train and others, or folds"),
        (lambda row: row, "has 48 different values for 48 utterances"),
        (lambda row: row / 7, "holds fractions"),
    ],
)
def test_a_column_that_cannot_be_a_split_is_refused_when_it_is_named(manifest, make, value, expected):
    line = refused(make(manifest(part=lambda row, _: value(row)), "--split", "part"))
    assert expected in line
    assert not make.store.exists()


def test_a_split_of_the_manifest_that_only_tests_is_taken_and_said(manifest, make):
    table = manifest(split=lambda row, _: "test")
    outcome = make(table)
    assert outcome.code == 0
    assert "serstore: caution: split split: only test: nothing can be trained and judged by it" in outcome.err
    assert "expected train and others" in refused(make(table, "--split", "split"))
    assert make(table, "--split", "kfold", "--folds", 2).code == 0


def test_of_a_mended_label_it_is_said_which(manifest, make):
    assert make(manifest()).code == 0
    before = Store(make.store).corpus
    line = refused(make(manifest(lambda row, said: "sad" if row == 7 else said["label"])))
    assert (
        "holds another corpus (table, 48 utterances) than the one given (table, 48 utterances): labels that differ: 1 "
        in line
    )
    assert f"the first that of '{before.ids[7]}' ({before.classes[before.labels[7]]} there, sad given)" in line
    assert line.endswith("choose another --store for what is given, or give what was there")
    assert Store(make.store).corpus.digest == before.digest


def test_what_is_given_otherwise_about_the_same_utterances_is_said_and_the_rest_kept(manifest, make):
    first = manifest(
        speaker=lambda row, _: row // 12, place=lambda row, _: row, room=lambda row, _: "a", gap=lambda row, _: ""
    )
    assert make(first, "--split", "speaker").code == 0
    second = manifest(
        speaker=lambda row, _: row // 12 if row else 9, place=lambda row, _: row or 7, gap=lambda row, _: ""
    )
    outcome = make(second)
    ids = Store(make.store).corpus.ids
    assert (
        f"caution: what the store holds of the same utterances was changed: speakers (of 1, the first '{ids[0]}'), "
        f"column 'place' (of 1, the first '{ids[0]}')\n"
    ) in outcome.err
    corpus = Store(make.store).corpus
    assert set(corpus.columns) >= {"place", "room", "gap"}
    assert corpus.speakers[0] == "9"
    assert "is there with other parts" in refused(make(second, "--split", "speaker"))
    assert make(manifest(place=lambda row, _: row or 7)).code == 0
    assert Store(make.store).corpus.speakers[0] == "9"


def test_a_split_that_the_store_has_becomes_its_default_again(speech, make):
    words = ("ravdess", "--audio", speech)
    assert make(*words, "--split", "kfold", "--folds", 2, "--seed", 3).code == 0
    store = Store(make.store)
    store.update_corpus(store.corpus.with_split("mine", np.array(["train", "test"] * 24)))
    for name in ("mine", "kfold-2-folds-3"):
        assert make(*words, "--split", name).code == 0
        assert Store(make.store).corpus.default_split == name


def test_predictions_gain_their_audio_and_a_split_that_can_train(manifest, make, serstore, tmp_path):
    table = manifest()
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    (tmp_path / "said.csv").write_text(
        "utterance,label,a@1\n" + "".join(f"{row['path'][-24:-4]},{row['label']},sad\n" for row in rows)
    )
    assert serstore("import", tmp_path / "said.csv", "--label", "label", "--store", make.store).code == 0
    outcome = make(table)
    assert outcome.code == 0, outcome.err
    assert "the default split is paper now, it was imported" in outcome.err
    assert Store(make.store).member_names() == ["a@1"]


def test_the_library_returns_the_cautions(speech, tmp_path):
    made = init(tmp_path / "s", corpus="ravdess", audio=speech, split="kfold", folds=2, seed=1)
    assert made.split == "kfold-2-folds-1" == made.store.corpus.default_split
    assert [line for line in made.cautions if "3 of 3 are in several parts" in line]
