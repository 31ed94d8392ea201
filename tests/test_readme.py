"""The Python example of the README runs as printed."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from softprompt.tasks.samples import load_sample

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = README.read_text(encoding="utf-8")
    found = re.search(r"<!-- example.*?-->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    assert len([line for line in found[1].splitlines() if line.strip()]) <= 14
    task = load_sample("en")
    # In an order of its own, so that every part has rows among the first.
    every = [*task.test, *task.validation, *task.train]
    rows_of_all = sorted(every, key=lambda row: row.columns["text"][::-1])
    files = {"reviews.csv": rows_of_all[:130], "more-reviews.csv": rows_of_all[130:160]}
    for name, rows in files.items():
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "sentiment"])
            writer.writerows([row.columns["text"], row.columns["sentiment"]] for row in rows)
    monkeypatch.chdir(tmp_path)
    exec(compile(found[1], "README.md", "exec"), {})
    said = capsys.readouterr().out.split()
    assert {said[-2], said[-4]} <= {"positive", "neutral", "negative"}
    assert 0 < float(said[-1]) <= 1
