"""``torch.compile`` for speech: the transformer's layers, for any length."""

import os
import shutil
from typing import Any

from ser_store.errors import SerstoreError

_COMPILERS = ("g++", "clang++", "c++", "cl")


def compile_layers(model: Any, *, backend: str = "inductor") -> None:
    """Have torch compile the layers of a classifier's transformer, in place; names of weights stay as they are.

    The layers do nearly all of the work, and all of them share one graph for training and one for evaluation, whatever
    the length and the size of a batch. The whole model cannot be compiled so: it counts frames and makes masks in
    Python, where every length asks for another graph, and those that inductor makes for the rest fail on a CPU
    (``assert_size_stride``, torch 2.11).

    Args:
        model: a :class:`~ser_store.backbones.model.SpeechClassifier`.
        backend: of ``torch.compile``.

    Raises:
        SerstoreError: if there is no C++ compiler, which the default backend needs.
    """
    if backend == "inductor" and not any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS))):
        raise SerstoreError(
            f"--compile found no C++ compiler: expected one of {', '.join(_COMPILERS)} on the PATH; install one, name "
            "it by CXX, or leave --compile out"
        )
    for layer in model.backbone.encoder.layers:
        layer.compile(backend=backend, dynamic=True)
