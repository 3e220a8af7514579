"""Bring a base model to this machine: safetensors, tokenizer and configuration, nothing that runs.

A download that was cut off goes on where it stopped when the same command is typed again. Not
covered: choosing a revision, and repositories whose weights are in subfolders.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from theobot.errors import ModelError
from theobot.model.base import NANO, resolve_model

WANTED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "LICENSE*",
)
"""Patterns of the files that are fetched; weights that can run code (.bin, .pt) are not."""


class Download(NamedTuple):
    """What a repository holds that is wanted. `octets` is the size of all files together."""

    files: list[str]
    octets: int
    revision: str


def fetch_model(
    model: str,
    output: Path | None,
    *,
    on_note: Callable[[str], None],
    endpoint: str | None = None,
    show_bars: bool = False,
) -> Path:
    """Fetch a model from the Hub into a folder, or into the Hub's own cache.

    Args:
        model: a Hub id; "nano" and folders are here already and are only checked.
        output: the folder; None for the cache, where `--model ID` finds it.
        on_note: receives sentences for the person.
        endpoint: another Hub than the public one (by default the variable HF_ENDPOINT counts).
        show_bars: show the Hub client's own progress bars on stderr.

    Raises:
        ModelError: no such repository, no safetensors, no network, no room, no permission.
    """
    place = resolve_model(model)
    if model == NANO or Path(place).is_dir():
        on_note(f"{model} is on this machine already; nothing was fetched.")
        return Path(place)
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HFValidationError,
        HTTPError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    (enable_progress_bars if show_bars else disable_progress_bars)()
    target = Path(HF_HUB_CACHE) if output is None else output.expanduser()
    try:
        found = find_files(model, endpoint)
        refuse_small_disk(target, found.octets)
        on_note(f"Fetching {len(found.files)} files of {model}, {found.octets / 1e9:.1f} GB.")
        folder = snapshot_download(
            model,
            revision=found.revision,
            local_dir=None if output is None else target,
            allow_patterns=found.files,
            endpoint=endpoint,
        )
    except HFValidationError:
        raise ModelError(
            f'"{model}" is no Hub id. Check the spelling, such as Qwen/Qwen2.5-7B-Instruct; a '
            "full stop or hyphen at an end does not belong to it."
        ) from None
    except (OSError, HTTPError) as error:
        raise ModelError(_problem(model, target, error)) from None
    return Path(folder)


def find_files(model: str, endpoint: str | None = None) -> Download:
    """Ask the Hub what a repository holds.

    Raises:
        ModelError: it holds no safetensors.
    """
    from huggingface_hub import HfApi

    info = HfApi(endpoint=endpoint).model_info(model, files_metadata=True)
    names = {item.rfilename: item.size or 0 for item in info.siblings or []}
    wanted = [name for name in names if any(fnmatch(name, pattern) for pattern in WANTED)]
    files = sorted(name for name in wanted if "/" not in name)
    if not any(name.endswith(".safetensors") for name in files):
        raise ModelError(
            f"{model}: holds no .safetensors weights; other kinds can run code when they are "
            "opened and are never fetched. Take another repository of the same model."
        )
    assert info.sha is not None, "the Hub names the revision of a model it knows"
    return Download(files, sum(names[name] for name in files), info.sha)


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists, as far as that can be seen."""
    return next(folder for folder in (path, *path.absolute().parents) if os.path.exists(folder))


def refuse_small_disk(target: Path, octets: float) -> None:
    """See that so many bytes can be written to a folder that need not exist yet.

    Raises:
        ModelError: less is free on its disk.
    """
    free = shutil.disk_usage(existing(target)).free
    if free < octets:
        raise ModelError(
            f"{target}: {free / 1e9:.1f} GB are free there, but {octets / 1e9:.1f} GB are needed. "
            "Free some space, or choose another disk with -o DIR."
        )


def _problem(model: str, target: Path, error: Exception) -> str:
    """One sentence for whatever the Hub client raised, the particular kinds first."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return f"{model}: not fetched: HF_HUB_OFFLINE is set. Unset it, then type this again."
    if isinstance(error, GatedRepoError):
        return (
            f"{model}: its owner asks for consent first. Accept the terms on the model's page, "
            "then `hf auth login`, then type this again."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{model}: the Hub knows no such model, or it is private. Check the spelling, such "
            "as Qwen/Qwen2.5-7B-Instruct; for a private one `hf auth login` first."
        )
    if isinstance(error, HfHubHTTPError):
        return f"{model}: the Hub answered: {_short(error)}. Try again later: it goes on from here."
    if isinstance(error, PermissionError):
        return (
            f"{error.filename or target}: may not be written. Use a cache of your own: "
            "`export HF_HOME=~/hf_cache`, or a folder of your own with -o DIR."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        return f"{target}: cannot be written: {error.strerror}. Choose another disk with -o DIR."
    return (
        f"{model}: the Hub cannot be reached ({_short(error)}). Check the network or proxy and "
        "type this again: it goes on where it stopped."
    )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}..."
