"""The demo with a tiny random model in the place of nano."""

import json
import shutil
from pathlib import Path

import pytest

from theobot import demo
from theobot.config import TrainSettings, find_recipe, load_settings
from theobot.errors import RunError
from theobot.model.card import figures_of
from theobot.run_folder import RunFolder


@pytest.fixture
def tiny_flags(tiny_base_folder: Path, tmp_path: Path, rows_file: Path) -> dict[str, object]:
    """Settings of a demo of seconds; the window is wide enough for the shipped references."""
    base = tmp_path / "base"
    shutil.copytree(tiny_base_folder, base)
    config = json.loads((base / "config.json").read_text())
    config["max_position_embeddings"] = 4096
    (base / "config.json").write_text(json.dumps(config))
    return {
        "model": str(base),
        "data": str(rows_file),
        "dev_data": str(rows_file),
        "device": "cpu",
        "training": {"num_train_epochs": 1},
    }


@pytest.mark.parametrize(("full", "rows"), [(True, 1200), (False, 6 * demo.ROWS_PER_THEME)])
def test_a_fixed_part_is_trained_on_or_the_whole_set(tmp_path, full, rows):
    settings = load_settings(TrainSettings, find_recipe("nano"), {"output": str(tmp_path / "demo")})
    assert len(demo._plan(settings, full).examples) == rows


def test_every_stage_runs_and_the_files_are_named(tmp_path, tiny_flags, capsys):
    folder = tmp_path / "demo"
    demo.run_demo(folder, flags=tiny_flags, limit=1)
    out, err = capsys.readouterr()
    assert err.startswith("Computing on the CPU in float32")
    assert err.count("Computing on") == 1
    for stage in ("1. Data", "2. Training", "3. Asking", "4. Benchmark", "5. Look at"):
        assert stage in out
    assert "nats per token" in out
    run = RunFolder(folder)
    assert run.finished
    assert run.read_state()["demo"] is True
    for file in (run.loss_svg, run.bench / "side_by_side.md", run.bench / "base_in_domain.txt"):
        assert file.is_file()
        assert file.name in out
    assert figures_of((run.adapter / "README.md").read_text()), "the benchmark tells the card"


def demo_run(path: Path) -> RunFolder:
    run = RunFolder(path)
    run.make()
    run.update_state(demo=True)
    run.adapter.mkdir()
    (run.path / ".adapter.writing").mkdir()
    return run


def test_an_earlier_demo_is_replaced(tmp_path, capsys):
    run = demo_run(tmp_path / "demo")
    demo.remove_earlier_demo(run)
    assert not run.path.exists()
    assert "is replaced" in capsys.readouterr().err


def test_somebodys_own_files_are_never_deleted(tmp_path):
    run = demo_run(tmp_path / "demo")
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"not its own \(notes\.txt\)"):
        demo.remove_earlier_demo(run)
    assert run.adapter.is_dir()


@pytest.mark.parametrize("name", ["report.json", "demo", ".notes"])
def test_names_like_the_demos_own_do_not_hide_somebodys_files(tmp_path, name):
    run = demo_run(tmp_path / "demo")
    (run.path / name).write_text("mine")
    with pytest.raises(RunError, match="not its own"):
        demo.remove_earlier_demo(run)
    assert (run.path / name).read_text() == "mine"


def test_a_link_to_a_demo_is_refused(tmp_path):
    run = demo_run(tmp_path / "demo")
    (tmp_path / "link").symlink_to(run.path)
    with pytest.raises(RunError, match="is a link"):
        demo.remove_earlier_demo(RunFolder(tmp_path / "link"))
    assert run.adapter.is_dir()


def test_a_run_that_is_no_demo_is_never_replaced(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.make()
    run.update_state(status="finished")
    run.adapter.mkdir()
    with pytest.raises(RunError, match="already holds a run"):
        demo.run_demo(run.path)
    assert run.adapter.is_dir()
    demo.remove_earlier_demo(RunFolder(tmp_path / "none"))
