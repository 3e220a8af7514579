"""Recorded machines -> findings. Each check is told by one machine at least, and not by another."""

from __future__ import annotations

from pathlib import Path

import pytest

from theobot.doctor.finding import Severity
from theobot.doctor.findings import ALL_CHECKS, CHECKS, diagnose, explain

NAMES = sorted(path.stem for path in (Path(__file__).parent / "machines").glob("*.json"))
ALL = {check.id: check for check in ALL_CHECKS}


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_is_told_what_is_wrong_and_nothing_else(name, facts_of, findings_wanted):
    findings = diagnose(facts_of(name))
    assert [finding.id for finding in findings] == findings_wanted(name)
    for finding in findings:
        assert finding.seen.endswith((".", "!", ")")) or ": " in finding.seen
        assert finding.fix, f"{finding.id} has no fix"
        assert "{" not in finding.seen
        assert "None" not in finding.seen


def test_every_check_has_a_machine_that_tells_it_and_one_that_does_not(findings_wanted):
    told = [set(findings_wanted(name)) for name in NAMES]
    for name in ALL:
        assert any(name in ids for ids in told), f"no machine tells {name}"
        assert any(name not in ids for ids in told), f"every machine tells {name}"
    assert set().union(*told) == set(ALL)


def test_ids_are_unique_and_every_check_is_whole():
    assert len(ALL) == len(CHECKS) + 1
    for check in ALL.values():
        assert check.title
        assert check.title[-1] != "."
        assert check.sign.endswith(".")
        assert check.why.endswith(".")
        assert check.fix
        assert check.platform in ("AMD", "NVIDIA", "AMD and NVIDIA", "Apple", "Windows", "all")


def test_the_gravest_come_first(facts_of):
    findings = diagnose(facts_of("windows-cpu-wheel"))
    assert [one.severity for one in findings] == [Severity.ERROR, Severity.ERROR, Severity.INFO]


def test_a_run_that_was_not_asked_about_is_a_warning(facts_of):
    asked, newest = (
        diagnose(facts_of(name))[0] for name in ("run-out-of-memory", "run-out-of-memory-newest")
    )
    assert asked.severity is Severity.ERROR
    assert newest.severity is Severity.WARNING
    assert "The run runs/first failed after step 41 of 225" in asked.seen


def test_why_a_run_failed_is_told_beside_what_the_same_check_sees_now(facts_of):
    log = {"lines": ["Out of memory: Killed process 12 (firefox)"]}
    failed, now = diagnose(facts_of("run-out-of-memory", kernel_log=log))
    assert {failed.id, now.id} == {"out-of-memory"}
    assert failed.severity is Severity.ERROR
    assert "The run runs/first failed" in failed.seen
    assert "firefox" in now.seen


def test_a_reason_that_no_check_knows_is_told_in_its_own_words(facts_of):
    finding = diagnose(facts_of("run-reason-unknown"))[0]
    assert finding.severity is Severity.ERROR
    assert "The loss is nan at step 7" in finding.seen
    assert finding.fix[-1] == "$ theobot train --output runs/first --resume"


