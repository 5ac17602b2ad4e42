"""Representations of one's own, from arrays and tables: aligned by id, or refused in one line."""

import numpy as np
import polars as pl
import pytest

import ser_store as ss
from ser_store.interchange.import_ import import_file

IDS = [f"u{place:02}" for place in range(12)]
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(12, 5)).astype(np.float32)
SHUFFLED = RNG.permutation(12)
OWN_IDS, OWN = [IDS[place] for place in SHUFFLED], VECTORS[SHUFFLED]


@pytest.fixture
def store(tmp_path):
    labels, speakers = ["happy", "sad"] * 6, [f"s{place // 3}" for place in range(12)]
    return ss.Store.create(tmp_path / "own.store", ids=IDS, labels=labels, speakers=speakers)


def frame():
    return pl.DataFrame({"utterance": OWN_IDS, **{f"f{place}": OWN[:, place] for place in range(5)}})


def write_npz(folder):
    np.savez(folder / "features.npz", ids=OWN_IDS, features=OWN)
    return folder / "features.npz"


def write_npz_of_bytes(folder):
    np.savez(folder / "features.npz", filenames=np.array([f"{name}.wav".encode() for name in OWN_IDS]), x=OWN)
    return folder / "features.npz"


def write_named_npz(folder):
    np.savez(folder / "features.npz", **dict(zip(OWN_IDS, OWN, strict=True)))
    return folder / "features.npz"


def write_npy(folder):
    np.save(folder / "features.npy", OWN)
    (folder / "features.txt").write_text("\n".join(OWN_IDS) + "\n")
    return folder / "features.npy"


def write_folder(folder):
    """As emotion2vec leaves them: an array for each utterance."""
    (folder / "features" / "s1").mkdir(parents=True)
    for name, vector in zip(OWN_IDS, OWN, strict=True):
        np.save(folder / "features" / "s1" / f"{name}.npy", vector)
    return folder / "features"


def write_parquet(folder):
    frame().write_parquet(folder / "features.parquet")
    return folder / "features.parquet"


def write_csv(folder):
    frame().write_csv(folder / "features.csv")
    return folder / "features.csv"


def write_opensmile(folder):
    """As opensmile's data frame is saved: file, start and end are its index."""
    pd = pytest.importorskip("pandas")
    files = [f"audio/{name}.wav" for name in OWN_IDS]
    index = pd.MultiIndex.from_arrays(
        [files, pd.to_timedelta(np.zeros(12), unit="s"), pd.to_timedelta(np.ones(12), unit="s")],
        names=["file", "start", "end"],
    )
    pd.DataFrame(OWN, index=index, columns=[f"f{place}" for place in range(5)]).to_csv(folder / "features.csv")
    return folder / "features.csv"


def write_lists(folder):
    pl.DataFrame(
        {"id": OWN_IDS, "embedding": OWN.tolist()}, schema_overrides={"embedding": pl.List(pl.Float32)}
    ).write_parquet(folder / "features.parquet")
    return folder / "features.parquet"


def write_fixed_lists(folder):
    pl.DataFrame({"id": OWN_IDS, "embedding": OWN}).write_parquet(folder / "features.parquet")
    return folder / "features.parquet"


WRITERS = (
    *(write_npz, write_npz_of_bytes, write_named_npz, write_npy, write_folder, write_parquet),
    *(write_csv, write_opensmile, write_lists, write_fixed_lists),
)


@pytest.mark.parametrize("write", WRITERS)
def test_representations_are_aligned_by_id_whatever_holds_them(store, tmp_path, write):
    file = write(tmp_path)
    made = ss.import_predictions(file, store=store, kind="pooled", trained_on="nothing")
    assert made.member_names() == ["features@0"]
    np.testing.assert_array_equal(made.pooled("features"), VECTORS)
    assert made.describe_member("features").logits is None
    again = import_file(file, store=store, kind="pooled")
    assert (again.members, again.identical) == ((), ("features@0",))


def test_heads_are_fitted_on_what_was_imported(store, tmp_path):
    ss.import_predictions(write_npz(tmp_path), store=store, kind="pooled")
    [fitted] = ss.head(store, "features", kind="logreg", cv="speaker", folds=2)
    assert ss.evaluate(store, fitted.member).members[0].metrics.n == 12


