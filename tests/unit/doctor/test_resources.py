import pytest

from theobot.doctor.machine import Ran
from theobot.doctor.resources import (
    look_at_disks,
    look_at_kernel_log,
    look_at_memory,
    look_at_system,
)

GIB = 2**30


def test_a_plain_linux(make_machine, radeon_files):
    system = look_at_system(make_machine(radeon_files))
    assert system.distribution == "Ubuntu 24.04.3 LTS"
    assert system.release == "6.14.0-33-generic"
    assert not system.container
    assert system.wsl is None


@pytest.mark.parametrize("mark", ["/.dockerenv", "/run/.containerenv"])
def test_a_container_is_known_by_its_mark(make_machine, mark):
    assert look_at_system(make_machine({mark: ""})).container


def test_kubernetes_is_known_by_its_group(make_machine):
    assert look_at_system(make_machine({"/proc/1/cgroup": "0::/kubepods/pod1\n"})).container


def test_wsl_and_what_it_needs(make_machine):
    machine = make_machine(release="6.6.87.2-microsoft-standard-WSL2")
    assert look_at_system(machine).wsl.model_dump() == {
        "dxg": False,
        "bridge": False,
        "old_runtime": False,
    }
    machine = make_machine(
        {
            "/dev/dxg": "",
            "/opt/rocm-7.2.0/lib/librocdxg.so.1": "",
            "/usr/lib/x86_64-linux-gnu/libhsa-runtime64.so.1": "",
        },
        release="6.6.87.2-microsoft-standard-WSL2",
    )
    wsl = look_at_system(machine).wsl
    assert wsl.dxg
    assert wsl.bridge
    assert wsl.old_runtime


def test_memory_of_the_machine(make_machine, radeon_files):
    memory = look_at_memory(make_machine({**radeon_files, "/dev/shm/x": ""}))
    assert memory.total == 65691952 * 1024
    assert memory.available == 57042880 * 1024
    assert memory.limit is None
    assert memory.shared > 0


def test_a_containers_limit_counts(make_machine, radeon_files):
    group = "/sys/fs/cgroup"
    files = {f"{group}/memory.max": f"{8 * GIB}\n", f"{group}/memory.current": f"{3 * GIB}\n"}
    memory = look_at_memory(make_machine({**radeon_files, **files}))
    assert (memory.available, memory.limit) == (5 * GIB, 8 * GIB)


def test_disks_are_told_by_what_is_kept_there(make_machine, tmp_path):
    machine = make_machine(environment={"HF_HOME": str(tmp_path / "hf"), "TMPDIR": str(tmp_path)})
    disks = {disk.use: disk for disk in look_at_disks(machine)}
    assert disks["models"].path == str(tmp_path / "hf" / "hub")
    assert disks["runs"].path == str(tmp_path / "runs")
    assert disks["temporary files"].path == str(tmp_path)
    assert all(disk.free > 0 for disk in disks.values())


LOG = """usb 1-1: new device
amdgpu 0000:03:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=12, emitted seq=14
amdgpu 0000:03:00.0: amdgpu: [gfxhub] page fault (src_id:0 ring:24 vmid:8)
amdgpu 0000:03:00.0: amdgpu: GPU reset begin!
amdgpu 0000:03:00.0: amdgpu: SMU is initialized successfully!
NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.
Out of memory: Killed process 4321 (python) total-vm:61234567kB
"""


def test_trouble_in_the_kernels_log(make_machine, programs):
    lines = look_at_kernel_log(make_machine(programs=programs(journalctl=LOG))).lines
    assert len(lines) == 5
    assert "timeout" in lines[0]
    assert "Killed process" in lines[-1]


def test_dmesg_is_asked_where_the_journal_says_nothing(make_machine, programs):
    tools = programs(journalctl=Ran("", "no access", 1), dmesg=LOG)
    assert len(look_at_kernel_log(make_machine(programs=tools)).lines) == 5


def test_a_log_that_may_not_be_read_is_not_an_empty_one(make_machine, programs):
    tools = programs(dmesg=Ran("", "dmesg: read kernel buffer failed", 1))
    with pytest.raises(PermissionError):
        look_at_kernel_log(make_machine(programs=tools))


def test_windows_has_no_kernel_log(make_machine):
    assert look_at_kernel_log(make_machine(system="Windows")) is None
