"""The figures that Gavali & Verma (2025) print, as values. They ship with the package; see ``samples/README.md``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ser_store.common.checks import check_choice
from ser_store_h5.store import Store

SAMPLES = Path(str(resources.files("ser_store.reproduction"))) / "samples"

Example = Literal["paper", "whisper-base"]
_FILES = {"paper": "six_models.h5", "whisper-base": "whisper_base.h5"}


def open_example(name: Example = "paper") -> Store:
    """Open a store that comes with the package, read only.

    Args:
        name: ``paper``: six models on 288 utterances of RAVDESS. It holds the predicted classes that reproduce the
            published reports of Gavali & Verma (2025) cell for cell. They are a reconstruction, not the authors'
            predictions; ``samples/README.md`` beside it says how they were found.
            ``whisper-base``: what real models said of all 1,440 utterances: Whisper base, fine-tuned and frozen, on
            speakers that it has not met and on the paper's split; ``benchmarks/finetuned.py`` made it.

    Raises:
        UnknownNameError: for any other name.

    >>> import ser_store as ss
    >>> store = ss.open_example()
    >>> store.runs()
    ['hubert-base', 'hubert-xlarge', 'unispeech-large', 'unispeech-ml', 'w2v2-large', 'xlsr53']
    >>> len(store.corpus), store.corpus.classes[:3]
    (288, ('angry', 'calm', 'disgust'))
    """
    return Store(find_example(name))


def find_example(name: str) -> Path:
    """Return the packed file of :func:`open_example`."""
    check_choice("`name`", name, tuple(_FILES))
    return SAMPLES / _FILES[name]


FIGURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class PublishedReport:
    """One classification report.

    Attributes:
        figure: its place in the paper, e.g. ``Figure 7``.
        accuracy: exact, from the counts that the printed figures imply.
        rows: class name, or ``macro avg`` and ``weighted avg``, to ``precision``, ``recall`` and ``f1`` as printed,
            with two decimals.
    """

    figure: str
    accuracy: float
    rows: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class PublishedModel:
    """One fine-tuned model.

    Attributes:
        key: the backbone's key in the catalogue.
        name: the model's name in print.
        selected_step: the step that the paper reads off its training graph.
        accuracy: of Table 4, with two decimals.
        seconds: of Table 5: ``total``, ``per_100_steps`` and ``to_selected_step``.
        size: of Table 6, as printed.
        report: on the 288 test utterances.
    """

    key: str
    name: str
    selected_step: int
    accuracy: float
    seconds: Mapping[str, float]
    size: str
    report: PublishedReport


@dataclass(frozen=True)
class PublishedEnsemble:
    """One ensemble of Table 3: the keys of its members, its accuracy as printed, its report."""

    members: frozenset[str]
    accuracy: float
    report: PublishedReport


@dataclass(frozen=True)
class Published:
    """What the paper prints.

    Attributes:
        source: its reference.
        classes: in alphabetical order.
        models: the six models by key, in the paper's order.
        ensembles: of Table 3.
    """

    source: str
    classes: tuple[str, ...]
    models: Mapping[str, PublishedModel]
    ensembles: tuple[PublishedEnsemble, ...]


@cache
def load_published() -> Published:
    """Load the published figures, which come with the package.

    >>> {key: model.accuracy for key, model in load_published().models.items() if "hubert" in key}
    {'hubert-base': 0.92, 'hubert-xlarge': 0.9}
    """
    file = resources.files("ser_store") / "reproduction" / "samples" / "published_tables.json"
    tables = json.loads(file.read_text(encoding="utf-8"))
    return Published(
        source=tables["source"],
        classes=tuple(tables["classes"]),
        models={
            key: PublishedModel(
                key=key,
                name=model["name"],
                selected_step=model["selected_step"],
                accuracy=model["table_4_accuracy"],
                seconds=model["table_5_seconds"],
                size=model["table_6_size"],
                report=_parse_report(model),
            )
            for key, model in tables["models"].items()
        },
        ensembles=tuple(
            PublishedEnsemble(frozenset(entry["members"]), entry["table_3_accuracy"], _parse_report(entry))
            for entry in tables["ensembles"]
        ),
    )


def _parse_report(entry: Mapping[str, Any]) -> PublishedReport:
    report = entry["report"]
    rows = {**report["per_class"], "macro avg": report["macro_avg"], "weighted avg": report["weighted_avg"]}
    figures = {name: {figure: row[figure] for figure in FIGURES} for name, row in rows.items()}
    return PublishedReport(entry["report_figure"], report["correct"] / report["total"], figures)
