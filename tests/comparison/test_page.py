"""The page stands alone, escapes what it is given, and speaks both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from comparison.test_report import a_result, a_task
from softprompt import locale
from softprompt.comparison import CompareConfig
from softprompt.comparison.page import page
from softprompt.comparison.page.charts import bars
from softprompt.comparison.page.tables import classes
from softprompt.comparison.report import report
from softprompt.comparison.verdicts import decided, recommended
from softprompt.comparison.words import at_edge, price

EVIL = "<script>alert('x')</script>"
ALIKE = {"macro-F1", "soft prompt", EVIL}
"""What reads the same in both languages."""


@pytest.fixture(params=["en", "vi"])
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(locale, "_chosen", None)
    locale.set_language(request.param)
    yield request.param


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "_chosen", None)
    locale.set_language("en")


class Read(HTMLParser):
    """Tags with their attributes, texts, and whether every tag is closed."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def a_report() -> dict[str, Any]:
    task = a_task("ab" * 30)
    task = replace(task, train=task.test, warnings=(EVIL,))
    results = {
        "soft_prompt": a_result("ab" * 30, 1.0),
        "lora": a_result("aa" * 30, 0.5),
        "full": a_result("ab" * 27 + "bababa", 0.9),
    }
    loss = {"untouched": 3.0, "attached": 3.5, "detached": 3.0, "tokens": 100, "passages": 2}
    loss["change_interval"] = [-0.125, 0.875]
    for result in results.values():
        each = {"f1": 0.5, "precision": 0.5, "recall": 0.5, "n": 10}
        result["test"]["per_class"] = {"a": each, "b": each}
        result["seconds"] = {"search": 1.0, "training": 2.0, "to_best": 1.5}
        result["energy"] = {"kwh": 0.001, "sources": ["estimated"]}
        result["latency"] = {"median": 0.012, "p95": 0.02, "n": 2}
        result["switch_seconds"], result["peak_memory_bytes"] = 0.003, 10**9
        scores = {"accuracy": 0.5, "macro_f1": 0.4}
        other = dict.fromkeys(("untouched", "attached", "detached"), scores)
        result["forgetting"] = {
            "loss": loss,
            "other": {"name": EVIL, **other},
            "detached_identical": 1.0,
        }
        result["space"] = {"rates": [0.001], "search_epochs": 2, "epochs": 4}
        result["details"] = {
            "rate": 0.001,
            "epoch": 3,
            "epochs": 4,
            "full_epochs": 4,
            "rates": {"0.001": 0.4},
            "trained": {"0.001": 0.5},
        }
        result["history"] = [[1.0, 0.3], [90.0, 0.7]]
    prompt = results["soft_prompt"]
    one = {"learning_rate": 0.3, "initialisation": "labels", "parametrisation": "direct"}
    one |= {"length": 8, "score": 0.5, "left": None}
    prompt["space"] = {"population": 2}
    prompt["details"] = {
        "population": [one, {**one, "learning_rate": 0.1, "score": 0.4}],
        "steps": 1500,
        "selection": {"members": 2},
        "readout": {"kept": True},
    }
    prompt["parts"] = {"prompts": {"macro_f1": 0.91}, "readout": {"macro_f1": 0.88}}
    prompt["history"], prompt["suited_score"] = [[61.0, 0.4], [150.0, 0.7]], 0.7
    results["lora"]["history"] = [[30.0, 0.69]]
    results["full"]["unmeasured"] = {"switch_seconds": "no room"}
    full = results["full"]["forgetting"]
    full["loss"] = {**loss, "attached": 2.9, "detached": None}
    full["detached_identical"], full["other"]["detached"] = None, None
    point = {"test": {"macro_f1": 0.4}}
    curves = {name: {4: point} for name in results}
    errors = {"full_prompt": {"error": EVIL, "kind": "memory"}}
    return report(task, "macro_f1", results, errors, how=CompareConfig(), curves=curves, model=EVIL)


def with_evil(found: dict[str, Any]) -> dict[str, Any]:
    found["task"]["name"] = EVIL
    found["task"]["labels"] = [EVIL, "b"]
    for method in found["methods"].values():
        method["test"]["per_class"][EVIL] = method["test"]["per_class"]["a"]
        method["details"]["domain"] = {"about": EVIL}
    found["examples"][0] = {"row": 1, "text": EVIL, "right": EVIL, "answers": {"lora": EVIL}}
    return found


def test_the_page_is_whole_and_needs_nothing(language: str) -> None:
    text = page(a_report())
    read = Read(text)
    assert read.open == []
    assert ("html", {"lang": language}) in read.tags
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.tags}
    for _, attributes in read.tags:
        assert not {"src", "href", "onload", "onclick", "style"} & set(attributes)
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert [tag for tag, _ in read.tags].count("svg") == 3
    assert [tag for tag, _ in read.tags].count("section") == 9


