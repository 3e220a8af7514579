"""What is set before torch is imported, and what is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from theobot.model.before_torch import TorchBuild, additions, installed_torch, prepare

EXPERIMENTAL = "TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL"
ALLOCATOR = "PYTORCH_ALLOC_CONF"
TURNS = "GOMP_SPINCOUNT"
CUDA = TorchBuild((2, 13), "13.0", None)
CPU = TorchBuild((2, 13), None, None)


def rocm(minor: int) -> TorchBuild:
    return TorchBuild((2, minor), None, "7.2.53211")


def names(build, environment=None, system="Linux", release="6.8.0-generic"):
    """What is added for this build; not what is added for all."""
    found = additions(build, environment or {}, system, release)
    return {one.name: one.value for one in found if one.name != TURNS}


@pytest.mark.parametrize("minor", [8, 10, 13, 14])
def test_rocm_gets_the_experimental_attention_and_no_allocator_setting(minor):
    assert names(rocm(minor)) == {EXPERIMENTAL: "1"}


def test_torch_2_9_for_rocm_does_not_get_kernels_that_compute_wrongly():
    assert names(rocm(9)) == {}


def test_cuda_on_linux_gets_expandable_segments_alone():
    assert names(CUDA) == {ALLOCATOR: "expandable_segments:True"}


@pytest.mark.parametrize(
    ("system", "release"),
    [("Windows", "11"), ("Linux", "5.15.167.4-microsoft-standard-WSL2")],
)
def test_where_expandable_segments_do_not_work_they_are_not_set(system, release):
    assert names(CUDA, system=system, release=release) == {}


def test_on_linux_threads_do_not_wait_at_full_speed_for_long():
    (one,) = additions(CPU, {}, "Linux", "")
    assert (one.name, one.value) == (TURNS, "2000")
    for name in (TURNS, "OMP_WAIT_POLICY"):
        assert additions(CPU, {name: "0"}, "Linux", "") == []


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
def test_a_cpu_gets_nothing_elsewhere(system):
    assert additions(CPU, {}, system, "") == []


def test_what_a_person_has_set_stays_under_any_of_its_names():
    assert names(rocm(13), {EXPERIMENTAL: "0"}) == {}
    for name in (ALLOCATOR, "PYTORCH_CUDA_ALLOC_CONF"):
        assert names(CUDA, {name: "max_split_size_mb:128"}) == {}


def test_every_addition_has_a_reason():
    assert all(one.reason for one in additions(rocm(13), {}, "Linux", ""))


def test_the_installed_torch_is_known_without_importing_it():
    import torch

    build = installed_torch()
    assert build is not None
    assert torch.__version__.startswith("{}.{}.".format(*build.version))
    assert (build.cuda, build.hip) == (torch.version.cuda, torch.version.hip)


def run_with_torch(folder: Path, version: str, code: str) -> list[object]:
    """Run code where `import torch` finds a package with nothing but this version.py."""
    package = folder / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('torch was imported')\n")
    (package / "version.py").write_text(version)
    probe = f"import sys, os, json\nsys.path.insert(0, {str(folder)!r})\n{code}"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_the_command_line_sets_it_before_any_command(tmp_path):
    version = "__version__ = '2.13.0+rocm7.2'\ncuda = None\nhip = '7.2.53211'\n"
    code = f"from theobot.cli import main\nmain(['--version'])\nprint(json.dumps(['torch' in \
sys.modules, os.environ.get({EXPERIMENTAL!r})]))"
    assert run_with_torch(tmp_path, version, code) == [False, "1"]


def test_once_torch_is_there_nothing_is_set():
    environment: dict[str, str] = {}
    import torch  # noqa: F401

    assert prepare(environment) == []
    assert environment == {}


def test_an_unreadable_version_sets_nothing(tmp_path):
    code = """
from theobot.model.before_torch import prepare
print(json.dumps([list(one) for one in prepare()]))"""
    assert run_with_torch(tmp_path, "__version__ = 'unknown'\ncuda = '13'\n", code) == []
