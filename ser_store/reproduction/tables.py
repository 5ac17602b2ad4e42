"""The tables and reports of Gavali & Verma (2025), from a store that holds the six runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.backbones.catalogue import lookup
from ser_store.common.display import Block, Result
from ser_store.ensembles import vote
from ser_store.errors import StoreError
from ser_store.evaluation import name_part
from ser_store.evaluation.choice.member_choice import describe_unreadable
from ser_store.evaluation.tables import caption_utterances
from ser_store.metrics import Evaluation, evaluate_predictions
from ser_store.reproduction.published import FIGURES, PublishedReport, load_published
from ser_store.reproduction.text import tabulate_paper
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store.voting.rules import hard_vote
from ser_store_h5.names import format_member
from ser_store_h5.store import Store, StoreLike, open_store

ENSEMBLE_SIZES = (5, 3)
# Half of the last printed decimal, and as much again where the paper's own rounding goes the other way.
PRINTED_PRECISION = 0.0051


@dataclass(frozen=True)
class Report:
    """A classification report in the paper's form.

    Attributes:
        title: the model or ensemble.
        classes: in the corpus' order.
        metrics: on the test utterances.
        published: the paper's report of the same members; None if it has none.
    """

    title: str
    classes: tuple[str, ...]
    metrics: Evaluation
    published: PublishedReport | None

    @property
    def rows(self) -> dict[str, dict[str, float]]:
        """Precision, recall and f1, unrounded, of each class, and as ``macro avg`` and ``weighted avg``."""
        scores = self.metrics.per_class
        columns = zip(scores.precision.tolist(), scores.recall.tolist(), scores.f1.tolist(), strict=True)
        rows = {
            name: dict(zip(FIGURES, figures, strict=True)) for name, figures in zip(self.classes, columns, strict=True)
        }
        for name, average in (("macro avg", self.metrics.macro_avg), ("weighted avg", self.metrics.weighted_avg)):
            rows[name] = {"precision": average.precision, "recall": average.recall, "f1": average.f1}
        return rows

    @property
    def deviations(self) -> tuple[str, ...] | None:
        """What differs from the published report in its two decimals, in words; None if there is none to compare."""
        if self.published is None:
            return None
        found = self.rows
        return tuple(
            f"{name} {figure} {found[name][figure]:.2f} (published {printed:.2f})"
            for name, figures in self.published.rows.items()
            for figure, printed in figures.items()
            if name not in found or abs(found[name][figure] - printed) > PRINTED_PRECISION
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as it stands in ``serstore paper --json``."""
        published = (
            None if self.published is None else {**vars(self.published), "deviations": list(self.deviations or ())}
        )
        metrics = self.metrics
        stated = {"title": self.title, "n": metrics.n, "correct": metrics.correct, "accuracy": metrics.accuracy}
        return {**stated, "support": metrics.per_class.support.tolist(), "rows": self.rows, "published": published}


@dataclass(frozen=True)
class PaperModel:
    """One model's lines in Tables 4, 5 and 6, and its report.

    Attributes:
        key: the backbone's key.
        member: the member at the selected step.
        seconds: ``total``, ``per_100_steps`` and ``to_selected_step``, each None where the run did not record it.
        bytes: of the checkpoint in float32.
        report: on the test utterances.
    """

    key: str
    member: str
    seconds: Mapping[str, float | None]
    bytes: int
    report: Report


