"""Which model and adapter a command works with: its flags, and loading what they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from theobot import terminal
from theobot.errors import SettingsError
from theobot.model import ranks

if TYPE_CHECKING:
    from theobot.generation.generator import LocalGenerator

Flag = Annotated[bool, Parameter(negative=())]


@dataclass(frozen=True)
class Selectors:
    """Which model and adapter a command works with.

    Args:
        run: Run folder whose adapter and base are used; without it the newest finished run.
        adapter: Any standard PEFT LoRA folder, such as ~/Theobot/adapter.
        model: Base model: a Hub id, a local folder, or "nano"; by default the adapter's own.
        device: Device to compute on: "auto", "cpu", "cuda", "cuda:1" or "mps".
    """

    run: Path | None = None
    adapter: Path | None = None
    model: str | None = None
    device: str = "auto"


def load_generator(
    selectors: Selectors,
    *,
    base: bool = False,
    compare: bool = False,
    against: Path | None = None,
) -> LocalGenerator:
    """Choose, tell what was chosen (device first), load."""
    if base and compare:
        raise SettingsError("--base and --compare were both given; type one of them.")
    from theobot.model.adapter import read_adapter_info, select

    selection = select(selectors.run, selectors.adapter, selectors.model, base_only=base)
    from theobot.generation import generator
    from theobot.model.device import choose_compute

    own_gpu = ranks.local_rank() if ranks.world_size() > 1 else None
    compute = choose_compute(selectors.device, local_rank=own_gpu)
    terminal.note(compute.sentence())
    terminal.note(selection.note)
    if base:
        selection = selection._replace(adapter=None)
    other = None if against is None else read_adapter_info(adapter_folder(against))
    if other is not None:
        terminal.note(f"Compared with the adapter {other.path}, instead of with the base alone.")
    return generator.load_generator(selection, compute=compute, against=other)


def adapter_folder(path: Path) -> Path:
    """The adapter of a run folder, or the path itself."""
    from theobot.run_folder import RunFolder

    run = RunFolder(path.expanduser())
    return run.adapter if run.config.is_file() and run.adapter.is_dir() else path
