"""The logits of a classifier that was trained elsewhere, on the classes of a corpus."""

from pathlib import Path
from typing import Any

from ser_store.backbones.catalogue import is_acoustic
from ser_store.common.log import LOGGER, report_loaded
from ser_store.common.provenance import list_versions
from ser_store.corpora.class_pairing import pair_classes
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.splits.fitted import find_rows
from ser_store.corpora.texts import describe_spellings
from ser_store.errors import ModelError
from ser_store.extraction.network import Passes, prepare_network
from ser_store.extraction.sources import Extractor, answer_in_corpus
from ser_store_h5.fitted import KEY, Fitted, state_fitted
from ser_store_h5.names import format_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def check_classifier(model: str | None, classifier: bool, **others: tuple[Any, Any]) -> None:
    """Refuse what does not go with a classifier from elsewhere.

    Args:
        others: options by name, each as given and as it has to be.

    Raises:
        ModelError: saying which one.
    """
    if not classifier:
        raise ModelError("`trained_on` without `classifier`: expected the classifier that it is said of; add it")
    if model is None or is_acoustic(model):
        got = "without `model`" if model is None else f"with `model` {model}, which classifies nothing"
        raise ModelError(f"`classifier` {got}: expected the folder or hub id of a trained classifier as `model`")
    for name, (given, usual) in others.items():
        if given != usual:
            raise ModelError(
                f"`{name}` {given} with `classifier`: its logits are those of its own weights and frames, of whole "
                "utterances; leave one of the two out"
            )


def prepare_classifier(
    store: Store,
    model: str,
    *,
    run: str | None,
    checkpoint: Path | None,
    trained_on: str | None,
    labels: LabelMap | None,
    passes: Passes,
) -> Extractor:
    """Return what gives logits and representations of a classifier from elsewhere, as ``run@0``.

    Args:
        model: a local folder or hub id, after which the run is called by default.
        labels: says which of its classes mean the same as the corpus'.
        trained_on: what it was fitted on, as its user states it: see :func:`ser_store_h5.fitted.state_fitted`.

    Raises:
        CorpusError: if it and the corpus share less than two classes.
        ModelError: if it cannot be loaded.
    """
    from ser_store.backbones.trained import load_trained

    corpus = store.corpus
    stated = None if trained_on is None else state_fitted(corpus, trained_on)
    run = run or Path(model).name.partition("@")[0]
    loaded = load_trained(model, checkpoint=checkpoint)
    report_loaded(loaded)
    own = loaded.model.config.classes
    pairing = pair_classes(own, corpus.classes, labels).check(model, f"corpus {corpus.name}")
    read = {own[place]: corpus.classes[meant] for place, meant in pairing.meant.items()}
    for line in describe_spellings(read, "labels"):
        LOGGER.info("%s: %s", model, line)
    identity, compute = prepare_network(
        loaded, passes, member=format_member(run, 0), with_logits=True, precision=passes.precision or "fp32"
    )
    details: dict[str, Any] = {"origin": dict(loaded.origin), "versions": list_versions(), "labels": list(own)}
    heard = find_rows(corpus, loaded.trained_on)
    if len(heard):
        stated = Fitted.on_rows(heard, len(corpus))
    if stated is None:
        LOGGER.info(
            "%s: what it learned from is not stated, so that figures on it carry no caution; `trained_on` states it",
            run,
        )
    else:
        details[KEY] = stated.to_json()
    extractor = Extractor(RunRecord(run=run, kind="import", backbone=model, details=details), 0, identity, compute)
    return extractor if pairing.is_same else answer_in_corpus(extractor, pairing, {"model": Path(model).name})
