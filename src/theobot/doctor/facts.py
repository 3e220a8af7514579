"""What was seen of a machine, as plain values: findings are told from these alone.

Sizes are in bytes. A section that is None could not be seen; `Facts.unknown` says why. Paths are
the machine's own; a token's value is never read (see masking.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from theobot.model.shape import ModelShape, qwen25_shape

INTEGRATED_SHARE = 4
"""A GPU with less than one such part of the largest one's units is the processor's own."""


class Fact(BaseModel):
    """Values that do not change and that a JSON file can hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Wsl(Fact):
    """Linux inside Windows, which reaches the GPU by /dev/dxg instead of /dev/kfd.

    `bridge` is AMD's librocdxg; `old_runtime` Ubuntu's own HSA library, which would hide ROCm's.
    """

    dxg: bool
    bridge: bool
    old_runtime: bool


class System(Fact):
    """`name` is "Linux", "Darwin" or "Windows"; `release` the kernel's."""

    name: str
    release: str
    machine: str
    python: str
    distribution: str | None = None
    container: bool = False
    wsl: Wsl | None = None


class Node(Fact):
    """A device node and whether this process may read and write it.

    `in_group` is whether this process has the node's group, `promised` whether the list of groups
    names this account there, so that the next log-in will.
    """

    path: str
    group: str
    access: bool
    in_group: bool
    promised: bool


class Card(Fact):
    """A graphics card on the PCI bus; `vendor` is "amd", "nvidia", "intel", or its number."""

    vendor: str
    device: str
    driver: str | None = None
    memory: int | None = None
    memory_used: int | None = None


class KernelGpu(Fact):
    """A GPU as AMD's kernel driver offers it to programs; `units` are its SIMD units."""

    arch: str
    units: int


class Holder(Fact):
    """A process that holds GPU memory."""

    pid: int
    name: str
    memory: int


class Devices(Fact):
    """Graphics cards, and the way to them.

    `amdgpu` is the version of AMD's kernel driver ("in the kernel" if it names none), None if it is
    not loaded. `tools` are those of rocminfo, amd-smi, rocm-smi and nvidia-smi that are installed.
    """

    cards: tuple[Card, ...] = ()
    amdgpu: str | None = None
    kfd: Node | None = None
    render: tuple[Node, ...] = ()
    gpus: tuple[KernelGpu, ...] = ()
    holders: tuple[Holder, ...] = ()
    tools: tuple[str, ...] = ()

    def has(self, vendor: str) -> bool:
        """Whether there is a card of a vendor."""
        return any(card.vendor == vendor for card in self.cards)

    @property
    def integrated(self) -> tuple[int, ...]:
        """Places in `gpus` of those that are so small that they are part of a processor."""
        most = max((gpu.units for gpu in self.gpus), default=0)
        return tuple(
            place for place, gpu in enumerate(self.gpus) if gpu.units * INTEGRATED_SHARE < most
        )


class TorchDevice(Fact):
    """A GPU as torch sees it; `arch` is "gfx1100" or "sm_90"."""

    name: str
    arch: str
    memory: int
    free: int


class Trial(Fact):
    """What became of a small computation on the GPU, held against the same on the CPU.

    `difference` is a share of the largest value; None also stands for a result that is not finite.
    """

    name: str
    verdict: Literal["works", "unavailable", "wrong"]
    difference: float | None = None
    reason: str | None = None


class Torch(Fact):
    """The installed PyTorch, and what it did in a process of its own.

    Attributes:
        version: with its local part, such as "2.13.0+rocm7.2".
        hip: version of ROCm's HIP that it was built with.
        cuda: version of CUDA that it was built with.
        available: whether it can use a GPU; None if it did not get so far.
        error: what it said when it could not be imported, or could not start a GPU.
        log: what AMD's runtime said then.
        arch_list: architectures it has kernels for.
        devices: GPUs it sees.
        mps: whether it can use an Apple GPU.
        bf16: a product in bfloat16.
        attention: each attention of torch, forward and backward.
        bitsandbytes: whether it can be imported; None if it is not installed or was not tried.
        ended: how the process ended when it did not end well, and at what.
    """

    version: str
    hip: str | None = None
    cuda: str | None = None
    available: bool | None = None
    error: str | None = None
    log: tuple[str, ...] = ()
    arch_list: tuple[str, ...] = ()
    devices: tuple[TorchDevice, ...] = ()
    mps: bool = False
    bf16: Trial | None = None
    attention: tuple[Trial, ...] = ()
    bitsandbytes: Trial | None = None
    ended: str | None = None

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor number."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)


