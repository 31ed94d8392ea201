"""Any module as a backbone: the rules that prompts of language models keep to hold here too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from softprompt import Adapter, Predictor, SoftPrompt, run_vectors, tune_vectors
from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.errors import ArtifactError, BackboneError, DivergedError, UsageError
from softprompt.inference.run_vectors import vectors_before
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.training import Reporter

Sequences = list[list[int]]
FAST: dict[str, Any] = {"epochs": 4, "length": 3, "population": 2}


class Mean(Adapter):
    """A frozen GRU over symbols, its hidden states averaged over what is no padding."""

    def __init__(self, size: int = 8) -> None:
        torch.manual_seed(1)
        parts = {"embedding": nn.Embedding(10, size), "body": nn.GRU(size, size, batch_first=True)}
        super().__init__(nn.ModuleDict(parts), name="tiny GRU")

    def embed(self, inputs: Any) -> list[Tensor]:
        return [self.module["embedding"](torch.tensor(symbols)) for symbols in inputs]  # type: ignore[operator, index]

    def forward(self, vectors_RSD: Tensor, mask_RS: Tensor) -> Tensor:
        hidden, _ = self.module["body"](vectors_RSD)  # type: ignore[operator, index]
        return (hidden * mask_RS[..., None]).sum(1) / mask_RS.sum(1, keepdim=True)


def some(count: int = 40) -> tuple[Sequences, Tensor]:
    generator = torch.Generator().manual_seed(2)
    sizes = torch.randint(1, 9, (count,), generator=generator).tolist()
    symbols = [torch.randint(0, 10, (size,), generator=generator).tolist() for size in sizes]
    return symbols, torch.full((count, 8), 0.2)


@pytest.mark.parametrize("placement", ["front", "prefix", "suffix", "both"])
@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS.names())
def test_a_run_keeps_the_rules(tmp_path: Path, placement: str, parametrisation: str) -> None:
    adapter = Mean()
    before = module_fingerprint(adapter.module)
    inputs, targets = some()
    settings = {**FAST, "placement": placement, "parametrisation": parametrisation}
    result = tune_vectors(adapter, inputs, targets, tmp_path / "run", loss=mse_loss, **settings)
    assert result["loss"] < result["loss_without"]
    assert module_fingerprint(adapter.module) == before
    assert all(p.grad is None for p in adapter.module.parameters())

    # What the result says of the best vectors is what the artifact does.
    prompt = SoftPrompt.load(result["prompt"])
    assert (prompt.placement, prompt.parametrisation) == (placement, parametrisation)
    assert prompt.vectors.shape == (3, 8)
    again = tune_vectors(adapter, inputs, targets, tmp_path / "two", loss=mse_loss, **settings)
    assert again["loss"] == result["loss"], "the same seed gives the same vectors"

    # Batch = alone.
    with pytest.raises(UsageError, match="There are no inputs"):
        run_vectors(prompt, adapter, inputs[:0])
    together = run_vectors(prompt, adapter, inputs)
    alone = torch.cat([run_vectors(prompt, adapter, [each]) for each in inputs])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_vectors_stand_where_the_placement_says() -> None:
    adapter = Mean()
    row = adapter.embedded([[4, 5, 6]])[0]
    vectors = torch.randn(3, 8)
    own = {
        "front": torch.cat([vectors, row]),
        "suffix": torch.cat([row, vectors]),
        "both": torch.cat([vectors[:2], row, vectors[2:]]),
    }
    for placement, whole in own.items():
        put = adapter.run([row], [vectors], [vectors_before(placement, 3)])
        expected = adapter.forward(whole[None], torch.ones(1, len(whole), dtype=torch.bool))
        torch.testing.assert_close(put, expected)
    several = [vectors, torch.randn(1, 8)]
    rows = adapter.embedded([[1], [2, 3, 4, 5]])
    both = adapter.run(rows, several, [3, 0]).view(2, 2, -1)
    for b, k in ((b, k) for b in range(2) for k in range(2)):
        torch.testing.assert_close(both[b, k], adapter.run([rows[b]], [several[k]], [3 - 3 * k])[0])


def test_the_loss_of_a_run_is_that_of_its_validation_inputs(tmp_path: Path) -> None:
    adapter = Mean()
    inputs, targets = some()
    result = tune_vectors(
        adapter, inputs[:30], targets[:30], tmp_path / "run", loss=mse_loss,
        validation=(inputs[30:], targets[30:]), **FAST,
    )  # fmt: skip
    outputs = run_vectors(SoftPrompt.load(result["prompt"]), adapter, inputs[30:])
    assert float(mse_loss(outputs, targets[30:])) == pytest.approx(result["loss"], rel=1e-5)
    without = adapter.run(adapter.embedded(inputs[30:]))
    assert float(mse_loss(without, targets[30:])) == pytest.approx(result["loss_without"], rel=1e-5)


def test_a_warm_start_begins_where_the_other_ended(tmp_path: Path) -> None:
    adapter = Mean()
    inputs, targets = some()
    one = {**FAST, "population": 1}
    first = tune_vectors(adapter, inputs, targets, tmp_path / "a", loss=mse_loss, **one)
    one |= {"start": first["prompt"], "learning_rate": 1e-9}
    second = tune_vectors(adapter, inputs, targets, tmp_path / "b", loss=mse_loss, **one)
    before, after = (SoftPrompt.load(run["prompt"]).vectors for run in (first, second))
    torch.testing.assert_close(before, after)
    (candidate,) = second["population"]
    assert candidate["initialisation"] == "prompt"
    # As long as the other where no length is asked for.
    short = {**one, "length": None, "start": second["prompt"]}
    third = tune_vectors(adapter, inputs, targets, tmp_path / "c", loss=mse_loss, **short)
    assert SoftPrompt.load(third["prompt"]).length == len(after)


def test_few_inputs_give_as_many_vectors_as_asked_for(tmp_path: Path) -> None:
    linear = nn.Linear(4, 1)
    adapter = Adapter(linear, lambda x: x[:, None], lambda v, mask: linear(v.sum(1)))
    result = tune_vectors(
        adapter, torch.randn(2, 4), torch.zeros(2, 1), tmp_path / "run", loss=mse_loss,
        **{**FAST, "length": 9},
    )  # fmt: skip
    assert SoftPrompt.load(result["prompt"]).length == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "deep"}, "a module is taken as a whole"),
        ({"placement": "slots"}, "needs a template"),
        ({"initialisation": "labels"}, "needs text"),
        ({"initialisations": ("context",)}, "needs text"),
        ({"token_dropout": 0.1}, r"training.token_dropout does nothing"),
        ({"epoch": 3}, "Unknown setting 'epoch'"),
        ({"text": "hello"}, "prompt.text does nothing"),
        ({"start": "run", "initialisation": "random"}, "no candidate begins from it"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    inputs, targets = some()
    with pytest.raises(UsageError, match=message):
        tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=mse_loss, **settings)
    assert not (tmp_path / "run").exists()


def test_functions_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    inputs, targets = some()
    module = Mean().module
    flat = Adapter(module, lambda x: torch.zeros(len(x), 8))
    with pytest.raises(BackboneError, match=r"gives rows of shapes \[\[8\], \[8\], \[8\]\]"):
        tune_vectors(flat, inputs, targets, tmp_path / "run", loss=mse_loss)
    one = Adapter(module, Mean().embed, lambda vectors, mask: vectors.sum())
    with pytest.raises(BackboneError, match=r"an output for each row is needed"):
        tune_vectors(one, inputs, targets, tmp_path / "run", loss=mse_loss)
    long = Adapter(module, lambda x: torch.zeros(1, len(x), 8), Mean().forward)
    with pytest.raises(BackboneError, match=r"gives 1 rows for \d+ inputs\. Keep the inputs"):
        tune_vectors(long, inputs, targets, tmp_path / "run", loss=mse_loss)
    none = Adapter(module, lambda x: None, Mean().forward)
    with pytest.raises(BackboneError, match="a sequence of vectors"):
        tune_vectors(none, inputs, targets, tmp_path / "run", loss=mse_loss)
    with pytest.raises(BackboneError, match="takes a torch module; function is given"):
        Adapter(lambda x: x)
    empty = Adapter(module, lambda x: torch.zeros(len(x), 2, 8), Mean().forward)
    with pytest.raises(BackboneError, match="gives nothing but zeros"):
        tune_vectors(empty, inputs, targets, tmp_path / "run", loss=mse_loss)
    with pytest.raises(BackboneError, match=r"has no function `embed`\. Give Adapter"):
        tune_vectors(Adapter(module), inputs, targets, tmp_path / "run", loss=mse_loss)
    with pytest.raises(UsageError, match=r"\[8, 8\]; a tensor of one number"):
        tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=lambda x, y: (x - y).square())
    for loss, told in (
        (lambda x, y: 0.5, "type float; a tensor of one number"),
        (lambda x, y: mse_loss(x.detach(), y), "no gradient reaches them"),
    ):
        with pytest.raises(UsageError, match=told):
            tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=loss)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"training.learning_rates has 3 values, and 2 prompts"):
        many: Any = {"learning_rates": (0.1, 0.2, 0.3), "population": 2}
        tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=mse_loss, **many)
    with pytest.raises(UsageError, match="There are 40 inputs and 39 targets"):
        tune_vectors(Mean(), inputs, targets[:39], tmp_path / "run", loss=mse_loss)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "else.txt").write_text("mine")
    with pytest.raises(UsageError, match="already in use"):
        tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=mse_loss)


def test_a_module_alone_is_no_adapter(tmp_path: Path) -> None:
    inputs, targets = some()
    module: Any = Mean().module
    with pytest.raises(UsageError, match=r"ModuleDict is no adapter of a module\. Give Adapter\("):
        tune_vectors(module, inputs, targets, tmp_path / "run", loss=mse_loss, **FAST)


def test_targets_may_be_a_list_of_numbers_and_progress_is_told(tmp_path: Path) -> None:
    inputs, _targets = some()
    heard: list[tuple[int, int]] = []
    validated: list[float] = []
    closed: list[Any] = []

    class Heard(Reporter):
        def progress(self, done: int, total: int) -> None:
            heard.append((done, total))

        def record(self, record: Mapping[str, Any]) -> None:
            validated.append(record["best_score"])

        def close(self, result: Mapping[str, Any] | None) -> None:
            closed.append(result)

    def loss(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return cross_entropy(outputs[:, :2], wanted)

    labels = [n % 2 == 1 for n in range(len(inputs))]
    held = (inputs[:4], labels[:4])
    settings = {**FAST, "validation": held, "reporter": Heard()}
    result = tune_vectors(Mean(), inputs, labels, tmp_path / "run", loss=loss, **settings)
    steps = result["steps"]
    assert [done for done, _ in heard] == list(range(1, steps + 1))
    assert {total for _, total in heard} == {steps}
    assert validated == sorted(validated)
    assert -validated[-1] == pytest.approx(result["loss"])
    assert closed == [result]


class Column:
    """What a table gives for a column: rows have names, not places."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def to_numpy(self) -> Any:
        return self.values


