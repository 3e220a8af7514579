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
    from theobot.generation.generator import Arm
    from theobot.generation.local import LocalGenerator
    from theobot.generation.remote import RemoteGenerator

Flag = Annotated[bool, Parameter(negative=())]


@dataclass(frozen=True)
class ModelSelectors:
    """Which model and adapter a command works with.

    Args:
        run: Run folder whose adapter and base are used; without it the newest finished run.
        adapter: Any standard PEFT LoRA folder, such as ~/Theobot/adapter.
        model: Base model: a Hub id, a local folder, or "nano"; by default the adapter's own.
    """

    run: Path | None = None
    adapter: Path | None = None
    model: str | None = None


@dataclass(frozen=True)
class Selectors(ModelSelectors):
    """Which model and adapter a command works with, and where it computes.

    Args:
        device: Device to compute on: "auto", "cpu", "cuda", "cuda:1" or "mps".
    """

    device: str = "auto"


@dataclass(frozen=True)
class ServerSelectors:
    """Which server answers instead of this machine.

    Args:
        server: Address of an OpenAI-compatible server that has both models, such as
            http://127.0.0.1:8000; its token, if any, in the variable THEOBOT_SERVER_TOKEN.
        server_models: Names there of the base model and of Theobot, with a comma between them; by
            default base,theobot.
        server_concurrency: Most requests at the server at the same time; by default 8. More than
            128 have no effect, as questions are asked and written down 64 at a time.
    """

    server: str | None = None
    server_models: str | None = None
    server_concurrency: int | None = None


def connect_generator(
    url: str, servers: ServerSelectors, selectors: Selectors, *, same_prompt: bool = False
) -> RemoteGenerator:
    """Find both models at a server; the adapter is named for its prompt format and hash alone."""
    from theobot.generation import remote
    from theobot.generation.generator import ARMS
    from theobot.model.adapter import select

    for flag, typed in (("--device", selectors.device != "auto"), ("--model", selectors.model)):
        if typed:
            raise SettingsError(
                f"{flag} and --server were both given, but the server computes, with its own "
                f"models. Leave {flag} out; --server-models chooses among what the server has."
            )
    names = _model_names(servers.server_models)
    concurrency = servers.server_concurrency or remote.CONCURRENCY
    server = remote.Server(url, concurrency, on_wait=terminal.note)
    adapter = None
    if selectors.run is not None or selectors.adapter is not None:
        # The base is what the server has under the first name, whatever the adapter says.
        base = names["base"] if names else ARMS[0]
        selection = select(selectors.run, selectors.adapter, base)
        adapter = selection.adapter
        note = f"{selection.note} Taken for the one the server uses."
    else:
        note = "Which adapter the server uses is not known: neither --run nor --adapter names it."
        if not same_prompt:
            note += " Theobot is asked in the chat format."
    generator = remote.connect(
        server, names, adapter=adapter, same_prompt=same_prompt, on_note=terminal.note
    )
    terminal.note(note)
    return generator


def _model_names(typed: str | None) -> dict[Arm, str] | None:
    if typed is None:
        return None
    names = [name.strip() for name in typed.split(",")]
    if len(names) != 2 or not all(names):
        raise SettingsError(
            f'--server-models "{typed}": two names with a comma between them were expected, the '
            "base model's and Theobot's."
        )
    return {"base": names[0], "theobot": names[1]}


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
    from theobot.generation import local
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
    return local.load_generator(selection, compute=compute, against=other)


def adapter_folder(path: Path) -> Path:
    """The adapter of a run folder, or the path itself."""
    from theobot.run_folder import RunFolder

    run = RunFolder(path.expanduser())
    return run.adapter if run.config.is_file() and run.adapter.is_dir() else path
