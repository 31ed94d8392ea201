"""Prompts made of demonstrations: no row sees what was made of itself, dropout follows the step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_backbone

from softprompt import SoftPrompt, tune
from softprompt.errors import UsageError
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.prompts import Example
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.initialisers import INITIALISERS, Request
from softprompt.tasks import demonstration, in_turn
from softprompt.training.checkpoint import Checkpoint
from softprompt.training.hiding import Hiding
from softprompt.training.loop import Loop
from softprompt.training.member import Member

FAST: dict[str, Any] = {
    "method": "ct-kv",
    "length": 24,
    "population": 2,
    "epochs": 2,
    "batch_size": 8,
    "baselines": (),
    "ensemble": "off",
}


def test_hidden_places_follow_from_row_and_step() -> None:
    hiding = Hiding(0, 0.3)
    made_of = {4: range(2, 5)}
    assert Hiding(0, 0.0).places(made_of, 10, 4, 1) == {2, 3, 4}
    assert Hiding(0, 0.0).places(made_of, 10, 5, 1) == set()
    drawn = [hiding.places({}, 1000, row, step) for row in (0, 1) for step in (0, 1)]
    assert len(set(drawn)) == 4
    assert all(250 < len(places) < 350 for places in drawn)
    assert (
        drawn[0] == Hiding(0, 0.3).places({}, 1000, 0, 0) != Hiding(1, 0.3).places({}, 1000, 0, 0)
    )
    assert hiding.places(made_of, 10, 4, 0) >= {2, 3, 4}


def test_a_hidden_place_is_as_if_it_were_not_there() -> None:
    backbone, depth = tiny_backbone(), DEPTHS.get("kv")
    rows = torch.randn(3, depth.width(backbone)).requires_grad_()
    example = Example((1, 5), (-1, -2, -3, 7), ((40, 2), (50, 60, 2)))
    context = backbone.encode_context([example.context])

    def scores(prompt: torch.Tensor, hidden: frozenset[int]) -> torch.Tensor:
        what = Continuation.of([example], torch.device("cpu"), [3], "kv", [hidden])
        return log_scores(backbone, context, what, [prompt])

    found = scores(rows, frozenset({1}))
    found.sum().backward()
    assert rows.grad is not None
    assert not rows.grad[1].any()
    assert rows.grad[0].any()
    other = rows.detach().clone()
    other[1] = 100.0
    torch.testing.assert_close(scores(other, frozenset({1})), found.detach())
    assert not torch.allclose(scores(rows, frozenset()), found)


def test_the_prompt_starts_as_demonstrations_that_know_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, backbone = feedback_task(tmp_path), tiny_backbone()
    members: list[Member] = []
    right = Loop.run

    def watched(self: Loop, course: Any) -> Any:
        members.extend(self.members)
        return right(self, course)

    monkeypatch.setattr(Loop, "run", watched)
    result = tune(task, backbone, tmp_path / "run", **FAST)
    assert SoftPrompt.load(result["prompt"]).initialisation == "context"
    for member in members:
        order = in_turn(task, task.train, member.candidate.seed)
        shown = order[: len(member.made_of)]
        assert set(member.made_of) == set(shown)
        text = "".join(demonstration(task, task.train[row]) for row in reversed(shown[:-1]))
        ids = backbone.encode(text)
        start = backbone.embed(torch.tensor(_tail(backbone, task, shown)))
        expected = DEPTHS.get("kv").start(start, backbone)
        torch.testing.assert_close(member.initial_PX, expected)
        assert len(ids) < 24
        places = [place for span in member.made_of.values() for place in span]
        assert sorted(places) == list(range(24))


def _tail(backbone: Any, task: Any, shown: list[int]) -> list[int]:
    pieces = [backbone.encode(demonstration(task, task.train[row])) for row in reversed(shown)]
    return [token for piece in pieces for token in piece][-24:]


def test_leave_one_out_reaches_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Any]] = []
    loops: list[Loop] = []
    right, run = Continuation.of.__func__, Loop.run  # type: ignore[attr-defined]

    def watched(cls: Any, *arguments: Any, **named: Any) -> Any:
        if len(arguments) > 4 and arguments[4]:
            seen.append((arguments[0], arguments[4]))
        return right(cls, *arguments, **named)

    def noted(self: Loop, course: Any) -> Any:
        loops.append(self)
        return run(self, course)

    monkeypatch.setattr(Continuation, "of", classmethod(watched))
    monkeypatch.setattr(Loop, "run", noted)
    tune(feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", **{**FAST, "epochs": 1})
    (loop,) = loops
    rows = {id(example): row for row, example in enumerate(loop.rows.encoded.examples)}
    hidden = 0
    for examples, places in seen:
        own = [m.made_of.get(rows[id(example)], ()) for example in examples for m in loop.members]
        assert list(places) == list(map(frozenset, own))
        hidden += sum(map(bool, own))
    assert 0 < hidden < len(rows)


def test_a_prompt_made_of_rows_does_not_begin_another_over_the_same_rows(tmp_path: Path) -> None:
    """Which row went where is not in the artifact, so none could be left out."""
    task, backbone = feedback_task(tmp_path), tiny_backbone()
    short = {**FAST, "epochs": 1, "population": 1}
    start = tune(task, backbone, tmp_path / "run", **short)["prompt"]
    again = {**short, "method": None, "depth": "kv", "placement": "prefix", "start": start}
    with pytest.raises(UsageError, match="rows would see their own answers"):
        tune(task, backbone, tmp_path / "again", **again)
    others = replace(task, hashes=dict.fromkeys(task.hashes, "other"))
    assert tune(others, backbone, tmp_path / "others", **again)["prompt"]


def test_a_prompt_too_short_for_an_example_is_said(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_backbone()
    short = {**FAST, "epochs": 1, "population": 1}
    scrap = tune(task, backbone, tmp_path / "scrap", **{**short, "length": 2})
    assert any("the last 2 of the" in text for text in scrap["warnings"])
    whole = tune(task, backbone, tmp_path / "whole", **{**short, "length": 60})
    assert not any("of one training row" in text for text in whole["warnings"])


def test_rows_that_read_the_same_are_left_out_together() -> None:
    rows = ["good", "bad", "good", "good"]
    request = Request(
        tiny_backbone(),
        12,
        texts=rows,
        demonstrations=lambda row: f"{rows[row]} {'no' if row == 3 else 'yes'}\n",
        order=lambda seed: [2, 1],
    )
    INITIALISERS.get("context")(request)
    # Row 0 is row 2 again; row 3 has the same text and another answer.
    assert set(request.made_of) == {0, 1, 2}
    assert request.made_of[0] == request.made_of[2] != request.made_of[1]
    assert sorted({*request.made_of[1], *request.made_of[2]}) == list(range(12))


def test_dropout_makes_another_run_and_the_same_one_again(tmp_path: Path) -> None:
    task, settings = feedback_task(tmp_path), {**FAST, "population": 1, "epochs": 1}
    found: list[torch.Tensor] = []
    for name, dropout in (("a", 0.0), ("b", 0.2), ("c", 0.2)):
        tune(task, tiny_backbone(), tmp_path / name, **settings, token_dropout=dropout)
        newest = Checkpoint.newest(tmp_path / name / "checkpoints")
        assert newest is not None
        # A file's tensors come in any order.
        named = sorted(newest.tensors.items())
        trained = [t.flatten() for key, t in named if ".module." in key]
        found.append(torch.cat(trained))
    assert torch.equal(found[1], found[2])
    assert not torch.equal(found[0], found[1])


def test_too_few_words_are_refused() -> None:
    request = Request(
        tiny_backbone(), 24, demonstrations=lambda row: "ab", order=lambda seed: range(3)
    )
    with pytest.raises(UsageError, match="tokens, and the prompt has 24 places"):
        INITIALISERS.get("context")(request)


def test_places_that_are_computed_cannot_be_hidden(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hides places of kv prompts"):
        tune(feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", token_dropout=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initialisation": "context"}, "only depth kv can hide it"),
        ({"method": "ct-kv", "grow_to": 16}, "does not grow"),
    ],
)
def test_demonstrations_that_cannot_be_hidden_are_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tune(feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
