"""Figures of heads and of what they are fitted on: layers, learning curves, maps of representations, corpora."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Percent
from ser_store.errors import StoreError, require
from ser_store.evaluation import evaluate, find_groups, name_part
from ser_store.evaluation.uncertainty import correct_choice
from ser_store.figures.drawing.curves import draw_learning_curves
from ser_store.figures.drawing.matrices import draw_matrix
from ser_store.figures.drawing.points import draw_map
from ser_store.figures.question import (
    Document,
    Drawn,
    Question,
    describe_choice,
    find_rows,
    list_notes,
    load_document,
    name_scope,
    name_scope_of,
)
from ser_store_h5.store import Store

_CHOSEN = "the best cell was chosen on these utterances and looks better than it is; its sweep says what is left of it"
# What is needed of each head of a sweep, and of each pair of corpora.
_HEAD = ("kind", "source", "layer", "normalise", "protocol", "train", "n_train", "n", "accuracy", "ci95", "std")
_PAIR = ("train", "test", "member", "n", "balanced_accuracy")
# How to read each kind of map.
_READ = {
    "pca": "two dimensions of many: what lies apart here is apart, what lies together need not be alike",
    "tsne": "t-SNE shows who is near whom: distances between clusters, and their sizes, say nothing",
    "umap": "UMAP shows who is near whom: distances between clusters, and their sizes, say little",
}
# What tells heads apart beside their kind and layer.
_WAYS = ("source", "normalise", "protocol", "versions")


def draw_layers(asked: Question) -> Drawn:
    """Draw the accuracy of heads by layer and kind: of a sweep, or of the heads that the store has as members."""
    found = _load_layer_heads(asked) if asked.rows is None else _read_layer_heads(asked.rows)
    records = [one for one in found.records if one["layer"] is not None]
    if not records:
        raise StoreError(
            "no head is of a layer by its number: expected heads that `head()` or `sweep()` made with `layer`"
        )
    layers = sorted({str(one["layer"]) for one in records}, key=lambda layer: (len(layer), layer))
    ways = _name_ways(records)
    rows = list(dict.fromkeys(ways))
    cells = np.full((len(rows), len(layers)), np.nan)
    for way, one in zip(ways, records, strict=True):
        place = rows.index(way), layers.index(str(one["layer"]))
        cells[place] = np.fmax(cells[place], one["accuracy"])
    title = f"Accuracy by layer and head, {_name_common(records)}{found.scope}"
    figure = draw_matrix(
        cells,
        rows,
        layers,
        title=title,
        shaded="accuracy",
        names=("", "layer"),
        notes=list_notes(found.cautions, *found.notes),
        width=asked.width,
    )
    return Drawn(figure, title, found.cautions)


@dataclass(frozen=True)
class _Heads:
    """Heads by what they are, where they were judged, and what is left of the best of them."""

    records: Sequence[Mapping[str, Any]]
    scope: str
    notes: Sequence[str]
    cautions: tuple[str, ...] = ()


def _load_layer_heads(asked: Question) -> _Heads:
    store = asked.store
    found = evaluate(store, asked.members or _list_layer_heads(store), on=asked.on, split=asked.split)
    names = [one.member for one in found.members]
    accuracies = [one.metrics.accuracy for one in found.members]
    rows = find_rows(asked, found)
    right = store.predictions(names, rows) == store.corpus.labels[rows]
    selection, note = correct_choice(right, store.corpus.speaker_groups(rows), noun="head")
    best = names[int(np.argmax(accuracies))]
    chosen = note if selection is None else describe_choice(best, selection.to_json(), len(names))
    records = [{**_describe_head(store, name), "accuracy": own} for name, own in zip(names, accuracies, strict=True)]
    return _Heads(records, name_scope_of(found), [chosen], found.cautions)


def _read_layer_heads(rows: Any) -> _Heads:
    document = load_document(rows)
    heads = [one for one in document.list_records("heads", _HEAD) if one["train"] == "all"]
    return _Heads(heads, _name_protocols(heads), list(_iter_choices(document)) or [_CHOSEN])


def _iter_choices(document: Document) -> Iterator[str]:
    """Yield what a sweep says is left of its best heads."""
    best = document.content.get("best", ()) if isinstance(document.content, Mapping) else ()
    for one in best:
        head, selection = one["head"], one["selection"]
        layer = "" if head["layer"] is None else f" of layer {head['layer']}"
        name = f"{head['kind']} on {head['source']}{layer} by {head['protocol']}"
        if selection is None:
            yield f"best of {one['n_candidates']}: {name}, {Percent(head['accuracy'])} ({one['note']})"
        else:
            yield describe_choice(name, selection, one["n_candidates"])


def _list_layer_heads(store: Store) -> list[str]:
    """Return the members of all runs that are one head on one layer."""
    heads = [store.run(run) for run in store.runs() if store.member_names(run)]
    return [
        store.member_names(record.run)[0]
        for record in heads
        if record.kind == "head" and isinstance(record.details.get("layer"), int) and "combine" not in record.details
    ]


def _describe_head(store: Store, member: str) -> dict[str, Any]:
    details = store.run(store.resolve(member)[0]).details
    protocol = details.get("cv") or details.get("split") or ""
    versions = 1 + len(details.get("augment", ()))
    return {
        "kind": details.get("head", member),
        "layer": details.get("layer"),
        "source": details.get("source", ""),
        "normalise": details.get("normalise", "train"),
        "protocol": protocol,
        "versions": f"{versions} versions" if versions > 1 else "",
    }


def _list_differing(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in _WAYS if len({one.get(name, "") for one in records}) > 1]


def _name_ways(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the kind of each head, and beside it what not all heads have in common."""
    differing = _list_differing(records)
    return [", ".join([str(one["kind"]), *(str(one[name]) for name in differing if one.get(name))]) for one in records]


