"""The system around the card: kernel, tools, packages, WSL, Windows, Apple, and no card at all."""

from __future__ import annotations

import re

from theobot.doctor.checks_amd import amd_card, nvidia_card
from theobot.doctor.facts import Facts
from theobot.doctor.finding import Check, Seen, error, info, warning
from theobot.doctor.packages import APART
from theobot.doctor.wheels import reinstall

_TESTED = ((6, 8), (6, 14))
"""First and last Linux kernel that ROCm 6.4 to 7.2 were tested with on Radeon cards."""
_AMD_TOOLS = ("rocminfo", "amd-smi", "rocm-smi")
_TELLING = ("debug", "info", "warning")


def _kernel(facts: Facts) -> Seen | None:
    numbers = re.match(r"(\d+)\.(\d+)", facts.system.release)
    if not amd_card(facts) or numbers is None:
        return None
    found = int(numbers[1]), int(numbers[2])
    if _TESTED[0] <= found <= _TESTED[1]:
        return None
    trouble = " Page faults were reported with 6.17 and 6.18." if found > _TESTED[1] else ""
    return warning(f"Linux {facts.system.release}.{trouble}")


KERNEL = Check(
    id="kernel",
    title="This Linux kernel is not among those that ROCm is tested with",
    platform="AMD",
    sign='"page fault" or "ring gfx timeout" in the kernel\'s log, or a frozen screen.',
    why="ROCm 6.4 to 7.2 are tested on Radeon cards with Linux 6.8 to 6.14 (Ubuntu 24.04). Others "
    "often work; if the card resets or faults, this is the first thing to change.",
    fix=(
        "Only if there is trouble, on Ubuntu 24.04:",
        "$ sudo apt install linux-generic && sudo reboot",
    ),
    find=_kernel,
)


def _tools(facts: Facts) -> Seen | None:
    devices = facts.devices
    if devices is None or not amd_card(facts) or set(devices.tools) & set(_AMD_TOOLS):
        return None
    return info("rocminfo, amd-smi and rocm-smi are not installed.")


TOOLS = Check(
    id="rocm-tools",
    title="ROCm's own tools are not installed",
    platform="AMD",
    sign="`rocminfo: command not found`.",
    why="PyTorch brings its own ROCm and needs none of them. They show what the driver sees.",
    fix=("$ sudo apt install rocminfo",),
    find=_tools,
)


def _packages(facts: Facts) -> Seen | None:
    if facts.packages is None:
        return None
    from packaging.requirements import Requirement

    versions = facts.packages.versions
    asked = [Requirement(text) for text in facts.packages.required]
    unfit = [
        f"{one.name} {versions.get(one.name, 'is missing')} ({one} is needed)"
        for one in asked
        if one.name not in versions
        or not one.specifier.contains(versions[one.name], prereleases=True)
    ]
    if unfit:
        torch = facts.torch
        kind = "rocm" if torch and torch.hip else "cuda" if torch and torch.cuda else None
        again = (
            (reinstall(kind),) if kind and any(one.startswith("torch ") for one in unfit) else ()
        )
        return error(
            f"{'; '.join(unfit)}.",
            "In the folder of Theobot:",
            *again,
            "$ pip install --upgrade -c constraints.txt -e .",
        )
    apart = [f"{name} {versions[name]}" for name in APART if name in versions]
    if apart:
        return warning(
            f"{', '.join(apart)} is in the same environment as Theobot.",
            "Give it an environment of its own:",
            "$ python -m venv ~/server && ~/server/bin/pip install "
            + " ".join(one.split()[0] for one in apart),
        )
    trial = facts.torch.bitsandbytes if facts.torch else None
    if trial is not None and trial.verdict != "works":
        return warning(
            f"bitsandbytes cannot be imported: {trial.reason}.",
            "Take a newer one, or do without a 4-bit base:",
            "$ pip install --upgrade bitsandbytes",
            "$ pip uninstall bitsandbytes",
        )
    return None


