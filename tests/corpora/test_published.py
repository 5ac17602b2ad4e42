"""Published corpora by their pages: invented recordings under the real names, in the published layouts."""

from pathlib import Path

import numpy as np
import pytest

from ser_store.corpora.building import BuiltCorpus, Reading
from ser_store.corpora.create import init
from ser_store.corpora.published.fields import has_known_codes, is_meant, read_name
from ser_store.corpora.published.page import list_pages, open_page
from ser_store.corpora.sources import load_corpus
from ser_store.errors import AudioError, CorpusError

soundfile = pytest.importorskip("soundfile")


def record(folder: Path, *names: str, suffix: str = ".wav") -> None:
    for seed, name in enumerate(names):
        path = folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 4_800), 16_000)


def load(name: str, folder: Path, **options: object) -> BuiltCorpus:
    return load_corpus(name, folder, reading=Reading(**options))  # type: ignore[arg-type]


def tell(built: BuiltCorpus) -> list[tuple[str, str, str | None]]:
    """Id, class and speaker of each utterance."""
    corpus = built.corpus
    speakers = [None] * len(corpus) if corpus.speakers is None else corpus.speakers.tolist()
    return [
        (name, corpus.classes[label], speaker)
        for name, label, speaker in zip(corpus.ids.tolist(), corpus.labels.tolist(), speakers, strict=True)
    ]


@pytest.mark.parametrize("name", list_pages())
def test_a_page_reads_its_own_example_and_says_where_it_is_from(name: str) -> None:
    page = open_page(name)
    codes = read_name(page, f"/data/{page.example}")
    assert codes is not None
    assert is_meant(page, codes)
    assert has_known_codes(page, codes)
    assert page.citation
    assert page.source.startswith("http")
    assert page.licence
    for source, values in page.derived.values():
        known = page.values.get(source)
        assert known is None or set(known) == set(values)


def test_no_name_is_one_of_two_corpora() -> None:
    pages = [open_page(name) for name in list_pages()]
    for page in pages:
        path = f"/data/{page.example}"
        also = [
            other.key
            for other in pages
            if (codes := read_name(other, path)) is not None
            and is_meant(other, codes)
            and has_known_codes(other, codes)
        ]
        assert also == [page.key]


