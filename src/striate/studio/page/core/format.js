// @ts-check
/** Figures of maps, and texts of files: points, never commas. */

/** @typedef {{lo: Float32Array, hi: Float32Array, mean: Float32Array, std: Float32Array, zero_frac: Float32Array, bad: Float32Array}} Stats */

/** How many values lie in each of `bins` even parts of a range, from maps in 8 bits. @param {Uint8Array} maps @param {number} count @param {{lo: ArrayLike<number>, hi: ArrayLike<number>}} own @param {{lo: number, hi: number}} range @param {number} bins */
export function histogramOf(maps, count, own, range, bins) {
  const counts = new Float64Array(bins);
  const each = maps.length / count;
  const steps = new Float64Array(256);
  for (let c = 0; c < count; c++) {
    steps.fill(0);
    for (let i = c * each; i < (c + 1) * each; i++) { const q = maps[i] ?? 0; steps[q] = (steps[q] ?? 0) + 1; }
    const [lo = 0, hi = 0] = [own.lo[c], own.hi[c]];
    for (let q = 0; q < 256; q++) if (steps[q]) {
      const at = Math.floor((bins * (lo + ((hi - lo) * q) / 255 - range.lo)) / (range.hi - range.lo || 1));
      const bin = Math.max(0, Math.min(bins - 1, at));
      if (!Number.isNaN(bin)) counts[bin] = (counts[bin] ?? 0) + (steps[q] ?? 0);
    }
  }
  return counts;
}

/** Rows as comma-separated text; texts with commas, quotes or line ends are quoted. @param {(string | number)[][]} rows */
export function csvText(rows) {
  const cell = (/** @type {string | number} */ value) => (typeof value === "string" && /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : String(value));
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}

/** Two sets of 8-bit maps as their difference a - b, again in 8 bits with a range a channel. @param {Uint8Array} a @param {Stats} sa @param {Uint8Array} b @param {Stats} sb */
export function differenceMaps(a, sa, b, sb) {
  const count = sa.lo.length;
  const each = a.length / count;
  const maps = new Uint8Array(a.length);
  const stats = { lo: new Float32Array(count), hi: new Float32Array(count), mean: new Float32Array(count), std: new Float32Array(count), zero_frac: new Float32Array(count), bad: new Float32Array(count) };
  const line = new Float64Array(each);
  for (let c = 0; c < count; c++) {
    const [la = 0, ha = 0, lb = 0, hb = 0] = [sa.lo[c], sa.hi[c], sb.lo[c], sb.hi[c]];
    let [lo, hi, sum, squares, zeros] = [Infinity, -Infinity, 0, 0, 0];
    for (let i = 0; i < each; i++) {
      const v = la + ((ha - la) * (a[c * each + i] ?? 0)) / 255 - lb - ((hb - lb) * (b[c * each + i] ?? 0)) / 255;
      line[i] = v;
      lo = Math.min(lo, v);
      hi = Math.max(hi, v);
      sum += v;
      squares += v * v;
      if (v === 0) zeros++;
    }
    for (let i = 0; i < each; i++) maps[c * each + i] = hi > lo ? Math.floor((255 * ((line[i] ?? 0) - lo)) / (hi - lo) + 0.5) : 0;
    stats.lo[c] = lo;
    stats.hi[c] = hi;
    stats.mean[c] = sum / each;
    stats.std[c] = Math.sqrt(Math.max(0, squares / each - (sum / each) ** 2));
    stats.zero_frac[c] = zeros / each;
  }
  return { maps, stats };
}
