"""Where an export goes: a new folder, room for it on disk and in memory, and whence it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from theobot import __version__
from theobot.data.prompt import SEED_CHAT_TEMPLATE
from theobot.errors import ModelError, RunError
from theobot.model.adapter import AdapterInfo, Selection
from theobot.model.base import NANO, load_config, public_name
from theobot.model.device import Compute, choose_compute, describe, free_memory, has_bf16
from theobot.model.fetch import refuse_small_disk
from theobot.run_folder import explain_write_errors, write_json, write_text
from theobot.training.checkpoints import publish, staged

ACCOUNT = "export.json"
"""What was exported, from what, and how it was checked."""
TEMPLATE_FILE = "chat_template.jinja"

GB = 1e9
_SLACK = 0.2 * GB
"""Beside weights: tokenizer, logits, the program itself."""


class Needs(NamedTuple):
    """Bytes that an export writes, and bytes of memory it takes at its highest point."""

    disk: float
    memory: float

    def sentence(self, device: torch.device, output: Path) -> str:
        """What a person is told before it starts."""
        return (
            f"This writes about {self.disk / GB:.2g} GB to {output} and takes about "
            f"{self.memory / GB:.2g} GB of memory on {describe(device)}."
        )


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `output` when the block ends without an error.

    Args:
        output: must not exist yet, or be empty.

    Raises:
        RunError: it holds something, or cannot be written.
    """
    refuse_taken(output)
    target = output.expanduser().absolute()
    with (
        explain_write_errors(output),
        staged(target.with_name(f".{target.name}.writing")) as folder,
    ):
        yield folder
        publish(folder, target)


def refuse_taken(output: Path) -> None:
    """See that an export may go there, before any work is done.

    Raises:
        RunError: the folder holds something, or is a file.
    """
    target = output.expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(
            f"{output}: is there already and not empty. Choose a new folder with -o; nothing was "
            "overwritten."
        )


def adapter_of(selection: Selection) -> AdapterInfo:
    """The adapter to export; there always is one where no base was asked for alone."""
    assert selection.adapter is not None, "select gives an adapter unless the base alone is asked"
    return selection.adapter


def stored_format(model: str) -> torch.dtype:
    """The number format in which the base's own values fit: bfloat16, else float32."""
    return torch.bfloat16 if load_config(model).dtype == torch.bfloat16 else torch.float32


def exact_compute(model: str, device: str) -> Compute:
    """The device, and the number format that keeps the base's own values.

    A GPU without bfloat16 takes float32, which holds each of its values, in twice the memory.
    """
    chosen, stored = choose_compute(device).device, stored_format(model)
    if stored == torch.bfloat16 and not has_bf16(chosen):
        return Compute(chosen, torch.float32, "it has no bfloat16, and float32 keeps every value")
    return Compute(chosen, stored, "the format that the base is stored in")


def parameters_of(model: str) -> list[int]:
    """Sizes of a base model's parameters, counted on a skeleton of it without weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(load_config(model), trust_remote_code=False)
    return [parameter.numel() for parameter in skeleton.parameters()]


def needs_of(model: str, *, disk_bytes: float, memory_bytes: float) -> Needs:
    """Room for a whole model, and for its largest part once more in float32.

    Args:
        model: the base.
        disk_bytes: of one parameter in the file.
        memory_bytes: of one parameter while it is merged.
    """
    sizes = parameters_of(model)
    memory = sum(sizes) * memory_bytes + 4 * max(sizes) + _SLACK
    return Needs(sum(sizes) * disk_bytes + _SLACK / 10, memory)


def refuse_small_machine(needs: Needs, device: torch.device, output: Path) -> None:
    """See that there is room.

    Raises:
        ModelError: too little disk or memory.
    """
    refuse_small_disk(output.expanduser(), needs.disk)
    free = free_memory(device)
    if free < needs.memory:
        raise ModelError(
            f"{needs.memory / GB:.2g} GB of memory are needed on {describe(device)}, but "
            f"{free / GB:.2g} GB are free. Close other programs, or export where there is more "
            "(another device or machine): the adapter folder and the base are all it takes."
        )


def origin(selection: Selection) -> dict[str, Any]:
    """Base, its revision, the adapter's hash and versions: what is needed to do it again."""
    info = adapter_of(selection)
    return {
        "base_model": public_name(selection.model),
        "base_revision": revision_of(selection.model),
        "adapter_sha256": info.sha256(),
        "prompt_format": info.prompt_format,
        "versions": {"theobot": __version__}
        | {name: version(name) for name in ("torch", "transformers", "peft")},
    }


def revision_of(model: str) -> str | None:
    """The Hub's commit of a base in the cache; None for nano and folders."""
    from huggingface_hub import try_to_load_from_cache

    if model == NANO or Path(model).expanduser().is_dir():
        return None
    found = try_to_load_from_cache(model, "config.json")
    return Path(found).parent.name if isinstance(found, str) else None


def write_account(folder: Path, account: dict[str, Any]) -> None:
    """Write export.json."""
    write_json(folder / ACCOUNT, account)


def write_seed_template(folder: Path) -> None:
    """Write the seed's prompt format as a chat template, for servers that take such a file."""
    write_text(folder / TEMPLATE_FILE, SEED_CHAT_TEMPLATE)
