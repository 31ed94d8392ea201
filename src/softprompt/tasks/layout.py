"""Which columns are the input and which is the answer, told by their names or by the settings.

    text/label            text, sentence, review, ... and label, sentiment, category, ...
    prompt/completion     also question/answer (with a passage), input/output, source/target
    messages              a list of {"role", "content"}; the last assistant message is the answer
    alpaca                instruction, input, output

Names that say nothing ("en" and "vi") are not guessed at. Knows nothing of labels or splits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from softprompt.errors import DataError, nearest
from softprompt.locale import _, mark
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.table import Table
from softprompt.tasks.template import ANSWER, Template, default_template
from softprompt.tasks.text import one_line

__all__ = ["Layout", "find_layout", "input_layout"]

_TEXTS = (
    *("text", "sentence", "review", "content", "body", "comment", "feedback", "message"),
    *("document", "utterance", "tweet", "title_and_text", "text_and_title", "title_and_body"),
)
# A column with a name of the first kind is the answer even where one of the second stands beside.
_CERTAIN_LABELS = ("label", "target", "class")
_LABELS = ("sentiment", "category", "topic", "intent", "rating", "stars", "emotion")
_PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("input", "output"),
    ("source", "target"),
    ("instruction", "output"),
    ("instruction", "response"),
)
_PASSAGES = ("passage", "context")
_MESSAGES = ("messages", "conversations", "conversation")
_PROMPT_TEMPLATE = "{{{prompt}}}\n{{answer}}"
_ALPACA_TEMPLATE = (
    "### Instruction:\n{{{instruction}}}\n\n### Input:\n{{{input}}}\n\n### Response:\n{{answer}}"
)
_FLAGS = mark("Name them with --input and --target.")


@dataclass(frozen=True)
class Layout:
    """The columns of a task.

    `target` is None where rows are read for prediction only. `template` is None where the input is
    a conversation (`messages`).
    """

    inputs: tuple[str, ...]
    target: str | None
    template: Template | None = None
    messages: bool = False


def find_layout(table: Table, config: TaskConfig) -> Layout:
    """The layout that the settings name or the column names tell.

    Raises:
        DataError: a named column is absent (the nearest is named), or the names leave open which
            columns are meant.
    """
    template = None if config.template is None else Template(config.template)
    inputs = template.columns if template is not None else config.input
    for name in (*(inputs or ()), *_given(config.target), *_given(config.slice)):
        _require(table, name)
    if inputs is not None and config.target is not None:
        return _checked(inputs, config.target, template, table)
    conversation = _conversation(table, inputs)
    if conversation is not None and config.target is None and template is None:
        return Layout((conversation,), conversation, None, messages=True)
    if inputs is not None:
        return _checked(inputs, _find_target(table, inputs), template, table)
    if config.target is not None:
        found = _find_inputs(table, config.target)
        return _checked(found, config.target, None, table)
    return _detect(table)


def input_layout(table: Table, inputs: Sequence[str], target: str | None) -> Layout:
    """The layout of rows whose columns are known from elsewhere, as from a saved prompt.

    A target that the file does not have becomes None.

    Raises:
        DataError: an input column is absent; the nearest is named.
    """
    for name in inputs:
        _require(table, name)
    conversation = _conversation(table, tuple(inputs))
    if conversation is not None:
        return Layout((conversation,), conversation, None, messages=True)
    return Layout(tuple(inputs), target if target in table.columns else None)


def _given(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def _require(table: Table, name: str) -> None:
    if name not in table.columns:
        raise DataError(
            _("{source} has no column {name!r}.").format(source=table.source, name=name),
            nearest(name, _shown(table)),
        )


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name).casefold()


def _named(columns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The columns that have one of the names, in order of the names."""
    found = [(names.index(_plain(column)), column) for column in columns if _plain(column) in names]
    return [column for _place, column in sorted(found)]


def _checked(
    inputs: tuple[str, ...], target: str, template: Template | None, table: Table
) -> Layout:
    if target in inputs:
        cure = _(
            "The model must not read what it has to answer: take it out of --input or the template."
        )
        if template:
            cure = _(
                "The model must not read what it has to answer: take it out of --input or the"
                " template, where {answer} is its place."
            )
        raise DataError(
            _("The answer's column {name!r} of {source} is also an input.").format(
                name=target, source=table.source
            ),
            cure,
        )
    return Layout(inputs, target, template or Template(default_template(inputs, target)))


