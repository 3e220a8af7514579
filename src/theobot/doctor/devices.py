"""Graphics cards, their device nodes, and AMD's kernel driver: all from small files of Linux."""

from __future__ import annotations

import os
from pathlib import Path

from theobot.doctor.facts import Card, Devices, Holder, KernelGpu, Node
from theobot.doctor.machine import Machine, read_small

_VENDORS = {"0x1002": "amd", "0x10de": "nvidia", "0x8086": "intel"}
_DISPLAY, _ACCELERATOR = "0x03", "0x12"
"""First octet of a PCI class; of accelerators only those of AMD and NVIDIA are graphics cards."""
_NODES = "/sys/class/kfd/kfd/topology/nodes"
TOOLS = ("rocminfo", "amd-smi", "rocm-smi", "nvidia-smi")
_SECONDS = 2.0


def look_at_devices(machine: Machine) -> Devices:
    """Cards, nodes, and who holds their memory."""
    tools = tuple(name for name in TOOLS if machine.find_program(name))
    if machine.system != "Linux":
        return Devices(tools=tools)
    kfd = machine.path("/dev/kfd")
    return Devices(
        cards=tuple(_cards(machine)),
        amdgpu=_amdgpu(machine),
        kfd=_node(machine, kfd) if kfd.exists() else None,
        render=tuple(
            _node(machine, path) for path in sorted(machine.path("/dev/dri").glob("renderD*"))
        ),
        gpus=tuple(_gpus(machine)),
        holders=tuple(_holders(machine, "nvidia-smi" in tools)),
        tools=tools,
    )


def _cards(machine: Machine) -> list[Card]:
    cards = []
    for folder in sorted(machine.path("/sys/bus/pci/devices").glob("*")):
        kind, vendor = read_small(folder / "class") or "", read_small(folder / "vendor") or ""
        name = _VENDORS.get(vendor, vendor)
        accelerator = kind.startswith(_ACCELERATOR) and name in ("amd", "nvidia")
        if not (kind.startswith(_DISPLAY) or accelerator):
            continue
        driver = folder / "driver"
        cards.append(
            Card(
                vendor=name,
                device=read_small(folder / "device") or "?",
                driver=driver.resolve().name if driver.exists() else None,
                memory=_number(folder / "mem_info_vram_total"),
                memory_used=_number(folder / "mem_info_vram_used"),
            )
        )
    return cards


def _number(path: Path) -> int | None:
    text = read_small(path) or ""
    return int(text) if text.isdigit() else None


def _amdgpu(machine: Machine) -> str | None:
    module = machine.path("/sys/module/amdgpu")
    if not module.is_dir():
        return None
    return read_small(module / "version") or "in the kernel"


def _node(machine: Machine, path: Path) -> Node:
    """A device node; its group is told by name and number, since others may call it otherwise."""
    number = path.stat().st_gid
    name, members = _groups(machine).get(number, (str(number), ()))
    account = machine.environment.get("USER") or machine.environment.get("LOGNAME")
    return Node(
        path=f"/{path.relative_to(machine.root)}",
        group=name,
        access=machine.may_use(path),
        in_group=number in {*os.getgroups(), os.getegid()},
        promised=account in members,
    )


def _groups(machine: Machine) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Number of each group -> name and the accounts that it lists."""
    found = {}
    for line in (machine.text("/etc/group") or "").splitlines():
        parts = line.split(":")
        if len(parts) == 4 and parts[2].isdigit():
            found[int(parts[2])] = (parts[0], tuple(parts[3].split(",")))
    return found


def _gpus(machine: Machine) -> list[KernelGpu]:
    """GPUs in the order in which HIP numbers them; the nodes of processors are left out."""
    folders = [path for path in machine.path(_NODES).glob("*") if path.name.isdigit()]
    gpus = []
    for folder in sorted(folders, key=lambda path: int(path.name)):
        lines = (read_small(folder / "properties") or "").splitlines()
        values = dict(line.split(maxsplit=1) for line in lines if " " in line)
        version, units = values.get("gfx_target_version", "0"), values.get("simd_count", "0")
        if int(version):
            gpus.append(KernelGpu(arch=arch_name(int(version)), units=int(units)))
    return gpus


def arch_name(version: int) -> str:
    """AMD's name of an architecture: 110000 -> "gfx1100", 90010 -> "gfx90a"."""
    return f"gfx{version // 10_000}{version // 100 % 100:x}{version % 100:x}"


def _holders(machine: Machine, ask_nvidia: bool) -> list[Holder]:
    found = []
    for folder in machine.path("/sys/class/kfd/kfd/proc").glob("[0-9]*"):
        octets = sum(_number(path) or 0 for path in folder.glob("vram_*"))
        if octets:
            name = machine.text(f"/proc/{folder.name}/comm") or "?"
            found.append(Holder(pid=int(folder.name), name=name, memory=octets))
    if ask_nvidia:
        found += _nvidia_holders(machine)
    mine = str(os.getpid())
    return sorted((one for one in found if str(one.pid) != mine), key=lambda one: -one.memory)


def _nvidia_holders(machine: Machine) -> list[Holder]:
    words = ["nvidia-smi", "--query-compute-apps=pid,used_memory,process_name"]
    ran = machine.run_program(
        [*words, "--format=csv,noheader,nounits"], _SECONDS, machine.environment
    )
    found = []
    for line in ran.out.splitlines() if ran.code == 0 else []:
        pid, mebibytes, name = (part.strip() for part in [*line.split(",", 2), "", ""][:3])
        if pid.isdigit() and mebibytes.isdigit():
            program = name.replace("\\", "/").rpartition("/")[2]
            found.append(Holder(pid=int(pid), name=program, memory=int(mebibytes) * 2**20))
    return found
