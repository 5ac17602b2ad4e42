"""What heads are fitted on: which members of a store, which of their layers, and the numbers themselves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.common.log import LOGGER, report_left_out
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import CorpusError, StoreError
from ser_store.evaluation.choice.member_choice import list_readable
from ser_store.heads.folds import Pairs
from ser_store.heads.trials import Examples, Input, Places
from ser_store_h5.corpus import Corpus, StrArray
from ser_store_h5.names import format_member
from ser_store_h5.store import Store

Layers = int | str | Sequence[int | str] | None
Normalise = Literal["train", "speaker", "corpus"]


def find_sources(store: Store, layer: Layers) -> list[str]:
    """Return the members with representations of the whole corpus; with layers, where one is asked for.

    Raises:
        StoreError: if there is none.
    """
    n = len(store.corpus)
    chosen, left_out = list_readable(
        store, holds=lambda one: one.pooled is not None and one.n == n and (layer is None or bool(one.layers))
    )
    report_left_out(left_out)
    if not chosen:
        raise StoreError(
            f"{store.path} has no member with {'pooled representations' if layer is None else 'layers'} of the whole "
            "corpus: make one with `extract()`"
        )
    return [member.name for member in chosen]


def list_inputs(store: Store, source: str, layer: Layers) -> list[Input]:
    """Return what heads are to be fitted on, of one source.

    Args:
        source: a member, or several that are joined by ``+``.
        layer: a number, several of them (``[3, 4]`` or ``"3,4"``), or ``all``; those joined by ``+`` are one input.

    Raises:
        StoreError: if the source does not have them.
    """
    named = source.split("+")
    members = tuple(format_member(*store.resolve(one)) for one in named)
    if layer is None:
        return [Input(members)]
    held = [_list_held(store, one, layer) for one in named]
    if layer == "all":
        return [Input(members, (number,)) for number in held[0] if all(number in own for own in held)]
    given = str(layer).split(",") if isinstance(layer, int | str) else layer
    groups = [[one.strip() for one in str(group).split("+")] for group in given]
    for own, member in zip(held, named, strict=True):
        known = [str(number) for number in own]
        for one in (number for group in groups for number in group):
            if one not in known:
                raise StoreError(f"`layer` is {one}: expected {', '.join(known)} or all, the layers of {member}")
    return [Input(members, tuple(map(int, group))) for group in groups]


def add_versions(store: Store, inputs: Sequence[Input], augment: Sequence[str], layer: Layers) -> list[Input]:
    """Return the same inputs with further versions of the utterances, each held by a source as theirs.

    Raises:
        StoreError: if a version has other members, layers or numbers than the inputs.
    """
    others = [list_inputs(store, one, layer) for one in augment]
    for name, own in zip(augment, others, strict=True):
        for one, version in zip(inputs, own, strict=False):
            made = [[_identify(store, member) for member in held.members] for held in (one, version)]
            if len(own) != len(inputs) or one.layers != version.layers or made[0] != made[1]:
                raise StoreError(
                    f"`augment` {name} holds what another model, layer or statistic gives than {one.source}: expected "
                    "the same, extracted from the recordings at another `speed`"
                )
    return [replace(one, versions=tuple(own[place].members for own in others)) for place, one in enumerate(inputs)]


def _identify(store: Store, member: str) -> tuple[object, ...]:
    """What versions of the same utterances have in common: how many numbers, and what gave them, if known."""
    info = store.describe_member(member)
    shape = info.pooled or info.logits
    return (shape and shape[1], *(info.provenance.get(key) for key in ("model_digest", "preprocessing", "pooling")))


def _list_held(store: Store, source: str, layer: Layers) -> tuple[int, ...]:
    held = store.describe_member(source).layers
    if takes_logits(store, source):
        raise StoreError(f"`layer` is {layer}, and {source} has logits and no layers: leave `layer` out")
    if not held:
        raise StoreError(
            f"`layer` is {layer}, and {source} was extracted with its last layer alone: leave `layer` out, or extract "
            "several under another `run`"
        )
    return tuple(held)


def find_covered(store: Store, inputs: Sequence[Input]) -> Rows:
    """Return the utterances that there are representations of in all inputs, ascending."""
    covered = store.covered(inputs[0].members[0])
    for member in dict.fromkeys(member for one in inputs for own in (one.members, *one.versions) for member in own):
        covered = np.intersect1d(covered, store.covered(member))
    return covered


def load_input(store: Store, one: Input, rows: Rows, normalise: Normalise = "train") -> NDArray[np.floating]:
    """Return the pooled representations of members, or the logits of those that hold no others, ``(n, d)``.

    With versions, ``(n, v, d)``: the utterances as they are first.

    Args:
        normalise: ``speaker`` or ``corpus`` standardise each dimension on all utterances that the member covers, of
            each speaker or of the corpus; ``train`` leaves that to who fits.

    Raises:
        CorpusError: if the speakers are to be standardised and the corpus does not know them all.
    """
    if one.versions:
        held = [replace(one, members=members, versions=()) for members in (one.members, *one.versions)]
        return np.stack([load_input(store, version, rows, normalise) for version in held], axis=1)
    blocks = [_load_block(store, member, rows, layer, normalise) for member in one.members for layer in one.layers]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _load_block(store: Store, member: str, rows: Rows, layer: int | None, normalise: Normalise) -> NDArray[np.floating]:
    if normalise == "train":
        return _read_block(store, member, rows, layer)
    covered = store.covered(member)
    groups = np.zeros(len(covered)) if normalise == "corpus" else find_speakers(store.corpus, covered)
    values = standardise_within(_read_block(store, member, covered, layer), groups)
    return values[np.searchsorted(covered, rows)]


def find_speakers(corpus: Corpus, rows: Rows) -> StrArray:
    """Return the speakers ``(m,)`` of ``rows``, each unknown one a group of his own, to standardise within.

    Raises:
        CorpusError: if no speaker is known.
    """
    groups = corpus.speaker_groups(rows)
    if groups is None:
        raise CorpusError(
            f"corpus {corpus.name} knows no speakers: expected some, to standardise by speaker; standardise on train "
            "or corpus, of which a fine-tuning takes train by a `classification_head` dense or linear"
        )
    return groups


def takes_logits(store: Store, member: str) -> bool:
    """Return whether a member holds logits and no representations."""
    info = store.describe_member(member)
    return info.pooled is None and info.logits is not None and not info.layers


def _read_block(store: Store, member: str, rows: Rows, layer: int | None) -> NDArray[np.floating]:
    if layer is None and takes_logits(store, member):
        return np.asarray(store.logits([member], rows)[0])
    return store.pooled(member, rows, layer=layer)


def standardise_within(values: NDArray[np.floating], groups: NDArray[Any]) -> NDArray[np.float64]:
    """Give each dimension mean 0 and standard deviation 1 within every group; where all are alike, 0.

    Args:
        values: ``(n, d)``.
        groups: ``(n,)``, what tells the groups apart.

    >>> standardise_within(np.array([[1.0], [3.0], [10.0], [10.0]]), np.array(["a", "a", "b", "b"])).ravel().tolist()
    [-1.0, 1.0, 0.0, 0.0]
    """
    standardised = np.empty(values.shape)
    for group in np.unique(groups):
        own = groups == group
        centred = values[own].astype(np.float64)
        centred -= centred.mean(axis=0)
        deviation = centred.std(axis=0)
        standardised[own] = centred / np.where(deviation > 0, deviation, 1)
    return standardised


def classify_by_speaker(head: Any, pooled: NDArray[np.float32], speakers: StrArray) -> NDArray[np.float32]:
    """Return the logits ``(m, c)`` float32 of representations ``(m, d)``, standardised within each speaker ``(m,)``.

    Args:
        head: a :class:`~ser_store.backbones.heads.SpeakerHead`.
    """
    import torch

    standardised = torch.from_numpy(standardise_within(pooled, speakers).astype(np.float32))
    with torch.inference_mode():
        logits: NDArray[np.float32] = head.out_proj(standardised.to(head.out_proj.weight.device)).cpu().numpy()
    return logits


def standardise_like(store: Store, member: str, layer: int | None, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standardise representations ``(n, d)`` of other recordings as all that the member covers were as a ``corpus``."""
    known = _read_block(store, member, store.covered(member), layer).astype(np.float64)
    deviation = known.std(axis=0)
    return np.asarray((values - known.mean(axis=0)) / np.where(deviation > 0, deviation, 1))


