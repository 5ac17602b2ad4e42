"""Repositories of the Hugging Face hub to be written to: claimed before work is spent, written by one commit."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from ser_store.errors import ModelError, SerstoreError, StoreError
from ser_store_h5.places.hub_files import RepositoryKind, describe_refusal, read_status

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ERRORS: Mapping[RepositoryKind, type[SerstoreError]] = {"model": ModelError, "dataset": StoreError}
# What the hub itself puts into a repository that has just been made.
_GIVEN_FILES = frozenset({".gitattributes"})


@dataclass(frozen=True)
class Repository:
    """A repository that may be written to.

    Attributes:
        name: ``owner/name``.
        kind: ``model`` or ``dataset``.
        url: its address.
        files: what it holds already.
        head: the commit that these are of; None where it was made just now.
    """

    name: str
    kind: RepositoryKind
    url: str
    files: frozenset[str] = frozenset()
    head: str | None = None

    def refuse_content(self) -> None:
        """Refuse a repository that holds anything.

        Raises:
            SerstoreError: naming a file, and the way out.
        """
        if self.files:
            raise _ERRORS[self.kind](
                f"{self.name} is on the hub already and holds {min(self.files)}: expected a new or an empty "
                "repository; choose another name, or delete that one first"
            )

    def commit(self, operations: Sequence[CommitOperationAdd | CommitOperationDelete], message: str) -> str:
        """Write all of it by one commit, or nothing; returns the commit.

        Raises:
            SerstoreError: if the hub refuses, or somebody else has written to it since it was claimed.
        """
        with stated(self.name, self.kind):
            made = HfApi().create_commit(
                self.name, operations, commit_message=message, repo_type=self.kind, parent_commit=self.head
            )
        return str(made.oid)


def claim_repository(name: str, kind: RepositoryKind, *, private: bool) -> Repository:
    """Make a repository, or find the one of this name.

    Raises:
        ModelError: if the name is no ``owner/name``, there is no token, or the hub refuses; says what to do. Of a
            dataset it is a StoreError.
    """
    if not _NAME.fullmatch(name):
        raise _ERRORS[kind](
            f"{name!r} is no repository of the hub: expected OWNER/NAME of letters, digits, '-', '_' and '.'"
        )
    if get_token() is None:
        raise _ERRORS[kind](
            f"no token to write to {name} with: expected one of a Hugging Face account; log in with "
            "`hf auth login`, or set HF_TOKEN"
        )
    api = HfApi()
    with stated(name, kind):
        try:
            return Repository(name, kind, str(api.create_repo(name, repo_type=kind, private=private)))
        except HfHubHTTPError as refused:
            if read_status(refused) != 409:
                raise
        info = api.model_info(name) if kind == "model" else api.dataset_info(name)
    files = frozenset(sibling.rfilename for sibling in info.siblings or ()) - _GIVEN_FILES
    folder = "datasets/" if kind == "dataset" else ""
    return Repository(name, kind, f"{api.endpoint}/{folder}{name}", files, info.sha)


@contextmanager
def stated(name: str, kind: RepositoryKind) -> Iterator[None]:
    """Within, the hub's client is quiet, and what it has to say comes as one line."""
    bars, verbosity = not are_progress_bars_disabled(), logging.get_verbosity()
    disable_progress_bars()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except Exception as refused:  # the HTTP client, and so its errors, differs between hub releases
        raise _ERRORS[kind](_explain(name, kind, refused)) from refused
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            enable_progress_bars()


def _explain(name: str, kind: RepositoryKind, refused: Exception) -> str:
    owner = name.partition("/")[0]
    refused = _find_reason(refused)
    status = read_status(refused)
    if status == 401:
        return (
            f"the hub does not know the token for {name} (401): expected a valid one; log in with `hf auth "
            "login`, or set HF_TOKEN"
        )
    if status == 403:
        return (
            f"the token may not write to {name} (403): expected one with write access to {owner}; make one at "
            "https://huggingface.co/settings/tokens, or choose another owner"
        )
    if status == 412:
        return f"{name} was written to by somebody else meanwhile (412): expected no other writer; try again"
    return (
        f"{name} could not be written to ({describe_refusal(refused, kind)}): expected the hub to take it, now or on "
        "another try"
    )


def _find_reason(refused: Exception) -> Exception:
    """What an error was raised for: of an upload, the client itself only says which file it was."""
    while read_status(refused) is None and isinstance(refused.__cause__, Exception):
        refused = refused.__cause__
    return refused