PACKAGES = Check(
    id="packages",
    title="Installed packages do not go together",
    platform="all",
    sign='"cannot import name ...", "No module named ...", or a failure while transformers loads.',
    why="Theobot needs at least certain versions. vLLM, SGLang and Open WebUI pin other versions "
    "of torch and transformers, and change them when they are installed. PEFT imports bitsandbytes "
    "wherever it is installed, used or not.",
    fix=(
        "In the folder of Theobot, with nothing else in the environment:",
        "$ python -m venv .venv && .venv/bin/pip install -c constraints.txt -e .",
    ),
    find=_packages,
    # A sentence that says what to install needs no other.
    patterns=(
        r"cannot import name (?!.*from 'theobot)",
        r"no module named '(?!theobot|.*type: pip install)",
    ),
)


def _gpu_reset(facts: Facts) -> Seen | None:
    lines = log_lines(facts, kills=False)
    if not lines:
        return None
    return warning(f"The kernel's log has {len(lines)} such lines, the last: {lines[-1]}")


def log_lines(facts: Facts, *, kills: bool) -> list[str]:
    """Lines of the kernel's log about processes killed for memory, or about all else."""
    lines = facts.kernel_log.lines if facts.kernel_log else ()
    killed = re.compile(r"out of memory|oom-kill", re.IGNORECASE)
    return [line for line in lines if bool(killed.search(line)) is kills]


GPU_RESET = Check(
    id="gpu-reset",
    title="The graphics card was reset or faulted",
    platform="AMD and NVIDIA",
    sign='"ring gfx timeout", "page fault", "GPU reset" or "Xid" in the kernel\'s log; a training '
    "that ends without a word.",
    why="The driver resets a card that does not answer, and every program on it dies. Causes are a "
    "kernel that does not suit, AMD's hipBLASLt on some cards, heat, and a weak power supply.",
    fix=(
        "Try one after another. AMD's other library for matrix products:",
        "$ TORCH_BLAS_PREFER_HIPBLASLT=0 theobot train ... --resume",
        "A Linux kernel from 6.8 to 6.14; a lower limit of power (in watts); better cooling:",
        "$ sudo rocm-smi --setpoweroverdrive 270",
        "$ sudo dmesg | grep -iE 'amdgpu|NVRM'",
    ),
    find=_gpu_reset,
    patterns=(
        r"hipErrorLaunchFailure|unspecified launch failure",
        r"gpu reset|device lost|gpu is lost|fallen off the bus",
    ),
)


def _wsl(facts: Facts) -> Seen | None:
    wsl, torch = facts.system.wsl, facts.torch
    if wsl is None or torch is None or torch.available:
        return None
    if not wsl.dxg:
        return error(
            "This is WSL, and Windows hands no GPU in: /dev/dxg is missing.",
            "Install the newest driver of your card in Windows, then in PowerShell:",
            "$ wsl --update",
        )
    if not torch.hip:
        return None
    wrong = []
    if not wsl.bridge:
        wrong.append("librocdxg is not installed")
    if facts.environment.get("HSA_ENABLE_DXG_DETECTION") != "1":
        wrong.append("HSA_ENABLE_DXG_DETECTION is not 1")
    if wsl.old_runtime:
        wrong.append("Ubuntu's libhsa-runtime64-1 hides the one of ROCm")
    return error(f"This is WSL, and {'; '.join(wrong)}.") if wrong else None


WSL = Check(
    id="wsl",
    title="WSL does not reach the graphics card",
    platform="Windows",
    sign='"No HIP GPUs are available" in WSL. /dev/kfd, rocm-smi and amd-smi do not exist there.',
    why="Linux inside Windows reaches an AMD card by /dev/dxg and AMD's library librocdxg, which "
    "must match PyTorch's ROCm. Everything about /dev/kfd and groups does not apply.",
    fix=(
        "Newest Adrenalin driver in Windows, librocdxg in WSL as AMD's guide for WSL says, and:",
        "$ export HSA_ENABLE_DXG_DETECTION=1",
        "$ sudo apt remove libhsa-runtime64-1",
    ),
    find=_wsl,
)


