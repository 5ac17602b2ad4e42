"""Which heads are asked for: every classifier on every input a member of its own, or one chosen or made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ser_store.errors import StoreError
from ser_store.heads.classifiers import Classifier, describe_settings
from ser_store.heads.inputs import Normalise
from ser_store.heads.trials import Combine, Input, Trial, Tune, list_trials
from ser_store_h5.names import parse_member

# What the folds of a cross-validation keep together.
_SUFFIXES = {"train": "", "speaker": "-by-speaker", "corpus": "-by-corpus"}


@dataclass(frozen=True)
class HeadRequest:
    """One member to be made.

    Attributes:
        kind: its classifiers: joined by ``+`` where they are combined, by ``,`` where one is chosen.
        inputs: what they are fitted on.
        heads: for each head that is combined the ways to make it, of which tuning chooses one, and a pool takes all.
        combine: how several heads become one.
        is_tuned: whether settings are tried.
    """

    kind: str
    inputs: tuple[Input, ...]
    heads: tuple[tuple[Trial, ...], ...]
    combine: Combine | None = None
    is_tuned: bool = False

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(member for one in self.inputs for member in one.members))

    @property
    def source(self) -> str:
        """The members that it is fitted on, joined by ``+``."""
        return "+".join(self.members)

    @property
    def augment(self) -> tuple[str, ...]:
        """What holds further versions of the utterances, each joined by ``+``."""
        return tuple("+".join(version) for version in self.inputs[0].versions)

    @property
    def is_chosen(self) -> bool:
        """Whether anything is chosen or fitted on training utterances beside the heads themselves."""
        return self.is_tuned or self.combine == "pool"

    def name_run(self, normalise: Normalise, marks: Sequence[str] = ()) -> str:
        """Return what its run is called unless it is given a name; ``marks`` say what else it is made by.

        >>> HeadRequest("lda", (Input(("mfcc@0",)),), ()).name_run("speaker")
        'mfcc-lda-by-speaker'
        >>> inputs = tuple(Input(("whisper@0",), (layer,)) for layer in (1, 2, 3))
        >>> HeadRequest("lda+svm", inputs, (), "average").name_run("train", ["balanced"])
        'whisper-l1-3-lda-svm-balanced-average'
        """
        layers = sorted({layer for one in self.inputs for layer in one.layers if layer is not None})
        parts = [*dict.fromkeys(parse_member(member)[0] for member in self.members), *_name_layers(layers)]
        marks = [*marks, *([self.combine] if self.combine else []), *(["tuned"] if self.is_tuned else [])]
        return "-".join([*parts, self.kind.replace("+", "-").replace(",", "-"), *marks]) + _SUFFIXES[normalise]

    def describe(self) -> dict[str, Any]:
        """Return what the record of its run says of it."""
        details: dict[str, Any] = {"source": self.members[0], "head": self.kind}
        if len(self.members) > 1:
            details["sources"] = list(self.members)
        if self.augment:
            details["augment"] = list(self.augment)
        layers = [one.layer for one in self.inputs if one.layer is not None]
        if layers:
            details["layer"] = layers[0] if len(layers) == 1 else layers
        if self.combine:
            details["combine"] = self.combine
        if self.is_tuned:
            details["tune"] = self._describe_grids()
        return details

    def _describe_grids(self) -> dict[str, dict[str, list[Any]]]:
        """The settings that are tried of each kind."""
        grids: dict[str, dict[str, list[Any]]] = {}
        for trial in (trial for trials in self.heads for trial in trials):
            for name, value in describe_settings(trial.settings).items():
                values = grids.setdefault(trial.kind, {}).setdefault(name, [])
                if value not in values:
                    values.append(value)
        return grids


def _name_layers(layers: Sequence[int]) -> list[str]:
    if not layers:
        return []
    runs_on = len(layers) > 1 and layers[-1] - layers[0] == len(layers) - 1
    return [f"l{layers[0]}-{layers[-1]}" if runs_on else "l" + "_".join(map(str, layers))]


def refuse_one_name(run: str, sources: Sequence[str], n_layers: int, n_kinds: int) -> str:
    """Return the complaint of one name for several heads."""
    if len(sources) > 1:
        return f"`run` {run} with {len(sources)} sources ({', '.join(sources)}): expected one; name it with `sources`"
    what = f"{n_layers} layers of {sources[0]}" if n_layers > 1 else f"{n_kinds} kinds"
    return f"`run` {run} with {what}: expected one; leave `run` out"


def list_requests(
    inputs: Sequence[Sequence[Input]], classifiers: Sequence[Classifier], *, tune: Tune, combine: Combine | None
) -> list[HeadRequest]:
    """Return the members to be made.

    Args:
        inputs: of each source.
        classifiers: to be fitted on each of them.
        tune: try settings, and choose among them; unless heads are combined, the kind and the input of each source too.
        combine: make one member of all heads.

    Raises:
        StoreError: if there is nothing to choose from or to combine, or a grid is no grid.
    """
    is_tuned, kinds = tune is not False, [own.kind for own in classifiers]
    units = [
        [(one, own.kind, tuple(list_trials(own, one, tune))) for one in of_source for own in classifiers]
        for of_source in inputs
    ]
    if combine is None and not is_tuned:
        return [HeadRequest(kind, (one,), (trials,)) for own in units for one, kind, trials in own]
    if combine is None:
        heads = [(tuple(trial for _, _, trials in own for trial in trials),) for own in units]
        if min(len(one[0]) for one in heads) < 2:
            raise StoreError(
                "`tune` has nothing to choose from: expected several layers or kinds, or a list of values for a "
                "parameter of the estimator"
            )
        return [
            HeadRequest(",".join(kinds), tuple(of_source), own, is_tuned=True)
            for of_source, own in zip(inputs, heads, strict=True)
        ]
    every = tuple(trials for own in units for _, _, trials in own)
    if sum(map(len, every)) < 2 or (combine == "average" and len(every) < 2):
        raise StoreError(f"`combine` {combine} of one head: expected several layers, sources or kinds")
    all_inputs = tuple(one for of_source in inputs for one in of_source)
    return [HeadRequest("+".join(kinds), all_inputs, every, combine, is_tuned)]
