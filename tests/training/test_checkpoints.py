"""What is read off a checkpoint's folder, and what is said where one cannot be written."""

import zlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from ser_store.errors import ModelError, StoreError
from ser_store.training.checkpointing import snapshot
from ser_store.training.checkpointing.checkpoints import Layout, find_layout, is_whole, refuse_shards
from ser_store.training.checkpointing.snapshot import HostBuffers, read_optimizer, split_optimizer, write_tensors
from ser_store.training.checkpointing.writer import CheckpointWriter, stated_writing


def test_the_layout_of_a_checkpoint_is_told_by_its_files(tmp_path):
    assert find_layout(tmp_path) is Layout.PLAIN
    (tmp_path / "pytorch_model_fsdp.bin").touch()
    assert find_layout(tmp_path) is Layout.FULL
    (tmp_path / "pytorch_model_fsdp_0").mkdir()
    assert find_layout(tmp_path) is Layout.SHARDS


def test_shards_are_a_model_once_they_are_joined(tmp_path):
    shards = tmp_path / "pytorch_model_fsdp_0"
    shards.mkdir()
    message = f"{tmp_path} holds the shards of several processes: expected whole weights; join them with `accelerate "
    with pytest.raises(ModelError, match=f"{message}merge-weights {shards} {tmp_path}`"):
        refuse_shards(tmp_path)
    (tmp_path / "model.safetensors").touch()
    refuse_shards(tmp_path)


@pytest.mark.parametrize(("write", "place"), [(torch.save, "/dev/full"), (save_file, "gone/model.safetensors")])
def test_a_checkpoint_that_cannot_be_written_is_stated(write, place, tmp_path):
    message = (
        f"{tmp_path}: a checkpoint could not be written .* GB are free there.: expected space for one; make room, "
    )
    with pytest.raises(StoreError, match=message + "then go on with `resume`"), stated_writing(tmp_path):
        write({"weight": torch.zeros(1_000_000)}, tmp_path / place)


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    made = {f"layer.{place}": torch.randn(300, 7, generator=generator) for place in range(3)}
    return {**made, "half": made["layer.0"].bfloat16().T, "count": torch.tensor(5), "empty": torch.empty(0)}


def test_tensors_are_written_as_the_library_reads_them_with_the_checksum_of_the_file(tensors, tmp_path):
    path = tmp_path / "one.safetensors"
    assert write_tensors(path, tensors, metadata={"format": "pt"}) == zlib.crc32(path.read_bytes())
    read = load_file(path)
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)


def test_copies_stay_as_they_are_in_memory_that_is_taken_once(tensors):
    buffers, kept = HostBuffers(), tensors["layer.0"].clone()
    copies = buffers.copy(tensors)
    tensors["layer.0"].zero_()
    torch.testing.assert_close(copies["layer.0"], kept)
    again = buffers.copy(tensors)
    assert all(again[name].data_ptr() == copies[name].data_ptr() for name in tensors)
    assert not again["layer.0"].any()


def test_an_optimizer_is_read_as_it_was(tmp_path):
    weight = torch.nn.Parameter(torch.ones(3))
    made = torch.optim.AdamW([weight], lr=1e-3, betas=(0.9, 0.999))
    weight.grad = torch.arange(3.0)
    made.step()
    tensors, groups = split_optimizer(made.state_dict())
    write_tensors(tmp_path / "optimizer.safetensors", tensors, metadata=groups)
    again = torch.optim.AdamW([weight], lr=1.0)
    again.load_state_dict(read_optimizer(tmp_path / "optimizer.safetensors"))
    for name, value in made.state_dict()["state"][0].items():
        torch.testing.assert_close(again.state_dict()["state"][0][name], value)
    assert again.param_groups[0]["lr"] == 1e-3


@pytest.fixture
def trained():
    """A model of one layer and its optimizer, after a step."""
    model = torch.nn.Linear(2, 2)
    model(torch.ones(1, 2)).sum().backward()
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.step()
    return model, optimizer


def test_without_memory_for_a_copy_a_checkpoint_is_written_at_once(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "find_free_memory", lambda: 0)
    CheckpointWriter(tmp_path, training="t", limit=2).save(4, *trained, {"trainer_state.json": b"{}"})
    assert is_whole(tmp_path / "checkpoint-4")


def test_what_is_wrong_with_a_checkpoint_is_raised_where_it_is_waited_for(trained, tmp_path):
    writer = CheckpointWriter(tmp_path, training="t", limit=2)
    (tmp_path / "checkpoint-4").touch()
    message = "a checkpoint could not be written .* go on with `resume`"

    def go_wrong():
        with writer.waited_for():
            writer.save(4, *trained, {"trainer_state.json": b"{}"})
            raise ValueError("that came after")

    with pytest.raises(StoreError, match=message):
        go_wrong()
    writer.wait()  # and once only


def test_want_of_memory_is_not_taken_for_want_of_space(tmp_path):
    with pytest.raises(torch.OutOfMemoryError), stated_writing(tmp_path):
        raise torch.OutOfMemoryError("CUDA out of memory.")
