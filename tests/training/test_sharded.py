"""Two processes that hold a shard of the model each train the run that one would, killed and resumed or not."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.utils import FullyShardedDataParallelPlugin, merge_fsdp_weights
from transformers import Wav2Vec2Config, Wav2Vec2Model

from ser_store.backbones.digest import compute_model_digest
from ser_store.backbones.loading import build_model, load_classifier
from ser_store.backbones.model import SpeechClassifier
from ser_store.errors import SerstoreError
from ser_store.training.checkpoints import Layout, find_last, find_layout, refuse_shards
from ser_store.training.estimating import estimate
from ser_store.training.publishing import push_to_hub
from ser_store.training.recipe import Recipe
from ser_store.training.sharding import (
    find_plugin,
    fit_for_shards,
    keep_precision,
    may_leave_out_weights,
    refuse_configuration,
)
from ser_store_h5.store import Store
from ser_store_h5.verify import verify_store

sys.path.insert(0, str(Path(__file__).parents[1] / "backbones"))

from hub_server import TOKEN, serve_hub

# Normalised before each layer, as five of the six published models are: accelerate shards such an encoder as one.
MODEL = "tiny-unispeech"
WORDS = ("finetune", "--model", MODEL, "--max-steps", 6, "--eval-steps", 2, "--save-steps", 3, "--logging-steps", 1)
WORDS = (*WORDS, "--eval-batch-size", 3, "--train-batch-size", 2, "--layer-decay", 0.8, "--freeze-feature-encoder")
WORDS = (*WORDS, "--weight-decay", 0.01, "--class-weights", "balanced", "--lr", 1e-3)
SHARDS = {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}
FULL = {"FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}
COMMON = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub on this machine, which these tests and all that they launch talk to."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch, serve_hub(folder, patch) as server:
        environment = {"HF_ENDPOINT": server.address, "HF_HOME": str(folder), "HF_TOKEN": TOKEN}
        for name, value in {**environment, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def launch(hub, tmp_path_factory):
    """Runs the command in two processes that share a model; gives both exit codes and what both said on stderr."""
    program, folder = Path(__file__).with_name("forking_processes.py"), tmp_path_factory.mktemp("said")
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def run(*words, environment, **job):
            job |= {"words": [str(word) for word in words], "folder": str(folder)}
            if environment is not None:
                job["environment"] = {**COMMON, **environment}
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            told = json.loads(server.stdout.readline())
            if job.get("measure") and told["codes"] == [0, 0]:
                told["memory"] = [json.loads((folder / f"{rank}.memory").read_text()) for rank in (0, 1)]
            return SimpleNamespace(**told)

        yield run
        server.stdin.close()


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


def list_lines(said):
    """The messages among what a process said, without its bar."""
    return [line.rpartition("\r")[2].rpartition("]")[2] for line in said.splitlines() if "serstore: " in line]


def test_the_process_that_is_left_says_so_once_and_ends(resumed):
    killed = resumed[1]
    assert killed.codes == [1, -9]
    line = f"serstore: another of the 2 processes that train {MODEL} has ended: expected all of them to stay; what was "
    line += "written is complete, and the same command with --resume goes on from there"
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


def test_processes_that_drop_different_layers_stay_in_step_and_publish_a_whole_model(
    folder, empty, launch, hub, serstore, tmp_path
):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = ("finetune", "--model", folder, "--max-steps", 4, "--eval-steps", 4, "--save-steps", 4, "--speed-prob", 1)
    words = (*words, "--train-batch-size", 2, "--accumulation", 1, "--gradient-checkpointing", "--store", path)
    words = (*words, "--push-to-hub", "me/dropping")
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
    assert "`serstore finetune --run RUN --resume --push-to-hub me/shards` by itself" in line
    assert not (hub.folder / "me/shards").exists()
    assert Store(path).runs() == []


def test_compiled_layers_train_sharded_to_the_same_losses(empty, launch, tmp_path):
    curves = []
    for compiled in ((), ("--compile",)):
        path = shutil.copytree(empty, tmp_path / f"speech{len(compiled)}.store")
        words = ("finetune", "--model", MODEL, "--max-steps", 1, "--eval-steps", 1, "--train-batch-size", 2, *compiled)
        words = (*words, "--accumulation", 1, "--logging-steps", 1, "--save-steps", 9, "--store", path)
        done = launch(*words, environment=FULL, backend="aot_eager")
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
    assert "run the same command with --resume" in line
    done = launch(*words, "--resume", environment=FULL, limit=limit)
    assert done.codes == [0, 0], done.said
    record = Store(path).run(MODEL)
    assert (record.state, record.details["resolved"]["eval_batch_size"]) == ("finished", 2)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A backbone of 7 million weights, most of them in its layers, which is normalised before each of them."""
    sizes = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 3, "num_attention_heads": 6}
    config = Wav2Vec2Config(**sizes, conv_dim=[96] * 7, do_stable_layer_norm=True, feat_extract_norm="layer")
    path = tmp_path_factory.mktemp("backbone") / "wide"
    Wav2Vec2Model(config).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("asked", "wrapped"), [(FULL, "TRANSFORMER_BASED_WRAP"), (SHARDS, "NO_WRAP"), (None, None)], ids=str
)
def test_each_process_takes_the_memory_and_disk_that_were_estimated(
    asked, wrapped, wide, empty, launch, tmp_path, monkeypatch
):
    path, options = shutil.copytree(empty, tmp_path / "speech.store"), {"max_steps": 2, "save_total_limit": 1}
    options |= {"train_batch_size": 2, "accumulation": 2, "max_seconds": 0.4, "eval_steps": 2}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    environment = asked and {**asked, "FSDP_AUTO_WRAP_POLICY": wrapped}
    done = launch("finetune", "--model", wide, *words, "--store", path, environment=environment, measure=True)
    assert done.codes == [0, 0], done.said
    for name, value in {**COMMON, **(environment or {"ACCELERATE_USE_FSDP": "false"}), "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    found = estimate(Store(path), str(wide), recipe=Recipe(**options))
    for held in done.memory:
        assert found.memory.weights == pytest.approx(held["weights"], rel=0.02)
        assert found.memory.optimizer == pytest.approx(held["optimizer"], rel=0.02)
        # Where each process has all gradients, they are exchanged through a copy that is made before the first step.
        copy = 0 if asked else held["gradients"]
        assert found.memory.gradients == pytest.approx(held["gradients"] + copy, rel=0.02)
        total = held["weights"] + held["optimizer"] + held["step"] + copy
        assert 0.95 <= found.memory.total / total <= 1.15
    checkpoint = find_last(path / "runs/wide/checkpoints").folder
    written = sum(each.stat().st_size for each in checkpoint.rglob("*") if each.is_file())
    assert found.disk.checkpoints / 2 == pytest.approx(written, rel=0.03)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--model", "nonsense"), 1, "unknown backbone 'nonsense': expected one of"),
        (("--model", MODEL, "--recipe", "nowhere.toml"), 1, "unknown run 'nowhere.toml'|nowhere.toml"),
        (("--model", MODEL, "--split", "none"), 1, "unknown split 'none': expected one of speaker"),
        (("--model", MODEL, "--store", "no.store"), 1, "no store at no.store"),
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


def test_a_dry_run_of_several_processes_is_printed_once(wide, empty, launch):
    words = ("finetune", "--model", wide, "--max-steps", 3, "--store", empty, "--dry-run")
    done = launch(*words, environment=SHARDS)
    assert (done.codes, done.said, done.printed[1]) == ([0, 0], ["", ""], "")
    assert "13.7 MB weights, 13.7 MB gradients, 27.4 MB AdamW" in done.printed[0]
    assert " gathered\ndisk    246 MB checkpoints" in done.printed[0]
    assert "for each of 2 processes with FSDP and SHARDED_STATE_DICT" in done.printed[0]
    refused = launch(*words, environment={**SHARDS, "FSDP_VERSION": "1"})
    assert refused.codes in ([1, 0], [1, -15])  # the launcher ends the other where that is still at it
    assert refused.said[0].startswith(
        "serstore: accelerate's configuration has fsdp_version 1: expected fsdp_version: 2"
    )


@pytest.fixture
def model():
    return build_model("tiny-hubert", classes=("a", "b"), init="random").model


def ask(**options):
    """An accelerator that was asked to shard so."""
    return SimpleNamespace(state=SimpleNamespace(fsdp_plugin=FullyShardedDataParallelPlugin(**options)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fsdp_version": 1}, "has fsdp_version 1: expected fsdp_version: 2"),
        (
            {"fsdp_version": 2, "activation_checkpointing": True},
            "has fsdp_activation_checkpointing, which draws other dropout masks on the way back than on the way forth: "
            "expected --gradient-checkpointing instead",
        ),
        (
            {
                "fsdp_version": 2,
                "auto_wrap_policy": "transformer_based_wrap",
                "transformer_cls_names_to_wrap": ["LlamaDecoderLayer"],
            },
            "has fsdp_transformer_layer_cls_to_wrap LlamaDecoderLayer, and the model has no such layer: expected "
            "HubertEncoderLayer, which is meant where the option is left out",
        ),
    ],
)
def test_what_cannot_be_trained_sharded_is_refused_with_the_option_to_mend(options, message, model):
    with pytest.raises(SerstoreError, match=message):
        refuse_configuration(find_plugin(ask(**options)), model)


def test_a_model_can_be_sharded_without_naming_its_layers(model):
    refuse_configuration(find_plugin(ask(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")), model)
    assert model._no_split_modules == {"HubertEncoderLayer"}


@pytest.mark.parametrize("name", ["tiny-hubert", "tiny-unispeech", "tiny-wavlm"])
def test_a_layer_that_is_passed_over_is_as_one_that_is_skipped(name):
    def compute(fit):
        config = build_model(name, classes=("a", "b"), init="random").model.config
        config.backbone_config.num_hidden_layers, config.backbone_config.layerdrop = 3, 1.0
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = SpeechClassifier(config).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        fit(model)
        loss = model(audio, labels=torch.tensor([0, 1])).loss
        loss.backward()
        return loss.item(), {name: weight.grad for name, weight in model.named_parameters()}

    audio = torch.randn(2, 8000, generator=torch.Generator().manual_seed(5))
    loss, gradients = compute(fit_for_shards)
    expected, others = compute(lambda model: None)
    assert loss == expected
    assert any(gradient is None for gradient in others.values())
    for weight, gradient in gradients.items():
        other = torch.zeros_like(gradient) if others[weight] is None else others[weight]
        torch.testing.assert_close(gradient, other, msg=weight)


class ReturnedAsTheyAre(torch.autograd.Function):
    """As torch takes the inputs of what it shards through a function of its own, to hear of their gradients."""

    @staticmethod
    def forward(context, *inputs):
        return inputs

    @staticmethod
    def backward(context, *gradients):
        return gradients


def test_padding_is_not_written_into_what_torch_gives_a_sharded_encoder():
    def give(encoder, arguments):
        return ReturnedAsTheyAre.apply(*arguments)

    def compute(fit):
        model = build_model("tiny-unispeech", classes=("a", "b"), init="random").model
        fit(model)
        model.backbone.encoder.register_forward_pre_hook(give, prepend=True)
        return model(audio, attention_mask=mask, labels=torch.tensor([0, 1])).loss

    audio, mask = torch.randn(2, 8000, generator=torch.Generator().manual_seed(5)), torch.ones(2, 8000).long()
    mask[1, 6000:] = 0
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        compute(lambda model: None)
    compute(fit_for_shards).backward()


def test_outputs_and_gradients_are_not_rounded_to_bf16():
    accelerator = ask(fsdp_version=2, mixed_precision_policy="bf16")
    keep_precision(accelerator)
    policy = accelerator.state.fsdp_plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (torch.bfloat16, torch.float32, None)


def test_weights_are_looked_for_only_where_one_may_be_left_out(model):
    config = model.backbone.config
    assert not may_leave_out_weights(model)
    config.layerdrop = 0.1
    assert may_leave_out_weights(model)
    config.layerdrop, model.backbone.masked_spec_embed = 0.0, torch.nn.Parameter(torch.zeros(config.hidden_size))
    config.mask_time_prob, config.apply_spec_augment = 0.0, True
    assert may_leave_out_weights(model)
    config.mask_time_prob = 0.1
    assert not may_leave_out_weights(model)
