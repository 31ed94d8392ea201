"""Write running text about goods, services, courses, films and news for pretraining.

    python -m recipes.nano.domain_text --language vi --megabytes 4 --seed 1 --output FILE

Documents are separated by two blank lines. A document is a review of several sentences, a thread
of short reviews, a letter, a dialogue, a form, a list of notes or, in English, a news item. The
opinion of a sentence agrees with its words, and a share of the texts is followed by a line that
sums up the opinion or names the subject. The word lists are in the ``lexicon`` directory.
"""

from __future__ import annotations

import argparse
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from recipes.nano.domain_grammar import POLARITIES, Domain, Grammar, Scope
from recipes.nano.domain_style import choose_style, restyle

LANGUAGES = ("en", "vi")
SEPARATOR = "\n\n\n"
MAXIMUM_ATTEMPTS = 6
POLARITY_WEIGHTS = (42, 40, 18)


class Writer:
    """Compose documents of one language."""

    def __init__(self, language: str, seed: int) -> None:
        self.language = language
        self.rng = random.Random(f"{language}-{seed}")
        self.grammar = Grammar(language, self.rng)
        domains = list(self.grammar.domains.values())
        self.opinion_domains = [item for item in domains if item.aspects]
        self.news_domains = [item for item in domains if "headline" in item.lists]
        self.seen: set[str] = set()

    def scope(self, polarity: str | None = None, domain: Domain | None = None) -> Scope:
        """Start a document: draw a domain and an opinion unless they are given."""
        if domain is None:
            weights = [item.weight for item in self.opinion_domains]
            domain = self.rng.choices(self.opinion_domains, weights)[0]
        return Scope(domain, polarity or self.polarity())

    def polarity(self) -> str:
        """Draw an opinion."""
        return self.rng.choices(POLARITIES, POLARITY_WEIGHTS)[0]

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self.rng.random() < probability

    def say(self, key: str, scope: Scope, end: str | None = None) -> str:
        """Write one sentence from the templates of a key, preferring one not written before."""
        text = ""
        for _ in range(MAXIMUM_ATTEMPTS):
            text = self.grammar.sentence(self.rng.choice(self._templates(key, scope)), scope)
            if text not in self.seen:
                break
        self.seen.add(text)
        if end is None:
            end = "?" if key in ("question", "ask") else self._full_stop(scope)
        return text if text[-1] in ".!?…" else text + end

    def _templates(self, key: str, scope: Scope) -> tuple[str, ...]:
        if key == "frame" and scope.polarity == "neutral":
            return self.grammar.entries("frame_neu", scope)
        if key == "frame":
            own = scope.domain.lists
            polarity_key = "frame_pos" if scope.polarity == "positive" else "frame_neg"
            if ("frame" in own or polarity_key in own) and self.chance(0.6):
                return (*own.get("frame", ()), *own.get(polarity_key, ()))
            return tuple(
                entry
                for name in ("frame", polarity_key)
                for entry in self.grammar.shared.lists.get(name, ())
            )
        return self.grammar.entries(key, scope)

    def _full_stop(self, scope: Scope) -> str:
        if scope.polarity != "neutral" and self.chance(0.1):
            return self.rng.choice(("!", "!", "!!", "!!!"))
        return "." if not self.chance(0.02) else "..."

    def review(self, scope: Scope, count: int) -> str:
        """Write an opinion of a few sentences in one paragraph."""
        keys = ["frame"] * count
        if count >= 2 and self.chance(0.35):
            keys[-1] = "promise"
        if count >= 3 and self.chance(0.5):
            keys[0] = "opening"
        if count >= 4 and self.chance(0.4):
            keys[self.rng.randrange(1, count - 1)] = "mixed"
        if count >= 4 and scope.polarity != "positive" and self.chance(0.3):
            keys[-2] = "suggestion"
        if scope.polarity == "neutral":
            keys = [self._neutral_key(key) for key in keys]
        return " ".join(self.say(key, scope) for key in keys)

    def _neutral_key(self, key: str) -> str:
        if key != "frame":
            return key
        return self.rng.choices(("frame", "mixed", "fact", "question"), (5, 4, 2, 1))[0]

    def label_line(self, scope: Scope, key: str = "label_line") -> str:
        """Write a line that states the opinion (or the subject) of what stands above it."""
        return self.grammar.expand(self.rng.choice(self.grammar.entries(key, scope)), scope)

    def pair(self, template: str, text: str, scope: Scope) -> str:
        """Join a text and its label by one of the pair formats."""
        head, _, tail = template.partition("{text}")
        return self.grammar.expand(head, scope) + text + self.grammar.expand(tail, scope)

    def styled(self, text: str, style: str, polarity: str) -> str:
        """Apply the typing style of the document to one text."""
        return restyle(text, style, self.language, polarity, self.rng)

    def essay(self) -> str:
        """A long review, often with a heading and a closing label."""
        scope = self.scope()
        style = choose_style(self.language, self.rng)
        count = self.rng.randint(4, 14)
        paragraphs = []
        while count > 0:
            size = min(count, self.rng.randint(3, 7))
            paragraphs.append(self.styled(self.review(scope, size), style, scope.polarity))
            count -= size
        lines = ["\n\n".join(paragraphs) if self.chance(0.3) else "\n".join(paragraphs)]
        if self.chance(0.3):
            lines.insert(0, self.say("heading", scope, "").rstrip("."))
        if self.chance(0.3):
            lines.append(self.styled(self.say("summary", scope), style, scope.polarity))
        if self.chance(0.55):
            lines.append(self.label_line(scope))
        if self.chance(0.25):
            lines.append(self.label_line(scope, "topic_line"))
        return "\n".join(lines)

    def thread(self) -> str:
        """Short reviews of one place, each perhaps with a label in one format."""
        first = self.scope()
        style = choose_style(self.language, self.rng)
        labelled = self.chance(0.6)
        memory = first.memory
        template = self.rng.choice(self.grammar.entries("pair", first))
        named = not labelled and self.chance(0.4)
        lines = []
        for _ in range(self.rng.randint(4, 12)):
            scope = Scope(first.domain, self.polarity(), memory)
            text = self.review(scope, self.rng.choice((1, 1, 1, 2, 2, 3)))
            text = self.styled(text, style, scope.polarity)
            if labelled:
                text = self.pair(template, text, scope)
            elif named:
                name = self.rng.choice(self.grammar.entries("name", scope))
                text = f"{self.grammar.expand(name, scope)}: {text}"
            lines.append(text)
        return "\n".join(lines)

    def labelled_blocks(self) -> str:
        """Reviews of several subjects, each followed by a line with its label."""
        about_topic = self.chance(0.4)
        key = "topic_line" if about_topic else "label_line"
        style = choose_style(self.language, self.rng)
        memory: dict[str, str] = {}
        fixed = self.rng.choice(self.grammar.entries(key, self.scope()))
        blocks = []
        for _ in range(self.rng.randint(3, 7)):
            domain = self.rng.choice(self.opinion_domains) if about_topic else None
            scope = Scope(self.scope(domain=domain).domain, self.polarity(), memory)
            text = self.styled(self.review(scope, self.rng.randint(1, 3)), style, scope.polarity)
            line = self.grammar.expand(fixed, scope)
            blocks.append(f"{text}\n{line[:1].upper()}{line[1:]}")
        return "\n\n".join(blocks) if self.chance(0.5) else "\n".join(blocks)

    def topic_thread(self) -> str:
        """Reviews of several subjects in one format that names the subject."""
        memory: dict[str, str] = {}
        template = self.rng.choice(self.grammar.entries("topic_pair", self.scope()))
        style = choose_style(self.language, self.rng)
        lines = []
        for _ in range(self.rng.randint(4, 9)):
            scope = Scope(self.rng.choice(self.opinion_domains), self.polarity(), memory)
            text = self.styled(self.review(scope, self.rng.randint(1, 2)), style, scope.polarity)
            lines.append(self.pair(template, text, scope))
        return "\n".join(lines)

    def letter(self) -> str:
        """A letter of praise or complaint."""
        scope = self.scope(self.rng.choice(("positive", "negative", "negative")))
        greeting = self.say("salutation", scope, "")
        greeting = greeting if greeting.endswith(",") else greeting.rstrip(".") + ","
        body = [self.say("opening", scope, "."), self.review(scope, self.rng.randint(3, 7))]
        if self.chance(0.6):
            body.append(self.say("suggestion", scope, "."))
        lines = [greeting, " ".join(body), self.say("signoff", scope, "")]
        if self.chance(0.25):
            lines.append(self.label_line(scope))
        return "\n".join(lines)

    def dialogue(self) -> str:
        """Two people talk about one subject."""
        scope = self.scope()
        expand, entries = self.grammar.expand, self.grammar.entries
        one, two = (expand(self.rng.choice(entries("name", scope)), scope) for _ in range(2))
        if one == two:
            one, two = "A", "B"
        style = self.rng.choice(("plain", "plain", choose_style(self.language, self.rng)))
        lines = []
        for _ in range(self.rng.randint(3, 7)):
            question = self.say(self.rng.choice(("ask", "ask", "question")), scope)
            answer = self.review(scope, self.rng.randint(1, 2))
            lines.append(f"{one}: {self.styled(question, style, 'neutral')}")
            lines.append(f"{two}: {self.styled(answer, style, scope.polarity)}")
        if self.chance(0.2):
            lines.append(self.label_line(scope))
        return "\n".join(lines)

    def form(self) -> str:
        """A questionnaire: good points, bad points, a wish and a mark."""
        scope = self.scope()
        style = choose_style(self.language, self.rng)
        lines = [self.say("heading", scope, "").rstrip(".")]
        for key, polarity in (("form_good", "positive"), ("form_bad", "negative")):
            title = self.rng.choice(self.grammar.entries(key, scope))
            sided = Scope(scope.domain, polarity, scope.memory)
            points = [self.say("frame", sided) for _ in range(self.rng.randint(1, 4))]
            points = [self.styled(point, style, polarity) for point in points]
            if self.chance(0.5):
                lines.append(f"{title}: {' '.join(points)}")
            else:
                lines.extend([f"{title}:", *(f"- {point}" for point in points)])
        if self.chance(0.6):
            lines.append(self.say("suggestion", scope, "."))
        if self.chance(0.5):
            lines.append(self.label_line(scope))
        return "\n".join(lines)

    def notes(self) -> str:
        """Plain facts, questions and replies."""
        scope = self.scope("neutral")
        style = choose_style(self.language, self.rng)
        kinds = ("fact", "fact", "fact", "question", "reply")
        count = self.rng.randint(4, 9)
        texts = [self.say(self.rng.choice(kinds), scope) for _ in range(count)]
        texts = [self.styled(text, style, "neutral") for text in texts]
        glue = self.rng.choice((" ", "\n", "\n- "))
        body = ("- " if glue == "\n- " else "") + glue.join(texts)
        key = self.rng.choice(("label_line", "topic_line"))
        return f"{body}\n{self.label_line(scope, key)}" if self.chance(0.4) else body

    def news(self) -> str:
        """One news item: headline, body and perhaps the subject."""
        scope = self.scope("neutral", self.rng.choice(self.news_domains))
        return self._news_item(scope, self.rng.randint(2, 7))

    def news_digest(self) -> str:
        """Several short items, each with the name of its subject in one format."""
        memory: dict[str, str] = {}
        template = self.rng.choice(self.grammar.entries("topic_pair", self.scope()))
        lines = []
        for _ in range(self.rng.randint(3, 8)):
            scope = Scope(self.rng.choice(self.news_domains), "neutral")
            text = f"{self.say('headline', scope, '')}. {self.say('lead', scope, '.')}"
            labels = Scope(scope.domain, "neutral", memory)
            lines.append(self.pair(template, text, labels))
        return "\n".join(lines)

    def _news_item(self, scope: Scope, count: int) -> str:
        headline = self.say("headline", scope, "")
        body = [self.say("lead", scope, ".")]
        body += [self.say("body", scope, ".") for _ in range(count)]
        glue = self.rng.choice(("\n", "\n", " - ", ". "))
        text = f"{headline}{glue}{' '.join(body)}"
        if self.chance(0.4):
            text += "\n" + self.label_line(scope, "topic_line")
        return text

    def document(self) -> str:
        """Write one document of a random kind."""
        kinds: list[tuple[Callable[[], str], int]] = [
            (self.essay, 26),
            (self.thread, 22),
            (self.labelled_blocks, 14),
            (self.topic_thread, 8),
            (self.letter, 7),
            (self.dialogue, 8),
            (self.form, 7),
            (self.notes, 5),
        ]
        if self.news_domains:
            kinds += [(self.news, 26), (self.news_digest, 8)]
        make = self.rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        return unicodedata.normalize("NFC", make())


def documents(language: str, seed: int) -> Iterator[str]:
    """Yield documents without end; the same seed gives the same documents."""
    writer = Writer(language, seed)
    while True:
        yield writer.document()


def marked_samples(language: str, count: int, seed: int) -> list[tuple[str, str, str]]:
    """Return (domain, polarity, review) triples with positive and negative in equal parts."""
    writer = Writer(language, seed)
    samples = []
    for index in range(count):
        scope = writer.scope(POLARITIES[index % 2])
        samples.append((scope.domain.name, scope.polarity, writer.review(scope, 2)))
    return samples


def write(language: str, size: int, seed: int, output: Path) -> int:
    """Write documents until the file has the given number of bytes; return how many."""
    written = number = 0
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8", newline="\n") as stream:
        for document in documents(language, seed):
            text = document + SEPARATOR
            stream.write(text)
            written += len(text.encode("utf-8"))
            number += 1
            if written >= size:
                return number
    return number


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write review text for pretraining.")
    parser.add_argument("--language", choices=LANGUAGES, required=True)
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    size = int(options.megabytes * 1_000_000)
    number = write(options.language, size, options.seed, options.output)
    print(f"{options.output}: {number} documents, {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
