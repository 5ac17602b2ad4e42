"""A fine-tuned model goes to the Hugging Face hub, with a card that says what it is."""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from ser_store.backbones.checkpoint import load_config, load_feature_extractor
from ser_store.backbones.hub import describe_refusal
from ser_store.errors import ModelError
from ser_store.hub.model_card import write_card
from ser_store.training.checkpointing.checkpoints import Layout, choose_layout, find_checkpoint
from ser_store.training.distributed.processes import read_plugin
from ser_store_h5.names import format_member
from ser_store_h5.store import StoreLike, open_store

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# What the hub itself puts into a repository that has just been made.
_GIVEN_FILES = frozenset({".gitattributes"})


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
    _refuse_shards(repository)
    if not _REPOSITORY.fullmatch(repository):
        raise ModelError(
            f"{repository!r} is no repository of the hub: expected OWNER/NAME of letters, digits, '-', '_' and '.'"
        )
    if get_token() is None:
        raise ModelError(
            f"no token to write to {repository} with: expected one of a Hugging Face account; log in with "
            "`hf auth login`, or set HF_TOKEN"
        )
    api = HfApi()
    with _stated(repository):
        try:
            return str(api.create_repo(repository, repo_type="model", private=private))
        except HfHubHTTPError as refused:
            if _read_status(refused) != 409:
                raise
        there = {sibling.rfilename for sibling in api.model_info(repository).siblings or ()}
    if there - _GIVEN_FILES:
        raise ModelError(
            f"{repository} is on the hub already and holds {sorted(there - _GIVEN_FILES)[0]}: expected a new or an "
            "empty repository; choose another name, or delete that one first"
        )
    return f"{api.endpoint}/{repository}"


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
        ModelError: if there is no checkpoint, or the hub refuses; says what to do.

    >>> import ser_store as ss
    >>> ss.push_to_hub("my.store", "xlsr53", "me/xlsr53-emotions").url  # doctest: +SKIP
    'https://huggingface.co/me/xlsr53-emotions'
    """
    store = open_store(store)
    record = store.run(run)
    step, checkpoint = find_checkpoint(store, record, step)
    operations = _list_operations(checkpoint, write_card(store, record, step, repository=repository))
    message = f"{format_member(run, step)} of ser-store"
    try:
        url = reserve_repository(repository, private=private)
        with _stated(repository):
            commit = HfApi().create_commit(repository, operations, commit_message=message, repo_type="model")
    except ModelError as refused:
        if record.state != "finished":
            raise
        raise ModelError(
            f"{refused}; run {run} is whole in the store: `push_to_hub()` pushes it without training again"
        ) from refused
    return Publication(format_member(run, step), url, str(commit.oid))


def _list_operations(checkpoint: Path, card: str) -> list[CommitOperationAdd]:
    """What is pushed of a checkpoint: not the optimizer's state, nor anything else that serves resuming."""
    weights = sorted([*checkpoint.glob("*.safetensors"), *checkpoint.glob("*.safetensors.index.json")])
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


@contextmanager
def _stated(repository: str) -> Iterator[None]:
    """Within, the hub's client is quiet, and what it has to say comes as one line."""
    bars, verbosity = not are_progress_bars_disabled(), logging.get_verbosity()
    disable_progress_bars()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except Exception as refused:  # the HTTP client, and so its errors, differs between hub releases
        raise ModelError(_explain(repository, refused)) from refused
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            enable_progress_bars()


def _explain(repository: str, refused: Exception) -> str:
    owner = repository.partition("/")[0]
    refused = _find_reason(refused)
    status = _read_status(refused)
    if status == 401:
        return (
            f"the hub does not know the token for {repository} (401): expected a valid one; log in with `hf auth "
            "login`, or set HF_TOKEN"
        )
    if status == 403:
        return (
            f"the token may not write to {repository} (403): expected one with write access to {owner}; make one at "
            "https://huggingface.co/settings/tokens, or choose another owner"
        )
    return (
        f"{repository} could not be written to ({_describe(refused)}): expected the hub to take it, now or on "
        "another try"
    )


def _describe(refused: Exception) -> str:
    """As fetching describes it, and what only writing is refused for."""
    if _read_status(refused) == 413:
        return "413: more than the hub takes"
    return describe_refusal(refused)


def _find_reason(refused: Exception) -> Exception:
    """What an error was raised for: of an upload, the client itself only says which file it was."""
    while _read_status(refused) is None and isinstance(refused.__cause__, Exception):
        refused = refused.__cause__
    return refused


def _read_status(refused: Exception) -> int | None:
    return getattr(getattr(refused, "response", None), "status_code", None)