def _name_common(records: Sequence[Mapping[str, Any]]) -> str:
    """Return on whose representations all heads are fitted, if on the same."""
    return f"of {records[0]['source']} " if "source" not in _list_differing(records) else ""


def _name_protocols(records: Sequence[Mapping[str, Any]]) -> str:
    protocols = dict.fromkeys(
        f"{one['protocol']} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{one['n']})" for one in records
    )
    return f"by {', '.join(protocols)}"


def draw_learning(asked: Question) -> Drawn:
    """Draw the accuracy of a sweep's heads by the number of training utterances."""
    if asked.rows is None:
        raise StoreError("`rows` is not given: expected what a `sweep()` with `train_share` or `per_class` found")
    document = load_document(asked.rows)
    records = document.list_records("heads", _HEAD)
    curves: dict[str, list[list[float]]] = {}
    for name, one in zip(_name_ways(records), records, strict=True):
        name += "" if one["layer"] is None else f", layer {one['layer']}"
        spread = None if one["std"] is None else (one["accuracy"] - one["std"], one["accuracy"] + one["std"])
        low, high = spread or one["ci95"] or (np.nan, np.nan)
        curves.setdefault(name, []).append([one["n_train"], one["accuracy"], low, high])
    title = f"Accuracy by training utterances, {_name_common(records)}{_name_protocols(records)}"
    bars = "bars: standard deviation over draws of the training utterances; without draws, the 95% interval"
    figure = draw_learning_curves(
        [sorted(points) for points in curves.values()],
        list(curves),
        title=title,
        notes=[bars, *_iter_choices(document)],
        width=asked.width,
    )
    return Drawn(figure, title)


