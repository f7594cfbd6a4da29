// @ts-check
/** All maps of a layer as tiles of one picture, cut in bands; where a tile lies and which cell is at a point. */

/**
 * @typedef {{count: number, columns: number, rows: number, height: number, width: number, zoomY: number, zoomX: number, gap: number,
 *   pitchY: number, pitchX: number, fullHeight: number, fullWidth: number, bands: Band[]}} Tiling
 *   `height` and `width` of a map in cells, `zoom` pixels a cell, `pitch` pixels from a tile to the next
 * @typedef {{row: number, rows: number, top: number, height: number}} Band rows of tiles; `top` and `height` in pixels
 */

export const LONGEST = 2048; // pixels a side of a canvas; the specification allows 4,096 device pixels

/**
 * @param {number} count @param {{height: number, width: number}} map @param {{zoomY: number, zoomX: number, gap: number}} look
 * @param {number} available pixels of width @returns {Tiling}
 */
export function tilingOf(count, { height, width }, { zoomY, zoomX, gap }, available) {
  const pitchX = width * zoomX + gap;
  const pitchY = height * zoomY + gap;
  const columns = Math.max(1, Math.min(count, Math.floor((available - gap) / pitchX)));
  const rows = Math.ceil(count / columns);
  const each = Math.max(1, Math.floor((LONGEST - gap) / pitchY));
  /** @type {Band[]} */
  const bands = [];
  for (let row = 0; row < rows; row += each) {
    const these = Math.min(each, rows - row);
    bands.push({ row, rows: these, top: row * pitchY, height: these * pitchY + (row + these === rows ? gap : 0) });
  }
  return { count, columns, rows, height, width, zoomY, zoomX, gap, pitchY, pitchX, fullHeight: rows * pitchY + gap, fullWidth: columns * pitchX + gap, bands };
}

/**
 * Whole zooms at which all tiles fill a field, as large as fits; a tile is at least 24 pixels a side and at most 224 or
 * its own size. What does not fit then is reached by scrolling.
 * @param {number} count @param {{height: number, width: number}} map @param {{width: number, height: number}} field @param {number} gap
 */
export function fittingZoom(count, { height, width }, field, gap) {
  const least = Math.max(1, Math.ceil(24 / Math.max(height, width)));
  let zoom = least;
  while ((zoom + 1) * Math.max(height, width) <= 224) {
    const columns = Math.floor((field.width - gap) / (width * (zoom + 1) + gap));
    if (columns < 1 || Math.ceil(count / columns) * (height * (zoom + 1) + gap) + gap > field.height) break;
    zoom++;
  }
  return zoom;
}

/**
 * How maps are made larger or smaller: `step` doublings more (or, below zero, less) than what fits. Maps of more than 256
 * pixels are shrunk to begin with.
 * @param {{height: number, width: number}} map @param {number} fitting zoom at which all fit @param {number} step
 * @returns {{shrink: number, zoom: number}} shrink by this factor, then zoom
 */
export function zoomSteps({ height, width }, fitting, step) {
  const first = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(height, width) / 256)));
  const size = (fitting / first) * 2 ** step;
  return size >= 1 ? { shrink: 1, zoom: Math.round(size) } : { shrink: Math.round(1 / size), zoom: 1 };
}

/** A zoom for each side: narrow maps are stretched to 24 pixels. @param {{height: number, width: number}} map @param {number} zoom */
export function wideEnough({ height, width }, zoom) {
  return { zoomY: height * zoom < 12 ? Math.ceil(24 / height) : zoom, zoomX: width * zoom < 12 ? Math.ceil(24 / width) : zoom };
}

/** The place in the order and the cell at a point; null between tiles. @param {Tiling} tiling @param {number} px @param {number} py */
export function tileAt({ count, columns, gap, pitchX, pitchY, zoomX, zoomY, height, width }, px, py) {
  const column = Math.floor((px - gap) / pitchX);
  const row = Math.floor((py - gap) / pitchY);
  const x = Math.floor((px - gap - column * pitchX) / zoomX);
  const y = Math.floor((py - gap - row * pitchY) / zoomY);
  const place = row * columns + column;
  if (column < 0 || row < 0 || column >= columns || place >= count || x >= width || y >= height) return null;
  return { place, y, x };
}

