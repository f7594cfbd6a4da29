"""How long the Studio's page takes from a change to what is painted, in Chromium, beside the server's bare forward pass.

    python benchmarks/studio_page.py [--net NAME ...] [--turns 9] [--rest 1]

stroke: a stroke on the drawing pad to the bars of the answer and its input (nets of small pictures); picture: new pixels to
all painted maps of the widest layer; layer: another layer of the same input; number: another cell of one recorded
convolution; first: the first cell of an input, so many seconds (`--rest`) after its maps were painted. Milliseconds are medians, to the second frame after the change of the page;
`forward` is what the answer itself says of its forward pass.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys

from playwright.sync_api import sync_playwright

PAGE = """() => {
window.soon = async (change, done) => {
  const begun = performance.now();
  await change();
  while (!done()) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - begun;
};
window.there = async (hash) => {
  const found = () => [...document.querySelectorAll('main [data-ready]:not(.pane)')];
  for (const each of found()) each.removeAttribute('data-ready');
  return soon(() => { location.hash = hash; }, () => found().length > 0);
};
window.given = async (net, shape) => {
  const token = (await (await fetch('api/session')).json()).token;
  const pixels = crypto.getRandomValues(new Uint8Array(Math.min(65536, shape[0] * shape[1] * shape[2])));
  const whole = new Uint8Array(shape[0] * shape[1] * shape[2]);
  for (let i = 0; i < whole.length; i += pixels.length) whole.set(pixels.subarray(0, Math.min(pixels.length, whole.length - i)), i);
  const headers = {'X-Striate-Token': token, 'Content-Type': 'application/octet-stream', 'X-Kind': 'u8', 'X-Shape': shape.join(',')};
  return (await fetch(`api/net/${net}/input`, {method: 'POST', body: whole, headers})).json();
};
}"""
STROKE = """
async () => {
  const pad = document.querySelector('.drawn'), box = pad.getBoundingClientRect();
  pad.setPointerCapture = () => {};
  const send = (type, x, y) => pad.dispatchEvent(new PointerEvent(type, {bubbles: true, pointerId: 1, button: 0, buttons: 1,
    clientX: box.x + x * box.width, clientY: box.y + y * box.height}));
  const pane = document.querySelector('.pane'), before = pane.dataset.ready;
  const at = Math.random() * 0.8;
  return soon(() => { send('pointerdown', at, 0.2); send('pointermove', at + 0.1, 0.8); send('pointerup', at + 0.1, 0.8); },
    () => pane.dataset.ready !== before);
}
"""


def measured(browser, name, turns, rest):
    """Milliseconds by what was done; the first cell of an input after a rest of so many seconds."""
    command = [sys.executable, "-m", "striate", "studio", name, "--no-browser"]
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            address = re.search(r"http://\S+", server.stdout.readline()).group(0)
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.goto(address)
            page.wait_for_selector("main [data-ready]")
            page.evaluate(PAGE)
            card = page.evaluate("async net => (await fetch(`api/net/${net}`)).json()", name)
            c, h, w = card["input"]["shape"]
            maps = [each for each in card["layers"] if each["kind"] == "maps" and "@" in each["id"]]
            widest = max(maps, key=lambda each: each["shape"][0])["id"]
            convolution = next(each["id"] for each in maps if "conv" in each["op"].lower())
            found: dict[str, list[float]] = {}
            for turn in range(turns + 1):
                each: dict[str, float] = {}
                if h <= 64:
                    page.evaluate("net => there(`#/input?net=${net}`)", name)
                    page.wait_for_selector(".drawn canvas")
                    each["stroke"] = page.evaluate(STROKE)
                each["picture"], run, each["forward"] = page.evaluate(
                    """async ([net, shape, layer]) => { const begun = performance.now(); const run = await given(net, shape);
                      const sent = performance.now() - begun;
                      return [sent + await there(`#/layer?net=${net}&run=${run.run_id}&layer=${layer}`), run.run_id, run.ms]; }""",
                    [name, [h, w, c], widest],
                )  # fmt: skip
                other = maps[turn % len(maps)]["id"]
                if other == widest:
                    other = maps[0]["id"]
                each["layer"] = page.evaluate(
                    "hash => there(hash)", f"#/layer?net={name}&run={run}&layer={other}"
                )
                page.wait_for_timeout(1000 * rest)
                for key, at in (("first", 1), ("number", 2)):
                    each[key] = page.evaluate(
                        "hash => there(hash)",
                        f"#/number?net={name}&run={run}&layer={convolution}&c=0&y={at}&x={at}",
                    )
                if turn:  # the first warms up
                    for key, value in each.items():
                        found.setdefault(key, []).append(value)
            page.context.close()
        finally:
            server.kill()
    return {key: statistics.median(values) for key, values in found.items()}


def main():
    """A line a net."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", nargs="+", default=["lenet5", "resnet50"])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--rest", type=float, default=1.0)
    given = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name in given.net:
            found = measured(browser, name, given.turns, given.rest)
            print(
                name, ", ".join(f"{key} {value:.0f} ms" for key, value in found.items()), flush=True
            )
        browser.close()


if __name__ == "__main__":
    main()
