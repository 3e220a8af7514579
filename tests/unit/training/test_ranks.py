"""What a launcher may ask for, and one process that is all there is."""

from __future__ import annotations

import time

import pytest
import torch

from theobot.config import TrainSettings
from theobot.errors import RunError, SettingsError
from theobot.model.device import choose_compute
from theobot.training import ranks

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
        ranks.refuse_impossible_start(TrainSettings(), device)


@pytest.mark.parametrize(
    "settings", [{"load_in_4bit": True}, {"lora": {"init_lora_weights": "pissa"}}]
)
def test_settings_that_need_whole_weights_do_not_go_with_fsdp(monkeypatch, settings):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(SettingsError, match="does not go with FSDP"):
        ranks.refuse_impossible_start(TrainSettings.model_validate(settings), CUDA)


def test_fsdp_2_on_a_gpu_is_let_through_and_weights_are_loaded_everywhere(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    ranks.refuse_impossible_start(TrainSettings(), CUDA)
    assert ranks.os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"


def test_each_process_gets_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert choose_compute("auto", local_rank=1).device == torch.device("cuda", 1)
    with pytest.raises(SettingsError, match="needs a GPU of its own"):
        choose_compute("cuda:1", local_rank=0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    for rank in range(3):
        with pytest.raises(SettingsError, match=r"3 processes.*has 2 GPU\(s\)"):
            choose_compute("cuda", local_rank=rank)
    assert choose_compute("cpu", local_rank=2).device == CPU


def test_one_process_agrees_with_itself():
    with ranks.joined(CPU):
        assert ranks.gathered("here") == ["here"]
        assert ranks.from_first(3) == 3
        total = torch.ones(2)
        ranks.add_up(total)
        assert total.tolist() == [1, 1]
    assert not torch.distributed.is_initialized()
    with pytest.raises(RunError, match="no room"), ranks.together():
        raise RunError("no room")
    started = time.monotonic()
    ranks.leave_word_to_first()
    assert time.monotonic() - started < 1
