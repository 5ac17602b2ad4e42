"""Where an epoch's utterances cannot be dealt out evenly, each is still learned from once, and counts the same."""

import shutil

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import strategies as st
from process_samples import FULL
from torch.utils.data import BatchSampler

from ser_store.training.batches import Deal
from ser_store_h5.store import Store

# Without dropout, since processes draw their own. Sixteen utterances are trained on.
MODEL = "tiny-wav2vec2"
WORDS = ("finetune", "--model", MODEL, "--logging-steps", 1, "--eval-batch-size", 16, "--lr", 1e-3, "--epochs", 2)


def train(run, *words, path, empty, **environment):
    shutil.copytree(empty, path)
    done = run(*WORDS, *words, "--store", path, **environment)
    assert getattr(done, "codes", None) == [0, 0] or done.code == 0
    store = Store(path)
    (name,) = store.member_names(MODEL)
    return store.read_member(name), store.curves(MODEL)


@pytest.mark.parametrize(
    ("batch", "accumulation", "further", "environment"),
    [
        (3, 1, (), None),  # the last batch of one process has a single utterance
        (6, 1, (), None),  # that of one process has none at all
        # Nor here, where the batch before it counts as well.
        (6, 2, ("--class-weights", "balanced", "--label-smoothing", 0.1, "--group-by-length"), None),
        (6, 1, (), FULL),
        (20, 1, (), None),  # less than one batch in all
    ],
)
def test_two_processes_learn_from_each_utterance_once(
    batch, accumulation, further, environment, empty, launch, serstore, tmp_path
):
    words = (*further, "--train-batch-size", batch)
    one = train(serstore, *words, "--accumulation", 2 * accumulation, path=tmp_path / "one.store", empty=empty)
    two = train(
        launch,
        *words,
        "--accumulation",
        accumulation,
        path=tmp_path / "two.store",
        empty=empty,
        environment=environment,
    )
    np.testing.assert_allclose(two[0].logits, one[0].logits, atol=1e-4)
    for point, same in zip(two[1], one[1], strict=True):
        for number in {"train_loss", "eval_loss", "grad_norm"} & point.keys():
            assert point[number] == pytest.approx(same[number], rel=1e-4), (number, point)


def test_a_run_that_is_resumed_before_the_end_of_such_an_epoch_goes_on_to_the_same_end(empty, launch, tmp_path):
    words = ("--train-batch-size", 3, "--accumulation", 1, "--save-steps", 2)
    through = train(launch, *words, path=tmp_path / "through.store", empty=empty, environment=None)
    path = shutil.copytree(empty, tmp_path / "killed.store")
    # Both epochs have three steps, and the last checkpoint is of the fourth.
    assert launch(*WORDS, *words, "--store", path, environment=None, kill={"rank": 1, "batch": 6}).codes == [1, -9]
    assert launch(*WORDS, *words, "--store", path, "--resume", environment=None).codes == [0, 0]
    store = Store(path)
    assert [session["step"] for session in store.run(MODEL).details["resumed"]] == [4]
    assert store.read_member(f"{MODEL}@6").logits.tobytes() == through[0].logits.tobytes()


def test_processes_that_share_a_model_are_in_as_many_passes_when_memory_has_run_out(empty, launch, serstore, tmp_path):
    words = ("--train-batch-size", 6, "--save-steps", 1)
    one = train(serstore, *words, "--accumulation", 2, path=tmp_path / "one.store", empty=empty)
    path = shutil.copytree(empty, tmp_path / "two.store")
    words = (*WORDS, *words, "--accumulation", 1, "--store", path)
    assert launch(*words, environment=FULL, kill={"rank": 1, "batch": 2}).codes == [1, -9]
    # What a run keeps where memory has run out in training: from its second step on it takes batches in two parts.
    store = Store(path)
    resolved = {**store.run(MODEL).details["resolved"], "train_batch_size": 3}
    store.update_run(store.run(MODEL).updated(resolved=resolved))
    assert launch(*words, "--resume", environment=FULL).codes == [0, 0]
    (name,) = store.member_names(MODEL)
    np.testing.assert_allclose(store.read_member(name).logits, one[0].logits, atol=1e-4)


few = st.integers(1, 4)


@given(utterances=st.integers(1, 40), batch_size=st.integers(1, 9), accumulation=few, processes=few, epoch=few)
def test_what_accelerate_deals_out_is_each_utterance_once_and_each_batch_weighs_the_same(
    utterances, batch_size, accumulation, processes, epoch
):
    deal = Deal(utterances, batch_size, accumulation, processes)
    batches = BatchSampler(range(utterances), batch_size, drop_last=False)
    dealt = [list(BatchSamplerShard(batches, processes, process)) for process in range(processes)]
    steps = -(-len(dealt[0]) // accumulation)
    learned = []
    for within in range(steps):
        step = epoch * steps + within
        passes = range(len(dealt[0][within * accumulation :][:accumulation]))
        weights = []
        for place in passes:
            for process in range(processes):
                own = deal.count_own(step, place, process=process)
                learned += dealt[process][within * accumulation + place][:own]
                weights.append(deal.weigh(step, place, process=process))
        # The mean over all passes of all processes is that over the batches which are not empty.
        assert np.mean(weights) == pytest.approx(1)
        assert len({weight for weight in weights if weight}) == 1
    assert learned == list(range(utterances))


@given(utterances=st.integers(1, 40), batch_size=st.integers(1, 9), accumulation=few, step=st.integers(0, 50))
def test_one_process_has_its_batches_as_they_are(utterances, batch_size, accumulation, step):
    deal = Deal(utterances, batch_size, accumulation, 1)
    batches = list(BatchSampler(range(utterances), batch_size, drop_last=False))
    first = step % -(-len(batches) // accumulation) * accumulation
    for place, batch in enumerate(batches[first : first + accumulation]):
        assert deal.count_own(step, place, process=0) == len(batch)
        assert deal.weigh(step, place, process=0) == 1
