"""What is told of each step."""

import psutil
import torch

from theobot.training.metrics import memory_gib


def test_memory_is_that_of_the_device_in_use(monkeypatch):
    """A GPU beside a training on the CPU has nothing to tell."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked = []
    monkeypatch.setattr(
        torch.cuda, "max_memory_allocated", lambda device: asked.append(device) or 3 * 2**30
    )
    resident = psutil.Process().memory_info().rss / 2**30
    assert abs(memory_gib(torch.device("cpu")) - resident) < 0.1
    assert asked == []
    assert memory_gib(torch.device("cuda", 1)) == 3
    assert asked == [torch.device("cuda", 1)]
