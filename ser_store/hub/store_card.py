"""The card of a published store: what it holds, by which protocol, how well its members do, how it is read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from huggingface_hub import DatasetCardData

from ser_store.common.display import format_bytes, format_count
from ser_store.corpora.splits.cautions import caution_split
from ser_store.corpora.splits.listing import SplitDescription, splits
from ser_store.errors import UnknownNameError
from ser_store.evaluation import Evaluations, evaluate
from ser_store.evaluation.choice.member_choice import list_readable
from ser_store.evaluation.choice.saved_ensembles import read_choice
from ser_store.evaluation.score_kinds import find_kind
from ser_store.evaluation.steps import steps
from ser_store.hub.model_card import TASK, write_table
from ser_store_h5.names import HUB, format_member
from ser_store_h5.pack.private import hide_in_corpus
from ser_store_h5.places.published import PACK_NAME
from ser_store_h5.store import Store

if TYPE_CHECKING:
    from polars import DataFrame

UTTERANCES, MEMBERS = "utterances", "members"
# Of the one split that the `datasets` library sees: the corpus' own splits are columns.
_PART = "corpus"
_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_SIZE_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "n>1M")
_SOFTWARE = """\
@software{serstore,
  title = {serstore},
  author = {{The serstore developers}},
  license = {Apache-2.0}
}"""
_OWN = ("utterance", "label", "speaker")


def write_card(store: Store, repository: str, *, size: int, licence: str | None, citation: str | None) -> str:
    """Return the card as Markdown, with the hub's metadata ahead.

    Args:
        store: what is published.
        repository: ``owner/name``.
        size: of the packed store, in bytes.
        licence: the hub's name of it, such as ``cc-by-nc-sa-4.0``; None if it is not stated.
        citation: how the corpus and its models are to be cited, as Markdown or BibTeX.
    """
    corpus, found = store.corpus, _evaluate(store)
    speakers = f" of {len(corpus.known_speakers)} speakers" if corpus.known_speakers else ""
    members = format_count(len(store.member_names()), "member")
    sections = [
        f"# {repository.rpartition('/')[2]}",
        f"What models said about the {len(corpus)} utterances{speakers} of the speech emotion corpus {corpus.name}: "
        f"{members} of {format_count(len(store.runs()), 'run')}, classes {', '.join(corpus.classes)}. There are no "
        "recordings in it.",
        "## Figures",
        *_describe_figures(store, found),
        "## Protocol",
        *_describe_protocol(store),
        "## Runs",
        *_describe_runs(store),
        "## How to read it",
        _describe_reading(repository, size),
        "## Citation",
        *([citation] if citation else ["Cite the corpus and the models that the runs name."]),
        f"Made with serstore:\n\n```bibtex\n{_SOFTWARE}\n```",
        "## Licence",
        licence or "Not stated here. It has to agree with the licences of the corpus and of the models.",
    ]
    return f"---\n{_write_metadata(store, repository, licence)}---\n\n" + "\n\n".join(sections) + "\n"


def _write_metadata(store: Store, repository: str, licence: str | None) -> str:
    """The hub's own fields, see https://huggingface.co/docs/hub/datasets-cards."""
    n = len(store.corpus)
    has_answers = any(member.can_vote for member in store.members())
    files = {UTTERANCES: f"{UTTERANCES}.parquet"} | ({MEMBERS: f"{MEMBERS}/*.parquet"} if has_answers else {})
    data = DatasetCardData(
        license=licence,
        pretty_name=repository.rpartition("/")[2],
        task_categories=[TASK],
        tags=["speech-emotion-recognition", "ser-store"],
        size_categories=[_SIZE_NAMES[sum(n >= limit for limit in _SIZES)]],
        configs=[
            {
                "config_name": name,
                "data_files": [{"split": _PART, "path": path}],
                **({"default": True} if name == UTTERANCES else {}),
            }
            for name, path in files.items()
        ],
    )
    return data.to_yaml() + "\n"


def _evaluate(store: Store) -> Evaluations | None:
    """None where no member can be judged."""
    found, _ = list_readable(store, holds=lambda member: member.can_vote)
    return evaluate(store) if found else None


def _describe_figures(store: Store, found: Evaluations | None) -> Iterator[str]:
    if found is None:
        yield "No member answers anything."
        return
    part = f"on {found.on}" + (f" of {found.split}" if found.split else "")
    rows = []
    for one in found.members:
        interval = f"{one.interval.low:.2%} to {one.interval.high:.2%}"
        scores = (f"{one.metrics.accuracy:.2%}", interval, f"{one.metrics.balanced_accuracy:.2%}")
        rows.append((f"`{one.member}`", one.metrics.n, *scores, _describe_choice(store, one.member)))
    header = ["member", "utterances", "accuracy (WA)", "95% interval", "balanced accuracy (UA)"]
    is_chosen = any(row[-1] for row in rows)
    header += ["what was chosen, and on what"] if is_chosen else []
    yield f"Of the selected step of each run, {part}:"
    yield write_table(header, [row if is_chosen else row[:-1] for row in rows])
    yield _list_cautions(found.cautions)


