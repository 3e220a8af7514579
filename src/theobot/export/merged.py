"""Base and adapter as one model in safetensors: for all that reads transformers' models."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from theobot.data.prompt import SEED_CHAT_TEMPLATE
from theobot.export import fidelity
from theobot.export.fidelity import Fidelity, Observed
from theobot.export.folder import (
    adapter_of,
    exact_compute,
    needs_of,
    new_folder,
    origin,
    refuse_small_machine,
    refuse_taken,
    write_account,
)
from theobot.export.merging import merge
from theobot.generation.decoding import stop_ids
from theobot.generation.local import LocalGenerator
from theobot.model.adapter import NOTES, Selection, load_adapter
from theobot.model.base import load_base
from theobot.model.card import figures_of, merged_card
from theobot.model.device import Compute, has_bf16
from theobot.run_folder import read_json, write_json, write_text
from theobot.training.checkpoints import as_write_errors

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHARD = "5GB"


class MergedExport(NamedTuple):
    """Where the model lies, and how like base + adapter it is."""

    folder: Path
    fidelity: Fidelity


def export_merged(
    selection: Selection,
    output: Path,
    *,
    device: str = "auto",
    on_note: Callable[[str], None] = lambda text: None,
) -> MergedExport:
    """Merge in float32, save in bfloat16, load what was saved and compare it.

    Its generation settings are neutral: greedy, no repetition penalty, Theobot's stop ids. For an
    adapter of the seed's prompt format that format becomes the chat template, so that chat
    endpoints ask in it.

    Args:
        selection: base and adapter.
        output: a new or empty folder.
        device: where to merge and compare.
        on_note: receives sentences for the person.

    Raises:
        TheobotError: no room, a damaged adapter, or a result that is not base + adapter.
    """
    refuse_taken(output)
    compute = exact_compute(selection.model, device)
    needs = needs_of(selection.model, disk_bytes=2, memory_bytes=compute.dtype.itemsize)
    on_note(compute.sentence())
    on_note(needs.sentence(compute.device, output))
    refuse_small_machine(needs, compute.device, output)
    with new_folder(output) as folder:
        before = _save_merged(selection, compute, folder)
        gc.collect()
        on_note("Loading what was saved, to compare it with base + adapter.")
        found = fidelity.compare(before, _observe_saved(selection, compute, folder))
        fidelity.refuse_other_model(found)
        facts = origin(selection)
        write_json(folder / NOTES, facts)
        write_text(folder / "README.md", _card(selection, facts, found))
        write_account(folder, {"kind": "merged", **facts, "fidelity": found._asdict()})
    return MergedExport(output, found)


def _save_merged(selection: Selection, compute: Compute, folder: Path) -> Observed:
    """Write model and tokenizer; gives what base + adapter said before they were merged."""
    info = adapter_of(selection)
    base, tokenizer = load_base(selection.model, compute)
    model = load_adapter(base, info)
    generator = LocalGenerator(model, tokenizer, info, selection.model)
    before = fidelity.observe(generator, info.prompt_format, fidelity.sample())
    plain = merge(model, torch.bfloat16)
    plain.generation_config = neutral_generation(plain, tokenizer)
    if info.prompt_format == "seed":
        tokenizer.chat_template = SEED_CHAT_TEMPLATE
    with as_write_errors(folder):
        plain.save_pretrained(str(folder), max_shard_size=SHARD)
        tokenizer.save_pretrained(str(folder))
    write_older_names(folder)
    let_others_read(folder)
    return before


def neutral_generation(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Greedy and without penalties, as Theobot decodes (Qwen2.5 ships sampling and a penalty)."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        repetition_penalty=1.0,
        eos_token_id=sorted(stop_ids(model, tokenizer)),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )


def write_older_names(folder: Path) -> None:
    """Let programs that know the names before transformers 5 read config and tokenizer as well.

    mlx-lm reads `rope_theta`, and takes a default where it is missing: the model then runs, and
    answers nonsense. transformers 4 cannot read `extra_special_tokens` as a list; version 5 reads
    the older name too.
    """
    config = read_json(folder / "config.json")
    rope = config.get("rope_parameters") or {}
    older = {"rope_theta": rope.get("rope_theta"), "torch_dtype": config.get("dtype")}
    write_json(folder / "config.json", config | {k: v for k, v in older.items() if v is not None})
    tokens = read_json(folder / "tokenizer_config.json")
    if isinstance(tokens.get("extra_special_tokens"), list):
        tokens["additional_special_tokens"] = tokens.pop("extra_special_tokens")
        write_json(folder / "tokenizer_config.json", tokens)


def let_others_read(folder: Path) -> None:
    """Give the weights, which are written for their owner alone, the other files' permissions."""
    mode = (folder / "config.json").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


def _observe_saved(selection: Selection, compute: Compute, folder: Path) -> Observed:
    own = torch.bfloat16 if has_bf16(compute.device) else torch.float32
    saved, tokenizer = load_base(str(folder), compute._replace(dtype=own))
    generator = LocalGenerator(saved, tokenizer, None, "merged")
    return fidelity.observe(generator, adapter_of(selection).prompt_format, fidelity.sample())


def _card(selection: Selection, facts: dict[str, Any], found: Fidelity) -> str:
    own = adapter_of(selection).path / "README.md"
    figures = figures_of(own.read_text(encoding="utf-8")) if own.is_file() else None
    return merged_card(selection.model, facts, found.sentence(), figures)
