"""What a task demands of free answers beside being right: a format and fixed terms, as given.

It knows their forms and whether they can be, and scores nothing. A schema refers to parts of its
own only: what is read from a stranger's prompt opens no file and no address.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.errors import ConfigError
from softprompt.locale import _
from softprompt.tasks.text import as_text

__all__ = ["demands_of", "format_of", "terms_of"]

_SIGNS = set("\\[](){}|*+?^$")
"""Of regular expressions; rare in names of files."""
_REFERENCES = {"$ref", "$dynamicRef", "$recursiveRef"}


def demands_of(stored: Any) -> dict[str, Any]:
    """Format and terms as a prompt holds them; no file is read for them.

    Raises:
        ConfigError: it is no mapping, holds something else, or one of the two cannot be.
    """
    if not isinstance(stored, Mapping) or set(stored) - {"format", "terms"}:
        raise ConfigError(
            _("What answers are held against is {value!r}.").format(value=stored),
            _("It is an object with a format, with terms, or with both."),
        )
    found: dict[str, Any] = {}
    if "format" in stored:
        wanted = stored["format"]
        if not isinstance(wanted, str | Mapping):
            raise ConfigError(
                _("The answer format {value!r} is neither an expression nor a schema.").format(
                    value=wanted
                ),
                _("It is a text or a JSON object."),
            )
        found["format"] = _expression(wanted) if isinstance(wanted, str) else _schema(dict(wanted))
    if "terms" in stored:
        if isinstance(stored["terms"], str) or not isinstance(stored["terms"], Sequence):
            raise ConfigError(
                _("The answer terms are {value!r}.").format(value=stored["terms"]),
                _("They are a list of texts."),
            )
        found["terms"] = terms_of(stored["terms"])
    return found


def format_of(value: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """A regular expression, or a JSON Schema as a mapping.

    Args:
        value: an expression; or a schema as a mapping, as JSON text, or the name of a .json file,
            whose texts are brought to NFC, as answers are.

    Raises:
        ConfigError: it is empty, no expression, no JSON object, no schema, or the file cannot be
            read.
    """
    if isinstance(value, Mapping):
        return _schema(dict(value))
    text = value.strip()
    if not text:
        raise ConfigError(
            _("The answer format is empty."), _("Leave it out where any answer will do.")
        )
    if text.endswith(".json") and not _is_expression(text):
        try:
            text = Path(text).read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                _("The answer format {value!r} cannot be read: {reason}.").format(
                    value=value, reason=error
                ),
                _("Name a .json file that holds a JSON Schema."),
            ) from error
    elif not text.startswith("{"):
        return _expression(text)
    try:
        return _schema(json.loads(text))
    except ValueError as error:
        raise ConfigError(
            _("The answer format is not JSON: {reason}.").format(reason=error),
            _('Write a JSON Schema, for example {"type": "object"}, or a regular expression.'),
        ) from error


def terms_of(value: str | Sequence[Any]) -> tuple[str, ...]:
    """Terms, each once.

    Args:
        value: the terms, or one text with commas between them.

    Raises:
        ConfigError: one is empty, given twice or no text.
    """
    parts = value.split(",") if isinstance(value, str) else list(value)
    found: list[str] = []
    for part in parts:
        # YAML reads a term such as 2024 as a number.
        term = as_text(part).strip() if isinstance(part, str | int | float) else ""
        if not term or term in found:
            cause = (
                _("The answer term {term!r} is given twice.")
                if term
                else _("The answer term {term!r} is empty or no text.")
            )
            raise ConfigError(
                cause.format(term=part),
                _("Give each once, for example --set task.answer_terms='[soft prompt, backbone]'."),
            )
        found.append(term)
    return tuple(found)


def _is_expression(text: str) -> bool:
    r"""Whether a text that ends in .json is meant as an expression, such as ``\w+\.json``."""
    return bool(set(text) & _SIGNS) and not Path(text).is_file()


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ConfigError(
            _("The answer format {value!r} is no regular expression: {reason}.").format(
                value=text, reason=error
            ),
            _(r"Example: [A-Z]{2}-\d{4} for answers such as AB-1234."),
        ) from error
    return text


def _schema(value: Any) -> dict[str, Any]:
    """The schema with its texts in NFC, looked at closely where jsonschema is installed."""
    value = _composed(value)
    if not isinstance(value, dict):
        raise ConfigError(
            _("The answer format is JSON but no schema: a JSON Schema is an object."),
            _('Example: {"type": "object", "required": ["name"]}.'),
        )
    if foreign := next(_foreign(value), None):
        raise ConfigError(
            _("The answer format refers to {name!r}, which is not in it.").format(name=foreign),
            _("Put that part under $defs and refer to '#/$defs/NAME'."),
        )
    try:
        from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
        from jsonschema.validators import (  # type: ignore[import-untyped]
            Draft202012Validator,
            validator_for,
        )
    except ImportError:
        return value
    try:
        validator_for(value, default=Draft202012Validator).check_schema(value)
    except SchemaError as error:
        raise ConfigError(
            _("The answer format is no JSON Schema: {reason}.").format(reason=error.message),
            _('Example: {"type": "object", "required": ["name"]}.'),
        ) from error
    return value


def _composed(part: Any) -> Any:
    """A part of a schema with its texts in NFC."""
    if isinstance(part, Mapping):
        return {_composed(name): _composed(inner) for name, inner in part.items()}
    if isinstance(part, list):
        return [_composed(inner) for inner in part]
    return unicodedata.normalize("NFC", part) if isinstance(part, str) else part


def _foreign(part: Any) -> Iterator[str]:
    """References within a schema that lead out of it."""
    if isinstance(part, Mapping):
        for name in _REFERENCES & set(part):
            if isinstance(part[name], str) and not part[name].startswith("#"):
                yield part[name]
    if isinstance(part, Mapping | list):
        for inner in part.values() if isinstance(part, Mapping) else part:
            yield from _foreign(inner)
