from __future__ import annotations

from itertools import product

import pytest

from theobot.serving.stops import StopTexts


def run(text: str, stops: list[str], sizes: tuple[int, ...]) -> tuple[str, bool]:
    """Feed a text in pieces of these sizes, the rest at the end."""
    filter_, shown, at = StopTexts(stops), "", 0
    for size in sizes:
        shown += filter_.pass_on(text[at : at + size])
        at += size
        if filter_.found:
            return shown, True
    return shown + filter_.pass_on(text[at:], last=True), filter_.found


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("peace and war", [], "peace and war"),
        ("peace and war", ["and"], "peace "),
        ("peace and war", ["war", "and"], "peace "),
        ("peace an", ["and"], "peace an"),
        ("aaab", ["aab"], "a"),
        ("Yes.\nUser: no", ["\nUser:"], "Yes."),
        ("Yes.\nUse", ["\nUser:"], "Yes.\nUse"),
    ],
)
def test_the_text_ends_before_the_first_stop_however_it_comes(text, stops, expected):
    for sizes in product(range(4), repeat=4):
        shown, found = run(text, stops, sizes)
        assert shown == expected
        assert found == (shown != text)


def test_only_what_may_become_a_stop_is_held_back():
    stops = StopTexts(["###"])
    assert stops.pass_on("a#") == "a"
    assert stops.pass_on("b##") == "#b"
    assert stops.pass_on("c") == "##c"
