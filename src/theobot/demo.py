"""The whole pipeline on the embedded nano model, as `theobot demo` shows it.

Check data -> train -> ask -> benchmark, each stage by the same functions as its own command. The
run is marked as a demo: other commands never take it by themselves, and the next demo in the same
place replaces it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theobot import terminal, views
from theobot.config import GenerationSettings, TrainSettings, find_recipe, load_settings
from theobot.errors import RunError
from theobot.run_folder import RunFolder, held

if TYPE_CHECKING:
    from theobot.generation.local import LocalGenerator
    from theobot.training.plan import TrainPlan

QUESTION = "What is the main message of Deuteronomy 24:17?"

ROWS_PER_THEME = 22
"""Rows of each theme in the fixed part that is trained on without --full."""


def run_demo(
    folder: Path,
    *,
    full: bool = False,
    flags: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> None:
    """Run every stage and name the files to look at.

    Args:
        folder: the demo's run folder; an earlier demo there is replaced.
        full: train on the whole shipped set.
        flags: settings that win over the nano recipe.
        limit: most benchmark questions per set.

    Raises:
        RunError: the folder holds something else than an earlier demo.
    """
    from theobot.generation.local import load_generator
    from theobot.model.adapter import select
    from theobot.model.device import choose_compute

    run = RunFolder(folder)
    wanted = {**(flags or {}), "output": str(run.path)}
    settings = load_settings(TrainSettings, find_recipe("nano"), wanted)
    compute = choose_compute(settings.device, settings.training.bf16)
    terminal.note(compute.sentence())
    remove_earlier_demo(run)
    plan = _plan(settings, full)
    _check_data(plan)
    _train(plan, known=compute.sentence())
    generator = load_generator(select(run=run.path), compute=compute)
    _ask(generator)
    _benchmark(generator, run, limit)
    _name_files(run)


def remove_earlier_demo(run: RunFolder) -> None:
    """Delete an earlier demo's run; anything that is not one stays, and is told.

    Raises:
        RunError: somebody's own files lie among the demo's, or the folder is a link.
    """
    if not run.path.is_dir() or not run.read_state().get("demo"):
        return
    if run.path.is_symlink():
        raise RunError(
            f"{run.path}: is a link to an earlier demo. Give the folder itself with -o, or another."
        )
    own = run.own_names
    foreign = [path.name for path in run.path.iterdir() if path.name not in own]
    if foreign:
        raise RunError(
            f"{run.path}: holds an earlier demo and files that are not its own "
            f"({', '.join(sorted(foreign))}). Move them away, or choose another folder with -o."
        )
    with ExitStack() as holds:
        for part in (run.path, run.bench):
            if part.is_dir():
                holds.enter_context(held(part))
        shutil.rmtree(run.path)
    terminal.note(f"The earlier demo in {run.path} is replaced.")


def _plan(settings: TrainSettings, full: bool) -> TrainPlan:
    from theobot.data.dataset import stratified
    from theobot.training.plan import plan_training

    plan = plan_training(settings)
    # Without dev rows the last adapter is kept. The dev loss would keep an early one, with which
    # so small a model still goes round in circles; `theobot train nano` does keep that one.
    plan = plan._replace(dev_examples=[])
    if not full:
        plan = plan._replace(examples=stratified(plan.examples, ROWS_PER_THEME))
    # Marked before anything is trained, so that a demo that was killed can be replaced too.
    plan.folder.make()
    plan.folder.update_state(demo=True)
    return plan


def _check_data(plan: TrainPlan) -> None:
    from theobot.data.dataset import summarise

    terminal.heading("1. Data: each row was checked, no problems")
    terminal.facts(
        {
            "file": plan.settings.data,
            "rows to train on": len(plan.examples),
            "rows per theme": summarise(plan.examples)["themes"],
        },
        indent=1,
    )


def _train(plan: TrainPlan, known: str) -> None:
    from theobot.training.train import train

    def on_note(text: str) -> None:
        if text != known:
            terminal.note(text)

    terminal.heading(f"2. Training: {plan.total_steps} steps of {plan.settings.model} with LoRA")
    with terminal.TrainingProgress() as progress:
        result = train(plan, on_report=progress.report, on_note=on_note)
    if result.interrupted:
        raise KeyboardInterrupt
    views.show_training(result)


def _ask(generator: LocalGenerator) -> None:
    from theobot.data.prompt import Turn

    terminal.heading(f"3. Asking: {QUESTION}")
    for arm in generator.arms:
        parts = generator.stream([Turn("user", QUESTION)], arm, GenerationSettings().max_new_tokens)
        terminal.show_answer(terminal.ARM_NAMES[arm], parts)


def _benchmark(generator: LocalGenerator, run: RunFolder, limit: int | None) -> None:
    from theobot.bench.benchmark import run_bench
    from theobot.bench.probes.likelihood import compare_likelihood

    terminal.heading("4. Benchmark: both models on questions that were not trained on")
    with terminal.Progress("Answering") as progress:
        result = run_bench(
            generator,
            run.bench,
            limit=limit,
            run=run.path,
            on_progress=lambda at: progress.show(at.done, at.total),
            on_note=terminal.note,
        )
    assert result is not None, "the demo is one process"
    views.show_bench(result)
    in_domain = [question for question in result.questions if question.set == "in_domain"]
    views.show_likelihood(compare_likelihood(generator, in_domain))


def _name_files(run: RunFolder) -> None:
    terminal.heading("5. Look at")
    terminal.facts(
        {
            "the report": run.bench / "report.html",
            "answers side by side": run.bench / "side_by_side.md",
            "loss over time": run.loss_svg,
            "the adapter (plain PEFT)": run.adapter,
            "what it was made with": run.environment,
        },
        indent=1,
    )
    terminal.note(f'Ask it yourself: theobot ask --run {run.path} --compare "..."')
    terminal.note("nano shows how the pipeline works; what it says is not to be believed.")