NAMED = [
    (
        "emodb",
        ["wav/03a01Fa", "wav/16b10Tb", "wav/12a02Wc"],
        [("03a01Fa", "happy", "03"), ("12a02Wc", "angry", "12"), ("16b10Tb", "sad", "16")],
        {"sex": ["male", "male", "female"], "text": ["a01", "a02", "b10"], "repetition": ["a", "c", "b"]},
    ),
    (
        "CREMA_D",
        ["AudioWAV/1001_IEO_ANG_HI", "AudioWAV/1002_TSI_NEU_XX", "AudioWAV/1040_ITH_SAD_X"],
        [
            ("1001_IEO_ANG_HI", "angry", "1001"),
            ("1002_TSI_NEU_XX", "neutral", "1002"),
            ("1040_ITH_SAD_X", "sad", "1040"),
        ],
        {"sex": ["male", "female", "male"], "level": ["high", "unspecified", "unspecified"]},
    ),
    (
        "tess",
        ["OAF_Fear/OAF_lid_fear", "YAF_pleasant_surprised/YAF_fail_ps", "OAF_neutral/OA_bite_neutral"],
        [
            ("OAF_lid_fear", "fearful", "OAF"),
            ("OA_bite_neutral", "neutral", "OAF"),
            ("YAF_fail_ps", "surprised", "YAF"),
        ],
        {"age": ["older", "older", "younger"], "word": ["lid", "bite", "fail"], "sex": ["female"] * 3},
    ),
    (
        "savee",
        ["AudioData/DC/a01", "AudioData/JK/a01", "KL_su15"],
        [("DC_a01", "angry", "DC"), ("JK_a01", "angry", "JK"), ("KL_su15", "surprised", "KL")],
        {"sex": ["male"] * 3, "sentence": ["01", "01", "15"]},
    ),
    (
        "emovo",
        ["f1/rab-f1-b1", "m3/gio-m3-l4"],
        [("gio-m3-l4", "happy", "m3"), ("rab-f1-b1", "angry", "f1")],
        {"sex": ["male", "female"]},
    ),
    (
        "shemo",
        ["female/F01A05", "male/M01W02"],
        [("F01A05", "angry", "F01"), ("M01W02", "surprised", "M01")],
        {"sex": ["female", "male"]},
    ),
    (
        "cafe",
        ["Colère/Faible/01-C-1-1", "Tristesse/Fort/12-T-2-6"],
        [("01-C-1-1", "angry", "01"), ("12-T-2-6", "sad", "12")],
        {"sex": ["male", "female"], "intensity": ["weak", "strong"]},
    ),
    (
        "aesdd",
        ["anger/a01 (1)", "anger/a06 (5)b", "fear/f10 (01)"],
        [("a01 (1)", "angry", "1"), ("a06 (5)b", "angry", "5"), ("f10 (01)", "fearful", "1")],
        {"sentence": ["01", "06", "10"]},
    ),
    (
        "jl-corpus",
        ["JL(wav+txt)/female1_angry_10a_1", "JL(wav+txt)/male2_assertive_7b_2"],
        [("female1_angry_10a_1", "angry", "female1"), ("male2_assertive_7b_2", "assertive", "male2")],
        {"kind": ["primary", "secondary"], "sex": ["female", "male"], "repetition": ["1", "2"]},
    ),
    (
        "subesco",
        ["F_02_MONIKA_S_1_ANGRY_5", "M_02_SUMON_S_10_SURPRISE_1"],
        [("F_02_MONIKA_S_1_ANGRY_5", "angry", "F02"), ("M_02_SUMON_S_10_SURPRISE_1", "surprised", "M02")],
        {"sentence": ["1", "10"]},
    ),
    (
        "urdu",
        ["Neutral/SM20_F8_N012", "Happy/SF6_F1_H025"],
        [("SF6_F1_H025", "happy", "SF6"), ("SM20_F8_N012", "neutral", "SM20")],
        {"sex": ["female", "male"]},
    ),
    (
        "mesd",
        ["Anger_C_A_abajo", "Happiness_F_B_mañana"],
        [("Anger_C_A_abajo", "angry", None), ("Happiness_F_B_mañana", "happy", None)],
        {"voice": ["child", "female"], "word": ["abajo", "mañana"]},
    ),
    (
        "enterface",
        ["subject 1/anger/sentence 1/s1_an_1", "subject 3/happiness/sentence 2/s_3_ha_2"],
        [("s1_an_1", "angry", "1"), ("s_3_ha_2", "happy", "3")],
        {"sentence": ["1", "2"]},
    ),
    (
        "ASVP-ESD",
        [
            "actor_8/03-01-09-02-10-08-02-03-01",
            "actor_106/03-02-05-01-14-106-02-03-00-14-41",
            "03-01-04-01-01-82-02-04",
        ],
        [
            ("03-01-04-01-01-82-02-04", "sad", "82"),
            ("03-01-09-02-10-08-02-03-01", "excited", "08"),
            ("03-02-05-01-14-106-02-03-00-14-41", "angry", "106"),
        ],
        {"channel": ["speech", "speech", "other sounds"], "age": ["20 to 64"] * 3},
    ),
    (
        "ravdess-song",
        ["Actor_01/03-02-05-01-01-01-01", "Actor_02/03-02-03-02-02-02-02"],
        [("03-02-03-02-02-02-02", "happy", "02"), ("03-02-05-01-01-01-01", "angry", "01")],
        {"sex": ["female", "male"], "repetition": [2, 1]},
    ),
]


