"""Tasks of free text made from the public data: what is read, what is written, how it is judged.

    translation     English to Vietnamese, short sentences (Tatoeba)
    headline        the title of a Vietnamese news text: news style
    report          its summary: report style, over the same texts
    record          student feedback as a JSON record in fixed terms
    note            the same in a sentence of a fixed style with fixed terms

Rows are made on the way into a folder of the caller and kept nowhere else. News are cut to their
first 120 words. The terms of `record` and `note` are this file's own: nothing but the training rows
tells a model of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from softprompt.tasks import Task

__all__ = ["SOURCES", "Source", "task_of"]

WORDS = 120
ATTITUDES = {"positive": "hài lòng", "negative": "chưa hài lòng", "neutral": "không bày tỏ"}
MATTERS = {
    "lecturer": "đội ngũ giảng dạy",
    "training_program": "khung đào tạo",
    "facility": "hạ tầng trường học",
    "others": "vấn đề khác",
}
TERMS = (*ATTITUDES.values(), *MATTERS.values())


def _words(text: str) -> str:
    return " ".join(text.split()[:WORDS])


def _record(row: Mapping[str, str]) -> str:
    record = {"thái độ": ATTITUDES[row["sentiment"]], "về": MATTERS[row["topic"]]}
    return json.dumps(record, ensure_ascii=False)


def _note(row: Mapping[str, str]) -> str:
    attitude, matter = ATTITUDES[row["sentiment"]], MATTERS[row["topic"]]
    return f"Kính gửi phòng đào tạo: sinh viên {attitude} về {matter}."


@dataclass(frozen=True)
class Source:
    """Where a task's rows come from and what they become.

    Args:
        folder: of the data set, with `train.jsonl` and `test.jsonl`.
        read: from a record to the text that is read.
        write: from a record to the answer.
        template: of all methods.
        asked: hand prompts, of which validation rows choose.
        metric: that settings are chosen by.
        tokens: longest answer.
        demands: `answer_format` and `answer_terms` of the task.
    """

    folder: str
    read: Callable[[Mapping[str, str]], str]
    write: Callable[[Mapping[str, str]], str]
    template: str
    asked: tuple[str, ...]
    metric: str
    tokens: int
    demands: Mapping[str, Any] = field(default_factory=dict)


SOURCES: dict[str, Source] = {
    "translation": Source(
        "tatoeba-en-vi",
        lambda row: row["en"],
        lambda row: row["vi"],
        "English: {text}\nTiếng Việt: {answer}",
        (
            "English: {text}\nTiếng Việt: {answer}",
            "Translate into Vietnamese.\n{text}\nTranslation: {answer}",
            "Dịch câu sau sang tiếng Việt: {text}\nBản dịch: {answer}",
        ),
        "chrf",
        40,
    ),
    "headline": Source(
        "vietnews",
        lambda row: _words(row["body"]),
        lambda row: row["title"],
        "{text}\nTiêu đề: {answer}",
        (
            "{text}\nTiêu đề: {answer}",
            "Hãy đặt tiêu đề cho bản tin sau.\n{text}\nTiêu đề của bản tin: {answer}",
        ),
        "rougeL",
        32,
        {"answer_format": r"[^\n]{15,110}(?<![.…])"},
    ),
    "report": Source(
        "vietnews",
        lambda row: _words(row["body"]),
        lambda row: row["abstract"],
        "{text}\nTóm tắt: {answer}",
        (
            "{text}\nTóm tắt: {answer}",
            "Hãy tóm tắt bản tin sau trong một câu.\n{text}\nTóm tắt bản tin: {answer}",
        ),
        "rougeL",
        72,
        {"answer_format": r"[^\n]{60,340}[.!?…]"},
    ),
    "record": Source(
        "uit-vsfc",
        lambda row: row["text"],
        _record,
        "{text}\nPhiếu: {answer}",
        (
            "{text}\nPhiếu: {answer}",
            '{text}\nGhi lại ý kiến dưới dạng JSON với "thái độ" và "về": {answer}',
        ),
        "exact_match",
        40,
        {
            "answer_format": {
                "type": "object",
                "properties": {"thái độ": {"type": "string"}, "về": {"type": "string"}},
                "required": ["thái độ", "về"],
                "additionalProperties": False,
            },
            "answer_terms": TERMS,
        },
    ),
    "note": Source(
        "uit-vsfc",
        lambda row: row["text"],
        _note,
        "{text}\nGhi chú: {answer}",
        (
            "{text}\nGhi chú: {answer}",
            "{text}\nViết một câu trang trọng gửi phòng đào tạo về ý kiến này: {answer}",
        ),
        "exact_match",
        40,
        {
            "answer_format": r"Kính gửi phòng đào tạo: sinh viên [^\n]+ về [^\n]+\.",
            "answer_terms": TERMS,
        },
    ),
}


def task_of(
    name: str, data: Path, folder: Path, *, seed: int, rows: int, held: int, tested: int
) -> Task:
    """A task of free text.

    Args:
        name: in `SOURCES`.
        data: folder of the data sets.
        folder: where its rows are written.
        seed: that draws the training rows.
        rows, held, tested: of training, validation and test, at most; the last two are the same
            for every seed.

    Raises:
        FileNotFoundError: the data are not there.
    """
    source = SOURCES[name]
    for part in ("train", "test"):
        made = "\n".join(_made(source, data / source.folder / f"{part}.jsonl"))
        (folder / f"{part}.jsonl").write_text(made + "\n", encoding="utf-8")
    task = Task.from_file(
        folder / "train.jsonl",
        test=str(folder / "test.jsonl"),
        template=source.template,
        target="written",
        kind="generation",
        limit=rows,
        seed=seed,
        **source.demands,
    )
    validation = list(task.validation)
    test = list(task.test)
    random.Random(0).shuffle(validation)
    random.Random(0).shuffle(test)
    return replace(task, name=name, validation=tuple(validation[:held]), test=tuple(test[:tested]))


def _made(source: Source, file: Path) -> Iterator[str]:
    """Rows as JSON lines; texts and answers on one line, and none that is empty."""
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        text, written = (" ".join(part(record).split()) for part in (source.read, source.write))
        if text and written:
            yield json.dumps({"text": text, "written": written}, ensure_ascii=False)
