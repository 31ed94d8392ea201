from __future__ import annotations

import pytest

from softprompt.errors import DataError
from softprompt.tasks.labels import (
    Choice,
    are_numbers,
    infer_kind,
    make_choices,
    refuse_rare,
    refuse_unknown,
)
from softprompt.tasks.rows import Row


def row(number: int, answer: str) -> Row:
    return Row("test.csv", number, {"text": "x"}, answer)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (["a", "b"] * 3, "classification"),
        (["a", "b"] * 2 + ["a"], "generation"),
        ([f"label {index}" for index in range(50)] * 3, "classification"),
        ([f"label {index}" for index in range(51)] * 3, "generation"),
        (["a" * 51, "b"] * 5, "generation"),
        (["a\nb", "b"] * 5, "generation"),
        (["a"], "generation"),
    ],
)
def test_the_kind_follows_from_the_answers(answers: list[str], kind: str) -> None:
    assert infer_kind(answers) == kind


def test_one_answer_for_all_is_refused() -> None:
    with pytest.raises(DataError, match="Every row has the answer 'a'") as error:
        infer_kind(["a"] * 3)
    assert "--target" in error.value.hint


def test_numbers_are_in_their_own_order_and_words_in_theirs() -> None:
    assert [c.label for c in make_choices(["10", "9", "-1", "b", "a"], None)] == [
        "-1", "9", "10", "a", "b",
    ]  # fmt: skip


def test_given_wordings_come_first_and_the_others_keep_their_words() -> None:
    assert make_choices(["a", "b", "c"], {"c": "chè", "a": "áo"}) == (
        Choice("c", "chè"),
        Choice("a", "áo"),
        Choice("b", "b"),
    )


def test_labels_that_are_numbers_are_told() -> None:
    assert are_numbers(["0", "-1", "+2"])
    assert not are_numbers(["0", "one"])


def test_bad_choices_are_refused() -> None:
    with pytest.raises(DataError, match="'pos', which no training row has") as error:
        make_choices(["pso", "neg"], {"pos": "x"})
    assert "Did you mean 'pso'?" in error.value.hint
    with pytest.raises(DataError, match="one label only, 'a'"):
        make_choices(["a", "a"], None)
    with pytest.raises(DataError, match="'a' and 'b' have the same wording 'b'"):
        make_choices(["a", "b"], {"a": "b"})


def test_an_unknown_label_is_named_with_its_row_and_the_nearest() -> None:
    rows = [row(1, "positive"), row(2, "postive")]
    with pytest.raises(
        DataError, match=r"test.csv: row 2 has the unknown label 'postive'"
    ) as error:
        refuse_unknown(rows, ["positive", "negative"])
    assert error.value.hint == "Did you mean 'positive'? Allowed: negative, positive."
    refuse_unknown(rows[:1], ["positive"])


def test_a_label_with_a_single_row_is_named() -> None:
    rows = [row(1, "a"), row(2, "a"), row(3, "b")]
    with pytest.raises(DataError, match="The label 'b' has a single training row") as error:
        refuse_rare(rows, ["a", "b"])
    assert "Merge it with another label, remove it" in error.value.hint
    with pytest.raises(DataError, match="The label 'c' has no training row"):
        refuse_rare(rows[:2], ["a", "c"])
