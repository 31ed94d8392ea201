"""Which tokens a form lets come next."""

from __future__ import annotations

import sys

import pytest
import torch
from tiny import tiny_backbone

from softprompt.serving.constraints import Constraints
from softprompt.serving.requests import Constraint


def test_the_first_answer_of_a_form_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Importing a module that stands as None fails.
    monkeypatch.setitem(sys.modules, "llguidance.torch", None)
    backbone = tiny_backbone()
    constraints = Constraints(backbone.tokenizer, backbone.vocabulary, backbone.eos)
    follower = constraints.follow(Constraint("choice", ("good", "bad")))
    # A head may have more rows than the tokenizer has tokens.
    logits = torch.zeros(backbone.vocabulary + 5)
    follower.restrict(logits)
    (left,) = torch.nonzero(logits == 0, as_tuple=True)
    pieces = {backbone.tokenizer.decode([token]).strip() for token in left.tolist()}
    assert all("good".startswith(piece) or "bad".startswith(piece) for piece in pieces)
    assert {"g", "b"} & {piece[:1] for piece in pieces}
    assert bool((logits[backbone.vocabulary :] == -torch.inf).all())
