"""One process that is all there is, and the GPU of each of several."""

from __future__ import annotations

import pytest
import torch

from theobot.errors import RunError, SettingsError
from theobot.model import ranks
from theobot.model.device import choose_compute

CPU = torch.device("cpu")


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


def test_one_process_agrees_with_itself(monkeypatch):
    with ranks.joined(CPU):
        assert ranks.gathered("here") == ["here"]
        assert ranks.from_first(3) == 3
        total = torch.ones(2)
        ranks.add_up(total)
        assert total.tolist() == [1, 1]
    assert not torch.distributed.is_initialized()
    with pytest.raises(RunError, match="no room"), ranks.together():
        raise RunError("no room")
    monkeypatch.setattr(ranks.time, "sleep", lambda seconds: pytest.fail("it waits for itself"))
    ranks.leave_word_to_first()
