"""What can be set about a task: its file's columns, its template, its splits.

Knows the settings' forms and nothing of the data; what a file holds is checked by its reader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from softprompt.errors import ConfigError, nearest, refusal
from softprompt.locale import _, mark
from softprompt.tasks.demands import format_of, terms_of
from softprompt.tasks.template import Template
from softprompt.tasks.text import as_text, normalise, one_line

__all__ = ["TaskConfig"]

_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


class TaskConfig(BaseModel):
    """The settings of a task; every one has a default.

    Raises:
        ConfigError: a value that cannot be.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: tuple[str, ...] | None = Field(
        default=None,
        description=mark("Input columns, separated by commas; detected when not given."),
    )
    target: str | None = Field(
        default=None, description=mark("The answer's column; detected when not given.")
    )
    template: str | None = Field(
        default=None,
        description=mark("Text with {column} places, {prompt:8} slots and {answer} at its end."),
    )
    choices: Mapping[str, str] | None = Field(
        default=None, description=mark("Wordings of the labels, label=wording separated by commas.")
    )
    kind: Literal["auto", "classification", "generation"] = Field(
        default="auto",
        description=mark("Choosing among labels or writing freely; auto looks at the answers."),
    )
    validation: str | None = Field(
        default=None,
        description=mark("File of validation rows; none is then carved out of the data."),
    )
    test: str | None = Field(
        default=None, description=mark("File of test rows; none is then carved out of the data.")
    )
    delimiter: str | None = Field(
        default=None,
        description=mark("Character between the fields of a CSV file; detected when not given."),
    )
    encoding: str | None = Field(
        default=None,
        description=mark("Text encoding of the files; UTF-8 or what a byte order mark says."),
    )
    limit: int | None = Field(
        default=None, ge=1, description=mark("Training rows at most, drawn by the seed; in rows.")
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description=mark("Seed of the draw that `limit` asks for.")
    )
    validation_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description=mark("Share of the rows carved out for validation; 0 to 0.5."),
    )
    test_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description=mark("Share of the rows carved out for the test; 0 to 0.5."),
    )
    answer_format: str | Mapping[str, Any] | None = Field(
        default=None,
        description=mark(
            "Format that free answers are held against: a regular expression for the whole"
            " answer, or a JSON Schema as a mapping, as text in {} or as a .json file."
        ),
    )
    answer_terms: tuple[str, ...] | None = Field(
        default=None,
        description=mark(
            "Fixed terms that free answers are held against, separated by commas: each is"
            " needed where the right answer has it."
        ),
    )
    slice: str | None = Field(
        default=None, description=mark("A column whose values are scored apart as well.")
    )
    chat: Literal["auto", "on", "off"] = Field(
        default="auto",
        description=mark("Use of the model's chat template; auto: where the model has one."),
    )
    split: str | None = Field(
        default=None,
        description=mark("Split of a Hugging Face data set (hf:NAME); train when not given."),
    )
    drop_empty: bool = Field(
        default=False,
        description=mark("Leave out rows with an empty input or answer instead of refusing them."),
    )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> TaskConfig:
        """The configuration of a mapping, as a file or flags give it.

        Raises:
            ConfigError: an unknown key (the message names the nearest) or a value that cannot be.
        """
        for key in settings:
            if key not in cls.model_fields:
                raise ConfigError(
                    _("Unknown task setting {name!r}.").format(name=key),
                    nearest(key, cls.model_fields),
                )
        try:
            return cls(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "task"
            field = cls.model_fields.get(name)
            about = (field.description if field else None) or ""
            raise ConfigError(
                _("The task setting {name!r} cannot be {value!r}: {reason}.").format(
                    name=name, value=first["input"], reason=refusal(first["msg"])
                ),
                _(about),
            ) from error

    def replace(self, **settings: Any) -> TaskConfig:
        """The same configuration with some settings changed.

        Raises:
            ConfigError: an unknown key or a value that cannot be.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).from_settings({**given, **settings})

    @field_validator("input", mode="before")
    @classmethod
    def _split_input(cls, value: object) -> object:
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, list | tuple):
            return value
        names = tuple(one_line(name) if isinstance(name, str) else name for name in value)
        if not names or "" in names:
            raise ConfigError(_("An input column has no name."), _("Write --input text,title."))
        if len(set(names)) < len(names):
            raise ConfigError(
                _("An input column is named twice: {names}.").format(names=names),
                _("Name each once."),
            )
        return names

    @field_validator("target", "slice")
    @classmethod
    def _normalise_name(cls, value: str | None) -> str | None:
        return None if value is None else one_line(value)

    @field_validator("template")
    @classmethod
    def _parse_template(cls, value: str | None) -> str | None:
        return None if value is None else Template(value).text

    @field_validator("choices", mode="before")
    @classmethod
    def _read_choices(cls, value: object) -> object:
        if isinstance(value, str):
            value = _choices_of_text(value)
        if not isinstance(value, Mapping):
            return value
        choices: dict[str, str] = {}
        for label, wording in value.items():
            choices[as_text(label)] = as_text(wording)
        _refuse_bad_choices(choices)
        return choices

    @field_validator("delimiter")
    @classmethod
    def _name_delimiter(cls, value: str | None) -> str | None:
        if value is None:
            return None
        character = _DELIMITERS.get(value.casefold(), value)
        if len(character) != 1 or character in '"\r\n':
            raise ConfigError(
                _("The delimiter {value!r} is not one character.").format(value=value),
                _("Write for example --delimiter ';' or --delimiter tab."),
            )
        return character

    @field_validator("encoding")
    @classmethod
    def _know_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            "a".encode(value)
        except (LookupError, ValueError) as error:
            raise ConfigError(
                _("Unknown encoding {value!r}.").format(value=value),
                _("Examples: utf-8, utf-16, cp1252 (Western European), cp1258 (Vietnamese)."),
            ) from error
        return value

    @field_validator("answer_format", mode="before")
    @classmethod
    def _read_format(cls, value: object) -> object:
        return format_of(value) if isinstance(value, str | Mapping) else value

    @field_validator("answer_terms", mode="before")
    @classmethod
    def _read_terms(cls, value: object) -> object:
        return terms_of(value) if isinstance(value, str | list | tuple) else value

    @property
    def demands(self) -> dict[str, Any]:
        """What free answers are held against beside their references, by metric."""
        found = {"format": self.answer_format, "terms": self.answer_terms}
        return {name: value for name, value in found.items() if value}

    @model_validator(mode="after")
    def _agree(self) -> TaskConfig:
        if self.choices is not None and self.kind == "generation":
            raise ConfigError(
                _("Choices are given for a task of kind 'generation', which has none."),
                _("Leave out the choices or use --set task.kind=classification."),
            )
        if self.template is not None and self.input is not None:
            _refuse_disagreement(Template(self.template).columns, self.input)
        return self


def _choices_of_text(text: str) -> dict[str, str]:
    """What `label=wording,...` says, or a JSON object, whose labels may have commas.

    Raises:
        ConfigError: it is neither.
    """
    if text.lstrip().startswith("{"):
        return _choices_of_json(text)
    choices: dict[str, str] = {}
    for item in text.split(","):
        label, equals, wording = item.partition("=")
        if not equals:
            raise _no_wording(item)
        _add(choices, label, wording)
    return choices


def _choices_of_json(text: str) -> dict[str, str]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError as error:
        raise ConfigError(
            _("The choices are no JSON object ({reason}).").format(reason=error),
            _("""Write for example --choices '{"yes, soon": "yes", "no": "no"}'."""),
        ) from error
    choices: dict[str, str] = {}
    for label, wording in pairs:
        if not isinstance(wording, str | int | float):
            raise _no_wording(label)
        _add(choices, label, str(wording))
    return choices


def _add(choices: dict[str, str], label: str, wording: str) -> None:
    if normalise(label) in choices:
        raise ConfigError(
            _("The choice {label!r} is given twice.").format(label=normalise(label)),
            _("Give it once."),
        )
    choices[normalise(label)] = wording


def _no_wording(label: str) -> ConfigError:
    return ConfigError(
        _("The choice {label!r} has no wording.").format(label=label.strip()),
        _(
            "Write label=wording, for example --choices 0=negative,1=positive, or a JSON object "
            "where labels have commas."
        ),
    )


def _refuse_bad_choices(choices: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for label, wording in choices.items():
        if not label or not wording:
            raise ConfigError(
                _("The choice {label!r}={wording!r} is empty on one side.").format(
                    label=label, wording=wording
                ),
                _("Write label=wording, for example --choices 0=negative,1=positive."),
            )
        if wording in owners:
            raise ConfigError(
                _("The choices {one!r} and {other!r} have the same wording {wording!r}.").format(
                    one=owners[wording], other=label, wording=wording
                ),
                _("Word them differently: the model tells choices apart by their words."),
            )
        owners[wording] = label


def _refuse_disagreement(columns: tuple[str, ...], inputs: tuple[str, ...]) -> None:
    if set(columns) != set(inputs):
        raise ConfigError(
            _("The template names the columns {columns}, the input {inputs}.").format(
                columns=", ".join(columns), inputs=", ".join(inputs)
            ),
            _("Leave out --input: the template names the input columns."),
        )
