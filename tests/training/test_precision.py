"""An automatic precision is settled once, by the hardware, and is what the run's record says."""

import logging

import pytest
import torch

from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training import arguments, request
from ser_store.training.arguments import choose_precision
from ser_store.training.request import refuse_contradictions, settle_request


@pytest.mark.parametrize(
    ("cuda", "bf16", "tf32", "expected"),
    [
        (True, True, True, "bf16"),
        (True, False, True, "tf32"),
        (True, False, False, "fp32"),
        (False, True, False, "bf16"),
        (False, False, False, "fp32"),
    ],
)
def test_the_hardware_decides(cuda, bf16, tf32, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
    monkeypatch.setattr(arguments, "is_torch_tf32_available", lambda: tf32)
    assert choose_precision() == expected


def test_a_run_records_and_says_what_it_became_and_is_gone_on_with_by_either_name(monkeypatch, caplog):
    monkeypatch.setattr(request, "choose_precision", lambda: "bf16")
    with caplog.at_level(logging.INFO, logger="ser_store"):
        settled = settle_request(None, "r", {"model": "hubert-base", "recipe": Recipe(precision="auto")})
    assert caplog.messages == ["r: precision auto is bf16 here"]
    assert settled.to_json()["recipe"]["precision"] == "bf16"
    for name in ("auto", "bf16"):
        refuse_contradictions(settled, {"recipe": Recipe(precision=name)})
    with pytest.raises(SerstoreError, match="was begun with `precision` bf16: got fp32"):
        refuse_contradictions(settled, {"recipe": Recipe()})


def test_the_published_precision_stays_what_nobody_asks_to_be_otherwise():
    assert settle_request(None, "r", {"model": "hubert-base"}).recipe.precision == "fp32"
