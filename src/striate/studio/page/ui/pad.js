// @ts-check
/** A pad of the net's own input pixels: what is drawn is what the net is shown. The pen is measured in input pixels. */
import { coverLine, inkedPixels, opaquePixels, zoomedPixels } from "../core/geometry.js";
import { tilingOf } from "../core/tiles.js";
import { h } from "../store.js";
import { pictureGrid } from "./grid.js";

/** @typedef {import("../main.js").Context} Context @typedef {{pixels: Uint8Array<ArrayBuffer>, height: number, width: number, channels: number}} Drawing */

/**
 * @param {Context} context @param {{height: number, width: number, channels: number}} size
 * @param {(drawing: Drawing) => void} changed called after each change, many times a stroke
 */
export function drawingPad(context, { height, width, channels }, changed) {
  const { t, number } = context;
  const zoom = Math.max(1, Math.min(24, Math.floor(336 / Math.max(height, width))));
  const tiling = tilingOf(height * width, { height: 1, width: 1 }, { zoomY: zoom, zoomX: zoom, gap: 0 }, width * zoom);
  /** @type {Uint8Array<ArrayBuffer>} */
  let pixels = new Uint8Array(height * width * channels);
  /** @type {Uint8Array} */
  let ground = pixels;
  const cover = new Float32Array(height * width);
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const before = [];
  /** @type {{x: number, y: number} | null} */
  let last = null;
  let dark = true;
  const pen = h("input", { type: "range", min: 1, max: Math.max(2, Math.round(width / 6)), step: width > 64 ? 1 : 0.5, value: Math.max(1, Math.round(width / 12)), "aria-label": t("input.pen"), oninput: () => { width_.textContent = number(Number(pen.value)); } });
  const width_ = h("output", { class: "figure" }, number(Number(pen.value)));
  const colour = h("input", { type: "color", value: "#ffffff", "aria-label": t("input.ink") });
  const ink = h("select", { "aria-label": t("input.ink") }, ["ink", "erase"].map((kind) => h("option", { value: kind }, t(`input.pen_${kind}`))));
  const grid = pictureGrid({
    label: t("input.pad", { height, width }),
    text: (place) => t("input.pixel", { y: Math.floor(place / width), x: place % width, value: Array.from(pixels.subarray(place * channels, (place + 1) * channels)).join(", ") }),
    focus: () => {},
    key: (place) => { begin(); line(middle(place), middle(place)); finish(); },
  });
  const middle = (/** @type {number} */ place) => ({ x: (place % width) + 0.5, y: Math.floor(place / width) + 0.5 });
  const paint = () => grid.show(tiling, (band) => {
    const first = Math.floor(band.row);
    return zoomedPixels(opaquePixels(pixels, height * width, channels), width, zoom, first, first + band.rows);
  }, grid.at(), 400);

  /** @returns {number[]} */
  function inkNow() {
    const level = ink.value === "erase" === dark ? 0 : 255;
    if (channels < 3 || ink.value === "erase") return Array.from({ length: channels }, () => level);
    return [1, 3, 5].map((at) => parseInt(colour.value.slice(at, at + 2), 16));
  }
  function begin() {
    before.push(pixels);
    if (before.length > 50) before.shift();
    ground = pixels;
    cover.fill(0);
  }
  /** @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
  function line(from, to) {
    coverLine(cover, height, width, from, to, Number(pen.value));
    pixels = /** @type {Uint8Array<ArrayBuffer>} */ (inkedPixels(/** @type {Uint8Array} */ (ground), cover, inkNow()));
    paint();
    changed({ pixels, height, width, channels });
  }
  function finish() { last = null; }
  /** @param {PointerEvent} event */
  function point(event) {
    const box = grid.picture.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * width) / box.width, y: ((event.clientY - box.top) * height) / box.height };
  }
  grid.picture.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    grid.picture.setPointerCapture(event.pointerId);
    grid.cell.focus({ preventScroll: true });
    begin();
    last = point(event);
    line(last, last);
  });
  grid.picture.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const next = point(each);
      line(last, next);
      last = next;
    }
  });
  for (const end of ["pointerup", "pointercancel"]) grid.picture.addEventListener(end, finish);
  grid.picture.classList.add("drawn");

  /** @param {Uint8Array<ArrayBuffer>} next */
  function put(next) {
    before.push(pixels);
    pixels = next;
    paint();
    changed({ pixels, height, width, channels });
  }
  paint();
  const ground_ = h("label", {}, h("input", { type: "checkbox", checked: true, onchange: (/** @type {Event} */ event) => { dark = /** @type {HTMLInputElement} */ (event.target).checked; colour.value = dark ? "#ffffff" : "#000000"; put(new Uint8Array(pixels.length).fill(dark ? 0 : 255)); } }), t("input.dark_ground"));
  const element = h("div", { class: "stack" }, h("div", { class: "scroll" }, grid.element),
    h("div", { class: "row" }, h("label", {}, t("input.pen"), pen, width_), ink, channels >= 3 && colour, ground_,
      h("button", { onclick: () => { const old = before.pop(); if (old) { pixels = old; paint(); changed({ pixels, height, width, channels }); } } }, t("input.undo")),
      h("button", { onclick: () => put(new Uint8Array(pixels.length).fill(dark ? 0 : 255)) }, t("input.clear"))));
  return {
    element,
    /** Draws on from a picture of any channels of the same size. @param {Uint8Array} picture @param {number} of channels */
    start(picture, of) {
      const next = new Uint8Array(height * width * channels);
      for (let i = 0; i < next.length; i++) next[i] = picture[Math.floor(i / channels) * of + Math.min(of - 1, i % channels)] ?? 0;
      put(next);
    },
    /** A dark or a light ground, without telling. @param {boolean} isDark */
    ground(isDark) {
      dark = isDark;
      /** @type {HTMLInputElement} */ (ground_.firstChild).checked = dark;
      colour.value = dark ? "#ffffff" : "#000000";
      pixels = new Uint8Array(pixels.length).fill(dark ? 0 : 255);
      paint();
    },
  };
}
