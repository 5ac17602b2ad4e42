"""How the batches of an epoch are dealt out to the processes that train together, to the last utterance."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Deal:
    """The batches of an epoch, dealt out in turn: an optimizer step is of those of one process with more accumulation.

    accelerate gives every process as many batches of the same size: where there are too few utterances for that, it
    fills the last ones with such as the epoch began with. Here it is known which those are, and what a batch without
    any other weighs, so that each utterance is learned from once and counts as much as in one process.

    Attributes:
        utterances: of an epoch.
        batch_size: utterances of a whole batch.
        accumulation: batches of each process for an optimizer step.
        processes: how many train together.
    """

    utterances: int
    batch_size: int
    accumulation: int
    processes: int

    def count_own(self, step: int, place: int, *, process: int) -> int:
        """Utterances of a batch that the epoch has not had before. They come first in it.

        Args:
            step: optimizer steps done before, in the whole training.
            place: of the batch among those of its process in this step, from 0.
            process: who computes it, from 0.
        """
        dealt = self._find_first(step) + place * self.processes + process
        return min(max(self.utterances - dealt * self.batch_size, 0), self.batch_size)

    def weigh(self, step: int, place: int, *, process: int) -> float:
        """The factor on a batch's loss: 0 for one of repetitions alone, more than 1 for those that it stands beside.

        Losses of a step are averaged over all batches of all processes, and are to be over those that are not empty.
        """
        if self.count_own(step, place, process=process) == 0:
            return 0.0
        first, batches = self._find_first(step), self._count_batches()
        left = min(-(-(batches - first) // self.processes), self.accumulation) * self.processes
        return left / min(left, batches - first)

    def _count_batches(self) -> int:
        return -(-self.utterances // self.batch_size)

    def _find_first(self, step: int) -> int:
        """How many batches of its epoch were dealt out before an optimizer step."""
        in_step = self.accumulation * self.processes
        return step % -(-self._count_batches() // in_step) * in_step
