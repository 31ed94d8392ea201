"""Embeddings of the words that tell the classes apart best, or are most typical of the texts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.initialisers import INITIALISERS, Request

__all__ = ["keywords"]


@INITIALISERS.register("keywords")
def keywords(request: Request) -> Tensor:
    """One vector a word, the best words nearest to the answer.

    Words are ranked by the chi-squared statistic between their presence and the label; without
    labels, by mean TF-IDF. Words are Unicode words, with their accents.

    Raises:
        UsageError: the training texts have no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.feature_selection import chi2

    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b[^\W\d]\w+\b", lowercase=True)
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
