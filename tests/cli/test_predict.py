"""`softprompt predict`: texts, files, standard input, abstaining."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import feedback_rows

from cli.conftest import Shell, write_jsonl
from softprompt.cli.answer_file import added_columns, render
from softprompt.cli.lines import text_batches
from softprompt.errors import DataError
from softprompt.prompts import SoftPrompt


def test_json_has_the_promised_shape(shell: Shell, trained: Path) -> None:
    value = shell("predict", trained, "the late parcel", "phục vụ chậm", "--json").value
    assert len(value["predictions"]) == 2
    for prediction in value["predictions"]:
        chances = prediction["probabilities"]
        assert set(chances) == {"bad", "good"}
        assert sum(chances.values()) == pytest.approx(1)
        assert prediction["answer"] == max(chances, key=lambda label: chances[label])
        assert prediction["probability"] == max(chances.values())


def test_standard_input_is_read_line_by_line(shell: Shell, trained: Path) -> None:
    texts = ["the late parcel", "the friendly parcel", "chậm"]
    wanted = shell("predict", trained, *texts, "--json").value["predictions"]
    content = "\n".join(texts).encode()
    piped = shell("predict", trained, "--json", stdin=content + b"\n\n").value["predictions"]
    assert [p["answer"] for p in piped] == [p["answer"] for p in wanted]
    for one, other in zip(piped, wanted, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    lines = shell("predict", trained, stdin=b"\xef\xbb\xbf" + content).out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [p["answer"] for p in wanted]


def test_standard_input_that_cannot_be_answered(shell: Shell, trained: Path) -> None:
    assert "holds no text" in shell.mistake("predict", trained, stdin=b"\n\n")
    ended = shell("predict", trained, stdin=b"one\n\nthree\n")
    assert (ended.code, ended.line) == (
        2,
        "error: Line 2 of standard input is empty. Leave out empty lines: each line is one text.",
    )
    assert len(ended.out.splitlines()) == 1, "what came before the mistake is answered"
    assert (
        "Line 2 of standard input is not UTF-8" in shell("predict", trained, stdin=b"a\n\xff").err
    )
    long = b"fine\n" + b"word " * 400
    told = shell("predict", trained, stdin=long).line
    assert "standard input: row 2 takes" in told
    assert "--drop-long" not in told


def test_a_file_keeps_its_columns(shell: Shell, trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('id;text;note\n7;"the late; parcel";x\n8;chậm;"a ""b"""\n', encoding="utf-8")
    output = tmp_path / "deep" / "answered.csv"
    ended = shell("predict", trained, "--file", file, "--output", output)
    assert ended.code == 0, ended.err
    assert "Rows answered: 2" in ended.out
    with output.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == ["7", "8"]
    assert [row["text"] for row in rows] == ["the late; parcel", "chậm"]
    assert [row["note"] for row in rows] == ["x", 'a "b"']
    for row in rows:
        assert row["answer"] in {"bad", "good"}
        assert 0.5 <= float(row["probability"]) <= 1


def test_jsonl_keeps_values_as_they_are(shell: Shell, trained: Path, tmp_path: Path) -> None:
    rows = [{"text": "  chậm", "id": 7, "tags": ["x"], "gap": None}]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    output = tmp_path / "answered.jsonl"
    value = shell("predict", trained, "--file", file, "--output", output, "--json").value
    assert value["output"] == str(output)
    [written] = map(json.loads, output.read_text("utf-8").splitlines())
    [prediction] = value["predictions"]
    assert written == {
        **rows[0],
        "answer": prediction["answer"],
        "probability": prediction["probability"],
    }


def test_a_file_without_output_goes_to_standard_output(
    shell: Shell, trained: Path, tmp_path: Path
) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", feedback_rows(3))
    ended = shell("predict", trained, "--file", file)
    assert [json.loads(line)["text"] for line in ended.out.splitlines()] == [
        row["text"] for row in feedback_rows(3)
    ]


