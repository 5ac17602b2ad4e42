"""How a GPU rounds float32: as the precision says while a model computes, and as before afterwards."""

import pytest
import torch
from transformers import training_args

from ser_store.errors import SerstoreError
from ser_store.inference.forward import stated_rounding
from ser_store.recipes.recipe import Recipe
from ser_store.training import arguments
from ser_store.training.arguments import build_training_arguments


def read_flags():
    """Whether convolutions, and products of matrices, are rounded; raises if torch's newer flags were set as well."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(
    ("precision", "flags"),
    [("fp32", (False, False)), ("tf32", (True, True)), ("fp16", (True, False)), ("bf16", (True, False))],
)
def test_rounding_is_that_of_the_precision_and_afterwards_as_before(precision, flags):
    before = read_flags()
    with stated_rounding(precision):
        assert read_flags() == flags
    with pytest.raises(ZeroDivisionError), stated_rounding(precision):
        raise ZeroDivisionError
    assert read_flags() == before == (True, False)


def test_tf32_does_not_outlast_the_training_that_asked_for_it(tmp_path, monkeypatch):
    """Transformers would set it for the whole process, so that a next training in fp32 were none."""
    for module in (arguments, training_args):
        monkeypatch.setattr(module, "is_torch_tf32_available", lambda: True)
    before = read_flags()
    build_training_arguments(Recipe(precision="tf32"), tmp_path)
    assert read_flags() == before
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there may be a GPU that can")
def test_a_machine_that_has_no_tf32_says_so_in_one_line(tmp_path):
    with pytest.raises(SerstoreError, match=r"^`precision` tf32 cannot be had on this machine \(it takes a GPU"):
        build_training_arguments(Recipe(precision="tf32"), tmp_path)
