"""Mistakes and findings in the language of whoever made them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import feedback_rows

from cli.conftest import Shell, write_jsonl


@pytest.fixture(autouse=True)
def vietnamese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_LANG", "vi")


def test_a_missing_file(shell: Shell, tiny_folder: Path, tmp_path: Path) -> None:
    told = shell("check", tmp_path / "rows.csv", "--model", tiny_folder)
    assert told.code == 2
    assert told.line == f"lỗi: Không có tệp {tmp_path / 'rows.csv'}. Hãy kiểm tra đường dẫn."


def test_a_wrong_label_column(shell: Shell, tiny_folder: Path, data: Path) -> None:
    told = shell("check", data, "--target", "lable", "--model", tiny_folder).line
    assert told.startswith("lỗi: feedback.jsonl không có cột 'lable'. Ý bạn là 'label'? Cho phép: ")


def test_a_setting_that_cannot_be(shell: Shell, tiny_folder: Path, data: Path) -> None:
    told = shell("check", data, "--choices", "good", "--model", tiny_folder).line
    assert told.startswith("lỗi: Lựa chọn 'good' chưa có chữ. Hãy viết nhãn=chữ")


def test_findings_of_a_check(shell: Shell, tiny_folder: Path, tmp_path: Path) -> None:
    rows = feedback_rows(40)
    rows[4]["text"] = ""
    rows.append({**rows[0]})
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    shown = " ".join(shell("check", file, "--model", tiny_folder).out.split())
    for expected in (
        "Đầu vào trống. → Hãy điền vào hoặc xóa dòng này",
        "Cùng đầu vào và đáp án này lặp lại ở dòng 41 (",
    ):
        assert expected in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tune", "x.csv", "--frobnicate"], "Không có tùy chọn --frobnicate. Xem"),
        (["tune", "x.csv", "--lenght", "3"], "Không có tùy chọn --lenght (có thể là: --length"),
        (["tnue"], "Không có lệnh 'tnue'. Ý bạn là 'tune'?"),
        (["evaluate", "p"], "Thiếu tham số 'DATA'."),
        (["export", "p"], "Thiếu tùy chọn '--output'."),
        (["show", "p", "q"], "Thừa tham số (q)"),
        (["tune", "x.csv", "--length"], "Tùy chọn '--length' cần một giá trị."),
        (
            ["tune", "x.csv", "--epochs", "many"],
            "Giá trị của '--epochs' không hợp lệ: Giá trị phải là số nguyên",
        ),
    ],
)
def test_mistakes_in_usage(shell: Shell, words: list[str], expected: str) -> None:
    ended = shell(*words)
    assert ended.code == 2
    assert ended.line.startswith(f"lỗi: {expected}")


def test_help_begins_with_the_usage(shell: Shell) -> None:
    assert "Cách dùng: softprompt tune [OPTIONS] [DATA]" in shell("tune", "--help").out
