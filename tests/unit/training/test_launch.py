"""What a launcher may ask for, and what cannot work."""

from __future__ import annotations

import pytest
import torch

from theobot.config import TrainSettings
from theobot.errors import SettingsError
from theobot.training import launch

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("variables", "device", "says"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, CPU, "DeepSpeed was asked for"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, CPU, "silently use DDP"),
        ({"ACCELERATE_USE_FSDP": "true"}, CUDA, "--fsdp_version 2"),
        ({"WORLD_SIZE": "4"}, CPU, "RANK is not set"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(monkeypatch, variables, device, says):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says):
        launch.refuse_impossible_start(TrainSettings(), device)


@pytest.mark.parametrize(
    "settings", [{"load_in_4bit": True}, {"lora": {"init_lora_weights": "pissa"}}]
)
def test_settings_that_need_whole_weights_do_not_go_with_fsdp(monkeypatch, settings):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(SettingsError, match="does not go with FSDP"):
        launch.refuse_impossible_start(TrainSettings.model_validate(settings), CUDA)


def test_fsdp_2_on_a_gpu_is_let_through_and_weights_are_loaded_everywhere(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    launch.refuse_impossible_start(TrainSettings(), CUDA)
    assert launch.os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"
