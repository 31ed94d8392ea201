"""What pydantic says of a value that cannot be, in the language in use.

It knows pydantic's own sentences, not the settings that they are about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from softprompt.locale import _, figure, mark

__all__ = ["why"]

_SAID = {
    "bool_parsing": mark("Input should be a valid boolean, unable to interpret input"),
    "bool_type": mark("Input should be a valid boolean"),
    "dict_type": mark("Input should be a valid dictionary"),
    "finite_number": mark("Input should be a finite number"),
    "float_parsing": mark("Input should be a valid number, unable to parse string as a number"),
    "float_type": mark("Input should be a valid number"),
    "greater_than": mark("Input should be greater than {gt}"),
    "greater_than_equal": mark("Input should be greater than or equal to {ge}"),
    "int_from_float": mark("Input should be a valid integer, got a number with a fractional part"),
    "int_parsing": mark("Input should be a valid integer, unable to parse string as an integer"),
    "int_type": mark("Input should be a valid integer"),
    "less_than": mark("Input should be less than {lt}"),
    "less_than_equal": mark("Input should be less than or equal to {le}"),
    "list_type": mark("Input should be a valid list"),
    "literal_error": mark("Input should be {expected}"),
    "string_type": mark("Input should be a valid string"),
    "tuple_type": mark("Input should be a valid tuple"),
    "value_error": mark("Value error, {error}"),
}


def why(error: Mapping[str, Any]) -> str:
    """The sentence on one of a `ValidationError`'s errors, without its full stop.

    Args:
        error: its type, message and context; the message stays as it is where the type is rare.
    """
    said = _SAID.get(error["type"])
    if said is None:
        return str(error["msg"])
    context = dict(error.get("ctx", {}))
    for name, value in context.items():
        if isinstance(value, float):
            context[name] = figure(value)
    if "expected" in context:
        context["expected"] = context["expected"].replace(" or ", _(" or "))
    return _(said).format(**context)
