"""Models worth starting with: `nano`, and a short list from the Hugging Face Hub, small first.

The list informs and restricts nothing: any causal model that passes the probe works. Sizes are
those of bfloat16 weights; licences and languages are as the models' own cards state them.
"""

from __future__ import annotations

from dataclasses import dataclass

from softprompt.locale import mark

__all__ = ["CATALOG", "CatalogEntry"]


@dataclass(frozen=True)
class CatalogEntry:
    """One model.

    Args:
        name: what `--model` takes.
        parameters: number of parameters.
        megabytes: download in bfloat16, 10^6 bytes.
        licence: SPDX name, or the name of its own terms.
        vietnamese: whether its makers name Vietnamese among its languages; "over 100 languages"
            names none.
        gated: whether its terms must be accepted on the hub first.
        note: what it is good for, in English; marked for translation, shown with `locale._`.
    """

    name: str
    parameters: int
    megabytes: int
    licence: str
    vietnamese: bool
    gated: bool
    note: str


CATALOG: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        name="nano",
        parameters=6_917_376,
        megabytes=14,
        licence="CC BY-SA 4.0",
        vietnamese=True,
        gated=False,
        note=mark("ships in the package, no download; English and Vietnamese, knows little"),
    ),
    CatalogEntry(
        name="HuggingFaceTB/SmolLM2-135M",
        parameters=134_515_008,
        megabytes=269,
        licence="Apache-2.0",
        vietnamese=False,
        gated=False,
        note=mark("English; small enough for a laptop without a GPU"),
    ),
    CatalogEntry(
        name="google/gemma-3-270m",
        parameters=268_098_176,
        megabytes=536,
        licence="Gemma Terms of Use",
        vietnamese=False,
        gated=True,
        note=mark("over 140 languages, not named one by one; sliding window of 512 tokens"),
    ),
    CatalogEntry(
        name="HuggingFaceTB/SmolLM2-360M",
        parameters=361_821_120,
        megabytes=724,
        licence="Apache-2.0",
        vietnamese=False,
        gated=False,
        note=mark("English; the larger sister of SmolLM2-135M"),
    ),
    CatalogEntry(
        name="Qwen/Qwen2.5-0.5B",
        parameters=494_032_768,
        megabytes=988,
        licence="Apache-2.0",
        vietnamese=True,
        gated=False,
        note=mark("29 languages, Vietnamese among them"),
    ),
    CatalogEntry(
        name="Qwen/Qwen3-0.6B-Base",
        parameters=596_049_920,
        megabytes=1192,
        licence="Apache-2.0",
        vietnamese=False,
        gated=False,
        note=mark("119 languages, not named one by one in its card"),
    ),
    CatalogEntry(
        name="sail/Sailor-0.5B",
        parameters=619_570_176,
        megabytes=1239,
        licence="Apache-2.0",
        vietnamese=True,
        gated=False,
        note=mark("made for South-East Asia: Vietnamese, Thai, Indonesian, Malay, Lao, English"),
    ),
    CatalogEntry(
        name="sail/Sailor2-1B",
        parameters=988_064_640,
        megabytes=1976,
        licence="Apache-2.0",
        vietnamese=True,
        gated=False,
        note=mark("made for South-East Asia: 13 of its languages, Vietnamese among them"),
    ),
    CatalogEntry(
        name="meta-llama/Llama-3.2-1B",
        parameters=1_235_814_400,
        megabytes=2472,
        licence="Llama 3.2 Community License",
        vietnamese=False,
        gated=True,
        note=mark("eight languages, Vietnamese not among them"),
    ),
    CatalogEntry(
        name="Qwen/Qwen3-1.7B-Base",
        parameters=1_720_574_976,
        megabytes=3441,
        licence="Apache-2.0",
        vietnamese=False,
        gated=False,
        note=mark("119 languages, not named one by one in its card"),
    ),
)
