"""What a fine-tuning will take: memory, disk and time, as values."""

from dataclasses import asdict, dataclass
from typing import Any

from ser_store.training.checkpointing.checkpoints import Layout


@dataclass(frozen=True)
class Memory:
    """Bytes that each process takes on its device at the fullest moment.

    With P parameters, T of them trained, and W processes: ``weights`` 4P, ``gradients`` 4T and ``optimizer`` 8T, all in
    float32. Of several processes that each have the whole model, ``gradients`` are 8T, as they are exchanged through a
    second copy. Where FSDP shards the model, each of the three is 1/W of that of one process, and ``gathered`` is
    added; ``fsdp_offload_params`` puts the three into the host's memory, and they are counted here all the same.

    Attributes:
        activations: of the batch of the longest training utterances; see
            :func:`ser_store.training.estimate.footprint.compute_activation_bytes`.
        gathered: with FSDP, what is whole then, and the buffers that it goes through; see
            :func:`ser_store.training.estimate.footprint.compute_shard_bytes`.
        longest_seconds: the longest of them.
        available: what the device has in all, for each of the processes that share it; None where it does not say.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    gathered: int
    total: int
    longest_seconds: float
    available: int | None


@dataclass(frozen=True)
class Disk:
    """Bytes on disk when they are most: the checkpoints kept, the last of which may be being written, and all members.

    Attributes:
        checkpoints: max(kept, 2) × (parameters × 4 + trained parameters × 4 × 2 states of AdamW); with FSDP and
            ``FULL_STATE_DICT``, parameters × 8, since they are written a second time.
        members: members × utterances × (hidden size × 2 + classes × 4 + 4 for the row).
        free: on the disk of the checkpoints.
    """

    checkpoints: int
    members: int
    total: int
    free: int


@dataclass(frozen=True)
class Duration:
    """The floor that arithmetic sets: all operations at the rate at which this machine multiplies matrices.

    Attributes:
        flops_per_step: of an optimizer step, over all devices, at the mean padded length.
        flops_total: of all steps and evaluations.
        flops_per_second: measured here, of one device.
        device: what it was measured on.
        seconds: ``flops_total`` over ``flops_per_second`` and the number of devices. A real training takes longer.
    """

    flops_per_step: int
    flops_total: int
    flops_per_second: float
    device: str
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What a fine-tuning will take.

    Attributes:
        model: the backbone's key.
        parameters: of backbone and head.
        trained: those of them that are not frozen.
        n_train: utterances trained on.
        n_evaluated: utterances of each member.
        processes: devices that train together.
        layout: how weights and checkpoints are spread over them.
        steps: optimizer steps, unless it stops early.
        steps_per_epoch: optimizer steps of one pass.
        members: evaluations, each of which caches one.
    """

    model: str
    parameters: int
    trained: int
    n_train: int
    n_evaluated: int
    processes: int
    layout: Layout
    steps: int
    steps_per_epoch: int
    members: int
    memory: Memory
    disk: Disk
    time: Duration

    def to_json(self) -> dict[str, Any]:
        """All values, ready for :func:`json.dumps`."""
        return {**asdict(self), "layout": self.layout.value}