@pytest.mark.parametrize(("name", "files", "utterances", "columns"), NAMED, ids=[case[0] for case in NAMED])
def test_names_say_who_speaks_and_how(
    tmp_path: Path,
    name: str,
    files: list[str],
    utterances: list[tuple[str, str, str | None]],
    columns: dict[str, list[object]],
) -> None:
    record(tmp_path, *files)
    built = load(name, tmp_path)
    assert tell(built) == utterances
    for column, cells in columns.items():
        assert built.corpus.columns[column].tolist() == cells
    assert (built.skipped, built.notes, built.ignored) == ((), (), 0)


def test_a_code_that_the_page_does_not_list_is_refused_in_one_line(tmp_path: Path) -> None:
    record(tmp_path, "03a01Fa", "03a01Wa", "04a01Fa")
    with pytest.raises(AudioError) as caught:
        load("emodb", tmp_path)
    assert str(caught.value).endswith(
        "04a01Fa.wav is named like EMO-DB but has no such speaker, text or emotion: expected 03a01Fa and the like; "
        "rename it, or list the corpus in a manifest"
    )
    built = load("emodb", tmp_path, skip_bad=True)
    assert (len(built.corpus), len(built.skipped)) == (2, 1)


def test_a_folder_of_another_corpus_says_what_names_were_expected(tmp_path: Path) -> None:
    record(tmp_path, "03a01Fa", "03a01Wa")
    with pytest.raises(
        CorpusError, match=r"holds no SAVEE recording among 2 files: expected names such as DC/a01\.wav"
    ):
        load("savee", tmp_path)


# Corpora whose labels stand in tables


def lay_out_iemocap(folder: Path) -> None:
    wav = "Session{0}/sentences/wav/Ses0{0}F_impro01/Ses0{0}F_impro01_{1}"
    record(folder, *(wav.format(session, turn) for session in (1, 2) for turn in ("F000", "M000", "M001")))
    record(folder, "Session1/dialog/wav/Ses01F_impro01")
    for session in (1, 2):
        dialog = folder / f"Session{session}" / "dialog"
        for part in ("EmoEvaluation/Categorical", "transcriptions"):
            (dialog / part).mkdir(parents=True)
        name = f"Ses0{session}F_impro01"
        (dialog / "EmoEvaluation" / f"{name}.txt").write_text(
            "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
            f"[6.2901 - 8.2357]\t{name}_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
            "C-E2:\tNeutral;\t()\nC-F1:\tNeutral;\t(curious)\n\n"
            f"[10.0100 - 11.3925]\t{name}_M000\t{'exc' if session == 1 else 'hap'}\t[4.0000, 3.0000, 2.0000]\n\n"
            f"[14.8872 - 18.0175]\t{name}_M001\t{'xxx' if session == 1 else 'oth'}\t[2.5000, 2.5000, 2.5000]\n"
        )
        (dialog / "EmoEvaluation" / "Categorical" / f"{name}_e1_cat.txt").write_text(f"{name}_F000 :Anger; ()\n")
        (dialog / "transcriptions" / f"{name}.txt").write_bytes(
            f"{name}_F000 [006.2901-008.2357]: Excuse me.\n{name}_M000 [010.0100-011.3925]: Caf".encode() + b"\xe9\n"
        )


def test_iemocap_has_its_labels_from_the_evaluations_and_its_sessions_for_folds(tmp_path: Path) -> None:
    lay_out_iemocap(tmp_path)
    built = load("iemocap", tmp_path)
    assert tell(built) == [
        ("Ses01F_impro01_F000", "neutral", "Ses01F"),
        ("Ses01F_impro01_M000", "excited", "Ses01M"),
        ("Ses02F_impro01_F000", "neutral", "Ses02F"),
        ("Ses02F_impro01_M000", "happy", "Ses02M"),
    ]
    corpus = built.corpus
    assert corpus.columns["valence"].tolist() == [2.5, 4.0, 2.5, 4.0]
    assert corpus.columns["text"].tolist() == ["Excuse me.", "Café"] * 2
    assert corpus.columns["sex"].tolist() == ["female", "male"] * 2
    assert corpus.default_split == "session"
    assert corpus.parts("session").tolist() == ["fold-1", "fold-1", "fold-2", "fold-2"]
    assert any(
        "left out by usual practice" in line and line.endswith("1 no agreement, 1 other; `labels` keeps what it lists")
        for line in built.notes
    )
    assert any(line.startswith("audio files without an IEMOCAP name, left out: 1") for line in built.notes)


