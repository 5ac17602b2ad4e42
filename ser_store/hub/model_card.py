"""The model card of a fine-tuned model: what it was made of, how well it does, how to load it."""

from collections.abc import Iterable, Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ser_store.evaluation import MemberEvaluation
from ser_store.hub.figures import Figures, find_figures, list_heard
from ser_store.recipes.validation import replace_old_names
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

TASK = "audio-classification"
# Speakers that are named before they are only counted.
_NAMED = 60


def write_card(store: Store, record: RunRecord, step: int, *, repository: str) -> str:
    """Return the card of the model ``record.run`` at ``step`` as Markdown, with the hub's metadata ahead.

    Figures are of the part ``test`` where the run's split has it, else of all utterances it was evaluated on. The
    licence is left to whoever publishes the model: it depends on the weights and the corpus it was made from.
    """
    figures = find_figures(store, record, step)
    origin: Mapping[str, Any] = record.details.get("origin", {})
    sections = [
        f"# {repository.rpartition('/')[2]}",
        f"{record.backbone}, fine-tuned for speech emotion recognition on the corpus {store.corpus.name}; "
        f"run `{record.run}`, step {step}.",
        "## Results",
        *_describe_results(step, figures),
        "## Model",
        _list_facts(_describe_model(store, record.details)),
        "## Data",
        _list_facts(_describe_data(store, record)),
        "## Recipe",
        write_table(("option", "value"), replace_old_names(record.details.get("recipe", {})).items()),
        _list_facts(record.details.get("versions", {})),
        "## How to use it",
        _describe_use(repository),
        "## Licence",
        "Not stated here. It has to agree with the licences of the pretrained weights and of the corpus.",
    ]
    return f"---\n{_write_metadata(store, repository, origin, figures)}---\n\n" + "\n\n".join(sections) + "\n"


def _write_metadata(store: Store, repository: str, origin: Mapping[str, Any], figures: Figures | None) -> str:
    """The hub's own fields, see https://huggingface.co/docs/hub/model-cards."""
    results = []
    if figures is not None:
        scores = figures.member.metrics
        for name, value in (("accuracy", scores.accuracy), ("balanced_accuracy", scores.balanced_accuracy)):
            results.append(
                EvalResult(
                    task_type=TASK,
                    dataset_type=store.corpus.name,
                    dataset_name=store.corpus.name,
                    dataset_split=figures.found.on,
                    metric_type=name,
                    metric_value=round(value, 6),
                )
            )
    data = ModelCardData(
        base_model=origin.get("hub_id"),
        library_name="ser-store",
        model_name=repository.rpartition("/")[2],
        pipeline_tag=TASK,
        tags=["speech-emotion-recognition"],
        eval_results=results or None,
    )
    return data.to_yaml() + "\n"


def _describe_results(step: int, figures: Figures | None) -> list[str]:
    if figures is None:
        return [f"Not evaluated at step {step}."]
    cautions = "\n".join(f"- {line}" for line in figures.cautions)
    described = [
        _write_scores(figures.member, on=figures.found.on),
        figures.describe_choice(),
        f"What to bear in mind:\n\n{cautions}" if cautions else "",
    ]
    return [one for one in described if one]


def _write_scores(member: MemberEvaluation, *, on: str) -> str:
    scores, interval = member.metrics, member.interval
    rows: list[tuple[Any, ...]] = [
        ("accuracy (WA)", f"{scores.accuracy:.2%}"),
        ("95% interval", f"{interval.low:.2%} to {interval.high:.2%} ({interval.method})"),
        ("balanced accuracy (UA)", f"{scores.balanced_accuracy:.2%}"),
        ("utterances", f"{scores.correct} of {scores.n} right, on {on}"),
    ]
    by_class = scores.per_class
    lines = [
        (
            name,
            *("–" if figure is None else f"{figure:.2f}" for figure in by_class.list_scores(place)),
            by_class.support[place] or "absent",
        )
        for place, name in enumerate(member.classes)
    ]
    return "\n\n".join([write_table(("", ""), rows), write_table(("class", "precision", "recall", "f1", "n"), lines)])


def _describe_model(store: Store, details: Mapping[str, Any]) -> dict[str, Any]:
    origin, configuration = details.get("origin", {}), details.get("configuration", {})
    source = origin.get("hub_id")
    if origin.get("init") == "random":
        weights = "random before fine-tuning"
    elif source is None:
        weights = "a local folder"
    else:
        weights = f"{source}, revision {origin.get('revision') or 'not known'}"
    prepared = "as log-mel frames made" if configuration.get("model_type") == "whisper" else "normalised"
    return {
        "pretrained weights": weights,
        "input": f"mono at 16 kHz, each utterance {prepared} by the feature extractor",
        "classes, in the order of the logits": ", ".join(store.corpus.classes),
    }


def _describe_data(store: Store, record: RunRecord) -> dict[str, Any]:
    corpus, split = store.corpus, record.details.get("split")
    parts = {part: len(corpus.rows(part, split=split)) for part in corpus.part_names(split)}
    speakers, heard = len(corpus.known_speakers), list_heard(store, record)
    return {
        "corpus": f"{corpus.name}, {len(corpus)} utterances" + (f" of {speakers} speakers" if speakers else ""),
        "split": f"{split}: " + ", ".join(f"{part} {n}" for part, n in parts.items()),
        **({} if record.details.get("fold") is None else {"fold evaluated": record.details["fold"]}),
        "heard in training": "not known" if heard is None else _describe_heard(*heard, of=speakers),
    }


def _describe_heard(utterances: int, speakers: list[str], *, of: int) -> str:
    if not speakers:
        return f"{utterances} utterances" + (", of no known speaker" if of else "")
    names = f": {', '.join(speakers)}" if len(speakers) <= _NAMED else ""
    return f"{utterances} utterances of {len(speakers)} of the {of} speakers{names}"


def _describe_use(repository: str) -> str:
    return (
        "With `pip install 'ser-store[train]'`, in Python:\n\n"
        "```python\n"
        "import ser_store  # transformers knows the model then\n"
        "from transformers import pipeline\n\n"
        f'classify = pipeline("{TASK}", "{repository}", top_k=None)\n'
        'classify({"array": samples, "sampling_rate": 48_000})  # one channel, as numpy\'s float32\n'
        "```\n\n"
        f"`serstore predict {repository} recording.wav` does the same for files; `serstore export-onnx {repository} -o "
        "model.onnx` makes of it a file from waveforms to logits that needs neither torch nor this package; "
        f"`serstore finetune --model {repository}` trains its backbone on."
    )


def _list_facts(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def write_table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
