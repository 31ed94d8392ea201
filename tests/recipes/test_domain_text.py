"""Tests of the generator of review and news text."""

from __future__ import annotations

import itertools
import math
import random
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from recipes.nano.domain_grammar import POLARITIES, Grammar, Scope, load_lexicon, tidy
from recipes.nano.domain_style import restyle, space_punctuation, strip_accents
from recipes.nano.domain_text import LANGUAGES, documents, main, marked_samples

BOTH = pytest.mark.parametrize("language", LANGUAGES)


def _some(language: str, seed: int, count: int = 150) -> list[str]:
    return list(itertools.islice(documents(language, seed), count))


@BOTH
def test_same_seed_gives_same_documents(language: str) -> None:
    assert _some(language, 3, 40) == _some(language, 3, 40)
    assert _some(language, 3, 40) != _some(language, 4, 40)


@BOTH
def test_text_is_normalised_and_fully_expanded(language: str) -> None:
    for document in _some(language, 1):
        assert document.strip()
        assert unicodedata.is_normalized("NFC", document)
        assert "{" not in document and "}" not in document
        assert not re.search(r"\(\w[^()]*\|", document)
        assert "\n\n\n" not in document


@BOTH
def test_every_template_expands(language: str) -> None:
    grammar = Grammar(language, random.Random(0))
    for domain in grammar.domains.values():
        for source in (domain.lists, grammar.shared.lists if domain.aspects else {}):
            for key, templates in source.items():
                for template in templates:
                    if "{text}" in template:
                        continue
                    polarity = {"pos": POLARITIES[0], "neg": POLARITIES[1]}.get(key[-3:])
                    polarity = polarity or (POLARITIES[2] if key.endswith("neu") else POLARITIES[0])
                    assert grammar.sentence(template, Scope(domain, polarity))


@BOTH
def test_no_adjective_is_both_good_and_bad_for_an_aspect(language: str) -> None:
    for domain in load_lexicon(language).values():
        for aspect in domain.aspects:
            good, bad = (set(aspect.adjectives[name]) for name in POLARITIES[:2])
            assert good and bad
            assert not good & bad, (domain.name, good & bad)


@BOTH
def test_words_of_a_review_tell_its_opinion(language: str) -> None:
    """A word-count model fitted on some reviews recognises the opinion of others."""
    counts = {name: Counter[str]() for name in POLARITIES[:2]}
    for _, polarity, text in marked_samples(language, 1200, seed=1):
        counts[polarity].update(re.findall(r"\w+", text.lower()))
    totals = {name: sum(count.values()) for name, count in counts.items()}

    def score(text: str, name: str) -> float:
        words = re.findall(r"\w+", text.lower())
        return sum(math.log((counts[name][word] + 1) / totals[name]) for word in words)

    samples = marked_samples(language, 400, seed=2)
    right = sum(max(counts, key=lambda name: score(text, name)) == p for _, p, text in samples)
    assert right / len(samples) > 0.85


@BOTH
def test_sentences_rarely_repeat(language: str) -> None:
    texts = [text for _, _, text in marked_samples(language, 1500, seed=5)]
    assert len(set(texts)) / len(texts) > 0.98


def test_command_writes_the_size_asked_for(tmp_path: Path) -> None:
    output = tmp_path / "text" / "vi.txt"
    arguments = ["--language", "vi", "--megabytes", "0.05", "--output", str(output)]
    main(arguments)
    assert 50_000 <= output.stat().st_size < 60_000
    assert output.read_text(encoding="utf-8").count("\n\n\n") > 20


def test_typing_styles() -> None:
    assert strip_accents("Giảng viên đúng giờ") == "Giang vien dung gio"
    assert space_punctuation("Tốt, rất tốt.") == "tốt , rất tốt ."
    assert restyle("Rất hay.", "plain", "vi", "positive", random.Random(0)) == "Rất hay."


def test_english_articles() -> None:
    assert tidy("a awful day , a useful hour", "en") == "an awful day, a useful hour"
    assert tidy("a honest man", "en") == "an honest man"
