"""A fine-tuned model as an ONNX file that takes waveforms, for programs without torch and without this package."""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.backbones.description import refuse_speaker_head
from ser_store.backbones.families.invariance import count_samples
from ser_store.backbones.loading import LoadedModel, load_classifier
from ser_store.backbones.source import find_source
from ser_store.common.display import Block, Result, format_bytes
from ser_store.common.provenance import list_versions
from ser_store.errors import ExistsError, ModelError, require
from ser_store.hub.figures import find_figures, list_heard
from ser_store.hub.waveforms import WaveformClassifier
from ser_store.training.checkpointing.checkpoints import find_checkpoint
from ser_store_h5.disk.atomic import write_atomically
from ser_store_h5.names import format_member, parse_member
from ser_store_h5.store import Store, StoreLike, open_store

# Of the largest logit: by how much onnxruntime's may differ from torch's.
TOLERANCE = 1e-4
# protobuf takes two gigabytes in one file, the graph included.
ONE_FILE_BYTES = 1_900_000_000
_TRACED = (2, 20_000)
# Batches and samples that both are asked for, in other sizes than the graph was made with.
_COMPARED = ((1, 16_000), (3, 37_123), (1, 6_400))


@dataclass(frozen=True, repr=False)
class OnnxExport(Result):
    """What was written.

    Attributes:
        file: where; of more than 2 GB, the weights are in another file beside it, of this name and ``.data``.
        model: the run and step, or the folder or hub id.
        classes: in the order of the logits.
        bytes: of all that was written.
        difference: by how much onnxruntime's logits differed from torch's at most, on noise of several lengths.
    """

    file: str
    model: str
    classes: tuple[str, ...]
    bytes: int
    difference: float

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore export-onnx`` prints."""
        yield f"wrote {self.model} to {self.file}: {format_bytes(self.bytes)}, logits of {', '.join(self.classes)}"
        yield f"onnxruntime gives the logits that torch gives, but for {self.difference:.0e}"

    def records(self) -> list[dict[str, Any]]:
        """Return one row."""
        return [self.to_json()]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore export-onnx --json``."""
        return {**vars(self), "classes": list(self.classes)}


def export_onnx(
    model: str | os.PathLike[str], path: str | os.PathLike[str], *, store: StoreLike | None = None
) -> OnnxExport:
    """Write a fine-tuned model as ONNX: features, backbone, pooling and head, from waveforms to logits.

    The graph takes ``waveform`` ``(batch, samples)`` float32, mono at 16 kHz, full scale ±1, as a recording is read:
    what the feature extractor does is inside. The waveforms of a batch are of one length; others pass one by one, since
    padding would be heard. It gives ``logits`` ``(batch, classes)`` float32, of which the softmax are probabilities.
    The file's metadata say the ``labels`` in their order, ``sampling_rate``, the shortest and, of Whisper, the longest
    waveform, and of a run the split, who was heard in training, and the figures.

    Before the file has its name, onnxruntime has given the logits that torch gives.

    Args:
        model: a run of the store that has a checkpoint, or ``run@step``; or the folder or hub id of a model as
            :func:`~ser_store.push_to_hub` or a training saves it. No head on frozen representations.
        path: the file, which must not be there.
        store: has the run. Not needed for a folder or hub id.

    Raises:
        ModelError: if there is no such model, or the graph does not give its logits.
        ExistsError: if the file is there.
        MissingExtraError: if onnx, onnxscript or onnxruntime is not installed.

    >>> import ser_store as ss
    >>> _ = ss.export_onnx("xlsr53", "xlsr53.onnx", store="my.store")  # doctest: +SKIP
    """
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        require(needed)
    path = Path(path)
    beside = path.with_name(f"{path.name}.data")
    for taken in (path, beside):
        if os.path.lexists(taken):
            raise ExistsError(f"{taken} is there already: expected a new file; remove it, or name another")
    name, loaded, said = _load(os.fspath(model), store)
    refuse_speaker_head(loaded.model.config.head, name)
    classes = loaded.model.config.classes
    described = {**_describe_graph(loaded), **said}
    classifier = WaveformClassifier(loaded).eval()
    program = _trace(classifier, longest=described.get("max_samples"))
    program.model.metadata_props.update(
        {key: one if isinstance(one, str) else json.dumps(one) for key, one in described.items()}
    )
    differences: list[float] = []

    def write(file: Path) -> None:
        _save(program, file, beside, size=sum(one.nbytes for one in classifier.state_dict().values()))
        differences.append(_compare(classifier, file, model=name))

    try:
        write_atomically(path, write)
    except BaseException:
        if beside.is_file():
            beside.unlink()
        raise
    written = sum(one.stat().st_size for one in (path, beside) if one.exists())
    return OnnxExport(str(path), name, classes, written, differences[0])


