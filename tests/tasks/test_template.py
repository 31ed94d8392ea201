from __future__ import annotations

import unicodedata

import pytest

from softprompt.errors import DataError
from softprompt.tasks.template import Rendered, Slot, Template, default_template, humanise


def user_chat(messages: list[dict[str, str]]) -> str:
    """A chat template that strips contents, as Gemma's does."""
    turns = "".join(f"<{message['role']}>{message['content'].strip()}</>" for message in messages)
    return f"<s>{turns}<assistant>\n"


def test_the_white_space_before_the_answer_belongs_to_the_answer() -> None:
    rendered = Template("{text}\nSentiment: {answer}").render({"text": "fine"})
    assert rendered == Rendered(("fine\nSentiment:",), " ")


def test_a_template_knows_its_columns_once_each_and_its_slots() -> None:
    template = Template("{prompt:2}{title} {body} {title}{prompt:8}{answer}")
    assert template.columns == ("title", "body")
    assert template.slots == (Slot(2), Slot(8))


def test_slots_stand_between_strings_and_no_string_is_empty() -> None:
    rendered = Template("{prompt:2}{text}{prompt:3} {answer}").render({"text": "a"})
    assert rendered == Rendered((Slot(2), "a", Slot(3)), " ")
    assert rendered.slots == (Slot(2), Slot(3))


def test_white_space_before_a_slot_stays_in_the_context() -> None:
    assert Template("{text} {prompt:3}{answer}").render({"text": "a"}) == Rendered(
        ("a ", Slot(3)), ""
    )


def test_a_bare_prompt_is_a_column() -> None:
    assert Template("{prompt} {answer}").render({"prompt": "p"}) == Rendered(("p",), " ")


@pytest.mark.parametrize("value", ["{answer}", "{prompt:8}", "{{", "}", "{text}", "\ue000", "\\n"])
@pytest.mark.parametrize("chat", [None, user_chat])
def test_a_value_is_inserted_as_it_is(value: str, chat: object) -> None:
    template = Template("{text}{prompt:2}:{answer}")
    parts = template.render({"text": value}, chat).parts  # type: ignore[arg-type]
    assert value in str(parts[0])
    assert [part for part in parts if isinstance(part, Slot)] == [Slot(2)]


def test_doubled_braces_are_literal() -> None:
    assert Template("{{{text}}} {{x}} {answer}").render({"text": "a"}).parts == ("{a} {x}",)


def test_a_backslash_and_n_are_a_line_end_as_a_shell_passes_them() -> None:
    assert Template(r"{text}\nLabel: {answer}") == Template("{text}\nLabel: {answer}")


def test_columns_may_have_spaces_and_letters_of_any_language() -> None:
    template = Template("{Review Text} {đánh giá}{answer}")
    assert template.columns == ("Review Text", "đánh giá")


def test_white_space_after_the_answer_is_dropped() -> None:
    assert Template("{text} {answer}\n").text == "{text} {answer}"


def test_text_is_composed_even_across_the_border_of_a_value() -> None:
    decomposed = unicodedata.normalize("NFD", "ế")
    rendered = Template("{text}e{accent}{answer}").render({"text": decomposed, "accent": "\u0301"})
    assert rendered.parts == ("ếé",)
    assert Template(f"{{text}} {decomposed}{{answer}}").text == "{text} ế{answer}"


def test_a_chat_template_gets_the_context_as_one_user_message() -> None:
    seen: list[list[dict[str, str]]] = []

    def chat(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        return user_chat(messages)

    rendered = Template("{text}\nLabel: {answer}").render({"text": "a"}, chat)
    assert seen == [[{"role": "user", "content": "a\nLabel:"}]]
    assert rendered == Rendered(("<s><user>a\nLabel:</><assistant>",), "\n")


def test_slots_survive_a_chat_template() -> None:
    rendered = Template("{prompt:4}{text}{prompt:2} {answer}").render({"text": "a"}, user_chat)
    assert rendered == Rendered(
        ("<s><user>", Slot(4), "a", Slot(2), "</><assistant>"),
        "\n",
    )


@pytest.mark.parametrize(("copies", "written"), [(0, 0), (2, 2)])
def test_a_chat_template_that_loses_or_repeats_a_slot_is_refused(copies: int, written: int) -> None:
    with pytest.raises(DataError, match=f"wrote {written} of the template's 1 slots") as error:
        Template("{text}{prompt:2}{answer}").render(
            {"text": "a"}, lambda messages: messages[0]["content"] * copies
        )
    assert "turn the chat template off" in error.value.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{text}", "does not say where the answer stands", "End it with {answer}"),
        ("{text} {answer} {answer}", "holds {answer} twice", "Keep the one"),
        ("{text} {answer}. Thanks", r"goes on after {answer} with '. Thanks'", "Move that text"),
        ("{answer}{text}", r"goes on after {answer} with '{text}'", "Move that text"),
        ("{text {answer}", r"has a single '{' at character 1", "'{{'"),
        ("{text}} {answer}", "no input column|single", ""),
        ("{text} } {answer}", r"has a single '}' at character 8", "'}}'"),
        ("{} {text}{answer}", "holds {} without a column's name", "Name a column"),
        ("{text}{prompt:0}{answer}", "length '0', not a number of vectors", "{prompt:8}"),
        ("{text}{prompt:many}{answer}", "length 'many'", "{prompt:8}"),
        ("Say: {answer}", "names no input column", "{text}"),
    ],
)
def test_a_bad_template_is_refused_with_its_cure(text: str, message: str, hint: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        Template(text)
    assert hint in error.value.hint


def test_a_column_that_the_row_lacks_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match="'txt', which the row does not have") as error:
        Template("{txt}{answer}").render({"text": "a", "label": "b"})
    assert "Did you mean 'text'?" in error.value.hint


def test_default_templates() -> None:
    assert default_template(["text"], "star_rating") == "{text}\nStar rating: {answer}"
    assert (
        default_template(["title", "body"], "category")
        == "Title: {title}\nBody: {body}\nCategory: {answer}"
    )
    assert humanise("  review-text ") == "Review text"


@pytest.mark.parametrize("name", ["answer", "a{b", "prompt:3"])
def test_an_input_column_that_a_template_cannot_name_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot name the input column") as error:
        default_template([name], "label")
    assert "Rename" in error.value.hint
