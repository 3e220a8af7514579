"""References to the Qur'an; a surah's name must agree with its number."""

import pytest

from theobot.scripture import find_citations, surahs


def found(text: str) -> list[tuple[str, str, str]]:
    return [(one.text, one.reference, one.status.value) for one in find_citations(text)]


def test_the_tables_have_114_surahs_and_6236_ayahs():
    assert (len(surahs.AYAHS), sum(surahs.AYAHS), len(surahs.TITLES)) == (114, 6236, 114)


def test_every_name_leads_back_to_its_own_number():
    for number, title in enumerate(surahs.TITLES, start=1):
        assert number in surahs.find_numbers(title)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("baqara", 2),
        ("Al Baqarah", 2),
        ("ul-Maidah", 5),
        ("Aal-e-Imran", 3),
        ("Yaseen", 36),
        ("An-Nisaa", 4),
        ("at-Tauba", 9),
        ("al-Hujuraat", 49),
        ("Ikhlaas", 112),
        ("The Cow", 2),
        ("Bani Israil", 17),
    ],
)
def test_a_spelling_in_use_is_understood(name, number):
    assert number in surahs.find_numbers(name)


@pytest.mark.parametrize(
    "text",
    [
        "Qur'an 2:256",
        "Qur’an 2:256",
        "Quran 2:256",
        "Koran 2:256",
        "Q 2:256",
        "Q2:256",
        "QS 2:256",
        "Qur'an 2.256",
        "Qur'an, Surah 2, Ayah 256",
        "Surah 2:256",
        "Surah 2 verse 256",
        "Surah Al-Baqarah 2:256",
        "Surah al-Baqarah (2:256)",
        "Surat ul-Baqarah 2:256",
        "Surah The Cow 2:256",
        "Surah 2 (Al-Baqarah) verse 256",
        "Al-Baqarah 2:256",
    ],
)
def test_a_form_in_use_is_read_whole(text):
    assert found(text) == [(text, "Qur'an 2:256", "exists")]


def test_a_surah_may_be_named_without_its_number():
    assert found("Surah An-Nisa, verse 34") == [
        ("Surah An-Nisa, verse 34", "An-Nisa' 34", "exists")
    ]
    assert found("Surah An-Nisa, verse 177")[0][2] == "missing"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Qur'an 115:1", "the Qur'an has 114 surahs, so there is no surah 115"),
        ("Qur'an 2:287", "surah 2 (Al-Baqarah) has 286 ayahs, so there is no ayah 287"),
        ("Surah An-Nisa 5:3", "surah 5 is Al-Ma'idah; An-Nisa' is surah 4"),
        ("Surah An-Nas 110:1", "surah 110 is An-Nasr; An-Nas is surah 114"),
        ("Surah Al-Hubb 12:3", "surah 12 is Yusuf, and no surah is called Al-Hubb"),
    ],
)
def test_what_does_not_exist_is_told_with_the_reason(text, why):
    (citation,) = find_citations(text)
    assert (citation.text, citation.status, citation.reason) == (text, "missing", why)


def test_a_whole_surah_is_too_broad():
    assert [status for _, _, status in found("Surah 112 and Surah Al-Ikhlas (112)")] == [
        "too_broad",
        "too_broad",
    ]


def test_a_list_carries_the_book_forward():
    text = "Qur'an 24:31, 33:59 and 4:34"
    assert [reference for _, reference, _ in found(text)] == [
        "Qur'an 24:31",
        "Qur'an 33:59",
        "Qur'an 4:34",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "the Qur'an 5 times",
        "Q1:25 marks",
        "Q2: 10",
        "ratio 2:256",
        "Q 2:30 pm",
        "the Qur'an (632 CE)",
    ],
)
def test_other_numbers_are_no_reference(text):
    assert found(text) == []


def test_as_before_romans_is_no_surah():
    assert found("such as Romans 13:4") == [("Romans 13:4", "Romans 13:4", "exists")]
