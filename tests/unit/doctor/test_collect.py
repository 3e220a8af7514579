import json
import threading

import pytest

from theobot.doctor.collect import collect
from theobot.doctor.findings import diagnose
from theobot.doctor.machine import Ran

OFF = '{"stage": "devices", "available": false, "mps": false}\n'


def test_a_whole_machine_from_its_files(make_machine, radeon_files, programs):
    """From small files to findings: a Radeon beside a Ryzen, and torch that sees neither."""
    stage = {"stage": "import", "version": "2.13.0+rocm7.2", "hip": "7.2.5", "cuda": None}
    machine = make_machine(
        radeon_files,
        model="Qwen/Qwen2.5-7B-Instruct",
        environment={"HSA_OVERRIDE_GFX_VERSION_1": "11.0.0", "SECRET": "x", "HF_TOKEN": "hf_y"},
        programs=programs(
            probe=Ran(json.dumps(stage) + "\n" + OFF, "", 0), rocminfo="", journalctl="x\n"
        ),
    )
    facts = collect(machine)
    assert facts.unknown == {}
    assert facts.environment == {"HSA_OVERRIDE_GFX_VERSION_1": "11.0.0"}
    assert facts.kernel_log.lines == ()
    places = {disk.use: disk.path for disk in facts.disks}
    assert places["models"] == facts.hub.cache == f"{machine.home}/.cache/huggingface/hub"
    found = [finding.id for finding in diagnose(facts)]
    assert found[:3] == ["second-gpu", "gfx-override", "gpu-not-usable"]


def test_a_source_that_fails_is_not_known_and_stops_no_other(make_machine, programs):
    def broken(path, mode):
        raise RuntimeError("the disk is gone")

    machine = make_machine(access=broken, programs=programs(probe=OFF))
    machine.path("/dev").mkdir()
    machine.path("/dev/kfd").write_text("")
    facts = collect(machine)
    assert facts.devices is None
    assert facts.unknown["devices"] == "RuntimeError: the disk is gone"
    assert facts.unknown["kernel_log"] == "PermissionError: not readable by this account"
    assert facts.torch is not None
    assert facts.disks is not None


def test_a_source_that_hangs_is_left_behind(make_machine, programs):
    released = threading.Event()

    class Hanging(programs):
        def find(self, name):
            released.wait(60)

    facts = collect(make_machine(programs=Hanging(probe=OFF)), limit=0.1)
    assert facts.unknown["devices"] == "took more than 0.1 s"
    assert released.is_set() is False
    released.set()


@pytest.mark.parametrize("name", ["HIP_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "PYTORCH_ALLOC_CONF"])
def test_variables_that_matter_are_kept(make_machine, programs, name):
    machine = make_machine(environment={name: "1"}, programs=programs(probe=OFF))
    assert collect(machine).environment == {name: "1"}
