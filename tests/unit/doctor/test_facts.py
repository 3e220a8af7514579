import pytest
from pydantic import ValidationError

from theobot.doctor.facts import Devices, Facts, KernelGpu, System, Torch


def gpus(*units: int) -> Devices:
    return Devices(gpus=tuple(KernelGpu(arch="gfx1100", units=one) for one in units))


@pytest.mark.parametrize(
    ("units", "small"),
    [((192, 4), (1,)), ((4, 192), (0,)), ((192, 192), ()), ((80,), ()), ((), ()), ((192, 80), ())],
)
def test_a_gpu_inside_the_processor_is_known_by_its_size(units, small):
    assert gpus(*units).integrated == small


def test_facts_go_through_json_and_back(facts_of):
    facts = facts_of("radeon-second-gpu")
    assert Facts.model_validate_json(facts.model_dump_json()) == facts


def test_what_is_not_known_as_a_fact_is_refused():
    with pytest.raises(ValidationError):
        Torch.model_validate({"version": "2.13.0", "verison": "x"})


def test_wsl_and_windows_reach_no_card_as_linux_does(facts_of):
    assert facts_of("radeon").amd
    assert not facts_of("wsl").amd
    assert not facts_of("windows").amd


def test_the_shape_is_known_for_qwen_alone(facts_of):
    assert facts_of("radeon").shape.layers == 28
    assert facts_of("radeon", model="someone/else").shape is None
    assert facts_of("radeon", model="nano").shape is None


def test_release_is_the_first_two_numbers():
    assert Torch(version="2.9.1+rocm6.4").release == (2, 9)
    assert Torch(version="2.14.0.dev20261001+rocm7.14").release == (2, 14)


def test_facts_need_only_the_system():
    system = System(name="Linux", release="6.8", machine="x86_64", python="3.12")
    facts = Facts(system=system, model="nano")
    assert not facts.gpu
    assert not facts.amd
