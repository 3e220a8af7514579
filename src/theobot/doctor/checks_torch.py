"""What torch does with the card: does it start, has it kernels, and do they compute correctly."""

from __future__ import annotations

import re

from theobot.doctor.checks_amd import (
    CARD_CHECKS,
    amd_card,
    architectures,
    disagreement,
    nvidia_card,
    variables,
)
from theobot.doctor.checks_system import WSL
from theobot.doctor.facts import Facts, Torch
from theobot.doctor.finding import Check, Seen, Severity, error, never, warning
from theobot.doctor.wheels import reinstall
from theobot.model.before_torch import ALLOCATORS, EXPERIMENTAL_ATTENTION

_CAUSES = (*CARD_CHECKS, WSL)
_FUSED = ("flash", "efficient")


def _gpu_not_usable(facts: Facts) -> Seen | None:
    torch = facts.torch
    if torch is None or torch.available or torch.mps:
        return None
    problem = torch.error or (torch.ended and f"looking for a GPU, it {torch.ended}")
    if torch.available is None and problem:
        text = f"torch {torch.version} does not start: {problem.rstrip('.')}."
    elif facts.system.wsl is not None or amd_card(facts) or nvidia_card(facts):
        text = (
            f"torch {torch.version} finds no GPU: {(problem or 'it does not say why').rstrip('.')}."
        )
    else:
        return None
    if torch.log:
        text += f" ROCm says: {torch.log[-1]}"
    causes = [check.id for check in _CAUSES if _is_error(check.find(facts))]
    if causes:
        return error(text, f"It follows from {', '.join(causes)}: mend that, then look again.")
    if torch.hip:
        return error(text)
    return error(
        text,
        "The driver does not run, is older than this torch needs, or (in a container) the GPU was "
        "not handed in with --gpus all:",
        "$ nvidia-smi",
        "Install a newer driver of NVIDIA, then restart the machine.",
    )


def _is_error(seen: Seen | None) -> bool:
    return seen is not None and seen.severity is Severity.ERROR


GPU_NOT_USABLE = Check(
    id="gpu-not-usable",
    title="PyTorch cannot start the graphics card",
    platform="AMD and NVIDIA",
    sign='HIP "Module not initialized", "No HIP GPUs are available", "hipErrorNoDevice", "Found no '
    'NVIDIA driver", or `Computing on the CPU` on a machine with a card.',
    why="Everything would run on the CPU, fifty times slower. With ROCm it is nearly always the "
    "account's groups, a second GPU, or a driver that needs a restart after an update.",
    fix=(
        "AMD: put your account into the groups video and render, see that `rocminfo` names the "
        "card, and restart the machine:",
        "$ sudo usermod -aG video,render $USER && sudo reboot",
        "$ rocminfo | grep -i gfx",
        "If a second GPU is inside the processor: `export HIP_VISIBLE_DEVICES=0`. If nothing "
        "helps, driver and torch are too far apart: PyTorch for ROCm 7 needs the amdgpu driver of "
        "ROCm 6.3 or newer. NVIDIA: a newer driver, and `nvidia-smi` must name the card.",
    ),
    find=_gpu_not_usable,
    patterns=(
        r"module not initialized",
        r"hipErrorNotInitialized|hipErrorNoDevice|hsa_init",
        r"no (hip|cuda) gpus are available",
        r"found no nvidia driver",
        r"no (rocm|cuda)-capable device",
        r"driver (version )?(is insufficient|on your system is too old)",
    ),
)


def has_kernels(arch: str, built_for: tuple[str, ...]) -> bool:
    """Whether a build of torch runs on an architecture.

    AMD's kernels run on their own architecture alone; NVIDIA's on later ones of the same major
    number too, and portable code (compute_*) on all later ones.
    """
    names = {one.partition(":")[0] for one in built_for}
    if not arch.startswith("sm_"):
        return arch in names
    wanted = _capability(arch)
    for name in names:
        found = _capability(name)
        portable = name.startswith("compute_")
        if found <= wanted and (portable or found[0] == wanted[0]):
            return True
    return False


def _capability(name: str) -> tuple[int, int]:
    """Major and minor number: "sm_90a" -> (9, 0), "compute_120" -> (12, 0)."""
    digits = re.sub(r"\D", "", name)
    return (int(digits[:-1]), int(digits[-1])) if len(digits) > 1 else (0, 0)


