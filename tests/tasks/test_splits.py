from __future__ import annotations

import random
import unicodedata

import pytest

from softprompt.errors import ConfigError
from softprompt.tasks.rows import Row
from softprompt.tasks.splits import carve, draw, position


def rows(texts: list[str], labels: list[str] | None = None) -> tuple[Row, ...]:
    labels = labels or ["a"] * len(texts)
    return tuple(
        Row("f", number, {"text": text}, label)
        for number, (text, label) in enumerate(zip(texts, labels, strict=True), start=1)
    )


def parts(texts: list[str], validation: float = 0.1, test: float = 0.1) -> dict[str, int]:
    carved = carve(rows(texts), ["text"], validation_share=validation, test_share=test)
    return {row.columns["text"]: index for index, part in enumerate(carved) for row in part}


TEXTS = [f"text number {index}" for index in range(3000)]


def test_the_place_of_a_text_is_that_of_its_sha_256() -> None:
    # printf 'abc' | sha256sum: ba7816bf8f01cfea...
    assert position("abc") == pytest.approx(0xBA7816BF8F01CFEA / 2**64, abs=1e-15)


def test_the_shares_are_about_those_asked_for() -> None:
    sizes = [list(parts(TEXTS).values()).count(index) for index in range(3)]
    assert sum(sizes) == len(TEXTS)
    assert 240 < sizes[1] < 360
    assert 240 < sizes[2] < 360


def test_adding_and_reordering_rows_moves_nobody() -> None:
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    before, after = parts(TEXTS[:1500]), parts(shuffled)
    assert before == {text: after[text] for text in TEXTS[:1500]}


def test_duplicates_and_other_spellings_of_the_same_characters_stay_together() -> None:
    composed = [unicodedata.normalize("NFC", f"tiếng {index}") for index in range(200)]
    others = [f" {unicodedata.normalize('NFD', text)}\n" for text in composed]
    assert list(parts(composed).values()) == list(parts(others).values())


def test_a_part_with_a_file_of_its_own_leaves_the_other_where_it_was() -> None:
    both, only_test = parts(TEXTS), parts(TEXTS, validation=0.0)
    assert 1 not in only_test.values()
    assert [t for t in TEXTS if both[t] == 2] == [t for t in TEXTS if only_test[t] == 2]


def test_the_label_does_not_move_a_row() -> None:
    one = carve(rows(TEXTS, ["a"] * 3000), ["text"], validation_share=0.1, test_share=0.1)
    other = carve(rows(TEXTS, ["b"] * 3000), ["text"], validation_share=0.1, test_share=0.1)
    assert [[row.number for row in part] for part in one] == [
        [row.number for row in part] for part in other
    ]


def test_a_draw_has_the_size_asked_for_keeps_file_order_and_follows_the_seed() -> None:
    everything = rows(TEXTS)
    drawn = [draw(everything, ["text"], limit=50, seed=seed, by_label=False) for seed in (0, 0, 1)]
    assert [len(part) for part in drawn] == [50, 50, 50]
    assert drawn[0] == drawn[1] != drawn[2]
    numbers = [row.number for row in drawn[0]]
    assert numbers == sorted(numbers)


def test_a_smaller_draw_is_part_of_a_greater_one() -> None:
    everything = rows(TEXTS)
    small, great = (
        {row.number for row in draw(everything, ["text"], limit=limit, seed=3, by_label=False)}
        for limit in (20, 200)
    )
    assert small < great


def test_no_label_is_lost_in_a_small_draw() -> None:
    labels = ["common"] * 2990 + ["rare"] * 10
    drawn = draw(rows(TEXTS, labels), ["text"], limit=6, seed=0, by_label=True)
    assert sorted(str(row.answer) for row in drawn).count("rare") >= 2
    assert len(drawn) == 6


def test_a_draw_too_small_for_the_labels_is_refused() -> None:
    labels = ["a", "b", "c"] * 1000
    with pytest.raises(ConfigError, match="limit of 5 rows cannot hold two rows of each of 3") as e:
        draw(rows(TEXTS, labels), ["text"], limit=5, seed=0, by_label=True)
    assert "at least 6" in e.value.hint
