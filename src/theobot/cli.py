"""The command line: one short function per command, which parses, calls, shows and exits.

Exit codes: 0 done; 1 the thing checked has errors; 2 the person's input or settings are wrong; of a
benchmark 3 its plan is not met, 4 one cannot tell, 5 it would mean nothing; 70 a bug, with its
traceback; 130 interrupted. Nothing at the top of this module imports torch or transformers, so that
`--help` answers at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.help import ColumnSpec, DefaultFormatter, DescriptionRenderer, NameRenderer
from pydantic import ValidationError

from theobot import __version__, terminal, views
from theobot.cli_bench import bench, mark
from theobot.cli_data import data, scripture
from theobot.cli_export import export
from theobot.cli_models import Flag, Selectors, load_generator
from theobot.cli_serve import serve
from theobot.config import (
    GenerationSettings,
    ServeSettings,
    TokenSettings,
    TrainSettings,
    explain,
    find_recipe,
    load_settings,
)
from theobot.errors import (
    BUG,
    INTERRUPTED,
    PROBLEMS,
    ModelError,
    RunError,
    SettingsError,
    TheobotError,
)
from theobot.model import before_torch, collector, ranks

if TYPE_CHECKING:
    from theobot.generation.generator import Arm, Generator
    from theobot.scripture.grounding import Grounded

# Wide enough that a long flag is only ever broken before its last part.
_NAME_WIDTH = 36
_NO_HOME = "Could not determine home directory."
"""What `Path.expanduser` says."""

app = App(
    name="theobot",
    help="Fine-tune Qwen2.5 into a GCSE Religious Education specialist, ask it, and benchmark it.",
    version=__version__,
    help_format="plaintext",
    help_formatter=DefaultFormatter(
        column_specs=(
            ColumnSpec(renderer=NameRenderer(_NAME_WIDTH), max_width=_NAME_WIDTH, style="cyan"),
            ColumnSpec(renderer=DescriptionRenderer()),
        )
    ),
    default_parameter=Parameter(negative_iterable=()),
    console=terminal.wrapping,
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
)
app.command(data)
app.command(bench)
app.command(mark)
app.command(scripture)
app.command(serve)
app.command(export)


@app.command
def demo(
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"])] = Path("runs/demo"),
    full: Flag = False,
) -> int:
    """Run the whole pipeline on the embedded nano model: check data, train, ask, benchmark.

    Args:
        output: Folder of the demo's run; an earlier demo there is replaced.
        full: Train on the whole shipped set instead of a fixed part of it.
    """
    from theobot.demo import run_demo

    run_demo(output, full=full)
    return 0


@app.command
def doctor(
    *,
    run: Path | None = None,
    model: str | None = None,
    online: Flag = False,
    json: Flag = False,
) -> int:
    """Look for what is wrong with this machine, and say how to mend it; changes nothing.

    Exit code 1 if there is something to mend. No token or password is shown; the JSON names neither
    your home nor your account, so that it can be passed on.

    Args:
        run: A run folder whose last failure is explained; without it that of the newest run.
        model: Base model that is to fit: a Hub id, a local folder, or "nano".
        online: Ask the Hugging Face Hub one question, to see whether it can be reached.
        json: Write facts and findings as JSON.
    """
    from theobot.doctor.collect import collect
    from theobot.doctor.finding import Severity
    from theobot.doctor.findings import diagnose
    from theobot.doctor.machine import this_machine
    from theobot.doctor.masking import without_names

    machine = this_machine(run, model, online=online)
    facts = collect(machine)
    findings = diagnose(facts)
    if json:
        told = {
            "facts": facts.model_dump(mode="json"),
            "findings": [finding._asdict() for finding in findings],
        }
        terminal.write_json(without_names(told, machine.home, machine.environment))
    else:
        views.show_doctor(facts, findings)
    return PROBLEMS if any(one.severity is Severity.ERROR for one in findings) else 0


@app.command
def runs(folder: Path = Path("runs"), /, *, json: Flag = False) -> int:
    """List the runs: data, model, steps, best loss, verdict, size.

    Args:
        folder: Where the runs lie.
        json: Write JSON for programs.
    """
    from theobot.run_folder import list_runs, summarise_run

    found = [summarise_run(run) for run in list_runs(folder)]
    if json:
        terminal.write_json([run._asdict() for run in found])
    elif found:
        views.show_runs(found)
    else:
        terminal.note(f"No runs in {folder}. `theobot train` or `theobot demo` makes one.")
    return 0


@app.command
def train(
    config: Path | None = None,
    /,
    *,
    settings: Annotated[TrainSettings, Parameter(name="*")] = TrainSettings(),
    resume: Flag = False,
    dry_run: Flag = False,
    memory: float | None = None,
) -> int:
    """Fine-tune the base model with LoRA. Settings: defaults < TOML file < flags.

    Args:
        config: A TOML file, or the name of a shipped recipe such as qwen2.5-7b or nano.
        resume: Go on with the interrupted run in --output, exactly where it stopped.
        dry_run: Show settings, data counts, steps, time, and whether it fits into memory (exit code
            1 if not); load no weights and write nothing.
        memory: With --dry-run: ask about a GPU with so many GiB free instead of this machine.
    """
    from theobot.training.plan import plan_training
    from theobot.training.train import train as run_training

    flags = settings.model_dump(exclude_unset=True)
    file = find_recipe(config) if config is not None else None
    plan = plan_training(load_settings(TrainSettings, file, flags), resume=resume)
    if memory is not None and not dry_run:
        raise SettingsError("--memory asks about another card and goes with --dry-run alone.")
    if dry_run:
        from theobot.training.forecast import forecast

        found = forecast(plan.settings, plan.examples, memory)
        views.show_forecast(plan.summary(), found)
        return PROBLEMS if found.verdict and not found.verdict.fits else 0
    try:
        with terminal.TrainingProgress() as progress:
            result = run_training(plan, on_report=progress.report, on_note=terminal.note)
    except KeyboardInterrupt:
        if not plan.folder.config.is_file():
            raise
        terminal.note(
            "Interrupted. The checkpoints made before are still there. Go on with "
            f"`theobot train --output {plan.folder.path} --resume`."
        )
        return INTERRUPTED
    views.show_training(result)
    return INTERRUPTED if result.interrupted else 0


@app.command
def ask(
    question: str,
    /,
    *,
    selectors: Annotated[Selectors, Parameter(name="*")] = Selectors(),
    base: Flag = False,
    compare: Flag = False,
    scripture: Flag = False,
    generation: Annotated[GenerationSettings, Parameter(name="*")] = GenerationSettings(),
    json: Flag = False,
) -> int:
    """Ask one question.

    Args:
        question: The question, in quotation marks.
        base: Ask the base model alone.
        compare: Ask the base model and Theobot.
        scripture: Put the words of the Bible verses that the question names before it.
        json: Write JSON for programs.
    """
    from theobot.data.escapes import is_text
    from theobot.data.prompt import Turn
    from theobot.scripture.grounding import Grounded, ground

    if not question.strip():
        raise SettingsError('The question is empty. Type theobot ask "QUESTION".')
    if not is_text(question):
        raise SettingsError("The question is not valid UTF-8. Type it again, or ask in a chat.")
    generator = load_generator(selectors, base=base, compare=compare)
    arms = generator.arms if compare else generator.arms[-1:]
    asked = ground(question.strip()) if scripture else Grounded(question.strip(), [], [])
    views.show_grounded(asked)
    turns = [Turn("user", asked.prompt)]
    if json:
        answers = {
            arm: generator.answer([turns], arm, max_new_tokens=generation.max_new_tokens)[0]
            for arm in arms
        }
        terminal.write_json(_answers_json(question, asked, generator, answers))
        return 0
    for arm in arms:
        title = terminal.ARM_NAMES[arm] if compare else None
        terminal.show_answer(title, generator.stream(turns, arm, generation.max_new_tokens))
    return 0


def _answers_json(
    question: str, asked: Grounded, generator: Generator, answers: dict[Arm, Any]
) -> dict[str, Any]:
    return {
        "question": question,
        "scripture_given": [verse._asdict() for verse in asked.given],
        **generator.describe(),
        "answers": {arm: answer._asdict() for arm, answer in answers.items()},
    }


@app.command
def chat(
    *,
    selectors: Annotated[Selectors, Parameter(name="*")] = Selectors(),
    base: Flag = False,
    generation: Annotated[GenerationSettings, Parameter(name="*")] = GenerationSettings(),
) -> int:
    """Chat over several turns; /base and /theobot switch, /compare asks both, /quit ends.

    Args:
        base: Load the base model alone.
    """
    from theobot.generation.chat import Conversation

    generator = load_generator(selectors, base=base)
    terminal.run_chat(Conversation(generator, generation.max_new_tokens))
    return 0


@app.command
def fetch(
    model: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
) -> int:
    """Bring a base model to this machine, for when it is offline later. Can be resumed.

    Args:
        model: A Hub id such as Qwen/Qwen2.5-7B-Instruct. Only safetensors are fetched.
        output: Folder for the files; without it the Hub's cache, where --model finds them.
    """
    from theobot.model.fetch import fetch_model

    bars = terminal.notes_are_seen()
    folder = fetch_model(model, output, on_note=terminal.note, show_bars=bars)
    terminal.line(str(folder))
    return 0


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; the entry point of the `theobot` script.

    Args:
        tokens: what was typed after `theobot`; by default this process's own arguments.
    """
    _quiet_libraries()
    before_torch.prepare()
    collector.rest()
    if not ranks.is_first():
        terminal.silence()
    try:
        with terminal.steady_output(), _stopped_by_signal():
            code = app(sys.argv[1:] if tokens is None else list(tokens))
            return code if isinstance(code, int) else 0
    except CycloptsError as error:
        terminal.error(_usage_problems(error))
        return 2
    except TheobotError as error:
        ranks.leave_word_to_first()
        terminal.error(error.problems)
        if isinstance(error, ModelError | RunError | SettingsError):
            terminal.error(_doctors_words(str(error)))
        return error.exit_code
    except KeyboardInterrupt:
        terminal.note(
            "Interrupted. What was saved before is still there; type the same command again."
        )
        return INTERRUPTED
    except Exception as error:
        return _told_unexpected(error)