/** Left and top pixel of a tile. @param {Tiling} tiling @param {number} place */
export function tileCorner({ columns, gap, pitchX, pitchY }, place) {
  return { left: gap + (place % columns) * pitchX, top: gap + Math.floor(place / columns) * pitchY };
}

/**
 * The pixels of one band. `tables[c]` holds the colours of map c, `order[place]` says which map lies where.
 * @param {Tiling} tiling @param {Band} band @param {Uint8Array} maps [C, H, W] @param {Uint32Array[]} tables
 * @param {ArrayLike<number>} order @param {number} ground colour between the tiles
 * @returns {Uint32Array<ArrayBuffer>} of fullWidth x band.height
 */
export function paintBand(tiling, band, maps, tables, order, ground) {
  const { count, columns, height, width, zoomY, zoomX, gap, pitchX, pitchY, fullWidth } = tiling;
  const pixels = new Uint32Array(fullWidth * band.height).fill(ground);
  const last = Math.min(count, (band.row + band.rows) * columns);
  for (let place = band.row * columns; place < last; place++) {
    const channel = /** @type {number} */ (order[place]);
    const table = /** @type {Uint32Array} */ (tables[channel]);
    const left = gap + (place % columns) * pitchX;
    const top = gap + (Math.floor(place / columns) - band.row) * pitchY;
    for (let y = 0; y < height; y++) {
      const start = (top + y * zoomY) * fullWidth + left;
      const from = (channel * height + y) * width;
      for (let x = 0; x < width; x++) {
        const colour = /** @type {number} */ (table[/** @type {number} */ (maps[from + x])]);
        for (let k = 0; k < zoomX; k++) pixels[start + x * zoomX + k] = colour;
      }
      for (let k = 1; k < zoomY; k++) pixels.copyWithin(start + k * fullWidth, start, start + width * zoomX);
    }
  }
  return pixels;
}

/**
 * Maps made smaller: each value the mean of a block of `factor` x `factor` cells, cut off at the edges.
 * @param {Uint8Array} maps @param {number} count @param {number} height @param {number} width @param {number} factor
 */
export function shrinkMaps(maps, count, height, width, factor) {
  const high = Math.max(1, Math.ceil(height / factor));
  const wide = Math.max(1, Math.ceil(width / factor));
  const small = new Uint8Array(count * high * wide);
  for (let c = 0; c < count; c++) for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++) {
    const [bottom, right] = [Math.min(height, (y + 1) * factor), Math.min(width, (x + 1) * factor)];
    let sum = 0;
    for (let i = y * factor; i < bottom; i++) for (let j = x * factor; j < right; j++) sum += /** @type {number} */ (maps[(c * height + i) * width + j]);
    small[(c * high + y) * wide + x] = Math.floor(sum / ((bottom - y * factor) * (right - x * factor)) + 0.5);
  }
  return { maps: small, height: high, width: wide };
}

/**
 * The order of channels by a figure of theirs, greatest first (`index`: as they are); equal ones stay in their order.
 * `alive` leaves out those that are zero everywhere. Channels without a number come last.
 * @param {ArrayLike<number> | null} figure null: by index @param {number} count @param {((c: number) => boolean) | null} alive
 */
export function channelOrder(figure, count, alive) {
  const order = Array.from({ length: count }, (_, c) => c).filter((c) => !alive || alive(c));
  if (!figure) return order;
  const value = (/** @type {number} */ c) => { const v = figure[c] ?? NaN; return Number.isNaN(v) ? -Infinity : v; };
  return order.sort((a, b) => { const [va, vb] = [value(a), value(b)]; return va === vb ? a - b : vb > va ? 1 : -1; });
}
