import json
from importlib import metadata

import pytest

from theobot.doctor.machine import Ran
from theobot.doctor.torch_child import look_at_torch, read_stages


def lines(*stages):
    return "".join(json.dumps(stage) + "\n" for stage in stages)


IMPORT = {"stage": "import", "version": "2.13.0+rocm7.2", "hip": "7.2.5", "cuda": None}
DEVICES = {
    "stage": "devices",
    "available": True,
    "mps": False,
    "arch_list": ["gfx1100"],
    "devices": [{"name": "AMD", "arch": "gfx1100", "memory": 2, "free": 1}],
}
BF16 = {"stage": "numbers", "bf16": {"name": "bf16", "verdict": "works", "difference": 0.003}}
REST = ({"stage": "attention", "attention": []}, {"stage": "bitsandbytes"})


def test_stages_are_put_together(make_machine, programs):
    out = "a library says hello\n" + lines(IMPORT, DEVICES, BF16, *REST)
    torch = look_at_torch(make_machine(programs=programs(probe=out)))
    assert torch.version == "2.13.0+rocm7.2"
    assert torch.devices[0].arch == "gfx1100"
    assert torch.bf16.verdict == "works"
    assert torch.ended is None


@pytest.mark.parametrize(
    ("ran", "ended"),
    [
        (Ran(lines(IMPORT), "", None), "did not end in 90 s at the stage 'devices'"),
        (Ran(lines(IMPORT, DEVICES), "", -11), "crashed at the stage 'numbers' (SIGSEGV)"),
        (Ran(lines(IMPORT, DEVICES, BF16), "x", -250), "crashed at the stage 'attention' (signal"),
        (Ran("", "Traceback\nImportError: no\n", 1), "exit code 1 at the stage 'import': ImportE"),
        (Ran(lines(IMPORT, DEVICES, BF16, *REST), "", -6), "crashed (SIGABRT)"),
    ],
)
def test_what_was_found_before_the_end_is_kept_and_the_end_is_told(ran, ended):
    found = read_stages(ran)
    assert found["ended"].startswith(ended)
    assert ("version" in found) == bool(ran.out)


def test_an_error_of_torch_is_no_crash():
    found = read_stages(Ran(lines(IMPORT, {"stage": "devices", "error": "HIP error"}), "", 1))
    assert found["error"] == "HIP error"
    assert "ended" not in found


def test_a_torch_that_says_nothing_is_still_named(make_machine, programs):
    torch = look_at_torch(make_machine(programs=programs(probe=Ran("", "", None))))
    assert torch.version == metadata.version("torch")
    assert torch.available is None


def test_without_a_gpu_amds_runtime_is_asked_why(make_machine, programs):
    class Talking(programs):
        def run(self, words, seconds, environment):
            if environment.get("AMD_LOG_LEVEL") != "3":
                return super().run(words, seconds, environment)
            self.again = words
            return Ran("", ":3:starting\n:1:rocdevice.cpp: hsa_init failed with 1000\n:3:end", 1)

    off = {"stage": "devices", "available": False, "error": "No HIP GPUs are available"}
    tools = Talking(probe=lines(IMPORT, off))
    torch = look_at_torch(make_machine(programs=tools))
    assert torch.log == (":1:rocdevice.cpp: hsa_init failed with 1000",)
    assert tools.again[-2:] == ["import", "devices"]
