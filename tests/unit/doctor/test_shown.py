"""What `theobot doctor` prints of a machine."""

from theobot import views
from theobot.doctor.findings import diagnose


def shown(facts, capsys):
    views.show_doctor(facts, diagnose(facts))
    return capsys.readouterr()


def test_the_gravest_first_each_with_what_to_type(facts_of, capsys):
    out, err = shown(facts_of("radeon-no-groups"), capsys)
    lines = out.splitlines()
    assert lines[:4] == [
        "system: Ubuntu 24.04.3 LTS, 6.14.0-33-generic, x86_64",
        "python: 3.12.3",
        "torch: 2.13.0+rocm7.2",
        "gpu: none that torch can use",
    ]
    assert "To mend: 3" in lines
    assert "Your account may not use /dev/kfd [kfd-permission]" in lines
    assert "    sudo usermod -aG render $USER" in lines
    assert "Nothing to mend." not in lines
    assert err == "Not seen: kernel log (PermissionError: not readable by this account).\n"


def test_a_healthy_machine_is_told_so(facts_of, capsys):
    out, err = shown(facts_of("nvidia"), capsys)
    assert "gpu: NVIDIA GeForce RTX 4090 (sm_89), 23.0 GiB of 23.6 GiB free" in out
    assert out.endswith("\nNothing to mend.\n")
    assert err == ""


def test_warnings_are_apart_and_leave_nothing_to_mend(facts_of, capsys):
    out, _ = shown(facts_of("radeon-new-kernel"), capsys)
    assert "To keep in mind: 2" in out
    assert out.endswith("\nNothing to mend.\n")


def test_an_apple_gpu_and_a_missing_torch_are_named(facts_of, capsys):
    assert "gpu: Apple" in shown(facts_of("apple"), capsys).out
    assert "torch: not installed" in shown(facts_of("laptop", torch=None), capsys).out
