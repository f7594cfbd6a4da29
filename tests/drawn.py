"""What is asked of the words on a drawing: that none is cut, covered or crossed, and that all stand out."""

from itertools import pairwise

from striate.see import fonts
from striate.see.canvas import Disc, Path, Rect, Shape


def box(words):
    """Left, top, right and bottom, in the widest of the families."""
    wide = fonts.width(words.text, words.size, bold=words.bold)
    left = words.x - {"start": 0, "middle": wide / 2, "end": wide}[words.anchor]
    return left, words.y - 0.74 * words.size, left + wide, words.y + 0.2 * words.size


def meet(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def around(form):
    if isinstance(form, Rect):
        return form.x, form.y, form.x + form.width, form.y + form.height
    xs, ys = zip(*form.points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def clear(form, words):
    return not meet(around(form), words)


def within(form, words):
    a, b = around(form), words
    return a[0] <= b[0] and a[1] <= b[1] and b[2] <= a[2] and b[3] <= a[3]


def before(parts, one, other):
    return next(part for part in parts if part is one or part is other) is one


def check_edges(drawn, words):
    for part, (left, top, right, bottom) in words:
        assert left >= 0, part
        assert top >= 0, part
        assert right <= drawn.width, part
        assert bottom <= drawn.height, part
        assert part.size >= 12


def check_each_other(words):
    lined = sorted(words, key=lambda each: each[1][1])
    for i, (part, mine) in enumerate(lined):
        for other, its in lined[i + 1 :]:
            if its[1] >= mine[3]:
                break
            assert not meet(mine, its), (part, other)


def check_forms(parts, words):
    for form in (part for part in parts if isinstance(part, Rect | Shape)):
        for part, its in words:
            assert clear(form, its) or (within(form, its) and before(parts, form, part)), (
                part,
                form,
            )


def check_lines(parts, words):
    for path in (part for part in parts if isinstance(part, Path)):
        for (x0, y0), (x1, y1) in pairwise(path.points):
            reach = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
            for part, its in words:
                if meet(reach, its):
                    through = [(x0 + (x1 - x0) * t / 50, y0 + (y1 - y0) * t / 50) for t in range(51)]  # fmt: skip
                    assert not any(its[0] < x < its[2] and its[1] < y < its[3] for x, y in through), (part, path)  # fmt: skip


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """As WCAG 2 defines it, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def behind(parts, words):
    """The colour on which words stand: of the last part before them that is under their middle."""
    left, top, right, bottom = box(words)
    x, y = (left + right) / 2, (top + bottom) / 2
    found = "paper"
    for part in parts:
        if part is words:
            return found
        if isinstance(part, Rect) and part.fill and part.x <= x <= part.x + part.width and part.y <= y <= part.y + part.height:  # fmt: skip
            found = part.fill
        if isinstance(part, Disc) and (x - part.x) ** 2 + (y - part.y) ** 2 <= part.radius**2:
            found = part.fill
        if isinstance(part, Shape):
            xs, ys = zip(*part.points, strict=True)
            if min(xs) <= x <= max(xs) and min(ys) <= y <= max(ys):
                found = part.fill
    return found
