"""Formats and terms as a configuration gives them, and what is refused."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from softprompt.errors import ConfigError
from softprompt.tasks import Task, TaskConfig
from softprompt.tasks.demands import demands_of

SCHEMA = {"type": "object", "required": ["tone"]}


@pytest.mark.parametrize("given", [SCHEMA, json.dumps(SCHEMA), f" {json.dumps(SCHEMA)}\n"])
def test_a_schema_is_read_from_a_mapping_and_from_text(given: Any) -> None:
    assert TaskConfig(answer_format=given).demands == {"format": SCHEMA}


def test_a_schema_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "form.json"
    file.write_text(json.dumps(SCHEMA), encoding="utf-8")
    assert TaskConfig(answer_format=str(file)).demands == {"format": SCHEMA}


def test_terms_are_read_from_text_and_lists() -> None:
    assert TaskConfig(answer_terms="giảng viên, sinh viên").demands == {
        "terms": ("giảng viên", "sinh viên")
    }
    assert TaskConfig(answer_terms=["a, b"]).demands == {"terms": ("a, b",)}


def test_a_stored_configuration_is_the_same() -> None:
    config = TaskConfig(answer_format=SCHEMA, answer_terms="a,b")
    assert TaskConfig(**json.loads(config.model_dump_json())) == config
    assert TaskConfig().demands == {}


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("answer_format", "[A-Z", "no regular expression"),
        ("answer_format", " ", "empty"),
        ("answer_format", '{"type": ', "not JSON"),
        ("answer_format", "absent.json", "cannot be read"),
        ("answer_terms", "a,,b", "empty"),
        ("answer_terms", "a, a", "given twice"),
        ("answer_terms", [None], "no text"),
    ],
)
def test_what_cannot_be_is_refused(setting: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TaskConfig.from_settings({setting: value})


def test_what_is_no_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ConfigError, match="JSON but no schema"):
        TaskConfig(answer_format=str(tmp_path / "list.json"))
    pytest.importorskip("jsonschema")
    with pytest.raises(ConfigError, match="no JSON Schema"):
        TaskConfig(answer_format={"type": "nothing"})


def write(folder: Path, answers: list[str]) -> Path:
    file = folder / "rows.jsonl"
    rows = [{"text": f"row number {n} of these", "label": a} for n, a in enumerate(answers)]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return file


def test_a_task_keeps_what_it_demands(tmp_path: Path) -> None:
    file = write(tmp_path, [f"number {n}" for n in range(40)])
    task = Task.from_file(file, kind="generation", answer_format=r"number \d+")
    assert task.demands == {"format": r"number \d+"}


def test_labels_have_no_format(tmp_path: Path) -> None:
    file = write(tmp_path, ["yes", "no"] * 20)
    with pytest.raises(ConfigError, match="chooses labels"):
        Task.from_file(file, answer_terms="yes")


def test_what_a_prompt_holds_is_read_without_opening_a_file(tmp_path: Path) -> None:
    stored = {"format": "[a-z]+", "terms": ["a", "b c"]}
    assert demands_of(stored) == {"format": "[a-z]+", "terms": ("a", "b c")}
    assert demands_of({}) == {}
    file = tmp_path / "form.json"
    file.write_text(json.dumps(SCHEMA), encoding="utf-8")
    # An expression like any other.
    assert demands_of({"format": str(file)}) == {"format": str(file)}


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("abc", "held against is 'abc'"),
        (["format"], "held against is"),
        ({"length": 3}, "held against is"),
        ({"format": 3}, "neither an expression nor a schema"),
        ({"format": "("}, "no regular expression"),
        ({"format": {"type": "objekt"}}, "no JSON Schema"),
        ({"terms": "xyz"}, "terms are 'xyz'"),
        ({"terms": ["a", "a"]}, "given twice"),
    ],
)
def test_what_a_prompt_cannot_hold_is_refused(stored: Any, told: str) -> None:
    pytest.importorskip("jsonschema")
    with pytest.raises(ConfigError, match=told):
        demands_of(stored)


@pytest.mark.parametrize("target", ["http://somewhere/a.json", "file:///etc/hosts", "other.json"])
def test_a_schema_refers_to_parts_of_its_own_only(target: str) -> None:
    inner = {"type": "object", "properties": {"a": {"anyOf": [{"$ref": target}]}}}
    with pytest.raises(ConfigError, match="which is not in it"):
        TaskConfig(answer_format=inner)
    own = {"$defs": {"a": {"type": "string"}}, "properties": {"$ref": {"$ref": "#/$defs/a"}}}
    assert TaskConfig(answer_format=own).demands == {"format": own}


def test_texts_of_a_schema_are_composed_as_answers_are() -> None:
    decomposed = unicodedata.normalize("NFD", "thái độ")
    given = {"type": "object", "required": [decomposed], "properties": {decomposed: {}}}
    wanted = TaskConfig.from_settings({"answer_format": given}).answer_format
    assert wanted == {"type": "object", "required": ["thái độ"], "properties": {"thái độ": {}}}
    assert TaskConfig.from_settings({"answer_format": json.dumps(given)}).answer_format == wanted


def test_an_expression_may_end_as_a_file_does() -> None:
    config = TaskConfig.from_settings({"answer_format": r"[a-z]+\.json"})
    assert config.answer_format == r"[a-z]+\.json"


def test_numbers_and_truth_values_of_yaml_are_text() -> None:
    config = TaskConfig.from_settings(
        {"answer_terms": [2024, "x"], "kind": "generation"},
    )
    assert config.answer_terms == ("2024", "x")
    choices = TaskConfig.from_settings({"choices": {True: "yes", False: "no", 7: "one"}}).choices
    assert choices == {"true": "yes", "false": "no", "7": "one"}
