"""Steps as SVG, one or all on a sheet, as an animated GIF, and as a page that plays them; all colours of boxes and words."""

import html
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import ArgumentError
from striate.see import fonts
from striate.see.stepper.layout import Box, Drawable, Part

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

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
# Colours and letters of every kind of box and word, for the SVG as CSS, for the GIF as they are.
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
        f".st{{{light};font-family:{fonts.FAMILY};"
        "font-variant-numeric:tabular-nums}.st .middle{text-anchor:middle}.st .end{text-anchor:end}"
        f".b-page{{fill:var(--paper)}}{boxes}{words}@media(prefers-color-scheme:dark){{.st{{{dark}}}}}"
    )


def _var(name: str) -> str:
    return "none" if name == "none" else f"var(--{name})"


SHEET = 2200  # pixels that a sheet of all steps is wide, about


def one(layout: Drawable, index: int) -> str:
    """One step.

    Raises:
        ArgumentError: there is no such step.
    """
    if not 0 <= index < layout.count:
        raise ArgumentError(f"step={index}: there are steps 0 to {layout.count - 1}")
    return _svg(
        _parts(layout.still()) + _parts(layout.moving(index)),
        layout.width,
        layout.height,
        layout.said,
    )


def sheet(layout: Drawable) -> str:
    """Every step, in rows."""
    columns = max(1, min(layout.count, round(SHEET / layout.width)))
    rows = math.ceil(layout.count / columns)
    still = f'<g id="still">{_parts(layout.still())}</g>'
    panels = "".join(
        f'<g transform="translate({i % columns * layout.width:g} {i // columns * layout.height:g})">'
        f'<use href="#still"/>{_parts(layout.moving(i))}</g>'
        for i in range(layout.count)
    )
    content = f"<defs>{still}</defs>{panels}"
    return _svg(content, columns * layout.width, rows * layout.height, layout.said)


def stacked(layout: Drawable) -> str:
    """Every step in one drawing, each in a group of class `step`; which is seen is up to the page."""
    groups = "".join(
        f'<g class="step{" on" * (i == 0)}">{_parts(layout.moving(i))}</g>'
        for i in range(layout.count)
    )
    return _svg(_parts(layout.still()) + groups, layout.width, layout.height, layout.said)


def _parts(parts: Iterable[Part]) -> str:
    return "".join(_part(part) for part in parts)


def _part(part: Part) -> str:
    if isinstance(part, Box):
        return (
            f'<rect class="b-{part.kind}" x="{part.x:g}" y="{part.y:g}" '
            f'width="{part.width:g}" height="{part.height:g}" rx="3"/>'
        )
    kinds = f"w-{part.kind}" + (f" {part.anchor}" if part.anchor != "start" else "")
    return f'<text class="{kinds}" x="{part.x:g}" y="{part.y:g}">{html.escape(part.text)}</text>'


def _svg(content: str, width: float, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="st" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{html.escape(label)}">'
        f'<style>{css()}</style><rect class="b-page" width="100%" height="100%"/>{content}</svg>'
    )


# One page that plays the steps: buttons, a slider, the keyboard. It needs nothing else and no network.
PAGE_STYLE = """
:root{color-scheme:light dark}
body{margin:0 auto;padding:1.5rem 1rem 2rem;background:light-dark(PAPER);color:light-dark(#1c1c1a,#e9e6df);
font:15px/1.5 FAMILY}
h1{position:absolute;width:1px;height:1px;margin:0;overflow:hidden;clip-path:inset(50%)}
main{width:fit-content;max-width:100%;margin:0 auto}
svg.st{display:block;max-width:100%;height:auto;margin:0 auto}
.wide svg.st{min-width:40rem}
.scroll{overflow-x:auto}
.narrow{display:none}
@media(max-width:44rem){.wide{display:none}.narrow{display:block}body{padding:.5rem 1rem 2rem}.narrow svg.st{max-width:none}
.bar{position:sticky;bottom:0;padding:.5rem 0;margin:0;background:light-dark(PAPER)}}
.step{display:none}.step.on{display:inline}
.bar{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin:1rem 0 .6rem}
button{font:inherit;color:inherit;background:light-dark(#fff,#22252a);border:1px solid light-dark(#cfcabd,#44474d);
border-radius:.45rem;padding:.35rem .8rem;min-width:2.6rem;cursor:pointer}
button.play{background:light-dark(#1f62ae,#7fb5f2);color:light-dark(#fff,#10151c);border-color:transparent;min-width:5rem;
font-weight:600}
button:hover{filter:brightness(1.06)}
:focus-visible{outline:2px solid light-dark(#1f62ae,#7fb5f2);outline-offset:2px}
input[type=range]{flex:1 1 12rem;accent-color:light-dark(#1f62ae,#7fb5f2)}
p{margin:.2rem 0;color:light-dark(#65625a,#a5a198);font-size:.86rem}
kbd{border:1px solid light-dark(#cfcabd,#44474d);border-radius:.3rem;padding:0 .35rem;font:inherit;font-size:.82rem}
""".replace("PAPER", f"{LIGHT['paper']},{DARK['paper']}").replace("FAMILY", fonts.FAMILY)
PAGE_SCRIPT = """
const sets=[...document.querySelectorAll('svg.st')].map(s=>[...s.querySelectorAll('.step')]),steps=sets[0],slider=document.querySelector('#at'),play=document.querySelector('#play');
const speed=document.querySelector('#speed');let at=0,timer=null;
function show(i){at=Math.max(0,Math.min(steps.length-1,i));sets.forEach(set=>set.forEach((s,n)=>s.classList.toggle('on',n===at)));
slider.value=at;slider.setAttribute('aria-valuetext',`step ${at+1} of ${steps.length}`)}
function stop(){clearTimeout(timer);timer=null;play.textContent='Play'}
function tick(){if(at===steps.length-1)return stop();show(at+1);timer=setTimeout(tick,+speed.value)}
function start(){if(at===steps.length-1)show(0);play.textContent='Pause';timer=setTimeout(tick,+speed.value)}
const act={play:()=>timer===null?start():stop(),back:()=>{stop();show(at-1)},next:()=>{stop();show(at+1)},
first:()=>{stop();show(0)},last:()=>{stop();show(steps.length-1)}};
document.querySelectorAll('button').forEach(b=>b.addEventListener('click',act[b.id]));
slider.addEventListener('input',()=>{stop();show(+slider.value)});
const keys={' ':'play',ArrowLeft:'back',ArrowRight:'next',Home:'first',End:'last'};
addEventListener('keydown',e=>{if(e.target.tagName==='SELECT'||e.ctrlKey||e.metaKey||e.altKey||!keys[e.key])return;
e.preventDefault();act[keys[e.key]]()});
"""


