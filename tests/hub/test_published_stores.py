"""A store goes to a small hub on this machine by the hub's real client, and is read from there."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import huggingface_hub.constants
import numpy as np
import polars
import pytest
import yaml
from hub_server import COMMIT, OTHERS_TOKEN

import ser_store as ss
from ser_store.errors import StoreError
from ser_store_h5.store import Store

OWN = "machine-4711"


@pytest.fixture
def store(tmp_path):
    """Two runs of numbers, one of labels with an answer left out, one of representations; speakers and two splits."""
    ids = [f"u{row:02}" for row in range(24)]
    random = np.random.default_rng(0)
    labels = [("angry", "happy", "sad")[row % 3] for row in range(24)]
    made = ss.Store.create(
        tmp_path / OWN / "my.store",
        ids=ids,
        labels=labels,
        speakers=[f"s{row % 4}" for row in range(24)],
        splits={
            "mine": ["test" if row % 4 == 3 else "train" for row in range(24)],
            "folds": [f"fold-{row % 2 + 1}" for row in range(24)],
        },
        sex=["m", "f"] * 12,
        original=[f"/home/{OWN}/{name}.wav" for name in ids],
        label=["x", ""] * 12,
        name="sample",
    )
    for run, step in (("mine", 10), ("mine", 20), ("yours", 0)):
        made.add(run, step=step, ids=ids, logits=random.normal(size=(24, 3)), trained_on="train")
    made.add("words", ids=ids[:12], predicted=[*labels[:11], None])
    made.add("states", ids=ids, pooled=random.normal(size=(24, 5)).astype(np.float32))
    return made


def read(hub, name):
    return hub.folder / "datasets" / "me" / "sample" / name


def test_a_pushed_store_is_read_by_its_name_as_it_was(store, hub, serstore):
    pushed = ss.push_store(store, "me/sample", licence="cc-by-4.0")
    assert (pushed.url, pushed.commit, pushed.updated) == (f"{hub.address}/datasets/me/sample", COMMIT, False)
    assert hub.commits == ["5 members of ser-store"]
    names = {path.relative_to(read(hub, "")).as_posix() for path in read(hub, "").rglob("*") if path.is_file()}
    assert names == {
        ".gitattributes", "README.md", "serstore.json", "store.h5", "utterances.parquet",
        "members/mine.parquet", "members/words.parquet", "members/yours.parquet",
    }  # fmt: skip
    found = Store("hub:me/sample")
    assert found.is_packed
    assert found.member_names() == store.member_names()
    assert found.logits(["mine@10", "yours"]).tobytes() == store.logits(["mine@10", "yours"]).tobytes()
    expected = serstore("evaluate", "mine", "--store", store.path, "--json").json
    for words in (("mine", "--store", "hub:me/sample"), ("hub:me/sample", "mine")):
        assert serstore("evaluate", *words, "--json").json == expected
    assert serstore("verify", "--store", f"hub:me/sample@{COMMIT}").code == 0
    assert serstore("info", "--store", "hub:me/sample").out.splitlines()[1] == "classes: angry, happy, sad"
    assert hub.fetched.count("store.h5") == 1


def test_the_tables_say_of_each_utterance_and_member_what_the_store_says(store, hub):
    ss.push_store(store, "me/sample")
    utterances = polars.read_parquet(read(hub, "utterances.parquet"))
    corpus = store.corpus
    assert utterances.columns == [
        "utterance", "label", "speaker", "column_label", "sex", "split_folds", "split_mine",
    ]  # fmt: skip
    assert utterances["utterance"].to_list() == corpus.ids.tolist()
    assert utterances["label"].to_list() == [corpus.classes[label] for label in corpus.labels]
    assert utterances["column_label"].null_count() == 12
    assert utterances["split_mine"].to_list() == corpus.splits["mine"].tolist()
    members = polars.concat([polars.read_parquet(path) for path in sorted(read(hub, "members").iterdir())])
    assert members["member"].unique(maintain_order=True).to_list() == ["mine@10", "mine@20", "words@0", "yours@0"]
    own = members.filter(polars.col("member") == "mine@20")
    logits = store.logits(["mine@20"], on="all")[0]
    assert np.array_equal(own.select(polars.col("^logits_.*$")).to_numpy(), logits)
    assert own["predicted"].to_list() == [corpus.classes[place] for place in logits.argmax(axis=1)]
    assert set(own["scores"]) == {"logits"}
    words = members.filter(polars.col("member") == "words@0")
    assert (words.height, words["predicted"].null_count(), words["logits_sad"].null_count()) == (12, 1, 12)


def test_the_card_says_by_which_protocol_and_how_well(store, hub, serstore, tmp_path):
    (tmp_path / "cited.bib").write_text("@article{me, title={Mine}}\n")
    words = ("--licence", "cc-by-4.0", "--citation", tmp_path / "cited.bib", "--public", "--store", store.path)
    pushed = serstore("push-store", "me/sample", *words)
    assert pushed.code == 0, pushed.err
    assert pushed.out.splitlines()[1] == "read it with --store hub:me/sample"
    text = read(hub, "README.md").read_text()
    figures = serstore("evaluate", "--store", store.path, "--json").json
    for one in figures["members"]:
        low, high = one["ci95"]
        shown = f"| {one['accuracy']:.2%} | {low:.2%} to {high:.2%} | {one['balanced_accuracy']:.2%} |"
        assert f"| `{one['member']}` | {one['n']} {shown}" in text
    for said in (
        "24 utterances of 4 speakers",
        "on test of mine",
        "### Split mine (the default)",
        "| train | 18 | 3 | s0, s1, s2 | 6 | 6 | 6 |",
        "| test | 6 | 1 | s3 | 2 | 2 | 2 |",
        "- Caution: split folds",
        "@article{me, title={Mine}}",
        "serstore evaluate --store hub:me/sample",
        'load_dataset("me/sample", "members", split="corpus")',
        "## Licence\n\ncc-by-4.0",
        *(f"- Caution: {line}" for line in figures["cautions"] if "words" not in line),
    ):
        assert said in text
    metadata = yaml.safe_load(text.split("---")[1])
    assert (metadata["license"], metadata["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    paths = {one["config_name"]: one["data_files"][0]["path"] for one in metadata["configs"]}
    assert paths == {"utterances": "utterances.parquet", "members": "members/*.parquet"}


def test_the_card_has_what_is_left_of_a_figure_that_was_chosen(store, hub):
    store.update_corpus(replace(store.corpus, speakers=None))  # of so few none can be told
    step = ss.steps(store, "mine", on="all", select="best").runs[0].correction
    vote = ss.vote(store, ["mine@10", "mine@20", "yours"], k=2, all_combos=True, on="all", save="both").selection
    ss.push_store(store, "me/sample")
    text = read(hub, "README.md").read_text()
    assert "| balanced accuracy (UA) | what was chosen, and on what |" in text
    for found, said in ((step, "step chosen among 2 on all: "), (vote, "chosen among 3 ensembles on all: ")):
        assert f" | {said}accuracy {found.apparent:.2%} there, corrected {found.corrected:.2%} |" in text
    assert "| `yours@0` | 6 | 33.33% | 9.68% to 70.00% | 33.33% |  |" in text


def test_nothing_that_is_pushed_says_where_it_lay(store, hub, tmp_path):
    store.update_run(store.run("mine").updated(model=f"{tmp_path}/weights", checkpoints=f"{store.path}/runs/mine"))
    ss.push_store(store, "me/sample")
    for path in read(hub, "").rglob("*.*"):
        if path.suffix == ".parquet":
            content = str(polars.read_parquet(path).to_dicts()).encode()
        else:
            content = path.read_bytes() if path.is_file() else b""
        assert OWN.encode() not in content
        assert str(tmp_path).encode() not in content


def test_a_store_of_the_same_corpus_is_replaced_by_one_commit_and_the_old_one_stays_by_its_commit(store, hub):
    first = ss.push_store(store, "me/sample")
    store.remove("words")
    store.add("third", ids=store.corpus.ids, predicted=["sad"] * 24)
    second = ss.push_store(store, "me/sample", with_pooled=False)
    assert (second.updated, second.commit == first.commit, len(hub.commits)) == (True, False, 2)
    assert Store("hub:me/sample").runs() == ["mine", "states", "third", "yours"]
    assert Store("hub:me/sample").member_names("states") == []
    assert "words" in Store(f"hub:me/sample@{first.commit}").runs()
    assert sorted(path.stem for path in read(hub, "members").iterdir()) == ["mine", "third", "yours"]


def test_what_else_is_there_is_never_written_over(store, hub, tmp_path):
    ss.push_store(store, "me/sample")
    other = ss.Store.create(tmp_path / "other.store", replace(store.corpus, labels=(store.corpus.labels + 1) % 3))
    with pytest.raises(StoreError, match=r"^me/sample holds a store of another corpus \(digest .* another name$"):
        ss.push_store(other, "me/sample")
    (read(hub, "") / "serstore.json").unlink()
    with pytest.raises(StoreError, match=r"^me/sample is on the hub already and holds README.md: .* another name"):
        ss.push_store(store, "me/sample")
    assert len(hub.commits) == 1


def test_two_that_push_at_once_do_not_mix(store, hub, monkeypatch):
    ss.push_store(store, "me/sample")
    from ser_store.hub import store_card

    write = store_card.write_card

    def interfere(*arguments, **options):
        monkeypatch.setattr(store_card, "write_card", write)
        ss.push_store(store, "me/sample")
        return write(*arguments, **options)

    monkeypatch.setattr(store_card, "write_card", interfere)
    with pytest.raises(StoreError, match=r"^me/sample was written to by somebody else meanwhile \(412\): .*try again$"):
        ss.push_store(store, "me/sample")
    assert len(hub.commits) == 2


@pytest.mark.parametrize(
    ("token", "repository", "message"),
    [
        (None, "me/sample", r"^no token to write to me/sample with: .* `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", "me/sample", r"does not know the token for me/sample \(401\)"),
        (OTHERS_TOKEN, "me/sample", r"the token may not write to me/sample \(403\): .* write access to me"),
        ("hf_mine", "sample", r"^'sample' is no repository of the hub: expected OWNER/NAME"),
    ],
)
def test_what_keeps_a_store_from_the_hub_is_one_line(store, hub, monkeypatch, serstore, token, repository, message):
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StoreError, match=message):
        ss.push_store(store, repository)
    assert serstore("push-store", repository, "--store", store.path).code == 1
    assert hub.commits == []


def test_without_network_the_cache_answers(store, hub):
    ss.push_store(store, "me/sample")
    before = ss.evaluate("hub:me/sample", "mine").to_json()
    hub.shutdown()
    hub.server_close()
    assert ss.evaluate("hub:me/sample", "mine").to_json() == before
    with pytest.raises(
        StoreError,
        match=r"^hub:me/other cannot be fetched \(.*\) and is not in the Hugging Face cache: expected a dataset "
        r"repository with a store.h5, as `push_store\(\)` makes it$",
    ):
        Store("hub:me/other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hub:me/other", r"^hub:me/other cannot be fetched \(404: the hub has no such dataset, revision or file\)"),
        ("hub:me/empty", r"^hub:me/empty cannot be fetched \(404: .* expected a dataset repository with a store.h5"),
        ("hub:me/gated", r"^hub:me/gated cannot be fetched \(403: not open to you: accept its terms on its page"),
        ("hub:me", r"^'hub:me' names no store on the hub: expected hub:OWNER/NAME"),
        ("hub:", r"^'hub:' names no store on the hub"),
    ],
)
def test_what_keeps_a_store_from_being_read_is_one_line(name, message, hub, serstore):
    (hub.folder / "datasets" / "me" / "empty").mkdir(parents=True)
    hub.refusals["me/gated/resolve/main/store.h5"] = 403
    with pytest.raises(StoreError, match=message):
        Store(name)
    failed = serstore("evaluate", "--store", name)
    assert (failed.code, failed.out, len(failed.err.splitlines())) == (1, "", 1)


def test_a_store_that_comes_damaged_is_refused_and_comes_again(store, hub):
    ss.push_store(store, "me/sample")
    whole = read(hub, "store.h5").read_bytes()
    read(hub, "store.h5").write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    with pytest.raises(StoreError, match=r"^hub:me/sample has not come as it was written \(.*\): .* try again$"):
        Store("hub:me/sample")
    read(hub, "store.h5").write_bytes(whole)
    assert Store("hub:me/sample").runs() == store.runs()


def test_a_store_on_the_hub_is_only_read(store, hub, tmp_path, serstore):
    ss.push_store(store, "me/sample")
    with pytest.raises(StoreError, match="is a packed store, which is never changed"):
        Store("hub:me/sample").add("new", ids=["u00"], predicted=["sad"])
    with pytest.raises(StoreError, match=r"^hub:me/new is on the hub: expected a folder .* `push_store\(\)` takes it"):
        ss.Store.create("hub:me/new", store.corpus)
    assert serstore("unpack", "hub:me/sample", "--store", tmp_path / "mine.store").code == 0
    assert serstore("merge", "hub:me/sample", "--store", tmp_path / "mine.store").code == 0
    assert Store(tmp_path / "mine.store").member_names() == store.member_names()


def test_without_the_hubs_client_the_extra_is_named(store):
    hidden = "import sys; sys.modules['huggingface_hub'] = None; from ser_store_cli.app import main; main()"
    for words in (("evaluate", "--store", "hub:me/sample"), ("push-store", "me/sample", "--store", store.path)):
        command = [sys.executable, "-c", hidden, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert re.fullmatch(r"serstore: .*the hub extra; pip install 'ser-store\[hub\]'\n", done.stderr), done.stderr


def test_the_hub_is_not_asked_for_a_store_on_this_machine(store, hub):
    shutil.copytree(store.path, store.path.with_name("copy.store"))
    program = "import sys, ser_store as ss; ss.evaluate(sys.argv[1]); assert 'huggingface_hub' not in sys.modules"
    command = [sys.executable, "-c", program, str(store.path.with_name("copy.store"))]
    assert subprocess.run(command, check=False).returncode == 0
    assert hub.fetched == []
    assert hub.address == huggingface_hub.constants.ENDPOINT
