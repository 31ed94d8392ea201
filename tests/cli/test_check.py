"""`softprompt check`: problems, the row as the model gets it, lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from tiny import feedback_rows, tiny_backbone, tiny_tokenizer

from cli.conftest import Shell, write_jsonl
from softprompt.cli.token_view import pieces, show_tokens
from softprompt.prompts import Layout
from softprompt.tasks import Rendered, Slot


def test_json_lists_every_problem(shell: Shell, tiny_folder: Path, tmp_path: Path) -> None:
    rows = feedback_rows(40)
    rows[4]["text"] = ""
    rows.append({"text": rows[0]["text"], "label": "good", "part": "a"})
    rows.append({"text": "long " * 200, "label": "good", "part": "a"})
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    value = shell("check", file, "--model", tiny_folder, "--json").value
    assert value["ok"] is False
    found = {(problem["check"], problem["row"]) for problem in value["problems"]}
    assert ("empty", 5) in found
    assert ("long", 42) in found
    for problem in value["problems"]:
        assert problem["severity"] in {"error", "warning"}
        assert problem["cause"] and problem["cure"]
    assert sum(value["rows"].values()) == 42
    assert value["window"] == 128
    assert set(value["lengths"]) == {"context", "answer", "total"}


def test_people_see_problems_tokens_and_lengths(
    shell: Shell, tiny_folder: Path, tmp_path: Path
) -> None:
    rows = feedback_rows(40)
    rows[4]["text"] = ""
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    shown = shell("check", file, "--model", tiny_folder, "--length", 3)
    assert shown.code == 0
    for expected in (
        "✗ error  rows.jsonl, row 5, column text",
        "→ ",
        "‹1› ‹2› ‹3›",
        "[</s>]",
        "median",
        "training",
    ):
        assert expected in shown.out
    lines = [line for line in shown.out.splitlines() if str(tmp_path) not in line]
    assert max(len(line) for line in lines if str(tiny_folder) not in line) <= 80


@pytest.mark.parametrize(("kind", "vectors"), [("classification", 8), ("generation", 32)])
def test_the_prompt_that_the_task_gets_takes_room(
    shell: Shell, tiny_folder: Path, tmp_path: Path, kind: str, vectors: int
) -> None:
    rows = [{"text": "a " * n, "label": "good" if n % 2 else "bad"} for n in range(10, 130)]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)

    def too_long(*length: object) -> set[int]:
        words = ["--model", tiny_folder, "--set", f"task.kind={kind}", "--json", *length]
        problems = shell("check", file, *words).value["problems"]
        return {problem["row"] for problem in problems if problem["check"] == "long"}

    assert too_long() == too_long("--length", vectors)
    assert too_long("--length", vectors - 4) < too_long() < too_long("--length", vectors + 4)


def test_clean_data_is_called_clean(shell: Shell, tiny_folder: Path, tmp_path: Path) -> None:
    words = [
        "apple",
        "brick",
        "cloud",
        "dream",
        "eagle",
        "flame",
        "grape",
        "horse",
        "ivory",
        "jewel",
    ]
    rows = [
        {"text": f"{a} {b} {a}", "label": "good" if i % 2 else "bad"}
        for i, (a, b) in enumerate((a, b) for a in words for b in words)
    ]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    value = shell("check", file, "--model", tiny_folder, "--json").value
    assert value["ok"] is True


@pytest.mark.parametrize("placement", ["suffix", "prefix", "front"])
def test_the_prompt_stands_where_it_will_be(
    shell: Shell, data: Path, tiny_folder: Path, placement: str
) -> None:
    words = ["--model", tiny_folder, "--placement", placement, "--length", 2]
    lines = shell("check", data, *words).out.splitlines()
    kinds = [
        kind
        for line in lines
        for kind in ("context", "soft prompt", "answer")
        if line.startswith(kind + " ") and ("│" in line or "‹" in line or "[" in line)
    ]
    kinds = kinds[: kinds.index("answer") + 1]
    wanted = {
        "suffix": ["context", "soft prompt", "answer"],
        "prefix": ["soft prompt", "context", "answer"],
        "front": ["soft prompt", "context", "answer"],
    }
    assert kinds == wanted[placement]


def test_slots_count_in_the_template(shell: Shell, data: Path, tiny_folder: Path) -> None:
    template = "{prompt:2}{text}\\nLabel:{prompt:3} {answer}"
    ended = shell("check", data, "--model", tiny_folder, "--template", template)
    assert ended.code == 0, ended.err
    assert "‹1› ‹2›" in ended.out and "‹3› ‹4› ‹5›" in ended.out


def test_a_method_is_checked_as_it_will_be_trained(
    shell: Shell, data: Path, tiny_folder: Path
) -> None:
    words = ["check", data, "--model", tiny_folder, "--length", 2]
    ended = shell(*words, "--method", "prompt-tuning")
    assert ended.code == 0, ended.err
    assert ended.out.index("soft prompt ") < ended.out.index("context ")
    assert "Unknown" in shell.mistake(*words, "--method", "prompt-tunning")


def test_answers_are_held_against_what_is_demanded(
    shell: Shell, tiny_folder: Path, tmp_path: Path
) -> None:
    rows = [{"prompt": f"number {n}", "completion": f"AB-{n:04d}"} for n in range(40)]
    file = write_jsonl(tmp_path / "codes.jsonl", rows)
    words = [file, "--model", tiny_folder, "--set", r"task.answer_format='\d{4}'"]
    value = shell("check", *words, "--json").value
    assert value["ok"] is False
    assert value["counts"]["demands"] == 40
    told = shell.mistake("tune", *words, "--output", tmp_path / "run")
    assert "training answers keeps to the format" in told


def test_mistakes_in_flags(shell: Shell, data: Path, tiny_folder: Path) -> None:
    told = shell.mistake("check", data, "--model", tiny_folder, "--target", "lable")
    assert "Did you mean 'label'?" in told
    assert "There is no file" in shell.mistake("check", "absent.csv", "--model", tiny_folder)


def test_pieces_make_the_text_again() -> None:
    tokenizer = tiny_tokenizer()
    text = "giao hàng  nhanh\n\tấm 🙂 ok"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    shown = pieces(tokenizer, ids)
    assert len(shown) == len(ids)
    joined = "".join(piece for piece in shown if piece != "…")
    assert joined == text.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥")


def test_the_three_kinds_are_told_apart_without_colour() -> None:
    backbone = tiny_backbone()
    rendered = Rendered(("great ", Slot(2), "coffee"), " ")
    example = Layout(backbone, "slots", 2).example(rendered, ["good"])
    console = Console(width=80, record=True, no_color=True, force_terminal=False)
    show_tokens(console, backbone.tokenizer, example)
    lines = console.export_text().splitlines()
    assert lines[0].startswith("context      <s>│")
    assert lines[1].split() == ["soft", "prompt", "‹1›", "‹2›"]
    assert lines[2].startswith("context      ")
    assert lines[3].startswith("answer       [·") and lines[3].rstrip().endswith("[</s>]")
