"""Embeddings of the words that tell the classes apart best, or are most typical of the texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.initialisers import INITIALISERS, Request

__all__ = ["has_words", "keywords"]


@INITIALISERS.register("keywords")
def keywords(request: Request) -> Tensor:
    """One vector a word, the best words nearest to the answer.

    Words are ranked by the chi-squared statistic between their presence and the label; without
    labels, by mean TF-IDF. Words are of two characters at least and begin with no digit; accents
    and vowel signs belong to them.

    Raises:
        UsageError: the training texts have no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.feature_selection import chi2

    vectorizer = TfidfVectorizer(tokenizer=_words, token_pattern=None, lowercase=True)
    try:
        weights = vectorizer.fit_transform(request.texts)
    except ValueError as error:
        raise UsageError(
            _("The initialisation `keywords` found no words in the training texts."),
            _("Choose `vocabulary` or `random`."),
        ) from error
    if len(set(request.labels)) > 1:
        score = np.nan_to_num(chi2(weights, list(request.labels))[0])
    else:
        score = np.asarray(weights.mean(axis=0)).ravel()
    best = np.argsort(-score, kind="stable")[: request.length]
    words = vectorizer.get_feature_names_out()[best]
    return request.filled(torch.stack([request.word(f" {word}") for word in words[::-1]]))


def has_words(texts: Iterable[str]) -> bool:
    """Whether any of the texts has a word that could be a keyword."""
    return any(_words(text) for text in texts)


def _words(text: str) -> list[str]:
    """In scripts such as Devanagari and Thai vowels are marks, which `\\w` of `re` leaves out."""
    parted = "".join(c if c.isalnum() or c == "_" or _is_mark(c) else " " for c in text)
    return [word for word in parted.split() if len(word) > 1 and not word[0].isdigit()]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
