"""The blocked function beside log-softmax of all logits: values and gradients."""

from __future__ import annotations

import pytest
import torch

from softprompt.backbones.log_probabilities import picked_log_probabilities


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("positions", [1, 64, 65, 200])
def test_values_and_gradients_are_those_of_log_softmax(positions: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(positions)
    hidden = torch.randn(positions, 16, generator=generator)
    weight = torch.randn(50, 16, generator=generator)
    # Several tokens of one position, none of others.
    pick = torch.randint(positions, (3 * positions,), generator=generator)
    target = torch.randint(50, (3 * positions,), generator=generator)
    outer = torch.randn(3 * positions, generator=generator)
    ours, theirs = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    given = picked_log_probabilities(ours, weight, pick, target, scale)
    wanted = (theirs @ weight.T * scale).log_softmax(-1)[pick, target]
    torch.testing.assert_close(given, wanted, rtol=1e-5, atol=1e-5)
    (given * outer).sum().backward()
    (wanted * outer).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert float((ours.grad - theirs.grad).norm() / theirs.grad.norm()) < 1e-4


def test_logits_of_any_size_stay_finite() -> None:
    hidden = torch.tensor([[1e4], [-1e4]])
    weight = torch.tensor([[1.0], [-1.0], [0.0]])
    given = picked_log_probabilities(hidden, weight, torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert given.tolist() == [0.0, 0.0]