class Memory(Fact):
    """Memory of the machine; `limit` is that of the container, `shared` the room in /dev/shm."""

    total: int
    available: int
    limit: int | None = None
    shared: int | None = None


class Disk(Fact):
    """Room where something is kept: "models", "runs" or "temporary files"."""

    use: str
    path: str
    free: int


class Snapshot(Fact):
    """The base model's files on this machine.

    `in_cache` is whether they are the Hub's to bring (else they lie in a folder of the person's),
    `unfinished` counts downloads that were cut off.
    """

    state: Literal["absent", "incomplete", "complete"]
    in_cache: bool = False
    missing: tuple[str, ...] = ()
    unfinished: int = 0
    present: int = 0


class Online(Fact):
    """What the Hub answered when asked for the model: a status, or what went wrong before one."""

    status: int | None = None
    error: str | None = None


class Hub(Fact):
    """The cache of the Hugging Face Hub, and the way there.

    Attributes:
        cache: the folder.
        writable: whether this process may write there (or make it, if it is missing).
        owner: "you", "root" or "another account"; None if the folder is missing.
        foreign: folders inside that this process may not write to.
        filesystem: its kind, such as "ext4" or "nfs4".
        token: where a token was found: "environment" or "file".
        snapshot: the base model in the cache or folder; None for a model that is neither.
        online: only if the person asked for it.
    """

    cache: str
    writable: bool
    owner: str | None = None
    foreign: tuple[str, ...] = ()
    filesystem: str | None = None
    token: Literal["environment", "file"] | None = None
    snapshot: Snapshot | None = None
    online: Online | None = None


class Packages(Fact):
    """Installed versions by name, and what Theobot asks for, such as "peft>=0.21"."""

    versions: dict[str, str]
    required: tuple[str, ...] = ()


class KernelLog(Fact):
    """Lines of the kernel's log that tell of trouble with a GPU or of a killed process."""

    lines: tuple[str, ...] = ()


class Failure(Fact):
    """How a run ended that did not finish.

    `asked` is whether the person named the run. One that ended before its settings were written
    down is not `resumable`.
    """

    run: str
    status: str
    text: str
    step: int | None = None
    total_steps: int | None = None
    when: str | None = None
    asked: bool = False
    resumable: bool = True


class Facts(Fact):
    """Everything that was seen, and why the rest was not.

    Attributes:
        model: the base model that is to be used.
        environment: those variables that matter here, by name.
        unknown: section -> why it is None.
    """

    system: System
    model: str
    environment: dict[str, str] = Field(default_factory=dict)
    devices: Devices | None = None
    torch: Torch | None = None
    memory: Memory | None = None
    disks: tuple[Disk, ...] | None = None
    hub: Hub | None = None
    packages: Packages | None = None
    kernel_log: KernelLog | None = None
    failure: Failure | None = None
    unknown: dict[str, str] = Field(default_factory=dict)

    @property
    def shape(self) -> ModelShape | None:
        """What the base model measures, where that is known without reading a file."""
        return qwen25_shape(self.model)

    @property
    def amd(self) -> bool:
        """Whether Linux itself must reach a card of AMD."""
        linux = self.system.name == "Linux" and self.system.wsl is None
        return linux and self.devices is not None and self.devices.has("amd")

    @property
    def gpu(self) -> bool:
        """Whether torch can use a GPU."""
        return self.torch is not None and bool(self.torch.available or self.torch.mps)
