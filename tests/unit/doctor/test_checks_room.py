"""Numbers of the checks about room, where they change their mind."""

import pytest

from theobot.doctor.checks_room import DISK, GPU_MEMORY, RAM
from theobot.doctor.finding import Severity

GIB = 2**30


def card(free: float) -> dict[str, object]:
    name = "AMD Radeon RX 7900 XTX"
    return {
        "devices": [{"name": name, "arch": "gfx1100", "memory": 24 * GIB, "free": int(free * GIB)}]
    }


@pytest.mark.parametrize(("free", "fits"), [(23, True), (17, True), (14.1, False), (5, False)])
def test_free_memory_of_the_card_against_the_weights(facts_of, free, fits):
    seen = GPU_MEMORY.find(facts_of("radeon", torch=card(free)))
    assert (seen is None) is fits
    if seen:
        assert seen.severity is Severity.ERROR
        assert f"{free:.1f} GiB are free of 24.0 GiB" in seen.text


def test_without_torch_the_drivers_numbers_count(facts_of):
    used = facts_of(
        "radeon-no-groups",
        devices={
            "cards": [
                {"vendor": "amd", "device": "0x744c", "memory": 24 * GIB, "memory_used": 15 * GIB}
            ]
        },
    )
    assert "9.0 GiB are free" in GPU_MEMORY.find(used).text
    assert GPU_MEMORY.find(facts_of("radeon-no-groups")) is None


def test_a_smaller_model_fits_where_the_large_one_does_not(facts_of):
    small = facts_of("radeon", model="Qwen/Qwen2.5-1.5B-Instruct", torch=card(5))
    assert GPU_MEMORY.find(small) is None
    assert GPU_MEMORY.find(facts_of("radeon", model="someone/else", torch=card(1))) is None


def test_room_for_what_is_still_missing_of_the_model(facts_of):
    def seen(present: float, free: float):
        snapshot = {"state": "incomplete", "present": int(present * 1e9)}
        disks = [{"use": "models", "path": "/d", "free": int(free * 1e9)}]
        return DISK.find(facts_of("radeon", disks=disks, hub={"snapshot": snapshot}))

    assert "17.2 GB are needed" in seen(0, 17).text
    assert seen(0, 17.5) is None
    assert seen(10, 7.5) is None
    assert "7.2 GB are needed" in seen(10, 7).text


def test_ram_counts_where_the_cpu_computes(facts_of):
    def seen(gibibytes: float, name: str = "laptop-7b"):
        return RAM.find(facts_of(name, memory={"available": int(gibibytes * GIB)}))

    assert seen(20) is None
    assert seen(12).severity is Severity.WARNING
    assert seen(12, "radeon") is None
    assert seen(3, "radeon").severity is Severity.WARNING
