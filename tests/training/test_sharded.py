"""Two processes that hold a shard of the model each train the run that one would, killed and resumed or not."""

import shutil

import numpy as np
import pytest
from accelerate.utils import merge_fsdp_weights
from process_samples import FULL, SHARDS, list_lines

from ser_store.backbones.digest import compute_model_digest
from ser_store.backbones.loading import build_model, load_classifier
from ser_store.hub.push import push_to_hub
from ser_store.training.checkpointing.checkpoints import Layout, find_last, find_layout, refuse_shards
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

# Normalised before each layer, as five of the six published models are: accelerate shards such an encoder as one.
MODEL = "tiny-unispeech"
WORDS = ("finetune", "--model", MODEL, "--max-steps", 6, "--eval-steps", 2, "--save-steps", 3, "--logging-steps", 1)
WORDS = (*WORDS, "--eval-batch-size", 3, "--train-batch-size", 2, "--layer-decay", 0.8, "--freeze-feature-encoder")
WORDS = (*WORDS, "--weight-decay", 0.01, "--class-weights", "balanced", "--lr", 1e-3)


@pytest.fixture(scope="module")
def resumed(empty, launch, tmp_path_factory):
    """A store with a run whose second process was killed, and what both said then; resumed to its end. Read only."""
    path = tmp_path_factory.mktemp("resumed") / "speech.store"
    shutil.copytree(empty, path)
    words = (*WORDS, "--accumulation", 2, "--store", path)
    # Ten batches are five steps; the last checkpoint is of the third.
    killed = launch(*words, environment=SHARDS, kill={"rank": 1, "batch": 10})
    assert (verify_store(path).ok, Store(path).run(MODEL).state) == (True, "failed")
    done = launch(*words, "--resume", environment=SHARDS)
    assert done.codes == [0, 0], done.said
    return path, killed


@pytest.fixture
def copy(resumed, tmp_path):
    return shutil.copytree(resumed[0], tmp_path / "speech.store")


def test_the_process_that_is_left_says_so_once_and_ends(resumed):
    killed = resumed[1]
    assert killed.codes == [1, -9]
    line = f"serstore: another of the 2 processes that train {MODEL} has ended: expected all of them to stay; what was "
    line += "written is complete, and the same call with --resume goes on from there"
    assert [list_lines(said) for said in killed.said] == [[line], []]


def test_a_sharded_run_that_was_killed_and_resumed_is_the_run_of_one_process(resumed, empty, serstore, tmp_path):
    path = shutil.copytree(empty, tmp_path / "one.store")
    assert serstore(*WORDS, "--accumulation", 4, "--store", path).code == 0
    store, other = Store(resumed[0]), Store(path)
    assert [session["step"] for session in store.run(MODEL).details["resumed"]] == [3]
    assert store.member_names(MODEL) == other.member_names(MODEL) == [f"{MODEL}@{step}" for step in (2, 4, 6)]
    for name in store.member_names(MODEL):
        member, same = store.read_member(name), other.read_member(name)
        np.testing.assert_array_equal(member.rows, same.rows)
        np.testing.assert_allclose(member.logits, same.logits, atol=1e-4)
        np.testing.assert_allclose(member.pooled, same.pooled, atol=1e-2)
    for point, same in zip(store.curves(MODEL), other.curves(MODEL), strict=True):
        assert (point["step"], point.get("accuracy")) == (same["step"], same.get("accuracy"))
        for number in {"train_loss", "eval_loss", "grad_norm"} & point.keys():
            assert point[number] == pytest.approx(same[number], rel=1e-4)
    assert verify_store(resumed[0]).ok


def test_a_joined_model_has_the_digest_of_the_sharded_one_and_can_be_published(copy, hub, serstore):
    last = find_last(copy / "runs" / MODEL / "checkpoints").folder
    refused = serstore("extract", "--run", MODEL, "--store", copy)
    assert refused.code == 1
    join = f"accelerate merge-weights {last}/pytorch_model_fsdp_0 {last}"
    assert f"holds the shards of several processes: expected whole weights; join them with `{join}`" in refused.err
    merge_fsdp_weights(last / "pytorch_model_fsdp_0", last)
    refuse_shards(last)
    digest = compute_model_digest(load_classifier(last).model)
    assert digest == Store(copy).read_member(f"{MODEL}@6").provenance["model_digest"]
    push_to_hub(Store(copy), MODEL, "me/joined")
    assert compute_model_digest(load_classifier(hub.folder / "me/joined").model) == digest
    # Extraction refuses a member that is there from other weights.
    assert serstore("extract", "--run", MODEL, "--store", copy).code == 0


