"""The adapter as GGUF, for llama.cpp and what is built on it, beside any GGUF file of its base.

GGUF knows one alpha for a whole adapter, and llama.cpp computes x W^T + (alpha / r) x A^T B^T with
the rank r of each pair. PEFT knows scales of several kinds: alpha / r, alpha / sqrt(r) (rsLoRA),
and other alphas or ranks for single layers. Alpha is therefore chosen to fit most layers, and what
is left over is multiplied into B. Not covered: what GGUF cannot hold (DoRA, whole trained modules,
embeddings), and bases that are no Qwen2.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from theobot.errors import AdapterError, SettingsError
from theobot.export.folder import (
    adapter_of,
    new_folder,
    origin,
    refuse_taken,
    write_account,
    write_seed_template,
)
from theobot.export.gguf_file import (
    FAMILY,
    OutType,
    Tensor,
    add_origin,
    names,
    new_writer,
    require_gguf,
    write_tensors,
)
from theobot.model.adapter import CONFIG, WEIGHTS, AdapterInfo, Selection
from theobot.model.shape import ModelShape, shape_of

if TYPE_CHECKING:
    import torch

ADAPTER_FILE = "adapter.gguf"
_FORMATS: tuple[OutType, ...] = ("f32", "f16")

_KEY = re.compile(r"base_model\.model\.(model\.layers\.(\d+)\.\w+\.(\w+))\.lora_([AB])\.weight")


class Pair(NamedTuple):
    """The two matrices of one layer.

    Args:
        module: the layer's name in the base, such as "model.layers.0.self_attn.q_proj".
        layer: its number.
        projection: "q_proj" and so on.
        a: (r, in).
        b: (out, r).
    """

    module: str
    layer: int
    projection: str
    a: torch.Tensor
    b: torch.Tensor

    @property
    def rank(self) -> int:
        """Inner width."""
        return int(self.a.shape[0])


class Checked(NamedTuple):
    """An adapter that was read and fits: the base's shape, and all pairs."""

    shape: ModelShape
    pairs: list[Pair]


def export_gguf_adapter(selection: Selection, output: Path, outtype: OutType = "f32") -> Path:
    """Write adapter.gguf, and beside it the prompt format and an account; loads no base.

    Args:
        selection: base and adapter; of the base its config is read at most.
        output: a new or empty folder.
        outtype: "f32" keeps every bit, "f16" halves the file.

    Returns:
        The adapter's path.

    Raises:
        AdapterError: it holds what GGUF cannot, or belongs to another base.
        TheobotError: the folder is taken, gguf is not installed, another format.
    """
    refuse_taken(output)
    checked = check_adapter(selection, outtype)
    with new_folder(output) as folder:
        facts = write_adapter(folder / ADAPTER_FILE, selection, checked, outtype)
        if facts["prompt_format"] == "seed":
            write_seed_template(folder)
        write_account(folder, {"kind": "gguf adapter", "outtype": outtype, **facts})
    return output / ADAPTER_FILE


def check_adapter(selection: Selection, outtype: OutType) -> Checked:
    """Read an adapter and see that GGUF can hold it and that it fits its base.

    Raises:
        AdapterError: it cannot, or does not.
        SettingsError: gguf is not installed, or the format is one of whole models.
    """
    if outtype not in _FORMATS:
        raise SettingsError(
            f"--outtype {outtype} is for a whole model; an adapter is {' or '.join(_FORMATS)}."
        )
    require_gguf()
    info = adapter_of(selection)
    refuse_unfit(info)
    shape = shape_of(selection.model)
    if shape.family != FAMILY:
        raise AdapterError(
            f"{selection.model}: is a {shape.family}; GGUF files are written for Qwen2 (Qwen2.5) "
            "alone. Use llama.cpp's convert_lora_to_gguf.py."
        )
    pairs = read_pairs(info)
    _refuse_other_base(selection.model, shape, pairs, info)
    return Checked(shape, pairs)


