"""From the card to a program on Linux: the wheel, the driver, the nodes, the groups, the variables.

Each step is a check of its own, in the order in which a GPU is reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from theobot.doctor.facts import Facts, KernelGpu, Node
from theobot.doctor.finding import Check, Seen, error, warning
from theobot.doctor.wheels import reinstall
from theobot.model.memory import GIB

OWN_MEMORY = 4 * GIB
"""A card with less memory of its own is part of a processor, and nobody's reason for ROCm."""

_IN_WHEELS = frozenset(
    "gfx900 gfx906 gfx908 gfx90a gfx942 gfx950 gfx1030 gfx1100 gfx1101 gfx1102 "
    "gfx1150 gfx1151 gfx1200 gfx1201".split()
)
"""Architectures that PyTorch's ROCm wheels have kernels for, where torch cannot be asked."""

OVERRIDE = "HSA_OVERRIDE_GFX_VERSION"
VISIBLE = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")


def amd_card(facts: Facts) -> bool:
    """Whether there is a card of AMD, not just a processor with graphics inside."""
    cards = facts.devices.cards if facts.amd and facts.devices else ()
    sizes = [card.memory for card in cards if card.vendor == "amd"]
    return any(size is None or size >= OWN_MEMORY for size in sizes)


def nvidia_card(facts: Facts) -> bool:
    """Whether there is a card of NVIDIA."""
    devices = facts.devices
    return devices is not None and (devices.has("nvidia") or "nvidia-smi" in devices.tools)


def _wrong_wheel(facts: Facts) -> Seen | None:
    torch = facts.torch
    if torch is None:
        return None
    built = f"ROCm {torch.hip}" if torch.hip else f"CUDA {torch.cuda}" if torch.cuda else "the CPU"
    text = f"torch {torch.version} is built for {built} alone."
    if amd_card(facts) and not torch.hip and not nvidia_card(facts):
        return error(f"A graphics card of AMD is here; {text}", reinstall("rocm"))
    if nvidia_card(facts) and not torch.cuda and not amd_card(facts):
        return error(f"A graphics card of NVIDIA is here; {text}", reinstall("cuda"))
    return None


WRONG_WHEEL = Check(
    id="wrong-wheel",
    title="PyTorch is built for another kind of graphics card",
    platform="AMD and NVIDIA",
    sign='`Computing on the CPU` on a machine with a graphics card; "Torch not compiled with CUDA '
    'enabled".',
    why="PyTorch comes as one build for each maker of graphics cards, and never uses another's "
    "card. `pip install torch` alone takes the build for NVIDIA on Linux, and for the CPU on "
    "Windows.",
    fix=(
        "In the environment of Theobot, the first line for AMD, the second for NVIDIA:",
        reinstall("rocm"),
        reinstall("cuda"),
    ),
    find=_wrong_wheel,
    patterns=(r"torch not compiled with cuda enabled",),
)


def _no_kfd(facts: Facts) -> Seen | None:
    devices = facts.devices
    if not amd_card(facts) or devices is None or devices.kfd is not None:
        return None
    if facts.system.container:
        return error(
            "This is a container, and it was not given /dev/kfd.",
            "Start the container with the card's device nodes:",
            "$ docker run --device=/dev/kfd --device=/dev/dri --group-add video "
            "--group-add render ...",
        )
    if devices.amdgpu is None:
        return error("An AMD card is here, but the kernel module amdgpu is not loaded.")
    return error(
        f"The kernel module amdgpu ({devices.amdgpu}) is loaded, but it has made no /dev/kfd.",
        "The kernel's log says why (in a virtual machine the card must be passed through):",
        "$ sudo dmesg | grep -iE 'amdgpu|kfd'",
    )


NO_KFD = Check(
    id="no-kfd",
    title="The kernel offers no AMD card for computing (/dev/kfd is missing)",
    platform="AMD",
    sign='"No HIP GPUs are available", and `ls /dev/kfd` finds nothing.',
    why="ROCm reaches a card through /dev/kfd, which the driver amdgpu makes. It is missing when "
    "the driver was not loaded (its build failed, Secure Boot refused it), in a virtual machine, "
    "or in a container that was not given it.",
    fix=(
        "Load the driver and look at what it says; if Secure Boot refuses it, sign it or turn "
        "Secure Boot off:",
        "$ sudo modprobe amdgpu",
        "$ sudo dmesg | grep -iE 'amdgpu|kfd'",
        "$ mokutil --sb-state",
        "In a container: --device=/dev/kfd --device=/dev/dri.",
    ),
    find=_no_kfd,
    patterns=(r"unable to open /dev/kfd.*no such file", r"/dev/kfd.*does not exist"),
)


