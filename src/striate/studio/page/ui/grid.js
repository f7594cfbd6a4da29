// @ts-check
/**
 * A picture of many cells that is one ARIA grid: canvases in bands, painted when they come into view, and one box over
 * the cell that has the focus. It alone is in the accessibility tree; one tab stop, arrows, Home/End, PgUp/PgDn.
 */
import { tileAt, tileCorner } from "../core/tiles.js";
import { fill, h } from "../store.js";

/**
 * @typedef {import("../core/tiles.js").Tiling} Tiling @typedef {import("../core/tiles.js").Band} Band
 * @typedef {{place: number, y: number, x: number}} Spot
 * @typedef {{label: string, text: (place: number) => string, focus?: (place: number) => void, enter?: (spot: Spot) => void,
 *   point?: (spot: Spot | null) => void, key?: (place: number) => void}} Uses `focus`: a tile was chosen; `enter`: Enter or a click on the tile that has the focus
 */

/** @param {Uses} uses */
export function pictureGrid(uses) {
  const cell = h("div", { role: "gridcell", tabindex: 0, class: "cell" });
  const row = h("div", { role: "row", class: "cellrow" }, cell);
  const picture = h("div", { class: "bands", "aria-hidden": "true" });
  const element = h("div", { class: "grid", role: "grid", "aria-label": uses.label }, picture, row);
  /** @type {Tiling | null} */
  let tiling = null;
  /** @type {(band: Band) => Uint32Array<ArrayBuffer>} */
  let painter = () => new Uint32Array();
  let place = 0;
  let scale = 1; // pixels of the screen a pixel of the canvas
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) paint(/** @type {HTMLCanvasElement} */ (target));
  }, { rootMargin: "400px" });

  /** @param {HTMLCanvasElement} canvas */
  function paint(canvas) {
    const band = tiling?.bands[Number(canvas.dataset.band)];
    if (!tiling || !band || canvas.dataset.painted) return;
    canvas.width = tiling.fullWidth;
    canvas.height = band.height;
    const image = new ImageData(new Uint8ClampedArray(painter(band).buffer), tiling.fullWidth, band.height);
    canvas.getContext("2d", { alpha: false })?.putImageData(image, 0, 0);
    canvas.dataset.painted = "yes";
  }

  /** @param {number} to @param {boolean} [byPerson] */
  function move(to, byPerson = false) {
    if (!tiling?.count) return;
    place = Math.max(0, Math.min(tiling.count - 1, to));
    const { left, top } = tileCorner(tiling, place);
    const { columns, rows, width, height, zoomX, zoomY } = tiling;
    for (const [name, value] of Object.entries({ left, top, width: width * zoomX, height: height * zoomY })) cell.style.setProperty(name, `${value * scale}px`);
    element.setAttribute("aria-rowcount", String(rows));
    element.setAttribute("aria-colcount", String(columns));
    row.setAttribute("aria-rowindex", String(Math.floor(place / columns) + 1));
    cell.setAttribute("aria-colindex", String((place % columns) + 1));
    cell.setAttribute("aria-label", uses.text(place));
    if (byPerson) {
      cell.scrollIntoView({ block: "nearest", inline: "nearest" });
      uses.focus?.(place);
    }
  }

  /** @param {PointerEvent | MouseEvent} event @returns {Spot | null} */
  function spotOf(event) {
    const box = picture.getBoundingClientRect();
    const shrunk = tiling ? box.width / tiling.fullWidth || 1 : 1;
    return tiling && tileAt(tiling, (event.clientX - box.left) / shrunk, (event.clientY - box.top) / shrunk);
  }

  picture.addEventListener("pointermove", (event) => {
    const spot = spotOf(event);
    uses.point?.(spot);
  });
  picture.addEventListener("pointerleave", () => uses.point?.(null));
  picture.addEventListener("click", (event) => {
    const spot = spotOf(event);
    if (!spot) return;
    const again = spot.place === place && document.activeElement === cell;
    move(spot.place, true);
    cell.focus({ preventScroll: true });
    if (again) uses.enter?.(spot);
  });
  cell.addEventListener("click", () => uses.enter?.({ place, y: 0, x: 0 }));
  cell.addEventListener("keydown", (event) => {
    if (!tiling) return;
    const to = stepped(event, place, tiling.columns, tiling.count);
    if (uses.key && event.key === " ") uses.key(place);
    else if (event.key === "Enter" || event.key === " ") uses.enter?.({ place, y: 0, x: 0 });
    else if (to == null) return;
    else move(to, true);
    event.preventDefault();
  });

  return {
    element, cell, picture, move,
    at: () => place,
    /** All of it as a PNG. @returns {Promise<Blob>} */
    async file() {
      if (!tiling) throw new Error("nothing is shown");
      const whole = new OffscreenCanvas(tiling.fullWidth, tiling.fullHeight);
      for (const band of tiling.bands) whole.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(painter(band).buffer), tiling.fullWidth, band.height), 0, band.top);
      return whole.convertToBlob();
    },
    /** @param {Tiling} next @param {(band: Band) => Uint32Array<ArrayBuffer>} paintWith @param {number} at @param {number} [widest] shown no wider than this */
    show(next, paintWith, at, widest = Infinity) {
      const before = scale;
      scale = Math.min(1, widest / next.fullWidth);
      const same = tiling && before === scale && tiling.fullWidth === next.fullWidth && tiling.bands.length === next.bands.length && tiling.fullHeight === next.fullHeight;
      tiling = next;
      painter = paintWith;
      if (!same) {
        seen.disconnect();
        fill(picture, next.bands.map((band, i) => h("canvas", { "data-band": i, style: { height: `${band.height * scale}px`, width: `${next.fullWidth * scale}px` } })));
        picture.style.setProperty("width", `${next.fullWidth * scale}px`);
      }
      const canvases = [...picture.querySelectorAll("canvas")];
      for (const canvas of canvases) delete canvas.dataset.painted;
      if (canvases[0]) paint(canvases[0]);
      for (const canvas of canvases.slice(1)) { seen.unobserve(canvas); seen.observe(canvas); }
      move(Math.min(at, next.count - 1));
    },
  };
}

/** Where a key leads in a grid; null for other keys. @param {KeyboardEvent} event @param {number} place @param {number} columns @param {number} count */
export function stepped(event, place, columns, count) {
  const start = place - (place % columns);
  /** @type {Record<string, number>} */
  const to = {
    ArrowLeft: place - 1, ArrowRight: place + 1, ArrowUp: place - columns, ArrowDown: place + columns,
    Home: event.ctrlKey ? 0 : start, End: event.ctrlKey ? count - 1 : start + columns - 1, PageUp: place - 5 * columns, PageDown: place + 5 * columns,
  };
  const next = to[event.key];
  if (next === undefined) return null;
  return next < 0 || next >= count ? (event.key.startsWith("Page") || event.key === "End" ? Math.max(0, Math.min(count - 1, next)) : place) : next;
}
