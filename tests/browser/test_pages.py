"""Every page in a browser: accessible, readable in light and dark, whole on a phone, to be used by keyboard, silent."""

from typing import Any

import pytest
from pages import PAGES

PHONE = 390

# Of every text of a drawing: its own colour and what is painted below its middle.
INKS = r"""() => {
  const channels = text => {
    const parts = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    return text === 'none' || text === 'transparent' ? [0, 0, 0, 0] : [...parts.slice(0, 3), parts[3] ?? 1];
  };
  const over = (top, below) => below.map((c, i) => top[i] * top[3] + c * (1 - top[3]));
  const paper = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(channels(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const found = [];
  for (const drawing of document.querySelectorAll('svg')) {
    const ground = paper(drawing), below = [];
    for (const e of drawing.querySelectorAll('rect, text')) {
      const box = e.getBoundingClientRect(), style = getComputedStyle(e);
      const fill = channels(style.fill);
      fill[3] *= Number(style.fillOpacity) * Number(style.opacity);
      if (e.tagName === 'rect') { if (fill[3] > 0) below.push([box, fill]); continue; }
      if (!e.textContent.trim() || !box.width) continue;
      const x = box.x + box.width / 2, y = box.y + box.height / 2;
      const under = below.filter(([b]) => b.left <= x && x <= b.right && b.top <= y && y <= b.bottom);
      const color = under.reduce((c, [, top]) => over(top, c), ground);
      found.push([e.textContent, over(fill, color), color]);
    }
  }
  return found;
}"""

# Texts of a drawing that lie on one another, and those that its box cuts off.
COLLISIONS = r"""() => {
  const found = [];
  for (const drawing of document.querySelectorAll('svg')) {
    const texts = [...drawing.querySelectorAll('text')].filter(t => t.textContent.trim());
    const boxes = texts.map(t => t.getBoundingClientRect());
    const box = drawing.closest('.scroll');
    for (let i = 0; i < texts.length; i++) {
      for (let j = i + 1; j < texts.length; j++) {
        const a = boxes[i], b = boxes[j];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1.5 && high > 0.3 * Math.min(a.height, b.height))
          found.push(`${texts[i].textContent} lies on ${texts[j].textContent}`);
      }
      if (box && box.scrollWidth <= box.clientWidth) {
        const frame = box.getBoundingClientRect();
        if (boxes[i].left < frame.left - 1 || boxes[i].right > frame.right + 1)
          found.push(`${texts[i].textContent} is cut off`);
      }
    }
  }
  return found;
}"""

TOO_WIDE = """() => [...document.body.querySelectorAll('*')]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, pre'))
  .map(e => `${e.tagName.toLowerCase()}.${e.className} ${e.textContent.slice(0, 40)}`)"""


def luminance(color: list[float]) -> float:
    """WCAG 2.2, written out once more."""
    parts = [c / 255 for c in color]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[float], other: list[float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(opened: Any, name: str, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with opened(name, dark=dark) as page:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_texts_of_drawings_are_read_on_what_is_below_them(
    opened: Any, name: str, dark: bool
) -> None:
    with opened(name, dark=dark) as page:
        inks = page.evaluate(INKS)
    weak = [(words, round(contrast(ink, ground), 2)) for words, ink, ground in inks]
    assert [pair for pair in weak if pair[1] < 4.5] == []
    assert len(inks) > 100 or name != "report"  # they were found at all


@pytest.mark.parametrize("width", [PHONE, 768, 1200])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_collides_or_is_wider_than_the_window(opened: Any, name: str, width: int) -> None:
    with opened(name, width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.evaluate(
            TOO_WIDE
        )
        assert page.evaluate(COLLISIONS) == []
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
        assert page.evaluate(broken) == 0


@pytest.mark.parametrize("name", PAGES)
def test_a_keyboard_reaches_every_link_and_opens_what_is_folded(opened: Any, name: str) -> None:
    with opened(name, unfold=False) as page:
        wanted = page.evaluate(
            "[...document.querySelectorAll('a, summary')].filter(e => e.checkVisibility()).length"
        )
        reached, lost = 0, 0
        for _ in range(wanted + 60):
            page.keyboard.press("Tab")
            kind, ring = page.evaluate(
                "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
            )
            if kind == "BODY":
                break
            reached += kind in ("A", "SUMMARY")
            lost += ring == "none"
        assert (reached, lost) == (wanted, 0)
        folded = page.locator("summary:visible").first
        if wanted and folded.count():
            folded.focus()
            was = folded.evaluate("e => e.parentElement.open")
            page.keyboard.press("Enter")
            assert folded.evaluate("e => e.parentElement.open") is not was


def test_a_link_leads_to_its_section(opened: Any) -> None:
    with opened("report") as page:
        page.get_by_role("link", name="How sure the answers are").press("Enter")
        top = page.evaluate("document.getElementById('confidence').getBoundingClientRect().top")
        assert abs(top) < 5


def test_the_gates_can_turn_red(opened: Any) -> None:
    """Each of the checks above on a page that fails it."""
    from axe_playwright_python.sync_playwright import Axe

    with opened("report") as page:
        page.evaluate("document.images[0].removeAttribute('alt')")
        page.evaluate(
            "document.querySelectorAll('svg text').forEach(t => { t.style.fill = '#ddd' })"
        )
        page.evaluate(
            "document.querySelector('svg.chart').innerHTML += '<text x=60 y=60>one</text><text x=62 y=60>two</text>'"
        )
        page.evaluate("document.querySelector('main').style.width = '3000px'")
        assert Axe().run(page).violations_count > 0
        assert any(contrast(ink, ground) < 4.5 for _, ink, ground in page.evaluate(INKS))
        assert "one lies on two" in page.evaluate(COLLISIONS)
        assert page.evaluate("document.documentElement.scrollWidth") > 1200
