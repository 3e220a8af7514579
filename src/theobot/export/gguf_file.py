"""What both GGUF exports share: the package, number formats, and where a file came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from theobot.errors import AdapterError, SettingsError

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

OutType = Literal["f32", "f16", "bf16", "q8_0"]
"""Number format of the matrices; vectors (norms, biases) are always float32."""

FAMILY = "qwen2"
_LARGEST_HALF = 65504.0
_BLOCK = 32
"""Values in a row that share a scale in q8_0."""


class Tensor(NamedTuple):
    """A tensor of a file, in whatever format it has now."""

    name: str
    values: torch.Tensor


def require_gguf() -> None:
    """See that the package is here before any work is done.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise SettingsError(
            "GGUF files need the package gguf, which is not installed here. Type: "
            'pip install "theobot[export]"'
        ) from None


def write_tensors(writer: GGUFWriter, tensors: Sequence[Tensor], outtype: OutType) -> None:
    """Write a whole file; no more than one tensor at a time is in memory a second time.

    Args:
        writer: with its metadata.
        tensors: in the order of the file.
        outtype: format of the matrices.
    """
    import numpy as np
    from gguf import GGML_QUANT_SIZES, quantize

    kinds = [kind_of(tensor.values.shape, outtype) for tensor in tensors]
    for tensor, kind in zip(tensors, kinds, strict=True):
        block, size = GGML_QUANT_SIZES[kind]
        shape, octets = tuple(tensor.values.shape), tensor.values.numel() // block * size
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), octets, raw_dtype=kind)
    with closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor, kind in zip(tensors, kinds, strict=True):
            values = tensor.values.detach().float().cpu().contiguous().numpy()
            _refuse_overflow(tensor.name, values, outtype)
            writer.write_tensor_data(quantize(values, kind))


def kind_of(shape: Sequence[int], outtype: OutType) -> GGMLQuantizationType:
    """Format of one tensor: vectors stay float32; rows that no blocks fit into are float16."""
    from gguf import GGMLQuantizationType

    if len(shape) == 1:
        return GGMLQuantizationType.F32
    if outtype == "q8_0" and shape[-1] % _BLOCK:
        return GGMLQuantizationType.F16
    return GGMLQuantizationType[outtype.upper()]


def _refuse_overflow(name: str, values: Any, outtype: OutType) -> None:
    largest = float(abs(values).max())
    if not math.isfinite(largest):
        raise AdapterError(f"{name}: holds numbers that are not finite; the adapter is damaged.")
    if outtype == "f16" and largest > _LARGEST_HALF:
        raise AdapterError(
            f"{name}: holds {largest:.3g}, more than a 16-bit float can (65504). Type "
            "--outtype f32."
        )


def add_origin(writer: GGUFWriter, facts: dict[str, Any]) -> None:
    """Base, prompt format and the adapter's hash, under GGUF's own keys where it has some."""
    base = facts["base_model"]
    owner, slash, name = base.rpartition("/")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, name)
    if slash:
        writer.add_base_model_organization(0, owner)
    if facts["base_revision"]:
        writer.add_base_model_version(0, facts["base_revision"])
    writer.add_string("theobot.prompt_format", facts["prompt_format"])
    if facts["adapter_sha256"]:
        writer.add_string("theobot.adapter_sha256", facts["adapter_sha256"])


def new_writer(path: Path, kind: str, name: str) -> GGUFWriter:
    """A writer for a file of the Qwen2 architecture.

    Args:
        path: the file.
        kind: "adapter" or "model".
        name: for people.
    """
    from gguf import GGUFWriter

    writer = GGUFWriter(path, FAMILY)
    writer.add_type(kind)
    writer.add_name(name)
    return writer


def names(layers: int) -> Callable[[str], str | None]:
    """Gives GGUF's name for a parameter of transformers, with its suffix; None if it has none."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    table = get_tensor_name_map(MODEL_ARCH.QWEN2, layers)
    return lambda name: table.get_name(name, try_suffixes=(".weight", ".bias"))
