"""A network emits the vectors: P-tuning (Liu et al. 2021, arXiv 2103.10385), with an LSTM."""

from __future__ import annotations

from torch import Tensor, nn

from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.parametrisations.encoder import INNER, Encoder

__all__ = ["EncoderLstm"]


@PARAMETRISATIONS.register("encoder_lstm")
class EncoderLstm(Encoder):
    """As `encoder`, with f = W2 relu(W1 LSTM(E)), a bidirectional LSTM over the prompt's places, as
    P-tuning has it for language models; of one layer, where the paper's code has two.

    Args:
        initial_PD: [P, D] vectors to start from.
        vocabulary: not used.
    """

    def _network(self, size: int) -> nn.Module:
        return _LstmThenMlp(size)


class _LstmThenMlp(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        half = max(1, min(size, INNER) // 2)
        self.lstm = nn.LSTM(size, half, bidirectional=True)
        self.mlp = nn.Sequential(
            nn.Linear(2 * half, 2 * half), nn.ReLU(), nn.Linear(2 * half, size)
        )

    def forward(self, inputs_PD: Tensor) -> Tensor:
        read_PE: Tensor = self.lstm(inputs_PD)[0]
        emitted_PD: Tensor = self.mlp(read_PE)
        return emitted_PD
