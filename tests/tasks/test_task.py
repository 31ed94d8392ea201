from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from softprompt.errors import ConfigError, DataError
from softprompt.tasks import Choice, Rendered, Task, TaskConfig, Template

from .conftest import Write, reviews


def test_a_classification_from_a_file(write: Write) -> None:
    path = write("reviews.jsonl", reviews())
    task = Task.from_file(path)
    assert (task.name, task.kind, task.inputs, task.target) == (
        "reviews", "classification", ("text",), "label",
    )  # fmt: skip
    assert task.labels == ("bad", "good")
    assert task.template == Template("{text}\nLabel: {answer}")
    assert len(task.train) + len(task.validation) + len(task.test) == 120
    assert task.validation
    assert task.test
    assert task.hashes == {"reviews.jsonl": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert task.warnings == ()
    assert task.render(task.train[0]) == Rendered(("visit 1: stale coffee\nLabel:",), " ")


def test_every_row_is_in_one_part(write: Write) -> None:
    task = Task.from_file(write("reviews.jsonl", reviews()))
    numbers = [row.number for part in (task.train, task.validation, task.test) for row in part]
    assert sorted(numbers) == list(range(1, 121))


def test_settings_by_name_go_over_those_of_the_configuration(write: Write) -> None:
    path = write("d.jsonl", reviews())
    config = TaskConfig(choices={"good": "tốt", "bad": "tệ"}, limit=20)
    task = Task.from_file(path, config, limit=10)
    assert len(task.train) == 10
    assert task.choices == (Choice("good", "tốt"), Choice("bad", "tệ"))
    assert task.wording("bad") == "tệ"
    with pytest.raises(ConfigError, match="Unknown task setting 'limits'"):
        Task.from_file(path, limits=3)


def test_parts_from_files_are_not_carved_out(write: Write) -> None:
    path = write("train.jsonl", reviews())
    other = write("dev.jsonl", [{"text": "x", "label": "good"}, {"text": "y", "label": "bad"}])
    task = Task.from_file(path, validation=str(other), test=str(other))
    assert (len(task.train), len(task.validation), len(task.test)) == (120, 2, 2)
    assert task.name == path.parent.name
    assert [warning for warning in task.warnings if "earlier part" in warning] == [
        "Of the test rows 2 have an input that an earlier part has as well: a score on them says"
        " little."
    ]


def test_a_generation_from_a_file(write: Write) -> None:
    rows = [{"en": f"word {index}", "vi": f"từ {index}"} for index in range(60)]
    task = Task.from_file(write("d.jsonl", rows), target="vi")
    assert (task.kind, task.choices) == ("generation", ())
    assert task.wording("từ 1") == "từ 1"
    assert task.render(task.train[0]).answer_prefix == " "


def test_conversations(write: Write) -> None:
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": f"question {index}"},
                {"role": "assistant", "content": f"answer {index}"},
            ]
        }
        for index in range(60)
    ]
    task = Task.from_file(write("d.jsonl", rows))
    row = task.train[0]
    assert task.template is None
    assert row.answer == f"answer {row.number - 1}"
    plain = f"system: Be brief.\nuser: question {row.number - 1}\nassistant:"
    assert task.render(row) == Rendered((plain,), " ")
    rendered = task.render(row, lambda messages: f"<{len(messages)}>{messages[1]['content']}\n")
    assert rendered == Rendered((f"<2>question {row.number - 1}",), "\n")


def test_labels_that_are_numbers_are_warned_of_unless_they_are_worded(write: Write) -> None:
    path = write("d.jsonl", [{**row, "label": int(row["label"] == "good")} for row in reviews()])
    assert any("--choices 0=...,1=..." in warning for warning in Task.from_file(path).warnings)
    assert Task.from_file(path, choices="0=bad,1=good").warnings == ()


def test_a_class_without_rows_in_a_part_is_warned_of(write: Write) -> None:
    path = write("d.jsonl", reviews())
    dev = write("dev.jsonl", [{"text": "x", "label": "good"}])
    warnings = Task.from_file(path, validation=str(dev)).warnings
    assert "The label 'bad' has no validation rows." in warnings