FORMS = (np.asarray, list, Column, lambda x: x.astype(object), lambda x: [bool(n) for n in x])


@pytest.mark.parametrize("form", FORMS)
def test_arrays_and_columns_are_inputs_and_targets_too(tmp_path: Path, form: Any) -> None:
    inputs = np.arange(40).reshape(20, 2) % 10
    labels = np.arange(20) % 2
    seen: list[type] = []

    class Watched(Mean):
        def embed(self, inputs: Any) -> list[Tensor]:
            seen.append(type(inputs))
            return super().embed(inputs)

    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        assert wanted.dtype == torch.int64
        return cross_entropy(outputs[:, :2], wanted)

    found = tune_vectors(Watched(), inputs, form(labels), tmp_path / "run", loss=loss, **FAST)
    alike = tune_vectors(
        Mean(), inputs.tolist(), torch.as_tensor(labels), tmp_path / "lists", loss=loss, **FAST
    )
    assert found["loss"] == alike["loss"]
    assert set(seen) == {np.ndarray}


@pytest.mark.parametrize("form", [list, np.asarray, lambda x: Column(np.asarray(x, object))])
def test_one_embed_serves_training_and_use(tmp_path: Path, form: Any) -> None:
    words = ["12", "345", "678", "90"] * 4
    seen: list[Any] = []

    class Written(Mean):
        def embed(self, inputs: Any) -> list[Tensor]:
            seen.append(inputs)
            return super().embed([[int(symbol) for symbol in word] for word in inputs])

    targets = torch.full((len(words), 8), 0.2)
    found = tune_vectors(Written(), form(words), targets, tmp_path / "run", loss=mse_loss, **FAST)
    run_vectors(SoftPrompt.load(found["prompt"]), Written(), form(words))
    assert all(type(inputs) is list and isinstance(inputs[0], str) for inputs in seen)