def _denied(node: Node) -> Seen:
    text = f"{node.path} belongs to the group {node.group}; this process may not use it."
    if node.in_group:
        return error(
            f"{text} It is in that group, but the group has no rights there.",
            "Put the rights of the device nodes back, then restart the machine:",
            "$ sudo udevadm control --reload && sudo udevadm trigger",
        )
    if node.promised:
        return error(
            f"{text} Your account was put into that group after you had logged in.",
            "Log out fully and in again, or restart the machine.",
        )
    return error(
        text,
        f"$ sudo usermod -aG {node.group} $USER",
        "Log out fully and in again, or restart the machine. Never chmod 666, and no sudo for "
        "training.",
    )


def _kfd_permission(facts: Facts) -> Seen | None:
    node = facts.devices.kfd if facts.amd and facts.devices else None
    return None if node is None or node.access else _denied(node)


_GROUPS = (
    "$ sudo usermod -aG render,video $USER",
    "Log out fully and in again, or restart the machine. Never chmod 666, and no sudo for "
    "training: files that root made are refused later.",
)

KFD_PERMISSION = Check(
    id="kfd-permission",
    title="Your account may not use /dev/kfd",
    platform="AMD",
    sign='HIP "Module not initialized", "No HIP GPUs are available", or '
    '"Unable to open /dev/kfd read-write: Permission denied" from `rocminfo`.',
    why="/dev/kfd belongs to a group, mostly render, on older systems video. ROCm finds no card "
    "for an account that is not in it, and does not say so.",
    fix=_GROUPS,
    find=_kfd_permission,
    patterns=(r"/dev/kfd.*permission denied", r"permission denied.*/dev/kfd"),
)


def _render_permission(facts: Facts) -> Seen | None:
    devices = facts.devices
    if not amd_card(facts) or devices is None or devices.kfd is None:
        return None
    if not devices.render:
        return error(
            "There is no /dev/dri/renderD*: the container was not given it, or the driver failed.",
            "In a container: start it with --device=/dev/dri. Elsewhere the kernel's log says why:",
            "$ sudo dmesg | grep -iE 'amdgpu|drm'",
        )
    denied = [node for node in devices.render if not node.access]
    return _denied(denied[0]) if denied else None


RENDER_PERMISSION = Check(
    id="render-permission",
    title="Your account may not use the card's render node",
    platform="AMD",
    sign='HIP "Module not initialized", or errors about /dev/dri/renderD128.',
    why="ROCm needs /dev/dri/renderD* beside /dev/kfd, one for each card. They belong to the group "
    "render, on older systems video.",
    fix=_GROUPS,
    find=_render_permission,
    patterns=(r"/dev/dri.*permission denied", r"permission denied.*/dev/dri"),
)


def _no_kernel_gpu(facts: Facts) -> Seen | None:
    devices = facts.devices
    if not amd_card(facts) or devices is None or devices.kfd is None or devices.gpus:
        return None
    numbers = ", ".join(card.device for card in devices.cards if card.vendor == "amd")
    return error(f"/dev/kfd is there, but the driver offers no GPU (AMD card {numbers}).")


NO_KERNEL_GPU = Check(
    id="no-kernel-gpu",
    title="AMD's driver does not offer the card for computing",
    platform="AMD",
    sign="`rocminfo` lists the processor alone.",
    why="The driver lists each GPU that can compute below /sys/class/kfd. A card that is missing "
    "there is too old for ROCm, too new for this kernel, or its firmware did not load.",
    fix=(
        "Look at what the driver says; mostly a newer kernel or linux-firmware helps:",
        "$ sudo dmesg | grep -iE 'amdgpu|kfd'",
        "$ sudo apt install --only-upgrade linux-firmware && sudo reboot",
    ),
    find=_no_kernel_gpu,
)


def variables(facts: Facts, names: Sequence[str]) -> dict[str, str]:
    """Those of the variables that are set."""
    return {name: facts.environment[name] for name in names if name in facts.environment}


