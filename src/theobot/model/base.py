"""Find and load the base model and its tokenizer: safetensors only, never remote code."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theobot.errors import ModelError, SettingsError
from theobot.model import collector
from theobot.nano import nano_folder

if TYPE_CHECKING:
    from transformers import (
        BitsAndBytesConfig,
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )

    from theobot.model.device import Compute

NANO = "nano"

NO_BITSANDBYTES = (
    "load_in_4bit = true needs the package bitsandbytes, which is not installed here. "
    "Type: pip install bitsandbytes (or leave out load_in_4bit)."
)
"""Told before a model is loaded where that can be seen, else when it is."""

_FOUR_BIT_ERROR = 0.25
"""Relative error above which a 4-bit product is wrong and not just rounded (about 0.1 is usual)."""

_AGAIN = "Copy or fetch it again: `theobot fetch` brings a whole one."

_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
_SHARD = re.compile(r"[\w.-]+\.safetensors")
_DATA_FILES = {".jsonl", ".json", ".csv", ".parquet"}


def is_hub_id(name: str) -> bool:
    """Whether a name is that of something on the Hub ("owner/name"), and not of what lies here."""
    path = Path(name).expanduser()
    return (
        bool(_HUB_ID.fullmatch(name))
        and path.suffix not in _DATA_FILES
        and not os.path.exists(path)
    )


def public_name(model: str) -> str:
    """A base's name for others: a Hub id or "nano"; of a folder here the last part alone."""
    folder = Path(model).expanduser()
    return folder.name if folder.is_dir() else model


def resolve_model(model: str) -> str:
    """What transformers is to load: a folder that was checked, or a Hub id.

    Raises:
        ModelError: a folder that is no model, or neither a folder nor a Hub id.
    """
    if model == NANO:
        try:
            return str(nano_folder())
        except FileNotFoundError as error:
            raise ModelError(f"{error}. Install Theobot again.") from None
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        _check_folder(folder)
        return str(folder)
    if is_hub_id(model):
        return model
    raise ModelError(
        f'model "{model}": no such folder. Type a Hub id such as Qwen/Qwen2.5-7B-Instruct, '
        'a folder that holds config.json and *.safetensors, or "nano".'
    )


def _check_folder(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise ModelError(f"{folder}: is an adapter, not a base model. Give it as --adapter.")
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder}: is no model folder: {' and '.join(missing)} not found. {_AGAIN}"
        )
    if not any(folder.glob("*.safetensors")):
        found = "only .bin weights" if any(folder.glob("*.bin")) else "no weights"
        raise ModelError(
            f"{folder}: holds {found}; safetensors were expected (.bin files can run code when "
            "they are opened and are never loaded)."
        )


