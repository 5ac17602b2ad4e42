"""A fine-tuned model goes to the Hugging Face hub, with a card that says what it is."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitOperationAdd

from ser_store.backbones.checkpoint import load_config, load_feature_extractor
from ser_store.backbones.description import refuse_speaker_head
from ser_store.backbones.loading import load_classifier
from ser_store.errors import ModelError
from ser_store.hub.model_card import write_card
from ser_store.hub.repository import Repository, claim_repository
from ser_store.training.checkpointing.checkpoints import Layout, choose_layout, find_checkpoint
from ser_store.training.distributed.processes import read_plugin
from ser_store_h5.names import format_member
from ser_store_h5.store import StoreLike, open_store


@dataclass(frozen=True)
class Publication:
    """A model on the hub.

    Attributes:
        member: the run and step that it is.
        url: of the repository.
        commit: the commit that holds it.
    """

    member: str
    url: str
    commit: str


def reserve_repository(repository: str, *, private: bool = True) -> str:
    """Make an empty model repository, or take one that is still empty, before hours of training for it.

    Returns:
        Its address.

    Raises:
        ModelError: if the name is no ``owner/name`` or taken, the hub refuses, or the training that this is called in
            would leave shards and no model; says what to do.
    """
    return _claim(repository, private=private).url


def _claim(repository: str, *, private: bool) -> Repository:
    _refuse_shards(repository)
    claimed = claim_repository(repository, "model", private=private)
    claimed.refuse_content()
    return claimed


def _refuse_shards(repository: str) -> None:
    if choose_layout(read_plugin()) is Layout.SHARDS:
        raise ModelError(
            "`push_to_hub()` takes a whole model, and accelerate's configuration has fsdp_state_dict_type "
            "SHARDED_STATE_DICT: expected FULL_STATE_DICT; or train without it, join the last checkpoint by "
            f"`accelerate merge-weights`, and then call `push_to_hub()` with {repository} by itself"
        )


def push_to_hub(
    store: StoreLike, run: str, repository: str, *, step: int | None = None, private: bool = True
) -> Publication:
    """Publish the model of a fine-tuned run on the Hugging Face hub, with a model card.

    One commit holds weights, configuration, feature extractor and card. What is pushed loads by its name as any
    backbone does, and with its head by :func:`~ser_store.backbones.loading.load_classifier`. Folders of this machine
    are taken out of its configuration.

    Args:
        store: has the run.
        run: its name.
        repository: ``owner/name``; made, or still empty.
        step: default: the selected step if its checkpoint is there, else the last one that is.
        private: whether others see a repository that is made now.

    Raises:
        ModelError: if there is no checkpoint, its head answers no utterance alone, or the hub refuses; says what to
            do.

    >>> import ser_store as ss
    >>> ss.push_to_hub("my.store", "xlsr53", "me/xlsr53-emotions").url  # doctest: +SKIP
    'https://huggingface.co/me/xlsr53-emotions'
    """
    store = open_store(store)
    record = store.run(run)
    step, checkpoint = find_checkpoint(store, record, step)
    refuse_speaker_head(load_config(checkpoint).head, run)
    card, message = write_card(store, record, step, repository=repository), f"{format_member(run, step)} of ser-store"
    try:
        claimed = _claim(repository, private=private)
        with TemporaryDirectory() as scratch:
            whole = _merge(checkpoint, Path(scratch))
            commit = claimed.commit(_list_operations(whole, card), message)
    except ModelError as refused:
        if record.state != "finished":
            raise
        raise ModelError(
            f"{refused}; run {run} is whole in the store: `push_to_hub()` pushes it without training again"
        ) from refused
    return Publication(format_member(run, step), claimed.url, commit)


def _merge(checkpoint: Path, scratch: Path) -> Path:
    """A folder with the whole model: the checkpoint, or ``scratch``, where that keeps what LoRA added to a backbone."""
    if load_config(checkpoint).lora is None:
        return checkpoint
    loaded = load_classifier(checkpoint)
    loaded.model.save_pretrained(scratch)
    loaded.feature_extractor.save_pretrained(scratch)
    return scratch


def _list_operations(checkpoint: Path, card: str) -> list[CommitOperationAdd]:
    """What is pushed of a checkpoint: not the optimizer's state, nor anything else that serves resuming."""
    weights = sorted([*checkpoint.glob("model*.safetensors"), *checkpoint.glob("model*.safetensors.index.json")])
    if not weights:
        raise ModelError(f"{checkpoint} has no safetensors: expected a checkpoint as `finetune()` writes it")
    files: dict[str, Any] = {path.name: path for path in weights}
    files |= {"config.json": _read_config(checkpoint), "README.md": card.encode()}
    # Written anew: earlier releases named transformers' own for Whisper, which fills up with silence.
    extractor = load_feature_extractor(checkpoint, load_config(checkpoint).backbone_config)
    files["preprocessor_config.json"] = extractor.to_json_string().encode()
    return [CommitOperationAdd(name, content) for name, content in files.items()]


def _read_config(checkpoint: Path) -> bytes:
    """The configuration without the folders of the machine it was trained on."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    config["backbone_config"].pop("_name_or_path", None)
    if config["origin"].get("folder"):
        config["origin"]["folder"] = Path(config["origin"]["folder"]).name
    return (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
