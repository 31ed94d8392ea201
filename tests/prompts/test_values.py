"""What is said of a value that cannot be: pydantic's own words in English, ours in Vietnamese."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from softprompt.locale import set_language
from softprompt.prompts.values import _SAID, why


class Settings(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    whole: int = Field(1, ge=1, le=10)
    share: float = Field(0.5, gt=0.25, lt=1)
    word: str = ""
    mode: Literal["auto", "on", "off"] = "auto"
    flag: bool = False
    many: tuple[int, ...] = ()
    listed: list[int] = []
    mapped: dict[str, int] = {}

    @field_validator("word")
    @classmethod
    def _known(cls, word: str) -> str:
        if word == "bad":
            raise ValueError("no such word")
        return word


WRONG: list[tuple[str, Any, str, str]] = [
    ("whole", 0, "greater_than_equal", "Giá trị phải lớn hơn hoặc bằng 1"),
    ("whole", 11, "less_than_equal", "Giá trị phải nhỏ hơn hoặc bằng 10"),
    ("whole", "x", "int_parsing", "Giá trị phải là số nguyên, không đọc được"),
    ("whole", 1.5, "int_from_float", "Giá trị phải là số nguyên, số này có phần lẻ"),
    ("whole", None, "int_type", "Giá trị phải là số nguyên"),
    ("share", 0.1, "greater_than", "Giá trị phải lớn hơn 0,25"),
    ("share", 1, "less_than", "Giá trị phải nhỏ hơn 1"),
    ("share", "x", "float_parsing", "Giá trị phải là một số, không đọc được"),
    ("share", None, "float_type", "Giá trị phải là một số"),
    ("share", float("nan"), "finite_number", "Giá trị phải là số hữu hạn"),
    ("word", 3, "string_type", "Giá trị phải là một chuỗi"),
    ("word", "bad", "value_error", "Giá trị sai: no such word"),
    ("mode", "x", "literal_error", "Giá trị phải là 'auto', 'on' hoặc 'off'"),
    ("flag", "x", "bool_parsing", "Giá trị phải là true hoặc false, không hiểu"),
    ("flag", None, "bool_type", "Giá trị phải là true hoặc false"),
    ("many", 3, "tuple_type", "Giá trị phải là một danh sách"),
    ("listed", 3, "list_type", "Giá trị phải là một danh sách"),
    ("mapped", 3, "dict_type", "Giá trị phải là các cặp khóa và giá trị"),
]


def refused(name: str, value: Any) -> Any:
    with pytest.raises(ValidationError) as raised:
        Settings(**{name: value})
    return raised.value.errors()[0]


@pytest.mark.parametrize(("name", "value", "kind", "told"), WRONG)
def test_a_value_that_cannot_be(name: str, value: Any, kind: str, told: str) -> None:
    error = refused(name, value)
    assert error["type"] == kind
    assert why(error) == error["msg"]
    set_language("vi")
    assert why(error).startswith(told)


def test_every_sentence_is_tried() -> None:
    assert {kind for _name, _value, kind, _told in WRONG} == set(_SAID)


def test_what_is_rare_stays_as_it_is() -> None:
    set_language("vi")
    assert why({"type": "json_invalid", "msg": "Invalid JSON"}) == "Invalid JSON"