def test_what_users_wrote_is_escaped(language: str) -> None:
    text = page(with_evil(a_report()))
    read = Read(text)
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in read.tags}
    assert read.texts.count(EVIL) >= 4
    # What is wrong with the rows is told as well.
    found = with_evil(a_report())
    found["task"]["warnings"] = []
    assert Read(page(found)).texts.count(EVIL) == read.texts.count(EVIL) - 1


def test_the_page_speaks_vietnamese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "_chosen", None)
    locale.set_language("vi")
    read = Read(page(a_report()))
    assert "Chất lượng" in read.texts
    locale.set_language("en")
    english = Read(page(a_report()))
    assert "Quality" in english.texts
    assert not [text for text in read.texts if "learning rate" in text]
    # What both pages have is numbers, names and what users wrote.
    both = set(read.texts) & set(english.texts)
    same = {text for text in both if re.search("[a-z]{3}", text) and "color-scheme" not in text}
    assert same <= ALIKE, same - ALIKE


@pytest.mark.usefixtures("english")
def test_numbers_of_the_report_stand_in_the_page(tmp_path: Path) -> None:
    texts = Read(page(a_report())).texts
    shares, costs = ("100.0%", "50.0%"), ("~1.00 Wh", "12 ms")
    kept = ("3.500", "cannot be detached", "+0.500", "-0.12 – 0.88")
    for told in (*shares, *costs, *kept):
        assert told in texts, told
    assert any(text.startswith("Choose: soft prompt") for text in texts)
    assert any("ran out of memory" in text for text in texts)


@pytest.mark.usefixtures("english")
def test_few_rows_recommend_nothing_that_is_not_best() -> None:
    found = a_report()
    near = {"method": "zero_shot", "best": "soft_prompt", "p_value": 0.4, "told_apart": False}
    found["recommendation"] |= near
    for rows, begins in (
        (53, "Measured on 53 test rows, too few"),
        (54, "Choose: best hand prompt"),
    ):
        for method in found["methods"].values():
            method["test"]["n"] = rows
        assert recommended(found).startswith(begins)
        assert decided(found) == (None if rows == 53 else "zero_shot")


@pytest.mark.usefixtures("english")
def test_a_rate_at_the_end_of_its_space_is_told() -> None:
    found = a_report()
    tried = {"0.0001": 0.4, "0.001": 0.5, "0.003": None}
    told = {"epoch": 1, "epochs": 2, "full_epochs": 2, "rates": tried}
    found["methods"]["lora"]["details"] = {"rate": 0.001, **told}
    found["methods"]["full"]["details"] = {"model": {"rate": 0.003, **told}}
    (told,) = [text for text in Read(page(found)).texts if "that was tried" in text]
    assert told.startswith("full fine-tuning: the best learning rate, 0.003, is the largest")
    found["methods"]["lora"]["details"]["rate"] = 0.0001
    first, _ = at_edge(found)
    assert "LoRA: the best learning rate, 0.0001, is the smallest" in first
    # A single rate is no space to have ends.
    found["methods"] = {"lora": {"details": {"rate": 0.001, "rates": {"0.001": 0.5}}}}
    assert at_edge(found) == []


def test_money_is_nothing_only_where_nothing_is_paid() -> None:
    amounts = (None, 0.0, 4e-8, 0.0000216, 0.25, 1234.5)
    told = ["", "0", "< 0.000001", "0.000022", "0.2500", "1,234.50"]
    assert [price(amount) for amount in amounts] == told


def test_a_report_without_results_is_a_page() -> None:
    errors = {"full": {"error": "no", "kind": "failed"}}
    found = report(a_task("ab"), "macro_f1", {}, errors, how=CompareConfig())
    assert Read(page(found)).open == []


@pytest.mark.usefixtures("english")
def test_a_readout_beside_the_vectors_is_told() -> None:
    texts = Read(page(a_report())).texts
    (told,) = [text for text in texts if "linear readout" in text]
    assert told == (
        "soft prompt: 100.0% together with a linear readout of its contexts; the vectors alone "
        "91.0%, the readout alone 88.0%."
    )
    won = next(text for text in texts if text.startswith("best prompt:"))
    assert won.splitlines() == [
        "best prompt: learning rate 0.3, labels · direct · 8",
        "2 prompts kept together",
        "with a readout of the contexts",
    ]
    assert any(
        text.startswith("2 prompts, 1,500 steps; learning rates 0.1 · 0.3") for text in texts
    )


