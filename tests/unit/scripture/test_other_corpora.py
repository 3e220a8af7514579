"""Mishnah and Talmud, works with numbered parts, Hindu and Buddhist works, hadith."""

import pytest

from theobot.scripture import chaptered, find_citations, tractates


def found(text: str) -> list[tuple[str, str, str]]:
    return [(one.corpus, one.text, one.status.value) for one in find_citations(text)]


def test_the_tables_have_the_known_totals():
    assert (sum(chaptered.GITA), len(chaptered.GITA)) == (701, 18)  # 700 with 13:34 as the last
    assert (sum(chaptered.DHAMMAPADA), len(chaptered.DHAMMAPADA)) == (423, 26)
    assert sum(chaptered.RIG_VEDA) == 1028
    assert len(tractates.MISHNAYOT) == 63
    assert sum(map(len, tractates.MISHNAYOT.values())) == 525


@pytest.mark.parametrize(
    ("corpus", "text"),
    [
        ("talmud", "Sanhedrin 37a"),
        ("talmud", "b. Yoma 85b"),
        ("talmud", "Talmud, Shabbat 31a"),
        ("talmud", "Kiddushin 29b-30a"),
        ("mishnah", "Mishnah Sanhedrin 4:5"),
        ("mishnah", "Sanhedrin 4:5"),
        ("mishnah", "m. Sanh. 4:5"),
        ("mishnah", "Oholot 7:6"),
        ("mishnah", "Makkot 1:10"),
        ("mishnah", "Pirkei Avot 1:14"),
        ("mishnah", "Pirkei Avot 2:21"),
        ("ccc", "CCC 2357"),
        ("ccc", "CCC §2258"),
        ("ccc", "Catechism of the Catholic Church, paragraph 2267"),
        ("ccc", "Catechism (para. 2267)"),
        ("ccc", "paragraph 2267 of the Catechism"),
        ("document", "Humanae Vitae 12"),
        ("document", "Laudato Si' 217"),
        ("ggs", "Guru Granth Sahib, Ang 473"),
        ("ggs", "Guru Granth Sahib 349"),
        ("ggs", "SGGS 1430"),
        ("ggs", "ang 1299"),
        ("gita", "Bhagavad Gita 2:47"),
        ("gita", "Gita 18.66"),
        ("gita", "Gita 13:35"),
        ("dhammapada", "Dhammapada 5"),
        ("dhammapada", "Dhp 129-130"),
        ("dhammapada", "Dhammapada 1:5"),
        ("pali", "DN 31"),
        ("pali", "MN 86"),
        ("pali", "SN 56.11"),
        ("pali", "AN 3.65"),
        ("pali", "Sn 149"),
        ("pali", "Sutta Nipata 1.8"),
        ("veda", "Rig Veda 10.129.1"),
        ("hadith", "Sahih al-Bukhari 13"),
        ("hadith", "Sahih Muslim 2564"),
        ("hadith", "Nawawi 13"),
    ],
)
def test_a_reference_that_exists_is_read_whole(corpus, text):
    assert found(text) == [(corpus, text, "exists")]
    assert found(f"Some quote {text}.") == [(corpus, text, "exists")]


@pytest.mark.parametrize(
    ("corpus", "text"),
    [
        ("talmud", "Berakhot 64b"),
        ("talmud", "Shabbat 158a"),
        ("talmud", "Sanhedrin 1b"),
        ("mishnah", "Oholot 7:7"),
        ("mishnah", "Avot 7:1"),
        ("ccc", "CCC 2866"),
        ("document", "Humanae Vitae 45"),
        ("ggs", "Ang 1431"),
        ("ggs", "Guru Granth Sahib 1500"),
        ("gita", "Gita 19:1"),
        ("gita", "Gita 2:73"),
        ("dhammapada", "Dhammapada 424"),
        ("pali", "DN 35"),
        ("pali", "MN 153"),
        ("pali", "SN 57.1"),
        ("veda", "Rig Veda 11.1"),
    ],
)
def test_a_reference_that_does_not_exist_is_missing(corpus, text):
    assert found(text) == [(corpus, text, "missing")]


@pytest.mark.parametrize(
    ("corpus", "text"),
    [
        ("hadith", "Bukhari 99999"),
        ("hadith", "Sahih al-Bukhari, Book 2, Hadith 13"),
        ("talmud", "Jerusalem Talmud Taanit 4:2"),
        ("pali", "D iii 182"),
        ("veda", "Chandogya Upanishad 6.8.7"),
    ],
)
def test_what_no_table_knows_cannot_be_verified(corpus, text):
    assert found(text) == [(corpus, text, "unverifiable")]


@pytest.mark.parametrize(
    "text",
    [
        "the Catechism (1992)",
        "the Guru Granth Sahib (1604)",
        "Humanae Vitae (1968)",
        "Muslim 16 years old",
        "Sukkah 3 meals",
        "Shabbat 25 hours",
        "al-Bukhari (810-870)",
        "the Dhammapada 5 times",
        "DN31 1AB",
    ],
)
def test_years_counts_and_postcodes_are_no_references(text):
    assert found(text) == []


def test_a_disputed_hadith_says_so():
    (citation,) = find_citations("Abu Dawud 2178")
    assert citation.status == "exists"
    assert "disputed" in citation.reason


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Rosh  ha-shanah 1:2", "Mishnah Rosh Hashanah 1:2"),
        ("Mishnah Rosh\nha-shanah 1:2", "Mishnah Rosh Hashanah 1:2"),
        ("Rosh-ha-shanah 1:2", "Mishnah Rosh Hashanah 1:2"),
        ("Mishnah Rosh Ha Shanah 1:2", "Mishnah Rosh Hashanah 1:2"),
        ("Pe\u017fachim 64b", "Pesachim 64b"),
    ],
)
def test_a_tractate_is_known_whatever_stands_between_its_words(text, reference):
    assert [one.reference for one in find_citations(text)] == [reference]


def test_a_number_after_ang_is_a_page_where_the_scripture_is_named_near_it():
    assert found("Ang 3, Mei 4") == []
    assert found("The Guru Granth Sahib says so (Ang 3, Ang 5)")[-1][1] == "Ang 5"
    assert found("Ang 3, said the Guru" + " and" * 10) == [("ggs", "Ang 3", "exists")]
    assert found("Ang 3, Mei 4." + " And so on." * 1000 + " The Guru.") == []
