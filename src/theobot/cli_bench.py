"""The commands that judge: `theobot bench ...` and `theobot mark ...`.

Exit codes of `bench`: 0 the plan is met, 3 it is not, 4 one cannot tell, 5 the run is invalid (a
leak, an adapter without effect, too many missing answers). Those of `bench regress` are alike.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from theobot import terminal, views
from theobot.cli_models import (
    Flag,
    Selectors,
    ServerSelectors,
    connect_generator,
    load_generator,
)
from theobot.errors import PROBLEMS, SettingsError
from theobot.model import ranks

if TYPE_CHECKING:
    from theobot.bench.benchmark import BenchResult
    from theobot.generation.local import LocalGenerator
    from theobot.generation.remote import RemoteGenerator
    from theobot.model.adapter import AdapterInfo

bench = App(
    name="bench", help="Compare base and Theobot on the question sets, and say whether it helped."
)
mark = App(name="mark", help="Blind marking of a benchmark's answers by people.")

_PATIENCE = 60.0
"""Seconds for which a judge's server may be away: what it said is kept, and the call goes on."""

Output = Annotated[Path | None, Parameter(name=["-o", "--output"])]


@bench.default
def compare(
    *,
    selectors: Annotated[Selectors, Parameter(name="*")] = Selectors(),
    against: Path | None = None,
    scripture: Flag = False,
    questions: Path | None = None,
    same_prompt: Flag = False,
    limit: int | None = None,
    servers: Annotated[ServerSelectors, Parameter(name="*")] = ServerSelectors(),
    output: Output = None,
) -> int:
    """Answer the question sets with base and Theobot, judge the answers, and write the report.

    Typed again after an interruption it goes on where it stopped. Started by `accelerate launch
    -m theobot bench ...`, each process answers a share of the questions on its own GPU.

    Exit code 0: better in its domain and not worse elsewhere; 3: not so; 4: cannot tell; 5: the
    run would mean nothing.

    Args:
        against: Another adapter folder (or run) of the same base, to compare with instead of with
            the base alone.
        scripture: Compare Theobot with itself, given the words of the Bible verses that a question
            names, on those questions alone.
        questions: Folder with in_domain_questions.txt, near_domain_questions.txt and
            out_of_domain_questions.txt; without it the shipped ones.
        same_prompt: Give both the seed's raw prompt, instead of each its own format.
        limit: Most questions per set.
        output: Folder for answers and files; without it `bench` beside the adapter, with -server,
            -scripture or -against-<hash> behind the name where that is asked for.
    """
    from theobot.bench.benchmark import run_bench
    from theobot.generation.grounded import GroundedGenerator

    _refuse_impossible(selectors, servers, limit, output, against, scripture=scripture)
    generator: LocalGenerator | RemoteGenerator
    together: AbstractContextManager[None] = nullcontext()
    other = None
    if servers.server is None:
        generator = load_generator(selectors, against=against)
        other = generator.against
        together = ranks.joined(generator.network.device)
    else:
        generator = connect_generator(servers.server, servers, selectors, same_prompt=same_prompt)
    run = generator.adapter and generator.adapter.path.parent
    folder = output or (run and run / _folder_name(servers, other, scripture=scripture))
    assert folder is not None, "without an adapter the base alone or a server is asked"
    with together, terminal.Progress("Answering") as progress:
        result = run_bench(
            GroundedGenerator(generator) if scripture else generator,
            folder,
            questions=questions,
            limit=limit,
            same_prompt=same_prompt,
            run=run,
            against_run=other and other.path.parent,
            on_progress=lambda at: progress.show(at.done, at.total),
            on_note=terminal.note,
        )
    return _told(result)


def _folder_name(servers: ServerSelectors, other: AdapterInfo | None, *, scripture: bool) -> str:
    parts = [
        "bench",
        *(["server"] if servers.server else []),
        *(["scripture"] if scripture else []),
        *([f"against-{other.identity()[:8]}"] if other else []),
    ]
    return "-".join(parts)


def _told(result: BenchResult | None) -> int:
    """Show a benchmark's result; its exit code, 0 where another process has the result."""
    if result is None:
        return 0
    views.show_bench(result)
    if ranks.world_size() > 1:
        # A launcher takes any other code for a crash of the whole job.
        terminal.note(f"The verdict as an exit code: theobot bench report {result.folder}")
        return 0
    return result.report.decision.exit_code


