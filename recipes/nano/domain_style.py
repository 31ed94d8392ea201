"""Ways in which people type reviews: case, punctuation, missing accents, short spellings."""

from __future__ import annotations

import random
import re
import unicodedata

VIETNAMESE_SHORT = {
    "không": ("ko", "k", "hok", "khong", "kg"),
    "được": ("đc", "dc", "đươc"),
    "rồi": ("r", "rùi"),
    "với": ("vs", "với"),
    "mình": ("mk", "mình", "mìn"),
    "quá": ("wá", "qá", "quáaa"),
    "nhưng": ("nhg", "nhưng mà"),
    "cũng": ("cg", "cũg"),
    "biết": ("bít", "biet"),
    "gì": ("j", "gi"),
    "vậy": ("z", "dị", "v"),
    "sinh viên": ("sv",),
    "giảng viên": ("gv",),
    "giáo viên": ("gv",),
    "bình thường": ("bt", "bthg"),
    "nhân viên": ("nv",),
    "sản phẩm": ("sp",),
    "điện thoại": ("đt", "dt"),
    "chất lượng": ("cl", "chất lượg"),
    "học phí": ("hp",),
    "bây giờ": ("bh", "h"),
    "nhiều": ("nhìu", "nhiu"),
    "thích": ("thik", "thic"),
    "tuyệt vời": ("tuyệt zời", "tuyệt vờiii"),
    "trời": ("chời", "trùi"),
    "lắm": ("lắmmm", "lém"),
    "luôn": ("lun", "luôn"),
    "cô": ("cô", "c"),
    "thầy": ("thầy", "t"),
    "khách hàng": ("kh",),
    "trường": ("trg", "trường"),
    "người": ("ng", "ngừi"),
}
ENGLISH_SHORT = {
    "you": ("u",),
    "your": ("ur",),
    "going to": ("gonna",),
    "want to": ("wanna",),
    "because": ("cuz", "bc", "coz"),
    "though": ("tho",),
    "thanks": ("thx", "tnx"),
    "please": ("pls", "plz"),
    "really": ("rly", "realy"),
    "are": ("r", "are"),
    "definitely": ("definately", "def"),
    "their": ("there", "thier"),
    "with": ("w/", "with"),
    "probably": ("prob", "probly"),
    "people": ("ppl",),
    "minutes": ("mins", "min"),
    "terrible": ("terible",),
    "delicious": ("delicous",),
    "restaurant": ("resturant",),
    "received": ("recieved",),
    "before": ("b4",),
    "great": ("gr8", "great"),
    "don't": ("dont",),
    "isn't": ("isnt",),
    "wasn't": ("wasnt",),
    "can't": ("cant",),
    "didn't": ("didnt",),
    "won't": ("wont",),
    "I'm": ("im", "i'm"),
    "favourite": ("fav",),
    "too": ("too", "to"),
    "to": ("to", "2"),
    "for": ("for", "4"),
    "okay": ("ok", "k"),
    "never": ("nvr", "never"),
    "awful": ("aweful",),
    "service": ("servise", "service"),
}
_PUNCTUATION = re.compile(r"\s*([,.!?;:…]+)(?=\s|$)")
_TRANSLATION = str.maketrans("đĐ", "dD")
_PATTERNS: dict[str, re.Pattern[str]] = {}
EMOJI = {
    "positive": ("😍", "👍", "❤️", "😊", "🥰", ":)", ":D", "^^", "🎉", "💯", "<3", "=))"),
    "negative": ("😡", "👎", "😞", "🙄", ":(", "😤", "💔", ":((", "😩", "-_-", "🤮", ":/"),
    "neutral": ("🤔", "😐", ":|", "🙂", "..."),
}


def strip_accents(text: str) -> str:
    """Remove every Vietnamese accent, as in text typed without an input method."""
    decomposed = unicodedata.normalize("NFD", text)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", bare).translate(_TRANSLATION)


def space_punctuation(text: str) -> str:
    """Lower-case the text and put a space before each punctuation mark."""
    return _PUNCTUATION.sub(r" \1", text).lower().strip()


def shorten(text: str, language: str, rng: random.Random) -> str:
    """Replace some common words by the spellings of chat messages."""
    table = VIETNAMESE_SHORT if language == "vi" else ENGLISH_SHORT
    for word, short in table.items():
        if word in text and rng.random() < 0.6:
            if word not in _PATTERNS:
                _PATTERNS[word] = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
            text = _PATTERNS[word].sub(rng.choice(short).replace("\\", ""), text)
    return text


def misspell(text: str, rng: random.Random) -> str:
    """Make one typing slip: two letters swapped, one lost or one doubled."""
    places = [i for i in range(1, len(text) - 2) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    place = rng.choice(places)
    first, second = text[place], text[place + 1]
    slip = rng.choice((second + first, first, first + first + second))
    return text[:place] + slip + text[place + 2 :]


def choose_style(language: str, rng: random.Random) -> str:
    """Draw the typing style of a document."""
    if language == "vi":
        names = ("plain", "spaced", "lower", "short", "bare", "bare_short", "typo")
        return rng.choices(names, (44, 26, 7, 9, 6, 3, 5))[0]
    return rng.choices(("plain", "spaced", "lower", "short", "typo"), (60, 17, 7, 9, 7))[0]


def restyle(text: str, style: str, language: str, polarity: str, rng: random.Random) -> str:
    """Rewrite plain text in a typing style."""
    if style in ("short", "bare_short"):
        text = shorten(text, language, rng)
        text = text.lower() if rng.random() < 0.6 else text
        if rng.random() < 0.3:
            text = text.rstrip(".") + " " + rng.choice(EMOJI[polarity])
    if style in ("bare", "bare_short"):
        text = strip_accents(text)
    if style == "spaced":
        text = space_punctuation(text)
    elif style == "lower":
        text = text.lower()
    elif style == "typo":
        text = misspell(text, rng)
    return unicodedata.normalize("NFC", text)
