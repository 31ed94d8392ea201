"""The exception tree, its one line, and the hints that name the nearest spelling."""

from __future__ import annotations

import copy
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel, Field, ValidationError

from softprompt import errors
from softprompt.errors import (
    BackboneError,
    ConfigError,
    DivergedError,
    SoftPromptError,
    is_out_of_memory,
    nearest,
    refusal,
    system_reason,
)
from softprompt.locale import set_language

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, SoftPromptError)
]


def test_every_class_is_exported() -> None:
    functions = {"is_out_of_memory", "nearest", "refusal", "system_reason"}
    assert {cls.__name__ for cls in CLASSES} | functions == set(errors.__all__)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = (errors.__doc__ or "").partition("\n\n")[2].partition("Each carries")[0]
    parents = {}
    above: list[tuple[int, str]] = []
    for line in drawn.splitlines():
        for word in line.split():
            if word in errors.__all__:
                depth = line.index(word)
                above = [entry for entry in above if entry[0] < depth]
                parents[word] = above[-1][1] if above else "Exception"
                above.append((depth, word))
                break
    assert parents == {cls.__name__: cls.__base__.__name__ for cls in CLASSES if cls.__base__}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_reads_as_one_line(cls: type[SoftPromptError]) -> None:
    error = cls("The file is empty.", "Give one with rows.")
    assert (error.message, error.hint) == ("The file is empty.", "Give one with rows.")
    assert str(error) == "The file is empty. Give one with rows."
    assert str(cls("The file is empty.")) == "The file is empty."


def test_one_clause_catches_them_all() -> None:
    for cls in CLASSES:
        with pytest.raises(SoftPromptError):
            raise cls("x")
    assert issubclass(ConfigError, errors.UsageError)
    assert issubclass(DivergedError, errors.TrainingError)


def test_an_error_survives_a_copy_between_processes() -> None:
    error = copy.copy(errors.DataError("The file is empty.", "Give one with rows."))
    assert type(error) is errors.DataError
    assert str(error) == "The file is empty. Give one with rows."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sufix", "Did you mean 'suffix'? Allowed: front, prefix, suffix."),
        ("pre-fix", "Did you mean 'prefix'? Allowed: front, prefix, suffix."),
        ("SUFFIX", "Did you mean 'suffix'? Allowed: front, prefix, suffix."),
        ("zzz", "Allowed: front, prefix, suffix."),
        ("", "Allowed: front, prefix, suffix."),
    ],
)
def test_nearest_names_the_closest_and_all(name: str, expected: str) -> None:
    assert nearest(name, ("suffix", "front", "prefix", "front")) == expected


def test_nearest_keeps_the_spelling_that_is_allowed() -> None:
    assert nearest("tich cuc", ["Tích cực", "Tiêu cực"]).startswith("Did you mean 'Tích cực'?")


def test_nearest_without_choices() -> None:
    assert nearest("a", []) == "Allowed: nothing."


def test_nearest_shortens_a_long_list_and_still_searches_all_of_it() -> None:
    hint = nearest("column98", [f"column{number:02}" for number in range(100)])
    assert hint.startswith("Did you mean 'column98'? Allowed: column00, column01, ")
    assert hint.endswith("column39 and 60 more.")


class Settings(BaseModel):
    number: int = Field(3, ge=1, le=8)
    share: float = Field(0.5, gt=0, lt=1, allow_inf_nan=False)
    kind: Literal["auto", "on", "off"] = "auto"
    exact: bool = False
    name: str = ""
    names: tuple[str, ...] = ()
    each: dict[str, str] = {}


@pytest.fixture
def vietnamese() -> Iterator[None]:
    set_language("vi")
    yield
    set_language("en")


@pytest.mark.parametrize(
    "settings",
    [
        {"number": "three"},
        {"number": 2.5},
        {"number": []},
        {"number": 0},
        {"number": 9},
        {"share": "half"},
        {"share": []},
        {"share": 0},
        {"share": 1},
        {"share": float("nan")},
        {"kind": "none"},
        {"exact": "perhaps"},
        {"exact": []},
        {"name": 3},
        {"names": "a"},
        {"each": "a"},
    ],
)
@pytest.mark.usefixtures("vietnamese")
def test_refusals_of_pydantic_are_translated(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**settings)
    told = caught.value.errors()[0]["msg"]
    assert told.startswith("Input should be ")
    assert refusal(told).startswith("Giá trị phải ")
    set_language("en")
    assert refusal(told) == told


@pytest.mark.usefixtures("vietnamese")
def test_a_refusal_that_is_not_known_stays() -> None:
    assert refusal("URL scheme should be 'http'") == "URL scheme should be 'http'"


@pytest.mark.usefixtures("vietnamese")
def test_a_bound_is_told_as_numbers_are() -> None:
    assert refusal("Input should be greater than 0.25") == "Giá trị phải lớn hơn 0,25"
    told = refusal("Input should be 'auto', 'on' or 'off'")
    assert told == "Giá trị phải là 'auto', 'on' hoặc 'off'"


@pytest.mark.usefixtures("vietnamese")
def test_what_the_system_says_is_translated(tmp_path: Path) -> None:
    with pytest.raises(OSError) as error:
        (tmp_path / "absent").read_text()
    assert system_reason(error.value) == "không có tệp hoặc thư mục này"
    assert system_reason(OSError(5, "Input/output error")) == "Input/output error"


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), True),
        (RuntimeError("unable to mmap 9 bytes from file <a>: Cannot allocate memory (12)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOENT, "No such file or directory"), False),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_known(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) is is_one
    with pytest.raises(BackboneError) as told:
        raise BackboneError("The model cannot be loaded.", "Check it.") from error
    assert is_out_of_memory(told.value) is is_one
