"""Where a reader's own stop texts end an answer that is still being written."""

from __future__ import annotations

from collections.abc import Sequence

from theobot.generation.endings import overlap


class StopTexts:
    """Lets an answer through up to the first of some texts, and holds back what may become one.

    Args:
        texts: none of them empty.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._held = ""
        self.found = False

    def pass_on(self, piece: str, *, last: bool = False) -> str:
        """The part of the answer that can be shown now.

        Args:
            piece: the next piece of the answer.
            last: whether nothing follows, so that nothing needs to be held back.
        """
        text = self._held + piece
        ends = [at for stop in self._texts if (at := text.find(stop)) >= 0]
        if ends:
            self.found = True
            self._held = ""
            return text[: min(ends)]
        held = 0 if last else max((overlap(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]
