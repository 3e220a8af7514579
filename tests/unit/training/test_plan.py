from __future__ import annotations

import json
from pathlib import Path

from theobot.config import TrainSettings, load_settings
from theobot.training.plan import plan_training

ROW = {"prompt": "User: What is sewa?\nAssistant:", "completion": "Selfless service."}


def test_files_of_rows_are_known_by_their_whole_paths_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "dev"):
        Path(f"{name}.jsonl").write_text(json.dumps(ROW) + "\n")
    typed = {"model": "nano", "data": "mine.jsonl", "dev_data": "~/dev.jsonl", "output": "run"}
    settings = plan_training(load_settings(TrainSettings, None, typed)).settings
    assert settings.data == str(tmp_path / "mine.jsonl")
    assert settings.dev_data == str(tmp_path / "dev.jsonl")
