"""What the recorded machines do not show: which kernels run where, and odd torches."""

import pytest

from theobot.doctor.checks_torch import ALLOCATOR, BAD_TORCH, GPU_NOT_USABLE, has_kernels

WHEEL = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "compute_120")


@pytest.mark.parametrize(
    ("arch", "built_for", "runs"),
    [
        ("sm_90", WHEEL, True),
        ("sm_89", WHEEL, True),  # kernels of 8.6 run on 8.9
        ("sm_87", ("sm_90",), False),
        ("sm_61", WHEEL, False),
        ("sm_110", ("sm_100",), False),  # another major number
        ("sm_121", WHEEL, True),
        ("sm_130", WHEEL, True),  # portable code is compiled for later cards
        ("sm_103", ("sm_100a",), True),
        ("gfx1100", ("gfx1100",), True),
        ("gfx90a", ("gfx90a:sramecc+:xnack-",), True),
        ("gfx1101", ("gfx1100", "gfx1102"), False),
    ],
)
def test_kernels_run_on_their_own_and_some_later_cards(arch, built_for, runs):
    assert has_kernels(arch, built_for) is runs


@pytest.mark.parametrize(
    ("version", "arch", "bad"),
    [
        ("2.9.0+rocm6.4", "gfx1100", True),
        ("2.9.1+rocm6.3", "gfx1101", True),
        ("2.10.0+rocm7.1", "gfx1100", False),
        ("2.8.0+rocm6.4", "gfx1100", False),
        ("2.9.1+rocm6.4", "gfx942", False),
    ],
)
def test_torch_2_9_is_bad_on_radeon_7000_alone(facts_of, version, arch, bad):
    facts = facts_of(
        "radeon", torch={"version": version}, devices={"gpus": [{"arch": arch, "units": 192}]}
    )
    assert (BAD_TORCH.find(facts) is not None) is bad


@pytest.mark.parametrize(
    ("hip", "word"), [("6.4.1", "nothing"), ("7.14.0", "hang"), ("10.0", "hang")]
)
def test_rocm_counts_7_2_then_7_14_then_10(facts_of, hip, word):
    facts = facts_of("radeon-allocator", torch={"hip": hip})
    assert word in ALLOCATOR.find(facts).text


def test_a_torch_that_cannot_be_imported(facts_of):
    error = "ImportError: libamdhip64.so.7: cannot open shared object file"
    broken = {"available": None, "error": error, "devices": [], "arch_list": []}
    seen = GPU_NOT_USABLE.find(facts_of("laptop", torch=broken))
    assert seen.text == f"torch 2.13.0+cpu does not start: {error}."
