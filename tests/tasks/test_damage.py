from __future__ import annotations

import json
import random

import pytest

from softprompt.errors import SoftPromptError
from softprompt.tasks.check import check
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.task import Task

from .conftest import Write, reviews

CELLS = ["", '"', '""', 'a"b', "a\r\nb", ",", ";", "\t", "\u200b", "\u2028", "\0", "\ufeff", "\\"]


def damaged(draw: random.Random, name: str) -> bytes:
    """A file of 40 rows with odd cells, then with some bytes changed or its end cut off."""
    rows = [[str(row["text"]), str(row["label"])] for row in reviews(40)]
    for _ in range(draw.randrange(3)):
        draw.choice(rows)[draw.randrange(2)] = draw.choice(CELLS)
    if name.endswith(".csv"):
        quote = draw.choice(['"', ""])
        delimiter = draw.choice(",;\t|")
        lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in rows]
        text = draw.choice(["\n", "\r\n", "\r"]).join([f"text{delimiter}label", *lines])
    else:
        text = "\n".join(json.dumps({"text": text, "label": label}) for text, label in rows)
    content = bytearray(text.encode(draw.choice(["utf-8", "utf-8", "utf-16"])))
    for _ in range(draw.choice([0, 0, 1, 5])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.json"])
def test_damage_is_one_line_and_never_a_traceback(write: Write, name: str) -> None:
    draw = random.Random(name)
    refused = 0
    for _ in range(100):
        path = write(name, damaged(draw, name))
        try:
            Task.from_file(path)
        except SoftPromptError as error:
            refused += 1
            assert error.hint
            assert "\n" not in str(error)
        try:
            json.dumps(check(TaskConfig(), path).as_dict(), allow_nan=False)
        except SoftPromptError as error:
            assert "\n" not in str(error)
    assert 0 < refused < 100
