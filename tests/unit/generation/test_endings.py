from hypothesis import given
from hypothesis import strategies as st

from theobot.generation.endings import overlap, settled_part, trim_answer

TEXTS = st.lists(st.sampled_from(["a", " ", "\n", "User:", "U", "\nUser:", "é", ":"])).map("".join)


def test_an_answer_ends_where_a_new_user_turn_begins():
    assert trim_answer(" Peace.\n\nUser: And war?", new_turn_ends=True) == "Peace."


def test_a_user_turn_is_kept_where_the_format_has_none():
    assert trim_answer("Peace.\nUser: no", new_turn_ends=False) == "Peace.\nUser: no"


def test_a_possible_start_of_a_user_turn_is_held_back():
    assert settled_part("Peace.\nUse", new_turn_ends=True) == "Peace."
    assert settled_part("Peace.\nUsers pray", new_turn_ends=True) == "Peace.\nUsers pray"


def test_the_overlap_is_the_longest_and_never_the_whole():
    assert overlap("aab", "bcd") == 1
    assert overlap("aaa", "aab") == 2
    assert overlap("x##", "##") == 1
    assert overlap("", "##") == overlap("ab", "c") == 0


def test_a_half_letter_is_held_back():
    assert settled_part("caf\ufffd", new_turn_ends=True) == "caf"


@given(TEXTS, st.booleans())
def test_shown_parts_only_ever_grow_towards_the_answer(text: str, new_turn_ends: bool):
    shown = ""
    for length in range(len(text) + 1):
        part = settled_part(text[:length], new_turn_ends=new_turn_ends)
        assert part.startswith(shown)
        shown = part
        if new_turn_ends and "\nUser:" in text[:length]:
            break
    assert trim_answer(text, new_turn_ends=new_turn_ends).startswith(shown)