def _conversation(table: Table, inputs: tuple[str, ...] | None) -> str | None:
    """The column that holds conversations, if one does."""
    candidates = _named(table.columns, _MESSAGES) if inputs is None else inputs
    if len(candidates) != 1:
        return None
    value = table.records[0].get(candidates[0])
    is_list = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    in_text = isinstance(value, str) and re.match(r'\s*\[\s*\{\s*"(role|from)"', value)
    return candidates[0] if is_list or in_text else None


def _find_target(table: Table, inputs: tuple[str, ...]) -> str:
    others = [column for column in table.columns if column not in inputs]
    pairs = {right for left, right in _PAIRS for name in inputs if _plain(name) == left}
    for names in (_CERTAIN_LABELS, tuple(sorted(pairs)), (*_LABELS, ANSWER)):
        found = _named(others, names)
        if len(found) == 1:
            return found[0]
        if found:
            break
    if len(others) == 1:
        return others[0]
    raise _unclear(
        table,
        _("{source} leaves open which column is the answer. Its columns: {columns}."),
        _("Name it with --target."),
    )


def _find_inputs(table: Table, target: str) -> tuple[str, ...]:
    others = [column for column in table.columns if column != target]
    pairs = {left for left, right in _PAIRS if _plain(target) == right}
    for names in (tuple(sorted(pairs)), _TEXTS):
        found = _named(others, names)
        if len(found) == 1:
            return _with_passage(others, found[0])
        if found:
            break
    if len(others) == 1:
        return (others[0],)
    raise _unclear(
        table,
        _("{source} leaves open which columns are the input. Its columns: {columns}."),
        _("Name them with --input."),
    )


def _detect(table: Table) -> Layout:
    found = [*_text_and_label(table), *_pairs(table)]
    alpaca = _named(table.columns, ("instruction", "input", "output"))
    if len(alpaca) == 3:
        template = _ALPACA_TEMPLATE.format(instruction=alpaca[0], input=alpaca[1])
        found = [(tuple(alpaca[:2]), alpaca[2], Template(template))]
    if len(found) == 1:
        return _checked(*found[0], table)
    if not found:
        text = _(
            "{source} leaves open which columns are the input and the answer. Its columns:"
            " {columns}."
        )
        raise _unclear(table, text, _(_FLAGS))
    ways = [
        _("{inputs} with {target}").format(inputs=_(" and ").join(inputs), target=target)
        for inputs, target, _template in found
    ]
    text = _("{source} leaves open what is meant ({ways}). Its columns: {columns}.")
    raise _unclear(table, text, _(_FLAGS), "; ".join(ways))


Candidate = tuple[tuple[str, ...], str, Template | None]


def _text_and_label(table: Table) -> list[Candidate]:
    texts = _named(table.columns, _TEXTS)
    certain = _named(table.columns, _CERTAIN_LABELS)
    labels = certain if len(certain) == 1 else [*certain, *_named(table.columns, _LABELS)]
    return [((text,), label, None) for text in texts for label in labels]


def _pairs(table: Table) -> list[Candidate]:
    found: list[Candidate] = []
    for left, right in _PAIRS:
        columns = _named(table.columns, (left, right))
        if len(columns) == 2:
            plain = _PROMPT_TEMPLATE.format(prompt=columns[0]) if left == "prompt" else None
            inputs = _with_passage(table.columns, columns[0])
            found.append((inputs, columns[1], Template(plain) if plain else None))
    return found


def _with_passage(columns: Sequence[str], name: str) -> tuple[str, ...]:
    """The input, led by the passage that a question is about, if there is one."""
    passages = _named(columns, _PASSAGES) if _plain(name) == "question" else []
    return (*passages[:1], name)


def _unclear(table: Table, text: str, cure: str, ways: str = "") -> DataError:
    columns = ", ".join(_shown(table))
    return DataError(text.format(source=table.source, columns=columns, ways=ways), cure)


def _shown(table: Table) -> list[str]:
    """Column names as messages list them; without a header line they are whole texts."""
    return [one_line(column, 40) for column in table.columns]
