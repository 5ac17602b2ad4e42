"""The recipe: everything that decides how a backbone is fine-tuned. Needs no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from ser_store.audio.decode import MIN_SECONDS
from ser_store.backbones.description import Head, Pooling
from ser_store.common.checks import check_choice
from ser_store.errors import SerstoreError
from ser_store.recipes.augmentation import Augmentation
from ser_store.recipes.class_weights import ClassWeights, check_class_weights, parse_class_weights
from ser_store.recipes.masking import Masking
from ser_store.recipes.validation import (
    LEAST,
    MOST,
    check_between,
    check_flag,
    check_names,
    check_not_negative,
    check_positive,
    check_share,
    check_whole,
    replace_old_names,
    take_old_names,
)

Schedule = Literal["linear", "cosine", "constant", "constant_with_warmup"]
Crop = Literal["random", "head"]
MicroBatch = Literal["batch", "auto"]
Precision = Literal["fp32", "tf32", "fp16", "bf16"]
TrainingPrecision = Literal[Precision, "auto"]
Attention = Literal["eager", "sdpa", "flash_attention_2"]
Monitored = Literal["eval_loss", "accuracy", "balanced_accuracy"]
Reporter = Literal["none", "tensorboard", "wandb"]

_CHOICES = {
    "lr_scheduler_type": Schedule,
    "pooling": Pooling,
    "classification_head": Head,
    "crop": Crop,
    "precision": TrainingPrecision,
    "early_stopping_metric": Monitored,
    "report_to": Reporter,
}
_WHOLE = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "eval_steps",
    "logging_steps",
    "save_steps",
    "save_total_limit",
    "pooled_layers",
)
_MAYBE_WHOLE = ("max_steps", "early_stopping_patience", "num_hidden_layers", "lora")
_COUNTS = ("warmup_steps", "frozen_layers", "dataloader_num_workers")
_POSITIVE = ("learning_rate", "max_grad_norm")
_FLAGS = ("freeze_feature_encoder", "cache_frozen", "gradient_checkpointing", "torch_compile", "group_by_length")
_PARTS = {"masking": Masking, "augmentation": Augmentation}
# Two ways to say one thing: who states the first does not mean the second any more.
_INSTEAD = {
    "num_train_epochs": ("max_steps", None),
    "warmup_steps": ("warmup_ratio", 0.0),
    "warmup_ratio": ("warmup_steps", 0),
}
_MAX_SEED = 2**32 - 1  # numpy's


@take_old_names
@dataclass(frozen=True)
class Recipe:
    """How a backbone is fine-tuned. The defaults are the published ones.

    Source: Gavali & Verma, IJDMMM 17(2), 2025, table 2: batches of 4, accumulated twice, 10 epochs, learning rate
    1e-4, evaluation, logging and saving every 100 steps, two checkpoints kept. What the table leaves open is the
    Hugging Face Trainer's default. Cropping, masking and augmentation are for training alone: evaluation hears whole
    utterances as they were recorded.

    Attributes:
        num_train_epochs: passes over the training part.
        max_steps: optimizer steps; overrides ``num_train_epochs`` where it is given.
        per_device_train_batch_size: utterances for each device and forward pass.
        per_device_eval_batch_size: utterances for each device and forward pass in evaluation.
        gradient_accumulation_steps: batches for each optimizer step.
        batch_seconds: fill each training batch with utterances of similar length up to so many seconds, padding
            counted, in place of ``per_device_train_batch_size``: many short utterances or few long ones, and as many
            batches in every epoch; one process alone. An optimizer step is the mean over its batches, so that an
            utterance of a batch of few counts for more. None for batches of a number.
        micro_batch: what passes the model at once: ``batch``; a number, at most so many utterances of a batch that are
            of similar length, so that there is little padding to compute; or ``auto``, all batches of an optimizer step
            where memory allows, fewer where it runs out, and evaluation by as much sound as two such passes. All but
            ``batch`` is for one process alone. Losses and gradients are those of whole batches, one after the other, to
            rounding, but dropout and masks are drawn for other shapes.
        learning_rate: peak learning rate of AdamW.
        head_learning_rate: that of the head; None for the same.
        lr_scheduler_type: how the learning rate changes: ``linear`` or ``cosine`` (to zero), ``constant``, or
            ``constant_with_warmup``.
        warmup_steps: steps over which the learning rate rises to its peak.
        warmup_ratio: the warm-up as a share of all steps; one of the two at most.
        layer_decay: factor on the learning rate for each transformer layer further down, 1 for none; see
            :func:`ser_store.training.optimizer.make_optimizer_groups`.
        weight_decay: AdamW's weight decay.
        max_grad_norm: gradients are clipped to this norm.
        freeze_feature_encoder: whether the convolutions are left untrained.
        frozen_layers: how many transformer layers, counted from the lowest, are left untrained, with all below them.
        lora: rank of what is added to the weights of the layers above ``frozen_layers``, while the backbone itself is
            left untrained; see :mod:`ser_store.backbones.lora`. None to train all of it.
        lora_alpha: what is added is multiplied by ``lora_alpha`` / ``lora``; None for twice the rank.
        cache_frozen: compute once what the frozen layers say of an utterance, without dropout, and read it from disk in
            every later epoch. Versions of an utterance are limited then, see
            :class:`~ser_store.recipes.augmentation.Augmentation`, and frames are masked above the frozen layers.
        class_weights: weights of the classes in the loss: ``none``, ``balanced`` (n / (classes × n of the class)), or
            weights by class, 1 where unnamed.
        label_smoothing_factor: share of the target that is spread over all classes.
        eval_steps: optimizer steps between evaluations, each of which caches a member.
        logging_steps: optimizer steps between entries of the training loss.
        save_steps: optimizer steps between checkpoints.
        save_total_limit: checkpoints kept on disk; with 1, there are two while the next is written.
        early_stopping_patience: evaluations without a better ``early_stopping_metric`` after which training ends.
        early_stopping_metric: ``eval_loss``, ``accuracy`` or ``balanced_accuracy`` of the monitored part.
        num_hidden_layers: how many transformer layers are kept, counted from the lowest; None for all.
        pooling: how frames become one vector: ``mean``, ``sum`` or ``max``.
        pooled_layers: of how many layers, counted from the highest, the frames are pooled; the head hears their vectors
            side by side.
        classification_head: ``dense``, the published one with two layers, which begins at random; or ``linear``, which
            begins as a logistic regression on what the backbone, as it is, says of the utterances as the first epoch
            hears them, so that the first steps do not spoil it for a head that knows nothing; see
            :mod:`ser_store.training.probe`. With
            ``linear-by-speaker`` it hears how an utterance differs from the others of its speaker: training batches
            are of one speaker each, with his classes as evenly as may be, and standardised over the batch, or over its
            parts where memory runs out; evaluation standardises on all utterances of each speaker that are evaluated,
            without their labels. One process alone.
        max_seconds: longer training utterances are cropped to this; None for no limit.
        crop: which part is kept: ``random``, another one in each epoch, or ``head``.
        masking: SpecAugment and layer drop, where they are to differ from the backbone's configuration.
        augmentation: of the training waveforms.
        precision: number format of the computation: ``fp32``, ``tf32``, ``fp16`` or ``bf16``; or ``auto``, which a run
            settles once, by its hardware: see :func:`ser_store.training.arguments.choose_precision`.
        attn_implementation: how attention is computed: ``eager``, ``sdpa`` or ``flash_attention_2``; None for the best
            that transformers finds. Flash attention unpads each batch, for which the host waits in every layer.
        gradient_checkpointing: compute activations twice instead of keeping them: slower, with less memory.
        torch_compile: compile the model by ``torch.compile``.
        group_by_length: batches of utterances of similar length, which need less padding.
        dataloader_num_workers: processes that decode beside the one that trains.
        report_to: where else curves are logged: ``none``, ``tensorboard`` or ``wandb``.
        seed: of initialisation, order, dropout, crops and augmentation.

    Names are those of Hugging Face where they mean the same; those of earlier releases (``epochs``, ``accumulation``)
    are understood.

    >>> import ser_store as ss
    >>> recipe = ss.Recipe(learning_rate=5e-5, num_train_epochs=20, warmup_ratio=0.1)
    >>> recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    8
    """

    num_train_epochs: float = 10.0
    max_steps: int | None = None
    per_device_train_batch_size: int = 4
    per_device_eval_batch_size: int = 4
    gradient_accumulation_steps: int = 2
    batch_seconds: float | None = None
    micro_batch: MicroBatch | int = "batch"
    learning_rate: float = 1e-4
    head_learning_rate: float | None = None
    lr_scheduler_type: Schedule = "linear"
    warmup_steps: int = 0
    warmup_ratio: float = 0.0
    layer_decay: float = 1.0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    freeze_feature_encoder: bool = False
    frozen_layers: int = 0
    lora: int | None = None
    lora_alpha: float | None = None
    cache_frozen: bool = False
    class_weights: ClassWeights | Mapping[str, float] = field(default="none", hash=False)
    label_smoothing_factor: float = 0.0
    eval_steps: int = 100
    logging_steps: int = 100
    save_steps: int = 100
    save_total_limit: int = 2
    early_stopping_patience: int | None = None
    early_stopping_metric: Monitored = "eval_loss"
    num_hidden_layers: int | None = None
    pooling: Pooling = "mean"
    pooled_layers: int = 1
    classification_head: Head = "dense"
    max_seconds: float | None = None
    crop: Crop = "random"
    masking: Masking = field(default_factory=Masking)
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: TrainingPrecision = "fp32"
    attn_implementation: Attention | None = None
    gradient_checkpointing: bool = False
    torch_compile: bool = False
    group_by_length: bool = False
    dataloader_num_workers: int = 0
    report_to: Reporter = "none"
    seed: int = 42

    def __post_init__(self) -> None:
        for name in _WHOLE:
            check_whole(name, getattr(self, name), at_least=1)
        for name in _MAYBE_WHOLE:
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), at_least=1)
        for name in _COUNTS:
            check_whole(name, getattr(self, name), at_least=0)
        for name in _POSITIVE:
            check_positive(name, getattr(self, name))
        check_whole("seed", self.seed, at_least=0, at_most=_MAX_SEED)
        check_between("num_train_epochs", self.num_train_epochs, lowest=LEAST, highest=MOST)
        check_between("layer_decay", self.layer_decay, lowest=LEAST, highest=1)
        check_share("warmup_ratio", self.warmup_ratio, below_one=True)
        check_share("label_smoothing_factor", self.label_smoothing_factor, below_one=True)
        check_not_negative("weight_decay", self.weight_decay)
        for name in _FLAGS:
            check_flag(name, getattr(self, name))
        for name, allowed in _CHOICES.items():
            check_choice(f"`{name}`", getattr(self, name), get_args(allowed))
        if self.attn_implementation is not None:
            check_choice("`attn_implementation`", self.attn_implementation, get_args(Attention))
        check_class_weights(self.class_weights)
        if isinstance(self.micro_batch, int):
            check_whole("micro_batch", self.micro_batch, at_least=1)
        elif self.micro_batch not in get_args(MicroBatch):
            raise SerstoreError(
                f"`micro_batch` is {self.micro_batch!r}: expected batch, auto or a number of utterances"
            )
        self._check_together()

    def _check_together(self) -> None:
        if self.head_learning_rate is not None:
            check_positive("head_learning_rate", self.head_learning_rate)
        if self.num_hidden_layers is not None and self.frozen_layers > self.num_hidden_layers:
            raise SerstoreError(
                f"`frozen_layers` is {self.frozen_layers}: expected at most the {self.num_hidden_layers} that "
                "`num_hidden_layers` keeps"
            )
        if self.lora_alpha is not None:
            check_positive("lora_alpha", self.lora_alpha)
            if self.lora is None:
                raise SerstoreError(f"`lora_alpha` is {self.lora_alpha} and `lora` is not given: expected both or none")
        if self.lora is not None and self.torch_compile:
            raise SerstoreError("`lora` and `torch_compile` are given: expected one of the two")
        if self.batch_seconds is not None:
            check_positive("batch_seconds", self.batch_seconds)
            if self.group_by_length:
                raise SerstoreError(
                    f"`group_by_length` is on and `batch_seconds` is {self.batch_seconds}, which puts similar lengths "
                    "together itself: expected one of the two"
                )
        if self.pooled_layers > 1 and self.torch_compile:
            raise SerstoreError(
                f"`pooled_layers` is {self.pooled_layers} and `torch_compile` is on, after which no layer is listened "
                "to on its own: expected one of the two"
            )
        if self.is_by_speaker:
            self._check_by_speaker()
        if self.cache_frozen:
            self._check_cached()
        if self.max_seconds is not None:
            check_positive("max_seconds", self.max_seconds)
            if self.max_seconds < MIN_SECONDS:
                raise SerstoreError(f"`max_seconds` is {self.max_seconds}: expected at least {MIN_SECONDS}")
        steps, ratio = self.warmup_steps, self.warmup_ratio
        if steps and ratio:
            raise SerstoreError(f"`warmup_steps` is {steps} and `warmup_ratio` is {ratio}: expected one of the two")
        if self.lr_scheduler_type == "constant" and (steps or ratio):
            raise SerstoreError(
                "`lr_scheduler_type` is constant and a warm-up is given: expected none; choose constant_with_warmup"
            )
        if self.attn_implementation == "flash_attention_2" and self.precision not in ("fp16", "bf16", "auto"):
            raise SerstoreError(
                f"`attn_implementation` is flash_attention_2 and `precision` is {self.precision}: expected fp16 or bf16"
            )

    @property
    def is_by_speaker(self) -> bool:
        """Whether the head hears how utterances differ from the others of their speaker."""
        return self.classification_head == "linear-by-speaker"

    def _check_by_speaker(self) -> None:
        """Batches are of one speaker, however long his utterances are, and pass one by one."""
        for name, usual in (("batch_seconds", None), ("group_by_length", False), ("micro_batch", "batch")):
            if getattr(self, name) != usual:
                raise SerstoreError(
                    f"`{name}` is {getattr(self, name)} and `classification_head` is {self.classification_head}, whose "
                    f"batches are the utterances of one speaker: expected one of the two; leave `{name}` out"
                )

    def _check_cached(self) -> None:
        """What the frozen layers say can be kept only where there is an end to what they hear."""
        if not self.frozen_layers:
            raise SerstoreError("`cache_frozen` is on and `frozen_layers` is 0: expected at least 1")
        is_varied = not self.augmentation.changes_nothing or self.max_seconds is not None
        if is_varied and self.augmentation.versions is None:
            raise SerstoreError(
                "`cache_frozen` is on and every epoch hears each utterance in another way: expected a number of "
                "`versions`, such as 4, or neither augmentation nor `max_seconds`"
            )

    def to_json(self) -> dict[str, Any]:
        """Return all options as a document; masking and augmentation are documents within it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stated: Mapping[str, Any]) -> "Recipe":
        """Read the recipe that :meth:`to_json` or a TOML file states; what it leaves out is as published.

        Options may have the names of earlier releases.

        Raises:
            UnknownNameError: for an unknown key; says the nearest ones.
            SerstoreError: for a value that cannot be.
        """
        stated = replace_old_names(stated)
        check_names("option of a recipe", list(stated), [entry.name for entry in fields(cls)])
        parts = {name: _read_part(name, stated[name]) for name in _PARTS if name in stated}
        weights = stated.get("class_weights")
        if isinstance(weights, str):  # as on the command line, which a file may have it from
            parts["class_weights"] = parse_class_weights(weights)
        return cls(**{**stated, **parts})

    def changed(self, **options: Any) -> "Recipe":
        """Return the recipe with other values for the options that are not None.

        ``num_train_epochs`` takes the place of ``max_steps``, and either warm-up that of the other, unless both are
        given. Names of earlier releases are understood.

        Raises:
            UnknownNameError: for an option that a recipe does not have; says the nearest ones.
            SerstoreError: for a value that cannot be.

        >>> import ser_store as ss
        >>> ss.Recipe().changed(max_steps=500, mask_time_prob=0.05).masking.mask_time_prob
        0.05
        """
        known = [entry.name for kind in (type(self), *_PARTS.values()) for entry in fields(kind)]
        options = replace_old_names(options)
        check_names("option of a recipe", list(options), known)
        stated = {name: value for name, value in options.items() if value is not None}
        stated = {**{other: none for name, (other, none) in _INSTEAD.items() if name in stated}, **stated}
        changes = {entry.name: stated[entry.name] for entry in fields(self) if entry.name in stated}
        for name, kind in _PARTS.items():
            inner = {entry.name: stated[entry.name] for entry in fields(kind) if entry.name in stated}
            if inner:
                changes[name] = replace(changes.get(name, getattr(self, name)), **inner)
        return replace(self, **changes)


def _read_part(name: str, stated: Any) -> Any:
    if not isinstance(stated, Mapping):
        raise SerstoreError(f"`{name}` is {stated!r}: expected a table with its options")
    kind: Any = _PARTS[name]
    check_names(f"option of {name}", list(stated), [entry.name for entry in fields(kind)])
    # Files know lists only.
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in stated.items()})