def test_values_that_are_given_are_tried(tmp_path: Path) -> None:
    inputs, targets = some()
    rates = (0.01, 0.02, 0.03, 0.05, 0.1)
    settings: Any = {"epochs": 1, "length": 2, "learning_rates": rates}
    found = tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=mse_loss, **settings)
    assert {one["learning_rate"] for one in found["population"]} == set(rates)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    inputs, targets = some()
    closed: list[Any] = []

    class Heard(Reporter):
        def close(self, result: Mapping[str, Any] | None) -> None:
            closed.append(result)

    settings = {**FAST, "reporter": Heard()}
    with pytest.raises(DivergedError, match="No candidate has a finite loss"):
        tune_vectors(
            Mean(), inputs, targets, tmp_path / "run", loss=lambda x, y: x.sum() / 0, **settings
        )
    assert closed == [None]


def test_another_module_refuses_the_prompt(tmp_path: Path) -> None:
    inputs, targets = some()
    result = tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=mse_loss, **FAST)
    prompt, other = SoftPrompt.load(result["prompt"]), Mean()
    with torch.no_grad():
        next(other.module.parameters())[0] += 1
    other = Adapter(other.module, other.embed, other.forward, "another")
    with pytest.raises(ArtifactError, match=r"belongs to tiny GRU .* given is another"):
        run_vectors(prompt, other, inputs)
    with pytest.raises(ArtifactError, match=r"belongs to tiny GRU .* given is another"):
        settings = {**FAST, "start": result["prompt"], "output": tmp_path / "again"}
        tune_vectors(other, inputs, targets, loss=mse_loss, **settings)
    assert not (tmp_path / "again").exists()