def draw_representations(asked: Question) -> Drawn:
    """Draw the representations of one member as points of a plane."""
    store, corpus = asked.store, asked.store.corpus
    member = _choose_pooled(store, asked.members)
    on = name_part(corpus, asked.on, asked.split)
    rows = np.intersect1d(corpus.rows(on, split=asked.split), store.covered(member)).astype(np.int32)
    if len(rows) < 3:
        raise StoreError(f"{member} has {len(rows)} utterances of {on}: expected three or more for a map")
    by = asked.by or "label"
    pooled = np.asarray(store.pooled(member, rows, layer=asked.layer), dtype=np.float64)
    points, names = _reduce(pooled, asked.method)
    layer = "" if asked.layer is None else f", layer {asked.layer},"
    title = (
        f"Representations of {member}{layer} by {by} {name_scope(on, asked.split or corpus.default_split, len(rows))}"
    )
    figure = draw_map(
        points,
        find_groups(corpus, by)[rows],
        title=title,
        axes_names=names,
        notes=[_READ[asked.method]],
        width=asked.width,
    )
    return Drawn(figure, title)


def _choose_pooled(store: Store, members: Sequence[str]) -> str:
    if len(members) > 1:
        raise StoreError(f"{len(members)} members are named: expected one, whose representations are shown")
    if members:
        run, step = store.resolve(members[0])
        return f"{run}@{step}"
    for member in store.members():
        if member.pooled is not None:
            return member.name
    raise StoreError(f"{store.path} has no representations: expected a member that `extract()` or `finetune()` made")


def _reduce(pooled: NDArray[np.float64], method: str) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """Return two columns for the standardised representations, and the names of the axes."""
    spread = pooled.std(axis=0)
    scaled = (pooled - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(scaled) - 1) / 3)
        return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(scaled), ("t-SNE 1", "t-SNE 2")
    if method == "umap":
        # One thread: several give another map every time.
        mapper = require("umap").UMAP(n_neighbors=min(15, len(scaled) - 1), init="pca", random_state=0, n_jobs=1)
        return mapper.fit_transform(scaled), ("UMAP 1", "UMAP 2")
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    points = left[:, :2] * sizes[:2]
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)  # a sign is nobody's choice
    shares = sizes**2 / max(float((sizes**2).sum()), 1e-12)
    return points, (f"component 1 ({shares[0]:.0%} of the variance)", f"component 2 ({shares[1]:.0%})")


def draw_cross(asked: Question) -> Drawn:
    """Draw balanced accuracy by the corpus that was trained on and the corpus of the test."""
    if asked.rows is None:
        raise StoreError("`rows` is not given: expected what `cross()` found")
    document = load_document(asked.rows)
    records = document.list_records("rows", _PAIR)
    pairs = [(str(one["train"]), str(one["test"])) for one in records]
    # Several models of one corpus have a row each.
    several = len(set(pairs)) < len(pairs)
    trained = [
        f"{train}: {one['member']}" if several else train for (train, _), one in zip(pairs, records, strict=True)
    ]
    rows, columns = list(dict.fromkeys(trained)), list(dict.fromkeys(test for _, test in pairs))
    cells = np.full((len(rows), len(columns)), np.nan)
    for name, (_, test), one in zip(trained, pairs, records, strict=True):
        cells[rows.index(name), columns.index(test)] = one["balanced_accuracy"]
    sizes = {test: one["n"] for (_, test), one in zip(pairs, records, strict=True)}
    classes = document.content.get("classes", ()) if isinstance(document.content, Mapping) else ()
    title = "Balanced accuracy by training and test corpus"
    cautions = tuple(_iter_pair_cautions(records))
    figure = draw_matrix(
        cells,
        rows,
        [f"{name} (n = {sizes[name]})" for name in columns],
        title=title,
        shaded="balanced accuracy",
        names=("trained on", "tested on"),
        from_zero=True,
        notes=list_notes(cautions, f"classes that all have: {', '.join(map(str, classes))}" if classes else ""),
        width=asked.width,
    )
    return Drawn(figure, title, cautions)


def _iter_pair_cautions(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield each caution once, with the pairs of corpora that it holds for."""
    held: dict[str, list[str]] = {}
    for one in records:
        for caution in one.get("cautions", ()):
            held.setdefault(caution, []).append(f"{one['train']} on {one['test']}")
    for caution, where in held.items():
        yield caution if len(where) == len(records) else f"{', '.join(where)}: {caution}"
