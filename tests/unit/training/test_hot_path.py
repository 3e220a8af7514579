"""Every matrix product of a training pass computes in the base model's format.

On Radeon cards float32 products can be fifteen times slower than bfloat16 ones. A product whose
inner dimension is 1 adds nothing up (the angles of the rotary embedding are one): it is allowed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from theobot.config import TokenSettings, TrainSettings
from theobot.data.batches import flatten
from theobot.data.examples import read_examples
from theobot.data.tokens import TokenRow, tokenize_rows
from theobot.run_folder import RunFolder
from theobot.training.build import prepare_model

PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot")


class Product(NamedTuple):
    """One matrix product: its name, the formats of its factors, and its inner dimension."""

    name: str
    dtypes: set[torch.dtype]
    inner: int


class Products(TorchDispatchMode):
    """Notes all matrix products, whoever asks for them, backward pass included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Product] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, arguments: Any = (), others: Any = None
    ) -> Any:
        name = operator.overloadpacket.__name__.rstrip("_")
        if name in PRODUCTS:
            left, right = [part for part in arguments if isinstance(part, torch.Tensor)][-2:]
            self.seen.append(Product(name, {left.dtype, right.dtype}, left.shape[-1]))
        return operator(*arguments, **(others or {}))

    def in_float32(self) -> list[Product]:
        return [one for one in self.seen if torch.float32 in one.dtypes and one.inner > 1]


@pytest.fixture
def rows(tiny_tokenizer, rows_file) -> list[TokenRow]:
    """Short rows, and one that is too long to be computed in a block of them."""
    rows = tokenize_rows(read_examples(rows_file), tiny_tokenizer, TokenSettings())
    ids = [token for row in rows for token in row.input_ids][:300]
    return [*rows[:6], TokenRow(ids, 20, "a long row")]


def products_of_a_pass(model, rows, folder, **lora) -> Products:
    settings = TrainSettings.model_validate({"lora": {"r": 4, **lora}})
    torch.manual_seed(0)
    base = model.to(torch.bfloat16)
    trained = prepare_model(base, settings, RunFolder(folder), every_n_layers=2).train()
    flat = flatten(rows, torch.device("cpu"))
    with Products() as products:
        with torch.autocast("cpu", torch.bfloat16):
            loss = trained(flat=flat).loss
        loss.backward()
    assert all(part.grad is not None for part in trained.parameters() if part.requires_grad)
    return products


@pytest.mark.parametrize(
    "lora",
    [{}, {"lora_dropout": 0.1, "target_modules": ("all-linear",)}, {"use_dora": True}],
    ids=["seed", "all linear layers, dropout", "DoRA"],
)
def test_a_pass_in_bfloat16_multiplies_no_float32_matrices(tiny_model, rows, tmp_path, lora):
    products = products_of_a_pass(tiny_model, rows, tmp_path, **lora)
    assert len(products.seen) > 50
    assert products.in_float32() == []


def test_a_float32_product_anywhere_would_be_found(tiny_model, rows, tmp_path):
    layer = tiny_model.get_decoder().layers[0]
    layer.register_forward_hook(lambda module, given, result: result + 0 * wide(result))
    found = products_of_a_pass(tiny_model, rows, tmp_path).in_float32()
    assert {one.inner for one in found} >= {tiny_model.config.hidden_size}


def wide(hidden: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        square = torch.eye(hidden.shape[-1])
        return (hidden.float() @ square).to(hidden.dtype)