def test_abstained_rows_have_an_empty_answer(shell: Shell, trained: Path, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", feedback_rows(6))
    output = tmp_path / "answered.csv"
    words = ["predict", trained, "--file", file, "--output", output]
    sure = shell(*words, "--json").value
    assert sure["abstained"] == 0
    middle = sorted(p["probability"] for p in sure["predictions"])[3]
    value = shell(*words, "--abstain-below", middle, "--json").value
    empty = [p["answer"] == "" for p in value["predictions"]]
    assert empty == [p["probability"] < middle for p in sure["predictions"]]
    assert value["abstained"] == sum(empty) > 0
    with output.open(encoding="utf-8", newline="") as stream:
        assert [row["answer"] == "" for row in csv.DictReader(stream)] == empty


def test_other_words_give_other_probabilities(shell: Shell, trained: Path) -> None:
    def chance(*words: str) -> float:
        value = shell("predict", trained, "the late parcel", *words, "--json").value
        return float(value["predictions"][0]["probabilities"]["bad"])

    own = chance()
    assert chance("--template", "{text} ->{answer}") != own
    assert chance("--choices", "bad=late") != own
    assert chance("--choices", "bad=bad") == pytest.approx(own)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--abstain-below", "2"], "0 to 1"),
        (["text", "--file", "f.csv"], "both given"),
        (["text", "--output", "g.csv"], "needs --file"),
        (["--file", "f.csv", "--output", "g.xlsx"], "cannot be written as '.xlsx'"),
        (["--file", "absent.csv"], "There is no file absent.csv"),
        (["text", "--choices", "goood=x"], "Did you mean 'good'?"),
        (["text", "--choices", "good=bad"], "have the same wording 'bad'"),
        (["text", "--template", "{prompt:3}{text} {answer}"], "slots of [3]"),
        ([""], "row 1 is empty"),
        (["word " * 400], "the window of the model has 128"),
    ],
)
def test_flags_that_cannot_be(shell: Shell, trained: Path, words: list[str], expected: str) -> None:
    assert expected in shell.mistake("predict", trained, *words)


def test_the_file_that_is_read_is_not_replaced(shell: Shell, trained: Path, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", feedback_rows(2))
    before = file.read_bytes()
    assert "would replace" in shell.mistake("predict", trained, "--file", file, "--output", file)
    assert file.read_bytes() == before


def test_rows_with_an_empty_input_are_named(shell: Shell, trained: Path, tmp_path: Path) -> None:
    rows = feedback_rows(4)
    rows[1]["text"] = ""
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert "empty in rows 2 (1 in all)" in shell.mistake("predict", trained, "--file", file)


def test_an_answer_column_of_the_file_is_kept(shell: Shell, trained: Path, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", [{"text": "late", "answer": "mine"}])
    output = tmp_path / "answered.jsonl"
    ended = shell("predict", trained, "--file", file, "--output", output)
    assert "already" in ended.err
    written = json.loads(output.read_text("utf-8"))
    assert written["answer"] == "mine"
    assert written["predicted_answer"] in {"bad", "good"}


def test_names_of_added_columns() -> None:
    assert added_columns(["text"]) == ("answer", "probability")
    assert added_columns(["answer", "predicted_answer"]) == (
        "predicted_predicted_answer",
        "probability",
    )


def test_formats_of_answers() -> None:
    records = [{"a": 1, "b": "x,y"}, {"a": None, "b": ["z"]}]
    assert render(".csv", ["a", "b"], records) == 'a,b\n1,"x,y"\n,"[""z""]"\n'
    assert render(".tsv", ["a", "b"], records).splitlines()[1] == "1\tx,y"
    assert [json.loads(line) for line in render(".jsonl", [], records).splitlines()] == records
    assert json.loads(render(".json", [], records)) == records


class Slow(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._chunks.pop(0) if self._chunks else b""
        buffer[: len(chunk)] = chunk
        return len(chunk)


def test_lines_are_handed_on_as_they_come() -> None:
    letter = "ậ".encode()
    stream = io.BufferedReader(Slow(b"one\ntw", b"o\nch" + letter[:1], letter[1:] + b"m\n", b"x"))
    assert list(text_batches(stream)) == [["one"], ["two"], ["chậm"], ["x"]]
    with pytest.raises(DataError, match="Line 1"):
        list(text_batches(io.BufferedReader(Slow(b"\n", b"two\n"))))


def test_a_model_that_has_moved_is_asked_for(shell: Shell, trained: Path, tmp_path: Path) -> None:
    prompt = SoftPrompt.load(trained / "prompt")
    gone = replace(prompt, backbone=replace(prompt.backbone, name=str(tmp_path / "gone")))
    gone.save(tmp_path / "moved")
    assert "Say with --model" in shell.mistake("predict", tmp_path / "moved", "late")
    found = shell("predict", tmp_path / "moved", "late", "--model", prompt.backbone.name, "--json")
    assert (
        found.value["predictions"]
        == shell("predict", trained, "late", "--json").value["predictions"]
    )
