"""Which device, which number format, and why."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from theobot.errors import SettingsError
from theobot.model.ram import available_ram

_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
    "CUDA error: out of memory",
    "HIP error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "HIPBLAS_STATUS_ALLOC_FAILED",
)
"""What torch says where it has no exception of its own for it."""


class Compute(NamedTuple):
    """Where and in which number format the base model computes.

    `reason` completes the sentence "Computing on ... in ..., because ...".
    """

    device: torch.device
    dtype: torch.dtype
    reason: str

    def sentence(self) -> str:
        """What a person is told first."""
        name = describe(self.device)
        return f"Computing on {name} in {str(self.dtype).removeprefix('torch.')}: {self.reason}."


def describe(device: torch.device) -> str:
    """A person's name for a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": "the CPU", "mps": "the Apple GPU"}.get(device.type, str(device))


def choose_compute(
    device: str = "auto", bf16: bool | None = None, *, local_rank: int | None = None
) -> Compute:
    """Pick the device and the number format of the base model.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        bf16: what the settings ask for; None lets the device decide: bfloat16 on a GPU that has
            it, float32 otherwise.
        local_rank: number of this process among several on this machine, each of which gets the
            GPU of its own number; None for a process by itself.

    Raises:
        SettingsError: there is no such device here, or it lacks bfloat16.
    """
    chosen, why = _choose_device(device)
    if local_rank is not None:
        chosen = _device_of_rank(chosen, local_rank)
    if bf16 and not has_bf16(chosen):
        raise SettingsError(
            f"{describe(chosen)} has no bfloat16. Type --training.no-bf16 (float32, twice the "
            "memory) or --device cpu."
        )
    if bf16 is not None:
        reason = f"{why}; bf16 = {str(bf16).lower()}"
        if bf16 and chosen.type == "cpu" and _emulates_bf16():
            reason += (
                ". This processor has no instructions for that and takes many times as long as "
                "with --training.no-bf16 (float32, twice the memory)"
            )
        return Compute(chosen, torch.bfloat16 if bf16 else torch.float32, reason)
    if chosen.type == "cpu" or not has_bf16(chosen):
        return Compute(chosen, torch.float32, f"{why}; float32 is exact everywhere")
    return Compute(chosen, torch.bfloat16, f"{why}; bfloat16 halves the memory")


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself, not by emulation."""
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _emulates_bf16() -> bool:
    """Whether oneDNN, which multiplies matrices on a CPU, leaves bfloat16 to plain loops here."""
    if not torch.backends.mkldnn.is_available():
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _device_of_rank(chosen: torch.device, local_rank: int) -> torch.device:
    if chosen.type == "cpu":
        return chosen
    if chosen.type != "cuda" or chosen.index is not None:
        raise SettingsError(
            f"device {str(chosen)!r}: several processes were started, and each needs a GPU of its "
            'own. Leave out --device, or type --device cpu (or "cuda" for all GPUs).'
        )
    count, wanted = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # Asked of all processes, not of the number that is too high, so that all stop together.
    if max(wanted, local_rank + 1) > count:
        raise SettingsError(
            f"{max(wanted, local_rank + 1)} processes were started on this machine, which has "
            f"{count} GPU(s). Start one for each: --nproc-per-node {count}."
        )
    return torch.device("cuda", local_rank)


def _choose_device(device: str) -> tuple[torch.device, str]:
    available = {"cpu": True, "cuda": torch.cuda.is_available()}
    available["mps"] = torch.backends.mps.is_available()
    if device == "auto":
        best = next(name for name in ("cuda", "mps", "cpu") if available[name])
        return torch.device(best), _no_gpu() if best == "cpu" else "it is the GPU here"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    here = ", ".join(name for name, there in available.items() if there)
    if not available.get(chosen.type, False):
        raise SettingsError(f"device {device!r}: not on this machine. Available here: {here}.")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise SettingsError(f"device {device!r}: this machine has {count} GPU(s), from cuda:0 on.")
    return chosen, "as asked"


def _no_gpu() -> str:
    # Of a build for a GPU a person mostly expects that it computes there.
    hint = ", `theobot doctor` says why" if torch.version.hip or torch.version.cuda else ""
    return f"no GPU was found{hint}"


def free_memory(device: torch.device) -> float:
    """Bytes that tensors can take on a device now."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    if device.type == "mps":
        most = torch.mps.recommended_max_memory()
        return float(most - torch.mps.driver_allocated_memory())
    return float(available_ram())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device or the host ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def keep_freed_memory() -> bool:
    """Let glibc keep large freed blocks for the next pass instead of giving them back to Linux.

    Each block that is given back is cleared again, page by page, when it is next used: some 6 % of
    a training step on a CPU. Nothing happens where the C library is another.

    Returns:
        Whether it took effect.
    """
    return set_malloc_limits(mmap_from=2**30, trim_from=2**31 - 1)


def set_malloc_limits(*, mmap_from: int, trim_from: int) -> bool:
    """Bytes from which glibc maps a block by itself, and from which it gives free memory back."""
    import ctypes
    import sys

    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mmap_threshold, trim_threshold = -3, -1  # as in glibc's malloc.h
    return bool(mallopt(mmap_threshold, mmap_from)) and bool(mallopt(trim_threshold, trim_from))
