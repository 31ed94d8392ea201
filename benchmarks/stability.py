"""What varies more: the wording of a hand prompt, or the seed of a soft prompt?

    python -m benchmarks.stability [--data FOLDER] [--plot FILE] [--json]

Ten wordings of a hand prompt, ten seeds of a soft prompt (which draw rows, their order and its
beginning), and ten draws of four examples in context. The best wording is the one that validation
rows choose; the one that the test rows would have chosen is reported beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from benchmarks.data import METRIC
from benchmarks.sides import K_SHOT, SUFFIX, Cell, Side
from benchmarks.studies import Study, add_arguments, finish
from benchmarks.study_plot import Panel, draw

WORDINGS = {
    "vsfc": (
        "{text}\nSentiment: {answer}",
        "Student feedback: {text}\nThe opinion of the student is {answer}",
        "Read what a student wrote about a course.\n{text}\nIs it positive, negative or neutral?"
        " It is {answer}",
        'A student said: "{text}" The tone of this comment is {answer}',
        "Classify the feedback: negative, neutral or positive.\nFeedback: {text}\nClass: {answer}",
        "{text}\nCảm xúc: {answer}",
        "Ý kiến của sinh viên: {text}\nThái độ của sinh viên là {answer}",
        "Hãy đọc nhận xét sau về môn học.\n{text}\nNhận xét này là positive, negative hay neutral?"
        " Đáp án: {answer}",
        'Một sinh viên viết: "{text}" Giọng điệu của câu này là {answer}',
        "Phân loại phản hồi thành negative, neutral hoặc positive.\nPhản hồi: {text}\n"
        "Loại: {answer}",
    ),
    "sst2": (
        "{sentence}\nSentiment: {answer}",
        "Film review: {sentence}\nThe reviewer's opinion is {answer}",
        "{sentence}\nDid the critic like the film? The review is {answer}",
        'Someone wrote about a movie: "{sentence}" The tone is {answer}',
        "Decide whether the review is negative or positive.\nReview: {sentence}\nAnswer: {answer}",
        "{sentence}\nCảm xúc: {answer}",
        "Bài phê bình phim: {sentence}\nÝ kiến của người viết là {answer}",
        "{sentence}\nNgười xem có thích bộ phim không? Nhận xét này là {answer}",
        'Có người viết về một bộ phim: "{sentence}" Giọng điệu là {answer}',
        "Nhận xét phim sau là negative hay positive?\nNhận xét: {sentence}\nTrả lời: {answer}",
    ),
    "agnews": (
        "{title_and_text}\nTopic: {answer}",
        "News: {title_and_text}\nThis story belongs to the section {answer}",
        "{title_and_text}\nWhat is this article about: World, Sports, Business or Sci/Tech?"
        " {answer}",
        "A newspaper printed this: {title_and_text} It stood under the heading {answer}",
        "Sort the article into World, Sports, Business or Sci/Tech.\nArticle: {title_and_text}\n"
        "Section: {answer}",
        "{title_and_text}\nChủ đề: {answer}",
        "Tin tức: {title_and_text}\nBài này thuộc chuyên mục {answer}",
        "{title_and_text}\nBài báo nói về World, Sports, Business hay Sci/Tech? {answer}",
        "Một tờ báo đăng: {title_and_text} Bài nằm ở mục {answer}",
        "Xếp bài vào World, Sports, Business hoặc Sci/Tech.\nBài: {title_and_text}\nMục: {answer}",
    ),
}


@dataclass(frozen=True)
class Spread:
    """Test points of a task.

    Args:
        wordings: of each wording.
        chosen: of the wording that validation rows choose; None where one is missing.
        soft, k_shot: of each seed.
    """

    wordings: Sequence[float]
    chosen: float | None
    soft: Sequence[float]
    k_shot: Sequence[float]


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, "vsfc,sst2", seeds=10)
    arguments = parser.parse_args()
    study, about = Study.of(arguments)
    cells = {name: _asked(study, name) for name in arguments.tasks.split(",")}
    table = {
        name: Spread(
            [_points(name, cell) for cell in found if cell is not None],
            chosen(name, found),
            study.points(name, SUFFIX, arguments.seeds),
            study.points(name, K_SHOT, arguments.seeds),
        )
        for name, found in cells.items()
    }
    details = {
        **about,
        "points": {name: vars(found) for name, found in table.items()},
        "wordings": {name: WORDINGS[name] for name in table},
        "missing": {
            name: study.why_missing(name)
            for name, found in table.items()
            if len(found.soft) < arguments.seeds or len(found.wordings) < len(WORDINGS[name])
        },
    }
    finish(
        arguments,
        [],
        details,
        finding=finding(table),
        table=shown(table),
        draw=lambda path: _draw(table, path),
    )


def _asked(study: Study, name: str) -> list[Cell | None]:
    """The untouched model asked in each wording; no rows are drawn for it but the first seed's."""
    sides = [
        Side(f"wording-{n}", text, "zero_shot", training={"hand_prompts": (text,)}, seeded=False)
        for n, text in enumerate(WORDINGS[name])
    ]
    return [study.side(name, side, 0) for side in sides]


