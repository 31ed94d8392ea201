"""One row as the model gets it, token by token: context, soft prompt, and the answer.

    context      great│·coffee│⏎│Sentiment│:
    soft prompt  ‹1› ‹2› ... ‹16›
    answer       [·positive] [</s>]

The three are told apart by their marks; colour only repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from softprompt.locale import _
from softprompt.prompts import Example

__all__ = ["pieces", "show_tokens"]

_MOST_TOKENS = 160


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text of each token, spaces and line ends made visible.

    A token that ends within a letter has no text of its own; its bytes show with the token that
    completes the letter.
    """
    texts: list[str] = []
    whole = ""
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(
            list(ids[:count]), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if text.endswith("\ufffd") and count < len(ids):
            texts.append("…")
            continue
        texts.append(_visible(text[len(whole) :]) or "…")
        whole = text
    return texts


def show_tokens(console: Console, tokenizer: Any, example: Example) -> None:
    """Prints a row.

    Args:
        console: to print on.
        tokenizer: of the model.
        example: the row with its one answer, or without where a head gives it.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for vectors, ids in _runs((*example.context, *example.encoder, *example.trunk)):
        if vectors:
            marks = Text(" ".join(f"‹{-token}›" for token in ids), style="magenta")
            grid.add_row(_("soft prompt"), marks)
        else:
            grid.add_row(_("context"), _text(pieces(tokenizer, ids)))
    if example.answers:
        answer = " ".join(f"[{piece}]" for piece in pieces(tokenizer, example.answers[0]))
        grid.add_row(_("answer"), Text(answer, style="bold green"))
    console.print(grid)
    console.print(
        _("│ ends a token of the constant context, ‹n› is a trained vector, [ ] is predicted."),
        style="dim",
    )


def _runs(ids: Sequence[int]) -> list[tuple[bool, list[int]]]:
    """Tokens and prompt vectors in turn; vectors are the negative numbers."""
    runs: list[tuple[bool, list[int]]] = []
    for token in ids:
        if not runs or runs[-1][0] != (token < 0):
            runs.append((token < 0, []))
        runs[-1][1].append(token)
    return runs


def _text(texts: Sequence[str]) -> Text:
    if len(texts) > _MOST_TOKENS:
        half = _MOST_TOKENS // 2
        left_out = _(" ({n} more) ").format(n=len(texts) - 2 * half)
        return Text("│".join(texts[:half]) + left_out + "│".join(texts[-half:]))
    return Text("│".join(texts))


def _visible(text: str) -> str:
    return text.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥")
