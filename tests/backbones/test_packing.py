"""Packed contexts: small, close to the exact ones, and what continues them sees the difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_backbone

from softprompt import tune
from softprompt.backbones import Context, Precision, pack, unpack
from softprompt.inference import Contexts
from softprompt.inference.context_store import ContextStore
from softprompt.prompts import Example
from softprompt.training.run_directory import RunDirectory

ROWS = [[3, 4, 5, 6], [7, 8]]


@pytest.fixture
def context() -> Context:
    return tiny_backbone().encode_context(ROWS)


@pytest.mark.parametrize(("precision", "error"), [("full", 0.0), ("half", 2**-8), ("eight", None)])
def test_an_unpacked_context_is_close(
    context: Context, precision: Precision, error: float | None
) -> None:
    found = unpack(pack(context, precision), torch.float32)
    assert torch.equal(found.lengths_B, context.lengths_B)
    for x, y in zip((*context.keys, *context.values), (*found.keys, *found.values), strict=True):
        assert y.dtype == torch.float32
        if error is not None:
            assert ((x - y).abs() <= error * x.abs()).all()
        else:
            # Half a step of 127 to the largest number of each vector.
            assert ((x - y).abs() <= 0.501 * x.abs().amax(-1, keepdim=True) / 127).all()
    assert precision == "full" or not torch.equal(found.keys[0], context.keys[0])


def test_sizes(context: Context) -> None:
    # Vectors of 8 numbers: fp32 takes 32 bytes, bf16 16, whole numbers 8 and 4 for the scale.
    assert pack(context, "half").bytes * 2 == context.bytes
    assert pack(context, "eight").bytes * 32 == context.bytes * 12
    half = context.each(lambda x: x.to(torch.bfloat16))
    assert pack(half, "half") is half


def test_rows_are_selected_before_they_are_unpacked(context: Context) -> None:
    packed = pack(context, "eight")
    first = unpack(packed.select([1]), torch.float32)
    whole = unpack(packed, torch.float32)
    assert first.width == 2
    assert torch.equal(first.values[1], whole.values[1][1:, :, :2])
    assert torch.equal(packed.repeated(2).key_scales[0][1], packed.key_scales[0][0])


@pytest.mark.parametrize("precision", ["half", "eight"])
def test_kept_stored_and_computed_again_are_the_same(tmp_path: Path, precision: Precision) -> None:
    backbone = tiny_backbone()
    examples = [Example(tuple(row), (-1,), ((9,),)) for row in ROWS]

    def found(budget: int, store: ContextStore | None = None) -> Context:
        contexts = Contexts(backbone, examples, budget, store=store, precision=precision)
        contexts.fill(store_all=store is not None)
        return contexts.select(0, [1, 0])

    wanted = found(0)
    others = [found(1 << 20)]
    others += [found(1, ContextStore(backbone, tmp_path, precision)) for _ in range(2)]
    for other in others:
        for x, y in zip((*wanted.keys, *wanted.values), (*other.keys, *other.values), strict=True):
            assert torch.equal(x, y)
    again = ContextStore(backbone, tmp_path, precision)
    assert again.holds(ROWS)
    assert not ContextStore(backbone, tmp_path).holds(ROWS)
    one_by_one = again.get([ROWS[0]])
    assert one_by_one is not None
    assert torch.equal(unpack(one_by_one, torch.float32).keys[0], wanted.keys[0][:1])


def test_the_result_says_by_how_much_the_loss_changes(tmp_path: Path) -> None:
    task = feedback_task(tmp_path)

    def run(precision: str) -> dict[str, Any]:
        settings: dict[str, Any] = {"epochs": 1, "population": 1, "baselines": ()}
        return tune(
            task, tiny_backbone(), tmp_path / precision, cache_precision=precision, **settings
        )

    half, eight = (run(precision)["cache_loss_change"] for precision in ("half", "eight"))
    assert 0 < half < 0.01
    assert 0 < eight < 0.05
    plan = RunDirectory(tmp_path / "eight").read("plan.json")
    assert plan is not None
    assert plan["cache_loss_change"] == eight
    assert "cache_loss_change" not in run("full")
