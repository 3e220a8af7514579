from __future__ import annotations

from theobot.serving.screen import Screen


def forbidden(text: str) -> str | None:
    return "Not here." if "bad word" in text else None


def test_without_a_filter_everything_passes_as_it_comes():
    screen = Screen(None)
    assert [screen.pass_on(piece) for piece in ("pe", "ace")] == ["pe", "ace"]


def test_whole_words_pass_and_the_last_one_at_the_end():
    screen = Screen(forbidden)
    assert screen.pass_on("a ba") == "a "
    assert screen.pass_on("d day") == "bad "
    assert screen.pass_on("", last=True) == "day"
    assert screen.objection is None


def test_nothing_of_the_word_that_is_objected_to_passes():
    screen = Screen(forbidden)
    shown = [screen.pass_on(piece) for piece in ("a bad", " wo", "rd", " and", " more ")]
    assert "".join(shown) == "a bad "
    assert screen.objection == "Not here."
    assert screen.pass_on("x", last=True) == ""


def test_the_end_is_looked_at_as_a_whole():
    seen: list[str] = []

    def note(text: str) -> None:
        seen.append(text)

    screen = Screen(note)
    whole = "word " * 300 + "end"
    for at in range(0, len(whole), 7):
        screen.pass_on(whole[at : at + 7])
    screen.pass_on("", last=True)
    assert seen[-1] == whole
    assert max(len(text) for text in seen[:-1]) < 450
