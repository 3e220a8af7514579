"""How long a megabyte of text takes to be searched for references, and how many are found.

python benchmarks/scripture.py
"""

from __future__ import annotations

import sys
import time

from theobot.scripture import find_citations

PAGE = (
    "Many Christians believe that life is holy, since people are made in God's image, as in "
    'Genesis 1:27, and that killing is wrong: "You shall not murder" (Exodus 20:13). Muslims '
    "hold that whoever saves one life saves all (Qur'an 5:32). Some Jews quote Sanhedrin 4:5, "
    "and some Buddhists Dhammapada 129-130. In 2021 about 46 per cent of people in England and "
    "Wales called themselves Christian; the other 54 per cent gave another answer or none. "
)
REFERENCES = 5


def main() -> int:
    """Measure and print; 1 if a reference is missed."""
    find_citations('"In the beginning God created" (Genesis 1:1)')  # loads the text once
    pages = 1_000_000 // len(PAGE)
    started = time.perf_counter()
    found = find_citations(PAGE * pages)
    print(f"{time.perf_counter() - started:.2f} s for 1 MB, {len(found)} references")
    return len(found) != REFERENCES * pages


if __name__ == "__main__":
    sys.exit(main())
