"""Machines as recorded facts, and a Linux machine as a tree of small files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from theobot.doctor.facts import Facts
from theobot.doctor.machine import Machine, Ran

MACHINES = Path(__file__).parent / "machines"
GIB = 2**30


def merged(target: Any, patch: Any) -> Any:
    """JSON Merge Patch (RFC 7396): null takes a value away."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def read_machine(name: str) -> dict[str, Any]:
    """A record with the facts of the machine that it is like."""
    record = json.loads((MACHINES / f"{name}.json").read_text(encoding="utf-8"))
    if "like" in record:
        record["facts"] = merged(read_machine(record["like"])["facts"], record["facts"])
    return record


@pytest.fixture
def facts_of() -> Callable[..., Facts]:
    """Facts of a recorded machine, with changes on top."""

    def read(name: str, **changes: Any) -> Facts:
        return Facts.model_validate(merged(read_machine(name)["facts"], changes))

    return read


@pytest.fixture
def findings_wanted() -> Callable[[str], list[str]]:
    """Ids of what a recorded machine's facts must tell, in order."""
    return lambda name: read_machine(name)["findings"]


class Programs:
    """Programs of a machine by name ("probe" is torch's child), and what was typed."""

    def __init__(self, **outputs: Ran | str) -> None:
        self.outputs = outputs
        self.typed: list[list[str]] = []

    def run(self, words: Sequence[str], seconds: float, environment: Mapping[str, str]) -> Ran:
        self.typed.append(list(words))
        name = "probe" if words[0] == sys.executable else words[0].replace("-", "_")
        found = self.outputs[name]
        return found if isinstance(found, Ran) else Ran(found, "", 0)

    def find(self, name: str) -> str | None:
        return f"/usr/bin/{name}" if name.replace("-", "_") in self.outputs else None


@pytest.fixture
def make_machine(tmp_path: Path) -> Callable[..., Machine]:
    """A machine whose files lie below `tmp_path / "root"`; nothing of the real one is looked at."""

    def make(files: Mapping[str, str] | None = None, **changes: Any) -> Machine:
        root, home = tmp_path / "root", tmp_path / "home"
        home.mkdir(exist_ok=True)
        (root / "proc").mkdir(parents=True, exist_ok=True)
        for name, text in (files or {}).items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        programs = changes.pop("programs", Programs())
        values: dict[str, Any] = {
            "root": root,
            "home": home,
            "environment": {},
            "system": "Linux",
            "release": "6.14.0-33-generic",
            "output": tmp_path / "runs",
            "access": lambda path, mode: True,
            "run_program": programs.run,
            "find_program": programs.find,
        }
        return Machine(**values | changes)

    return make


@pytest.fixture
def programs() -> type[Programs]:
    return Programs


@pytest.fixture
def radeon_files() -> dict[str, str]:
    """What Linux says of a Radeon RX 7900 XTX beside a Ryzen with graphics inside."""
    card, own = "/sys/bus/pci/devices/0000:03:00.0", "/sys/bus/pci/devices/0000:0e:00.0"
    bridge = "/sys/bus/pci/devices/0000:00:01.0"
    nodes = "/sys/class/kfd/kfd/topology/nodes"
    return {
        f"{card}/class": "0x030000\n",
        f"{card}/vendor": "0x1002\n",
        f"{card}/device": "0x744c\n",
        f"{card}/mem_info_vram_total": f"{24 * GIB}\n",
        f"{card}/mem_info_vram_used": f"{GIB}\n",
        f"{own}/class": "0x030000\n",
        f"{own}/vendor": "0x1002\n",
        f"{own}/device": "0x164e\n",
        f"{own}/mem_info_vram_total": f"{GIB // 2}\n",
        f"{bridge}/class": "0x060400\n",
        f"{bridge}/vendor": "0x1022\n",
        "/sys/module/amdgpu/version": "6.16.6\n",
        "/dev/kfd": "",
        "/dev/dri/renderD128": "",
        "/dev/dri/renderD129": "",
        f"{nodes}/0/properties": "cpu_cores_count 16\nsimd_count 0\ngfx_target_version 0\n",
        f"{nodes}/1/properties": "cpu_cores_count 0\nsimd_count 192\ngfx_target_version 110000\n",
        f"{nodes}/10/properties": "cpu_cores_count 0\nsimd_count 4\ngfx_target_version 100306\n",
        "/sys/class/kfd/kfd/proc/4242/vram_1234": f"{2 * GIB}\n",
        "/proc/4242/comm": "ollama\n",
        "/proc/meminfo": "MemTotal:       65691952 kB\nMemAvailable:   57042880 kB\n",
        "/etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
    }
