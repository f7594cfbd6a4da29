"""Colours and letters of every kind of box and word, light and dark: for the SVG as CSS, for the GIF as they are."""

LIGHT = {
    "paper": "#fcfbf8", "ink": "#1c1c1a", "soft": "#65625a", "rule": "#cfcabd", "cell": "#ffffff",
    "pad": "#f0ede5", "read": "#fbe3cd", "edge": "#d66014", "taken": "#f5b27a", "kernel": "#fdf3e8", "done": "#e3edf8",
    "now": "#1f62ae", "on": "#ffffff", "accent": "#a94708",
}  # fmt: skip
DARK = {
    "paper": "#17181b", "ink": "#e9e6df", "soft": "#a5a198", "rule": "#44474d", "cell": "#22252a",
    "pad": "#1b1d20", "read": "#4a3420", "edge": "#e8782c", "taken": "#80501f", "kernel": "#33291f", "done": "#203349",
    "now": "#7fb5f2", "on": "#10151c", "accent": "#f4a06a",
}  # fmt: skip
# kind of box: fill, edge, width of the edge
BOXES: dict[str, tuple[str, str, float]] = {
    "cell": ("cell", "rule", 1),
    "padding": ("pad", "rule", 1),
    "gap": ("paper", "rule", 1),
    "read": ("read", "rule", 1),
    "padding-read": ("read", "rule", 1),
    "gap-read": ("read", "rule", 1),
    "taken": ("taken", "rule", 1),
    "kernel": ("kernel", "rule", 1),
    "product": ("cell", "rule", 1),
    "empty": ("paper", "rule", 1),
    "done": ("done", "rule", 1),
    "now": ("now", "rule", 1),
    "window": ("none", "edge", 3),
}
# kind of word: colour, size in pixels, bold
WORDS: dict[str, tuple[str, float, bool]] = {
    "title": ("ink", 14, True),
    "count": ("soft", 13, False),
    "label": ("soft", 12.5, False),
    "number": ("ink", 16, False),
    "padding-number": ("soft", 14, False),
    "gap-number": ("soft", 16, False),
    "read-number": ("ink", 16, True),
    "weight": ("accent", 10.5, False),
    "now-number": ("on", 16, True),
    "sentence": ("ink", 14, False),
}


def css() -> str:
    """Both themes as rules for `.box-kind` and `.word-kind`, inside an SVG of class `st`."""
    light, dark = (";".join(f"--{k}:{v}" for k, v in theme.items()) for theme in (LIGHT, DARK))
    boxes = "".join(
        f".b-{kind}{{fill:{_var(fill)};stroke:{_var(edge)};stroke-width:{width:g}}}"
        for kind, (fill, edge, width) in BOXES.items()
    )
    words = "".join(
        f".w-{kind}{{fill:{_var(colour)};font-size:{size:g}px{';font-weight:600' * bold}}}"
        for kind, (colour, size, bold) in WORDS.items()
    )
    return (
        f".st{{{light};background:var(--paper);font-family:system-ui,'DejaVu Sans',sans-serif;"
        "font-variant-numeric:tabular-nums}.st .middle{text-anchor:middle}.st .end{text-anchor:end}"
        f"{boxes}{words}@media(prefers-color-scheme:dark){{.st{{{dark}}}}}"
    )


def _var(name: str) -> str:
    return "none" if name == "none" else f"var(--{name})"