def _told_unexpected(error: Exception) -> int:
    """Tell what is no `TheobotError`: a fault of the machine, or a bug; its exit code."""
    if isinstance(error, RuntimeError) and str(error) == _NO_HOME:
        terminal.error(
            ["A path begins with ~NAME, but this machine knows no such account. Type it in full."]
        )
        return TheobotError.exit_code
    of_machine = isinstance(error, RuntimeError | OSError | MemoryError | ImportError)
    words = _doctors_words(f"{type(error).__name__}: {error}") if of_machine else []
    if words:
        terminal.error([f"{type(error).__name__}: {error}", *words])
        return TheobotError.exit_code
    bug = "This is a bug in Theobot. Please report it with the lines above."
    terminal.error(["".join(traceback.format_exception(error)), bug])
    return BUG


@contextlib.contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does; several processes are left to their launcher."""
    if (
        threading.current_thread() is not threading.main_thread()
        or ranks.world_size() > 1
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _doctors_words(text: str) -> list[str]:
    """What `theobot doctor` knows about an error, by its text alone."""
    from theobot.doctor.findings import explain

    return explain(text)


def _quiet_libraries() -> None:
    """Keep libraries' warnings from people; `python -W default -m theobot` shows them."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # PEFT imports it wherever it is installed, used or not.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|accelerate|datasets)\b")


def _usage_problems(error: CycloptsError) -> list[str]:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        groups = (TrainSettings, GenerationSettings, TokenSettings, ServeSettings)
        kinds = {group.__name__: group for group in groups}
        return explain(kinds[cause.title], cause, "command line")
    return [f"{' '.join(str(error).split())} `theobot --help` lists what there is."]