def test_a_label_map_merges_drops_and_keeps_what_usual_practice_leaves_out(tmp_path: Path) -> None:
    lay_out_iemocap(tmp_path / "audio")
    (tmp_path / "map.toml").write_text('happy = ["excited"]\nother = "other"\n')
    made = init(tmp_path / "s", corpus="iemocap", audio=tmp_path / "audio", labels=tmp_path / "map.toml")
    assert made.store.corpus.classes == ("happy", "neutral", "other")
    assert len(made.store.corpus) == 5
    assert any("excited as happy" in line for line in made.notes)
    assert any("1 no agreement; `labels` keeps" in line for line in made.notes)
    (tmp_path / "map.toml").write_text('happy = ["excited"]\nneutral = "neutral"\ndrop = "rest"\n')
    few = init(tmp_path / "few", corpus="iemocap", audio=tmp_path / "audio", labels=tmp_path / "map.toml")
    assert few.store.corpus.classes == ("happy", "neutral")
    (tmp_path / "map.toml").write_text('bored = "boredom"\ndrop = "rest"\n')
    with pytest.raises(CorpusError, match=r"map\.toml drops every utterance: expected labels such as excited, happy"):
        init(tmp_path / "none", corpus="iemocap", audio=tmp_path / "audio", labels=tmp_path / "map.toml")


def test_msp_podcast_has_partitions_and_says_what_has_no_label(tmp_path: Path) -> None:
    record(tmp_path, *(f"Audios/MSP-PODCAST_0001_{n:04}" for n in range(6)))
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels" / "labels_consensus.csv").write_text(
        "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
        "MSP-PODCAST_0001_0000.wav,A,5.2,2.4,4.8,127,Male,Train\n"
        "MSP-PODCAST_0001_0001.wav,N,4.0,4.0,4.0,Unknown,Unknown,Development\n"
        "MSP-PODCAST_0001_0002.wav,U,3,4.0,4.0,8,Female,Test1\n"
        "MSP-PODCAST_0001_0003.wav,N,4.0,4.0,4.0,8,Female,Test2\n"
        "MSP-PODCAST_0001_0004.wav,X,4.0,4.0,4.0,8,Female,Test1\n"
        "MSP-PODCAST_0001_0009.wav,N,4.0,4.0,4.0,8,Female,Test1\n"
    )
    built = load("mspPodcast", tmp_path)
    assert [told[1:] for told in tell(built)] == [
        ("angry", "127"),
        ("neutral", ""),
        ("surprised", "8"),
        ("neutral", "8"),
    ]
    corpus = built.corpus
    assert corpus.parts().tolist() == ["train", "valid", "test", "test2"]
    assert corpus.columns["arousal"].tolist() == [5.2, 4.0, 3.0, 4.0]
    assert corpus.columns["sex"].tolist() == ["male", "", "female", "female"]
    said = "\n".join(built.notes)
    assert "recordings without a label, left out: 1; the first is MSP-PODCAST_0001_0005.wav" in said
    assert "labels without a recording: 1; the first is of MSP-PODCAST_0001_0009" in said


def test_meld_has_a_turn_of_the_same_number_in_each_part(tmp_path: Path) -> None:
    folders = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    record(tmp_path, *(f"{folder}/dia0_utt0" for folder in folders.values()), suffix=".flac")
    (tmp_path / "train_splits" / "dia0_utt1.mp4").write_bytes(b"video")
    for part, emotion in (("train", "joy"), ("dev", "anger"), ("test", "joy")):
        (tmp_path / f"{part}_sent_emo.csv").write_text(
            "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
            f'1,"It\x92s me, {part}",Phoebe,{emotion},positive,0,0,4,7,"00:20:57,256","00:21:00,049"\n',
            encoding="utf-8",
        )
    with pytest.raises(AudioError, match=r"dia0_utt1 is there as \.mp4 only: expected a recording as WAV"):
        load("meld", tmp_path)
    built = load("meld", tmp_path, skip_bad=True)
    assert tell(built) == [
        ("dev_dia0_utt0", "angry", "Phoebe"),
        ("test_dia0_utt0", "happy", "Phoebe"),
        ("train_dia0_utt0", "happy", "Phoebe"),
    ]
    assert built.corpus.parts("part").tolist() == ["valid", "test", "train"]
    assert built.corpus.columns["text"].tolist() == ["It’s me, dev", "It’s me, test", "It’s me, train"]


