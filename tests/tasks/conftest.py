from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file into the test's folder and gives its path."""

    def put(name: str, content: str | bytes | Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_bytes(content.encode())
        else:
            lines = [json.dumps(record, ensure_ascii=False) for record in content]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return put


def reviews(count: int = 120, **columns: object) -> list[dict[str, object]]:
    """Rows with a text each its own and a label that its words tell."""
    things = ["coffee", "tea", "soup", "bread", "salad", "cake", "rice", "fish", "room", "staff"]
    words = {"good": ["lovely", "fresh", "warm"], "bad": ["stale", "cold", "awful"]}
    rows = []
    for index in range(count):
        label = ("good", "bad")[index % 2]
        thing = things[index // 2 % len(things)]
        word = words[label][index // 2 % 3]
        rows.append({"text": f"visit {index}: {word} {thing}", "label": label, **columns})
    return rows
