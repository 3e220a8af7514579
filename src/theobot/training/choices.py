"""Settings that are sound one by one, but not together or not on this machine.

Asked before any model is loaded, and all problems are told at once.
"""

from __future__ import annotations

import importlib.util

from theobot.config import TrainSettings
from theobot.errors import SettingsError
from theobot.model.base import NO_BITSANDBYTES

_TRACKERS = {
    "azure_ml": ("azureml", "azureml-sdk"),
    "comet_ml": ("comet_ml", "comet-ml"),
    "flyte": ("flytekit", "flytekit"),
}
"""Module and package of a tracker, where they are not called as the tracker is."""


def refuse_unsound(settings: TrainSettings) -> None:
    """Check choices against each other and against the packages installed here.

    Args:
        settings: with data and dev data resolved.

    Raises:
        SettingsError: with a sentence for each problem.
    """
    problems = [*_pissa_problems(settings), *_early_stopping_problems(settings)]
    problems += [*_package_problems(settings), *_tracker_problems(settings.training.report_to)]
    if problems:
        raise SettingsError(problems)


def _pissa_problems(settings: TrainSettings) -> list[str]:
    lora = settings.lora
    if lora.init_lora_weights != "pissa":
        return []
    found = 'lora.init_lora_weights = "pissa"'
    reasons = {
        "lora.use_dora": lora.use_dora
        and "the lengths that DoRA learns would belong to PiSSA's changed base, not to the one "
        "that the adapter is used with",
        "load_in_4bit": settings.load_in_4bit
        and "PiSSA splits the base's weights, and 4-bit weights cannot be split exactly",
        "lora.lora_dropout above 0": lora.lora_dropout > 0
        and "dropout would drop the largest parts of the base's own weights",
    }
    return [
        f"{found} does not go with {name}: {reason}. Leave out one of them."
        for name, reason in reasons.items()
        if reason
    ]


def _early_stopping_problems(settings: TrainSettings) -> list[str]:
    patience = settings.training.early_stopping_patience
    if not patience or settings.dev_data:
        return []
    return [
        f"training.early_stopping_patience = {patience}: there are no dev rows whose loss could "
        "tell when to stop. Give some with --dev-data FILE."
    ]


def _package_problems(settings: TrainSettings) -> list[str]:
    if not settings.load_in_4bit or importlib.util.find_spec("bitsandbytes"):
        return []
    return [NO_BITSANDBYTES]


def _tracker_problems(trackers: tuple[str, ...]) -> list[str]:
    """Names that transformers does not know, and trackers that are not installed."""
    if not trackers or trackers in (("none",), ("all",)):
        return []
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    problems = []
    for name in trackers:
        module, package = _TRACKERS.get(name, (name, name))
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            problems.append(f'training.report_to = "{name}": no such tracker. There are: {known}.')
        # kubeflow is no package but a variable that its own jobs set.
        elif name != "kubeflow" and importlib.util.find_spec(module) is None:
            problems.append(
                f'training.report_to = "{name}": this tracker is not installed here. '
                f"Type: pip install {package} (or leave it out)."
            )
    return problems
