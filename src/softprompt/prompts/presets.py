"""Methods known under a name: each is a point on the four axes, and nothing else.

A setting that is given beside a name goes before the name's own.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PRESETS"]

PRESETS: Mapping[str, Mapping[str, str]] = {
    # Lester et al. 2021, arXiv 2104.08691: [P; E(x)].
    "prompt-tuning": {"placement": "front", "depth": "input", "parametrisation": "direct"},
    # Liu et al. 2021, arXiv 2103.10385: a network emits P.
    "p-tuning": {"placement": "front", "depth": "input", "parametrisation": "encoder"},
    # Liu et al. 2022, arXiv 2110.07602: fresh P at every layer.
    "p-tuning-v2": {"placement": "front", "depth": "deep", "parametrisation": "direct"},
    # Li & Liang 2021, arXiv 2101.00190: keys and values before the input, emitted by a network.
    "prefix-tuning": {"placement": "front", "depth": "kv", "parametrisation": "encoder"},
    # Razdaibiedina et al. 2023, arXiv 2305.03937: P + MLP(P).
    "residual": {"placement": "front", "depth": "input", "parametrisation": "residual"},
    # SadraeiJavaheri et al. 2024, arXiv 2406.05279: mixes of vocabulary embeddings.
    "superposition": {"placement": "front", "depth": "input", "parametrisation": "superposition"},
    # Wu et al. 2025, arXiv 2502.04501: Z R with shift and scale.
    "ulpt": {"placement": "front", "depth": "input", "parametrisation": "low_rank"},
    # Lu et al. 2025, arXiv 2507.04221: keys and values of demonstrations, trained.
    "ct-kv": {
        "placement": "prefix",
        "depth": "kv",
        "parametrisation": "direct",
        "initialisation": "context",
    },
}
