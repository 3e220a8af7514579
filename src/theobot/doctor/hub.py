"""The cache of the Hugging Face Hub: where, whose, and whether the base model is there whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from glob import glob
from pathlib import Path
from typing import Literal

from theobot.doctor.facts import Hub, Online, Snapshot
from theobot.doctor.machine import Machine, read_small
from theobot.model.base import NANO, is_hub_id
from theobot.model.fetch import existing

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_NEEDED = ("config.json", "tokenizer.json")
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_MOST_FOLDERS = 300
_SECONDS = 5.0
PUBLIC_MODEL = "Qwen/Qwen2.5-7B-Instruct"
"""Asked for where the base model is none of the Hub's."""


def hub_home(environment: Mapping[str, str], home: Path) -> Path:
    """The Hub client's folder, as its own rules say."""
    if environment.get("HF_HOME"):
        return _expanded(environment["HF_HOME"], home)
    caches = environment.get("XDG_CACHE_HOME") or str(home / ".cache")
    return _expanded(caches, home) / "huggingface"


def cache_folder(environment: Mapping[str, str], home: Path) -> Path:
    """The Hub's cache of models, as its own rules say."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return _expanded(environment[name], home)
    return hub_home(environment, home) / "hub"


def _expanded(path: str, home: Path) -> Path:
    return home / path[2:] if path.startswith("~/") else Path(path)


def look_at_hub(machine: Machine) -> Hub:
    """The cache and the base model in it; the network only if the person asked for it."""
    cache = cache_folder(machine.environment, machine.home)
    nearest = existing(cache)
    return Hub(
        cache=str(cache),
        writable=machine.access(nearest, os.W_OK | os.X_OK),
        owner=_owner(cache) if os.path.exists(cache) else None,
        foreign=tuple(_foreign(machine, cache)),
        filesystem=_filesystem(machine, nearest),
        token=_token(machine),
        snapshot=_snapshot(machine, cache),
        online=_ask(machine) if machine.online else None,
    )


def _owner(path: Path) -> str:
    number = path.stat().st_uid
    if not hasattr(os, "getuid") or number == os.getuid():
        return "you"
    return "root" if number == 0 else "another account"


def _foreign(machine: Machine, cache: Path) -> list[str]:
    """Folders in the cache in which nothing can be written: of each model, and one level below."""
    names = [
        name.rstrip(os.sep)
        for pattern in ("*/", "*/*/")
        for name in glob(pattern, root_dir=cache, include_hidden=True)
    ]
    return [
        name
        for name in sorted(names)[:_MOST_FOLDERS]
        if not machine.access(cache / name, os.W_OK | os.X_OK)
    ]


def _filesystem(machine: Machine, path: Path) -> str | None:
    """Kind of the file system that a path lies on, by the longest mount point above it."""
    found = None
    longest = -1
    for line in (machine.text("/proc/mounts") or "").splitlines():
        _, point, kind = [*line.split(" "), "", ""][:3]
        if path.absolute().is_relative_to(point) and len(point) > longest:
            found, longest = kind, len(point)
    return found


def _token(machine: Machine) -> Literal["environment", "file"] | None:
    if any(machine.environment.get(name) for name in _TOKENS):
        return "environment"
    named = machine.environment.get("HF_TOKEN_PATH")
    file = Path(named) if named else hub_home(machine.environment, machine.home) / "token"
    return "file" if os.path.isfile(file) else None


def _snapshot(machine: Machine, cache: Path) -> Snapshot | None:
    folder = Path(machine.model).expanduser()
    if machine.model != NANO and os.path.isdir(folder):
        return _files_of(folder)
    if not is_hub_id(machine.model):
        return None
    model = cache / f"models--{machine.model.replace('/', '--')}"
    unfinished = len(glob("blobs/*.incomplete", root_dir=model))
    revision = read_small(model / "refs" / "main")
    snapshot = model / "snapshots" / revision if revision else None
    if snapshot is None or not os.path.isdir(snapshot):
        return Snapshot(state="absent", in_cache=True, unfinished=unfinished)
    return _files_of(snapshot).model_copy(update={"in_cache": True, "unfinished": unfinished})


def _files_of(folder: Path) -> Snapshot:
    """What is there and what is missing; a link that leads nowhere is missing."""
    needed = [*_NEEDED, *_weights(folder)]
    here = {
        name: (folder / name).stat().st_size for name in needed if os.path.isfile(folder / name)
    }
    missing = tuple(name for name in needed if name not in here)
    return Snapshot(
        state="incomplete" if missing else "complete", missing=missing, present=sum(here.values())
    )


def _weights(folder: Path) -> list[str]:
    """Names of the files that must hold the weights."""
    index = read_small(folder / _INDEX)
    if index is None:
        return sorted(path.name for path in folder.glob("*.safetensors")) or [_SINGLE]
    try:
        return sorted(set(json.loads(index)["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{_INDEX} (damaged)"]


def _ask(machine: Machine) -> Online:
    """One question to the Hub, with the person's token, proxy and certificates."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    asked = machine.model if is_hub_id(machine.model) else PUBLIC_MODEL
    api = HfApi(endpoint=machine.environment.get("HF_ENDPOINT"))
    try:
        api.model_info(asked, timeout=_SECONDS)
    except HfHubHTTPError as error:
        return Online(status=error.response.status_code)
    except (OSError, HTTPError) as error:
        return Online(error=f"{type(error).__name__}: {error}"[:300])
    return Online(status=200)
