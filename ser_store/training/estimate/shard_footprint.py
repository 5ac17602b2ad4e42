"""What one pass forth and back takes in one of several processes that each hold a shard of the model.

The tensors that FSDP makes are made beside those of the model, at the moments when torch makes them, so that they are
counted with them. See ``foreach_all_gather`` and ``foreach_reduce`` of torch's ``fully_shard``.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy, get_module_children_bottom_up
from torch import Tensor, nn

_REDUCED = torch.float32


class Unit:
    """Weights that are gathered together when their module is computed, and whose gradients are exchanged together."""

    def __init__(self, shards: "Shards", weights: Sequence[nn.Parameter], *, stays: bool) -> None:
        self._shards = shards
        self._weights = [each for each in weights if each.requires_grad]
        self._count = sum(map(torch.numel, weights))
        self._stays = stays
        self._awaited = 0
        self._fetched: Tensor | None = None
        self._gathered: Tensor | None = None

    def watch(self, module: nn.Module) -> None:
        """Gather before and after the module computes, and exchange when the last of its gradients is there."""
        module.register_forward_pre_hook(lambda *_: self.gather())
        module.register_forward_hook(self._end_forward)
        for weight in self._weights:
            weight.register_post_accumulate_grad_hook(self._count_gradient)

    def fetch(self) -> None:
        """Into the buffer that the other processes send to."""
        if self._gathered is None and self._fetched is None:
            self._fetched = torch.empty(self._count, dtype=self._shards.dtype)

    def gather(self) -> None:
        """Out of the buffer, which is let go with the next one that is read."""
        if self._gathered is None:
            self.fetch()
            self._gathered = torch.empty(self._count, dtype=self._shards.dtype)
            self._shards.last_read, self._fetched = self._fetched, None

    def _end_forward(self, module: nn.Module, arguments: Any, said: Any) -> None:
        if not self._stays:
            self._gathered = None
        first = said[0] if isinstance(said, tuple) else getattr(said, "last_hidden_state", said)
        if first.requires_grad:
            first.register_hook(self._begin_backward)

    def _begin_backward(self, gradient: Tensor) -> None:
        self.gather()
        self._shards.last_read = None
        self._awaited = len(self._weights)
        self._shards.fetch_next(self)

    def _count_gradient(self, weight: Tensor) -> None:
        self._awaited -= 1
        if self._awaited == 0:
            self.exchange()

    def exchange(self) -> None:
        """Copy the gradients into a buffer, which is kept until the next exchange; this process' share is added up."""
        count = sum(map(torch.numel, self._weights))
        buffer = torch.empty(count, dtype=_REDUCED)
        for weight in self._weights:
            weight.grad = None
        torch.empty(math.ceil(count / self._shards.processes), dtype=_REDUCED)
        self._shards.last_sent, self._gathered = buffer, None


class Shards:
    """The units of a classifier, as accelerate makes them of its configuration.

    Attributes:
        processes: those that have a shard each.
        dtype: what weights are gathered in.
        last_read: the buffer that was gathered from last.
        last_sent: the buffer that was exchanged last.
    """

    def __init__(self, model: Any, plugin: Any, *, processes: int, dtype: torch.dtype) -> None:
        self.processes, self.dtype = processes, dtype
        self.last_read: Tensor | None = None
        self.last_sent: Tensor | None = None
        taken: set[nn.Parameter] = set()
        self._units: list[Unit] = []
        stays = not plugin.reshard_after_forward
        for module in _list_modules(model, plugin):
            self._add(module, taken, stays=stays)
        # Accelerate takes the last of these for the normalisation ahead of a head.
        tail = [each for each in model.backbone.children() if "Norm" in type(each).__name__][-1:]
        for module in tail:
            self._add(module, taken, stays=True)
        self._root = Unit(self, [each for each in model.parameters() if each not in taken], stays=True)

    def _add(self, module: nn.Module, taken: set[nn.Parameter], *, stays: bool) -> None:
        weights = [each for each in module.parameters() if each not in taken]
        taken.update(weights)
        if weights:
            self._units.append(Unit(self, weights, stays=stays))
            self._units[-1].watch(module)

    def fetch_next(self, unit: Unit) -> None:
        """While one is computed backward, the one before it is on its way."""
        place = self._units.index(unit)
        if place:
            self._units[place - 1].fetch()

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Within, a pass forth and back; what belongs to no unit of its own is there from its beginning to its end."""
        self._root.gather()
        yield
        self._root.exchange()


def drop_gradients(model: nn.Module) -> None:
    """Let go of each gradient once it is whole."""

    def drop(weight: Tensor) -> None:
        weight.grad = None

    for weight in model.parameters():
        if weight.requires_grad:
            weight.register_post_accumulate_grad_hook(drop)


def _list_modules(model: Any, plugin: Any) -> list[nn.Module]:
    """Those that are sharded each on its own, as ``fsdp2_prepare_model`` finds them, without the model itself."""
    plugin.set_auto_wrap_policy(model)
    is_unit = fsdp2_prepare_auto_wrap_policy(plugin, model)
    return [] if is_unit is None else [each for each in get_module_children_bottom_up(model)[:-1] if is_unit(each)]
