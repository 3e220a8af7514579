r"""A folder for `ollama create`: a Modelfile, and the model or the adapter as GGUF beside it.

Ollama takes a whole model from GGUF in all versions. It took adapters (ADAPTER) up to version
0.34.0 only, and then for a base from its own library; that base must be the one the adapter was
trained on. Its templates are Go's text/template; those written here give the very prompts of
`render_prompt`. A Modelfile knows no escapes: a stop text that begins with a new line stands there
as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from theobot.data.prompt import NEW_TURN, Turn, render_prompt
from theobot.errors import ModelError, SettingsError
from theobot.export.folder import adapter_of, new_folder, refuse_taken, write_account
from theobot.export.gguf_adapter import ADAPTER_FILE, check_adapter, write_adapter
from theobot.export.gguf_file import OutType
from theobot.export.gguf_model import MODEL_FILE, check_gguf_model, write_merged
from theobot.model.adapter import Selection
from theobot.model.base import load_config, load_tokenizer
from theobot.run_folder import write_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MODELFILE = "Modelfile"
LONGEST_ANSWER = 768
"""Tokens: the benchmark's cap for the longest answers."""
MOST_CONTEXT = 4096
"""Tokens of prompt and answer; a longer window takes memory that no question here needs."""

_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)*(?::[\w.-]+)?")
_SYSTEM = re.compile(r'<\|im_start\|>system\n[^{}"]*<\|im_end\|>\n')

QWEN_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
"""Ollama's Qwen2.5 sends it where no system message is given; the seed's format has none."""

SEED_TEMPLATE = (
    r"""{{- $system := "" }}
{{- range .Messages }}
{{- if eq .Role "system" }}
{{- if ne .Content "SYSTEM" }}{{ $system = printf "%s%s\n\n" $system .Content }}{{ end }}
{{- else if eq .Role "user" }}User: {{ $system }}{{ .Content }}
{{ $system = "" }}
{{- else }}Assistant: {{ .Content }}
{{ end }}
{{- end }}Assistant:"""
).replace("SYSTEM", QWEN_SYSTEM)

CHAT_TEMPLATE = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""


class Source(NamedTuple):
    """What the Modelfile stands on.

    Args:
        lines: the first of the Modelfile.
        window: most tokens that the base reads, as far as they matter here.
        write: writes the file beside it into a folder; gives where that came from.
    """

    lines: str
    window: int
    write: Callable[[Path], dict[str, Any]]


def export_ollama(
    selection: Selection,
    output: Path,
    *,
    from_name: str | None = None,
    outtype: OutType | None = None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write the folder.

    Args:
        selection: base and adapter.
        output: a new or empty folder.
        from_name: a model in Ollama's library that has the base's weights; the adapter is then
            put beside it (ADAPTER), which Ollama from 0.34.1 on refuses. Without it the whole
            model is written.
        outtype: format of the matrices; by default "q8_0" for a model, "f32" for an adapter.
        on_note: receives sentences for the person.

    Returns:
        The Modelfile's path.

    Raises:
        TheobotError: see the two GGUF exports.
    """
    refuse_taken(output)
    if from_name is None:
        source = _whole_model(selection, output, outtype or "q8_0", on_note)
    else:
        source = _adapter_beside(selection, from_name, outtype or "f32")
    text = modelfile(selection, source.lines, source.window)
    with new_folder(output) as folder:
        facts = source.write(folder)
        write_text(folder / MODELFILE, text)
        write_account(folder, {"kind": "ollama", "from": from_name, **facts})
    return output / MODELFILE


def _whole_model(
    selection: Selection, output: Path, outtype: OutType, on_note: Callable[[str], None]
) -> Source:
    needs = check_gguf_model(selection, output, outtype)
    on_note(needs.sentence(torch.device("cpu"), output))
    return Source(
        f"FROM ./{MODEL_FILE}",
        load_config(selection.model).max_position_embeddings,
        lambda folder: write_merged(selection, folder / MODEL_FILE, outtype),
    )


def _adapter_beside(selection: Selection, from_name: str, outtype: OutType) -> Source:
    if not _NAME.fullmatch(from_name):
        raise SettingsError(
            f"--from {from_name}: is no name of a model in Ollama, such as qwen2.5:7b-instruct."
        )
    checked = check_adapter(selection, outtype)
    return Source(
        f"FROM {from_name}\nADAPTER ./{ADAPTER_FILE}",
        MOST_CONTEXT,  # every Qwen2.5 reads more; so the base's config need not be here
        lambda folder: write_adapter(folder / ADAPTER_FILE, selection, checked, outtype),
    )


def modelfile(selection: Selection, source: str, window: int) -> str:
    """The Modelfile's text.

    Args:
        selection: base and adapter.
        source: its first lines (FROM, ADAPTER).
        window: most tokens that the base reads.

    Raises:
        ModelError: the base's chat template is of another kind than Qwen's.
    """
    if adapter_of(selection).prompt_format == "seed":
        template, stops = SEED_TEMPLATE, [NEW_TURN]
    else:
        template, stops = chat_template(load_tokenizer(selection.model)), ["<|im_end|>"]
    lines = [
        "# ollama create theobot -f Modelfile",
        source,
        f'TEMPLATE """{template}"""',
        *(f'PARAMETER stop "{stop}"' for stop in stops),
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        f"PARAMETER num_predict {LONGEST_ANSWER}",
        f"PARAMETER num_ctx {min(MOST_CONTEXT, window)}",
    ]
    return "\n".join(lines) + "\n"


def chat_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The chat format as a Go template, with the system message that the base's own adds, if any.

    Raises:
        ModelError: the base's template is not Qwen's (ChatML).
    """
    asked = "<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n"
    known = tokenizer.chat_template is not None
    rendered = render_prompt([Turn("user", "?")], "chat", tokenizer) if known else ""
    head, found, rest = rendered.partition(asked)
    if not found or rest or (head and not _SYSTEM.fullmatch(head)):
        raise ModelError(
            "The base's chat template is not Qwen's (<|im_start|>role ... <|im_end|>), and cannot "
            "be written as an Ollama template. Use `theobot export gguf --merged` with llama.cpp."
        )
    return (
        f"{{{{- if not .System }}}}{head}{{{{ end }}}}\n{CHAT_TEMPLATE}" if head else CHAT_TEMPLATE
    )
