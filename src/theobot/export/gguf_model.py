"""A whole Qwen2 model as one GGUF file: weights, tokenizer, chat template.

The tokenizer is a byte-level BPE with Qwen2's rule for splitting text; any other is refused. What
GGUF cannot say is left out: llama.cpp does not bring text to Unicode's form NFC as transformers
does, so that letters which were typed as letter + accent get other tokens there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from theobot.data.prompt import SEED_CHAT_TEMPLATE
from theobot.errors import ModelError
from theobot.export.folder import (
    Needs,
    adapter_of,
    needs_of,
    new_folder,
    origin,
    refuse_small_machine,
    refuse_taken,
    stored_format,
    write_account,
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
from theobot.export.merging import merge
from theobot.model.adapter import Selection, load_adapter
from theobot.model.base import load_base, load_config
from theobot.model.device import Compute

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

MODEL_FILE = "model.gguf"
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2's tokenizer splits text before it looks for tokens; llama.cpp calls it "qwen2"."""

_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}


def export_gguf_model(
    selection: Selection,
    output: Path,
    outtype: OutType = "q8_0",
    *,
    on_note: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write model.gguf, the base with the adapter merged into it, and an account.

    Merging needs no GPU and is done in main memory.

    Args:
        selection: base and adapter.
        output: a new or empty folder.
        outtype: "bf16" keeps the base's own values, "q8_0" halves that at next to no loss.
        on_note: receives sentences for the person.

    Returns:
        The model's path.

    Raises:
        TheobotError: no room, no Qwen2, another tokenizer, a damaged adapter.
    """
    needs = check_gguf_model(selection, output, outtype)
    on_note(needs.sentence(torch.device("cpu"), output))
    with new_folder(output) as folder:
        facts = write_merged(selection, folder / MODEL_FILE, outtype)
        write_account(folder, {"kind": "gguf model", "outtype": outtype, **facts})
    return output / MODEL_FILE


def check_gguf_model(selection: Selection, output: Path, outtype: OutType) -> Needs:
    """All that can be refused before weights are loaded.

    Raises:
        TheobotError: see `export_gguf_model`.
    """
    require_gguf()
    refuse_taken(output)
    refuse_other_family(load_config(selection.model), selection.model)
    kept = _merged_format(outtype).itemsize
    memory = max(kept, stored_format(selection.model).itemsize)
    needs = needs_of(selection.model, disk_bytes=_BYTES[outtype], memory_bytes=memory)
    refuse_small_machine(needs, torch.device("cpu"), output)
    return needs


def write_merged(selection: Selection, path: Path, outtype: OutType) -> dict[str, Any]:
    """Merge and write; gives where it came from."""
    info, facts = adapter_of(selection), origin(selection)
    exact = Compute(torch.device("cpu"), stored_format(selection.model), "merging needs no GPU")
    base, tokenizer = load_base(selection.model, exact)
    model = merge(load_adapter(base, info), _merged_format(outtype))
    if info.prompt_format == "seed":
        tokenizer.chat_template = SEED_CHAT_TEMPLATE
    write_model(path, model, tokenizer, outtype, facts)
    return facts


def _merged_format(outtype: OutType) -> torch.dtype:
    return torch.float32 if outtype in ("f32", "f16") else torch.bfloat16


def write_model(
    path: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    outtype: OutType,
    facts: dict[str, Any],
) -> None:
    """Write a model, merged or not; the same model gives the same bytes.

    Args:
        path: the file.
        model: a plain Qwen2.
        tokenizer: its tokenizer; its chat template goes into the file.
        outtype: format of the matrices.
        facts: from `origin`; "adapter_sha256" may be None.

    Raises:
        ModelError: another architecture, or another kind of tokenizer.
    """
    import gguf

    config: Any = model.config
    refuse_other_family(config, str(facts["base_model"]))
    kind = {
        "f32": gguf.LlamaFileType.ALL_F32,
        "f16": gguf.LlamaFileType.MOSTLY_F16,
        "bf16": gguf.LlamaFileType.MOSTLY_BF16,
        "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    }[outtype]
    name = f"Theobot on {facts['base_model']}" if facts["adapter_sha256"] else facts["base_model"]
    writer = new_writer(path, gguf.GGUFType.MODEL, name)
    add_origin(writer, facts)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_file_type(kind)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_sampling_temp(0.0)
    writer.add_sampling_penalty_repeat(1.0)
    _add_tokenizer(writer, tokenizer, model.config)
    write_tensors(writer, _tensors(model), outtype)


def _tensors(model: PreTrainedModel) -> list[Tensor]:
    config: Any = model.config
    name_of = names(config.num_hidden_layers)
    tensors = []
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        known = name_of(name)
        if known is None:
            raise ModelError(f"{name}: is no part of a Qwen2 that GGUF knows; nothing was written.")
        tensors.append(Tensor(known, value))
    return tensors


def refuse_other_family(config: PretrainedConfig, model: str) -> None:
    """See that a model is a Qwen2 without what the file would have to say besides.

    Raises:
        ModelError: it is not.
    """
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    for found, what in (
        (config.model_type != FAMILY, f"is a {config.model_type}"),
        (rope != "default", f"stretches its positions ({rope})"),
        (getattr(config, "use_sliding_window", False), "has a sliding window"),
    ):
        if found:
            raise ModelError(
                f"{model}: {what}; GGUF files are written for plain Qwen2 (Qwen2.5) alone. Type "
                "`theobot export merged`, then use llama.cpp's convert_hf_to_gguf.py."
            )


def _add_tokenizer(
    writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
) -> None:
    """Tokens, their kinds, merges, special ids and chat template; unused ids are filled up."""
    import gguf

    with tempfile.TemporaryDirectory() as place:
        tokenizer.save_pretrained(place)
        config.save_pretrained(place)
        saved = json.loads((Path(place) / "tokenizer.json").read_text(encoding="utf-8"))
        _refuse_other_tokenizer(saved)
        special = gguf.SpecialVocab(place, load_merges=True, n_vocab=config.vocab_size)
    added = {token["id"]: token for token in saved["added_tokens"]}
    known = {number: text for text, number in saved["model"]["vocab"].items()}
    tokens, kinds = [], []
    for number in range(config.vocab_size):
        token = added.get(number)
        if token is not None:
            tokens.append(token["content"])
            marked = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
            kinds.append(marked)
        else:
            tokens.append(known.get(number, f"[PAD{number}]"))
            kinds.append(gguf.TokenType.NORMAL if number in known else gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(FAMILY)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    special.add_special_token["bos"] = False
    special.add_to_gguf(writer, quiet=True)


def _refuse_other_tokenizer(saved: dict[str, Any]) -> None:
    """Hold tokenizer.json against Qwen2's: byte-level BPE, and its rule for splitting."""
    steps = saved["pre_tokenizer"] or {}
    patterns = [
        (step.get("pattern") or {}).get("Regex") for step in steps.get("pretokenizers", [steps])
    ]
    if saved["model"]["type"] != "BPE" or patterns != [SPLIT, None]:
        raise ModelError(
            "The tokenizer is not Qwen2's kind (byte-level BPE with its way of splitting text), so "
            "that llama.cpp would read other tokens. Type `theobot export merged`, then use "
            "llama.cpp's convert_hf_to_gguf.py."
        )
