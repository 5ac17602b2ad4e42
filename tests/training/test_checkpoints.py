"""What is read off a checkpoint's folder, and what is said where one cannot be written."""

import pytest
import torch
from safetensors.torch import save_file

from ser_store.errors import ModelError, StoreError
from ser_store.training.callbacks.checkpoint_keeper import stated_writing
from ser_store.training.checkpointing.checkpoints import Layout, find_layout, refuse_shards


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


def test_want_of_memory_is_not_taken_for_want_of_space(tmp_path):
    with pytest.raises(torch.OutOfMemoryError), stated_writing(tmp_path):
        raise torch.OutOfMemoryError("CUDA out of memory.")
