"""The shape of a metric, its errors and its slices."""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from softprompt.errors import DataError, UsageError
from softprompt.evaluation import (
    default_metric,
    score_classification,
    score_generation,
    score_rows,
    score_slices,
    value,
)
from softprompt.evaluation.metrics import METRICS, Answered, Metric

LABELS = ["neg", "neu", "pos"]


def numbers(metric: Any) -> list[float]:
    """Every number of a nested metric."""
    if isinstance(metric, Mapping):
        return [x for part in metric.values() for x in numbers(part)]
    if isinstance(metric, list):
        return [x for part in metric for x in numbers(part)]
    return [metric] if isinstance(metric, (int, float)) else []


def test_classification_has_the_documented_entries() -> None:
    chances = np.array([[0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]])
    metric = score_classification(["neg", "neu", "pos"], ["neg", "pos", "pos"], LABELS, chances)
    assert set(metric) == {
        "n",
        "accuracy",
        "interval",
        "macro_f1",
        "macro_f1_interval",
        "per_class",
        "confusion",
        "ece",
    }
    assert metric["n"] == 3
    assert set(metric["per_class"]) == set(LABELS)
    assert set(metric["per_class"]["neg"]) == {"precision", "recall", "f1", "n"}


def test_generation_has_the_documented_entries() -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    metric = score_generation(["một hai"], ["một ba"])
    assert set(metric) == {
        "n",
        "exact_match",
        "interval",
        "token_f1",
        "token_f1_interval",
        "chrf",
        "chrf_interval",
        "rouge1",
        "rouge1_interval",
        "rougeL",
        "rougeL_interval",
    }


def test_metrics_are_plain_json_and_fractions() -> None:
    labels = score_classification(["pos"] * 5, ["pos"] * 4 + ["neg"], LABELS)
    texts = score_generation(["một hai ba bốn"] * 5, ["một hai ba bốn"] * 5)
    assert json.loads(json.dumps([labels, texts], allow_nan=False)) == [labels, texts]
    shares = {k: v for k, v in labels.items() if k not in ("n", "confusion", "per_class")}
    assert all(0 <= x <= 1 for x in numbers(shares))
    assert all(0 <= x <= 1 for x in numbers({k: v for k, v in texts.items() if k != "n"}))


@pytest.mark.parametrize("score", [score_generation, lambda a, b: score_classification(a, b, [])])
def test_no_rows_is_an_error(score: Any) -> None:
    with pytest.raises(DataError, match="no rows to score"):
        score([], [])


@pytest.mark.parametrize(
    "score", [score_generation, lambda a, b: score_classification(a, b, LABELS)]
)
def test_a_prediction_too_few_is_an_error(score: Any) -> None:
    with pytest.raises(DataError, match="2 references came with 1 predictions"):
        score(["pos", "neg"], ["pos"])


@pytest.mark.parametrize("pair", [("positive", "pos"), ("pos", "positive")])
def test_an_unknown_label_is_an_error_that_names_the_nearest(pair: tuple[str, str]) -> None:
    with pytest.raises(DataError, match="Unknown label 'positive'") as caught:
        score_classification([pair[0]], [pair[1]], LABELS)
    assert "Did you mean 'pos'?" in caught.value.hint


def test_a_row_by_itself_is_scored_by_its_own_metric_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    references, given = ["a b c", "d e"], ["a b", "d e"]
    whole = [score_generation([a], [b]) for a, b in zip(references, given, strict=True)]
    for name in ("token_f1", "chrf", "rougeL", "exact_match"):
        with monkeypatch.context() as patch:
            for other in METRICS:
                metric = METRICS.get(other)
                if name not in metric.selects:
                    patch.setitem(METRICS._choices, other, replace(metric, compute=pytest.fail))
            rows = score_rows(references, given, name)
        assert rows == [metric[name] for metric in whole]
    with pytest.raises(UsageError, match="cannot be chosen by"):
        score_rows(references, given, "accuracy")


