from __future__ import annotations

from typing import Any

import pytest

from softprompt.errors import ConfigError, DataError
from softprompt.tasks.config import TaskConfig


def test_flags_in_text_form_are_taken_apart() -> None:
    config = TaskConfig.from_settings(
        {"input": "title, body", "choices": "pos=tích cực, neg = tiêu cực", "delimiter": "tab"}
    )
    assert config.input == ("title", "body")
    assert list((config.choices or {}).items()) == [("pos", "tích cực"), ("neg", "tiêu cực")]
    assert config.delimiter == "\t"
    # Labels with commas stand in a JSON object.
    named = TaskConfig.from_settings(
        {"choices": '{"trung tính, bình thường": "giữa", "tốt": "tốt"}'}
    )
    assert list(named.choices or {}) == ["trung tính, bình thường", "tốt"]


def test_labels_of_a_yaml_file_may_be_numbers() -> None:
    assert TaskConfig.from_settings({"choices": {0: "no", 1: "yes"}}).choices == {
        "0": "no",
        "1": "yes",
    }


def test_names_are_composed() -> None:
    config = TaskConfig.from_settings({"input": "ca\u0302u", "target": "nha\u0303n"})
    assert (config.input, config.target) == (("câu",), "nhãn")


def test_replace_keeps_the_rest() -> None:
    config = TaskConfig(target="label", limit=5).replace(limit=6)
    assert (config.target, config.limit) == ("label", 6)


def test_every_setting_says_what_it_is() -> None:
    for name, field in TaskConfig.model_fields.items():
        assert (field.description or "").endswith("."), name


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"tagret": "x"}, "Unknown task setting 'tagret'", "Did you mean 'target'?"),
        ({"limit": 0}, "'limit' cannot be 0", "rows"),
        ({"limit": "many"}, "'limit' cannot be 'many'", "rows"),
        ({"validation_share": 0.9}, "'validation_share' cannot be 0.9", "0 to 0.5"),
        ({"kind": "regression"}, "'kind' cannot be 'regression'", "auto"),
        ({"choices": '{"a, b": '}, "are no JSON object", "Write for example"),
        ({"choices": '{"a": "x", "a ": "y"}'}, "The choice 'a' is given twice", "once"),
        ({"choices": '{"a": null}'}, "The choice 'a' has no wording", "JSON object"),
        ({"choices": "pos,neg"}, "The choice 'pos' has no wording", "label=wording"),
        ({"choices": "a=x,a=y"}, "The choice 'a' is given twice", "once"),
        ({"choices": "a=x,b=x"}, "'a' and 'b' have the same wording 'x'", "differently"),
        ({"choices": "a="}, "is empty on one side", "label=wording"),
        ({"choices": {"a": "x"}, "kind": "generation"}, "of kind 'generation'", "Leave out"),
        ({"delimiter": ";;"}, "';;' is not one character", "--delimiter"),
        ({"encoding": "utf8000"}, "Unknown encoding 'utf8000'", "cp1258"),
        ({"encoding": "base64"}, "Unknown encoding 'base64'", "cp1258"),
        ({"input": "text,"}, "An input column has no name", "--input"),
        ({"input": "text,text"}, "named twice", "once"),
        (
            {"input": "text", "template": "{body}{answer}"},
            "names the columns body, the input text",
            "Leave out --input",
        ),
    ],
)
def test_a_bad_setting_is_refused_with_its_cure(
    settings: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        TaskConfig.from_settings(settings)
    assert hint in error.value.hint


def test_a_bad_template_is_refused_when_it_is_set() -> None:
    with pytest.raises(DataError, match="where the answer stands"):
        TaskConfig.from_settings({"template": "{text}"})
