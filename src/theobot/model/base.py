"""Find and load the base model and its tokenizer: safetensors only, never remote code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from theobot.errors import ModelError
from theobot.nano import nano_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from theobot.model.device import Compute

NANO = "nano"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


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
    if _HUB_ID.fullmatch(model) and not model.startswith("."):
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
            f"{folder}: is no model folder: {' and '.join(missing)} not found. "
            "`theobot fetch` brings a whole one."
        )
    if not any(folder.glob("*.safetensors")):
        found = "only .bin weights" if any(folder.glob("*.bin")) else "no weights"
        raise ModelError(
            f"{folder}: holds {found}; safetensors were expected (.bin files can run code when "
            "they are opened and are never loaded)."
        )


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """The base model's tokenizer.

    Raises:
        ModelError: it cannot be loaded, or knows no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    where = resolve_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(_load_problem(model, error)) from None
    if tokenizer.eos_token_id is None:
        raise ModelError(f'model "{model}": its tokenizer has no end-of-sequence token.')
    return tokenizer


def load_base(model: str, compute: Compute) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base model onto the chosen device, frozen nowhere yet, in eval mode.

    Args:
        model: a Hub id, a local folder, or "nano".
        compute: device and number format; the whole model goes there, nothing is offloaded.

    Raises:
        ModelError: not found, no safetensors, broken files, or not a causal language model.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    where = resolve_model(model)
    tokenizer = load_tokenizer(model)
    logging.disable_progress_bar()
    try:
        base = AutoModelForCausalLM.from_pretrained(
            where,
            dtype=compute.dtype,
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(_load_problem(model, error)) from None
    torch.nn.Module.to(base, compute.device)
    return base.eval(), tokenizer


def _load_problem(model: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    short = reason if len(reason) <= 200 else f"{reason[:200]}..."
    return (
        f'model "{model}": cannot be loaded: {short} Check the spelling and the network; '
        f"`theobot fetch {model}` brings it for machines that are offline later."
    )