@pytest.mark.parametrize("name", ["run-reason-unknown", "run-interrupted", "run-called-running"])
def test_a_run_that_wrote_no_settings_is_not_to_be_resumed(facts_of, name):
    finding = diagnose(facts_of(name, failure={"resumable": False}))[0]
    assert finding.id == "run-ended"
    assert not any("--resume" in step for step in finding.fix)
    assert "type the same command again" in finding.fix[0]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RuntimeError: HIP error: Module not initialized", "gpu-not-usable"),
        ("RuntimeError: No HIP GPUs are available", "gpu-not-usable"),
        ("RuntimeError: Found no NVIDIA driver on your system.", "gpu-not-usable"),
        ("AssertionError: Torch not compiled with CUDA enabled", "wrong-wheel"),
        ("Unable to open /dev/kfd read-write: Permission denied", "kfd-permission"),
        ("Failed to open /dev/dri/renderD128: Permission denied", "render-permission"),
        ("Unable to open /dev/kfd read-write: No such file or directory", "no-kfd"),
        ("Memory access fault by GPU node-1 on address 0x7f", "gfx-override"),
        ("hipErrorNoBinaryForGpu: Unable to find code object", "no-kernels"),
        ("HIP error: invalid device function", "no-kernels"),
        ("CUDA error: no kernel image is available for execution", "no-kernels"),
        ("NVIDIA GeForce GTX 1080 has no bfloat16. Type --training.no-bf16", "bf16"),
        ("No attention of torch 2.9.1 computes correctly on AMD Radeon", "attention"),
        ("OutOfMemoryError: HIP out of memory. Tried to allocate 2 GiB.", "out-of-memory"),
        ("Out of memory at step 3 with a single row of 900 tokens in a pass.", "out-of-memory"),
        ("PermissionError: [Errno 13] Permission denied: '/h/.cache/huggingface/hub'", "hub-cache"),
        ("/srv/hub: may not be written. Use a cache of your own", "hub-cache"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried 9 bytes", "ram"),
        ("Cannot reach the Hub: offline mode is enabled.", "offline"),
        ("couldn't connect and couldn't find them in the cached files.", "offline"),
        ("401 Client Error: Unauthorized", "hub-token"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "hub-unreachable"),
        ("httpx.ProxyError: 407 Proxy Authentication Required", "hub-unreachable"),
        ("ImportError: cannot import name 'HybridCache' from 'transformers'", "packages"),
        ("Cannot re-initialize CUDA in forked subprocess.", "forked"),
        ("HIP error: unspecified launch failure", "gpu-reset"),
        ("UserWarning: expandable_segments not supported on this platform", "allocator"),
        ("generation flags are not valid and may be ignored: ['top_k']", "generation-warnings"),
    ],
)
def test_an_error_text_is_recognised(text, name):
    first, second = explain(text)
    assert first.startswith(f"theobot doctor says: {ALL[name].title}. ")
    assert second.endswith(f"{name}.")


def test_an_error_is_answered_by_the_first_steps_in_one_line():
    first, _ = explain("/dev/kfd: permission denied")
    assert first == (
        "theobot doctor says: Your account may not use /dev/kfd. "
        "`sudo usermod -aG render,video $USER`. "
        "Log out fully and in again, or restart the machine. "
        "Never chmod 666, and no sudo for training: files that root made are refused later."
    )
    assert explain("HIP out of memory")[0].endswith("is told by `theobot train ... --dry-run`.")


@pytest.mark.parametrize(
    "text",
    [
        "rows.jsonl: no such file",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
        "CUDA error: device-side assert triggered",
        "The loss is nan at step 7 with row rows.jsonl:12",
        "ModuleNotFoundError: No module named 'theobot.nothing'",
        "This needs lm-eval (No module named 'lm_eval'). Type: pip install \"theobot[regress]\"",
        "ImportError: cannot import name 'nothing' from 'theobot.bench' (/srv/theobot/bench.py)",
        "device 'cuda': not on this machine. Available here: cpu.",
        "Does not fit: needs 16.03 GiB, 11.00 GiB are free.",
        "",
    ],
)
def test_other_errors_are_left_alone(text):
    assert explain(text) == []


@pytest.mark.parametrize(
    ("sign", "advice"),
    [
        ('HIP "Module not initialized"', ("video", "render", "rocminfo", "reboot")),
        ("Permission denied: '~/.cache/huggingface'", ("export HF_HOME=~/hf_cache",)),
        ("out of memory", ("gradient_accumulation_steps", "--max-new-tokens")),
        ("generation flags are not valid", ("export TRANSFORMERS_VERBOSITY=error",)),
    ],
)
def test_the_troubles_of_the_original_guide_are_answered(sign, advice):
    check = next(check for check in CHECKS if check.explains(sign))
    told = " ".join(check.fix)
    assert all(word in told for word in advice)


def test_the_fix_of_an_error_names_the_model_that_it_is_about():
    told = explain('model "owner/small": cannot be loaded: HF_HUB_OFFLINE is set.')
    assert "`theobot fetch owner/small`" in told[0]
    assert "Qwen2.5-7B" not in told[0]
    assert "Qwen2.5-7B" in explain("HF_HUB_OFFLINE is set.")[0]