def _no_kernels(facts: Facts) -> Seen | None:
    torch = facts.torch
    if torch is None or not torch.arch_list:
        return None
    for device in torch.devices:
        if not has_kernels(device.arch, torch.arch_list):
            built = ", ".join(torch.arch_list)
            kind = "rocm" if torch.hip else "cuda"
            return error(
                f"{device.name} is {device.arch}; torch {torch.version} has kernels for {built}.",
                reinstall(kind),
                "If that has none either, the card is too old or too new for PyTorch: compute on "
                "the CPU with --device cpu.",
            )
    return None


NO_KERNELS = Check(
    id="no-kernels",
    title="PyTorch has no kernels for this card",
    platform="AMD and NVIDIA",
    sign='"hipErrorNoBinaryForGpu", "invalid device function", or "no kernel image is available".',
    why="Each build of PyTorch carries kernels for some architectures alone. On another one the "
    "first computation fails.",
    fix=(
        "Take the build for your card, the first line for AMD, the second for NVIDIA:",
        reinstall("rocm"),
        reinstall("cuda"),
        "If HSA_OVERRIDE_GFX_VERSION is set, unset it.",
    ),
    find=_no_kernels,
    patterns=(
        r"hipErrorNoBinaryForGpu|hipErrorInvalidDeviceFunction",
        r"invalid device function",
        r"no kernel image is available",
        r"unable to find code object",
    ),
)


def _bad_torch(facts: Facts) -> Seen | None:
    torch = facts.torch
    if torch is None or not torch.hip or torch.release != (2, 9):
        return None
    cards = [arch for arch in architectures(facts) if arch.startswith("gfx110")]
    if not cards:
        return None
    text = f"torch {torch.version} on {cards[0]}"
    if facts.environment.get(EXPERIMENTAL_ATTENTION) == "1":
        return error(
            f"{text}, and {EXPERIMENTAL_ATTENTION}=1 turns the wrong kernels on.",
            f"$ unset {EXPERIMENTAL_ATTENTION}",
            reinstall("rocm"),
        )
    return error(f"{text}.")


BAD_TORCH = Check(
    id="bad-torch",
    title="PyTorch 2.9 computes attention wrongly on Radeon RX 7000 cards",
    platform="AMD",
    sign="The loss becomes NaN or does not fall, or attention needs far more memory than foretold.",
    why="The fused attention in PyTorch 2.9 was compiled wrongly for gfx1100: large errors and "
    "NaN. By default it is off there, and plain attention takes its place, whose memory grows with "
    "the square of a row's length. PyTorch 2.10 and newer are mended.",
    fix=(reinstall("rocm"),),
    find=_bad_torch,
)


def _bf16(facts: Facts) -> Seen | None:
    torch = facts.torch
    if torch is None or not torch.available or _no_kernels(facts) is not None:
        return None
    trial = torch.bf16
    if trial is None:
        problem = torch.error or torch.ended
        return error(f"A small product on the GPU failed: {problem}.", *_ANEW) if problem else None
    if trial.verdict == "unavailable":
        return warning(f"{_name(torch)} has no bfloat16.")
    if trial.verdict == "wrong":
        off = f"off by {trial.difference:.0%}" if trial.difference is not None else "not finite"
        return error(f"A product in bfloat16 on {_name(torch)} is {off}.", *_ANEW)
    return None


_ANEW = (
    "Restart the machine and look again. If it stays, update the driver or take another torch "
    "(`theobot doctor` checks each), and until then compute on the CPU with --device cpu.",
)


def _name(torch: Torch) -> str:
    return torch.devices[0].name if torch.devices else "the GPU"


BF16 = Check(
    id="bf16",
    title="The card has no sound bfloat16",
    platform="AMD and NVIDIA",
    sign='"has no bfloat16", or a loss that is NaN from the first step.',
    why="The recipes compute in bfloat16. Cards before NVIDIA's Ampere and AMD's RDNA 3 have none; "
    "there float32 is used, which needs twice the memory. If the product is wrong, driver or card "
    "are at fault.",
    fix=(
        "Compute in float32, with a smaller model if memory runs out:",
        "$ theobot train qwen2.5-1.5b --training.no-bf16",
        "If bfloat16 computes wrongly: restart, update the driver, or take another torch.",
    ),
    find=_bf16,
    patterns=(r"has no bfloat16", r"bfloat16.*not (supported|implemented)"),
)