def _apple(facts: Facts) -> Seen | None:
    torch = facts.torch
    if facts.system.name != "Darwin" or torch is None or torch.mps:
        return None
    if facts.system.machine != "arm64":
        return error(
            f"Python is built for {facts.system.machine}: an Intel Mac, or Python under Rosetta."
        )
    return error(
        f"torch {torch.version} sees no Apple GPU.",
        "macOS 14 or newer is needed; then, outside a virtual machine:",
        "$ pip install --force-reinstall torch",
    )


APPLE = Check(
    id="apple",
    title="The Apple GPU is not used",
    platform="Apple",
    sign="`Computing on the CPU` on an Apple computer.",
    why="PyTorch uses Apple's GPU from an arm64 Python on macOS 14 or newer. A Python for Intel "
    "runs under Rosetta without it.",
    fix=(
        "Make the environment with an arm64 Python:",
        "$ arch -arm64 python3 -m venv .venv",
        "$ .venv/bin/pip install -c constraints.txt -e .",
    ),
    find=_apple,
)


def _windows(facts: Facts) -> Seen | None:
    if facts.system.name != "Windows":
        return None
    return info(f"Windows {facts.system.release}; most of what is looked at is Linux's.")


WINDOWS = Check(
    id="windows",
    title="What works on Windows",
    platform="Windows",
    sign="None: so that you know.",
    why="NVIDIA cards work with the CUDA build of PyTorch; plain `pip install torch` takes the one "
    "for the CPU. For AMD cards use Linux, or WSL 2. 4-bit training needs NVIDIA.",
    fix=("For AMD, in PowerShell:", "$ wsl --install -d Ubuntu-24.04"),
    find=_windows,
)


def _cpu_only(facts: Facts) -> Seen | None:
    if facts.torch is None or facts.gpu or amd_card(facts) or nvidia_card(facts):
        return None
    if facts.system.name == "Darwin" or facts.system.wsl is not None:
        return None
    return info("No graphics card that PyTorch could use was found; the CPU computes.")


CPU_ONLY = Check(
    id="cpu-only",
    title="There is no graphics card to compute with",
    platform="all",
    sign="`Computing on the CPU ...: no GPU was found`.",
    why="Everything works on the CPU, slowly: nano in minutes, Qwen2.5 0.5B in hours. "
    "The 7B model answers a word or two a second, and cannot sensibly be trained.",
    fix=(
        "Take a smaller base model, and float32: a processor without AVX-512 or AMX takes many "
        "times as long for bfloat16. The last line tells the time:",
        "$ theobot train qwen2.5-0.5b --training.no-bf16 --dry-run",
    ),
    find=_cpu_only,
)


def _generation_warnings(facts: Facts) -> Seen | None:
    value = facts.environment.get("TRANSFORMERS_VERBOSITY", "")
    if value.lower() not in _TELLING:
        return None
    return info(f"TRANSFORMERS_VERBOSITY={value} is set.")


GENERATION_WARNINGS = Check(
    id="generation-warnings",
    title="Harmless warnings about temperature or top_k",
    platform="all",
    sign="`generation flags are not valid and may be ignored: ['temperature', 'top_p', 'top_k']`.",
    why="Qwen2.5 ships settings for sampling, and Theobot always takes the likeliest word. The "
    "warnings mean nothing, and Theobot hides them unless TRANSFORMERS_VERBOSITY asks for them.",
    fix=("$ export TRANSFORMERS_VERBOSITY=error",),
    find=_generation_warnings,
    patterns=(
        r"generation flags are not valid",
        r"do_sample.*is set to.*False.*(temperature|top_)",
    ),
)
