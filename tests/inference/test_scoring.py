"""Scores of choices against a plain forward pass, one answer at a time."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_backbone

from softprompt.backbones import Backbone
from softprompt.inference.contexts import Contexts
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Example, Layout
from softprompt.tasks import Rendered, Slot

TEXTS = ["great coffee", "the parcel was late and the box was broken", "phục vụ quá chậm", "ok"]
ANSWERS = ("positive", "negative and late", "ok")


def examples(backbone: Backbone, placement: str | None, length: int = 3) -> list[Example]:
    layout = Layout(backbone, placement, length)
    parts = [
        Rendered(
            (Slot(2), f"{t}\nSentiment:", Slot(1))
            if placement == "slots"
            else (f"{t}\nSentiment:",),
            " ",
        )
        for t in TEXTS
    ]
    return [layout.example(part, ANSWERS) for part in parts]


def oracle(backbone: Backbone, example: Example, vectors: torch.Tensor, answer: int) -> float:
    """The whole sequence in one uncached pass, log-probabilities of the answer summed."""
    ids = [*example.context, *example.trunk]
    embeds = torch.stack(
        [vectors[-1 - i] if i < 0 else backbone.embed(torch.tensor(i)) for i in ids]
    )
    wanted = example.answers[answer]
    tail = backbone.embed(torch.tensor(wanted))
    logits = backbone.model(inputs_embeds=torch.cat([embeds, tail])[None]).logits[0]
    log = logits[len(ids) - 1 : -1].log_softmax(-1)
    return float(log.gather(1, torch.tensor(wanted)[:, None]).sum())


def test_scores_equal_the_plain_forward_pass(any_backbone: Backbone) -> None:
    vectors = torch.randn(3, any_backbone.hidden_size, generator=torch.Generator().manual_seed(1))
    for placement in ("suffix", "prefix", "front", "both", "slots", None):
        rows = examples(any_backbone, placement)
        given = [] if placement is None else [vectors]
        scores = score_answers(any_backbone, rows, given)[0]
        for row, example in enumerate(rows):
            for answer in range(len(ANSWERS)):
                want = oracle(any_backbone, example, vectors, answer)
                assert abs(scores[row, answer] - want) < 2e-3, (placement, row, answer)


def test_gradients_equal_the_uncached_ones_within_1e_4(any_backbone: Backbone) -> None:
    for placement in ("suffix", "prefix", "front", "both", "slots"):
        rows = examples(any_backbone, placement)
        start = torch.randn(3, any_backbone.hidden_size, generator=torch.Generator().manual_seed(1))
        ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
        context = any_backbone.encode_context([row.context for row in rows])
        what = Continuation.of(rows, torch.device("cpu"), [3])
        scores = log_scores(any_backbone, context, what, [ours])
        scores.sum().backward()
        total = torch.zeros(())
        for example in rows:
            for wanted in example.answers:
                ids = [*example.context, *example.trunk]
                embeds = torch.stack(
                    [theirs[-1 - i] if i < 0 else any_backbone.embed(torch.tensor(i)) for i in ids]
                )
                tail = any_backbone.embed(torch.tensor(wanted))
                logits = any_backbone.model(inputs_embeds=torch.cat([embeds, tail])[None]).logits
                log = logits[0, len(ids) - 1 : -1].log_softmax(-1)
                total = total + log.gather(1, torch.tensor(wanted)[:, None]).sum()
        total.backward()
        assert ours.grad is not None
        assert theirs.grad is not None
        assert abs(float((scores.sum() - total).detach() / total.detach())) < 1e-5, placement
        assert float((ours.grad - theirs.grad).norm() / theirs.grad.norm()) < 1e-4, placement


def test_prompts_together_score_as_alone(any_backbone: Backbone) -> None:
    generator = torch.Generator().manual_seed(4)
    prompts = [torch.randn(n, any_backbone.hidden_size, generator=generator) for n in (3, 1, 2)]
    for placement in ("suffix", "prefix", "front"):
        rows = examples(any_backbone, placement)
        together = score_answers(any_backbone, rows, prompts)
        assert together.shape == (3, len(rows), len(ANSWERS))
        for number, vectors in enumerate(prompts):
            own = [row.with_vectors(len(vectors)) for row in rows]
            for row, example in enumerate(own):
                for answer in range(len(ANSWERS)):
                    want = oracle(any_backbone, example, vectors, answer)
                    assert abs(together[number, row, answer] - want) < 2e-3, (placement, number)


def test_gradients_of_prompts_together_are_those_of_each_alone(any_backbone: Backbone) -> None:
    for placement in ("suffix", "prefix", "front", "both", "slots"):
        rows = examples(any_backbone, placement)
        generator = torch.Generator().manual_seed(5)
        start = torch.randn(4, 3, any_backbone.hidden_size, generator=generator)
        context = any_backbone.encode_context([row.context for row in rows])
        together = [vectors.clone().requires_grad_() for vectors in start]
        what = Continuation.of(rows, torch.device("cpu"), [3] * 4)
        scores = log_scores(any_backbone, context, what, together).view(len(rows), 4, -1)
        scores.sum().backward()
        for number, vectors in enumerate(start):
            alone = vectors.clone().requires_grad_()
            what = Continuation.of(rows, torch.device("cpu"), [3])
            own = log_scores(any_backbone, context, what, [alone]).sum()
            own.backward()
            assert abs(float((scores[:, number].sum() - own).detach() / own.detach())) < 1e-5, (
                placement
            )
            gradient = together[number].grad
            assert gradient is not None
            assert alone.grad is not None
            difference = (gradient - alone.grad).norm() / alone.grad.norm()
            assert float(difference) < 1e-4, (placement, number)


@pytest.mark.parametrize("placement", ["suffix", "prefix"])
def test_every_way_through_the_layers_gives_the_same(
    any_backbone: Backbone, placement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = examples(any_backbone, placement)
    start = list(torch.randn(2, 3, any_backbone.hidden_size))
    found = []
    usual = any_backbone._run
    assert usual in (any_backbone._through_stack, any_backbone._over_shared_context)
    for way in (usual, any_backbone._over_shared_context, any_backbone._over_copied_context):
        monkeypatch.setattr(any_backbone, "_run", way)
        prompts = [vectors.clone().requires_grad_() for vectors in start]
        what = Continuation.of(rows, torch.device("cpu"), [3, 3])
        context = any_backbone.encode_context([row.context for row in rows])
        scores = log_scores(any_backbone, context, what, prompts)
        scores.sum().backward()
        found.append(
            (scores.detach(), torch.stack([p.grad for p in prompts if p.grad is not None]))
        )
    for scores, gradient in found[:-1]:
        assert (scores - found[-1][0]).abs().max() < 1e-4
        assert (gradient - found[-1][1]).norm() / found[-1][1].norm() < 1e-4


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "mistral"])
def test_llama_like_layers_are_fused(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    assert backbone._run == backbone._through_stack


def test_a_row_alone_scores_as_in_a_batch(backbone: Backbone) -> None:
    vectors = torch.randn(3, backbone.hidden_size, generator=torch.Generator().manual_seed(2))
    for placement in ("suffix", "prefix"):
        rows = examples(backbone, placement)
        together = score_answers(backbone, rows, [vectors])[0]
        for number, row in enumerate(rows):
            alone = score_answers(backbone, [row], [vectors])[0, 0]
            assert abs(together[number] - alone).max() < 1e-4


def test_contexts_keep_what_the_budget_holds_and_encode_the_rest_again() -> None:
    backbone = tiny_backbone()
    rows = examples(backbone, "suffix") * 4
    everything = Contexts(backbone, rows, budget=1 << 30, bucket_rows=4)
    assert everything.fill() == len(rows)
    half = Contexts(backbone, rows, budget=everything.bytes // 2, bucket_rows=4)
    kept = half.fill()
    assert 0 < kept < len(rows)
    assert half.bytes <= everything.bytes // 2
    vectors = torch.randn(3, backbone.hidden_size, generator=torch.Generator().manual_seed(3))
    first = score_answers(backbone, rows, [vectors], everything)
    second = score_answers(backbone, rows, [vectors], half)
    assert abs(first - second).max() < 1e-4


def test_suffix_contexts_are_everything_but_prompt_and_answer(backbone: Backbone) -> None:
    suffix, prefix, front = (
        examples(backbone, placement)[0] for placement in ("suffix", "prefix", "front")
    )
    assert suffix.trunk == (-1, -2, -3)
    assert suffix.context[0] == backbone.bos
    assert prefix.context == (backbone.bos,)
    assert front.context == ()
    assert front.trunk[3] == backbone.bos
    assert len(suffix.context) + 3 == prefix.tokens - len(prefix.answers[1])
    assert all(answer[-1] == backbone.eos for answer in suffix.answers)


def test_full_buckets_hold_whole_batches_and_every_row_once() -> None:
    ids = tuple(range(3, 203))
    sized = [Example(ids + ids[: row % 7], (-1,), ((5, 2),)) for row in range(100)]
    buckets = Contexts(tiny_backbone(), sized).buckets
    assert sorted(row for bucket in buckets for row in bucket) == list(range(100))
    assert [len(bucket) for bucket in buckets[:-1]] == [32] * (len(buckets) - 1)
    few = [Example(ids * 5, (-1,), ((5, 2),)) for _ in range(20)]
    assert [len(bucket) for bucket in Contexts(tiny_backbone(), few).buckets] == [8, 8, 4]
