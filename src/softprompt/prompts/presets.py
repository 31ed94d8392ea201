"""Methods known under a name: each is a point on the four axes, and nothing else.

A setting that is given beside a name goes before the name's own. Shapes: P vectors, D hidden size,
L layers; E(x) are the input's embeddings [T, D]; K_l and V_l the keys and values of layer l.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A method known under a name.

    Args:
        axes: what it sets.
        formula: what the model reads, and what of it is trained.
        paper: where it comes from.
    """

    axes: Mapping[str, str]
    formula: str
    paper: str


PRESETS: Mapping[str, Preset] = {
    "prompt-tuning": Preset(
        {"placement": "front", "depth": "input", "parametrisation": "direct"},
        "[P; E(x)] is read; P [P, D] is trained",
        "Lester et al. 2021, arXiv 2104.08691",
    ),
    "p-tuning": Preset(
        {"placement": "front", "depth": "input", "parametrisation": "encoder"},
        "[P; E(x)] is read with P = P0 + s (f(H) - f0(H0)); H [P, D] and the network f are trained "
        "from H0 and f0, so that training starts at P0; the paper has P = f(H)",
        "Liu et al. 2021, arXiv 2103.10385",
    ),
    "p-tuning-v2": Preset(
        {"placement": "front", "depth": "deep", "parametrisation": "direct"},
        "[P_l; h_l(x)] is read by every layer l; P [L, P, D] is trained",
        "Liu et al. 2022, arXiv 2110.07602",
    ),
    "prefix-tuning": Preset(
        {"placement": "front", "depth": "kv", "parametrisation": "encoder"},
        "layer l attends to [A_l; K_l(x)] and [B_l; V_l(x)]; A, B are made as "
        "p-tuning makes P; H and f are trained; the paper's f has one hidden layer with tanh",
        "Li & Liang 2021, arXiv 2101.00190",
    ),
    "residual": Preset(
        {"placement": "front", "depth": "input", "parametrisation": "residual"},
        "[P'; E(x)] is read with P' = P + MLP(P); P and the MLP are trained",
        "Razdaibiedina et al. 2023, arXiv 2305.03937",
    ),
    "superposition": Preset(
        {"placement": "front", "depth": "input", "parametrisation": "superposition"},
        "[P; E(x)] is read with P = W E_m; W [P, m] is trained, m embeddings E_m are constants",
        "SadraeiJavaheri et al. 2024, arXiv 2406.05279",
    ),
    "ulpt": Preset(
        {"placement": "front", "depth": "input", "parametrisation": "low_rank"},
        "[P; E(x)] is read with P = s * (P0 + Z R) + b; Z [P, r], s and b are trained, R is "
        "random; the paper has no P0",
        "Wu et al. 2025, arXiv 2502.04501",
    ),
    "ct-kv": Preset(
        {
            "placement": "prefix",
            "depth": "kv",
            "parametrisation": "direct",
            "initialisation": "context",
        },
        "layer l attends to [A_l; K_l(x)] and [B_l; V_l(x)]; A and B begin as keys and values of "
        "demonstrations and are trained, each row without its own (leave one out)",
        "Lu et al. 2025, arXiv 2507.04221",
    ),
}
