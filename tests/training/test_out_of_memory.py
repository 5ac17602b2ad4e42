"""When memory runs out, batches are computed in parts: the same gradients, the same steps, and a line that says so."""

import logging
import shutil

import numpy as np
import pytest
import torch

from ser_store.backbones.loading import build_model
from ser_store.errors import MemoryLimitError
from ser_store.inference.dataset import collate_speech
from ser_store.inference.out_of_memory import halve, is_out_of_memory, iter_parts, join_batches
from ser_store.recipes.recipe import Recipe
from ser_store.training import finetune as finetuning
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

RECIPE = {
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "eval_steps": 3,
    "save_steps": 6,
    "logging_steps": 1,
}


@pytest.fixture(scope="module")
def roomy(empty, tmp_path_factory):
    """A store with a run that had all the memory it asked for. Read only."""
    path = shutil.copytree(empty, tmp_path_factory.mktemp("roomy") / "speech.store")
    finetune(Store(path), "tiny-wav2vec2", run="roomy", recipe=Recipe(**RECIPE))
    return path


@pytest.fixture
def store(roomy, tmp_path):
    return Store(shutil.copytree(roomy, tmp_path / "speech.store"))


@pytest.fixture
def limit(monkeypatch):
    """Gives every model that is built so little memory that a batch of more than so many utterances does not fit."""

    def set_limits(*, forward=None, backward=None, evaluation=None):
        def refuse(what, most, count):
            if most is not None and count > most:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to {what} {count} utterances.")

        def build(*arguments, **keywords):
            loaded = build_model(*arguments, **keywords)

            def before(module, inputs, named):
                refuse("hold", forward if module.training else evaluation, len(named["rows"]))

            def after(module, inputs, said):
                if module.training:
                    # In the middle of the backward pass, when the head has got its gradients and the backbone has not.
                    said.pooled.register_hook(lambda gradient: refuse("derive", backward, len(gradient)))

            loaded.model.register_forward_pre_hook(before, with_kwargs=True)
            loaded.model.register_forward_hook(after)
            return loaded

        monkeypatch.setattr(finetuning, "build_model", build)

    return set_limits


def read_run(store, run):
    curves = [(point["step"], point.get("train_loss", point.get("eval_loss"))) for point in store.curves(run)]
    return curves, [store.read_member(name) for name in store.member_names(run)]


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_run_goes_on_in_smaller_parts_to_the_same_curve_and_members(where, store, limit, caplog):
    limit(**{where: 1})
    with caplog.at_level(logging.INFO, logger="ser_store"):
        record = finetune(store, "tiny-wav2vec2", run="tight", recipe=Recipe(**RECIPE))
    said = (
        "tight: out of memory in training after step 0: goes on with {} at a time, {} times for each optimizer step as "
    )
    said += "large as before"
    assert [line.getMessage() for line in caplog.records] == [said.format(2, 4), said.format(1, 8)]
    assert record.details["recipe"]["per_device_train_batch_size"] == 4
    assert record.details["resolved"] == {
        "train_batch_size": 1,
        "accumulation": 8,
        "eval_batch_size": 4,
        "processes": 1,
        "effective_batch_size": 8,
    }
    (curve, members), (roomy_curve, roomy_members) = read_run(store, "tight"), read_run(store, "roomy")
    np.testing.assert_allclose(curve, roomy_curve, rtol=1e-4)
    for member, roomy in zip(members, roomy_members, strict=True):
        np.testing.assert_array_equal(member.rows, roomy.rows)
        np.testing.assert_allclose(member.logits, roomy.logits, atol=1e-3)


