"""Fine-tune speech transformers for emotion recognition once; answer every later question from a file.

Every command of ``serstore`` has its twin here: ``ser_store.vote(ser_store.Store("ser.store"), k=5, all_combos=True)``.
Names are imported when they are first used, so that ``import ser_store`` loads no more than it must.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_store.common.auto_classes import register_by_name
from ser_store.errors import DivergedError, MemoryLimitError, MetricError, ProcessLostError
from ser_store_h5 import __version__

if TYPE_CHECKING:
    from ser_store.across.applying import apply
    from ser_store.across.cross import cross
    from ser_store.across.joining import join
    from ser_store.backbones.catalogue import models
    from ser_store.common.typesetting import format_result
    from ser_store.corpora.create import init
    from ser_store.corpora.published.listing import list_corpora
    from ser_store.corpora.splits.listing import splits
    from ser_store.corpora.synthetic import write_synthetic_corpus
    from ser_store.ensembles import Correction, Limits, Search
    from ser_store.ensembles.fitted.calibrate import calibrate
    from ser_store.ensembles.vote import vote
    from ser_store.errors import (
        AudioError,
        CorpusError,
        DivergedError,
        EnsembleError,
        ExistsError,
        FormatError,
        IntegrityError,
        MemoryLimitError,
        MetricError,
        MissingExtraError,
        ModelError,
        ProcessLostError,
        SerstoreError,
        StoreError,
        UncorrectableError,
        UnknownNameError,
    )
    from ser_store.evaluation import evaluate
    from ser_store.evaluation.audit import audit
    from ser_store.evaluation.comparing import compare
    from ser_store.evaluation.hard_utterances import find_hard_utterances
    from ser_store.evaluation.steps import steps
    from ser_store.extraction.extract import extract
    from ser_store.figures.plot import plot
    from ser_store.heads.heads import head
    from ser_store.heads.kept_heads import apply_head
    from ser_store.heads.sweep import sweep
    from ser_store.hub.onnx_export import export_onnx
    from ser_store.hub.push import push_to_hub
    from ser_store.hub.push_store import push_store
    from ser_store.interchange.description import describe_store
    from ser_store.interchange.export import export
    from ser_store.interchange.import_ import import_predictions
    from ser_store.interchange.listing import ls, rm
    from ser_store.interchange.per_utterance import predictions
    from ser_store.prediction.predict import predict
    from ser_store.recipes.recipe import Recipe
    from ser_store.reporting.report import report
    from ser_store.reproduction.example import open_example
    from ser_store.reproduction.reproduce import finetune_all
    from ser_store.reproduction.tables import paper
    from ser_store.training.estimate import estimate
    from ser_store.training.finetune import finetune
    from ser_store.training.seeds import finetune_seeds
    from ser_store_h5.corpus import Corpus
    from ser_store_h5.integrity.sweeping import gc
    from ser_store_h5.integrity.verify import verify_store
    from ser_store_h5.member import Member
    from ser_store_h5.pack.merging import merge
    from ser_store_h5.pack.packing import pack, unpack
    from ser_store_h5.store import Store

_HOMES = {
    "AudioError": "ser_store.errors",
    "Corpus": "ser_store_h5.corpus",
    "CorpusError": "ser_store.errors",
    "Correction": "ser_store.ensembles",
    "DivergedError": "ser_store.errors",
    "EnsembleError": "ser_store.errors",
    "ExistsError": "ser_store.errors",
    "FormatError": "ser_store.errors",
    "IntegrityError": "ser_store.errors",
    "Limits": "ser_store.ensembles",
    "Member": "ser_store_h5.member",
    "MemoryLimitError": "ser_store.errors",
    "MetricError": "ser_store.errors",
    "MissingExtraError": "ser_store.errors",
    "ModelError": "ser_store.errors",
    "ProcessLostError": "ser_store.errors",
    "Recipe": "ser_store.recipes.recipe",
    "Search": "ser_store.ensembles",
    "SerstoreError": "ser_store.errors",
    "Store": "ser_store_h5.store",
    "StoreError": "ser_store.errors",
    "UncorrectableError": "ser_store.errors",
    "UnknownNameError": "ser_store.errors",
    "apply": "ser_store.across.applying",
    "apply_head": "ser_store.heads.kept_heads",
    "audit": "ser_store.evaluation.audit",
    "calibrate": "ser_store.ensembles.fitted.calibrate",
    "compare": "ser_store.evaluation.comparing",
    "cross": "ser_store.across.cross",
    "describe_store": "ser_store.interchange.description",
    "estimate": "ser_store.training.estimate",
    "evaluate": "ser_store.evaluation",
    "export": "ser_store.interchange.export",
    "export_onnx": "ser_store.hub.onnx_export",
    "extract": "ser_store.extraction.extract",
    "find_hard_utterances": "ser_store.evaluation.hard_utterances",
    "finetune": "ser_store.training.finetune",
    "finetune_all": "ser_store.reproduction.reproduce",
    "finetune_seeds": "ser_store.training.seeds",
    "format_result": "ser_store.common.typesetting",
    "gc": "ser_store_h5.integrity.sweeping",
    "head": "ser_store.heads.heads",
    "import_predictions": "ser_store.interchange.import_",
    "init": "ser_store.corpora.create",
    "list_corpora": "ser_store.corpora.published.listing",
    "join": "ser_store.across.joining",
    "ls": "ser_store.interchange.listing",
    "merge": "ser_store_h5.pack.merging",
    "models": "ser_store.backbones.catalogue",
    "open_example": "ser_store.reproduction.example",
    "pack": "ser_store_h5.pack.packing",
    "paper": "ser_store.reproduction.tables",
    "predict": "ser_store.prediction.predict",
    "plot": "ser_store.figures.plot",
    "predictions": "ser_store.interchange.per_utterance",
    "push_store": "ser_store.hub.push_store",
    "push_to_hub": "ser_store.hub.push",
    "report": "ser_store.reporting.report",
    "rm": "ser_store.interchange.listing",
    "splits": "ser_store.corpora.splits.listing",
    "steps": "ser_store.evaluation.steps",
    "sweep": "ser_store.heads.sweep",
    "unpack": "ser_store_h5.pack.packing",
    "verify_store": "ser_store_h5.integrity.verify",
    "vote": "ser_store.ensembles.vote",
    "write_synthetic_corpus": "ser_store.corpora.synthetic",
}

__all__ = [
    "AudioError",
    "Corpus",
    "CorpusError",
    "Correction",
    "DivergedError",
    "EnsembleError",
    "ExistsError",
    "FormatError",
    "IntegrityError",
    "Limits",
    "Member",
    "MemoryLimitError",
    "MetricError",
    "MissingExtraError",
    "ModelError",
    "ProcessLostError",
    "Recipe",
    "Search",
    "SerstoreError",
    "Store",
    "StoreError",
    "UncorrectableError",
    "UnknownNameError",
    "__version__",
    "apply",
    "apply_head",
    "audit",
    "calibrate",
    "compare",
    "cross",
    "describe_store",
    "estimate",
    "evaluate",
    "export",
    "export_onnx",
    "extract",
    "find_hard_utterances",
    "finetune",
    "finetune_all",
    "finetune_seeds",
    "format_result",
    "gc",
    "head",
    "import_predictions",
    "init",
    "join",
    "list_corpora",
    "ls",
    "merge",
    "models",
    "open_example",
    "pack",
    "paper",
    "plot",
    "predict",
    "predictions",
    "push_store",
    "push_to_hub",
    "report",
    "rm",
    "splits",
    "steps",
    "sweep",
    "unpack",
    "verify_store",
    "vote",
    "write_synthetic_corpus",
]


register_by_name()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ser_store' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
