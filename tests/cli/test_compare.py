"""`softprompt compare`: a process a method, a table, one object with --json, going on, mistakes."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.conftest import Shell
from softprompt import locale
from softprompt.cli.comparison import show_comparison, show_next
from softprompt.comparison import METHODS

COMMAND = importlib.import_module("softprompt.cli.commands.compare")
QUICK = ["--epochs", 1, "--length", 4, "--set", "population=1"]


def lines_of(metric: str, methods: dict[str, Any]) -> list[str]:
    """What the terminal shows of methods."""
    report = {"errors": {}, "rows_saved": {}, "escalation": None, "recommendation": None}
    console = Console(file=io.StringIO(), width=80)
    task = {"warnings": ["Six test rows stand among the training rows."]}
    show_comparison(console, {"task": task, "metric": metric, "methods": methods, **report})
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_what_is_wrong_with_the_rows_is_told() -> None:
    assert "Six test rows stand among the training rows." in lines_of("accuracy", {})


def test_a_comparison_from_start_to_table(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [data, "--model", tiny_folder, "--output", run, "--methods", "majority,soft_prompt"]
    ended = shell("compare", *words, *QUICK, "--json")
    assert ended.code == 0, ended.err
    assert "Measuring: soft prompt" in ended.err
    assert list(ended.value["methods"]) == ["majority", "soft_prompt"]
    assert ended.value["errors"] == {}
    assert ended.value["recommendation"]["method"] in ended.value["methods"]
    assert ended.value["methods"]["soft_prompt"]["peak_memory_bytes"] > 1_000_000
    assert ended.value == json.loads((run / "report.json").read_text("utf-8"))

    shown = shell("compare", "--resume", run)
    assert "Measuring" not in shown.err
    assert "majority guess" in shown.out
    assert "Choose:" in shown.out
    assert "Page: " in shown.out
    assert f"softprompt advise --report {run}" in shown.out
    html = (run / "report.html").read_text("utf-8")
    assert html.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("language", ["en", "vi"])
def test_every_table_fits_eighty_columns(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "_chosen", None)
    locale.set_language(language)
    method = {
        "test": {"n": 9999, "macro_f1": 0.987654, "macro_f1_interval": [0.12, 0.999]},
        "p_value": 0.012345,
        "trainable_parameters": 134_515_008,
        "stored_bytes": 269_030_016,
        "shared_bytes": 269_000_000,
        "seconds": {"search": 30_000.0, "training": 6_000.0, "to_best": 5_400.0},
        "peak_memory_bytes": 123_400_000_000,
        "energy": {"kwh": 0.123456, "sources": ["estimated"]},
        "latency": {"median": 0.1234, "p95": 12.34},
        "switch_seconds": 12.34,
        "money": 0.012345,
        "forgetting": {
            "loss": {
                "untouched": 12.345,
                "attached": 12.345,
                "detached": None,
                "passages": 12,
                "tokens": 345,
                "change_interval": [-0.1234, 9.1234],
            },
            "other": None,
            "detached_identical": 1.0,
        },
    }
    lines = lines_of("macro_f1", dict.fromkeys(METHODS, method))
    assert len(lines) > 3 * len(METHODS.names())
    assert "…" not in "".join(lines)
    assert all(len(line.rstrip()) <= 80 for line in lines if not line.startswith("p: "))
    for name in METHODS:
        title = locale._(METHODS.get(name).title)
        assert sum(line.startswith(f" {title}  ") for line in lines) == 3, title


@pytest.mark.parametrize("curves", [{}, {"soft_prompt": [[32, 0.5], [200, 0.6]]}])
def test_what_to_type_next(tmp_path: Path, curves: dict[str, Any]) -> None:
    prompt = tmp_path / "methods" / "soft_prompt" / "run" / "prompt"
    prompt.mkdir(parents=True)
    (prompt / "prompt.json").write_text("{}")
    found: dict[str, Any] = {
        "task": {"rows": {"train": 200}, "labels": ["no", "yes"]},
        "methods": {
            "soft_prompt": {"kept": ["methods/soft_prompt/run/prompt"]},
            "lora_prompt": {"kept": ["methods/lora_prompt/adapter", "methods/lora_prompt/prompt"]},
            "majority": {"kept": []},
        },
        "curves": curves,
        "curve_errors": {},
    }

    def shown(method: str | None) -> str:
        chosen = None if method is None else {"method": method, "best": method}
        console = Console(file=io.StringIO(), width=80)
        show_next(console, {**found, "recommendation": chosen}, tmp_path)
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    told = shown("soft_prompt")
    assert f"What it keeps: {prompt}\n" in told
    assert f"  softprompt predict {prompt} 'your text'\n" in told
    proposed = (
        f"  softprompt compare --resume {tmp_path} --methods soft_prompt,lora_prompt --curve "
        "32,128\n"
    )
    assert (proposed in told) == (not curves)
    assert f"  softprompt advise --report {tmp_path}\n" in told
    (prompt / "prompt.json").write_text('{"task": {"inputs": ["title", "text"]}}')
    assert f"  softprompt predict {prompt} --file your-rows.csv\n" in shown("soft_prompt")
    assert "predict" not in shown("lora_prompt")
    assert "methods/lora_prompt/adapter" in shown("lora_prompt")
    over = tmp_path / "methods" / "lora_prompt" / "prompt"
    over.mkdir(parents=True)
    (over / "prompt.json").write_text("{}")
    # The prompt itself says which model it stands over.
    assert f"  softprompt predict {over} 'your text'\n" in shown("lora_prompt")
    for method in ("majority", None):
        assert "keeps" not in shown(method)
        assert "Page: " in shown(method)
    # Nothing is proposed that would have nothing to go by.
    found["methods"] = {"majority": {"kept": []}}
    assert "softprompt" not in shown("majority").replace(str(tmp_path), "")
    found["methods"] = {"zero_shot": {"kept": []}}
    assert "--curve" not in shown("zero_shot")
    assert "advise" in shown("zero_shot")


def test_its_own_settings_are_kept(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run, text = tmp_path / "run", tmp_path / "general.txt"
    text.write_text("one two three four five six seven eight nine ten")
    words = [data, "--model", tiny_folder, "--output", run, "--methods", "majority,soft_prompt"]
    more = ["--curve", "8,all", "--escalate", "--general", text, "--price-per-hour", "2"]
    more += ["--set", "compare.lora_rank=3", "--set", "compare.full_rates=[0.01]"]
    ended = shell("compare", *words, *more, *QUICK, "--json")
    assert ended.code == 0, ended.err
    kept = json.loads((run / "config.json").read_text("utf-8"))["comparison"]
    assert kept["curve"] == [8]
    assert kept["escalate"] is True
    assert (kept["lora_rank"], kept["full_rates"]) == (3, [0.01])
    assert kept["general"] == str(text)
    # Three validation rows tell nothing.
    assert ended.value["escalation"]["stopped"] == "too_few_rows"
    on = ["--resume", run, "--set", "compare.escalate=false"]
    found = shell("compare", *on, "--json").value["methods"]["soft_prompt"]
    assert found["money"] > 0
    assert found["forgetting"]["loss"]["passages"] == 1
    curve = json.loads((run / "report.json").read_text("utf-8"))["curves"]["soft_prompt"]
    assert [rows for rows, _score in curve] == [8, 48]


def test_settings_come_from_a_file_and_files_are_named_from_the_root(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "general.txt").write_text("one passage of text that has eight words", "utf-8")
    (tmp_path / "c.yaml").write_text(
        "training: {epochs: 1}\ncompare: {methods: 'majority,full', curve: 8, watts: 3}\n", "utf-8"
    )
    monkeypatch.chdir(tmp_path)
    words = [data, "--model", tiny_folder, "--output", "run", "--config", "c.yaml"]
    more = ["--curve", "12", "--set", "compare.general=general.txt"]
    more += ["--set", "compare.full_rates=[0.001]", "--set", "compare.epochs=1"]
    ended = shell("compare", *words, *more, "--json")
    assert ended.code == 0, ended.err
    kept = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert kept["comparison"]["methods"] == ["majority", "full"]
    assert kept["comparison"]["watts"] == 3
    assert kept["comparison"]["curve"] == [12]
    assert kept["comparison"]["general"] == str(tmp_path / "general.txt")
    assert kept["run"]["training"]["epochs"] == 1
    (tmp_path / "d.yaml").write_text("compared: {watts: 3}\n", "utf-8")
    told = shell.mistake("compare", data, "--output", "other", "--config", "d.yaml")
    assert "Unknown section 'compared'" in told
    assert "'compare'" in told


def test_a_comparison_whose_methods_are_all_refused_is_a_mistake(
    shell: Shell, tiny_folder: Path, tmp_path: Path
) -> None:
    written = tmp_path / "written.csv"
    lines = [f"what is {n},it is {n} or {n + 1}" for n in range(80)]
    written.write_text("\n".join(["question,reply", *lines]))
    words = [written, "--model", tiny_folder, "--output", tmp_path / "run", *QUICK]
    columns = ["--input", "question", "--target", "reply", "--set", "task.kind=generation"]
    ended = shell("compare", *words, *columns, "--methods", "majority")
    assert ended.code == 2
    assert "majority guess: cannot be done here" in ended.out


def test_one_method_can_be_measured_here(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "methods" / "majority").mkdir(parents=True)
    assert "already in use" in shell.mistake("compare", data, "--output", run)
    (run / "methods" / "majority").rmdir()
    (run / "methods").rmdir()
    words = ["--model", tiny_folder, "--output", run, "--methods", "majority", *QUICK]
    from softprompt.cli.configuration import run_config
    from softprompt.comparison import CompareConfig, Comparison

    flags = {"model": str(tiny_folder), "epochs": 1}
    Comparison.begin(run, run_config(str(data), flags), CompareConfig(methods=("majority", "full")))
    told = shell.mistake("compare", "--resume", run, "--only", "lora")
    assert "'lora' is not among the methods of this comparison" in told
    value = shell("compare", "--resume", run, "--only", "majority", "--json").value
    assert list(value["methods"]) == ["majority"]
    assert value["errors"] == {"full": {"error": "not measured yet", "kind": "waiting"}}
    told = shell.mistake("compare", "--resume", run, *words[:2])
    assert "takes no --model" in told
    assert "It takes --methods, --curve, --escalate" in told
    told = shell.mistake("compare", "--resume", run, "--set", "compare.lora_rank=4")
    assert "keeps its compare.lora_rank" in told
    less = ["--methods", "majority", "--price-per-hour", 3, "--set", "compare.escalate=true"]
    value = shell("compare", "--resume", run, *less, "--json").value
    assert value["prices"]["per_hour"] == 3
    assert value["errors"] == {}
    assert value["escalation"]["steps"][0]["method"] == "majority"


def test_mistakes(shell: Shell, data: Path, tmp_path: Path) -> None:
    assert "There is no DATA" in shell.mistake("compare", "--output", tmp_path / "a")
    assert "There is no --output" in shell.mistake("compare", data)
    told = shell.mistake("compare", data, "--output", tmp_path / "b", "--methods", "lorra")
    assert "Unknown method 'lorra'" in told
    assert "lora" in told
    wrong = shell.mistake("compare", data, "--output", tmp_path / "e", "--curve", "8,many")
    assert "--curve cannot be '8,many'" in wrong
    assert "compare.watts cannot be" in shell.mistake(
        "compare", data, "--output", tmp_path / "f", "--watts", -1
    )
    unknown = ["--set", "compare.lora_ranks=3"]
    told = shell.mistake("compare", data, "--output", tmp_path / "g", *unknown)
    assert "Unknown setting compare.lora_ranks. Did you mean 'lora_rank'" in told
    told = shell.mistake("compare", data, "--output", tmp_path / "g", "--set", "compar.watts=3")
    assert "Did you mean 'compare'" in told
    for nothing in ("", " , "):
        told = shell.mistake("compare", data, "--output", tmp_path / "g", "--methods", nothing)
        assert "--methods names no method. Allowed: all, majority" in told
    told = shell.mistake("compare", data, "--output", tmp_path / "g", "--only", "lora")
    assert "Add --resume DIR, or write --methods lora" in told
    told = shell.mistake("compare", data, "--resume", tmp_path / "g")
    assert "takes no DATA" in told
    assert not (tmp_path / "g").exists()
    absent = shell.mistake("compare", tmp_path / "absent.csv", "--output", tmp_path / "d")
    assert "absent.csv" in absent
    assert not (tmp_path / "d").exists()
    none = ["--methods", "majority", "--other-target", "label"]
    told = shell.mistake("compare", data, "--output", tmp_path / "h", *none)
    assert "compare.other_target belongs to another task" in told
    none = ["--methods", "majority", "--domain-target", "label"]
    told = shell.mistake("compare", data, "--output", tmp_path / "i", *none)
    assert "compare.domain_target is read by none of the methods" in told
    assert "full_prompt, lora_domain_prompt" in told
    passages = tmp_path / "passages.txt"
    passages.write_text("a passage\n\nanother one\n")
    file = ["--methods", "full_prompt", "--domain", passages, "--domain-target", "label"]
    told = shell.mistake("compare", data, "--output", tmp_path / "i", *file)
    assert "compare.domain_target is a column" in told
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["a,b,c", *(f"{n},x{n % 3},y{n % 2}" for n in range(30))]))
    unnamed = ["--methods", "full_prompt", "--domain", table]
    told = shell.mistake("compare", data, "--output", tmp_path / "i", *unnamed)
    assert "with --domain-target" in told
    assert "--input" not in told
    wrong = ["--methods", "full_prompt", "--domain-target", "nowhere"]
    assert "'nowhere'" in shell.mistake("compare", data, "--output", tmp_path / "j", *wrong)
    assert not (tmp_path / "j").exists()
    assert "holds no comparison" in shell.mistake("compare", "--resume", tmp_path / "c")


@pytest.mark.parametrize("wanted", ["all", "lora,all"])
def test_all_methods_have_one_name(wanted: str) -> None:
    assert sorted(COMMAND._methods(wanted)) == METHODS.names()


def test_adherence_to_a_form_has_a_table_of_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locale, "_chosen", None)
    locale.set_language("en")
    method: dict[str, Any] = {
        "test": {"n": 9, "token_f1": 0.5, "format_adherence": 0.875},
        "p_value": None,
        "trainable_parameters": 0,
        "stored_bytes": 0,
        "seconds": {},
        "peak_memory_bytes": 0,
        "energy": None,
        "latency": None,
        "switch_seconds": None,
        "money": None,
        "forgetting": {
            "loss": {"untouched": 1.0, "attached": 1.0, "detached": None},
            "other": {
                "name": "reviews",
                "untouched": {"accuracy": 0.5, "macro_f1": 0.25, "n": 57},
                "attached": {"accuracy": 0.5, "macro_f1": 0.125},
                "detached": None,
            },
            "detached_identical": None,
        },
    }
    lines = [line.split() for line in lines_of("token_f1", {"soft_prompt": method})]
    assert ["format"] in lines
    assert ["soft", "prompt", "87.5%"] in lines
    columns = ["untouched", "attached", "detached"]
    assert ["reviews,", "macro-F1,", "57", "rows", *columns] in lines
    assert ["soft", "prompt", "25.0%", "12.5%", "–"] in lines


def test_a_list_of_methods_may_name_all() -> None:
    how = COMMAND._settings({}, ["compare.methods=[soft_prompt,all]"])
    assert sorted(how.methods) == METHODS.names()
