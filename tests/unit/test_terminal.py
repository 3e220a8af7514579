import json

import pytest

from theobot import terminal
from theobot.generation.chat import Conversation
from theobot.generation.generator import Answer
from theobot.generation.scripted import ScriptedGenerator
from theobot.training.metrics import StepReport


def report(step: int, **changes: object) -> StepReport:
    values: dict[str, object] = {
        "step": step,
        "total_steps": 10,
        "epoch": 1.0,
        "loss": 2.5,
        "dev_loss": None,
        "learning_rate": 1e-4,
        "tokens_per_second": 1234.5,
        "memory_gib": 1.25,
        "seconds": 1.0,
        "seconds_left": 65.0,
    }
    return StepReport(**{**values, **changes})


def test_answers_go_to_stdout_and_notes_to_stderr(capsys):
    terminal.write("an answer\n")
    terminal.note("a note")
    terminal.error(["a problem", "another"])
    out, err = capsys.readouterr()
    assert out == "an answer\n"
    assert err == "a note\na problem\nanother\n"


def test_control_characters_of_a_model_never_reach_the_terminal(capsys):
    terminal.write("a\x1b]0;title\x07b\x9b2Jc\td\n")
    terminal.note("x\x1b[31my")
    out, err = capsys.readouterr()
    assert out == "a]0;titleb2Jc\td\n"
    assert err == "x[31my\n"


def test_of_several_processes_the_others_show_nothing_but_errors(capsys, monkeypatch):
    for console in (terminal._stderr, terminal._stdout, terminal.wrapping):
        monkeypatch.setattr(console, "quiet", False)
    terminal.silence()
    terminal.note("a note")
    terminal.heading("a heading")
    terminal.line("runs/a/adapter")
    terminal.table(("a", "b"), [("c", "d")])
    terminal.error(["a problem"])
    assert tuple(capsys.readouterr()) == ("", "a problem\n")


def test_brackets_are_not_taken_for_styles(capsys):
    terminal.note("[red]John 3:16[/red]")
    terminal.heading("[b]x[/b]")
    out, err = capsys.readouterr()
    assert err == "[red]John 3:16[/red]\n"
    assert out == "[b]x[/b]\n"


def test_json_keeps_its_letters(capsys):
    terminal.write_json({"answer": "é"})
    out = capsys.readouterr().out
    assert "é" in out
    assert json.loads(out) == {"answer": "é"}


def test_a_table_in_a_pipe_is_never_cut(capsys):
    long = "x" * 200
    terminal.table(("name", "value"), [("a", long), ("longer", "1")])
    assert capsys.readouterr().out == f"name    value\na       {long}\nlonger  1\n"


def test_facts_are_indented_and_empty_ones_left_out(capsys):
    terminal.facts({"rows": 3, "none": None, "empty": {}, "themes": {"A": 2, "list": [1, 2]}})
    assert capsys.readouterr().out == "rows: 3\nthemes:\n  A: 2\n  list: 1, 2\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (42.4, "42 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, shown):
    assert terminal.duration(seconds) == shown


@pytest.mark.parametrize(
    ("octets", "shown"),
    [(812, "812 B"), (3_400_000, "3.4 MB"), (15_231_233_024, "15.2 GB"), (5e12, "5000.0 GB")],
)
def test_sizes(octets, shown):
    assert terminal.size(octets) == shown


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with terminal.Progress("Answering") as progress:
        for done in range(11):
            progress.show(done, 10)
            now[0] += 4
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Answering: 3 of 10, 28 s left",
        "Answering: 6 of 10, 16 s left",
        "Answering: 9 of 10, 4 s left",
        "Answering: 10 of 10",
    ]


