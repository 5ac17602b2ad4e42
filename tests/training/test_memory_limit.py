"""Under a real limit of the operating system, torch's own allocator fails, and training and extraction go on smaller.

What is freed in pieces is lost to the C library now and then. Eight recordings of 20 s at once through the small model,
with all attention weights kept, take 550 to 700 MiB in training, and below 530 now and then not even one goes on.
Without gradients eight take 320, and one goes on in 130, now and then in no less than 250; one of 120 s takes 300 to
400. So there are several limits, and each command is looked at under the first that it goes on with fewer under.
"""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from training_kills import serving

from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit private memory")

TRAINING = ("--max-steps", 1, "--eval-steps", 1, "--save-steps", 1, "--logging-steps", 1, "--eval-batch-size", 1)
TRAINING = (*TRAINING, "--train-batch-size", 8, "--accumulation", 1, "--attention", "eager")
FINETUNE = ("finetune", "--model", "tiny-wav2vec2", *TRAINING)
EXTRACT = ("extract", "--model", "tiny-hubert", "--batch-size", 8)


@pytest.fixture(scope="module")
def limited():
    """Runs a command in so many mebibytes beyond its libraries: gives its exit code, stdout and stderr."""
    # Else the C library reserves more for each thread than such a training takes.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "CUDA_VISIBLE_DEVICES": ""}
    # With it torch's buffers lie elsewhere, and the limits where outcomes turn.
    environment.pop("OMP_NUM_THREADS", None)
    with serving("limited_memory.py", environment) as ask:

        def run(*words, mebibytes=None, stack=1 << 20):
            return SimpleNamespace(**ask(words=[str(word) for word in words], mebibytes=mebibytes, stack=stack))

        yield run


def make_store(folder, serstore, number, seconds):
    """A store of noise, two thirds of it to train on."""
    generator = np.random.default_rng(0)
    lines = ["utterance,path,label,part"]
    for one in range(number):
        soundfile.write(folder / f"u{one:02}.wav", 0.1 * generator.standard_normal(seconds * 16_000), 16_000)
        part = "train" if one < 2 * number // 3 else "test"
        lines.append(f"u{one:02},u{one:02}.wav,{'calm' if one % 2 else 'angry'},{part}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    words = ("init", "--corpus", folder / "manifest.csv", "--audio", folder, "--split", "part")
    assert serstore(*words, "--store", folder / "a.store").code == 0
    return folder / "a.store"


@pytest.fixture(scope="module")
def path(serstore, tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("short"), serstore, 12, 20)


def go_on(limited, words, path, limits):
    """The name and the outcome of the first run that goes on with fewer utterances at a time, or of the last."""
    for most in limits:
        name = f"tight-{most}"
        ended = limited(*words, "--run", name, "--store", path, mebibytes=most)
        if ended.code == 0 and list_reports(ended):
            break
    return name, ended


def list_reports(outcome):
    return [line[line.index("serstore: ") :] for line in outcome.err.splitlines() if "serstore: " in line]


def test_training_goes_on_with_part_of_the_batch_to_the_same_step_and_says_so_once(limited, path):
    roomy = limited(*FINETUNE, "--run", "roomy", "--store", path)
    assert (roomy.code, list_reports(roomy)) == (0, [])
    tight, ended = go_on(limited, FINETUNE, path, (600, 570, 540, 510))
    assert ended.code == 0, ended.err
    said = (
        f"serstore: {tight}: out of memory in training after step 0: goes on with {{}} at a time, {{}} times for each "
    )
    said += "optimizer step as large as before"
    # How much the C library loses between blocks is its own affair: now and then, a quarter or less is what fits.
    reports = list_reports(ended)
    assert reports
    assert reports == [said.format(4, 2), said.format(2, 4), said.format(1, 8)][: len(reports)]
    store = Store(path)
    record = store.run(tight)
    assert record.state == "finished"
    assert record.details["recipe"]["per_device_train_batch_size"] == 8
    assert record.details["resolved"] == {
        "train_batch_size": 8 // 2 ** len(reports),
        "accumulation": 2 ** len(reports),
        "eval_batch_size": 1,
        "processes": 1,
        "effective_batch_size": 8,
    }
    short, whole = store.read_member(f"{tight}@1"), store.read_member("roomy@1")
    np.testing.assert_array_equal(short.rows, whole.rows)
    np.testing.assert_allclose(short.logits, whole.logits, atol=1e-4)
    for point, same in zip(store.curves(tight), store.curves("roomy"), strict=True):
        for figure in {"train_loss", "grad_norm", "eval_loss"} & point.keys():
            assert point[figure] == pytest.approx(same[figure], rel=1e-4)


def test_extraction_goes_on_with_fewer_utterances_to_the_same_numbers(limited, path):
    assert limited(*EXTRACT, "--run", "roomy-frozen", "--store", path).code == 0
    name, ended = go_on(limited, EXTRACT, path, (300, 280, 260))
    assert ended.code == 0, ended.err
    assert ended.out == f"{name}@0: 12 utterances computed\n"
    assert list_reports(ended)[0] == f"serstore: {name}@0: out of memory with 8 utterances at a time: goes on with 4"
    tight, roomy = Store(path).read_member(f"{name}@0"), Store(path).read_member("roomy-frozen@0")
    np.testing.assert_array_equal(tight.rows, np.arange(12))
    np.testing.assert_allclose(tight.pooled.astype(float), roomy.pooled.astype(float), atol=2e-3)


def test_an_utterance_that_does_not_fit_alone_is_one_line_and_leaves_nothing(limited, serstore, tmp_path):
    path = make_store(tmp_path, serstore, 4, 120)
    ended = limited(*EXTRACT, "--run", "hopeless", "--store", path, mebibytes=200)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    *_, last = list_reports(ended)
    assert last.startswith("serstore: hopeless@0: out of memory with the utterance u")
    assert last.endswith("end what else takes memory, or leave the recording out")
    assert Store(path).runs() == []


@pytest.mark.parametrize(
    "words",
    [
        ("finetune", "--model", "tiny-hubert", "--max-steps", 1),
        ("finetune", "--model", "tiny-hubert", "--max-steps", 1, "--dataloader-workers", 1),
        ("extract", "--model", "tiny-hubert"),
        ("extract", "--model", "mfcc"),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_want_of_a_thread_is_one_line(words, empty, limited):
    # Each thread asks for more memory, for its stack, than there is; all else has enough.
    ended = limited(*words, "--store", empty, mebibytes=600, stack=1 << 30)
    assert ended.code == 1, ended
    assert "Traceback" not in ended.err
    assert ended.err[ended.err.index("serstore: ") :] == (
        "serstore: no further thread or process could be started: expected memory for one, and fewer than "
        "`ulimit -u` allows; end what else runs here, or set OMP_NUM_THREADS=1\n"
    )
    assert Store(empty).runs() == []
    assert verify_store(empty).ok