def _refuse_impossible(
    selectors: Selectors,
    servers: ServerSelectors,
    limit: int | None,
    output: Path | None,
    against: Path | None,
    *,
    scripture: bool,
) -> None:
    if scripture and against is not None:
        raise SettingsError("--scripture and --against were both given; type one of them.")
    if limit is not None and limit < 1:
        raise SettingsError(f"--limit {limit}: 1 or more was expected.")
    concurrency = servers.server_concurrency
    if concurrency is not None and concurrency < 1:
        raise SettingsError(f"--server-concurrency {concurrency}: 1 or more was expected.")
    if servers.server is None:
        if servers != ServerSelectors():
            raise SettingsError("--server-models and --server-concurrency go with --server alone.")
    elif against is not None:
        raise SettingsError(
            "--against with --server: a server's models go by their names. Type "
            "--server-models OTHER,THEOBOT."
        )
    elif ranks.world_size() > 1:
        raise SettingsError("--server was asked of several processes; start one without launcher.")
    elif output is None and selectors.run is None and selectors.adapter is None:
        raise SettingsError(
            "--server without --run or --adapter: there is no run whose folder could hold the "
            "answers. Type -o DIR."
        )


@bench.command
def plan(
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"])] = Path("plan.json"),
    questions: Path | None = None,
    limit: int | None = None,
    same_prompt: Flag = False,
) -> int:
    """Write a plan to look at and change before any answer is seen; `bench` makes one by itself.

    Put it into the folder of the benchmark as plan.json; margins, limits and seeds may be changed.

    Args:
        output: The file to write; must not exist yet.
        questions: Folder of the question sets; without it the shipped ones.
        limit: Most questions per set.
        same_prompt: Give both the seed's raw prompt.
    """
    from theobot.bench.plan import make_plan, write_plan
    from theobot.bench.questions import read_questions

    if output.exists():
        raise SettingsError(f"{output}: exists already. Choose another file with -o.")
    read_questions(questions, limit)
    write_plan(make_plan(questions, limit=limit, same_prompt=same_prompt), output)
    terminal.line(str(output))
    return 0


@bench.command
def report(folder: Path, /) -> int:
    """Score saved answers again and write the report anew; needs no model and no torch.

    Args:
        folder: Folder of a benchmark, such as runs/first/bench.
    """
    from theobot.bench.benchmark import rejudge

    result = rejudge(folder)
    views.show_report(result)
    return result.report.decision.exit_code


@bench.command
def judge(
    folder: Path,
    /,
    *,
    server: str,
    judge_model: str,
    allow_same_family: Flag = False,
    limit: int | None = None,
    concurrency: int = 4,
) -> int:
    """Ask a language model what it makes of saved answers; the verdict does not change.

    Its marks and preferences stand in the report in a place of their own, with how far people
    agree. Typed again after an interruption it goes on where it stopped.

    Args:
        folder: Folder of a benchmark, such as runs/first/bench.
        server: Address of an OpenAI-compatible server; its token, if any, in THEOBOT_SERVER_TOKEN.
        judge_model: Name of the judge there; not of the Qwen family.
        allow_same_family: Take a judge of the Qwen family nevertheless; the report says so.
        limit: Most questions per set.
        concurrency: Requests at once.
    """
    from theobot.bench.judge.judging import judge_answers
    from theobot.generation.api import ApiClient

    for name, value in (("--limit", limit), ("--concurrency", concurrency)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} {value}: 1 or more was expected.")
    client = ApiClient(server, patience=_PATIENCE, on_wait=terminal.note)
    with terminal.Progress("Judging") as progress:
        result = judge_answers(
            folder,
            client,
            judge_model,
            allow_same_family=allow_same_family,
            limit=limit,
            concurrency=concurrency,
            on_progress=lambda at: progress.show(at.done, at.total),
        )
    views.show_judge(result)
    return 0