def refuse_unfit(info: AdapterInfo) -> None:
    """See from its config that an adapter is one that GGUF can hold.

    Raises:
        AdapterError: with all reasons.
    """
    config = info.config
    whole, bias = config.get("modules_to_save"), config.get("bias", "none")
    reasons = {
        "DoRA (use_dora) also learns the lengths of the weights": config.get("use_dora"),
        f"it trained whole modules (modules_to_save: {whole})": whole,
        f"it trained biases (bias: {bias})": bias != "none",
        "its matrices are transposed (fan_in_fan_out)": config.get("fan_in_fan_out"),
        "it has no effect (lora_alpha: 0)": config.get("lora_alpha") == 0,
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise AdapterError(
            f"{info.path / CONFIG}: a GGUF adapter holds plain LoRA alone, but {'; '.join(found)}. "
            "Write the whole model instead: theobot export gguf --merged."
        )


def read_pairs(info: AdapterInfo) -> list[Pair]:
    """The matrices of all layers, in the order of the layers.

    Raises:
        AdapterError: damaged, or with parts that are no linear layer of a block.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = info.path / WEIGHTS
    try:
        weights = load_file(str(file))
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{file}: damaged ({error}).") from None
    found: dict[str, dict[str, Any]] = {}
    odd = []
    for key, value in weights.items():
        match = _KEY.fullmatch(key)
        if match is None:
            odd.append(key)
            continue
        module, layer, projection, side = match.groups()
        part = found.setdefault(module, {"layer": int(layer), "projection": projection})
        part[side.lower()] = value
    odd += [module for module, part in found.items() if "a" not in part or "b" not in part]
    if odd or not found:
        shown = ", ".join(sorted(odd)[:3]) or "no layers"
        raise AdapterError(
            f"{file}: a GGUF adapter holds LoRA on the linear layers of the blocks alone, but "
            f"found {shown}. Write the whole model instead: theobot export gguf --merged."
        )
    pairs = [Pair(module, **part) for module, part in found.items()]
    return sorted(pairs, key=lambda pair: (pair.layer, pair.module))


def _refuse_other_base(model: str, shape: ModelShape, pairs: list[Pair], info: AdapterInfo) -> None:
    """Hold the matrices against the base's widths."""
    for pair in pairs:
        wanted = shape.linears.get(pair.projection)
        have = (pair.a.shape[1], pair.b.shape[0])
        if wanted != have or pair.layer >= shape.layers or pair.b.shape[1] != pair.rank:
            named = info.base_model or "its own base"
            raise AdapterError(
                f"{info.path}: made for another base: {pair.module} maps width {have[0]} to "
                f"{have[1]}, but {model} has {shape.layers} layers with "
                f"{wanted or 'no such part'}. Give the base it was trained on with --model "
                f"({named})."
            )


def scale_of(config: dict[str, Any], pair: Pair) -> float:
    """What PEFT multiplies B A with: alpha / r, or alpha / sqrt(r) with rsLoRA."""
    from peft.utils.other import get_pattern_key

    patterns = config.get("alpha_pattern") or {}
    key = get_pattern_key(list(patterns), pair.module)
    alpha = float(patterns.get(key, config.get("lora_alpha", 8)))
    return alpha / (math.sqrt(pair.rank) if config.get("use_rslora") else pair.rank)


def common_alpha(config: dict[str, Any], pairs: list[Pair]) -> float:
    """The alpha with which llama.cpp's alpha / r is the right scale for most layers."""
    counts = Counter(scale_of(config, pair) * pair.rank for pair in pairs)
    return counts.most_common(1)[0][0]


def write_adapter(
    path: Path, selection: Selection, checked: Checked, outtype: OutType
) -> dict[str, Any]:
    """Write the file; the same adapter gives the same bytes.

    Args:
        path: the file.
        selection: base and adapter.
        checked: from `check_adapter`.
        outtype: format of the matrices.

    Returns:
        Where it came from, for the account.
    """
    import gguf

    config, facts = adapter_of(selection).config, origin(selection)
    alpha = common_alpha(config, checked.pairs)
    name_of = names(checked.shape.layers)
    tensors = []
    for pair in checked.pairs:
        name = name_of(f"{pair.module}.weight")
        rest = scale_of(config, pair) * pair.rank / alpha
        tensors.append(Tensor(f"{name}.lora_a", pair.a))
        tensors.append(Tensor(f"{name}.lora_b", pair.b if rest == 1 else pair.b.double() * rest))
    writer = new_writer(path, gguf.GGUFType.ADAPTER, f"Theobot adapter for {facts['base_model']}")
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    add_origin(writer, facts)
    write_tensors(writer, tensors, outtype)
    return facts
