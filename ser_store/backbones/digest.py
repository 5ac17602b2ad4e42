"""The digest of a model: equal for equal weights, however and wherever they were saved."""

import hashlib

import torch
from torch import Tensor, nn


def compute_model_digest(model: nn.Module) -> str:
    """SHA-256 (hex) over name, dtype, shape and bytes of every entry of the state dict, by name.

    Independent of device, memory layout, sharing between tensors and the format of the file they came from; buffers
    that a state dict leaves out do not count.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        header = f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{tuple(tensor.shape)}\0".encode()
        digest.update(len(header).to_bytes(4, "little") + header)
        digest.update(_view_bytes(tensor))
    return digest.hexdigest()


def _view_bytes(tensor: Tensor) -> memoryview:
    # By way of uint8, for numpy has no bfloat16.
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
