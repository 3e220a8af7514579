"""Words of a text as a marker reads them: inflection, spelling and contractions do not count.

The stem of a word is no dictionary form, only something that its forms share. The rules are a few
of Porter's (1980, Program 14, 130-137) with a table of irregular words; both are kept so light that
words of different meaning stay apart ("faithful" is not "faith").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from theobot.scripture.citation import plain

NOT = "not"
"""Stem of every word that denies: not, n't, never, no, nor, without."""

_JOINED = "anti|co|inter|life|multi|non|over|post|pre|re|self|semi|sub"
_WORD = re.compile(
    r"(?P<number>\d+(?:[.,:/]\d+)*(?!\d)[^\W_]*)"
    rf"|(?P<word>(?:\b(?:{_JOINED})-(?=[^\W\d_]{{3}}))?[^\W_]+(?:'[^\W_]+)*)",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL = re.compile(r"(\d+\.\d*?)0+")
_SENTENCE_END = re.compile(
    r"(?<!\bSt)(?<!\bMt)(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bcf)(?<!\be\.g)(?<!\bi\.e)(?<!\bv)(?<!\bvv)"
    r"[.!?]+[\"')\]\u201d\u2019*]*\s+|\n+"
)
_CLAUSE_END = re.compile(r"[,;:()]|\s-\s|\s?--\s?|\u2014")

_IRREGULAR = {
    form: base
    for base, forms in {
        "arise": "arose arisen",
        "be": "am is are was were been being",
        "become": "became",
        "begin": "began begun",
        "believe": "belief beliefs",
        "bind": "bound",
        "break": "broke broken",
        "bring": "brought",
        "build": "built",
        "buy": "bought",
        "centre": "center centers",
        "child": "children",
        "choose": "chose chosen",
        "come": "came",
        "deal": "dealt",
        "die": "died dies dying",
        "do": "does did done",
        "draw": "drew drawn",
        "drive": "drove driven",
        "eat": "ate eaten",
        "fall": "fell fallen",
        "feel": "felt",
        "fight": "fought",
        "find": "found",
        "forbid": "forbade forbidden",
        "forgive": "forgave forgiven",
        "free": "freed",
        "give": "gave given",
        "go": "goes went gone",
        "grey": "gray",
        "grow": "grew grown",
        "have": "has had having",
        "hide": "hid hidden",
        "hold": "held",
        "keep": "kept",
        "know": "knew known",
        "lay": "laid",
        "lead": "led",
        "leave": "left",
        "lie": "lied lies lying",
        "life": "live lives lived living",
        "lose": "lost",
        "make": "made",
        "man": "men",
        "mean": "meant",
        "meet": "met",
        "must": "ought",
        "muhammad": "mohammed mohammad muhammed",
        "muslim": "moslem moslems",
        "pay": "paid",
        "quran": "koran qurans",
        "rise": "rose risen",
        "say": "said",
        "see": "saw seen",
        "seek": "sought",
        "sell": "sold",
        "send": "sent",
        "shia": "shiah shii shiite shiites",
        "show": "shown",
        "sing": "sang sung",
        "speak": "spoke spoken",
        "spend": "spent",
        "stand": "stood",
        "swear": "swore sworn",
        "take": "took taken",
        "teach": "taught",
        "tell": "told",
        "theatre": "theater theaters",
        "think": "thought thoughts",
        "tie": "tied tying",
        "understand": "understood",
        "use": "used uses using",
        "wear": "wore worn",
        "win": "won",
        "wife": "wives",
        "woman": "women",
        "write": "wrote written",
        "1": "one",
        "2": "two",
        "3": "three",
        "4": "four",
        "5": "five",
        "6": "six",
        "7": "seven",
        "8": "eight",
        "9": "nine",
        "10": "ten",
        "11": "eleven",
        "12": "twelve",
        NOT: "never no nor without",
    }.items()
    for form in forms.split()
}
_SPELLINGS = {"defens": "defenc", "licens": "licenc", "offens": "offenc", "practis": "practic"}
_OWN_ENDING = frozenset("christ christian evening king thing nothing something morning".split())

FUNCTION_WORDS = frozenset(
    """a an the this that these those and or but of in on at to for by with from as into within
    onto upon about be have do can could may might will would shall should i you he she it we they
    me him her us them my your his its our their who whom whose which what there here so such then
    than also just only even often very really quite much many some any most usually generally
    both each if when while where because since although though however therefore thus
    themselves himself herself itself oneself yes no!""".split()
)
"""Words between those that carry meaning; each is its own stem. "no!" is the No that answers."""


class Token(NamedTuple):
    """One word.

    Args:
        start: its first character in the text.
        end: the character after the last.
        word: lower case, without accents, apostrophes and possessive endings.
        stem: what all its forms share; of a number its value as written out.
        sentence: number of the sentence it stands in.
        clause: number of the part between commas, brackets and the like.
    """

    start: int
    end: int
    word: str
    stem: str
    sentence: int
    clause: int

    @property
    def carries(self) -> bool:
        """Whether it carries meaning."""
        return self.stem not in FUNCTION_WORDS


def tokens_of(text: str) -> list[Token]:
    """The words and numbers of a text in their order; the text is expected in NFC."""
    even = plain(text).replace("\u201c", '"').replace("\u201d", '"')
    sentences = [found.end() for found in _SENTENCE_END.finditer(even)]
    clauses = [found.start() for found in _CLAUSE_END.finditer(even)]
    tokens: list[Token] = []
    sentence = clause = 0
    for found in _WORD.finditer(even):
        while sentence < len(sentences) and sentences[sentence] <= found.start():
            sentence += 1
        while clause < len(clauses) and clauses[clause] < found.start():
            clause += 1
        for word in _words(found, even):
            root = _number(word) if found["number"] else stem(word)
            tokens.append(Token(found.start(), found.end(), word, root, sentence, clause))
    return tokens


def fold(text: str) -> str:
    """Lower case without accents, with compatible characters (such as \u00b2) made plain."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """What all forms of a lower-case word share."""
    word = _IRREGULAR.get(word, word)
    if len(word) < 4 or word in FUNCTION_WORDS or word in _OWN_ENDING:
        return word
    root = _without_ending(_without_plural(word))
    for ending, least in (("ness", 8), ("ment", 8), ("ly", 6)):
        if root.endswith(ending) and len(root) >= least:
            root = root[: -len(ending)]
            break
    if root.endswith(("tion", "sion")) and len(root) >= 8:
        root = root[:-3]
    return _even_spelling(root)


@lru_cache(maxsize=65_536)
def is_misspelt(word: str, other: str) -> bool:
    """Whether two long words are most likely the same word, one of them misspelt.

    They sound alike (same consonants, vowels at the same places) and differ by one slip of the
    pen, or two from twelve letters on. So "brahmacharia" is "brahmacharya", but "cremation" is not
    "creation" and "revolution" not "revelation". Shorter words are never taken for one another:
    "Brahmin" is not "Brahman".
    """
    shorter = min(len(word), len(other))
    if shorter < 8 or word[0] != other[0] or abs(len(word) - len(other)) > 2:
        return False
    return _sound(word) == _sound(other) and _slips(word, other) <= (2 if shorter >= 12 else 1)


def _words(found: re.Match[str], even: str) -> Iterator[str]:
    """The words of one match: "don't" is two, "God's" is "god", "non-violence" is one."""
    word = fold(found[0]).replace("-", "")
    if found["number"]:
        yield word
    elif word == "no" and even[found.end() : found.end() + 1] in {",", ".", "!", ";"}:
        yield "no!"
    elif word.endswith("n't"):
        yield {"ca": "can", "wo": "will", "sha": "shall"}.get(word[:-3], word[:-3])
        yield NOT
    elif word == "cannot":
        yield from ("can", NOT)
    else:
        yield re.sub(r"'(?:s|m|re|ve|ll|d)$", "", word).replace("'", "")


def _number(word: str) -> str:
    """A number without thousands separators and closing zeros; "18:5" stays as it is."""
    if _THOUSANDS.fullmatch(word):
        word = word.replace(",", "")
    if _DECIMAL.fullmatch(word):
        word = word.rstrip("0").rstrip(".")
    return word


def _without_plural(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _without_ending(word: str) -> str:
    if word.endswith("ied"):
        return word[:-3] + "y"
    if word.endswith("eed"):
        return word[:-1] if len(word) > 5 else word
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and re.search("[aeiouy]", rest):
            return rest
    return word


def _even_spelling(root: str) -> str:
    """British and American spelling made one; a final e, y or doubled letter evened out."""
    root = re.sub(r"([bdfglmnprstz])\1$", r"\1", root)
    root = root.removesuffix("e") if len(root) > 3 else root
    root = root[:-1] + "i" if root.endswith("y") else root
    if len(root) >= 5:
        root = re.sub(r"our(hood)?$", r"or\1", root)
        root = re.sub(r"([iy])z(at)?$", r"\1s\2", root)
    return _SPELLINGS.get(root, root)


def _sound(word: str) -> str:
    """A word's consonants, alike ones made one, with a mark where vowels stand."""
    word = word.replace("ph", "f").replace("h", "")
    word = word.translate(str.maketrans("ckqzaeiouy", "kkksaaaaaa"))
    return re.sub(r"(.)\1+", r"\1", word)


def _slips(one: str, other: str) -> int:
    """Letters left out, added, changed or swapped with a neighbour (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        last, row = row, [i]
        for j, b in enumerate(other, start=1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = last
    return row[-1]