@dataclass(frozen=True)
class PaperEnsemble:
    """One ensemble's line in Table 3, and its report.

    Attributes:
        members: of the best ensemble of its size.
        searched: ensembles of that size.
        unique: whether no other one has as many right.
        selection: its accuracy as found, and corrected for having been chosen on these utterances.
        note: why nothing was corrected, if so.
        cautions: why the figures of its search may mislead.
        published_accuracy: of Table 3 as printed, if the paper has this ensemble.
        report: on the test utterances.
    """

    members: tuple[str, ...]
    searched: int
    unique: bool
    selection: SelectionBias | None
    published_accuracy: float | None
    report: Report
    note: str = ""
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Paper(Result):
    """Tables 3 to 6 of the paper and its reports.

    Attributes:
        on: the part of the split that the figures are of.
        split: the split; None where the corpus has none.
        models: the six models, in the paper's order.
        ensembles: the best ensemble of five and of three.
        cautions: why the figures may mislead, a line each.
    """

    on: str
    split: str | None
    models: tuple[PaperModel, ...]
    ensembles: tuple[PaperEnsemble, ...]
    cautions: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore paper`` prints."""
        yield from tabulate_paper(self)

    def caption(self) -> str:
        printed = load_published().source
        return f"{caption_utterances(self.on, self.split, self.models[0].report.metrics.n)}; published: {printed}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each model: its accuracy, the published one, and how many utterances it has right."""
        printed = load_published().models
        return [
            {
                "member": model.member,
                "n": model.report.metrics.n,
                "correct": model.report.metrics.correct,
                "accuracy": model.report.metrics.accuracy,
                "published": printed[model.key].accuracy,
            }
            for model in self.models
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore paper --json``."""
        printed = load_published()
        return {
            "source": printed.source,
            "on": self.on,
            "cautions": list(self.cautions),
            "models": [
                {
                    "model": model.key,
                    "member": model.member,
                    "accuracy": model.report.metrics.accuracy,
                    "published_accuracy": printed.models[model.key].accuracy,
                    "seconds": dict(model.seconds),
                    "published_seconds": dict(printed.models[model.key].seconds),
                    "bytes": model.bytes,
                    "published_size": printed.models[model.key].size,
                    "report": model.report.to_json(),
                }
                for model in self.models
            ],
            "ensembles": [
                {
                    "members": list(ensemble.members),
                    "searched": ensemble.searched,
                    "unique": ensemble.unique,
                    "accuracy": ensemble.report.metrics.accuracy,
                    "published_accuracy": ensemble.published_accuracy,
                    "selection": None if ensemble.selection is None else ensemble.selection.to_json(),
                    "note": ensemble.note,
                    "report": ensemble.report.to_json(),
                }
                for ensemble in self.ensembles
            ],
        }


def paper(store: StoreLike, *, on: str | None = None, split: str | None = None) -> Paper:
    """Compute the tables of Gavali & Verma (2025) from the runs of the six models, beside the published figures.

    A run belongs to a model if it bears the model's key as its name or, where no run does, if it is the only one of
    that backbone. Ensembles vote by plurality, ties going to the lowest class, as the paper's do.

    Args:
        store: a store, or its path, with a run of each model, of which the selected step counts.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: default: the corpus' default split.

    Raises:
        StoreError: naming the models that the store has no run of.

    >>> import ser_store as ss
    >>> tables = ss.paper(ss.open_example())
    >>> [ensemble.report.metrics.correct for ensemble in tables.ensembles]
    [279, 278]
    """
    store = open_store(store)
    corpus = store.corpus
    on = name_part(corpus, on, split)
    rows = corpus.rows(on, split=split)
    truth = corpus.labels[rows]
    records = store.survey().records
    unreadable = describe_unreadable([run for run in store.runs() if run not in records])
    members = _find_members(store, {run: record.backbone for run, record in records.items()})
    predictions = dict(zip(members, store.predictions(list(members.values()), rows), strict=True))
    ensembles = tuple(_find_ensemble(store, members, k, truth, predictions, on=on, split=split) for k in ENSEMBLE_SIZES)
    return Paper(
        on=on,
        split=split or corpus.default_split,
        models=tuple(_describe_model(store, key, member, truth, predictions[key]) for key, member in members.items()),
        ensembles=ensembles,
        cautions=tuple(dict.fromkeys([*unreadable, *(line for one in ensembles for line in one.cautions)])),
    )


def _find_members(store: Store, backbones: Mapping[str, str]) -> dict[str, str]:
    """The member of each published model, in the paper's order, from the backbone of every run that can be read."""
    found, missing, several = {}, [], []
    for key in load_published().models:
        runs = [key] if store.has_run(key) else [run for run, backbone in backbones.items() if backbone == key]
        if len(runs) == 1 and store.steps(runs[0]):
            found[key] = format_member(runs[0], store.selected_step(runs[0]))
        elif len(runs) > 1:
            several.append(f"several of {key} ({', '.join(runs)})")
        else:
            missing.append(key)
    if missing or several:
        lacks = ", ".join([*([f"no run of {', '.join(missing)}"] if missing else []), *several])
        raise StoreError(
            f"{store.path} has {lacks}: expected one run of each of the six published models, "
            "named by its key; make them with `finetune()`, or import their predictions"
        )
    return found


def _describe_model(
    store: Store, key: str, member: str, truth: NDArray[np.int16], predicted: NDArray[np.int16]
) -> PaperModel:
    corpus = store.corpus
    printed = load_published().models[key]
    run, step = store.resolve(member)
    metrics = evaluate_predictions(truth, predicted, n_classes=len(corpus.classes))
    report = Report(f"{printed.name}, step {step}", corpus.classes, metrics, printed.report)
    return PaperModel(key, member, _find_seconds(store, run, step), lookup(key).bytes_fp32, report)


def _find_seconds(store: Store, run: str, step: int) -> dict[str, float | None]:
    """The times of Table 5, as far as the run recorded them."""
    details = store.run(run).details
    total, steps_done = details.get("seconds"), details.get("steps_done")
    reached = [point["seconds"] for point in store.curves(run) if point.get("step") == step and point.get("seconds")]
    return {
        "total": total,
        "per_100_steps": 100 * total / steps_done if total and steps_done else None,
        "to_selected_step": reached[-1] if reached else None,
    }


def _find_ensemble(
    store: Store,
    members: Mapping[str, str],
    k: int,
    truth: NDArray[np.int16],
    predictions: Mapping[str, NDArray[np.int16]],
    *,
    on: str,
    split: str | None,
) -> PaperEnsemble:
    corpus = store.corpus
    search = vote(store, list(members.values()), k=k, all_combos=True, on=on, split=split, top=2)
    best = search.ensembles[0]
    keys = [key for key, member in members.items() if member in best.members]
    said = np.stack([predictions[key] for key in keys])
    voted = hard_vote(said, n_classes=len(corpus.classes)).predicted
    published = next((entry for entry in load_published().ensembles if entry.members == frozenset(keys)), None)
    metrics = evaluate_predictions(truth, voted, n_classes=len(corpus.classes))
    title = " + ".join(load_published().models[key].name for key in keys)
    others = [ensemble.score.correct for ensemble in search.ensembles[1:]]
    return PaperEnsemble(
        members=best.members,
        searched=search.searched,
        unique=not others or others[0] < best.score.correct,
        selection=search.selection,
        published_accuracy=None if published is None else published.accuracy,
        report=Report(title, corpus.classes, metrics, None if published is None else published.report),
        note=search.note,
        cautions=search.cautions,
    )
