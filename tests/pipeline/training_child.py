"""Body of a child process of `test_resume.py` that may be killed at any moment.

Run by path (`runpy.run_path`), because test modules are not importable by name. Expects the
globals `flags` (settings) and `resume`.
"""

import time
import warnings

import torch

from theobot.config import TrainSettings, load_settings
from theobot.training.plan import plan_training
from theobot.training.train import train

# peft still asks transformers by the old name, as pyproject.toml says of the tests themselves.
warnings.simplefilter("ignore", FutureWarning)
torch.set_num_threads(1)
plan = plan_training(load_settings(TrainSettings, None, flags), resume=resume)  # type: ignore[name-defined]  # noqa: F821
train(plan, on_report=lambda report: time.sleep(0.01), on_note=lambda note: None)
