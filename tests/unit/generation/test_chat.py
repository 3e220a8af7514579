from __future__ import annotations

from theobot.data.prompt import Turn
from theobot.generation.chat import Conversation, Finished, Note, Piece, Quit
from theobot.generation.scripted import ScriptedGenerator


def echo(question: str, arm: str) -> str:
    return f"{arm} on {question}"


def conversation(**options) -> Conversation:
    return Conversation(ScriptedGenerator(echo, **options), max_new_tokens=10)


def texts(events) -> list[tuple[str, str]]:
    return [(event.arm, event.answer.text) for event in events if isinstance(event, Finished)]


def test_a_question_streams_and_joins_the_history():
    chat = conversation()
    events = list(chat.handle("Why?"))
    assert "".join(e.text for e in events if isinstance(e, Piece)) == "theobot on Why?"
    assert texts(events) == [("theobot", "theobot on Why?")]
    assert chat.history == [Turn("user", "Why?"), Turn("assistant", "theobot on Why?")]


def test_base_and_theobot_switch_who_answers():
    chat = conversation()
    assert isinstance(next(chat.handle("/base")), Note)
    assert texts(chat.handle("Q")) == [("base", "base on Q")]
    list(chat.handle("/theobot"))
    assert texts(chat.handle("Q")) == [("theobot", "theobot on Q")]


def test_compare_asks_both_for_one_question_only():
    chat = conversation()
    list(chat.handle("/compare"))
    assert texts(chat.handle("Q")) == [("base", "base on Q"), ("theobot", "theobot on Q")]
    assert chat.history[-1].text == "theobot on Q"
    assert len(texts(chat.handle("R"))) == 1


def test_reset_help_quit_and_unknown_commands():
    chat = conversation()
    list(chat.handle("Q"))
    list(chat.handle("/reset"))
    assert chat.history == []
    assert "/compare" in next(chat.handle("/help")).text
    assert list(chat.handle(" /quit ")) == [Quit()]
    assert "/help" in next(chat.handle("/nonsense")).text
    assert list(chat.handle("   ")) == []


def test_a_double_slash_asks_a_question_that_begins_with_one():
    assert texts(conversation().handle("//etc?")) == [("theobot", "theobot on /etc?")]


def test_without_an_adapter_only_the_base_answers():
    chat = conversation(arms=("base",))
    for command in ("/theobot", "/compare"):
        assert "adapter" in next(chat.handle(command)).text
    assert texts(chat.handle("Q")) == [("base", "base on Q")]


def test_the_oldest_turns_make_room_and_a_note_says_so():
    chat = conversation(context_window=30)
    for number in range(3):
        assert not [e for e in chat.handle(f"Q{number}") if isinstance(e, Note)]
    [note] = [e for e in chat.handle("Q3") if isinstance(e, Note)]
    assert "30 tokens" in note.text
    assert chat.history[0] == Turn("user", "Q1")


def test_breaking_off_leaves_the_history_as_it_was():
    chat = conversation()
    list(chat.handle("Q"))
    before = list(chat.history)
    events = chat.handle("a long question")
    next(events)
    events.close()
    assert chat.history == before


def test_a_question_that_fills_the_window_gets_a_note(tiny_generator):
    chat = Conversation(tiny_generator, max_new_tokens=4)
    events = list(chat.handle("long " * 600))
    assert "at most" in events[-1].text
    assert chat.history == []
    assert texts(chat.handle("Why?"))
    assert len(chat.history) == 2
