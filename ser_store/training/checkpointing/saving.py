"""The Hugging Face Trainer, with checkpoints that are written behind the training."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer import SCHEDULER_NAME

from ser_store.backbones.lora import iter_whole
from ser_store.training.checkpointing.checkpoints import Layout, find_layout
from ser_store.training.checkpointing.snapshot import read_optimizer
from ser_store.training.checkpointing.writer import OPTIMIZER_NAME, CheckpointWriter, stated_writing
from ser_store.training.distributed.processes import gather, is_main, is_sharded, wait_for_all
from ser_store_h5.disk.atomic import LEFTOVER_SUFFIX


class CheckpointingTrainer(Trainer):
    """Leaves checkpoints to ``writer``, but those of a sharded model, which all processes write together."""

    optimizer: Any

    def __init__(self, *, writer: CheckpointWriter, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.writer = writer
        # Where the Trainer writes what a checkpoint has beside weights and moments, while it does.
        self._small: str | None = None

    def copy_weights(self) -> Mapping[str, Tensor]:
        """The weights as they are now, adapters added, for all that is made of them after this step."""
        if is_sharded(self.accelerator) or not is_main() or getattr(self.model.config, "lora", None):
            return dict(iter_whole(self.model))
        return self.writer.copy_weights(self.model, self.state.global_step)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint: of a model that is not sharded, all but weights and moments is as the Trainer has it."""
        step, checkpoints = self.state.global_step, Path(self.args.output_dir)
        if is_sharded(self.accelerator):
            with stated_writing(checkpoints):
                self._save_shards(model, trial)
            return
        self.writer.wait()  # which removes what is left of others when it ends
        with stated_writing(checkpoints):
            checkpoints.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=checkpoints, prefix=".checkpoint-", suffix=LEFTOVER_SUFFIX) as self._small:
                super()._save_checkpoint(model, trial)
                small = sorted(Path(self._small, f"checkpoint-{step}").iterdir())
                files = {path.name: path.read_bytes() for path in small}
        self._small = None
        # Each process has the state of its own random generators.
        gathered = gather(files)
        if is_main():
            self.writer.save(step, self.model, self.optimizer, {name: one[name] for one in gathered for name in one})

    def _save_shards(self, model: Any, trial: Any) -> None:
        if is_main():
            self.writer.make_room()
        wait_for_all()
        super()._save_checkpoint(model, trial)
        wait_for_all()
        if not is_main():
            return
        saved = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
        if find_layout(saved) is Layout.SHARDS:
            # The Trainer leaves them out, and the shards alone are no model once they are joined.
            self.model.config.save_pretrained(saved)
            self.processing_class.save_pretrained(saved)
        self.writer.finish(self.state.global_step)

    def _get_output_dir(self, trial: Any) -> str:
        return self._small or str(super()._get_output_dir(trial))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict={} if self._small else state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self._small:
            super()._save_optimizer_and_scheduler(output_dir)
        elif self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir, SCHEDULER_NAME))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Those of a checkpoint; of earlier releases, and of sharded models, as the Trainer writes them."""
        if checkpoint is None or not Path(checkpoint, OPTIMIZER_NAME).is_file():
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        self.optimizer.load_state_dict(read_optimizer(Path(checkpoint, OPTIMIZER_NAME)))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint, SCHEDULER_NAME), weights_only=True))
