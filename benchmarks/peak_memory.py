"""Peak memory of a piece of work in bytes of tensors, not in resident size.

Resident size says what the allocator of the C library keeps, which depends on everything the
process did before. On a CPU the profiler reports each allocation and each release of PyTorch's
allocator, temporary memory inside an operation included; on a GPU PyTorch counts by itself.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator

# Read at the first profile; otherwise kineto reports each start and end on stderr.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile


def peak_bytes(run: Callable[[], None], device: torch.device | str = "cpu") -> int:
    """Most bytes of tensors alive at one time in `run`, above those alive at its start.

    A tensor that was there before and is released inside lowers the sum. Not seen on a CPU: what
    operations ask of the C library directly (scratch memory of oneDNN), and the release of tensors
    that were known to neither Python nor this allocator (NumPy's, files mapped into memory).

    Args:
        run: the work; on a CPU it takes longer than unmeasured.
        device: where its tensors are: a CPU, or a CUDA or ROCm GPU (counted there in blocks of
            512 bytes).

    Returns:
        The peak, at least 0.

    Raises:
        ValueError: this kind of device is not counted.
    """
    device = torch.device(device)
    gc.collect()
    if device.type == "cuda":
        return _peak_of_gpu(run, device)
    if device.type != "cpu":
        raise ValueError(f"device {device}: peak memory is measured on cpu and cuda only.")
    with _memory_profile():
        _make_known()
    with _memory_profile() as found:
        run()
    highest = alive = 0
    for change in _changes(found):
        alive += change
        highest = max(highest, alive)
    return highest


def _peak_of_gpu(run: Callable[[], None], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _memory_profile() -> profile:
    return profile(activities=[ProfilerActivity.CPU], profile_memory=True)


def _changes(found: profile) -> list[int]:
    """Bytes allocated (positive) and released (negative) on the CPU, in the order of time."""
    assert found.profiler is not None
    assert found.profiler.kineto_results is not None
    events = [
        event
        for event in found.profiler.kineto_results.events()
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU
    ]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def _make_known() -> None:
    """Allocate the memory of each live tensor anew, while the profiler looks.

    It knows the sizes of those blocks alone that it saw allocated, in this profile or an earlier
    one, and says nothing when another is released. A storage stays the same object, so all tensors
    that share it go along.
    """
    for storage in _live_storages():
        if storage.nbytes() and storage.resizable():
            storage.resize_(storage.nbytes())


def _live_storages() -> Iterator[torch.UntypedStorage]:
    seen: set[int] = set()
    for tensor in _live_tensors():
        if tensor.device.type == "cpu" and tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen:
                # The address is new afterwards; it is the new one that must not come twice.
                yield storage
                seen.add(storage.data_ptr())


def _live_tensors() -> Iterator[torch.Tensor]:
    for thing in gc.get_objects():
        # Not isinstance: it wakes up lazy modules and proxies. Other kinds of tensor (torch.compile
        # leaves fake ones behind) have no memory of their own.
        if type(thing) in (torch.Tensor, torch.nn.Parameter):
            yield thing
            if thing.is_leaf and thing.grad is not None:
                yield thing.grad
