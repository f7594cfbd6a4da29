"""The equation of an Einstein sum, letter by letter, the axes that `...` stands for written out."""

from striate.probe import Call

HIDDEN = "0123456789"  # letters for those axes: none that an equation may hold


def letters(call: Call) -> tuple[list[str], str] | None:
    """The axes of every factor and of the result; None for a form that is not read.

    Not read are equations without text, and diagonals (`ii`).
    """
    equation = call.args[0] if call.args else None
    if not isinstance(equation, str):
        return None
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(call.inputs):
        return None
    widths = [
        len(v.shape) - len(t.replace("...", "")) for t, v in zip(terms, call.inputs, strict=True)
    ]
    most = max(widths) if "..." in left else 0
    if most > len(HIDDEN):
        return None
    # Broadcast axes are counted from the right.
    full = [t.replace("...", HIDDEN[most - w : most]) for t, w in zip(terms, widths, strict=True)]
    if any(len(set(term)) < len(term) for term in full):
        return None
    if not arrow:
        once = sorted(a for a in set(left) - set(".,") if left.count(a) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    return full, result.replace("...", HIDDEN[:most])
