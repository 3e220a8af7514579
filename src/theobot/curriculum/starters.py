"""Questions to begin with, for people who look at an empty page; no question set has them."""

from __future__ import annotations

from typing import NamedTuple


class Starter(NamedTuple):
    """A question that can be asked as it stands.

    Args:
        theme: letter of its theme, see `shares.THEMES`.
        qtype: its kind, see `question_types.QUESTION_TYPES`.
        text: the question.
    """

    theme: str
    qtype: str
    text: str


_QUESTIONS = {
    "A": {
        "define": "What is meant by cohabitation?",
        "explain_4_different": (
            "Explain two different beliefs in Britain today about whether couples should live "
            "together before they marry. [4 marks]"
        ),
        "scripture_message": "What does Ephesians 6:1-3 teach about family life?",
    },
    "B": {
        "define": "What is meant by stewardship?",
        "explain_6_source": (
            "Explain two religious teachings about caring for the natural world. Refer to a "
            "sacred text. [6 marks]"
        ),
        "scripture_message": "What does Psalm 24:1 teach about the earth?",
    },
    "C": {
        "define": "What is meant by general revelation?",
        "explain_4_different": (
            "Explain how a Christian and an atheist may differ about visions. [4 marks]"
        ),
        "evaluate_12": (
            '"Suffering shows that no loving God exists." Discuss this statement from more than '
            "one point of view. [12 marks]"
        ),
    },
    "D": {
        "define": "What is meant by pacifism?",
        "explain_4_similar": (
            "Explain two similar beliefs of Christians and Buddhists about making peace. [4 marks]"
        ),
        "scripture_message": "What does Romans 12:18 teach about living in peace?",
    },
    "E": {
        "define": "What is meant by retribution?",
        "explain_6_source": (
            "Explain two religious teachings about forgiving people who break the law. Refer to a "
            "sacred text. [6 marks]"
        ),
        "scripture_message": "What does Luke 23:34 teach about forgiveness?",
    },
    "F": {
        "define": "What is meant by social justice?",
        "explain_4_influence": (
            "Explain two ways in which belief in equality may influence Sikhs today. [4 marks]"
        ),
        "evaluate_12": (
            '"Nobody should own much while others go hungry." Discuss this statement from more '
            "than one point of view. [12 marks]"
        ),
    },
}

STARTERS = tuple(
    Starter(theme, qtype, text)
    for theme, questions in _QUESTIONS.items()
    for qtype, text in questions.items()
)
