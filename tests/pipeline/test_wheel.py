"""A built wheel, installed outside the source tree, runs the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHORT_DEMO = """
from pathlib import Path
import theobot.cli
from theobot.demo import run_demo
assert theobot.__file__.startswith({target!r}), theobot.__file__
brief = {{"num_train_epochs": 0.01, "gradient_accumulation_steps": 1}}
run_demo(Path("demo"), flags={{"device": "cpu", "training": brief}}, limit=1)
assert theobot.cli.main(["train", "nano", "--dry-run"]) == 0
"""


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    run(*build, str(ROOT), cwd=out)
    return next(out.glob("theobot-*.whl"))


def test_the_wheel_holds_what_is_needed_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "theobot/recipes/qwen2.5-7b.toml",
        "theobot/recipes/nano.toml",
        "theobot/curriculum/train_fixed.jsonl",
        "theobot/curriculum/questions/in_domain_questions.txt",
        "theobot/nano/model.safetensors",
        "theobot/nano/tokenizer.json",
        "theobot/nano/README.md",
        "theobot/serving/page/index.html",
        "theobot/serving/page/page.js",
    ):
        assert needed in names
    assert {name.split("/")[0] for name in names} == {"theobot", wheel.name[:13] + ".dist-info"}
    assert any(name.endswith("licenses/LICENSE-DATA") for name in names)


def test_an_installed_wheel_runs_the_demo(wheel, tmp_path):
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, "--target", target, wheel, cwd=tmp_path)
    code = SHORT_DEMO.format(target=str(target))
    shown = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(target))
    assert "5. Look at" in shown
    assert (tmp_path / "demo" / "bench" / "side_by_side.md").is_file()
    config = json.loads((tmp_path / "demo" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "nano"
    assert "model: nano" in shown
