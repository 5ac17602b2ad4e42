"""A store: one corpus and what its runs said about it, in a folder or packed into one file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_store_h5 import corpus_file, runs
from ser_store_h5.corpus import Corpus
from ser_store_h5.disk.atomic import remove_folder, stated_disk_problems
from ser_store_h5.disk.reading import find_place
from ser_store_h5.errors import ExistsError, StoreError
from ser_store_h5.fitted import KEY as FITTED_KEY
from ser_store_h5.fitted import state_fitted
from ser_store_h5.from_arrays import make_corpus, make_member
from ser_store_h5.member import Member, check_member
from ser_store_h5.member_file import write_member
from ser_store_h5.names import check_run_name, format_member, is_litter, is_on_hub, parse_member
from ser_store_h5.places.folder import FolderPlace
from ser_store_h5.readable import ReadableStore
from ser_store_h5.runs import RunRecord


class Store(ReadableStore):
    """Reads and writes one store; every write is whole or not at all.

    A packed store is read by the same methods; those that write raise :class:`.errors.StoreError`.

    >>> import ser_store as ss
    >>> store = ss.open_example()
    >>> store.predictions(["xlsr53", "hubert-base"]).shape
    (2, 288)
    """

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        corpus: Corpus | None = None,
        *,
        ids: Any = None,
        labels: Any = None,
        classes: Sequence[str] | None = None,
        speakers: Any = None,
        splits: Mapping[str, Any] | None = None,
        name: str | None = None,
        **columns: Any,
    ) -> "Store":
        """Create a store in a new or empty folder, for a corpus or for labelled utterances given as arrays.

        Arrays are lists, numpy arrays, torch tensors on the CPU, or columns of a polars or pandas data frame, in any
        order, all of the same ``n`` utterances.

        Args:
            path: the folder.
            corpus: the utterances; or the following instead.
            ids: ``(n,)`` unique names of the utterances.
            labels: ``(n,)`` class names; or, with ``classes``, indices into them.
            classes: class names in order. Default: those that occur, by alphabet.
            speakers: ``(n,)`` names; None where one is unknown.
            splits: for each split the part of every utterance, ``(n,)``: ``train``, ``valid``, ``test``, ``fold-1``, …
                The first one is the default split. Without any, questions are about all utterances.
            name: what the corpus is called. Default: the folder's name.
            columns: anything else that is known of the utterances, each ``(n,)`` of texts or numbers.

        Raises:
            ExistsError: if a store is there already.
            CorpusError: if lengths differ, an id repeats, or a label is missing.
            StoreError: if the folder holds anything else, or cannot be written.

        >>> from ser_store_h5.store import Store
        >>> store = Store.create("mine.store", ids=["b", "a"], labels=["sad", "happy"], sex=["f", "m"])
        >>> store.corpus.ids.tolist(), store.corpus.classes, store.corpus.columns["sex"].tolist()
        (['a', 'b'], ('happy', 'sad'), ['m', 'f'])
        """
        if is_on_hub(path):
            raise StoreError(
                f"{path} is on the hub: expected a folder to make a store in; `push_store()` takes it there"
            )
        path = find_place(Path(path))
        if (corpus is None) == (ids is None or labels is None):
            raise StoreError("a store needs its utterances: expected either corpus, or ids and labels")
        if corpus is None:
            corpus = make_corpus(
                ids=ids,
                labels=labels,
                classes=classes,
                speakers=speakers,
                splits=splits,
                columns=columns,
                name=name or path.stem,
            )
        if (path / "corpus.h5").exists():
            raise ExistsError(f"{path} is a store already: choose another `store`, or remove it first")
        if path.exists() and (not path.is_dir() or not all(is_litter(found.name) for found in path.iterdir())):
            raise StoreError(f"{path} is there and not empty: expected a new folder, or an empty one, for the store")
        corpus_file.write_corpus(path / "corpus.h5", corpus)
        return cls(path)

    def add(
        self,
        run: str,
        *,
        ids: Any,
        step: int = 0,
        logits: Any = None,
        probabilities: Any = None,
        scores: Any = None,
        predicted: Any = None,
        pooled: Any = None,
        layers: Mapping[int, Any] | None = None,
        trained_on: str | None = None,
        split: str | None = None,
    ) -> str:
        """Add what a model of your own said as a member of this store; returns its name, ``run@step``.

        Arrays are lists, numpy arrays or torch tensors on the CPU. They are aligned by ``ids``, in any order, and may
        cover some of the ``m`` utterances only. Columns are the corpus' classes in their order.

        Args:
            run: the model's name; a run is begun if there is none.
            ids: ``(m,)`` ids of the utterances.
            step: optimizer steps done.
            logits: ``(m, n_classes)`` numbers whose softmax are the model's probabilities.
            probabilities: ``(m, n_classes)`` instead; stored as their logarithms.
            scores: ``(m, n_classes)`` instead; numbers of which the largest decides, and that are no probabilities.
            predicted: ``(m,)`` class names instead; None where the model gave no answer, which counts as wrong.
            pooled: ``(m, hidden)`` representations; float16 and float32 are kept, all others become float32.
            layers: instead, those of several layers by number, ``{3: (m, hidden), …}``; the last one is ``pooled``.
            trained_on: what the model was trained on: a part of the split; ``others``: each fold was scored by a model
                of the other folds; ``nothing``: none of these utterances. Figures on what was learned from carry a
                caution. Default: unknown.
            split: whose part ``trained_on`` is. Default: the corpus' default split.

        Raises:
            ExistsError: if the member is there already.
            StoreError: if shapes do not fit, probabilities are none, or the run holds another kind of numbers.
            UnknownNameError: if the corpus has no such utterance.

        >>> from ser_store_h5.store import Store
        >>> store = Store.create("added.store", ids=["a", "b"], labels=["happy", "sad"])
        >>> store.add("mine", step=100, ids=["b", "a"], logits=[[0.2, 1.3], [2.0, -1.0]])
        'mine@100'
        >>> store.predictions(["mine"]).tolist()
        [[0, 1]]
        """
        answers = {"logits": logits, "probabilities": probabilities, "scores": scores, "predicted": predicted}
        given = [kind for kind, values in answers.items() if values is not None]
        if len(given) > 1:
            raise StoreError(f"got {' and '.join(given)}: expected one of {', '.join(answers)}")
        kind = given[0] if given and predicted is None else None
        member = make_member(
            self.corpus,
            run,
            step,
            ids=ids,
            numbers=answers[kind] if kind else None,
            are_probabilities=kind == "probabilities",
            predicted=predicted,
            pooled=pooled,
            layers=layers,
        )
        check_member(member, self.corpus)
        details: dict[str, Any] = {}
        if kind:
            details["scores"] = "log-probabilities" if kind == "probabilities" else kind
        if trained_on is not None:
            details[FITTED_KEY] = state_fitted(self.corpus, trained_on, split=split).to_json()
        begun = not self.has_run(run)
        if begun:
            self.add_run(RunRecord(run=run, kind="import", backbone=run, details=details))
        else:
            self._refuse_other_run(run, details)
        try:
            self.write_member(member)
        except BaseException:
            if begun and not self.steps(run):
                self.remove(run)
            raise
        return member.name

    def _refuse_other_run(self, run: str, details: Mapping[str, Any]) -> None:
        """Refuse to add a member to a run that was made otherwise, or states something else."""
        record = self.run(run)
        if record.kind != "import":
            raise StoreError(f"run {run} was made by {record.kind}: expected a run of your own; choose another name")
        held = record.details.get("scores", "logits")
        if details.get("scores", held) != held:
            raise StoreError(
                f"run {run} holds {held}, and this member {details['scores']}: expected the same in all steps of a "
                "run; choose another name"
            )
        if FITTED_KEY in details and record.details.get(FITTED_KEY) != details[FITTED_KEY]:
            raise StoreError(
                f"run {run} was trained on something else, or does not say on what: expected the same in all "
                "steps of a run; choose another name"
            )

    @property
    def _folder(self) -> FolderPlace:
        """What writing methods write to."""
        if isinstance(self.place, FolderPlace):
            return self.place
        raise StoreError(
            f"{self.path} is a packed store, which is never changed: expected a folder; make one with `unpack()`"
        )

    def update_corpus(self, corpus: Corpus) -> None:
        """Replace splits, columns and audio paths. Ids, labels and classes must stay, since members rest on them.

        Raises:
            StoreError: if it is another corpus.
        """
        self.refuse_other_corpus(corpus)
        corpus_file.write_corpus(self._folder.corpus_path, corpus, replace=True)
        self.__dict__["corpus"] = corpus
        self.__dict__.pop("header", None)

    def refuse_other_corpus(self, corpus: Corpus) -> None:
        """Refuse a corpus whose ids, labels or classes are not those of the store.

        Raises:
            StoreError: if they differ: in what, with the first example of each.
        """
        if corpus.digest != self.corpus.digest:
            raise StoreError(
                f"{self.path} holds another corpus ({self.corpus.name}, {len(self.corpus)} utterances) than the one "
                f"given ({corpus.name}, {len(corpus)} utterances): {self.corpus.describe_difference(corpus)}; its "
                "members rest on these, so choose another `store` for what is given, or give what was there"
            )

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run, which need not be there."""
        return self._folder.run_folder(check_run_name(run))

    def add_run(self, record: RunRecord) -> None:
        """Begin a run.

        Raises:
            ExistsError: if a run of this name is there.
        """
        self.refuse_run(record.run)
        runs.write_run(self.run_folder(record.run), record, replace=False)

    def refuse_run(self, run: str) -> None:
        """Refuse a name that a run has, before anything is spent on another run.

        Raises:
            ExistsError: if it is, or one whose name differs in case alone, which not every file system tells apart.
        """
        check_run_name(run)
        alike = [other for other in self.runs() if other.lower() == run.lower()]
        if alike:
            there = run if run in alike else alike[0]
            said = "" if there == run else f" and differs from {run} in case alone, which not every disk tells apart"
            raise ExistsError(
                f"run {there} is in {self.path} already{said}: name this one with `run`, or remove the old one "
                "with `rm()`"
            )

    def update_run(self, record: RunRecord) -> None:
        """Replace the record of a run."""
        runs.write_run(self.run_folder(record.run), record)

    def append_curve(self, run: str, /, **point: Any) -> None:
        """Add one line to the run's curves; any text can be a key of it."""
        runs.append_curve(self.run_folder(run), point)

    def member_path(self, run: str, step: int) -> Path:
        """Return the file of a member, which need not be there."""
        return self._folder.member_path(check_run_name(run), step)

    def write_member(self, member: Member, *, replace: bool = False) -> None:
        """Add a member to its run; :meth:`add` makes one of arrays.

        Raises:
            ExistsError: if it is there and ``replace`` is not set.
            StoreError: if it contradicts itself or the corpus.

        >>> import numpy as np, ser_store as ss
        >>> store = ss.Store.create("my.store", ids=["a", "b"], labels=["happy", "sad"])
        >>> store.add_run(RunRecord("mine", "import", "a model of mine"))
        >>> store.append_curve("mine", step=10, loss=0.5)
        >>> store.write_member(ss.Member("mine", 10, np.array([0, 1]), predicted=np.array([0, 1])))
        >>> store.remove("mine@10")
        ['mine@10']
        """
        path = self.member_path(member.run, member.step)
        self.run(member.run)
        write_member(path, member, self.header, replace=replace)

    def remove(self, name: str) -> list[str]:
        """Remove a member (``run@step``), or a run with all it has; returns the names of the removed members."""
        run, step = parse_member(name)
        if step is not None:
            path = self.member_path(*self.resolve(name))
            if path.is_dir() and not path.is_symlink():
                remove_folder(path)
            else:
                with stated_disk_problems(path):
                    path.unlink()
            return [format_member(run, step)]
        names = self.member_names(run)
        remove_folder(self.run_folder(run))
        return names


StoreLike = str | os.PathLike[str] | Store


def open_store(store: StoreLike) -> Store:
    """Return the store that is meant: an open one as it is, or the one at a path or at ``hub:owner/name``.

    Raises:
        StoreError: if there is none at the path.
    """
    return store if isinstance(store, Store) else Store(Path(store))
