import pytest

from theobot.bench.leaks import Level, Text, across_sets, find_leaks, find_leaks_in_rows
from theobot.bench.questions import Question
from theobot.data.examples import Example

ANSWER = (
    "Zakah is the yearly giving of a fortieth of savings above a threshold, which many Sunni "
    "Muslims pay in Ramadan so that poor families can share the joy of the festival."
)


def text(question: str, answer: str = "", *traditions: str) -> Text:
    return Text("x", question, answer, frozenset(traditions))


def levels(trained: Text, asked: Text) -> list[tuple[Level, str]]:
    return [(leak.level, leak.part) for leak in find_leaks([trained], [asked])]


def test_the_same_question_is_found_whatever_its_capitals_and_dashes():
    leaks = levels(text("What is zakah for?"), text("what is  Zakah for"))
    assert leaks == [(Level.EXACT, "question")]


def test_a_reference_copied_into_a_completion_is_found():
    assert levels(text("Why pay?", ANSWER), text("Explain zakah.", ANSWER)) == [
        (Level.EXACT, "answer")
    ]


def test_thirteen_words_in_a_row_are_a_leak_wherever_they_stand():
    longer = "Some would begin elsewhere. " + ANSWER[:110] + " and then go on quite differently."
    assert (Level.NGRAM, "answer") in levels(text("Why?", longer), text("Explain it.", ANSWER))


def test_half_of_the_runs_of_eight_words_are_a_leak():
    words = ANSWER.split()[:24]
    other = "Elsewhere a baker fills trays with warm loaves before dawn every market day in spring."
    broken = " ".join([*words[:12], *other.split(), *words[12:]])
    assert (Level.NGRAM, "answer") in levels(text("Why?", broken), text("Q.", " ".join(words)))


def test_nearly_the_same_question_is_a_leak():
    one = (
        "What might a Quaker farmer say about conscientious objection in wartime Britain, and why?"
    )
    other = "What might a Quaker farmer say of conscientious objection in wartime Britain, and why?"
    assert (Level.NEAR_DUPLICATE, "question") in levels(text(one), text(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "Explain two similar religious beliefs about euthanasia. Refer to Christianity and one "
            "other religious tradition. [4 marks]",
            "Explain two similar religious beliefs about forgiveness. Refer to Christianity and "
            "one other religious tradition. [4 marks]",
        ),
        (
            "What does Genesis 1:27 teach about equality?",
            "What does Genesis 1:28 teach about families?",
        ),
        ('"War is wrong." Evaluate this statement. [12 marks]', "Evaluate this view of peace."),
    ],
)
def test_exam_stems_are_no_leak(one, other):
    assert not [level for level, _ in levels(text(one), text(other)) if level.is_leak]


def test_quoted_verses_are_no_leak():
    verse = '"Blessed are the peacemakers, for they shall be called the children of the living God"'
    one = f"Many begin with Matthew, where {verse} stands, and think of treaties."
    other = f"Some Quakers read {verse} as a call to refuse weapons."
    assert levels(text("Why?", one), text("Who?", other)) == []


def test_short_answers_may_be_the_same():
    assert levels(text("Which paper ends a marriage?", "B) Get"), text("Name it.", "B) Get")) == []


def test_the_same_verse_is_a_label_with_or_without_the_tradition():
    asked = text("Explain what Matthew 5:39 teaches. [6 marks]", "", "Christianity")
    cites = text("Why forgive?", "Matthew 5:38-42 is about revenge.", "Christianity")
    other = text("Why forgive?", "Matthew 5:38-42 is about revenge.", "Judaism")
    assert levels(cites, asked) == [(Level.SAME_VERSE_AND_TRADITION, "question")]
    assert levels(other, asked) == [(Level.SAME_VERSE, "question")]
    assert not Level.SAME_VERSE.is_leak
    assert Level.NGRAM.is_leak


def test_questions_of_different_sets_are_compared_too():
    def question(name: str, asked: str) -> Question:
        return Question(f"{name}-1", name, asked, None, None, {})

    same = "Why do many Jains sweep the ground before them?"
    assert across_sets([question("in_domain", same), question("near_domain", same)])
    assert not across_sets([question("in_domain", same), question("near_domain", "Why sing?")])


def test_rows_that_give_away_a_question_are_errors_at_their_line(tmp_path):
    for name in ("in_domain", "near_domain", "out_of_domain"):
        (tmp_path / f"{name}_questions.txt").write_text(f"What is special about {name}?\n")
    rows = [
        Example("User: What is zakah?\nAssistant:", "Giving.", {}, "a.jsonl:1"),
        Example("User: What is special about near_domain?\nAssistant:", "It.", {}, "a.jsonl:2"),
    ]
    (finding,) = find_leaks_in_rows(rows, tmp_path)
    assert (finding.where, finding.severity.value, finding.kind) == ("a.jsonl:2", "error", "leak")
    assert "near_domain" in finding.message
