"""Memory of a machine whose files lie below a folder, and of this one."""

import pytest

from theobot.model.ram import available_ram, read_ram

GIB = 2**30
MEMINFO = f"MemTotal:       {64 * 2**20} kB\nMemAvailable:   {48 * 2**20} kB\n"
V1 = "/sys/fs/cgroup/memory"
V2 = "/sys/fs/cgroup"


@pytest.fixture
def ram_of(tmp_path):
    def read(**files: object):
        for name, text in {"/proc/meminfo": MEMINFO, **files}.items():
            path = tmp_path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return read_ram(tmp_path)

    return read


def test_without_a_limit_the_machines_memory_counts(ram_of):
    assert ram_of() == (64 * GIB, 48 * GIB, None)


@pytest.mark.parametrize(
    ("limit", "used"),
    [
        (f"{V2}/memory.max", f"{V2}/memory.current"),
        (f"{V1}/memory.limit_in_bytes", f"{V1}/memory.usage_in_bytes"),
    ],
)
def test_a_containers_limit_counts(ram_of, limit, used):
    assert ram_of(**{limit: 8 * GIB, used: 3 * GIB}) == (64 * GIB, 5 * GIB, 8 * GIB)


def test_what_is_used_beyond_the_limit_leaves_nothing(ram_of):
    files = {f"{V2}/memory.max": GIB, f"{V2}/memory.current": 2 * GIB}
    assert ram_of(**files).available == 0


@pytest.mark.parametrize(
    ("place", "names", "line", "stat"),
    [
        (f"{V2}/a/b", ("memory.max", "memory.current"), "0::/a/b", "inactive_file"),
        (
            f"{V1}/a/b",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            "4:cpu,memory:/a/b",
            "total_inactive_file",
        ),
    ],
)
def test_the_own_group_counts_and_files_that_were_read_take_no_room(
    ram_of, place, names, line, stat
):
    found = ram_of(
        **{
            "/proc/self/cgroup": f"9:pids:/x\n{line}",
            f"{place}/{names[0]}": 8 * GIB,
            f"{place}/{names[1]}": 7 * GIB,
            f"{place}/memory.stat": f"anon 1\n{stat} {5 * GIB}\nactive_file 3",
        }
    )
    assert found == (64 * GIB, 6 * GIB, 8 * GIB)


def test_of_several_groups_the_one_that_leaves_least_counts(ram_of):
    found = ram_of(
        **{
            "/proc/self/cgroup": "0::/job/step",
            f"{V2}/job/memory.max": 16 * GIB,
            f"{V2}/job/memory.current": 14 * GIB,
            f"{V2}/job/step/memory.max": 8 * GIB,
            f"{V2}/job/step/memory.current": GIB,
        }
    )
    assert found == (64 * GIB, 2 * GIB, 16 * GIB)


def test_in_a_container_that_shows_the_hosts_path_the_mount_itself_counts(ram_of):
    found = ram_of(
        **{
            "/proc/self/cgroup": "4:memory:/docker/1234",
            f"{V1}/memory.limit_in_bytes": 4 * GIB,
            f"{V1}/memory.usage_in_bytes": GIB,
        }
    )
    assert found.available == 3 * GIB


@pytest.mark.parametrize("text", ["max", f"{2**63 - 4096}"])
def test_no_limit_is_none(ram_of, text):
    files = {f"{V2}/memory.max": "max", f"{V1}/memory.limit_in_bytes": text}
    assert ram_of(**files).limit is None


def test_without_proc_the_system_is_asked(tmp_path):
    found = read_ram(tmp_path)
    assert found.total >= found.available > 0
    assert found.limit is None


def test_of_this_machine():
    assert 2**20 < available_ram() < 2**50
