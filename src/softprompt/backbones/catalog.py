"""Models worth starting with: `nano`, and a short list from the Hugging Face Hub, small first.

The list informs and restricts nothing: any causal model that passes the probe works. Sizes are
those of bfloat16 weights; licences and languages are as the models' own cards state them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOG", "CatalogEntry"]


@dataclass(frozen=True)
class CatalogEntry:
    """One model.

    Args:
        name: what `--model` takes.
        parameters: number of parameters.
        megabytes: download in bfloat16, 10^6 bytes.
        licence: SPDX name, or the name of its own terms.
        vietnamese: whether its card lists Vietnamese among its languages.
        gated: whether its terms must be accepted on the hub first.
        note: what it is good for.
    """

    name: str
    parameters: int
    megabytes: int
    licence: str
    vietnamese: bool
    gated: bool
    note: str


CATALOG: tuple[CatalogEntry, ...] = ()
