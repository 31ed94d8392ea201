"""How a row becomes text: what the model reads, where prompt vectors stand, where it answers.

    Template("{text}\\nSentiment: {answer}")

The context is everything before `{answer}`; white space at its end belongs to the answer, so that
context and answer can be tokenised apart, the same way in training and in use. Knows nothing of
tokenizers: a chat template comes in as a function from messages to text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from softprompt.errors import DataError, nearest
from softprompt.locale import _
from softprompt.tasks.text import one_line

__all__ = ["Chat", "Part", "Rendered", "Slot", "Template", "default_template", "humanise"]

Chat = Callable[[list[dict[str, str]]], str]
"""A tokenizer's chat template: messages to text, with the generation prompt added."""

ANSWER = "answer"
_SYNTAX = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PRIVATE_USE = range(0xE000, 0xF900)


@dataclass(frozen=True)
class Slot:
    """A place for prompt vectors, written `{prompt:8}` in a template.

    The number is always given: a bare `{prompt}` is a column named "prompt".
    """

    length: int


Part = str | Slot


@dataclass(frozen=True)
class Rendered:
    """What stands before the answer, in order.

    `parts` has no empty strings and no two strings side by side. White space at the end of a last
    string is not in it but in `answer_prefix`: the answer's text is `answer_prefix` + wording.
    """

    parts: tuple[Part, ...]
    answer_prefix: str

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots among the parts, in order."""
        return tuple(part for part in self.parts if isinstance(part, Slot))

    @classmethod
    def of(cls, parts: Iterable[Part]) -> Rendered:
        """Merges strings, brings them to NFC and moves the last white space to the answer."""
        merged = _merge(parts)
        if not merged or not isinstance(merged[-1], str):
            return cls(tuple(merged), "")
        last = merged.pop()
        assert isinstance(last, str)
        kept = last.rstrip()
        return cls((*merged, kept) if kept else tuple(merged), last[len(kept) :])


@dataclass(frozen=True)
class _Column:
    name: str


@dataclass(frozen=True)
class Template:
    """A text with places for columns, prompt vectors and, last, the answer.

    `{name}` is a column, `{prompt:8}` a slot of 8 prompt vectors, `{answer}` the answer; `{{` and
    `}}` are literal braces. A backslash followed by n or t stands for a line end or a tab, as a
    shell passes them on. White space after `{answer}` is dropped.

    Raises:
        DataError: `{answer}` is absent, repeated or not last; a brace is single; a slot has no
            length; no column is named.
    """

    text: str
    columns: tuple[str, ...] = field(init=False)
    slots: tuple[Slot, ...] = field(init=False)
    _pieces: tuple[str | Slot | _Column, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.text.replace("\\n", "\n").replace("\\t", "\t").rstrip()
        text = unicodedata.normalize("NFC", text)
        pieces = _parse(text)
        columns = [piece.name for piece in pieces if isinstance(piece, _Column)]
        if not columns:
            raise DataError(
                _("The template {template!r} names no input column.").format(template=text),
                _("Write the input's column in braces, for example {text}."),
            )
        set_field = object.__setattr__  # the dataclass is frozen for everyone else
        set_field(self, "text", text)
        set_field(self, "columns", tuple(dict.fromkeys(columns)))
        set_field(self, "slots", tuple(piece for piece in pieces if isinstance(piece, Slot)))
        set_field(self, "_pieces", tuple(pieces))

    def render(self, columns: Mapping[str, str], chat: Chat | None = None) -> Rendered:
        """The row's context, its values inserted as they are and never parsed again.

        Args:
            columns: the row's text by column name; more than the template's may be there.
            chat: makes the context the content of one user message. Slots pass through it as
                characters of the private use area that the row does not hold.

        Raises:
            DataError: a column is absent, or the chat template loses or repeats a slot.
        """
        parts: list[Part] = []
        for piece in self._pieces:
            if not isinstance(piece, _Column):
                parts.append(piece)
            elif piece.name in columns:
                parts.append(columns[piece.name])
            else:
                raise DataError(
                    _(
                        "The template names the column {name!r}, which the row does not have."
                    ).format(name=piece.name),
                    nearest(piece.name, columns),
                )
        return Rendered.of(parts if chat is None else _through_chat(parts, chat))


def humanise(name: str) -> str:
    """A column's name as a heading: "star_rating" becomes "Star rating"."""
    words = re.sub(r"[_\-\s]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def default_template(inputs: Sequence[str], target: str) -> str:
    """The template of a task that names none.

    One input stands alone, several each under their own heading; the answer's heading is the
    target column's name.

    Raises:
        DataError: an input column cannot be written in a template.
    """
    for name in inputs:
        if name == ANSWER or set("{}") & set(name) or re.fullmatch(r"prompt\s*:.*", name):
            raise DataError(
                _("A template cannot name the input column {name!r}.").format(name=name),
                _("Rename the column in the file."),
            )
    heading = re.sub(r"[{}]", "", humanise(target))
    if len(inputs) == 1:
        return f"{{{inputs[0]}}}\n{heading}: {{answer}}"
    lines = [f"{humanise(name)}: {{{name}}}" for name in inputs]
    return "\n".join([*lines, f"{heading}: {{answer}}"])


def _parse(text: str) -> list[str | Slot | _Column]:
    """The template's pieces before `{answer}`."""
    pieces: list[str | Slot | _Column] = []
    end: int | None = None
    position = 0
    for match in _SYNTAX.finditer(text):
        pieces.append(text[position : match.start()])
        position = match.end()
        token = match.group()
        if token in {"{{", "}}"}:
            pieces.append(token[0])
        elif match.group(1) is None:
            raise DataError(
                _("The template has a single {brace!r} at character {place}.").format(
                    brace=token, place=match.start() + 1
                ),
                _("Write {braces!r} for a literal brace.").format(braces=token * 2),
            )
        elif match.group(1).strip() != ANSWER:
            pieces.append(_field(one_line(match.group(1))))
        elif end is not None:
            raise DataError(
                _("The template holds {answer} twice."), _("Keep the one that stands at its end.")
            )
        else:
            end = position
    if end is None:
        raise DataError(
            _("The template {template!r} does not say where the answer stands.").format(
                template=text
            ),
            _("End it with {answer}, for example '{text}\\nSentiment: {answer}'."),
        )
    if end < len(text):
        raise DataError(
            _("The template goes on after {{answer}} with {rest!r}.").format(rest=text[end:]),
            _("Move that text before {answer}: the model writes the answer last."),
        )
    return pieces


def _field(name: str) -> Slot | _Column:
    slot = re.fullmatch(r"prompt\s*:\s*(.*)", name)
    if slot is not None:
        if not re.fullmatch(r"0*[1-9][0-9]{0,5}", slot[1]):
            raise DataError(
                _("The slot {{{name}}} has the length {length!r}, not a number of vectors.").format(
                    name=name, length=slot[1]
                ),
                _("Write for example {prompt:8}."),
            )
        return Slot(int(slot[1]))
    if not name:
        raise DataError(
            _("The template holds {} without a column's name."),
            _("Name a column, for example {text}, or write {{}} for literal braces."),
        )
    return _Column(name)


def _merge(parts: Iterable[Part]) -> list[Part]:
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, Slot):
            merged.append(part)
        elif merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part:
            merged.append(part)
    return [
        unicodedata.normalize("NFC", part) if isinstance(part, str) else part for part in merged
    ]


def _through_chat(parts: Sequence[Part], chat: Chat) -> list[Part]:
    slots = [part for part in parts if isinstance(part, Slot)]
    text = "".join(part for part in parts if isinstance(part, str))
    mark = next(chr(code) for code in _PRIVATE_USE if chr(code) not in text)
    content = "".join(part if isinstance(part, str) else mark for part in parts).rstrip()
    pieces = chat([{"role": "user", "content": content}]).split(mark)
    if len(pieces) != len(slots) + 1:
        raise DataError(
            _("The chat template wrote {n} of the template's {slots} slots.").format(
                n=len(pieces) - 1, slots=len(slots)
            ),
            _("Take the {prompt:...} slots out of the template or turn the chat template off."),
        )
    result: list[Part] = [pieces[0]]
    for slot, piece in zip(slots, pieces[1:], strict=True):
        result += [slot, piece]
    return result