def test_training_progress_tells_each_dev_loss(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0.0)
    with terminal.TrainingProgress() as progress:
        progress.report(report(3))
        progress.report(report(4, loss=None, dev_loss=2.25))
    assert capsys.readouterr().err.splitlines() == [
        "Training: 3 of 10, loss 2.500, 1,234 tokens/s, 1.2 GiB, 1 min 5 s left",
        "Dev loss after step 4: 2.2500",
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    import io

    from rich.console import Console

    screen = io.StringIO()
    monkeypatch.setattr(terminal, "_stderr", Console(file=screen, force_terminal=True, width=100))
    with terminal.Progress("Training") as progress:
        progress.show(1, 4, "loss 2.5", 30)
        progress.show(4, 4, "loss 2.0")
    assert "Training" in screen.getvalue()
    assert "loss 2.0" in screen.getvalue()
    assert terminal.notes_are_seen()


def test_on_a_terminal_a_table_has_a_frame(monkeypatch, capsys):
    import io

    from rich.console import Console

    monkeypatch.setattr(terminal, "_stdout", Console(file=io.StringIO(), force_terminal=True))
    terminal.table(("a",), [("1",)])
    assert "┃ a ┃" in capsys.readouterr().out


def test_token_rows_show_what_is_learned(capsys):
    terminal.show_token_row("a.jsonl:1", ["User:", " x\n", "yes", "<|im_end|>"], 2)
    assert capsys.readouterr().out.splitlines() == [
        "a.jsonl:1: 4 tokens, 2 of them learned",
        "  not learned  User:| x\\n",
        "  learned      yes|<|im_end|>",
    ]


def test_a_cut_answer_says_so(capsys):
    terminal.show_answer(None, ["to be", Answer("to be", "length", 2)])
    out, err = capsys.readouterr()
    assert out == "to be\n"
    assert "--max-new-tokens" in err


def test_an_empty_answer_says_so(capsys):
    terminal.show_answer("Theobot", [Answer("", "eos", 1)])
    out, err = capsys.readouterr()
    assert out == "Theobot\n\n\n"
    assert "said nothing" in err


def chat(monkeypatch, *lines: str) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    generator = ScriptedGenerator(lambda question, arm: f"{arm} on {question}")
    terminal.run_chat(Conversation(generator, 50))


def test_chat_takes_letters_that_are_no_utf_8(monkeypatch, capsys):
    import io

    typed = io.TextIOWrapper(io.BytesIO(b"caf\xe9?\n"), "utf-8", errors="surrogateescape")
    monkeypatch.setattr("sys.stdin", typed)
    terminal.run_chat(Conversation(ScriptedGenerator(lambda question, arm: question), 50))
    assert capsys.readouterr().out == "theobot: caf\ufffd?\n"


def test_chat_names_who_speaks_and_ends_with_quit(monkeypatch, capsys):
    chat(monkeypatch, "peace", "/compare", "war", "/quit", "never asked")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "theobot: theobot on peace",
        "base: base on war",
        "theobot: theobot on war",
    ]
    assert "/help" in err


def test_chat_ends_with_the_input_and_survives_ctrl_c(monkeypatch, capsys):
    import io

    def answer(question: str, arm: str) -> str:
        if question == "stop":
            raise KeyboardInterrupt
        return "fine " * 60

    monkeypatch.setattr("sys.stdin", io.StringIO("stop\ngo on\n"))
    terminal.run_chat(Conversation(ScriptedGenerator(answer), 50))
    out, err = capsys.readouterr()
    assert "Stopped." in err
    assert "fine fine" in out
    assert "cut at 50 tokens" in err


def test_on_a_terminal_the_chat_asks_with_a_prompt(monkeypatch, capsys):
    typed = iter(["peace"])
    prompts = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", ask)
    terminal.run_chat(Conversation(ScriptedGenerator({"peace": "yes"}), 50))
    assert prompts == ["> ", "> "]
    assert capsys.readouterr().out == "theobot: yes\n"


def test_letters_a_terminal_lacks_do_not_stop_the_answer(monkeypatch):
    import io

    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    monkeypatch.setattr("sys.stdout", stream)
    with terminal.steady_output():
        terminal.write("Qur\u2019an")
    assert raw.getvalue() == b"Qur?an"


def test_half_letters_of_a_file_can_be_shown(capsys):
    terminal.line("a\ud800b")
    assert capsys.readouterr().out == "ab\n"
