"""The digest of a model: equal for equal weights, however and wherever they were saved, and whoever holds a part."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ser_store.backbones.lora import iter_whole
from ser_store.common.threads import open_pool

_THREADS = min(8, os.cpu_count() or 1)
# To hand fewer bytes to a thread takes longer than to hash them.
_SMALL_BYTES = 1 << 14


def compute_model_digest(model: nn.Module) -> str:
    """Return :func:`compute_digest` of a model's state dict; buffers that it leaves out do not count."""
    return compute_digest(dict(iter_whole(model)))


def compute_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) of a state dict: of each entry's name, dtype, shape and the SHA-256 of its bytes.

    Independent of device, memory layout, sharing between tensors, sharding and the format of the file they came from.
    Of a model that FSDP2 shards, every other process has to call :func:`take_part_in_digest` meanwhile; one entry after
    the other is gathered, and a few are held at a time.
    """
    digest = hashlib.sha256()
    for header, hashed in _iter_hashed(weights):
        digest.update(len(header).to_bytes(4, "little") + header + hashed)
    return digest.hexdigest()


def _iter_hashed(weights: Mapping[str, Tensor]) -> Iterator[tuple[bytes, bytes]]:
    """What each entry is called and is, and the hash of its bytes; several are hashed side by side."""
    pool = open_pool(os.getpid(), "digest", _THREADS)
    ahead: deque[tuple[bytes, Callable[[], bytes]]] = deque()
    for name, tensor in _iter_whole_entries(weights):
        header = f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{tuple(tensor.shape)}\0".encode()
        take_hash: Callable[[], bytes] = partial(_hash, view_bytes(tensor))
        if tensor.nbytes > _SMALL_BYTES:
            with suppress(RuntimeError):  # no memory for a thread: it is hashed in this one
                take_hash = pool.submit(take_hash).result
        ahead.append((header, take_hash))
        if len(ahead) > 2 * _THREADS:
            before, take_hash = ahead.popleft()
            yield before, take_hash()
    for header, take_hash in ahead:
        yield header, take_hash()


def _hash(content: memoryview) -> bytes:
    return hashlib.sha256(content).digest()


def take_part_in_digest(weights: Mapping[str, Tensor]) -> None:
    """Give what this process holds of a sharded model to the one that computes its digest; else do nothing."""
    for _ in _iter_whole_entries(weights):
        pass


def _iter_whole_entries(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The entries of a state dict by name, each whole."""
    for name, tensor in sorted(weights.items()):
        yield name, _gather(tensor.detach())


def _gather(tensor: Any) -> Tensor:
    """The whole of a tensor; of a DTensor, known by its mesh (loading the type takes 0.35 s), all processes' parts."""
    mesh = getattr(tensor, "device_mesh", None)
    # What is kept in the memory of the host is gathered by way of the device.
    whole: Tensor = tensor if mesh is None else tensor.to(mesh.device_type).full_tensor()
    return whole


def view_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, in the order of its elements."""
    # By way of uint8, for numpy has no bfloat16.
    flat = tensor.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
