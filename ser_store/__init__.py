"""Fine-tune speech transformers for emotion recognition once; answer every later question from a file.

Every command of ``serstore`` has its twin here: ``ser_store.vote(ser_store.Store("ser.store"), k=5, all_combos=True)``.
Names are imported when they are first used, so that ``import ser_store`` loads no more than it must.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_store.common.auto_classes import register_by_name
from ser_store_h5 import __version__

if TYPE_CHECKING:
    from ser_store.across.applying import apply as apply
    from ser_store.across.cross import cross as cross
    from ser_store.across.joining import join as join
    from ser_store.backbones.catalogue import models as models
    from ser_store.common.typesetting import format_result as format_result
    from ser_store.corpora.create import init as init
    from ser_store.corpora.published.listing import list_corpora as list_corpora
    from ser_store.corpora.splits.listing import splits as splits
    from ser_store.corpora.synthetic import write_synthetic_corpus as write_synthetic_corpus
    from ser_store.ensembles import Correction as Correction
    from ser_store.ensembles import Limits as Limits
    from ser_store.ensembles import Search as Search
    from ser_store.ensembles.fitted.calibrate import calibrate as calibrate
    from ser_store.ensembles.vote import vote as vote
    from ser_store.errors import AudioError as AudioError
    from ser_store.errors import CorpusError as CorpusError
    from ser_store.errors import DivergedError as DivergedError
    from ser_store.errors import EnsembleError as EnsembleError
    from ser_store.errors import ExistsError as ExistsError
    from ser_store.errors import FormatError as FormatError
    from ser_store.errors import IntegrityError as IntegrityError
    from ser_store.errors import MemoryLimitError as MemoryLimitError
    from ser_store.errors import MetricError as MetricError
    from ser_store.errors import MissingExtraError as MissingExtraError
    from ser_store.errors import ModelError as ModelError
    from ser_store.errors import ProcessLostError as ProcessLostError
    from ser_store.errors import SerstoreError as SerstoreError
    from ser_store.errors import StoreError as StoreError
    from ser_store.errors import UncorrectableError as UncorrectableError
    from ser_store.errors import UnknownNameError as UnknownNameError
    from ser_store.evaluation import evaluate as evaluate
    from ser_store.evaluation.audit import audit as audit
    from ser_store.evaluation.comparing import compare as compare
    from ser_store.evaluation.hard_utterances import find_hard_utterances as find_hard_utterances
    from ser_store.evaluation.steps import steps as steps
    from ser_store.extraction.extract import extract as extract
    from ser_store.figures.plot import plot as plot
    from ser_store.heads.heads import head as head
    from ser_store.heads.kept_heads import apply_head as apply_head
    from ser_store.heads.sweep import sweep as sweep
    from ser_store.hub.onnx_export import export_onnx as export_onnx
    from ser_store.hub.push import push_to_hub as push_to_hub
    from ser_store.hub.push_store import push_store as push_store
    from ser_store.interchange.description import describe_store as describe_store
    from ser_store.interchange.export import export as export
    from ser_store.interchange.import_ import import_predictions as import_predictions
    from ser_store.interchange.listing import ls as ls
    from ser_store.interchange.listing import rm as rm
    from ser_store.interchange.per_utterance import predictions as predictions
    from ser_store.prediction.predict import predict as predict
    from ser_store.recipes.recipe import Recipe as Recipe
    from ser_store.reporting.report import report as report
    from ser_store.reproduction.published import open_example as open_example
    from ser_store.reproduction.reproduce import finetune_all as finetune_all
    from ser_store.reproduction.tables import paper as paper
    from ser_store.training.estimate import estimate as estimate
    from ser_store.training.finetune import finetune as finetune
    from ser_store.training.seeds import finetune_seeds as finetune_seeds
    from ser_store_h5.corpus import Corpus as Corpus
    from ser_store_h5.integrity.sweeping import gc as gc
    from ser_store_h5.integrity.verify import verify_store as verify_store
    from ser_store_h5.member import Member as Member
    from ser_store_h5.pack.merging import merge as merge
    from ser_store_h5.pack.packing import pack as pack
    from ser_store_h5.pack.packing import unpack as unpack
    from ser_store_h5.store import Store as Store

# The module of each public name.
_HOMES = {
    name: home
    for home, names in {
        "ser_store.across.applying": "apply",
        "ser_store.across.cross": "cross",
        "ser_store.across.joining": "join",
        "ser_store.backbones.catalogue": "models",
        "ser_store.common.typesetting": "format_result",
        "ser_store.corpora.create": "init",
        "ser_store.corpora.published.listing": "list_corpora",
        "ser_store.corpora.splits.listing": "splits",
        "ser_store.corpora.synthetic": "write_synthetic_corpus",
        "ser_store.ensembles": "Correction Limits Search",
        "ser_store.ensembles.fitted.calibrate": "calibrate",
        "ser_store.ensembles.vote": "vote",
        "ser_store.errors": (
            "AudioError CorpusError DivergedError EnsembleError ExistsError FormatError IntegrityError "
            "MemoryLimitError MetricError MissingExtraError ModelError ProcessLostError SerstoreError StoreError "
            "UncorrectableError UnknownNameError"
        ),
        "ser_store.evaluation": "evaluate",
        "ser_store.evaluation.audit": "audit",
        "ser_store.evaluation.comparing": "compare",
        "ser_store.evaluation.hard_utterances": "find_hard_utterances",
        "ser_store.evaluation.steps": "steps",
        "ser_store.extraction.extract": "extract",
        "ser_store.figures.plot": "plot",
        "ser_store.heads.heads": "head",
        "ser_store.heads.kept_heads": "apply_head",
        "ser_store.heads.sweep": "sweep",
        "ser_store.hub.onnx_export": "export_onnx",
        "ser_store.hub.push": "push_to_hub",
        "ser_store.hub.push_store": "push_store",
        "ser_store.interchange.description": "describe_store",
        "ser_store.interchange.export": "export",
        "ser_store.interchange.import_": "import_predictions",
        "ser_store.interchange.listing": "ls rm",
        "ser_store.interchange.per_utterance": "predictions",
        "ser_store.prediction.predict": "predict",
        "ser_store.recipes.recipe": "Recipe",
        "ser_store.reporting.report": "report",
        "ser_store.reproduction.published": "open_example",
        "ser_store.reproduction.reproduce": "finetune_all",
        "ser_store.reproduction.tables": "paper",
        "ser_store.training.estimate": "estimate",
        "ser_store.training.finetune": "finetune",
        "ser_store.training.seeds": "finetune_seeds",
        "ser_store_h5.corpus": "Corpus",
        "ser_store_h5.integrity.sweeping": "gc",
        "ser_store_h5.integrity.verify": "verify_store",
        "ser_store_h5.member": "Member",
        "ser_store_h5.pack.merging": "merge",
        "ser_store_h5.pack.packing": "pack unpack",
        "ser_store_h5.store": "Store",
    }.items()
    for name in names.split()
}
__all__ = ["__version__", *sorted(_HOMES)]


register_by_name()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ser_store' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
