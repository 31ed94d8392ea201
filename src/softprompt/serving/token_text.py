"""From tokens to text as they come: no half letters, no part of a stop text.

What has been given out is never taken back. It does not know the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["TokenText"]

HALF = "\ufffd"
"""What a tokenizer writes for bytes that are not a whole letter yet."""


class TokenText:
    """The text of one answer.

    Args:
        tokenizer: of the model.
        stops: texts before which the answer ends.
        strip: whether white space at both ends is left out.

    Attributes:
        text: everything given out so far.
        stopped: whether a stop text has been met.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str] = (), *, strip: bool = False) -> None:
        self._tokenizer, self._stops, self._strip = tokenizer, tuple(stops), strip
        self._tokens: list[int] = []
        self._begin = self._read = 0
        self._held = ""
        self.text = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What a token adds to the text; empty while letters or a stop text may still follow."""
        self._tokens.append(token)
        # Tokens since the last whole letter are read together with a few before them: what a
        # tokenizer makes of the first token depends on whether it stands at the beginning.
        known = self._decoded(self._begin, self._read)
        whole = self._decoded(self._begin, len(self._tokens))
        if len(whole) <= len(known) or whole.endswith(HALF):
            return ""
        self._begin, self._read = self._read, len(self._tokens)
        return self._give(whole[len(known) :])

    def end(self) -> str:
        """What is still held back when no token follows."""
        if self.stopped:
            return ""
        known = self._decoded(self._begin, self._read)
        rest = self._held + self._decoded(self._begin, len(self._tokens))[len(known) :]
        self._held = ""
        if self._strip:
            rest = rest.rstrip() if self.text else rest.strip()
        self.text += rest
        return rest

    def _decoded(self, start: int, end: int) -> str:
        tokens = self._tokens[start:end]
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _give(self, new: str) -> str:
        """What of the text held back and new can be given out."""
        ready = self._held + new
        if self._strip and not self.text:
            ready = ready.lstrip()
        places = [place for stop in self._stops if (place := ready.find(stop)) >= 0]
        if places:
            self.stopped = True
            ready = ready[: min(places)]
            self._held = ""
            ready = ready.rstrip() if self._strip else ready
        else:
            kept = len(ready) - self._open(ready)
            if self._strip:
                kept = len(ready[:kept].rstrip())
            ready, self._held = ready[:kept], ready[kept:]
        self.text += ready
        return ready

    def _open(self, text: str) -> int:
        """Letters at the end of a text that may be the beginning of a stop text."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
