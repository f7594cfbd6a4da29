"""Numbers, sizes and names as a reader wants them: units, thousands, a true minus sign."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"  # where there is no value
TIMES = "\N{MULTIPLICATION SIGN}"
SPACE = "\N{NO-BREAK SPACE}"
# Seconds of each unit of time, and how people write it.
UNITS = (
    (86_400, ("days", "day", "d")),
    (3600, ("hours", "hour", "hrs", "hr", "h")),
    (60, ("minutes", "minute", "mins", "min", "m")),
    (1, ("seconds", "second", "secs", "sec", "s")),
)
_TIME = re.compile(
    "(-?)"
    + " ?".join(
        rf"(?:([0-9]+\.?[0-9]*|\.[0-9]+) ?(?:{'|'.join(names)})(?![a-z]))?" for _, names in UNITS
    )
)
# Characters that turn text round or hide in it; others that do not print are recognised by category.
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str, limit: int = 240) -> str:
    r"""Text that shows what it holds: what hides or turns text as escapes, cut in the middle past `limit`.

    >>> printable("evil\u202egnp.exe")
    'evil\\u202egnp.exe'
    """
    if len(text) > limit:
        text = f"{text[: limit // 2]} … {text[-limit // 2 :]}"
    return "".join(_shown(c) for c in text)


def _shown(char: str) -> str:
    hidden = char in BIDI or unicodedata.category(char) in ("Cc", "Cs")
    return char.encode("unicode_escape", "surrogatepass").decode() if hidden else char


def short(name: str, limit: int) -> str:
    """A name cut to `limit` characters, with an ellipsis where something is missing."""
    name = printable(name)
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def short_name(path: str, limit: int = 24) -> str:
    """The last part of a path, cut in the middle so that its end is seen.

    >>> short_name("val/shirt/0123.jpg"), short_name("a" * 30 + ".jpg", 12)
    ('0123.jpg', 'aaaaaaa….jpg')
    """
    name = path.rstrip("/").rpartition("/")[2] or path
    return name if len(name) <= limit else f"{name[: limit - 5]}…{name[-4:]}"


def percent(share: float | None) -> str:
    r"""A share as a percentage with one digit, and never 100 % for less than all.

    What is nearer to all than six digits can say is all: the end of an interval is a computed number.

    >>> percent(0.98888), percent(0.99996), percent(1.0), percent(0.9999999999)
    ('98.9\xa0%', '99.996\xa0%', '100.0\xa0%', '100.0\xa0%')
    """
    if share is None or not math.isfinite(share):
        return DASH
    digits, most = 1, 6
    if float(f"{100 * share:.{most}f}") < 100:
        while float(f"{100 * share:.{digits}f}") >= 100:
            digits += 1
    return f"{100 * share:.{digits}f}{SPACE}%"


def wide(text: str) -> int:
    """How many columns of a terminal a text takes: two a letter of East Asian scripts, none a mark on the letter before.

    >>> wide("cat"), wide("猫"), wide("e\u0301")
    (3, 2, 1)
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrapped(line: str, width: int, indent: str = "  ") -> str:
    """A line broken between words where a terminal is too narrow for it; no word is cut, a path stays whole.

    >>> print(wrapped("a note of some words", 12))
    a note of
      some words
    """
    if wide(line) <= width:
        return line
    lines = [""]
    for word in line.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if lines[-1].strip() and wide(joined) > width:
            lines.append(indent + word)
        else:
            lines[-1] = joined
    return "\n".join(each.rstrip() for each in lines)


def plain(text: str) -> str:
    """The same for a terminal, where lines are not broken for a reader: with common spaces."""
    return text.replace(SPACE, " ")


def number(value: float | None) -> str:
    """A number for a table: whole ones with thousands, others to four figures."""
    if value is None or not math.isfinite(value):
        return DASH
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace("-", MINUS)
    text = f"{value:.4g}"
    return (f"{value:.5f}" if "e" in text and abs(value) >= 1e-5 else text).replace("-", MINUS)


def compact(value: float) -> str:
    r"""A large number in three figures with its prefix.

    >>> compact(61706), compact(1_814_073_344), compact(156)
    ('61.7\xa0k', '1.81\xa0G', '156')
    """
    for unit, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * factor:
            return f"{float(f'{value / factor:.3g}'):g}{SPACE}{unit}"
    return f"{value:g}"


def duration(seconds: float | None) -> str:
    """Seconds for a reader: `6.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return DASH
    if seconds < 59.95:
        return f"{seconds:.3g}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"


def in_seconds(words: str) -> float | None:
    """The seconds of a time as people write it; None of what is no time. A number alone is seconds.

    Several parts go from the longer unit to the shorter, each unit once, as `duration` writes them.

    >>> [in_seconds(words) for words in ("90", "1.5h", "30min", "2 h 05 min", "1 day", "an hour")]
    [90.0, 5400.0, 1800.0, 7500.0, 86400.0, None]
    """
    plain_words = " ".join(words.lower().split())
    try:
        alone = float(plain_words)
    except ValueError:
        found = _TIME.fullmatch(plain_words)
        if not found or not any(found.groups()[1:]):
            return None
        sign, *numbers = found.groups()
        parts = zip(numbers, UNITS, strict=True)
        total = sum(float(number) * seconds for number, (seconds, _) in parts if number)
        return -total if sign else total
    return alone if math.isfinite(alone) else None


def rough(seconds: float) -> str:
    """An estimate of seconds for a reader, in at most eight letters.

    >>> rough(7.3), rough(183), rough(9000), rough(400_000)
    ('7 s', '3 min', '2.5 h', '4.6 days')
    """
    if seconds > 48 * 3600:
        days = seconds / 86_400
        return f"{days:.{0 if days >= 9.95 else 1}f} days" if days < 999 else "years"
    if seconds > 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds > 120 else f"{max(1.0, seconds):.0f} s"


def moment(text: str) -> str:
    """An ISO time to the minute; other text as it is."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return text


def size(shape: Sequence[object]) -> str:
    """A shape as people write it, with multiplication signs."""
    return TIMES.join(DASH if n is None else str(n) for n in shape)


def times(shape: Sequence[int]) -> str:
    """A shape as it is written: 3x224x224, and 1 for none."""
    return "x".join(map(str, shape)) or "1"


def counted(n: int, word: str) -> str:
    """A number with its word: 1 channel, 2 channels."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def some(words: Sequence[str], most: int = 8, *, of: int | None = None, between: str = ",") -> str:
    """The first of some words, and how many more there are.

    Args:
        words: in their order.
        most: that are written out.
        of: how many there are in all, where these are not all.
        between: a sign between words; a semicolon between those that hold commas.

    >>> some(["3", "4", "5"]), some(["3", "4", "5"], 2)
    ('3, 4, 5', '3, 4 and 1 more')
    >>> some(["3, 4", "5, 6"], 1, between=";")
    '3, 4; and 1 more'
    """
    left = (len(words) if of is None else of) - most
    shown = f"{between} ".join(words[:most])
    return f"{shown}{'' if between == ',' else between} and {left:,} more" if left > 0 else shown


def listed(words: Sequence[str], most: int = 8) -> str:
    """The same as a part of a sentence.

    >>> listed(["3", "4", "5"]), listed(["3", "4", "5"], 2)
    ('3, 4 and 5', '3, 4 and 1 more')
    """
    if len(words) > most:
        return some(words, most)
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def setting(value: object) -> str:
    """A value of a recipe, a plan or a machine."""
    if value is None or value in ("", [], (), {}):
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {setting(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(setting(inner) for inner in value)
    return str(value)