def test_a_run_is_resumed_sharded_as_it_was_begun(copy, launch, serstore):
    shutil.rmtree(copy / "runs" / MODEL / "checkpoints" / "checkpoint-6")
    store = Store(copy)
    checkpoints = copy / "runs" / MODEL / "checkpoints"
    store.update_run(store.run(MODEL).updated(state="running", checkpoints=str(checkpoints)))
    words = (*WORDS, "--accumulation", 2, "--store", copy, "--resume")
    refused = launch(*words, environment=FULL)
    assert refused.codes[0] == 1
    said = "checkpoint-3 was written with FSDP and SHARDED_STATE_DICT: got a training with FSDP and FULL_STATE_DICT"
    (line,) = [line for said in refused.said for line in list_lines(said)]
    assert said in line
    alone = serstore(*words)
    assert alone.code == 1
    assert f"run {MODEL} was begun with 2 processes: got 1; a run is resumed as it was begun" in alone.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small backbone that drops layers."""
    loaded = build_model("tiny-unispeech", classes=("a", "b"), init="random", seed=1)
    backbone = loaded.model.backbone
    backbone.config.layerdrop = 0.5
    path = tmp_path_factory.mktemp("backbone") / "dropping"
    backbone.save_pretrained(path)
    return path


def test_a_backbone_that_drops_layers_is_refused_until_it_drops_none_and_publishes_a_whole_model(
    folder, empty, launch, hub, serstore, tmp_path
):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = ("finetune", "--model", folder, "--max-steps", 4, "--eval-steps", 4, "--save-steps", 4, "--speed-prob", 1)
    words = (*words, "--train-batch-size", 2, "--accumulation", 1, "--gradient-checkpointing", "--store", path)
    words = (*words, "--push-to-hub", "me/dropping")
    refused = launch(*words, environment=FULL)
    (line,) = [line for said in refused.said for line in list_lines(said) if "drops layers" in line]
    assert "drops layers with probability 0.5" in line
    assert line.endswith("expected none; set --layerdrop to 0")
    words = (*words, "--layerdrop", 0)
    done = launch(*words, environment={**FULL, "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"})
    assert done.codes == [0, 0], done.said
    last = find_last(path / "runs/dropping/checkpoints").folder
    assert find_layout(last) is Layout.FULL
    # The digest agrees with the checkpoint, which is read like that of one process.
    digest = compute_model_digest(load_classifier(last).model)
    assert digest == Store(path).read_member("dropping@4").provenance["model_digest"]
    published = hub.folder / "me/dropping"
    assert compute_model_digest(load_classifier(published).model) == digest
    words = ("--run", "dropping", "--checkpoint", published, "--step", 4, "--store", path)
    assert serstore("extract", *words).out == "dropping@4: 16 utterances computed, 32 were there already\n"


def test_shards_are_not_trained_for_the_hub(empty, launch, hub, tmp_path):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = ("finetune", "--model", MODEL, "--push-to-hub", "me/shards", "--store", path)
    refused = launch(*words, environment=SHARDS)
    assert refused.codes[0] == 1
    (line,) = [line for said in refused.said for line in list_lines(said)]
    assert "configuration has fsdp_state_dict_type SHARDED_STATE_DICT: expected FULL_STATE_DICT; or train" in line
    assert "then call `serstore finetune --run RUN --resume --push-to-hub` with me/shards by itself" in line
    assert not (hub.folder / "me/shards").exists()
    assert Store(path).runs() == []


def test_compiled_layers_train_sharded_to_the_same_losses(empty, launch, tmp_path):
    curves = []
    for compiled in ((), ("--compile",)):
        path = shutil.copytree(empty, tmp_path / f"speech{len(compiled)}.store")
        words = ("finetune", "--model", MODEL, "--max-steps", 1, "--eval-steps", 1, "--train-batch-size", 2, *compiled)
        words = (*words, "--accumulation", 1, "--logging-steps", 1, "--save-steps", 9, "--store", path)
        done = launch(*words, environment=FULL, backend="eager")
        assert done.codes == [0, 0], done.said
        curves.append(Store(path).curves(MODEL))
    for point, same in zip(*curves, strict=True):
        for loss in {"train_loss", "eval_loss", "grad_norm"} & point.keys():
            assert point[loss] == pytest.approx(same[loss], rel=1e-5)


def test_what_one_process_has_no_memory_to_evaluate_all_evaluate_in_smaller_parts(empty, launch, tmp_path):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = ("finetune", "--model", MODEL, "--max-steps", 1, "--eval-steps", 1, "--eval-batch-size", 4)
    words, limit = (*words, "--store", path), {"rank": 1, "utterances": 2}
    ended = launch(*words, environment=FULL, limit=limit)
    assert 1 in ended.codes
    (line,) = [line for said in ended.said for line in list_lines(said)]
    assert "out of memory after step 1 with 4 utterances at a time on each of 2 processes" in line
    assert "call `serstore finetune --resume`" in line
    done = launch(*words, "--resume", environment=FULL, limit=limit)
    assert done.codes == [0, 0], done.said
    record = Store(path).run(MODEL)
    assert (record.state, record.details["resolved"]["eval_batch_size"]) == ("finished", 2)