def _describe_choice(store: Store, member: str) -> str:
    """What of a member was chosen by its accuracy, with that as found there and corrected; empty if nothing was."""
    run, step = store.resolve(member)
    record = store.run(run)
    choice, selected = read_choice(record), record.selected
    if choice is not None:
        among = f"among {choice.among} " if choice.among else ""
        return f"chosen {among}on {choice.on}: {choice.corrected}"
    if selected is None or (selected.step, selected.criterion) != (step, "best"):
        return ""
    said = f"step chosen among {len(store.steps(run))} on {selected.on}"
    try:
        [found] = steps(store, run, on=selected.on, split=record.details.get("split")).runs
    except UnknownNameError:  # the part is not there any more
        return f"{said}, not corrected for that"
    corrected = found.correction
    if corrected is None:
        return f"{said}, not corrected for that: {found.note}"
    return f"{said}: accuracy {corrected.apparent:.2%} there, corrected {corrected.corrected:.2%}"


def _describe_protocol(store: Store) -> Iterator[str]:
    corpus = store.corpus
    if not corpus.splits:
        yield "The corpus has no split: figures are of all utterances."
        return
    for one in splits(store).splits:
        yield f"### Split {one.name}" + (" (the default)" if one.default else "")
        yield _describe_parts(one)
        yield _list_cautions(caution_split(corpus, one.name))


def _describe_parts(split: SplitDescription) -> str:
    classes = list(split.parts[0].classes)
    rows = [
        (part.part, part.n, len(part.speakers) or "unknown", ", ".join(part.speakers), *part.classes.values())
        for part in split.parts
    ]
    rows += [("outside", split.outside, "", "", *[""] * len(classes))] if split.outside else []
    return write_table(["part", "utterances", "speakers", "who", *classes], rows)


def _list_cautions(cautions: tuple[str, ...]) -> str:
    return "\n".join(f"- Caution: {line}" for line in cautions) or "No caution is known."


def _describe_runs(store: Store) -> Iterator[str]:
    rows = []
    for run in store.runs():
        record = store.run(run)
        by = (record.details.get("split"), record.details.get("fold"), record.details.get("cv"))
        names = [f"{word} {value}" for word, value in zip(("split", "fold", "folds of"), by, strict=True) if value]
        steps = store.steps(run)
        cells = (f"`{run}`", record.kind, record.backbone, ", ".join(names), ", ".join(map(str, steps)))
        rows.append(cells)
    yield write_table(["run", "kind", "backbone", "by", "steps"], rows) if rows else "There are none."


def _describe_reading(repository: str, size: int) -> str:
    return (
        f"`{PACK_NAME}` ({format_bytes(size)}) is all of it, with representations where there are some. With "
        "`pip install 'ser-store[hub]'`:\n\n"
        f"```sh\nserstore evaluate --store {HUB}{repository}\n"
        f"serstore unpack {HUB}{repository} --store mine.store   # to add to it\n```\n\n"
        f'```python\nimport ser_store as ss\n\nss.evaluate("{HUB}{repository}")\n```\n\n'
        "Without it, by `pip install datasets`:\n\n"
        "```python\nfrom datasets import load_dataset\n\n"
        f'load_dataset("{repository}", "{UTTERANCES}", split="{_PART}")  # labels, speakers, columns, splits\n'
        f'load_dataset("{repository}", "{MEMBERS}", split="{_PART}")     # what each member said of each utterance\n```'
    )


def make_utterance_table(store: Store) -> "DataFrame":
    """Return a row for each utterance: ``utterance``, ``label``, ``speaker``, the columns, and ``split_NAME`` of each.

    Nothing says where recordings lie. Empty texts are null. A column that is called like one of these has ``column_``
    before its name.
    """
    import polars

    corpus = hide_in_corpus(store.corpus)
    table: dict[str, Any] = {"utterance": corpus.ids, "label": np.array(corpus.classes)[corpus.labels]}
    table |= {"speaker": corpus.speakers} if corpus.speakers is not None else {}
    splits = {f"split_{name}": parts for name, parts in corpus.splits.items()}
    for name, values in corpus.columns.items():
        table[f"column_{name}" if name in (*_OWN, *splits) else name] = values
    frame = polars.DataFrame({name: values.tolist() for name, values in (table | splits).items()})
    return frame.with_columns(polars.col(polars.String).replace("", None))


def iter_member_tables(store: Store) -> Iterator[tuple[str, "DataFrame"]]:
    """Yield for each run what its members say: a row for each member and utterance that it covers.

    Columns are ``member``, ``utterance``, ``label``, ``predicted`` (null where there was no answer), ``scores`` (what
    the numbers are; null where a member holds none) and ``logits_CLASS`` for each class. Members that answer nothing
    are left out.
    """
    import polars

    corpus = store.corpus
    names = np.array([*corpus.classes, None], dtype=object)  # the last is that of -1
    numbers = [f"logits_{name}" for name in corpus.classes]
    texts = dict.fromkeys(("member", "utterance", "label", "predicted", "scores"), polars.String)
    schema = {**texts, **dict.fromkeys(numbers, polars.Float32)}
    for run in store.runs():
        frames = []
        for member in (format_member(run, step) for step in store.steps(run)):
            if not store.describe_member(member).can_vote:
                continue
            rows = store.covered(member)
            said = store.answers([member], rows)[0]
            has_logits = said.ndim == 2
            codes = said.argmax(axis=1) if has_logits else said
            columns: dict[str, Any] = {
                "member": [member] * len(rows),
                "utterance": corpus.ids[rows].tolist(),
                "label": names[corpus.labels[rows]].tolist(),
                "predicted": names[codes].tolist(),
                "scores": [find_kind(store, run) if has_logits else None] * len(rows),
            }
            columns |= {name: said[:, c] if has_logits else [None] * len(rows) for c, name in enumerate(numbers)}
            frames.append(polars.DataFrame(columns, schema=schema))
        if frames:
            yield run, polars.concat(frames)
