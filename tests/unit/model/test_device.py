"""Which device, which number format, and why."""

from __future__ import annotations

import platform

import pytest
import torch

from theobot.errors import SettingsError
from theobot.model.device import Compute, choose_compute, free_memory, is_out_of_memory
from theobot.model.environment import environment


def test_the_first_sentence_names_device_format_and_reason():
    compute = Compute(torch.device("cpu"), torch.float32, "no GPU was found")
    assert compute.sentence() == "Computing on the CPU in float32: no GPU was found."


@pytest.mark.parametrize(
    ("bf16", "dtype"), [(None, torch.float32), (True, torch.bfloat16), (False, torch.float32)]
)
def test_settings_decide_the_format_on_a_cpu(bf16, dtype):
    compute = choose_compute("cpu", bf16)
    assert compute.device.type == "cpu"
    assert compute.dtype == dtype
    assert compute.reason.startswith("as asked")


@pytest.mark.parametrize(
    ("bf16", "supported", "told"),
    [(True, False, True), (True, True, False), (False, False, False), (None, False, False)],
)
def test_a_cpu_that_emulates_bfloat16_says_what_is_faster(monkeypatch, bf16, supported, told):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert ("--training.no-bf16" in choose_compute("cpu", bf16).sentence()) is told


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(("hip", "told"), [(None, False), ("7.2.0", True)])
def test_a_build_for_a_gpu_that_finds_none_names_the_doctor(monkeypatch, hip, told):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert ("`theobot doctor` says why" in choose_compute().reason) is told


@pytest.mark.parametrize("name", ["gpu", "tpu:0", "", "cuda:99"])
def test_devices_that_are_not_here_are_refused_with_those_that_are(name):
    with pytest.raises(SettingsError, match=r"not on this machine.*cpu|has \d+ GPU|this machine"):
        choose_compute(name)


def test_the_environment_of_a_run_names_versions_and_device():
    facts = environment(choose_compute("cpu", False))
    assert facts["packages"]["torch"] == torch.__version__
    assert facts["device"] == "the CPU"
    assert facts["dtype"] == "float32"


def test_free_memory_of_the_cpu_is_that_of_the_process():
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (MemoryError(), True),
        (RuntimeError("can't allocate memory for a table of the data file"), False),
        (RuntimeError("shape mismatch"), False),
        (OSError("out of memory"), False),
    ],
)
def test_only_memory_errors_are_taken_for_out_of_memory(error, expected):
    assert is_out_of_memory(error) == expected


FAULTS = """
import resource, torch
from theobot.model.device import keep_freed_memory
if kept:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16 << 20)
before = faults()
for _ in range(5):
    torch.ones(16 << 20)
told.send(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept_on_linux_with_glibc(fork_server):
    """In a process of its own: the setting is for good. Page faults tell whether it works."""
    found = {}
    for kept in (True, False):
        hears, tells = fork_server.Pipe(duplex=False)
        process = fork_server.Process(target=exec, args=(FAULTS, {"kept": kept, "told": tells}))
        process.start()
        tells.close()
        with hears:
            found[kept] = hears.recv()
        process.join()
    assert found[True] < 0.1 * found[False]