def test_an_archive_may_hold_several_members_and_what_was_exported_comes_back(store, tmp_path):
    half = OWN.astype(np.float16)
    np.savez(tmp_path / "two.npz", **{"ids": OWN_IDS, "a@10": OWN, "b": half, "labels": np.zeros(12)})
    done = import_file(tmp_path / "two.npz", store=store, kind="pooled")
    assert (done.members, done.n, done.ignored) == (("a@10", "b@0"), 12, ("labels",))
    assert "ignored, since they are neither ids nor representations: labels" in done.understood
    assert store.pooled("b").dtype == np.float16
    ss.export(store, tmp_path / "out.npz", what="pooled")
    assert import_file(tmp_path / "out.npz", store=store, kind="pooled").identical == ("a@10", "b@0")


def test_what_the_members_lack_is_listed(store, tmp_path):
    np.savez(tmp_path / "part.npz", ids=OWN_IDS[2:], features=OWN[2:])
    done = import_file(tmp_path / "part.npz", store=store, kind="pooled", trained_on="nothing")
    missing = ", ".join(sorted(OWN_IDS[:2]))
    assert done.understood == (f"part@0 lacks 2 of the 12 utterances: {missing}",)
    assert done.n == 10


def test_labels_in_numbers_are_no_dimension(store, tmp_path):
    described = {"label": pl.Series(range(12)), "Emotion_Class": pl.lit(3), "duration": pl.lit(1.5), "sex": pl.lit("f")}
    frame().with_columns(**described).write_parquet(tmp_path / "f.parquet")
    done = import_file(tmp_path / "f.parquet", store=store, kind="pooled")
    assert done.ignored == tuple(described)
    assert store.pooled("f").shape == (12, 5)


def spoil(folder, name, **arrays):
    np.savez(folder / name, **arrays)
    return folder / name


def spoil_table(folder, table):
    table.write_csv(folder / "f.csv")
    return folder / "f.csv"


def put(array, value):
    changed = np.array(array)
    changed[3, 1] = value
    return changed


