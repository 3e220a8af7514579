import os

import pytest

from theobot.doctor.devices import arch_name, look_at_devices
from theobot.doctor.facts import KernelGpu

GIB = 2**30
GROUP = "root:x:0:\nrender:x:993:anna,ben\n"


def test_cards_driver_and_gpus_of_a_radeon(make_machine, radeon_files):
    devices = look_at_devices(make_machine(radeon_files))
    assert [(card.vendor, card.device) for card in devices.cards] == [
        ("amd", "0x744c"),
        ("amd", "0x164e"),
    ]
    assert devices.cards[0].memory == 24 * GIB
    assert devices.cards[0].memory_used == GIB
    assert devices.cards[1].memory_used is None
    assert devices.amdgpu == "6.16.6"
    assert devices.gpus == (
        KernelGpu(arch="gfx1100", units=192),
        KernelGpu(arch="gfx1036", units=4),
    )
    assert devices.integrated == (1,)
    assert [node.path for node in devices.render] == ["/dev/dri/renderD128", "/dev/dri/renderD129"]
    assert devices.kfd.path == "/dev/kfd"
    assert [(one.pid, one.name, one.memory) for one in devices.holders] == [
        (4242, "ollama", 2 * GIB)
    ]


def test_the_driver_is_named_by_its_link(make_machine, radeon_files):
    machine = make_machine({**radeon_files, "/sys/bus/pci/drivers/amdgpu/new_id": ""})
    card = machine.path("/sys/bus/pci/devices/0000:03:00.0")
    (card / "driver").symlink_to("../../drivers/amdgpu")
    assert look_at_devices(machine).cards[0].driver == "amdgpu"


def test_who_may_use_a_node_and_why(make_machine, radeon_files):
    """The nodes belong to group 0 here; `access` stands for the kernel's answer."""
    machine = make_machine(
        {**radeon_files, "/etc/group": "render:x:0:anna,ben\n"},
        environment={"USER": "ben"},
        access=lambda path, mode: path.name != "kfd",
    )
    os.chown(machine.path("/dev/kfd"), -1, os.getegid())
    kfd = look_at_devices(machine).kfd
    assert not kfd.access
    assert kfd.in_group
    assert look_at_devices(machine).render[0].access
    if os.getegid() == 0:
        assert kfd.group == "render"
        assert kfd.promised


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another group")
def test_a_group_that_this_process_is_not_in(make_machine, radeon_files):
    machine = make_machine(
        {**radeon_files, "/etc/group": GROUP}, environment={"USER": "ben"}, access=lambda *_: False
    )
    os.chown(machine.path("/dev/kfd"), -1, 993)
    kfd = look_at_devices(machine).kfd
    assert (kfd.group, kfd.in_group, kfd.promised) == ("render", False, True)
    os.chown(machine.path("/dev/kfd"), -1, 994)
    kfd = look_at_devices(machine).kfd
    assert (kfd.group, kfd.in_group, kfd.promised) == ("994", False, False)


def test_a_machine_without_a_card(make_machine):
    devices = look_at_devices(make_machine())
    assert devices.cards == devices.gpus == devices.render == ()
    assert devices.kfd is None
    assert devices.amdgpu is None


def test_an_accelerator_of_nvidia_counts_and_a_network_card_does_not(make_machine):
    base = "/sys/bus/pci/devices"
    files = {}
    for slot, kind, vendor in (
        ("0000:01:00.0", "0x030200", "0x10de"),
        ("0000:02:00.0", "0x120000", "0x1002"),
        ("0000:03:00.0", "0x120000", "0x8086"),
        ("0000:04:00.0", "0x020000", "0x10de"),
    ):
        files |= {f"{base}/{slot}/class": kind, f"{base}/{slot}/vendor": vendor}
    cards = look_at_devices(make_machine(files)).cards
    assert [card.vendor for card in cards] == ["nvidia", "amd"]


def test_processes_on_an_nvidia_card(make_machine, programs):
    lines = "1234, 8192, C:\\games\\game.exe\n4321, 512, /usr/bin/python3\n9, [N/A], x\n"
    devices = look_at_devices(make_machine(programs=programs(nvidia_smi=lines)))
    assert [(one.name, one.memory) for one in devices.holders] == [
        ("game.exe", 8 * GIB),
        ("python3", GIB // 2),
    ]
    assert devices.tools == ("nvidia-smi",)


def test_elsewhere_only_the_tools_are_looked_for(make_machine, radeon_files, programs):
    machine = make_machine(radeon_files, system="Windows", programs=programs(nvidia_smi=""))
    devices = look_at_devices(machine)
    assert devices.tools == ("nvidia-smi",)
    assert devices.cards == ()


@pytest.mark.parametrize(
    ("version", "name"),
    [(110000, "gfx1100"), (90010, "gfx90a"), (100306, "gfx1036"), (90402, "gfx942")],
)
def test_names_of_architectures(version, name):
    assert arch_name(version) == name