def test_an_overlap_of_files_is_warned_of(write: Write) -> None:
    path = write("d.jsonl", reviews())
    test = write("t.jsonl", reviews(6))
    warnings = Task.from_file(path, test=str(test), validation_share=0).warnings
    assert any(warning.startswith("Of the test rows 6 have an input") for warning in warnings)


def test_rows_that_are_left_out_are_counted(write: Write) -> None:
    rows = [*reviews(), {"text": "", "label": "good"}, {"text": "unlabelled", "label": ""}]
    task = Task.from_file(write("d.jsonl", rows), drop_empty=True)
    left_out = [warning for warning in task.warnings if warning.startswith("Left out")]
    assert sum(int(warning.split(": ")[1].split()[0]) for warning in left_out) == 2


def refusal(path: Path, **settings: object) -> DataError:
    with pytest.raises(DataError) as error:
        Task.from_file(path, **settings)
    return error.value


def test_empty_rows_are_refused_by_number(write: Write) -> None:
    rows = reviews()
    rows[3]["text"], rows[40]["label"] = " ", None
    error = refusal(write("d.jsonl", rows), validation_share=0, test_share=0)
    assert error.message == (
        "d.jsonl has 2 rows with an empty input or answer: 4 (input), 41 (answer)."
    )
    assert "softprompt check" in error.hint
    assert "--drop-empty" in error.hint
    # Whoever repairs them is not refused again for those of another part.
    divided = refusal(write("d.jsonl", rows), validation_share=0.3, test_share=0.3)
    assert divided.message == error.message


def test_answers_that_are_quantities_are_said_to_be_texts(write: Write) -> None:
    rows = [{"text": f"row {n}", "score": f"{n / 7:.3f}"} for n in range(60)]
    task = Task.from_file(write("d.jsonl", rows), target="score")
    assert task.kind == "generation"
    assert any("counts for nothing" in warning for warning in task.warnings)
    rows[7]["score"] = "three or so"
    task = Task.from_file(write("d.jsonl", rows), target="score", test_share=0, validation_share=0)
    assert not any("counts for nothing" in warning for warning in task.warnings)


def test_a_file_without_answers_is_refused(write: Write) -> None:
    error = refusal(write("d.csv", "text,label\na,\nb,\n"))
    assert error.message == "No row of d.csv has an answer in the column 'label'."
    assert "--target" in error.hint


def test_an_unknown_label_in_the_test_file_is_refused(write: Write) -> None:
    test = write("t.csv", "text,label\na,good\nb,godo\n")
    error = refusal(write("d.jsonl", reviews()), test=str(test))
    assert error.message == "t.csv: row 2 has the unknown label 'godo'."
    assert error.hint == "Did you mean 'good'? Allowed: bad, good."


def test_so_it_is_where_both_files_have_one_name(write: Write, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    test = write("other/d.jsonl", [{"text": "a", "label": "godo"}])
    assert "unknown label 'godo'" in refusal(write("d.jsonl", reviews()), test=str(test)).message


def test_a_label_with_a_single_row_is_refused(write: Write) -> None:
    for text in ("one of a kind", "another"):  # whatever part its hash puts it in
        rows = [*reviews(), {"text": text, "label": "unique"}]
        error = refusal(write("d.jsonl", rows))
        assert error.message.startswith("The label 'unique' has ")
        assert "Merge it with another label, remove it" in error.hint


def test_a_single_label_is_refused(write: Write) -> None:
    rows = [{**row, "label": "good"} for row in reviews()]
    path = write("d.jsonl", rows)
    assert "Every row has the answer 'good'" in refusal(path).message
    assert "one label only" in refusal(path, kind="classification").message


def test_a_part_without_rows_is_refused(write: Write) -> None:
    error = refusal(write("d.jsonl", reviews(8)), validation_share=0.001)
    assert error.message == "No validation row is left of the 8 rows read."
    assert "--validation FILE" in error.hint
    task = Task.from_file(write("d.jsonl", reviews(8)), validation_share=0, test_share=0)
    assert (len(task.validation), len(task.test)) == (0, 0)


def test_an_unknown_label_has_no_wording(write: Write) -> None:
    task = Task.from_file(write("d.jsonl", reviews()))
    with pytest.raises(DataError, match="no label 'goo'") as error:
        task.wording("goo")
    assert "Did you mean 'good'?" in error.value.hint