def _points(name: str, cell: Cell) -> float:
    return 100 * float(cell["test"][METRIC[name]])


def chosen(name: str, cells: Sequence[Cell | None]) -> float | None:
    """Test points of the wording with the best validation score; None where a cell is missing."""
    whole = [cell for cell in cells if cell is not None]
    if not whole or len(whole) < len(cells):
        return None
    return _points(name, max(whole, key=lambda cell: float(cell["validation_score"])))


def finding(table: Mapping[str, Spread]) -> str:
    """What the table comes to, in sentences."""
    said = []
    for name, found in table.items():
        if len(found.wordings) < 2 or len(found.soft) < 2:
            continue
        words, soft = stdev(found.wordings), stdev(found.soft)
        more = "more than" if words > soft else "no more than"
        text = (
            f"{name}: wordings spread {more} seeds of a soft prompt "
            f"({words:.1f} against {soft:.1f} points of standard deviation"
            f", {_range(found.wordings):.1f} against {_range(found.soft):.1f} from worst to best)"
        )
        if found.chosen is not None:
            text += f"; the soft prompt is {fmean(found.soft) - found.chosen:+.1f} points from the"
            text += " best wording by validation"
            text += f" and {fmean(found.soft) - max(found.wordings):+.1f} from the best by test"
        if found.k_shot:
            text += f", {fmean(found.soft) - fmean(found.k_shot):+.1f} from examples in context"
        said.append(text + ".")
    return " ".join(said) or "Nothing was measured yet."


def _range(points: Sequence[float]) -> float:
    return max(points) - min(points)


def shown(table: Mapping[str, Spread]) -> str:
    """Worst, mean, best and standard deviation of each."""
    titles = {"wordings": "hand wordings", "soft": "soft prompt", "k_shot": K_SHOT.title}
    lines = [f"{'task':<8}{'':<24}{'n':>4}{'worst':>9}{'mean':>9}{'best':>9}{'spread':>9}"]
    for name, found in table.items():
        for key, title in titles.items():
            points = getattr(found, key)
            if not points:
                continue
            numbers = (min(points), fmean(points), max(points))
            cells = "".join(f"{number:>9.1f}" for number in numbers)
            spread = f"{stdev(points):.1f}" if len(points) > 1 else "–"
            lines.append(f"{name:<8}{title:<24}{len(points):>4}{cells}{spread:>9}")
        if found.chosen is not None:
            lines.append(f"{name:<8}{'best wording (validation)':<28}{found.chosen:>18.1f}")
    return "\n".join(lines)


def _draw(table: Mapping[str, Spread], path: Path) -> None:
    panels = [
        Panel(
            name,
            "",
            f"points of {METRIC[name]}",
            bars={
                "hand wordings": found.wordings,
                "examples in context": found.k_shot,
                "soft prompt": found.soft,
            },
        )
        for name, found in table.items()
    ]
    draw(panels, path)


if __name__ == "__main__":
    main()