@pytest.mark.usefixtures("english")
def test_times_to_the_prompts_score_are_told() -> None:
    found = a_report()
    assert found["time_to_accuracy"] == {
        "score": 0.7,
        "seconds": {"soft_prompt": 150.0, "lora": None, "full": 90.0},
    }
    texts = Read(page(found)).texts
    assert {"2:30", "1:30", "–"} <= set(texts)
    assert any("first was 70.0%, the soft prompt's;" in text for text in texts)


@pytest.mark.usefixtures("english")
def test_free_text_is_not_marked_and_what_one_method_lacks_stands_empty() -> None:
    found = a_report()
    shown = page(found)
    assert 'class="right"' in shown and 'class="wrong"' in shown
    found["task"]["labels"] = []
    for method in found["methods"].values():
        del method["test"]["per_class"]
    found["methods"]["lora"]["test"]["term_precision"] = 0.625
    found["methods"]["full"]["test"]["term_precision"] = None
    shown = page(found)
    assert 'class="right"' not in shown and 'class="wrong"' not in shown
    assert "62.5%" in shown


@pytest.mark.usefixtures("english")
def test_differences_from_the_soft_prompt_stand_beside_each_class() -> None:
    found = a_report()
    found["methods"]["full"]["test"]["per_class"]["b"] = {"f1": 0.625, "n": 10}
    found["methods"]["lora"]["test"]["per_class"]["b"] = {"f1": 0.25, "n": 10}
    shown = classes(found)
    assert "<td>62.5% (+12.5)</td>" in shown and "<td>25.0% (-25.0)</td>" in shown
    assert "<td>50.0%</td>" in shown and "<td>50.0% (0.0)</td>" in shown
    del found["methods"]["soft_prompt"]
    assert "(" not in classes(found).partition("<tbody>")[2]


@pytest.mark.usefixtures("english")
def test_searches_are_told_as_they_were() -> None:
    found = a_report()
    search = {"rates": {"0.001": 0.5, "0.01": 0.9}, "trained": {"0.001": 0.7, "0.01": 0.6}}
    kept = {"rate": 0.001, "kept_rate": 0.01, "epoch": 2, "epochs": 2, "full_epochs": 12}
    found["methods"]["lora"]["details"] = {**kept, **search}
    # A domain of plain text is judged by nats per token.
    texts = {"rates": {"0.001": -3.4, "0.01": None}, "trained": {"0.001": -2.9}}
    about = {"rate": 0.001, "kept_rate": 0.001, "epoch": 7, "epochs": 12, "full_epochs": 12}
    full = found["methods"]["full"]
    full["space"] = {"model": full["space"], "prompt": {}}
    full["details"] = {"domain": {"about": "news"}, "model": {**about, **texts}}
    read = Read(page(found)).texts
    assert "learning rates 0.001; in full: 0.001 · 0.01, 12 passes" in read
    assert (
        "learning rate 0.01, pass 2 of 2\nsearch: 0.001: 50.0% · 0.01: 90.0%\n"
        + ("in full: 0.001: 70.0% · 0.01: 60.0%")
        in read
    )
    assert (
        "domain: news\nlearning rate 0.001, pass 7 of 12\nsearch: 0.001: -3.400 · 0.01: –\n"
        + ("in full: 0.001: -2.900")
        in read
    )
    told = at_edge(found)
    assert [line.split(":")[0] for line in told] == ["LoRA", "full fine-tuning"]
    assert "0.01, is the largest" in told[0] and "0.001, is the smallest" in told[1]
    locale.set_language("vi")
    read = Read(page(found)).texts
    assert "tốc độ học 0,001; huấn luyện đủ: 0,001 · 0,01 (12 lượt)" in read
    assert any("tìm kiếm: 0,001: 50,0% · 0,01: 90,0%" in text for text in read)
    assert "tốc độ học tốt nhất (0,01) là" in at_edge(found)[0]


def test_changes_of_the_loss_are_drawn_to_one_scale() -> None:
    forgetting = {"loss": {"untouched": 3.0, "attached": 2.5, "detached": 3.1}}
    drawn = bars({"methods": {"soft_prompt": {"forgetting": forgetting}}})
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([0-9.]+)"', drawn)]
    assert widths[0] == pytest.approx(5 * widths[1], rel=0.01)
    assert "currentColor" not in drawn
    # The interval has the same scale: as wide as it says, and around the bar's end.
    forgetting["loss"] |= {"attached": 3.4, "change_interval": [0.2, 0.7]}
    drawn = bars({"methods": {"soft_prompt": {"forgetting": forgetting}}})
    ends = re.search(r'<line x1="([0-9.]+)" x2="([0-9.]+)"[^>]*currentColor', drawn)
    width = re.search(r'<rect [^>]*width="([0-9.]+)"', drawn)
    assert ends is not None and width is not None
    low, high = map(float, ends.groups())
    assert (high - low) / float(width[1]) == pytest.approx(0.5 / 0.4, rel=0.01)
