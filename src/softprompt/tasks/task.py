"""A task: rows to learn from, how they are written for the model, and the answers to choose among.

    task = Task.from_file("reviews.csv", target="sentiment")
    task.render(task.train[0]).parts      # ("great coffee\\nSentiment:",)
    task.wording("positive")              # "positive"

Knows text only: no tokens, no model, no prompt vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from softprompt.errors import ConfigError, DataError, nearest
from softprompt.locale import _, mark, ngettext
from softprompt.storage import canonical_json, sha256
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.labels import (
    Choice,
    Kind,
    are_numbers,
    are_quantities,
    make_choices,
    refuse_rare,
    refuse_unknown,
    task_kind,
)
from softprompt.tasks.parts import Parts, read_parts
from softprompt.tasks.rows import Row, input_text, is_empty
from softprompt.tasks.splits import draw
from softprompt.tasks.template import Chat, Rendered, Template

__all__ = ["WRITTEN_ROWS", "Choice", "Kind", "Row", "Task", "render_row", "task_name"]

WRITTEN_ROWS = 200
"""Rows that are written for at each validation of a free-text task; writing is slow."""


_QUANTITIES = mark(
    "The answers are numbers of many values, and they are written and compared as texts: how near "
    "one is to another counts for nothing. Group them into a few labels, or judge them by "
    "--set training.metric=exact_match."
)


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    `template` is None where the input is a conversation. `choices` is empty for generation.
    `hashes` holds the hexadecimal SHA-256 of each source file by name, `warnings` one sentence for
    each thing that its owner may want to change, `demands` the `format` and `terms` that free
    answers are held against beside their references.
    """

    name: str
    kind: Kind
    template: Template | None
    choices: tuple[Choice, ...]
    target: str
    inputs: tuple[str, ...]
    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    demands: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_file(cls, data: str | Path, config: TaskConfig | None = None, **settings: Any) -> Task:
        """Reads a task from JSONL, JSON, CSV, TSV or Parquet, or from `hf:NAME`.

        Args:
            data: a file, or a data set of the Hugging Face Hub.
            config: the settings; all have defaults.
            settings: settings by name, over those of `config`.

        Raises:
            DataError: the file, its columns or some of its rows cannot be used.
            ConfigError: a setting that cannot be.
        """
        config = (config or TaskConfig()).replace(**settings)
        return cls.from_parts(read_parts(data, config), config, name=task_name(data))

    @classmethod
    def from_parts(cls, parts: Parts, config: TaskConfig, *, name: str) -> Task:
        """The task of rows that are already read and divided.

        Raises:
            DataError: some of the rows cannot be used.
            ConfigError: the limit is too small for the labels.
        """
        parts, warnings = _full_parts(parts, config)
        kind = task_kind([str(row.answer) for row in parts.train], config)
        choices: tuple[Choice, ...] = ()
        if kind == "classification":
            choices = _choices(parts, config)
            warnings += _label_warnings(choices, config)
            _refuse_demands(config)
        elif are_quantities(str(row.answer) for row in parts.train):
            warnings.append(_(_QUANTITIES))
        layout = parts.layout
        train = draw(
            parts.train,
            layout.inputs,
            limit=config.limit,
            seed=config.seed,
            by_label=bool(choices),
        )
        parts = replace(parts, train=train)
        warnings += _absent_classes(choices, parts)
        warnings += _overlaps(parts)
        return cls(
            name=name,
            kind=kind,
            template=layout.template,
            choices=choices,
            target=layout.target or "",
            inputs=layout.inputs,
            train=parts.train,
            validation=parts.validation,
            test=parts.test,
            hashes=parts.hashes,
            warnings=tuple(warnings),
            demands=config.demands,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The choices' labels, in their order."""
        return tuple(choice.label for choice in self.choices)

    @property
    def selection_rows(self) -> tuple[Row, ...]:
        """Validation rows that settings are chosen by: all of them, or a sample where the answers
        are written, which is slow."""
        return self.validation if self.choices else self.sample(self.validation, WRITTEN_ROWS)

    def sample(self, rows: tuple[Row, ...], most: int) -> tuple[Row, ...]:
        """At most so many of some rows, in file order, drawn by their texts: files may be sorted,
        so that their first rows are no sample."""
        return draw(rows, self.inputs, limit=most, seed=0, by_label=False)

    def wording(self, label: str) -> str:
        """What the model reads or writes for a label; in generation, the answer itself.

        Raises:
            DataError: a classification has no such label.
        """
        if not self.choices:
            return label
        for choice in self.choices:
            if choice.label == label:
                return choice.wording
        raise DataError(
            _("The task has no label {label!r}.").format(label=label), nearest(label, self.labels)
        )

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the rows, their answers and how they are written for the model."""
        told: list[Any] = [
            [self.kind, self.template and self.template.text, self.target, self.inputs],
            [[choice.label, choice.wording] for choice in self.choices],
            dict(self.demands),
        ]
        for rows in (self.train, self.validation, self.test):
            told.append([[dict(row.columns), row.answer, row.messages] for row in rows])
        return sha256(canonical_json(told).encode())

    def render(self, row: Row, chat: Chat | None = None) -> Rendered:
        """The row's context, as `Template.render` gives it.

        A conversation goes through the chat template or, without one, is written as a line
        "role: content" for each message and "assistant:" at the end.

        Raises:
            DataError: a column of the template is absent, or a slot is lost in the chat template.
        """
        return render_row(row, self.template, chat)


def render_row(row: Row, template: Template | None, chat: Chat | None = None) -> Rendered:
    """A row's context through a template or, where there is none, as a conversation.

    Raises:
        DataError: a column of the template is absent, a slot is lost in the chat template, or the
            row holds no conversation where one is wanted or one that the chat template refuses.
    """
    if template is not None:
        return template.render(row.columns, chat)
    if not row.messages:
        raise DataError(
            _("{place} holds no conversation, and the prompt reads conversations.").format(
                place=row.place
            ),
            _('Write [{"role": "user", "content": "..."}] in its column.'),
        )
    messages = [dict(message) for message in row.messages]
    if chat is not None:
        try:
            return Rendered.of([chat(messages)])
        except DataError as error:
            raise DataError(f"{row.place}: {error.message}", error.hint) from error
    lines = [f"{message['role']}: {message['content']}\n" for message in messages]
    return Rendered.of(["".join(lines) + "assistant: "])


def _refuse_empty(empty: Sequence[Row]) -> None:
    """
    Raises:
        DataError: there are rows that lack an input or an answer; the first few of the first file
            are named, in whatever parts they are.
    """
    if not empty:
        return
    source = empty[0].source
    rows = sorted((row for row in empty if row.source == source), key=lambda row: row.number)
    listed = [
        (_("{n} (answer)") if row.answer is None else _("{n} (input)")).format(n=row.number)
        for row in rows[:5]
    ]
    raise DataError(
        ngettext(
            "{source} has {n} row with an empty input or answer: {rows}.",
            "{source} has {n} rows with an empty input or answer: {rows}.",
            len(rows),
        ).format(
            source=source,
            n=len(rows),
            rows=", ".join([*listed, *(["..."] if len(rows) > 5 else [])]),
        ),
        _(
            "See them with softprompt check, and fill or remove them, or leave them out with"
            " --drop-empty."
        ),
    )


def _full_parts(parts: Parts, config: TaskConfig) -> tuple[Parts, list[str]]:
    """The parts without the rows that lack an input or an answer, and what was left out."""
    read = sum(len(rows) for _name, rows in parts)
    if all(row.answer is None for row in _own_rows(parts, config)):
        source = next(iter(parts.tables.values())).source
        raise DataError(
            _("No row of {source} has an answer in the column {name!r}.").format(
                source=source, name=parts.layout.target
            ),
            _("Fill the column, or name another with --target."),
        )

    def lacks(row: Row) -> bool:
        return row.answer is None or is_empty(row, parts.layout.inputs)

    if not config.drop_empty:
        _refuse_empty([row for _name, rows in parts for row in rows if lacks(row)])
    kept: list[tuple[Row, ...]] = []
    warnings: list[str] = []
    shares = {"train": 1.0, "validation": config.validation_share, "test": config.test_share}
    for name, rows in parts:
        full = tuple(row for row in rows if not lacks(row))
        empty = len(rows) - len(full)
        if empty:
            text = ngettext(
                "Left out for an empty input or answer: {n} {part} row.",
                "Left out for an empty input or answer: {n} {part} rows.",
                empty,
            )
            warnings.append(text.format(n=empty, part=_(name)))
        if not full and (shares[name] > 0 or rows):
            raise _nothing_left(name, read)
        kept.append(full)
    train, validation, test = kept
    return replace(parts, train=train, validation=validation, test=test), warnings


def _nothing_left(part: str, read: int) -> DataError:
    cure = _("Add rows, or carve out smaller shares.")
    if part != "train":
        cure = _("Add rows, or give a greater share or a file for this part ({flag} FILE).")
    return DataError(
        ngettext(
            "No {part} row is left of the {n} row read.",
            "No {part} row is left of the {n} rows read.",
            read,
        ).format(part=_(part), n=read),
        cure.format(flag=f"--{part}"),
    )


def _own_rows(parts: Parts, config: TaskConfig) -> list[Row]:
    """The rows that come from the data itself, not from a validation or test file."""
    rows = list(parts.train)
    if not config.validation:
        rows += parts.validation
    return rows if config.test else [*rows, *parts.test]


def _choices(parts: Parts, config: TaskConfig) -> tuple[Choice, ...]:
    """The choices among the training labels, after refusing labels that cannot be learned."""
    refuse_rare(parts.train, sorted({str(row.answer) for row in _own_rows(parts, config)}))
    choices = make_choices([str(row.answer) for row in parts.train], config.choices)
    labels = [choice.label for choice in choices]
    refuse_unknown((*parts.validation, *parts.test), labels)
    return choices


def _refuse_demands(config: TaskConfig) -> None:
    if config.demands:
        raise ConfigError(
            _("answer_format and answer_terms are about free answers; this task chooses labels."),
            _("Leave them out, or use --set task.kind=generation."),
        )


def _label_warnings(choices: tuple[Choice, ...], config: TaskConfig) -> list[str]:
    if config.choices is not None or not are_numbers(choice.label for choice in choices):
        return []
    example = ",".join(f"{choice.label}=..." for choice in choices[:3])
    text = _(
        "The labels are numbers, which tell the model nothing: word them with --choices {example}."
    )
    return [text.format(example=example)]


def _absent_classes(choices: tuple[Choice, ...], parts: Parts) -> list[str]:
    warnings = []
    for name, rows in parts:
        counts = Counter(row.answer for row in rows)
        absent = [choice.label for choice in choices if rows and not counts[choice.label]]
        text = _("The label {label!r} has no {part} rows.")
        warnings += [text.format(label=label, part=_(name)) for label in absent]
    return warnings


def _overlaps(parts: Parts) -> list[str]:
    """Warnings for inputs of one part that stand in an earlier one."""
    warnings: list[str] = []
    seen: set[str] = set()
    for name, rows in parts:
        texts = [input_text(row, parts.layout.inputs) for row in rows]
        shared = sum(text in seen for text in texts)
        if shared:
            text = _(
                "Of the {part} rows {n} have an input that an earlier part has as well: a score on"
                " them says little."
            )
            warnings.append(text.format(part=_(name), n=shared))
        seen.update(texts)
    return warnings


def task_name(data: str | Path) -> str:
    """The file's name without its suffix; the folder's where the file is only called "train"."""
    address = str(data)
    if address.startswith("hf:"):
        return address.removeprefix("hf:").partition(":")[0].strip("/").rpartition("/")[2]
    path = Path(address)
    generic = path.stem.casefold() in {"train", "training", "data"}
    folder = path.absolute().parent.name
    return folder if generic and folder else path.stem
