"""Is there room: memory of the card, memory of the machine, disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from theobot.config import TrainingSettings, TrainSettings
from theobot.doctor.checks_amd import OWN_MEMORY
from theobot.doctor.checks_system import log_lines
from theobot.doctor.facts import Disk, Facts
from theobot.doctor.finding import Check, Seen, error, warning
from theobot.model.memory import GIB

if TYPE_CHECKING:
    from theobot.training.budget import Verdict

_SLACK = {"models": 2e9, "runs": 2e9, "temporary files": 1e9}
"""Bytes that stay free beside the weights: checkpoints are some 0.1 GB each."""
_LEAST_MEMORY = 4 * GIB
"""With a GPU the machine itself holds a part of the weights at a time."""
_LEAST_SHARED = GIB


def _judged(facts: Facts, available: float, device_type: str) -> Verdict | None:
    """Whether training the base model by the recipe fits.

    The rows are taken as short as those of the shipped set. None for a model of unknown size.
    """
    from theobot.training.budget import RowLengths, judge

    if facts.shape is None:
        return None
    rows = RowLengths(longest=200, step=1500, total=90_000, scored=60_000)
    trial = facts.torch.bf16 if facts.torch else None
    has_bf16 = trial is None or trial.verdict != "unavailable"
    settings = TrainSettings(model=facts.model, training=TrainingSettings(bf16=has_bf16))
    return judge(facts.shape, settings, rows, available, device_type)


def _nearest(verdict: Verdict) -> str:
    return verdict.nearest or "No Qwen2.5 model fits."


def _card(facts: Facts) -> tuple[int, int] | None:
    """Free and all memory of the largest card, as torch says, else as the driver does."""
    devices = facts.torch.devices if facts.torch else ()
    sizes = [(device.memory, device.free) for device in devices]
    if not sizes and facts.devices:
        sizes = [
            (card.memory, card.memory - (card.memory_used or 0))
            for card in facts.devices.cards
            if card.memory is not None and card.memory >= OWN_MEMORY
        ]
    if not sizes:
        return None
    memory, free = max(sizes)
    return free, memory


def _gpu_memory(facts: Facts) -> Seen | None:
    card = _card(facts)
    now = _judged(facts, card[0], "cuda") if card else None
    if card is None or now is None or now.fits:
        return None
    free, memory, needed = (octets / GIB for octets in (*card, now.memory.total))
    text = f"Training {facts.model} needs {needed:.1f} GiB at the least; {free:.1f} GiB are free"
    empty = _judged(facts, card[1], "cuda")
    if empty is None or not empty.fits:
        return warning(f"{text} of the card's {memory:.1f} GiB.", _nearest(now))
    holders = facts.devices.holders if facts.devices else ()
    told = ", ".join(f"{one.name} (pid {one.pid}) {one.memory / GIB:.1f} GiB" for one in holders)
    return error(
        f"{text} of {memory:.1f} GiB." + (f" Held by {told}." if told else ""),
        "Close what else uses the card" + (f": {holders[0].name}." if told else "."),
        f"Or: {_nearest(now)}",
    )


GPU_MEMORY = Check(
    id="gpu-memory",
    title="The card's free memory is too small for the base model",
    platform="AMD and NVIDIA",
    sign='"Does not fit: needs 16.03 GiB ...", or out of memory while the weights load.',
    why="The weights of the 7B model alone are 14.2 GiB in bfloat16; adapter, activations and the "
    "kernels come on top. Browsers, games and other models on the card count too.",
    fix=(
        "See what uses the card (AMD; NVIDIA), and close it:",
        "$ amd-smi process",
        "$ nvidia-smi",
        "What would fit is told by:",
        "$ theobot train qwen2.5-7b --dry-run",
    ),
    find=_gpu_memory,
)


def _disk(facts: Facts) -> Seen | None:
    short = [text for disk in facts.disks or () if (text := _too_small(facts, disk))]
    if not short:
        return None
    return error(" ".join(short))


def _too_small(facts: Facts, disk: Disk) -> str | None:
    needed, what = _SLACK[disk.use], disk.use
    snapshot = facts.hub.snapshot if facts.hub else None
    if disk.use == "models":
        if snapshot is None or not snapshot.in_cache or snapshot.state == "complete":
            return None
        weights = 2 * facts.shape.parameters if facts.shape else 0
        needed += max(0, weights - snapshot.present)
        what = f"models ({facts.model} is not whole yet)"
    if disk.free >= needed:
        return None
    return (
        f"{disk.path}: {disk.free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB are needed for "
        f"{what}."
    )


DISK = Check(
    id="disk",
    title="A disk is too full",
    platform="all",
    sign='"No space left on device", or a download that stops.',
    why="The 7B model is 15.2 GB, a merged export as much again; a run keeps checkpoints of some "
    "0.1 GB. A full disk ends a training, though never with a broken checkpoint.",
    fix=(
        "See what is large, and what of the Hub's cache is not needed:",
        "$ du -sh ~/.cache/huggingface runs/*",
        "$ hf cache ls",
        "Or keep models on another disk:",
        "$ export HF_HOME=/other/disk/hf_cache",
    ),
    find=_disk,
    patterns=(
        r"no space left on device",
        r"disk quota exceeded",
        r"not enough space on the disk",
        r"GB are free there, but",
    ),
)


def _ram(facts: Facts) -> Seen | None:
    memory = facts.memory
    if memory is None:
        return None
    available = memory.available / GIB
    whose = "the container's limit counts" if memory.limit else f"{memory.total / GIB:.0f} in all"
    if facts.gpu:
        if memory.available < _LEAST_MEMORY:
            return warning(f"{available:.1f} GiB of RAM are free ({whose}).", *_RAM_WITH_GPU)
        several = facts.torch is not None and len(facts.torch.devices) > 1
        if several and memory.shared is not None and memory.shared < _LEAST_SHARED:
            return warning(
                f"/dev/shm has {memory.shared / 2**20:.0f} MiB, through which several GPUs speak.",
                "$ docker run --shm-size=2g ...",
            )
        return None
    on_cpu = _judged(facts, memory.available, "cpu")
    if on_cpu is None or on_cpu.fits:
        return None
    needed = on_cpu.memory.total / GIB
    return warning(
        f"Without a graphics card {facts.model} needs {needed:.1f} GiB of RAM to train; "
        f"{available:.1f} GiB are free ({whose}).",
        _nearest(on_cpu),
        "Asking in float32 needs twice the size of the weights.",
    )


_RAM_WITH_GPU = ("Close other programs, or raise the container's limit (docker run --memory).",)

RAM = Check(
    id="ram",
    title="The machine has too little free memory (RAM)",
    platform="all",
    sign='"can\'t allocate memory", a process that ends with "Killed", or a container that stops.',
    why="Without a graphics card the whole model lies in RAM. Linux kills the largest process when "
    "it runs out, without a word to it.",
    fix=(
        "Close other programs, raise the container's limit, or take a smaller model:",
        "$ theobot train qwen2.5-1.5b --dry-run",
    ),
    find=_ram,
    patterns=(
        r"can't allocate memory|cannot allocate memory",
        r"^MemoryError",
        r"bus error.*shared memory|insufficient shared memory",
    ),
)


def _out_of_memory(facts: Facts) -> Seen | None:
    lines = log_lines(facts, kills=True)
    if not lines:
        return None
    return warning(
        f"Linux killed a process because RAM was used up: {lines[-1]}",
        "Close other programs, or take a smaller model:",
        "$ theobot train qwen2.5-1.5b --dry-run",
    )


OUT_OF_MEMORY = Check(
    id="out-of-memory",
    title="Memory ran out while training or asking",
    platform="all",
    sign='"HIP out of memory", "CUDA out of memory", or `Out of memory at step ...`.',
    why="Training keeps activations for each token of a pass. The batch of 16 is computed in as "
    "few passes as fit, and Theobot halves a pass by itself: so a larger "
    "gradient_accumulation_steps, which helps elsewhere, is not needed. When a single row does not "
    "fit, the row is too long or the model too large. Answers need memory for each token too.",
    fix=(
        "Asking: a lower --max-new-tokens, or a smaller model. Training: "
        "--training.checkpoint-every-n-layers 1, --load-in-4bit, --lora.lora-dropout 0 or a lower "
        "--tokens.max-length; what each gives is told by",
        "$ theobot train ... --dry-run",
        "With another trainer: batch 1, and a larger gradient_accumulation_steps.",
    ),
    find=_out_of_memory,
    patterns=(r"out of memory", r"OutOfMemoryError", r"hipErrorOutOfMemory"),
)
