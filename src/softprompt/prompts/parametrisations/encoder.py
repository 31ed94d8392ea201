"""A network emits the vectors: P-tuning (Liu et al. 2021, arXiv 2103.10385), with an MLP."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from softprompt.prompts.parametrisations import PARAMETRISATIONS, Vocabulary

__all__ = ["INNER", "Encoder"]

INNER = 512
"""Size of the network's inner layers at most: rows of keys and values are thousands wide."""


@PARAMETRISATIONS.register("encoder")
class Encoder(nn.Module):
    """P' = P + s (f(E) - f0(E0)), f = W3 relu(W2 relu(W1 E)), with s the scale of P.

    P-tuning trains the inputs E and the network f, whose outputs are the vectors. Here the outputs
    count from where they begin (f0(E0), a constant), so that training starts at the initial
    vectors P, from which E starts too.

    Args:
        initial_PD: [P, D] vectors to start from.
        vocabulary: not used.
    """

    def __init__(self, initial_PD: Tensor, vocabulary: Vocabulary) -> None:
        super().__init__()
        size = initial_PD.shape[1]
        self.register_buffer("initial_PD", initial_PD.detach().float().clone())
        self.register_buffer("scale", self._initial.square().mean().sqrt().clamp(min=1e-8).clone())
        self.inputs_PD = nn.Parameter(self._initial / self.get_buffer("scale"))
        self.network = self._network(size)
        # Not under `no_grad`, where an LSTM runs by another kernel that rounds in other places.
        self.register_buffer("begun_PD", self._emitted().detach().clone())

    @property
    def _initial(self) -> Tensor:
        return self.get_buffer("initial_PD")

    def _network(self, size: int) -> nn.Module:
        inner = min(size, INNER)
        layers = [nn.Linear(size, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(inner, size))

    def _emitted(self) -> Tensor:
        emitted_PD: Tensor = self.network(self.inputs_PD)
        return emitted_PD

    def forward(self) -> Tensor:
        """[P, D] the vectors."""
        moved_PD = self._emitted() - self.get_buffer("begun_PD")
        return self._initial + self.get_buffer("scale") * moved_PD

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """The inputs, of order one, at the rate itself, the network's weights at a hundredth."""
        return [
            {"params": [self.inputs_PD], "factor": 1.0},
            {"params": list(self.network.parameters()), "factor": 0.01, "network": True},
        ]
