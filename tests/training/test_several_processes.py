"""What several processes are told beforehand: what they will take, and what is wrong, once for all."""

import re
import shutil

import pytest
from process_samples import FULL, SHARDS

from ser_store_h5.store import Store

MODEL = "tiny-unispeech"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--model", "nonsense"), 1, "unknown backbone 'nonsense': expected one of"),
        (("--model", MODEL, "--recipe", "nowhere.toml"), 1, "unknown run 'nowhere.toml'|nowhere.toml"),
        (("--model", MODEL, "--split", "none"), 1, "unknown split 'none': expected one of speaker"),
        (("--model", MODEL, "--store", "no.store"), 1, "no store at .*no.store"),
        (("--model", MODEL, "--lr", "abc"), 2, "Invalid value for '--learning-rate' / '--lr': 'abc' is not a valid"),
        (("--model", MODEL, "--lrr", "1"), 2, "No such option: --lrr"),
        ((), 2, "expected --model MODEL, or --all for the paper's six"),
    ],
)
def test_what_every_process_is_asked_wrongly_one_says_and_all_end_alike(words, code, message, empty, launch):
    ended = launch("finetune", "--store", empty, *words, environment=FULL, alone=True)
    assert ended.codes == [code, code]
    (line,) = [line for said in ended.said for line in said.splitlines() if line]
    assert re.match(f"serstore: .*({message})", line)


@pytest.mark.parametrize("environment", [None, SHARDS], ids=["copies", "shards"])
def test_a_dry_run_of_several_processes_is_measured_by_all_and_printed_once(environment, empty, launch, tmp_path):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = ("finetune", "--model", MODEL, "--max-steps", 3, "--train-batch-size", 2, "--store", path, "--dry-run")
    done = launch(*words, environment=environment)
    assert done.codes == [0, 0], "\n".join(done.said)
    assert (done.said, done.printed[1]) == (["", ""], "")
    assert "in each of 2 processes, random weights" in done.printed[0]
    assert Store(path).runs() == []