def load_examples(
    store: Store, inputs: Sequence[Input], pairs: Pairs, normalise: Normalise
) -> tuple[Examples, list[tuple[Places, Places]]]:
    """Load all utterances of the folds once; return them, and the places of each fold's rows among them.

    Args:
        pairs: of each fold the rows to fit on and to score.
    """
    rows = np.unique(np.concatenate([own for pair in pairs for own in pair]))
    features = {one: load_input(store, one, rows, normalise) for one in inputs}
    examples = Examples(
        features, store.corpus.labels[rows], store.corpus.speaker_groups(rows), len(store.corpus.classes)
    )
    return examples, [(np.searchsorted(rows, train), np.searchsorted(rows, scored)) for train, scored in pairs]


def report_absent_classes(run: str, corpus: Corpus, trains: Sequence[Rows]) -> None:
    """Say which classes heads cannot answer, since the utterances that they are fitted on have none.

    Raises:
        CorpusError: if they have less than two classes.
    """
    absent = [sorted(set(range(len(corpus.classes))) - set(corpus.labels[train].tolist())) for train in trains]
    missing = ", ".join(corpus.classes[index] for index in sorted({index for own in absent for index in own}))
    if any(len(own) > len(corpus.classes) - 2 for own in absent):
        raise CorpusError(
            f"the training utterances have none labelled {missing}: expected some of every class, of two at least"
        )
    if missing:
        folds = f" in {sum(map(bool, absent))} of {len(trains)} folds" if len(trains) > 1 else ""
        LOGGER.info(
            "caution: %s: the training utterances have none labelled %s%s: no head answers so", run, missing, folds
        )