STRANGE = ["x1", "x2", *OWN_IDS[2:]]
REFUSED = {
    "unknown ids": (
        lambda folder: spoil(folder, "f.npz", ids=STRANGE, features=OWN),
        "2 of 12 utterances are not in this corpus, the first is 'x1': expected ids such as 'u00'",
    ),
    "twice": (
        lambda folder: spoil(folder, "f.npz", ids=[*OWN_IDS[:11], OWN_IDS[0]], features=OWN),
        f"'{OWN_IDS[0]}' occurs more than once",
    ),
    "nan": (
        lambda folder: spoil(folder, "f.npz", ids=OWN_IDS, features=put(OWN, np.nan)),
        f"f is not finite in 1 of 12 utterances, the first is '{OWN_IDS[3]}' (number 2 of 5)",
    ),
    "too large for float32": (
        lambda folder: spoil(folder, "f.npz", ids=OWN_IDS, features=put(OWN.astype(np.float64), 1e300)),
        f"the first is '{OWN_IDS[3]}' (number 2 of 5)",
    ),
    "empty cell": (
        lambda folder: spoil_table(folder, frame().with_columns(f1=pl.Series([None, *OWN[1:, 1]]))),
        f"f is not finite in 1 of 12 utterances, the first is '{OWN_IDS[0]}' (f1)",
    ),
    "text among numbers": (
        lambda folder: spoil_table(folder, frame().with_columns(f1=pl.Series(["loud", *map(str, OWN[1:, 1])]))),
        "column f1 must hold representations, but row 1 has 'loud': expected numbers; mend it, or drop the column",
    ),
    "rows": (
        lambda folder: spoil(folder, "f.npz", ids=OWN_IDS[1:], features=OWN),
        "f has shape (12, 5) of float32: expected (11, hidden), a vector of numbers for each id",
    ),
    "frames": (
        lambda folder: spoil(folder, "f.npz", ids=OWN_IDS, features=np.zeros((12, 7, 5))),
        "f has shape (12, 7, 5) of float64: expected (12, hidden)",
    ),
    "widths": (
        lambda folder: spoil(folder, "f.npz", u01=np.zeros(5), u02=np.zeros(4)),
        "u02 has shape (4,) of float64: expected 5 numbers, one vector for each utterance",
    ),
    "no ids": (
        lambda folder: spoil(folder, "f.npz", features=OWN),
        "features has shape (12, 5) of float32: expected 12 numbers, one vector for each utterance (of frames, their",
    ),
    "pickled ids": (
        lambda folder: spoil(folder, "f.npz", ids=np.array(OWN_IDS, dtype=object), features=OWN),
        "expected arrays of numbers, and ids as text, np.array(ids, dtype=str)",
    ),
    "no column of ids": (
        lambda folder: spoil_table(folder, frame().drop("utterance")),
        "has the columns f0, f1, f2, f3, f4: expected one called utterance",
    ),
    "no numbers": (
        lambda folder: spoil_table(folder, frame().select("utterance")),
        "f.csv has no column of numbers: expected one for each dimension",
    ),
    "name": (
        lambda folder: spoil(folder, "my features.npz", ids=OWN_IDS, features=OWN),
        "run name 'my features': expected 1 to 100 letters, digits",
    ),
    "missing": (lambda folder: folder / "none.npz", "none.npz: no such file"),
    "kind": (lambda folder: folder / "none.wav", "expected representations as a folder of .npy, or .npz, .npy, .csv"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_with_the_file_is_said_in_one_line_and_nothing_is_imported(store, tmp_path, case):
    write, expected = REFUSED[case]
    with pytest.raises(ss.SerstoreError) as refused:
        import_file(write(tmp_path), store=store, kind="pooled")
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert store.runs() == []


def test_lists_of_several_lengths_and_an_array_without_ids_are_refused(store, tmp_path):
    pl.DataFrame({"id": ["u01", "u02"], "own": [[1.0, 2.0], [1.0]]}).write_parquet(tmp_path / "f.parquet")
    with pytest.raises(
        ss.CorpusError, match=r"column own holds List\(Float64\) of 1, 2 numbers: expected lists of one"
    ):
        import_file(tmp_path / "f.parquet", store=store, kind="pooled")
    np.save(tmp_path / "g.npy", OWN)
    with pytest.raises(ss.CorpusError, match=r"an .npy file holds no ids: expected them in .*g\.txt, one a line"):
        import_file(tmp_path / "g.npy", store=store, kind="pooled")
    for folder in ("s1", "s2"):
        (tmp_path / "h" / folder).mkdir(parents=True)
        np.save(tmp_path / "h" / folder / "u01.npy", OWN[0])
        (tmp_path / "h" / folder / "._u01.npy").touch()  # as Macs leave them
    with pytest.raises(ss.CorpusError, match=r"u01\.npy and .*u01\.npy are of one id: expected one file for each"):
        import_file(tmp_path / "h", store=store, kind="pooled")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ss.CorpusError, match="empty holds no arrays: expected a vector for each utterance"):
        import_file(tmp_path / "empty", store=store, kind="pooled")


def test_steps_of_a_run_have_one_width(store, tmp_path):
    np.savez(tmp_path / "own@1.npz", ids=OWN_IDS, features=OWN)
    np.savez(tmp_path / "own@2.npz", ids=OWN_IDS, features=OWN[:, :4])
    import_file(tmp_path / "own@1.npz", store=store, kind="pooled")
    with pytest.raises(ss.StoreError, match=r"own@2 has 4 numbers for each utterance, and own@1 5: expected the same"):
        import_file(tmp_path / "own@2.npz", store=store, kind="pooled")
    assert store.member_names() == ["own@1"]


def test_representations_need_a_store_and_bring_no_labels(store, tmp_path):
    file = write_npz(tmp_path)
    with pytest.raises(ss.CorpusError, match=r"there is no store at .*none: .*make it with `init\(\)`"):
        import_file(file, store=tmp_path / "none", kind="pooled")
    with pytest.raises(ss.CorpusError, match="`label` and `classes` with `kind` pooled: expected none"):
        import_file(file, store=store, kind="pooled", label="emotion", classes="happy")
    with pytest.raises(ss.CorpusError, match=r"expected a table of predictions.*representations, say `kind` pooled"):
        import_file(file, store=store)


def test_the_command_says_what_it_imported(serstore, store, tmp_path):
    file = write_npz(tmp_path)
    outcome = serstore("import", file, "--kind", "pooled", "--store", store.path)
    assert (outcome.code, outcome.out) == (0, "imported 1 member on 12 utterances: features@0\n")
    assert "--trained-on states it" in outcome.err
    refused = serstore("import", file, "--store", store.path)
    assert "say --kind pooled" in refused.err
    document = serstore("import", file, "--kind", "pooled", "--store", store.path, "--json").json
    assert (document["members"], document["identical"], document["n"]) == ([], ["features@0"], 12)
