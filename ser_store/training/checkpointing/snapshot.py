"""What a checkpoint is written from: copies in the host's memory, and files of tensors with their checksums."""

import json
import struct
import zlib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ser_store.backbones.digest import view_bytes
from ser_store.common.threads import single_torch_thread
from ser_store.inference.memory import find_free_memory
from ser_store.inference.out_of_memory import is_out_of_memory

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_BLOCK_BYTES = 1 << 22
_GROUPS = "param_groups"


class HostBuffers:
    """Memory of the host for copies of some tensors: taken once, and pinned for those of a GPU."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] | None = {}

    def copy(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return copies that hold until the next call; None where the host has no memory for them."""
        if self._buffers is None or not self._make_room(tensors):
            return None
        with single_torch_thread():  # others that are kept waiting by other programs make hundreds of copies wait
            for name, tensor in tensors.items():
                self._buffers[name].copy_(tensor.detach(), non_blocking=True)
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        return {name: self._buffers[name] for name in tensors}

    def _make_room(self, tensors: Mapping[str, Tensor]) -> bool:
        assert self._buffers is not None
        missing = {name: tensor for name, tensor in tensors.items() if name not in self._buffers}
        try:
            if sum(tensor.nbytes for tensor in missing.values()) > find_free_memory():
                raise MemoryError
            for name, tensor in missing.items():
                pinned = tensor.device.type == "cuda"
                self._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            self._buffers = None  # it will not be there the next time either
        return self._buffers is not None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str]) -> int:
    """Write a file of safetensors; returns the CRC-32 of its bytes.

    safetensors' own writer holds Python's lock most of the time, so that nothing can be computed beside it, and would
    leave the checksum to another pass over the file.
    """
    # The widest first, so that all are aligned.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in ordered:
        place = [end, end := end + tensor.nbytes]
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
    stated = json.dumps(header, separators=(",", ":")).encode()
    stated += b" " * (-len(stated) % 8)
    checksum = 0
    with path.open("wb") as file:
        contents = chain([memoryview(struct.pack("<Q", len(stated)) + stated)], (view_bytes(one) for _, one in ordered))
        for content in contents:
            for start in range(0, len(content), _BLOCK_BYTES):
                block = content[start : start + _BLOCK_BYTES]
                file.write(block)
                checksum = zlib.crc32(block, checksum)
    return checksum


def split_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of an optimizer's state dict by ``parameter.name``, and the rest as a file's metadata."""
    tensors = {f"{place}.{name}": value for place, values in state["state"].items() for name, value in values.items()}
    return tensors, {_GROUPS: json.dumps(state[_GROUPS])}


def read_optimizer(path: Path) -> dict[str, Any]:
    """The state dict that :func:`split_optimizer` made two parts of, from their file."""
    state: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - no dictionary
            place, _, name = key.partition(".")
            state.setdefault(int(place), {})[name] = file.get_tensor(key)
        return {"state": state, _GROUPS: json.loads(file.metadata()[_GROUPS])}
