// @ts-check
/** Items as pictures with a line of words: buttons, each with a canvas of its own pixels; at most some dozens. */
import { opaquePixels } from "../core/geometry.js";
import { h } from "../store.js";

/** @typedef {import("../core/decode.js").Tensor} Tensor */

/**
 * One picture of u8 [n, H, W, 3].
 * @param {Tensor} pictures @param {number} at @param {number} zoom pixels a pixel
 */
export function stackedPicture(pictures, at, zoom) {
  const [, height = 1, width = 1, channels = 3] = pictures.shape;
  const count = height * width;
  const pixels = opaquePixels(pictures.data.subarray(at * count * channels, (at + 1) * count * channels), count, channels);
  const canvas = h("canvas", { class: "pixels", "aria-hidden": "true", style: { width: `${width * zoom}px`, height: `${height * zoom}px` } });
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  return canvas;
}

/**
 * A list of items.
 * @param {Tensor} pictures u8 [n, H, W, 3] @param {(at: number) => {label: string, lines: string[], wrong?: boolean}} words @param {(at: number) => void} [open]
 */
export function thumbList(pictures, words, open) {
  const [count = 0, height = 1, width = 1] = pictures.shape;
  const zoom = Math.max(1, Math.floor(84 / Math.max(height, width)));
  return h("ul", { class: "items" }, Array.from({ length: count }, (_, at) => {
    const { label, lines, wrong } = words(at);
    const parts = [stackedPicture(pictures, at, zoom), ...lines.map((line, i) => h("span", { dir: "auto", class: i ? "muted" : "" }, line))];
    const name = wrong ? "item wrong" : "item";
    return h("li", {}, open ? h("button", { class: name, "aria-label": label, onclick: () => open(at) }, parts) : h("div", { class: name, role: "img", "aria-label": label }, parts));
  }));
}
