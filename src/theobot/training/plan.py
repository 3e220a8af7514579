"""What a run will do, checked as far as it can be without loading a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from theobot.config import TrainSettings, explain
from theobot.data.dataset import (
    fingerprint,
    shipped_dev_data,
    shipped_training_data,
    summarise,
)
from theobot.data.examples import Example, read_examples
from theobot.errors import DataError, RunError, SettingsError
from theobot.model import ranks
from theobot.model.base import resolve_model
from theobot.run_folder import RunFolder, new_run_folder, read_json
from theobot.training.choices import refuse_unsound


class TrainPlan(NamedTuple):
    """Checked settings, rows and run folder."""

    settings: TrainSettings
    folder: RunFolder
    examples: list[Example]
    dev_examples: list[Example]
    resume: bool

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        per_epoch = math.ceil(len(self.examples) / self.settings.examples_per_step)
        return math.ceil(per_epoch * self.settings.training.num_train_epochs)

    def summary(self) -> dict[str, Any]:
        """What --dry-run shows: settings, data, steps."""
        return {
            "run": str(self.folder.path),
            "settings": self.settings.model_dump(mode="json"),
            "dataset": dataset_summary(self.examples, self.dev_examples),
            "examples_per_step": self.settings.examples_per_step,
            "total_steps": self.total_steps,
        }


def plan_training(settings: TrainSettings, *, resume: bool = False) -> TrainPlan:
    """Check settings, data and folder; loads no model and writes nothing.

    Args:
        settings: from `load_settings`; with `resume` only those given by the person count, and
            they must agree with the run's own.
        resume: go on with the run in `settings.output`.

    Raises:
        TheobotError: with all problems of all data files.
    """
    settings = _with_whole_paths(settings)
    if resume:
        settings = _settings_of_run(settings)
    elif settings.data is None:
        dev = settings.dev_data or str(shipped_dev_data())
        settings = settings.model_copy(
            update={"data": str(shipped_training_data()), "dev_data": dev}
        )
    refuse_unsound(settings)
    folder = RunFolder(settings.output) if settings.output else new_run_folder(settings.model)
    if not resume and ranks.is_first():
        folder.refuse_if_taken()
    resolve_model(settings.model)
    plan = TrainPlan(settings, folder, *_read_data(settings), resume)
    if resume:
        _refuse_other_rows(plan)
    return plan


def _with_whole_paths(settings: TrainSettings) -> TrainSettings:
    """Files of rows by their absolute paths, so that a run finds them again from any folder."""
    paths = {
        name: Path(typed).expanduser()
        for name in ("data", "dev_data")
        if (typed := getattr(settings, name))
    }
    whole = {name: str(path.absolute()) for name, path in paths.items() if path.is_file()}
    return settings.model_copy(update=whole)


def _refuse_other_rows(plan: TrainPlan) -> None:
    """See that a run goes on with the rows that it began with."""
    began = read_json(plan.folder.dataset)
    settings = plan.settings
    changed = [
        f"{source}: not the rows that {plan.folder.path} began with. Restore the file, or start a "
        "new run with another --output."
        for source, part, rows in (
            (settings.data, "train", plan.examples),
            (settings.dev_data, "dev", plan.dev_examples),
        )
        if rows and fingerprint(rows) != (began.get(part) or {}).get("fingerprint")
    ]
    if changed:
        raise DataError(changed)


def _settings_of_run(given: TrainSettings) -> TrainSettings:
    if given.output is None:
        raise SettingsError("--resume needs the run to go on with: type --output runs/<name>.")
    folder = RunFolder(given.output)
    if not folder.config.is_file():
        raise RunError(
            f"{folder.path}: no run to go on with (config.json not found). "
            "Leave out --resume to begin one there."
        )
    if folder.finished:
        raise RunError(f"{folder.path}: this run is finished; its adapter is {folder.adapter}.")
    try:
        stored = TrainSettings.model_validate(read_json(folder.config))
    except ValidationError as error:
        problems = explain(TrainSettings, error, str(folder.config))
        again = f"{folder.config}: damaged, or of another version. Restore it, or train anew."
        raise RunError([*problems, again]) from None
    typed = given.model_dump(exclude_unset=True, exclude={"output"})
    merged = TrainSettings.model_validate(_overlay(stored.model_dump(), typed))
    if merged != stored:
        raise SettingsError(
            f"{folder.path}: --resume goes on with the run's own settings, but others were given. "
            "Leave them out, or start a new run with another --output."
        )
    return stored.model_copy(update={"output": given.output})


def _overlay(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    return {
        **low,
        **{
            key: _overlay(low[key], value) if isinstance(value, dict) else value
            for key, value in high.items()
        },
    }


def _read_data(settings: TrainSettings) -> tuple[list[Example], list[Example]]:
    assert settings.data is not None, "resolved by plan_training"
    read: list[list[Example]] = []
    problems: list[str] = []
    for source in (settings.data, settings.dev_data):
        try:
            read.append(read_examples(source) if source else [])
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(problems)
    return read[0], read[1]


def dataset_summary(examples: list[Example], dev_examples: list[Example]) -> dict[str, Any]:
    """Content of dataset.json."""
    return {
        "train": summarise(examples),
        "dev": summarise(dev_examples) if dev_examples else None,
    }


def same_plan(plan: TrainPlan) -> TrainPlan:
    """The first process's run folder, once all processes read the same rows and settings."""
    settings = plan.settings.model_dump(mode="json", exclude={"output"})
    facts = (settings, fingerprint(plan.examples), fingerprint(plan.dev_examples))
    everybodys = ranks.gathered(facts)
    for number, other in enumerate(everybodys):
        if other != everybodys[0]:
            raise RunError(
                f"Process {number} was started with other settings or reads other rows than "
                "process 0. Type the same command on all machines, and give them the same files."
            )
    return plan._replace(folder=RunFolder(ranks.from_first(plan.folder.path)))