def test_msp_improv_joins_names_that_begin_otherwise(tmp_path: Path) -> None:
    record(
        tmp_path, "Audio/session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01", "Audio/session2/S02H/R/MSP-IMPROV-S02H-M02-R-MF01"
    )
    (tmp_path / "Evalution.txt").write_text(
        "UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:3.000000; V:2.500000; D:3.000000; N:4.000000;\n"
        "UTD-IMPROV-S02H-M02-R-MF01.avi; H; A:4.000000; V:4.500000; D:3.000000; N:4.000000;\n"
    )
    built = load("msp-improv", tmp_path)
    assert tell(built) == [
        ("MSP-IMPROV-S01A-F01-P-FM01", "angry", "F01"),
        ("MSP-IMPROV-S02H-M02-R-MF01", "happy", "M02"),
    ]
    assert built.corpus.parts("session").tolist() == ["fold-1", "fold-2"]
    assert built.corpus.columns["activation"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(("between", "split"), [("", None), ("{part}/", "part")])
def test_esd_has_its_parts_where_the_release_has_folders_for_them(
    tmp_path: Path, between: str, split: str | None
) -> None:
    for part, number in (("evaluation", 351), ("test", 371), ("train", 401)):
        record(tmp_path, f"0011/Angry/{between.format(part=part)}0011_{number:06}")
    record(tmp_path, f"0001/Neutral/{between.format(part='train')}0001_000051")
    built = load("esd", tmp_path)
    assert [told[1:] for told in tell(built)] == [("neutral", "0001"), *[("angry", "0011")] * 3]
    assert built.corpus.columns["language"].tolist() == ["zh", "en", "en", "en"]
    assert built.corpus.default_split == split
    if split:
        assert built.corpus.parts(split).tolist() == ["train", "valid", "test", "train"]


def test_demographics_are_read_where_they_lie_beside_the_recordings(tmp_path: Path) -> None:
    record(tmp_path, "AudioWAV/1001_IEO_ANG_HI", "AudioWAV/1002_IEO_SAD_HI")
    (tmp_path / "VideoDemographics.csv").write_text(
        '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
    )
    ages = load("crema-d", tmp_path).corpus.columns["age"]
    np.testing.assert_array_equal(ages, [51, np.nan])


def test_labels_that_are_not_there_are_missed_in_one_line(tmp_path: Path) -> None:
    record(tmp_path, "Ses01F_impro01_F000", "Ses01F_impro01_M000")
    with pytest.raises(CorpusError, match=r"lacks the labels of IEMOCAP, which stand in Session1/dialog/EmoEvaluation"):
        load("iemocap", tmp_path)
    (tmp_path / "dialog" / "EmoEvaluation").mkdir(parents=True)
    table = tmp_path / "dialog" / "EmoEvaluation" / "Ses02F_impro01.txt"
    table.write_text("[6.2901 - 8.2357]\tSes02F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n")
    with pytest.raises(CorpusError, match=r"none of the 2 IEMOCAP recordings in .* has a row in the table of labels"):
        load("iemocap", tmp_path)
    table.write_text("[6.2901 - 8.2357]\tSes01F_impro01_F000\tboo\t[2.5000, 2.5000, 2.5000]\n")
    with pytest.raises(CorpusError, match=r"Ses01F_impro01_F000\.wav has the emotion 'boo' in the table of labels"):
        load("iemocap", tmp_path)