def _load(model: str, store: StoreLike | None) -> tuple[str, LoadedModel, dict[str, Any]]:
    """The name of what is exported, the model, and what its store says of it."""
    if "/" in model or Path(model).is_dir():
        source = find_source(model, init="pretrained", checkpoint=None)
        if source.folder is None:
            raise ModelError(f"{model} has no weights of its own: expected the folder or hub id of a fine-tuned model")
        return model, load_classifier(source.folder), {}
    if store is None:
        raise ModelError(f"{model} is no folder and no hub id: expected its store by `store`, if it is a run")
    store = open_store(store)
    run, step = parse_member(model)
    record = store.run(run)
    if record.kind != "finetune":
        raise ModelError(
            f"run {run} is of kind {record.kind}: expected a fine-tuned run, which has backbone, pooling and head in "
            "one; heads on representations and ensembles are no single network"
        )
    step, checkpoint = find_checkpoint(store, record, step)
    return format_member(run, step), load_classifier(checkpoint), _describe_run(store, run, step)


def _describe_run(store: Store, run: str, step: int) -> dict[str, Any]:
    record = store.run(run)
    figures, heard = find_figures(store, record, step), list_heard(store, record)
    return {
        "member": format_member(run, step),
        "corpus": store.corpus.name,
        "split": record.details.get("split"),
        "heard_in_training": None if heard is None else {"utterances": heard[0], "speakers": heard[1]},
        "figures": None if figures is None else figures.to_json(),
    }


def _describe_graph(loaded: LoadedModel) -> dict[str, Any]:
    extractor, backbone = loaded.feature_extractor, loaded.model.backbone
    described: dict[str, Any] = {
        "labels": list(loaded.model.config.classes),
        "sampling_rate": SAMPLE_RATE,
        "waveform": "one channel, full scale ±1, as a recording is read; in a batch all of one length, never padded",
        "logits": "their softmax are the probabilities of the labels",
        "backbone": loaded.backbone_key,
        "pretrained": loaded.origin.get("hub_id"),
        "versions": list_versions(),
    }
    if not loaded.is_whisper:
        return {**described, "min_samples": count_samples(1, backbone.config)}
    longest = backbone.window_frames * extractor.hop_length
    return {**described, "min_samples": extractor.n_fft // 2 + 1, "max_samples": longest}


def _trace(classifier: WaveformClassifier, *, longest: int | None) -> Any:
    """The classifier as torch's exporter gives it, for any number and length of waveforms."""
    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    samples = torch.export.Dim("samples", min=1_600, max=longest or 1 << 26)
    with _quiet():
        return torch.onnx.export(
            classifier,
            (torch.randn(_TRACED, generator=torch.Generator().manual_seed(0)),),
            dynamo=True,
            input_names=["waveform"],
            output_names=["logits"],
            dynamic_shapes=({0: batch, 1: samples},),
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter has to say of operators that no graph of ours has."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _save(program: Any, file: Path, beside: Path, *, size: int) -> None:
    if size < ONE_FILE_BYTES:
        program.save(file, external_data=False)
    else:
        # In the folder of the file, under the name that it will look for.
        import_module("onnx_ir").save(program.model, file, external_data=beside.name)
    for written in (file, beside):
        if written.exists():
            with written.open("rb") as opened:
                os.fsync(opened.fileno())


def _compare(classifier: WaveformClassifier, file: Path, *, model: str) -> float:
    """By how much the logits of the file differ from torch's at most.

    Raises:
        ModelError: if it is more than rounding.
    """
    session = require("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for shape in _COMPARED:
        waveform = 0.1 * torch.randn(shape, generator=generator)
        with torch.inference_mode():
            expected = classifier(waveform).numpy()
        [found] = session.run(None, {"waveform": waveform.numpy()})
        difference = float(np.abs(found - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise ModelError(
                f"{model}: the logits that onnxruntime gives differ by {difference:.2g} from torch's: expected "
                "rounding alone; nothing was written, try other versions of torch and onnxscript"
            )
        largest = max(largest, difference)
    return largest
