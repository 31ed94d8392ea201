"""A readout of contexts: what it reads, how it is fitted, and that every way of use agrees."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tiny import feedback_task, tiny_backbone

from softprompt import SoftPrompt, evaluate, predict, tune
from softprompt.errors import UsageError
from softprompt.inference import Contexts, Encoded
from softprompt.prompts import PromptConfig
from softprompt.prompts.readout import Readout, numbers_read, read_values
from softprompt.training import Reporter, TrainingConfig
from softprompt.training.readout import fit_readout
from softprompt.training.setup import Setup

READOUT = importlib.import_module("softprompt.training.readout")
FAST: dict[str, Any] = {"epochs": 1, "batch_size": 8, "length": 4, "population": 2}


def setup_of(folder: Path, **training: Any) -> Setup:
    task = feedback_task(folder)
    return Setup.of(task, tiny_backbone(), PromptConfig(length=4), TrainingConfig(**training))


def read(folder: Path) -> tuple[Setup, Encoded, Encoded, tuple[Contexts, Contexts]]:
    """A run's training and validation rows, and the contexts of both."""
    setup = setup_of(folder, readout="on")
    train, validation = (
        setup.encode(rows, "choices") for rows in (setup.task.train, setup.task.validation)
    )
    first, second = (
        Contexts(setup.backbone, part.examples, 1 << 28) for part in (train, validation)
    )
    return setup, train, validation, (first, second)


def test_what_is_read_is_mean_and_deviation_of_the_values_without_the_opening_token() -> None:
    backbone = tiny_backbone()
    rows = [[backbone.bos or 0, 5, 6, 7, 8], [backbone.bos or 0, 9]]
    context = backbone.encode_context(rows)
    found = read_values(backbone, context)
    for b, row in enumerate(rows):
        values = [v[b, :, 1 : len(row)] for v in context.values]
        means = [v.mean(1).flatten() for v in values]
        deviations = [v.std(1, correction=0).flatten() for v in values]
        torch.testing.assert_close(found[b], torch.cat([*means, *deviations]))


def test_padding_and_neighbours_change_nothing() -> None:
    backbone = tiny_backbone()
    rows = [[1, 5, 6, 7, 8, 9, 4, 3], [1, 9, 5], [1]]
    together = read_values(backbone, backbone.encode_context(rows))
    for b, row in enumerate(rows):
        alone = read_values(backbone, backbone.encode_context([row]))
        torch.testing.assert_close(together[b], alone[0], rtol=1e-5, atol=1e-6)
    assert together.isfinite().all()


def test_of_many_layers_evenly_spaced_ones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    heads, size = backbone.key_shapes[-1]
    monkeypatch.setattr("softprompt.prompts.readout.MOST_NUMBERS", heads * size)
    context = backbone.encode_context([[1, 5, 6]])
    found = read_values(backbone, context)
    last = context.values[-1][0, :, 1:3]
    read = torch.cat([last.mean(1).flatten(), last.std(1, correction=0).flatten()])
    torch.testing.assert_close(found[0], read)


def test_a_readout_of_an_older_format_reads_the_means_alone() -> None:
    backbone = tiny_backbone()
    half = numbers_read(backbone) // 2
    older = Readout(torch.randn(2, half), torch.zeros(2))
    context = backbone.encode_context([[1, 5, 6, 7]])
    means = torch.cat([v[0, :, 1:4].mean(1).flatten() for v in context.values])
    torch.testing.assert_close(older.logits(backbone, context)[0], older.weight_CF @ means)


def test_it_is_the_logistic_regression_of_a_library(tmp_path: Path) -> None:
    setup, train, validation, contexts = read(tmp_path)
    fitted = fit_readout(setup, train, validation, contexts, Reporter())
    assert fitted is not None
    values = [
        read_values(setup.backbone, setup.backbone.encode_context([e.context for e in x.examples]))
        for x in (train, validation)
    ]
    mean, size = values[0].mean(0), values[0].std(0, correction=0)
    size[size == 0] = 1
    gold = [setup.task.labels.index(str(row.answer)) for row in train.rows]
    given = fitted.validation_NC.argmax(1)
    # The library has one row of weights for two labels, where here each label has its own.
    assert len(setup.task.labels) == 2
    library = [
        LogisticRegression(C=2 * penalty, max_iter=300)
        .fit(((values[0] - mean) / size).double().numpy(), gold)
        .predict(((values[1] - mean) / size).double().numpy())
        for penalty in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    ]
    assert any((given == each).all() for each in library)
    # What it says of the validation rows is what it says of them at work.
    for number, rows in enumerate(contexts[1].buckets):
        at_work = fitted.readout.logits(setup.backbone, contexts[1].bucket(number)).numpy()
        np.testing.assert_allclose(at_work, fitted.validation_NC[rows], rtol=1e-3, atol=1e-3)


def test_of_very_many_rows_some_are_learned_from_and_all_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, train, validation, contexts = read(tmp_path)
    count = len(validation.rows) - 1
    limit = count * READOUT.numbers_read(setup.backbone)
    monkeypatch.setattr(READOUT, "MOST_NUMBERS", limit)
    learned = []
    path = READOUT._path

    def noted(values_NF: Any, gold_N: Any, choices: int) -> Iterator[Any]:
        learned.append(len(values_NF))
        return path(values_NF, gold_N, choices)

    monkeypatch.setattr(READOUT, "_path", noted)
    fitted = fit_readout(setup, train, validation, contexts, Reporter())
    assert fitted is not None
    assert learned == [count]
    assert len(fitted.validation_NC) == len(validation.rows)