def load_tokenizer(model: str, *, local_only: bool = False) -> PreTrainedTokenizerBase:
    """The base model's tokenizer.

    Args:
        model: a Hub id, a local folder, or "nano".
        local_only: do not ask the network.

    Raises:
        ModelError: it cannot be loaded, or knows no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    where = resolve_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            where, trust_remote_code=False, local_files_only=local_only
        )
    except Exception as error:  # a damaged file makes tokenizers and transformers raise any kind
        raise ModelError(_load_problem(model, error)) from None
    if tokenizer.eos_token_id is None:
        raise ModelError(f'model "{model}": its tokenizer has no end-of-sequence token.')
    return tokenizer


def load_config(model: str) -> PretrainedConfig:
    """The base model's config, without its weights.

    Raises:
        ModelError: it cannot be had.
    """
    from transformers import AutoConfig

    where = resolve_model(model)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(where, trust_remote_code=False)
    except Exception as error:  # a damaged file makes transformers raise any kind
        raise ModelError(_load_problem(model, error)) from None
    return config


def load_base(
    model: str, compute: Compute, *, load_in_4bit: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base model onto the chosen device, frozen nowhere yet, in eval mode.

    Args:
        model: a Hub id, a local folder, or "nano".
        compute: device and number format; the whole model goes there, nothing is offloaded.
        load_in_4bit: hold the linear layers in 4 bits, all but the LM head. Norms, embeddings and
            head stay in the number format: PEFT's `prepare_model_for_kbit_training` would make
            them float32, which costs memory and the fused head.

    Raises:
        ModelError: not found, no safetensors, broken files, weights that lie elsewhere, are missing
            or of another size than config.json says, or not a causal language model.
        RuntimeError: the device ran out of memory.
        SettingsError: 4 bits were asked for, and this machine cannot do it.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from theobot.model.device import is_out_of_memory

    collector.resume()
    where = resolve_model(model)
    tokenizer = load_tokenizer(model)
    config = load_config(model)
    four_bits = four_bit_config(compute) if load_in_4bit else None
    logging.disable_progress_bar()
    try:
        _refuse_other_files(model, config, where)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            where,
            config=config,
            output_loading_info=True,
            # Told below, by name; transformers would only say that some do.
            ignore_mismatched_sizes=True,
            dtype=compute.dtype,
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=False,
            quantization_config=four_bits,
            # Quantised on the way in: the device never holds the whole model in 16 bits.
            device_map={"": compute.device} if load_in_4bit else None,
        )
    except Exception as error:  # a damaged file makes transformers and torch raise any kind
        # What a device says is no damaged file; the doctor knows more of it.
        of_device = is_out_of_memory(error) or (load_in_4bit and isinstance(error, RuntimeError))
        if of_device or isinstance(error, ModelError):
            raise
        raise ModelError(_load_problem(model, error)) from None
    base, found = loaded
    _refuse_random_weights(model, found)
    torch.nn.Module.to(base, compute.device)
    if load_in_4bit:
        _keep_trainable(base)
    return base.eval(), tokenizer


def _refuse_other_files(model: str, config: PretrainedConfig, where: str) -> None:
    """See that config and index name safetensors files of the model's own folder alone.

    Transformers opens whatever they name: files elsewhere on the disk, and .bin files by pickle,
    `use_safetensors` or not.
    """
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME
    from transformers.utils.hub import cached_file

    named = getattr(config, "transformers_weights", None)
    if named is not None:
        raise ModelError(
            f'model "{model}": its config.json sets transformers_weights to {named!r:.80}; weights '
            "are only read from model.safetensors or by its index. Remove that line."
        )
    index = cached_file(where, SAFE_WEIGHTS_INDEX_NAME, _raise_exceptions_for_missing_entries=False)
    if index is None:
        return
    files: set[object] = set()
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
        listed = json.loads(Path(index).read_bytes())
        listed["metadata"].keys()  # transformers needs it to be an object
        files = set(listed["weight_map"].values())
    if not files:
        raise ModelError(f'model "{model}": {SAFE_WEIGHTS_INDEX_NAME} is damaged. {_AGAIN}')
    for file in files:
        if not isinstance(file, str) or not _SHARD.fullmatch(file):
            raise ModelError(
                f'model "{model}": {SAFE_WEIGHTS_INDEX_NAME} names the file {file!r:.80}; '
                "*.safetensors in the same folder were expected, and nothing else is opened."
            )


def _refuse_random_weights(model: str, found: Mapping[str, Any]) -> None:
    """Transformers fills what a checkpoint lacks with random numbers, with a mere warning."""
    missing = sorted(found["missing_keys"])
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    problems = [f"{missing[0]}{more} not found among its weights"] if missing else []
    for name, have, wanted in sorted(found["mismatched_keys"])[:1]:
        problems.append(f"{name} is {tuple(have)}, but config.json asks for {tuple(wanted)}")
    if problems:
        raise ModelError(
            f'model "{model}": cannot be used: {"; ".join(problems)}. Its weights and its '
            f"config.json are not of one model, or a part is missing. {_AGAIN}"
        )


def four_bit_config(compute: Compute) -> BitsAndBytesConfig:
    """NF4 with double quantisation, computing in the chosen format (QLoRA, arXiv:2305.14314).

    Args:
        compute: device and number format.

    Raises:
        SettingsError: bitsandbytes is missing, or fails a small product on this device.
    """
    from transformers import BitsAndBytesConfig

    try:
        error = _four_bit_error(compute)
    except ImportError:
        raise SettingsError(NO_BITSANDBYTES) from None
    except Exception as problem:
        reason = " ".join(str(problem).split())[:200]
        raise SettingsError(
            f"load_in_4bit = true: bitsandbytes does not work on {compute.device} here "
            f"({type(problem).__name__}: {reason}). Leave out load_in_4bit, or choose another "
            "--device."
        ) from None
    if not error < _FOUR_BIT_ERROR:
        raise SettingsError(
            f"load_in_4bit = true: bitsandbytes computes wrongly on {compute.device} here (a "
            f"product is off by {error:.0%}). Leave out load_in_4bit, or choose another --device."
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute.dtype,
    )


def _keep_trainable(base: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing the weights for inference.

    On a CPU with AVX512-BF16 it does so at the first pass in eval mode, such as a dev loss, and for
    good; from then on no gradient goes through the layer, silently.
    """
    module: Any
    for module in base.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _four_bit_error(compute: Compute) -> float:
    """Relative error of a small 4-bit product, forward and backward, on this device."""
    import torch
    from bitsandbytes.nn import Linear4bit

    random = torch.Generator().manual_seed(0)
    weight, rows = torch.randn(128, 256, generator=random), torch.randn(8, 256, generator=random)
    layer = Linear4bit(256, 128, bias=False, compute_dtype=compute.dtype, quant_type="nf4")
    layer.load_state_dict({"weight": weight})
    layer.to(compute.device)
    x = rows.to(compute.device, compute.dtype).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None, "the input asks for a gradient"
    wanted = (rows @ weight.T, weight.sum(dim=0).expand_as(rows))
    found = (y.detach(), x.grad)
    return max(
        float((a.float().cpu() - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)
    )


def _load_problem(model: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    # Those of other kinds may say no more than a name ("'x'"); tokenizers raises plain ones.
    if not isinstance(error, OSError | ValueError) and type(error) is not Exception:
        reason = f"{type(error).__name__}: {reason}"
    short = reason if len(reason) <= 200 else f"{reason[:200]}..."
    if model == NANO or Path(model).expanduser().is_dir():
        return f'model "{model}": cannot be loaded: {short} A file is damaged or missing. {_AGAIN}'
    return (
        f'model "{model}": cannot be loaded: {short} Check the spelling and the network; '
        f"`theobot fetch {model}` brings it, or what of it is missing."
    )
