from __future__ import annotations

import random

from ..conftest import reviews
from .conftest import Find

LONG = "the soup was served cold and nobody at the counter wanted to hear about it at all"


def row(text: str) -> dict[str, object]:
    return {"text": text, "label": "bad"}


def test_another_case_or_another_sign_is_nearly_the_same(find: Find) -> None:
    (problem,) = find("near", [*reviews(20), row("So good!"), row("so good")])
    assert (problem.row, problem.column) == (22, "text")
    assert "nearly that of data.jsonl: row 21 (100% alike)" in problem.cause


def test_a_few_other_letters_are_nearly_the_same(find: Find) -> None:
    (problem,) = find("near", [*reviews(20), row(LONG), row(LONG.replace("cold", "colder"))])
    assert problem.row == 22
    assert "% alike" in problem.cause


def test_other_words_are_not(find: Find) -> None:
    other = "the soup was served hot and everybody at the counter wanted to talk about the weather"
    assert find("near", [*reviews(20), row(LONG), row(other), row("good"), row("food")]) == []


def test_a_pair_across_parts_is_told_as_such_and_first(find: Find) -> None:
    rows = [*reviews(20), row(LONG), row(LONG + "!")]
    first, second = find("near", rows, test=[row(LONG.upper())])
    assert first.source == "test.jsonl"
    assert "which is a train row and this a test row" in first.cause
    assert second.source == "data.jsonl"


def test_of_several_columns_each_must_be_similar(find: Find) -> None:
    def asked(question: str) -> dict[str, object]:
        return {"passage": LONG * 3, "question": question, "answer": "yes"}

    rows = [asked("was the soup cold"), asked("did anybody at the counter listen"), asked("no")]
    assert find("near", rows, kind="generation") == []
    rows.append(asked("Did anybody at the counter listen?"))
    assert [problem.row for problem in find("near", rows, kind="generation")] == [4]


def test_similarity_is_the_jaccard_index_of_the_shingles(find: Find) -> None:
    draw = random.Random(0)
    for _ in range(30):
        text = "".join(draw.choices("abcdefgh ", k=200)).strip()
        position = draw.randrange(20, 150)
        other = text[:position] + "xyz" + text[position:]
        one, two = (" ".join(value.split()) for value in (text, other))
        shingles = [{value[i : i + 5] for i in range(len(value) - 4)} for value in (one, two)]
        expected = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
        (problem,) = find("near", [row(text), row(other)], kind="generation")
        assert f"({expected:.0%} alike)" in problem.cause