def disagreement(who: str, values: Mapping[str, str]) -> Seen | None:
    """A warning where variables for the same thing have several values."""
    if len(set(values.values())) < 2:
        return None
    told = ", ".join(f"{name}={value}" for name, value in values.items())
    unset = (f"$ unset {name}" for name in list(values)[1:])
    return warning(f"{who} disagree: {told}.", "Keep one of them alone:", *unset)


def _second_gpu(facts: Facts) -> Seen | None:
    if facts.devices is None or facts.torch is None or not facts.torch.hip:
        return None
    set_here = variables(facts, VISIBLE)
    if (seen := disagreement("Several variables choose the GPU, and they", set_here)) is not None:
        return seen
    gpus, small = facts.devices.gpus, facts.devices.integrated
    if set_here or len(gpus) < 2 or not small:
        return None
    large = next(place for place in range(len(gpus)) if place not in small)
    own = ", ".join(gpus[place].arch for place in small)
    return error(
        f"Two GPUs are visible: the card ({gpus[large].arch}) and the one inside the processor "
        f"({own}).",
        f"$ export HIP_VISIBLE_DEVICES={large}",
        "Put that line into ~/.profile too, or turn the processor's graphics off in the BIOS.",
    )


SECOND_GPU = Check(
    id="second-gpu",
    title="The GPU inside the processor is visible to ROCm",
    platform="AMD",
    sign='HIP "Module not initialized", crashes in the first kernel, or "2 GPUs are visible".',
    why="ROCm starts on every GPU that it sees. For the small one inside the processor PyTorch has "
    "no kernels, and the program fails although the card itself is fine. The variable must be set "
    "before the program starts.",
    fix=(
        "Show ROCm the card alone; its number is its place in `rocminfo`, mostly 0:",
        "$ export HIP_VISIBLE_DEVICES=0",
        "Put that line into ~/.profile too, or turn the processor's graphics off in the BIOS.",
    ),
    find=_second_gpu,
)


def architectures(facts: Facts) -> tuple[str, ...]:
    """Architectures of AMD's GPUs, as the kernel names them, else as torch does."""
    kernel: tuple[KernelGpu, ...] = facts.devices.gpus if facts.devices else ()
    if kernel:
        return tuple(gpu.arch for gpu in kernel)
    devices = facts.torch.devices if facts.torch and facts.torch.hip else ()
    return tuple(device.arch for device in devices)


def _gfx_override(facts: Facts) -> Seen | None:
    set_here = [one for one in facts.environment if one.startswith(OVERRIDE)]
    found = architectures(facts)
    if not set_here or not found:
        return None
    wheel = facts.torch.arch_list if facts.torch and facts.torch.hip else ()
    known = {one.partition(":")[0] for one in wheel} or _IN_WHEELS
    told = ", ".join(f"{one}={facts.environment[one]}" for one in set_here)
    native = [arch for arch in found if arch in known]
    if native:
        return error(
            f"{told} is set, and {native[0]} needs none.", *(f"$ unset {one}" for one in set_here)
        )
    return warning(
        f"{told} is set for {found[0]}, which PyTorch has no kernels for.",
        "It may work; if numbers are wrong or it crashes, this is why.",
    )


GFX_OVERRIDE = Check(
    id="gfx-override",
    title="HSA_OVERRIDE_GFX_VERSION makes ROCm take the card for another",
    platform="AMD",
    sign='"Memory access fault by GPU node", "invalid device function", or wrong numbers.',
    why="The variable makes ROCm run kernels of another architecture, on all GPUs. It is a "
    "debugging aid for cards without kernels of their own; a forgotten one crashes a card that "
    "has them.",
    fix=(
        "$ unset HSA_OVERRIDE_GFX_VERSION",
        "Take the line out of ~/.bashrc, ~/.profile and /etc/environment as well.",
    ),
    find=_gfx_override,
    patterns=(r"memory access fault by gpu",),
)

CARD_CHECKS = (
    WRONG_WHEEL,
    NO_KFD,
    KFD_PERMISSION,
    RENDER_PERMISSION,
    NO_KERNEL_GPU,
    SECOND_GPU,
    GFX_OVERRIDE,
)
"""In the order in which a GPU is reached."""
