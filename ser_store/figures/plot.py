"""``plot``: a figure of one kind, from a store."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from ser_store.common.checks import check_choice
from ser_store.common.display import Block, Result
from ser_store.errors import StoreError
from ser_store.evaluation.choice.ensemble_names import EnsembleRule
from ser_store.evaluation.choice.member_choice import Steps
from ser_store.figures.question import Drawn, Question
from ser_store.voting.checks import Tie
from ser_store_h5.disk.atomic import write_atomically
from ser_store_h5.names import list_names
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import StoreLike, open_store

if TYPE_CHECKING:
    from ser_store.figures.drawing.style import Figure, Width

Kind = Literal[
    "confusion",
    "curves",
    "steps",
    "ensembles",
    "accuracy",
    "calibration",
    "disagreement",
    "difficulty",
    "layers",
    "learning-curve",
    "map",
    "cross",
]
Method = Literal["pca", "tsne", "umap"]

_OF_MEMBERS = frozenset({"members", "on", "split", "steps", "exclude"})
_OF_VOTES = _OF_MEMBERS | {"rule", "tie"}
_OF_RUNS = frozenset({"members", "on", "split"})
# The function that draws each kind, and the parameters that it takes besides `width`.
_KINDS: Final[Mapping[Kind, tuple[str, frozenset[str]]]] = {
    "confusion": ("of_members:draw_confusion", _OF_VOTES),
    "curves": ("of_runs:draw_training", _OF_RUNS),
    "steps": ("of_runs:draw_steps", _OF_RUNS),
    "ensembles": ("of_runs:draw_ensembles", _OF_VOTES | {"k"}),
    "accuracy": ("of_members:draw_accuracy", _OF_VOTES | {"by"}),
    "calibration": ("of_members:draw_calibration", _OF_VOTES),
    "disagreement": ("of_members:draw_disagreement", _OF_VOTES),
    "difficulty": ("of_members:draw_hardness", _OF_VOTES),
    "layers": ("of_heads:draw_layers", _OF_RUNS | {"rows"}),
    "learning-curve": ("of_heads:draw_learning", frozenset({"rows"})),
    "map": ("of_heads:draw_representations", _OF_RUNS | {"by", "layer", "method"}),
    "cross": ("of_heads:draw_cross", frozenset({"rows"})),
}


@dataclass(frozen=True, repr=False)
class Plot(Result):
    """A figure that was drawn.

    Attributes:
        kind: what is seen.
        title: above it: of whom, on which utterances.
        figure: a ``matplotlib.figure.Figure``, to be changed or saved.
        cautions: why it may mislead; they stand below it as well.
        file: where it was written, if it was.
    """

    kind: str
    title: str
    figure: "Figure" = field(repr=False)
    cautions: tuple[str, ...] = ()
    file: Path | None = None

    def save(self, file: str | os.PathLike[str]) -> "Plot":
        """Write the figure as SVG, PDF or PNG by the end of the name; what is there is replaced.

        The same figure gives the same bytes. Text stays text, to be searched and edited.

        Raises:
            StoreError: if the name ends otherwise, or the disk refuses.
        """
        from ser_store.figures.drawing.style import check_suffix, save_figure

        path = Path(file)
        suffix = check_suffix(path)

        def write(temporary: Path) -> None:
            save_figure(self.figure, temporary, suffix)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())

        write_atomically(path, write, replace=True)
        return replace(self, file=path)

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore plot`` prints."""
        yield f"{'drew' if self.file is None else f'wrote {self.file}:'} {self.title}"

    def records(self) -> list[dict[str, Any]]:
        """Return one row: ``kind``, ``file`` and ``title``."""
        return [{"kind": self.kind, "file": None if self.file is None else str(self.file), "title": self.title}]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore plot --json``."""
        return {**self.records()[0], "cautions": list(self.cautions)}

    def _repr_html_(self) -> str:
        """Show the figure itself in a notebook."""
        from ser_store.figures.drawing.style import save_figure

        drawn = StringIO()
        save_figure(self.figure, drawn, ".svg")
        return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def plot(
    store: StoreLike,
    kind: Kind,
    members: str | Sequence[str] = (),
    *,
    file: str | os.PathLike[str] | None = None,
    width: "Width" = "page",
    on: str | None = None,
    split: str | None = None,
    steps: Steps = "selected",
    rule: EnsembleRule = "hard",
    tie: Tie = "lowest",
    exclude: str | Sequence[str] = (),
    by: str | None = None,
    k: int | None = None,
    layer: int | None = None,
    method: Method = "pca",
    rows: Any = None,
    progress: ProgressLike = False,
) -> Plot:
    """Draw a figure for a paper: as wide as a column or a page, readable in grey and by colour-blind readers.

    Args:
        store: a store, or its path.
        kind: what is seen:
            ``confusion``: confusion matrices; of one member in counts and in percent. Where more runs than
            fit on a page are meant, and none is named, the saved ensembles alone, or else the most accurate.
            ``curves``: losses and accuracy of runs by step; the selected step, and where the losses diverge.
            ``steps``: the accuracy of all runs by step, with intervals.
            ``ensembles``: the accuracies of all ensembles of ``k`` members; the best as it appears and corrected.
            ``accuracy``: of members with intervals, or of each group of utterances ``by``.
            ``calibration``: how often members are right by how sure they are.
            ``disagreement``: for every two members, the share of utterances that exactly one gets right.
            ``difficulty``: which members get which utterances right, the hardest utterances last.
            ``layers``: the accuracy by layer and kind of head, of the store's heads or of a sweep (``rows``).
            ``learning-curve``: the accuracy by training utterances of a sweep (``rows``).
            ``map``: representations of one member in two dimensions, ``by`` label, speaker or a column.
            ``cross``: balanced accuracy by training and test corpus (``rows``).
        members: members, runs, or ensembles such as ``a@1+b@2+c@3``; a string is one name. Default: the selected step
            of every run.
        file: where it is written, as SVG, PDF or PNG by the end of the name; what is there is replaced. Default:
            nowhere.
        width: ``column`` (3.5 inches) or ``page`` (7.16 inches).
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: the split that ``on`` is a part of. Default: the store's default split.
        steps: ``selected``, or ``all`` steps of runs that are named alone or not at all.
        rule: how ensembles vote: ``hard``, ``soft`` or ``soft-log``; or by weights that are fitted without the speaker
            that they score, as :func:`ser_store.vote` has them: ``pool``, ``stack`` or ``greedy-pool``.
        tie: how their hard votes break ties: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        exclude: members, runs or patterns such as ``hubert-*`` that are left out.
        by: ``speaker``, ``label`` or a column, of ``accuracy`` and ``map``; the map's default is the label.
        k: members of an ensemble, of ``ensembles``.
        layer: of ``map``, the number of a layer. Default: the last.
        method: of ``map``: ``pca`` (principal components of standardised representations), ``tsne``, or ``umap`` (extra
            ``umap``); the same representations give the same map.
        rows: of ``layers``, ``learning-curve`` and ``cross``: the result of a sweep, its JSON document, or a file
            that holds it.
        progress: show a bar over the search of ``ensembles``; or a function that does.

    Returns:
        The figure, with its title and cautions. ``.save()`` writes it; a notebook shows it.

    Raises:
        MissingExtraError: if matplotlib is not installed, or umap-learn for a map by ``umap``.
        StoreError: if there is nothing to draw, or a parameter is not one of this kind.
        UnknownNameError: if there is no such kind, member, part, split, column and so on.

    >>> import ser_store as ss
    >>> drawn = ss.plot(ss.open_example(), "confusion", "xlsr53", file="xlsr53.svg")
    >>> print(drawn.title)
    Confusion of xlsr53@1100 on test of imported (n = 288): accuracy 92.71% [89.2, 95.1], balanced accuracy 91.84%
    """
    check_choice("kind of figure", kind, get_args(Kind))
    check_choice("`method`", method, get_args(Method))
    place, takes = _KINDS[kind]
    given: dict[str, Any] = {
        "members": list_names(members),
        "on": on,
        "split": split,
        "steps": steps,
        "rule": rule,
        "tie": tie,
        "exclude": list_names(exclude),
        "by": by,
        "k": k,
        "layer": layer,
        "method": method,
        "rows": rows,
    }
    _refuse_others(kind, takes, given)
    from ser_store.figures.drawing.style import check_suffix, check_width

    check_width(width)
    if file is not None:
        check_suffix(Path(file))
    module, function = place.split(":")
    draw = getattr(import_module(f"ser_store.figures.{module}"), function)
    drawn: Drawn = draw(Question(store=open_store(store), width=width, progress=to_progress(progress), **given))
    plotted = Plot(
        kind=kind, title=drawn.title.replace("\N{NO-BREAK SPACE}", " "), figure=drawn.figure, cautions=drawn.cautions
    )
    return plotted if file is None else plotted.save(file)


def _refuse_others(kind: Kind, takes: frozenset[str], given: Mapping[str, Any]) -> None:
    """Refuse a parameter that says something and is not one of this kind."""
    usual = {"steps": "selected", "rule": "hard", "tie": "lowest", "method": "pca", "members": [], "exclude": []}
    for name, value in given.items():
        if name not in takes and value != usual.get(name):
            able = ", ".join(other for other, (_, taken) in _KINDS.items() if name in taken)
            raise StoreError(f"`{name}` is given for a figure of {kind}: expected it with {able}; leave it out")
