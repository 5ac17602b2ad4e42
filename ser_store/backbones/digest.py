"""The digest of a model: equal for equal weights, however and wherever they were saved, and whoever holds a part."""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def compute_model_digest(model: nn.Module) -> str:
    """SHA-256 (hex) over name, dtype, shape and bytes of every entry of the state dict, by name.

    Independent of device, memory layout, sharing between tensors, sharding and the format of the file they came from;
    buffers that a state dict leaves out do not count. Of a model that FSDP2 shards, every other process has to call
    :func:`take_part_in_digest` meanwhile; one entry at a time is gathered.
    """
    digest = hashlib.sha256()
    for name, tensor in _iter_whole_entries(model):
        header = f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{tuple(tensor.shape)}\0".encode()
        digest.update(len(header).to_bytes(4, "little") + header)
        digest.update(_view_bytes(tensor))
    return digest.hexdigest()


def take_part_in_digest(model: nn.Module) -> None:
    """Give what this process holds of a sharded model to the one that computes its digest; else do nothing."""
    for _ in _iter_whole_entries(model):
        pass


def _iter_whole_entries(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The entries of the state dict by name, each whole."""
    for name, tensor in sorted(model.state_dict().items()):
        yield name, _gather(tensor.detach())


def _gather(tensor: Any) -> Tensor:
    """The whole of a tensor; of a DTensor, known by its mesh (loading the type takes 0.35 s), all processes' parts."""
    mesh = getattr(tensor, "device_mesh", None)
    # What is kept in the memory of the host is gathered by way of the device.
    whole: Tensor = tensor if mesh is None else tensor.to(mesh.device_type).full_tensor()
    return whole


def _view_bytes(tensor: Tensor) -> memoryview:
    # By way of uint8, for numpy has no bfloat16.
    flat = tensor.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
