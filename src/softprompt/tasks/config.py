"""What can be set about a task: its file's columns, its template, its splits.

Knows the settings' forms and nothing of the data; what a file holds is checked by its reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from softprompt.errors import ConfigError, nearest
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
        default=None, description="Input columns, separated by commas; detected when not given."
    )
    target: str | None = Field(
        default=None, description="The answer's column; detected when not given."
    )
    template: str | None = Field(
        default=None,
        description="Text with {column} places, {prompt:8} slots and {answer} at its end.",
    )
    choices: Mapping[str, str] | None = Field(
        default=None, description="Wordings of the labels, label=wording separated by commas."
    )
    kind: Literal["auto", "classification", "generation"] = Field(
        default="auto",
        description="Choosing among labels or writing freely; auto looks at the answers.",
    )
    validation: str | None = Field(
        default=None, description="File of validation rows; none is then carved out of the data."
    )
    test: str | None = Field(
        default=None, description="File of test rows; none is then carved out of the data."
    )
    delimiter: str | None = Field(
        default=None,
        description="Character between the fields of a CSV file; detected when not given.",
    )
    encoding: str | None = Field(
        default=None,
        description="Text encoding of the files; UTF-8 or what a byte order mark says.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="Training rows at most, drawn by the seed; in rows."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw that `limit` asks for.")
    validation_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of the rows carved out for validation; 0 to 0.5.",
    )
    test_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of the rows carved out for the test; 0 to 0.5.",
    )
    answer_format: str | Mapping[str, Any] | None = Field(
        default=None,
        description="Format that free answers are held against: a regular expression for the whole"
        " answer, or a JSON Schema as a mapping, as text in {} or as a .json file.",
    )
    answer_terms: tuple[str, ...] | None = Field(
        default=None,
        description="Fixed terms that free answers are held against, separated by commas: each is"
        " needed where the right answer has it.",
    )
    slice: str | None = Field(
        default=None, description="A column whose values are scored apart as well."
    )
    chat: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Use of the model's chat template; auto: where the model has one.",
    )
    split: str | None = Field(
        default=None,
        description="Split of a Hugging Face data set (hf:NAME); train when not given.",
    )
    drop_empty: bool = Field(
        default=False,
        description="Leave out rows with an empty input or answer instead of refusing them.",
    )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> TaskConfig:
        """The configuration of a mapping, as a file or flags give it.

        Raises:
            ConfigError: an unknown key (the message names the nearest) or a value that cannot be.
        """
        for key in settings:
            if key not in cls.model_fields:
                raise ConfigError(f"Unknown task setting {key!r}.", nearest(key, cls.model_fields))
        try:
            return cls(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "task"
            raise ConfigError(
                f"The task setting {name!r} cannot be {first['input']!r}: {first['msg']}.",
                cls.model_fields[name].description or "" if name in cls.model_fields else "",
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
            raise ConfigError("An input column has no name.", "Write --input text,title.")
        if len(set(names)) < len(names):
            raise ConfigError(f"An input column is named twice: {names}.", "Name each once.")
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
                f"The delimiter {value!r} is not one character.",
                "Write for example --delimiter ';' or --delimiter tab.",
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
                f"Unknown encoding {value!r}.",
                "Examples: utf-8, utf-16, cp1252 (Western European), cp1258 (Vietnamese).",
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
                "Choices are given for a task of kind 'generation', which has none.",
                "Leave out the choices or use --kind classification.",
            )
        if self.template is not None and self.input is not None:
            _refuse_disagreement(Template(self.template).columns, self.input)
        return self


def _choices_of_text(text: str) -> dict[str, str]:
    choices: dict[str, str] = {}
    for item in text.split(","):
        label, equals, wording = item.partition("=")
        if not equals:
            raise ConfigError(
                f"The choice {item.strip()!r} has no wording.",
                "Write label=wording, for example --choices 0=negative,1=positive.",
            )
        if normalise(label) in choices:
            raise ConfigError(f"The choice {normalise(label)!r} is given twice.", "Give it once.")
        choices[normalise(label)] = wording
    return choices


def _refuse_bad_choices(choices: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for label, wording in choices.items():
        if not label or not wording:
            raise ConfigError(
                f"The choice {label!r}={wording!r} is empty on one side.",
                "Write label=wording, for example --choices 0=negative,1=positive.",
            )
        if wording in owners:
            raise ConfigError(
                f"The choices {owners[wording]!r} and {label!r} have the same wording {wording!r}.",
                "Word them differently: the model tells choices apart by their words.",
            )
        owners[wording] = label


def _refuse_disagreement(columns: tuple[str, ...], inputs: tuple[str, ...]) -> None:
    if set(columns) != set(inputs):
        raise ConfigError(
            f"The template names the columns {', '.join(columns)}, the input {', '.join(inputs)}.",
            "Leave out --input: the template names the input columns.",
        )