def test_slices_score_the_rows_of_each_value() -> None:
    references = ["pos", "neg", "pos", "neg"]
    predictions = ["pos", "pos", "pos", "neg"]

    def score(places: Sequence[int]) -> dict[str, Any]:
        return score_classification(
            [references[i] for i in places], [predictions[i] for i in places], LABELS
        )

    slices = score_slices(["wifi", "food", "wifi", "food"], score)
    assert list(slices) == ["food", "wifi"]
    assert (slices["food"]["n"], slices["food"]["accuracy"]) == (2, 0.5)
    assert (slices["wifi"]["n"], slices["wifi"]["accuracy"]) == (2, 1.0)


def test_value_reads_what_a_prompt_may_be_chosen_by() -> None:
    metric = score_classification(["pos", "neg"], ["pos", "pos"], LABELS)
    assert value(metric, "accuracy") == 0.5
    assert value(metric, "macro_f1") == metric["macro_f1"]


@pytest.mark.parametrize(("name", "close"), [("macrof1", "macro_f1"), ("acuracy", "accuracy")])
def test_value_names_the_nearest(name: str, close: str) -> None:
    metric = score_classification(["pos", "neg"], ["pos", "pos"], LABELS)
    with pytest.raises(UsageError, match=name) as caught:
        value(metric, name)
    assert f"Did you mean {close!r}?" in caught.value.hint


@pytest.mark.parametrize("name", ["ece", "n", "interval", "rouge1"])
def test_value_refuses_entries_that_do_not_rank(name: str) -> None:
    metric = score_classification(["pos", "neg"], ["pos", "pos"], LABELS)
    with pytest.raises(UsageError, match="cannot be chosen by"):
        value(metric, name)


def test_the_default_needs_no_optional_library(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "sacrebleu", "rouge_score")
    assert value(score_generation(["a b"], ["a c"]), default_metric("generation")) == 0.5
    metric = score_classification(["pos", "neg"], ["pos", "pos"], LABELS)
    assert math.isfinite(value(metric, default_metric("classification")))


def test_a_missing_library_leaves_its_metric_out_and_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "sacrebleu", "rouge_score")
    metric = score_generation(["một hai"], ["một hai"])
    assert "chrf" not in metric
    assert "rouge1" not in metric
    assert metric["exact_match"] == 1.0
    assert metric["skipped"] == {
        "chrf": "pip install 'softprompt[generation]'",
        "rouge": "pip install 'softprompt[generation]'",
    }


def test_value_says_how_to_get_a_metric_that_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "sacrebleu", "rouge_score")
    with pytest.raises(UsageError, match="'rougeL' needs a library") as caught:
        value(score_generation(["một hai"], ["một hai"]), "rougeL")
    assert caught.value.hint == "pip install 'softprompt[generation]'"


def test_chrf_has_an_interval_of_sets_drawn_from_its_rows() -> None:
    pytest.importorskip("sacrebleu")
    references = [f"bạn đến từ nhà số {n}" for n in range(60)]
    answers = [text if n % 2 else "khác hẳn" for n, text in enumerate(references)]
    found = score_generation(references, answers)
    low, high = found["chrf_interval"]
    assert low < found["chrf"] < high
    assert 0.05 < high - low < 0.4
    low, high = score_generation(references, references)["chrf_interval"]
    assert 0.5 < low < high == 1.0


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "chrf", "rouge1", "rougeL"])
def test_value_reads_every_score_of_free_text(name: str) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    assert value(score_generation(["một hai ba"], ["một hai ba"]), name) == pytest.approx(1.0)


def test_a_missing_library_that_is_no_extra_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(answered: Answered) -> dict[str, Any]:
        raise ImportError("scipy")

    monkeypatch.setitem(METRICS._choices, "accuracy", Metric("classification", broken))
    with pytest.raises(ImportError, match="scipy"):
        score_classification(["pos"], ["pos"], LABELS)


def test_every_metric_serves_one_kind_of_task() -> None:
    kinds = {name: METRICS.get(name).kind for name in METRICS}
    assert set(kinds.values()) == {"classification", "generation"}
    assert kinds["accuracy"] == "classification"
    assert kinds["rouge"] == "generation"


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Makes packages look as if they were not installed."""
    real = builtins.__import__

    def fake(name: str, *args: Any, **settings: Any) -> Any:
        if name.partition(".")[0] in packages:
            raise ImportError(name)
        return real(name, *args, **settings)

    monkeypatch.setattr(builtins, "__import__", fake)
