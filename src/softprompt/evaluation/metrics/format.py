"""Share of free answers that keep to a format: a regular expression, or a JSON Schema.

The format is what a task demands (`task.answer_format`); where a task demands none, there is no
such entry. It says nothing of whether an answer is right. A regular expression is the user's own,
or that of the prompt that is measured, and is not guarded against taking long.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from softprompt.evaluation.intervals import wilson
from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["format_adherence", "keeper"]


def format_adherence(answered: Answered) -> dict[str, Any]:
    """`format_adherence` and its `_interval` (Wilson); nothing where no format is demanded.

    An answer matches a regular expression as a whole, after NFC and without white space around it;
    it matches a JSON Schema (https://json-schema.org, the draft that `$schema` names, else 2020-12)
    when it is one JSON value that the schema accepts.

    Raises:
        ImportError: a schema is demanded and jsonschema is not installed.
    """
    wanted = answered.demands.get("format")
    if wanted is None:
        return {}
    keeps = keeper(wanted)
    n = len(answered.predictions)
    hits = sum(keeps(unicodedata.normalize("NFC", text).strip()) for text in answered.predictions)
    return {
        "format_adherence": hits / n,
        "format_adherence_interval": list(wilson(hits, n)),
    }


def keeper(wanted: str | dict[str, Any]) -> Callable[[str], bool]:
    """Whether a text, NFC and without white space around it, keeps to a format.

    Args:
        wanted: a regular expression or a schema.

    Raises:
        ImportError: it is a schema and jsonschema is not installed.
    """
    return _by_pattern(wanted) if isinstance(wanted, str) else _by_schema(wanted)


def _by_pattern(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(unicodedata.normalize("NFC", pattern))
    return lambda text: compiled.fullmatch(text) is not None


def _by_schema(schema: dict[str, Any]) -> Callable[[str], bool]:
    from jsonschema.validators import (  # type: ignore[import-untyped]
        Draft202012Validator,
        validator_for,
    )
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # An empty registry: nothing is fetched for a reference that leads out of the schema.
    validator = validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())

    def keeps(text: str) -> bool:
        try:
            return bool(validator.is_valid(json.loads(text)))
        except (ValueError, RecursionError, Unresolvable):
            # No JSON, or a schema that refers to what it lacks, or to itself without end.
            return False

    return keeps


METRICS.register("format")(
    Metric("generation", format_adherence, ("format_adherence",), extra="generation")
)
