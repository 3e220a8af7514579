"""The commands about data and scripture: `theobot data ...` and `theobot scripture ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from theobot import terminal, views
from theobot.cli_models import Flag
from theobot.config import TokenSettings
from theobot.errors import PROBLEMS, SettingsError

data = App(name="data", help="Check, mend and split training data; see what the model will see.")
scripture = App(name="scripture", help="Check references to scripture in free text.")


@data.command
def check(
    *files: str,
    questions: Path | None = None,
    model: str = "nano",
    tokens: TokenSettings = TokenSettings(),
    json: Flag = False,
) -> int:
    """Check training data: all findings by file and line, counts, lengths, citations.

    Errors (exit code 1) must be mended: rows that cannot be read or are too long, scripture that
    does not exist, answers that give away benchmark questions. Warnings are for you to judge.

    Args:
        files: JSONL, CSV or Parquet files, or Hub dataset ids.
        questions: Folder of the question sets that rows must not give away; without it the shipped
            ones.
        model: Whose tokenizer counts the tokens: a Hub id, a local folder, or "nano".
        json: Write JSON for programs.
    """
    if not files:
        raise SettingsError("data check: no file given. Type `theobot data check FILE...`.")
    from theobot.bench.leaks import find_leaks_in_rows
    from theobot.data.check import check_file
    from theobot.model.base import load_tokenizer

    tokenizer = load_tokenizer(model)
    checked = []
    for file in files:
        found = check_file(file, tokenizer, tokens)
        checked.append(found.with_findings(find_leaks_in_rows(found.examples, questions)))
    if json:
        terminal.write_json([item.as_json() for item in checked])
    else:
        views.show_checks(checked)
        for item in checked:
            if any(finding.kind == "format" for finding in item.findings):
                terminal.note(f"To mend faults of form: theobot data fix {item.file} -o NEW.jsonl")
    return PROBLEMS if any(item.has_errors for item in checked) else 0


@data.command
def split(
    file: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    dev: float = 0.1,
    seed: int = 42,
) -> int:
    """Split rows into train.jsonl and dev.jsonl, with no verse or topic in both.

    Args:
        file: A JSONL, CSV or Parquet file, or a Hub dataset id.
        output: Folder for the two files, which must not be there yet.
        dev: Share of the rows that go to dev.
        seed: Of the random choice; the same seed gives the same split.
    """
    from theobot.data.split import split_file

    views.show_split(split_file(file, output, dev, seed))
    return 0


@data.command
def fix(
    source: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    report: Path | None = None,
) -> int:
    """Mend a broken data file into valid JSONL. 0 every line recovered, 1 some not.

    What cannot be read for sure is kept in OUTPUT.rejected, never closed by guessing.

    Args:
        source: JSONL, JSON or CSV in any usual encoding; also chat, Alpaca, question and answer.
        output: The file to write; must not exist yet.
        report: A JSON file for the list of repairs, which otherwise is shown.
    """
    from theobot.data.repair import repair_file

    shown = ("rejected",) if report else ("rejected", "repaired")
    result = repair_file(
        source, output, report, lambda found: views.show_outcome(source.name, found, shown)
    )
    views.show_repair(result)
    return PROBLEMS if result.rejected else 0


@data.command
def show(
    file: str,
    /,
    *,
    rows: Annotated[int, Parameter(name=["-n", "--rows"])] = 3,
    model: str = "nano",
    tokens: TokenSettings = TokenSettings(),
) -> int:
    """Show what the model will see of a file's first rows: tokens, and which of them are learned.

    Args:
        file: A JSONL, CSV or Parquet file, or a Hub dataset id.
        rows: How many rows to show.
        model: Whose tokenizer to use: a Hub id, a local folder, or "nano".
    """
    from theobot.data.examples import read_examples
    from theobot.data.tokens import tokenize_rows
    from theobot.model.base import load_tokenizer

    examples = read_examples(file)[: max(rows, 0)]
    tokenizer = load_tokenizer(model)
    terminal.note(f"Tokens of {model}, format {tokens.prompt_format}, learning: {tokens.loss_on}.")
    for row in tokenize_rows(examples, tokenizer, tokens):
        pieces = [str(tokenizer.decode([token])) for token in row.input_ids]
        terminal.show_token_row(row.where, pieces, row.learned_from)
    return 0


@scripture.command(name="check")
def check_scripture(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)], /, *, json: Flag = False
) -> int:
    """Check references to scripture: each with its place, whether it exists, and why not.

    Exit code 1 only when one does not exist; quotations that differ are warnings.

    Args:
        file: A text file, a JSONL file of rows, or - for what is piped in.
        json: Write JSON for programs.
    """
    from theobot.scripture.check import check_file

    checked = check_file(file)
    if json:
        terminal.write_json(checked.as_json())
    else:
        if checked.citations:
            terminal.table(("line", "citation", "status", "why"), checked.rows())
        for remark in checked.remarks():
            terminal.line(remark)
        terminal.facts({name.replace("_", " "): n for name, n in checked.counts().items() if n})
    return PROBLEMS if checked.counts()["missing"] else 0