@bench.command
def leaks(train: str, /, *questions: Path, json: Flag = False) -> int:
    """Look for benchmark questions that training rows give away. 0 none, 1 some.

    That both are about the same verse is told as a label, and is no leak.

    Args:
        train: Training rows: a JSONL, CSV or Parquet file, or a Hub dataset id.
        questions: Question files (one question a line), or folders of them; without any the
            shipped sets.
        json: Write JSON for programs.
    """
    from theobot.bench.leaks import check_files

    found = check_files(train, questions)
    if json:
        terminal.write_json([leak.as_json() for leak in found])
    else:
        views.show_leaks(found)
    return PROBLEMS if any(leak.level.is_leak for leak in found) else 0


@bench.command
def regress(
    *,
    tasks: str,
    selectors: Annotated[Selectors, Parameter(name="*")] = Selectors(),
    include_path: Path | None = None,
    same_prompt: Flag = False,
    limit: int | None = None,
    batch_size: int = 4,
    output: Output = None,
) -> int:
    """Ask base and Theobot public tasks of lm-eval, and say whether the fine-tune did damage.

    Needs `pip install "theobot[regress]"`. Exit code 0: no task is worse by 5 points of 100 or
    more; 3: some task is worse; 4: cannot tell; 5: the adapter has no effect.

    Args:
        tasks: Names of lm-eval's tasks or groups, with commas between them, such as
            mmlu_world_religions,mmlu_philosophy,mmlu_moral_disputes.
        include_path: Folder with task files (YAML) of your own.
        same_prompt: Give both the bare text of the task, as published figures mostly do, instead
            of each its own prompt format.
        limit: Most documents per task.
        batch_size: Rows at once; fewer need less memory.
        output: Folder for regress.json and the scores; without it `regress` beside the adapter.
    """
    from theobot.bench.regress.regress import load_harness, run_regress

    names = [name for part in tasks.split(",") if (name := part.strip())]
    for flag, value in (("--limit", limit), ("--batch-size", batch_size), ("--tasks", len(names))):
        if value is not None and value < 1:
            raise SettingsError(f"{flag} {value}: 1 or more was expected.")
    if ranks.world_size() > 1:
        raise SettingsError("`bench regress` computes in one process. Start it without a launcher.")
    loaded = load_harness().load_tasks(names, include_path)
    generator = load_generator(selectors)
    assert generator.adapter is not None, "select gives an adapter unless the base alone is asked"
    result = run_regress(
        generator,
        loaded,
        output or generator.adapter.path.parent / "regress",
        same_prompt=same_prompt,
        limit=limit,
        batch_size=batch_size,
        show_bars=terminal.notes_are_seen(),
        on_note=terminal.note,
    )
    views.show_regress(result)
    return result.decision.exit_code


@mark.command
def pack(
    folder: Path,
    /,
    *markers: str,
    mode: Literal["mark", "prefer"] = "mark",
    sample: int | None = None,
    seed: int | None = None,
) -> int:
    """Make one page for each marker: open it in a browser, mark, save; no installation needed.

    Which answer is whose stays in a key beside the pages; do not send that.

    Args:
        folder: Folder of a benchmark, such as runs/first/bench.
        markers: Names or initials of the markers, one page each; without any "marker-1".
        mode: "mark" gives marks to one answer at a time, "prefer" chooses between two.
        sample: How many questions; by default 36 in-domain, 12 near and 12 out of domain.
        seed: Of the choice of questions.
    """
    from theobot.bench.marking import marking

    for page in marking.pack(folder, list(markers) or ["marker-1"], mode, sample, seed):
        terminal.line(str(page))
    terminal.note(f"When the marks are saved: theobot mark close {folder} SAVED.json...")
    return 0


@mark.command
def serve(folder: Path, /, *, marker: str = "marker-1", port: int = 8001) -> int:
    """Serve the marking page of one marker on this machine, with marks kept as they are given.

    Args:
        folder: Folder of a benchmark that was packed.
        marker: Whose page.
        port: Port on 127.0.0.1.
    """
    from theobot.bench.marking import marking

    marking.serve(folder, marker, port, terminal.note)
    return 0


@mark.command
def close(folder: Path, /, *files: Path, json: Flag = False) -> int:
    """End the marking: import saved marks, open the key, and say what the marks say.

    Args:
        folder: Folder of a benchmark that was packed.
        files: JSON files that markers saved.
        json: Write JSON for programs.
    """
    from theobot.bench.marking import marking

    result = marking.close(folder, files)
    if json:
        terminal.write_json(result.to_json())
    else:
        views.show_marking(result, folder)
    return 0