def page(wide: Drawable, narrow: Drawable) -> str:
    """The whole page, with a drawing for a screen and one for a phone; without scripts it shows the first step."""
    last = wide.count - 1
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(wide.said)}</title><style>{PAGE_STYLE}</style></head><body><main>"
        f"<h1>{html.escape(wide.said)}</h1>"
        f'<div class="scroll wide" tabindex="0" role="group" aria-label="steps">{stacked(wide)}</div>'
        f'<div class="scroll narrow" tabindex="0" role="group" aria-label="steps">{stacked(narrow)}</div>'
        '<div class="bar"><button id="first" aria-label="First step">|&lt;</button>'
        '<button id="back" aria-label="Step back">&lt;</button>'
        '<button id="play" class="play">Play</button>'
        '<button id="next" aria-label="Next step">&gt;</button>'
        '<button id="last" aria-label="Last step">&gt;|</button>'
        f'<input id="at" type="range" min="0" max="{last}" value="0" aria-label="Step">'
        '<label>every <select id="speed"><option value="1500">1.5 s</option>'
        '<option value="800" selected>0.8 s</option><option value="300">0.3 s</option></select></label></div>'
        "<p><kbd>Space</kbd> play or pause &nbsp; <kbd>&larr;</kbd> <kbd>&rarr;</kbd> one step &nbsp; "
        "<kbd>Home</kbd> <kbd>End</kbd> first and last</p>"
        f"</main><script>{PAGE_SCRIPT}</script></body></html>"
    )


EACH, LAST = 700, 2500  # milliseconds that a step and the last one stay in an animation
ANCHORS = {
    "start": "ls",
    "middle": "ms",
    "end": "rs",
}  # of words, by name of the SVG, as Pillow calls them


def frames(layout: Drawable) -> "list[Image]":
    """One picture a step, light, in the letters of the page."""
    from PIL import Image, ImageDraw

    size = round(layout.width), round(layout.height)
    still = Image.new("RGB", size, LIGHT["paper"])
    _paint(ImageDraw.Draw(still), layout.still())
    made: list[Image.Image] = []
    for i in range(layout.count):
        frame = still.copy()
        _paint(ImageDraw.Draw(frame), layout.moving(i))
        made.append(frame)
    return made


def write_animation(layout: Drawable, path: Path) -> None:
    """All frames as one GIF that starts again."""
    first, *others = frames(layout)
    times = [EACH] * len(others) + [LAST]
    first.save(
        path, "GIF", save_all=True, append_images=others, duration=times, loop=0, optimize=True
    )


def _paint(on: "ImageDraw", parts: Iterable[Part]) -> None:
    for part in parts:
        if isinstance(part, Box):
            fill, edge, width = BOXES[part.kind]
            ends = (part.x, part.y, part.x + part.width, part.y + part.height)
            colour = None if fill == "none" else LIGHT[fill]
            on.rounded_rectangle(ends, 3, colour, LIGHT[edge], round(width))
        else:
            colour, size, bold = WORDS[part.kind]
            letters = fonts.font(size, bold=bold)
            place = (part.x, part.y)
            on.text(
                place,
                fonts.spelled(part.text),
                LIGHT[colour],
                letters,
                ANCHORS[part.anchor],
            )
