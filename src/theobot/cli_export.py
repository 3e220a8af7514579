"""The commands that write formats of other programs: `theobot export ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from theobot import terminal
from theobot.cli_models import Flag, ModelSelectors, Selectors

if TYPE_CHECKING:
    from theobot.model.adapter import Selection

export = App(
    name="export",
    help="Write the adapter in formats that laptops and servers use (docs/exports.md).",
)

Output = Annotated[Path, Parameter(name=["-o", "--output"])]


def _select(selectors: ModelSelectors) -> Selection:
    from theobot.model.adapter import select

    selection = select(selectors.run, selectors.adapter, selectors.model)
    terminal.note(selection.note)
    return selection


@export.command
def merged(
    *, output: Output, selectors: Annotated[Selectors, Parameter(name="*")] = Selectors()
) -> int:
    """Write base and adapter as one model (safetensors, bfloat16), and compare it with the two.

    For vLLM, transformers, mlx-lm. Says first how much disk and memory it takes.

    Args:
        output: A new or empty folder.
    """
    from theobot.export.merged import export_merged

    selection = _select(selectors)
    done = export_merged(selection, output, device=selectors.device, on_note=terminal.note)
    terminal.note(done.fidelity.sentence())
    terminal.line(str(done.folder))
    return 0


@export.command
def gguf(
    *,
    output: Output,
    selectors: Annotated[ModelSelectors, Parameter(name="*")] = ModelSelectors(),
    merged: Flag = False,
    outtype: Literal["f32", "f16", "bf16", "q8_0"] | None = None,
) -> int:
    """Write the adapter as GGUF for llama.cpp (llama-server --lora), or the whole model.

    The adapter alone needs neither the base's weights nor a GPU.

    Args:
        output: A new or empty folder; gets adapter.gguf or model.gguf.
        merged: Write the whole model with the adapter merged into it.
        outtype: Number format; by default f32 for an adapter, q8_0 for a model.
    """
    from theobot.export.gguf_adapter import export_gguf_adapter
    from theobot.export.gguf_model import export_gguf_model

    selection = _select(selectors)
    if merged:
        done = export_gguf_model(selection, output, outtype or "q8_0", on_note=terminal.note)
    else:
        done = export_gguf_adapter(selection, output, outtype or "f32")
    terminal.line(str(done))
    return 0


@export.command
def ollama(
    *,
    output: Output,
    selectors: Annotated[ModelSelectors, Parameter(name="*")] = ModelSelectors(),
    from_name: Annotated[str | None, Parameter(name="--from")] = None,
    outtype: Literal["f32", "f16", "bf16", "q8_0"] | None = None,
) -> int:
    """Write a folder for `ollama create`: a Modelfile and the whole model as GGUF.

    Args:
        output: A new or empty folder.
        from_name: Put the adapter beside a model of Ollama's library instead, such as
            qwen2.5:7b-instruct-q8_0; it must be the adapter's own base. Ollama up to 0.34.0 only.
        outtype: Number format; by default q8_0 for a model, f32 for an adapter.
    """
    from theobot.export.ollama import export_ollama

    done = export_ollama(
        _select(selectors), output, from_name=from_name, outtype=outtype, on_note=terminal.note
    )
    terminal.note(f"Next: cd {done.parent} && ollama create theobot -f {done.name}")
    terminal.line(str(done))
    return 0