def _attention(facts: Facts) -> Seen | None:
    torch = facts.torch
    if torch is None or not torch.available:
        return None
    fix = _attention_fix(torch)
    if not torch.attention:
        hung = torch.ended is not None and "'attention'" in torch.ended
        return (
            error(f"Trying torch's attention, the process {torch.ended}.", *fix) if hung else None
        )
    verdicts = {trial.name: trial.verdict for trial in torch.attention}
    if "works" not in verdicts.values():
        return error(f"No attention of torch {torch.version} computes correctly here.", *fix)
    wrong = [name for name, verdict in verdicts.items() if verdict == "wrong"]
    if wrong:
        return warning(
            f"These compute wrongly here: {', '.join(wrong)}. Theobot finds that out before each "
            "run and does not use them.",
            *fix,
        )
    if not any(verdicts.get(name) == "works" for name in _FUSED):
        return warning("Only plain attention works here; no fused one does.", *fix)
    return None


def _attention_fix(torch: Torch) -> tuple[str, ...]:
    return (
        *((f"$ export {EXPERIMENTAL_ATTENTION}=0",) if torch.hip and not torch.attention else ()),
        "A newer torch has sound fused attention for more cards:",
        reinstall("rocm" if torch.hip else "cuda"),
        "Until then keep rows short:",
        "$ theobot train ... --tokens.max-length 512",
    )


ATTENTION = Check(
    id="attention",
    title="Fused attention is missing or computes wrongly",
    platform="AMD and NVIDIA",
    sign="`Attention: math`, or a sentence that an attention computes wrongly, at the start of a "
    "run; memory that grows with the square of a row's length.",
    why="Plain attention keeps a table of all pairs of tokens in each layer: at 4,096 tokens some "
    "16 times the memory and 10 times the time of a fused one. A fused one that computes wrongly "
    "spoils a training without a sign.",
    fix=(
        "A newer torch has fused attention for more cards:",
        reinstall("rocm"),
        "Until then keep rows short:",
        "$ theobot train ... --tokens.max-length 512",
    ),
    find=_attention,
    patterns=(r"no attention of torch .* computes correctly", r"no available kernel"),
)


def _allocator(facts: Facts) -> Seen | None:
    torch = facts.torch
    values = variables(facts, ALLOCATORS)
    if torch is None or not (torch.hip or torch.cuda):
        return None
    if (seen := disagreement("Several allocator settings", values)) is not None:
        return seen
    expandable = [
        name for name, value in values.items() if "expandable_segments:true" in value.lower()
    ]
    if not torch.hip or not expandable:
        return None
    if _version_numbers(torch.hip) < (7,):
        text = f"expandable_segments is set, and does nothing with ROCm {torch.hip}."
    else:
        text = (
            f"expandable_segments is set; with ROCm {torch.hip} a process can hang in it for good."
        )
    return warning(text, *(f"$ unset {name}" for name in expandable))


def _version_numbers(version: str) -> tuple[int, ...]:
    """ROCm's version: it counts 7.2, 7.14, 10.0."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


ALLOCATOR = Check(
    id="allocator",
    title="A setting of PyTorch's memory allocator does not suit this machine",
    platform="AMD and NVIDIA",
    sign="A training that stands still and cannot even be killed, or a warning about "
    "expandable_segments.",
    why="torch reads three variables (PYTORCH_ALLOC_CONF, PYTORCH_CUDA_ALLOC_CONF, "
    "PYTORCH_HIP_ALLOC_CONF). expandable_segments helps on NVIDIA, where Theobot sets it itself; "
    "before ROCm 7.0 it does nothing, and since then it can hang.",
    fix=(f"$ unset {' '.join(ALLOCATORS)}",),
    find=_allocator,
    patterns=(r"expandable_segments",),
)

FORKED = Check(
    id="forked",
    title="A process was split after the GPU had been started",
    platform="AMD and NVIDIA",
    sign='"Cannot re-initialize CUDA in forked subprocess".',
    why="A GPU that was started in one process cannot be used by its forked children. Theobot "
    "forks none; a notebook or a script around it does, and importing transformers can be enough "
    "to start the GPU.",
    fix=(
        "Run `theobot train` as a program of its own; or, at the very top of the script:",
        "multiprocessing.set_start_method('spawn')",
    ),
    find=never,
    patterns=(r"cannot re-initialize cuda in forked subprocess",),
)