def test_few_of_many_rows_have_the_labels_of_all() -> None:
    gold = np.array([0] * 900 + [1] * 90 + [2] * 10)
    places = READOUT.drawn(gold, 100, seed=3)
    assert np.bincount(gold[places]).tolist() == [90, 9, 1]
    assert (np.diff(places) > 0).all()
    assert places != READOUT.drawn(gold, 100, seed=4)
    assert READOUT.drawn(gold, 5000, seed=3) == list(range(1000))
    assert set(gold[READOUT.drawn(gold, 3, seed=0)]) == {0, 1, 2}


def test_a_label_that_was_never_seen_is_never_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, train, validation, contexts = read(tmp_path)
    more = replace(
        setup.task, choices=(*setup.task.choices, replace(setup.task.choices[0], label="other"))
    )
    monkeypatch.setattr(READOUT, "fit_temperature", lambda scores, gold: 20.0)
    fitted = fit_readout(replace(setup, task=more), train, validation, contexts, Reporter())
    assert fitted is not None
    place = more.labels.index("other")
    others = np.delete(fitted.validation_NC, place, axis=1)
    assert (fitted.validation_NC[:, place] < others.max(1) - 20).all()


def test_weaker_penalties_are_left_once_one_is_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = feedback_task(tmp_path)
    # Answers that have nothing to do with the texts: the less is read of them, the better.
    answers = [row.answer for row in task.train]
    Random(0).shuffle(answers)
    rows = [replace(row, answer=a) for row, a in zip(task.train, answers, strict=True)]
    setup = Setup.of(
        replace(task, train=rows), tiny_backbone(), PromptConfig(length=4), TrainingConfig()
    )
    train, validation = (
        setup.encode(rows, "choices") for rows in (setup.task.train, setup.task.validation)
    )
    contexts = [Contexts(setup.backbone, part.examples, 1 << 28) for part in (train, validation)]
    tried = []
    path = READOUT._path

    def noted(*given: Any) -> Iterator[Any]:
        for found in path(*given):
            tried.append(found)
            yield found

    monkeypatch.setattr(READOUT, "_path", noted)
    fitted = fit_readout(setup, train, validation, contexts, Reporter())
    assert fitted is not None
    assert len(tried) == 2
    # The first one is kept: divided by the numbers' sizes and the temperature, and no more.
    sizes = (torch.as_tensor(tried[0][0]) / fitted.readout.weight_CF)[0]
    torch.testing.assert_close(
        fitted.readout.weight_CF.double() * sizes,
        torch.as_tensor(tried[0][0]),
        rtol=1e-4,
        atol=1e-7,
    )


def test_a_run_keeps_it_saves_it_and_answers_with_it(tmp_path: Path) -> None:
    result = tune(feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", readout="on", **FAST)
    prompt = SoftPrompt.load(result["prompt"])
    readout = prompt.readout
    assert readout is not None
    assert result["readout"]["kept"]
    assert result["trainable_parameters"] == prompt.parameters
    alone = replace(prompt, tensors={n: t for n, t in prompt.tensors.items() if "readout" not in n})
    backbone = tiny_backbone()
    texts = ["great coffee", "tệ quá", "the parcel was late again"]
    for text, both, only in zip(
        texts, predict(prompt, texts, backbone), predict(alone, texts, backbone), strict=True
    ):
        layout = prompt.layout(backbone)
        from softprompt.inference import encode_rows, task_of, text_row

        task = task_of(prompt.task)
        encoded = encode_rows(task, [text_row(prompt.task, text)], layout, answers="choices")
        context = backbone.encode_context([encoded.examples[0].context])
        mine = readout.logits(backbone, context).softmax(-1)[0]
        for place, label in enumerate(prompt.task.labels):
            mean = (only.probabilities[label] + float(mine[place])) / 2
            assert both.probabilities[label] == pytest.approx(mean, abs=1e-5)
    # The test rows were measured with it, and without it beside.
    data = tmp_path / "feedback.jsonl"
    assert evaluate(prompt, data, backbone)["n"] > 0
    assert result["readout"]["test_without"]["n"] == result["test"]["n"]


def test_other_words_around_the_text_leave_it_out(tmp_path: Path) -> None:
    result = tune(feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", readout="on", **FAST)
    prompt = SoftPrompt.load(result["prompt"])
    assert prompt.with_template("Say: {text}! {answer}").readout is None


def test_it_is_left_out_where_validation_rows_gain_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = Readout(torch.zeros(2, 64), torch.tensor([50.0, -50.0]))

    def fitted(setup: Setup, train: Any, validation: Any, contexts: Any, reporter: Any) -> Any:
        from softprompt.training.readout import Fitted

        wrong = [[0.0, 50.0][:: 1 if str(r.answer) == setup.task.labels[0] else -1]
                 for r in validation.rows]  # fmt: skip
        return Fitted(worse, np.array(wrong), 0.0)

    monkeypatch.setattr("softprompt.training.tuning.fit_readout", fitted)
    result = tune(
        feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", readout="auto", **FAST
    )
    assert result["readout"]["kept"] is False
    assert SoftPrompt.load(result["prompt"]).readout is None


@pytest.mark.parametrize(
    ("prompt", "message"),
    [({"placement": "prefix"}, "--placement suffix"), ({"placement": "front"}, "suffix")],
)
def test_where_it_cannot_be_it_is_refused_or_left_out(
    tmp_path: Path, prompt: dict[str, Any], message: str
) -> None:
    task = feedback_task(tmp_path)
    with pytest.raises(UsageError, match=message):
        Setup.of(task, tiny_backbone(), PromptConfig(**prompt), TrainingConfig(readout="on"))
    setup = Setup.of(task, tiny_backbone(), PromptConfig(**prompt), TrainingConfig(readout="auto"))
    assert setup.readout_obstacle is not None
