"""What computes, and how its memory is had."""

import pytest
import torch

from ser_store.inference.forward import find_device
from ser_store.training.distributed.processes import choose_device
from ser_store.training.optimizer import Loss


@pytest.mark.parametrize("name", ["mps", "xpu", "cuda"])
def test_extraction_computes_where_training_does(name, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device(name))
    assert find_device() == torch.device(name)


def test_extraction_computes_on_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert find_device() == torch.device("cpu")


@pytest.mark.parametrize(("stated", "expected"), [(None, ["expandable_segments:True"]), ("backend:native", [])])
def test_memory_of_cuda_grows_in_segments_unless_the_environment_says_how(stated, expected, monkeypatch):
    settings = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda.memory, "_set_allocator_settings", settings.append)
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    if stated:
        monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", stated)
    choose_device()
    assert settings == expected


def test_class_weights_travel_to_the_device_once():
    loss, device = Loss(torch.tensor([1.0, 3.0]), label_smoothing=0.0), torch.device("meta")
    logits, labels = torch.zeros(4, 2, device=device), torch.zeros(4, dtype=torch.long, device=device)
    loss(logits, labels)
    there = loss._weights
    assert there.device == device
    loss(logits, labels)
    assert loss._weights is there
    assert loss.weigh(labels).device == device
