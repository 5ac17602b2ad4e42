"""How fast this machine multiplies matrices: the pace that no training outruns."""

import time
from dataclasses import dataclass

import torch

from ser_store.inference.forward import stated_rounding

_SECONDS = 0.3
_SIZES = {"cuda": 8192, "cpu": 1024}
_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class MatrixRate:
    """What was measured.

    Attributes:
        flops: floating-point operations a second.
        device: the accelerator's name, or the CPU with its threads.
        size: rows and columns of the matrices.
    """

    flops: float
    device: str
    size: int


def multiply_matrices(precision: str) -> MatrixRate:
    """Multiply square matrices for a third of a second, in the precision that a recipe names; the fastest counts."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = _SIZES[device]
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    with torch.inference_mode(), stated_rounding(precision):
        left, right = (torch.ones(size, size, dtype=_TYPES.get(precision), device=device) for _ in range(2))
        seconds = _time_product(left, right)
    return MatrixRate(2 * size**3 / seconds, name, size)


def _time_product(left: torch.Tensor, right: torch.Tensor) -> float:
    fastest = float("inf")
    end = time.perf_counter() + _SECONDS
    while fastest == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        left @ right
        if left.is_cuda:
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest
