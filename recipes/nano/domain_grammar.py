"""Random expansion of sentence templates over hand-written lexicons.

A template is plain text with three kinds of markup:

* ``(a|b|c)`` picks one alternative (alternatives may be empty or nested);
* ``{#2-20}`` is a whole number in the range;
* ``{name}`` expands another entry of the lexicon.

A slot name may carry a prefix: ``+`` and ``-`` force a positive or negative entry, ``~`` turns
the polarity of the sentence round, and ``@`` keeps the first choice for the whole document.
``{n}`` is a noun of an aspect drawn from the domain and ``{g}`` an adjective that fits that aspect
with the polarity of the sentence; ``{n.2}`` and ``{g.2}`` speak of a second aspect. In English
``{is}``, ``{was}``, ``{has}``, ``{does}`` and ``{v:look}`` agree with the noun chosen last.
"""

from __future__ import annotations

import random
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

LEXICON_DIRECTORY = Path(__file__).with_name("lexicon")
POLARITIES = ("positive", "negative", "neutral")

_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_NUMBER = re.compile(r"\{#(\d+)-(\d+)\}")
_SLOT = re.compile(r"\{([+\-~@]*)([A-Za-z_]\w*)(?:\.(\d))?(?::([A-Za-z]+))?\}")
_SUFFIX = {"positive": "pos", "negative": "neg", "neutral": "neu"}
_OPPOSITE = {"positive": "negative", "negative": "positive", "neutral": "neutral"}
_AGREEMENT = {
    "is": ("is", "are"),
    "was": ("was", "were"),
    "has": ("has", "have"),
    "does": ("does", "do"),
    "it": ("it", "they"),
    "this": ("this", "these"),
}
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])(?!(?:uni|use|user|usual|one\b|euro|once))")
_ARTICLE_H = re.compile(r"\b([Aa]) (?=(?:hour|honest|heir|honour))")


@dataclass(frozen=True)
class Aspect:
    """Nouns that share a set of fitting adjectives."""

    nouns: tuple[str, ...]
    adjectives: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Domain:
    """One subject area: its word lists and its aspects."""

    name: str
    lists: dict[str, tuple[str, ...]]
    aspects: tuple[Aspect, ...]
    weight: int = 1


@dataclass
class Scope:
    """The state of one document while its sentences are expanded."""

    domain: Domain
    polarity: str
    memory: dict[str, str] = field(default_factory=dict)
    aspects: dict[str, Aspect] = field(default_factory=dict)
    nouns: dict[str, str] = field(default_factory=dict)
    plural: bool = False

    def start_sentence(self) -> None:
        """Forget the aspects of the previous sentence."""
        self.aspects.clear()
        self.nouns.clear()
        self.plural = False


def split_entries(text: str) -> tuple[str, ...]:
    """Split a lexicon value: one entry per line, or comma-separated when it is one line."""
    text = unicodedata.normalize("NFC", text)
    parts = text.split("\n") if "\n" in text else text.split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _read_domain(name: str, table: dict[str, Any]) -> Domain:
    aspects = tuple(
        Aspect(
            nouns=split_entries(entry["n"]),
            adjectives={
                polarity: split_entries(entry.get(_SUFFIX[polarity], "")) for polarity in POLARITIES
            },
        )
        for entry in table.get("aspect", [])
    )
    lists = {
        "label_topic" if key == "label" else key: split_entries(value)
        for key, value in table.items()
        if key not in ("aspect", "weight")
    }
    return Domain(name, lists, aspects, int(table.get("weight", "1")))


@cache
def load_lexicon(language: str) -> dict[str, Domain]:
    """Read every lexicon file of a language; the entry ``shared`` serves all domains."""
    merged: dict[str, dict[str, Any]] = {}
    for path in sorted(LEXICON_DIRECTORY.glob(f"{language}_*.toml")):
        for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            target = merged.setdefault(name, {})
            for key, value in table.items():
                if key == "aspect":
                    target.setdefault("aspect", []).extend(value)
                elif key in target:
                    raise ValueError(f"{path.name}: {name}.{key} is defined twice")
                else:
                    target[key] = value
    if "shared" not in merged:
        raise FileNotFoundError(f"no lexicon for language {language!r}")
    return {name: _read_domain(name, table) for name, table in merged.items()}


class Grammar:
    """Expand templates of one language with a seeded random source."""

    def __init__(self, language: str, rng: random.Random) -> None:
        self.language = language
        self.rng = rng
        lexicon = load_lexicon(language)
        self.shared = lexicon["shared"]
        self.domains = {name: item for name, item in lexicon.items() if name != "shared"}

    def entries(self, name: str, scope: Scope, polarity: str | None = None) -> tuple[str, ...]:
        """All entries for a slot: those of the domain, or the shared ones if it has none."""
        keys = (f"{name}_{_SUFFIX[polarity or scope.polarity]}", name)
        for source in (scope.domain.lists, self.shared.lists):
            found = tuple(entry for key in keys for entry in source.get(key, ()))
            if found:
                return found
        raise KeyError(f"{self.language}/{scope.domain.name}: no entries for {keys}")

    def expand(self, template: str, scope: Scope) -> str:
        """Expand all markup of a template."""
        while "(" in template:
            chosen = _CHOICE.sub(lambda found: self._pick(found.group(1).split("|")), template)
            if chosen == template:
                break
            template = chosen
        template = _NUMBER.sub(
            lambda found: str(self.rng.randint(int(found.group(1)), int(found.group(2)))), template
        )
        return _SLOT.sub(lambda found: self._slot(found, scope), template)

    def sentence(self, template: str, scope: Scope) -> str:
        """Expand a template as a new sentence and tidy spaces, articles and the first letter."""
        scope.start_sentence()
        text = tidy(self.expand(template, scope), self.language)
        return text[:1].upper() + text[1:]

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.random() * len(options))]

    def _slot(self, found: re.Match[str], scope: Scope) -> str:
        prefix, name, number, verb = found.groups()
        polarity = self._polarity(prefix, scope)
        if name in ("n", "g"):
            return self._aspect_word(name, number or "1", polarity, scope)
        if (name in _AGREEMENT or name == "v") and not scope.nouns and scope.domain.aspects:
            self._aspect_word("n", "1", polarity, scope)
        if name in _AGREEMENT:
            return _AGREEMENT[name][scope.plural]
        if name == "v" and verb:
            return verb if scope.plural else _third_person(verb)
        if "@" in prefix:
            owner = "" if name in ("label", "stars", "adj", "feel") else scope.domain.name
            key = f"{owner}/{name}{number or ''}/{polarity}"
            if key not in scope.memory:
                entry = self._pick(self.entries(name, scope, polarity))
                scope.memory[key] = self.expand(entry, scope)
            return scope.memory[key]
        return self.expand(self._pick(self.entries(name, scope, polarity)), scope)

    @staticmethod
    def _polarity(prefix: str, scope: Scope) -> str:
        if "+" in prefix:
            return "positive"
        if "-" in prefix:
            return "negative"
        return _OPPOSITE[scope.polarity] if "~" in prefix else scope.polarity

    def _aspect_word(self, name: str, number: str, polarity: str, scope: Scope) -> str:
        if number not in scope.aspects:
            used = list(scope.aspects.values())
            fresh = [aspect for aspect in scope.domain.aspects if aspect not in used]
            scope.aspects[number] = self.rng.choice(fresh or scope.domain.aspects)
        aspect = scope.aspects[number]
        if name == "g":
            adjectives = aspect.adjectives[polarity] or self.entries("adj", scope, polarity)
            return self.expand(self._pick(adjectives), scope)
        if number not in scope.nouns:
            scope.nouns[number] = self.expand(self._pick(aspect.nouns), scope)
        noun = scope.nouns[number]
        scope.plural = noun.endswith("*")
        return noun.rstrip("*")


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "o")):
        return verb + "es"
    return verb + "s"


def tidy(text: str, language: str) -> str:
    """Collapse spaces, close up punctuation and, in English, choose between a and an."""
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" +([,.!?;:…])", r"\1", text)
    text = re.sub(r"([,;:])\1+", r"\1", text).strip()
    if language == "en":
        text = _ARTICLE_H.sub(r"\1n ", _ARTICLE.sub(r"\1n ", text))
    return text