@pytest.mark.parametrize(("most", "passes"), [(None, 1), (4, 2), (2, 4)])
def test_a_step_in_as_few_passes_as_memory_allows_is_the_step_of_its_batches(most, passes, store, limit):
    limit(forward=most)
    record = finetune(store, "tiny-wav2vec2", run="auto", recipe=Recipe(**RECIPE, micro_batch="auto"))
    resolved = record.details["resolved"]
    assert (resolved["train_batch_size"], resolved["accumulation"]) == (8 // passes, passes)
    assert resolved["eval_batch_size"] > Recipe().per_device_eval_batch_size
    (curve, members), (roomy_curve, roomy_members) = read_run(store, "auto"), read_run(store, "roomy")
    np.testing.assert_allclose(curve, roomy_curve, rtol=1e-4)
    for member, roomy in zip(members, roomy_members, strict=True):
        np.testing.assert_array_equal(member.rows, roomy.rows)
        np.testing.assert_allclose(member.logits, roomy.logits, atol=1e-3)


def test_so_it_is_where_classes_weigh_differently_and_an_epoch_ends_within_a_step(store):
    # An epoch has 16 utterances: a step of batches of 3, 3 and 3, and one of 3, 3 and 1.
    options = {
        **RECIPE,
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 3,
        "label_smoothing_factor": 0.1,
    }
    for run, size in (("batch", "batch"), ("auto", "auto"), ("parts", 2)):
        recipe = Recipe(**options, class_weights={"angry": 3.0, "happy": 0.5}, micro_batch=size)
        finetune(store, "tiny-wav2vec2", run=run, recipe=recipe)
    batch_curve, batch_members = read_run(store, "batch")
    for run in ("auto", "parts"):
        curve, members = read_run(store, run)
        np.testing.assert_allclose(curve, batch_curve, rtol=1e-4)
        for member, batch in zip(members, batch_members, strict=True):
            np.testing.assert_allclose(member.logits, batch.logits, atol=1e-3)


def test_parts_of_a_number_are_of_similar_length_and_have_no_more_padding_than_that(store, monkeypatch):
    heard = []

    def build(*arguments, **keywords):
        loaded = build_model(*arguments, **keywords)

        def listen(module, inputs, named):
            if module.training:
                heard.append((named["input_values"].shape, list(named["lengths"])))

        loaded.model.register_forward_pre_hook(listen, with_kwargs=True)
        return loaded

    monkeypatch.setattr(finetuning, "build_model", build)
    record = finetune(store, "tiny-wav2vec2", run="parts", recipe=Recipe(**RECIPE, micro_batch=3))
    assert (record.details["resolved"]["train_batch_size"], record.details["resolved"]["accumulation"]) == (3, 4)
    assert [shape[0] for shape, _ in heard] == [3, 1] * (len(heard) // 2)
    assert len(heard) == 6 * 4
    assert len({length for _, lengths in heard for length in lengths}) > 1
    for (shape, long), (_, short) in zip(heard[::2], heard[1::2], strict=True):
        assert shape[1] == long[0]
        assert long + short == sorted(long + short, reverse=True)


def test_evaluation_goes_on_in_smaller_parts_to_the_same_members(store, limit, caplog):
    limit(evaluation=1)
    with caplog.at_level(logging.INFO, logger="ser_store"):
        record = finetune(store, "tiny-wav2vec2", run="tight", recipe=Recipe(**RECIPE))
    assert "tight: out of memory in evaluation after step 3: goes on with 1 at a time" in caplog.text
    assert (record.details["resolved"]["eval_batch_size"], record.details["resolved"]["train_batch_size"]) == (1, 4)
    (_, members), (_, roomy_members) = read_run(store, "tight"), read_run(store, "roomy")
    for member, roomy in zip(members, roomy_members, strict=True):
        np.testing.assert_array_equal(member.rows, roomy.rows)
        np.testing.assert_allclose(member.logits, roomy.logits, atol=1e-5)


def test_one_utterance_that_does_not_fit_ends_with_ways_out(store, limit):
    limit(forward=0)
    message = "with a single utterance at a time: expected room for one; try `gradient_checkpointing`, `precision` bf16"
    with pytest.raises(MemoryLimitError, match=message):
        finetune(store, "tiny-wav2vec2", recipe=Recipe(**RECIPE))
    assert store.runs() == ["roomy"]


def test_memory_that_runs_out_in_the_optimizer_is_not_laid_to_an_utterance(store, monkeypatch):
    def step(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(MemoryLimitError, match=r"after step 0, outside of the model's passes: .* for the optimizer"):
        finetune(store, "tiny-wav2vec2", recipe=Recipe(**RECIPE))


def test_parts_are_padded_no_further_than_their_own_longest_utterance():
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    batch = {"input_values": mask * 2.0, "attention_mask": mask, "rows": torch.arange(3), "labels": torch.zeros(3)}
    batch["lengths"] = [2, 3, 4]
    first, second = iter_parts(batch, 2)
    assert first["input_values"].tolist() == [[2, 2, 0], [2, 2, 2]]
    assert (first["rows"].tolist(), second["rows"].tolist()) == ([0, 1], [2])
    assert second["attention_mask"].shape == (1, 4)
    assert next(iter_parts(batch, 3)) is batch


@pytest.mark.parametrize("bins", [(), (3,)])
def test_batches_are_joined_as_if_they_had_been_one(bins):
    items = [
        {"input_values": np.full((n, *bins), n, dtype=np.float32), "sample_count": n, "label": 1, "row": n}
        for n in (2, 3, 4)
    ]
    joined, whole = join_batches([collate_speech(items[:2]), collate_speech(items[2:])]), collate_speech(items)
    assert joined.keys() == whole.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(joined[name], values)


def test_micro_batches_are_halved_down_to_one():
    assert [halve(size) for size in (8, 5, 3, 2)] == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            True,
        ),
        (MemoryError(), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory: you"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"), True),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), True),
        (RuntimeError("CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY"), True),
        (RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("HIP error: hipErrorOutOfMemory"), True),
        (RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5.05 GB"), True),
        (RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`"), False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("DataLoader worker: It is possible that workers are out of shared memory"), False),
        (ValueError("CUDA error: out of memory"), False),
        (
            RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
            False,
        ),
        (RuntimeError("shapes cannot be multiplied"), False),
        (KeyError("memory"), False),
    ],
)
def test_only_want_of_memory_is_taken_for_it(problem, expected):
    assert is_out_of_memory(problem) is expected
