"""Free answers: none depends on the rows beside it, and none leaves the model's window."""

from __future__ import annotations

import pytest
from tiny import tiny_backbone
from torch import Tensor

from softprompt.inference.generation import generate
from softprompt.prompts import Example


def row(backbone_bos: int, tokens: int) -> Example:
    ids = [backbone_bos, *(5 + place % 40 for place in range(tokens - 1))]
    return Example(context=tuple(ids[:-1]), trunk=(ids[-1],), answers=())


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_full_window_cuts_its_own_row_alone(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    window, bos = backbone.window, backbone.bos or 1
    short, long, full = (row(bos, tokens) for tokens in (6, window - 2, window))
    alone = [generate(backbone, [example], [], 12)[0] for example in (short, long, full)]
    assert generate(backbone, [short, long, full], [], 12) == alone
    assert len(alone[0]) > 2 * len(alone[1])


def test_every_end_token_of_the_model_ends_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    example = row(backbone.bos or 1, 6)
    chosen: list[int] = []

    logits = backbone.logits

    def noted(hidden_RD: Tensor) -> Tensor:
        logits_RV = logits(hidden_RD)
        chosen.extend(logits_RV.argmax(-1).tolist())
        return logits_RV

    monkeypatch.setattr(backbone, "logits", noted)
    generate(backbone, [example], [], 9)
    place = next(n for n, token in enumerate(chosen) if n and token not in chosen[:n])
    monkeypatch.setattr(backbone, "ends", frozenset({backbone.eos, chosen[place]}))
    wanted = backbone.tokenizer.decode(chosen[:place], skip_special_tokens=True).strip()
    assert generate(backbone, [example], [], 9) == [wanted]


def test_an_answer_is_as_long_as_asked_at_most() -> None:
    backbone = tiny_backbone()
    example = row(backbone.bos or 1, 6)
    one, three, nine = (generate(backbone, [example], [], most)[0] for most in (1, 3, 9))
    assert nine.startswith(three) and three.startswith(one)
    assert len(nine) > len(three) > len(one) > 0
