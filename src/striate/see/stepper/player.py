"""One page that plays the steps: buttons, a slider, the keyboard. It needs nothing else and no network."""

import html

from striate.see.stepper import drawing
from striate.see.stepper.steps import Steps
from striate.see.stepper.style import DARK, LIGHT

STYLE = """
:root{color-scheme:light dark}
body{margin:0 auto;padding:1.5rem 1rem 2rem;background:light-dark(PAPER);color:light-dark(#1c1c1a,#e9e6df);
font:15px/1.5 system-ui,'DejaVu Sans',sans-serif}
main{width:fit-content;max-width:100%;margin:0 auto}
svg.st{display:block;min-width:40rem;max-width:100%;height:auto;margin:0 auto}
.scroll{overflow-x:auto}
@media(max-width:44rem){svg.st{max-width:none}}
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
""".replace("PAPER", f"{LIGHT['paper']},{DARK['paper']}")
SCRIPT = """
const steps=[...document.querySelectorAll('.step')],slider=document.querySelector('#at'),play=document.querySelector('#play');
const speed=document.querySelector('#speed');let at=0,timer=null;
function show(i){at=Math.max(0,Math.min(steps.length-1,i));steps.forEach((s,n)=>s.classList.toggle('on',n===at));
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


def page(steps: Steps) -> str:
    """The whole page; without scripts it shows the first step."""
    last = len(steps.steps) - 1
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(steps.said)}</title><style>{STYLE}</style></head><body><main>"
        f'<div class="scroll">{drawing.stacked(steps)}</div>'
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
        f"</main><script>{SCRIPT}</script></body></html>"
    )