def test_inputs_run_in_batches_give_the_same(tmp_path: Path) -> None:
    inputs, targets = some()
    result = tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=mse_loss, **FAST)
    prompt, adapter = SoftPrompt.load(result["prompt"]), Mean()
    seen: list[int] = []

    def embed(given: Any) -> Any:
        seen.append(len(given))
        return Mean().embed(given)

    counting = Adapter(adapter.module, embed, adapter.forward, "tiny GRU")
    batched = run_vectors(prompt, counting, inputs, batch_size=16)
    assert seen == [16, 16, 8]
    with pytest.raises(UsageError, match="batch_size cannot be 0"):
        run_vectors(prompt, counting, inputs, batch_size=0)
    torch.testing.assert_close(batched, run_vectors(prompt, adapter, inputs))


def test_series_of_single_numbers_have_a_network_that_emits_too(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)
    rows = [[float(n), float(n % 3)] for n in range(12)]
    adapter = Adapter(
        module,
        lambda x: torch.tensor(x)[..., None],
        lambda vectors, mask: module(vectors).mean(1).expand(-1, 2),
    )
    settings = {**FAST, "parametrisation": "encoder_lstm"}
    result = tune_vectors(adapter, rows, rows, tmp_path / "run", loss=mse_loss, **settings)
    assert result["loss"] >= 0


def test_the_card_says_how_it_is_used_and_texts_are_refused(tmp_path: Path) -> None:
    inputs, targets = some()
    result = tune_vectors(Mean(), inputs, targets, tmp_path / "run", loss=mse_loss, **FAST)
    card = (Path(result["prompt"]) / "README.md").read_text(encoding="utf-8")
    assert "run_vectors(prompt, adapter, inputs)" in card
    assert "tiny GRU" in card
    with pytest.raises(UsageError, match="stands among the vectors of a module"):
        Predictor(SoftPrompt.load(result["prompt"]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targets": None}, "NoneType, which has no length"),
        ({"inputs": torch.tensor(1.0)}, "Tensor, which has no length"),
        ({"loss": "ce"}, "loss is no function: 'ce'"),
        ({"validation": torch.zeros(4, 2)}, "Tensor; inputs and their targets are needed"),
    ],
)
def test_what_is_no_input_target_or_loss_is_told(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    inputs, targets = some()
    told = {"inputs": inputs, "targets": targets, "loss": mse_loss, **given}
    with pytest.raises(UsageError, match=message):
        tune_vectors(Mean(), output=tmp_path / "run", **told)
    assert not (tmp_path / "run").exists()


def test_a_module_is_run_by_an_adapter_and_a_prompt_or_its_folder(tmp_path: Path) -> None:
    inputs, targets = some()
    adapter = Mean()
    result = tune_vectors(adapter, inputs, targets, tmp_path / "run", loss=mse_loss, **FAST)
    prompt = SoftPrompt.load(result["prompt"])
    one, other = (run_vectors(given, adapter, inputs) for given in (prompt, result["prompt"]))
    assert torch.equal(one, other)
    with pytest.raises(UsageError, match="is no adapter of a module"):
        run_vectors(prompt, adapter.module, inputs)
