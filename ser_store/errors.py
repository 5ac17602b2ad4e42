"""The library's stated problems. All derive from :class:`SerstoreError`, whose text is one line."""

from importlib import import_module
from types import ModuleType

from ser_store_h5.errors import CorpusError as CorpusError
from ser_store_h5.errors import ExistsError as ExistsError
from ser_store_h5.errors import FormatError as FormatError
from ser_store_h5.errors import IntegrityError as IntegrityError
from ser_store_h5.errors import MissingExtraError as MissingExtraError
from ser_store_h5.errors import SerstoreError as SerstoreError
from ser_store_h5.errors import StoreError as StoreError
from ser_store_h5.errors import UnknownNameError as UnknownNameError
from ser_store_h5.errors import describe_unknown as describe_unknown
from ser_store_h5.errors import list_some as list_some


class AudioError(SerstoreError):
    """A recording that cannot be used: unreadable, truncated, silent, too short or not finite."""


class ModelError(SerstoreError):
    """A backbone that cannot be built, loaded or trusted."""


class EnsembleError(SerstoreError):
    """A set of members that cannot vote together."""


class MetricError(SerstoreError):
    """Numbers that cannot be computed from what was given."""


class UncorrectableError(MetricError):
    """What a choice costs cannot be told from these utterances."""


class DivergedError(SerstoreError):
    """A training whose loss is not finite, or that has stayed at chance."""


class MemoryLimitError(SerstoreError):
    """Not even one utterance at a time fits into memory."""


class ProcessLostError(SerstoreError):
    """Another process of the same training has ended before its time."""


# What else than training needs an extra: its name, and why, by the module.
_EXTRAS = {
    "huggingface_hub": ("hub", "this needs the hub extra"),
    "matplotlib": ("plot", "this needs the plot extra"),
    "umap": ("umap", "a map by umap needs the umap extra, `method` pca or tsne does not"),
    "opensmile": ("opensmile", "this needs openSMILE, whose licence is for research only and not for products"),
    **dict.fromkeys(("onnx", "onnxscript", "onnxruntime"), ("onnx", "this needs the onnx extra")),
}


def require(module: str) -> ModuleType:
    """Import a module of an extra, ``train`` unless it is known to be of another.

    Raises:
        MissingExtraError: naming the extra, if the module is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is None or not module.startswith(missing.name):
            raise
        extra, need = _EXTRAS.get(module, ("train", "this needs the training extra"))
        raise MissingExtraError(
            f"{missing.name} is not installed: {need}; pip install 'ser-store[{extra}]'"
        ) from missing
