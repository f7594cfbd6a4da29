// @ts-check
/** A net in steps, run by the page itself where there is no server: batch of one, float32 values, sums in float64. */

/**
 * @typedef {{shape: number[], data: Float32Array}} LiveValue shape without the batch axis: [C, H, W] or [C]
 * @typedef {Record<string, any> & {op: string, in: number[], out: number, shape: number[]}} LiveStep
 * @typedef {{steps: LiveStep[], layers: Record<string, [number, number[]]>, input: number, output: number, macs: number}} LiveProgram
 */

/** Functions of one number; the step holds what they take. @type {Record<string, (value: number, step: LiveStep) => number>} */
const LIVE_POINTWISE = {
  relu: (v) => (v < 0 ? 0 : v),
  relu6: (v) => Math.min(6, Math.max(0, v)),
  leaky_relu: (v, { negative_slope = 0.01 }) => (v < 0 ? v * negative_slope : v),
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
  tanh: (v) => Math.tanh(v),
  silu: (v) => v / (1 + Math.exp(-v)),
  gelu: (v) => 0.5 * v * (1 + liveErf(v / Math.SQRT2)),
  elu: (v, { alpha = 1 }) => (v < 0 ? alpha * Math.expm1(v) : v),
  hardswish: (v) => (v * Math.min(6, Math.max(0, v + 3))) / 6,
  hardsigmoid: (v) => Math.min(6, Math.max(0, v + 3)) / 6,
  hardtanh: (v, { min_val = -1, max_val = 1 }) => Math.min(max_val, Math.max(min_val, v)),
};

/** @type {Record<string, (a: number, b: number) => number>} */
const LIVE_BINARY = { add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b };

/** The error function to 1.5e-7 near zero by its series, else by a continued fraction. @param {number} x */
function liveErf(x) {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    let term = x, sum = x;
    for (let n = 1; n < 60 && Math.abs(term) > 1e-17; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * (size + fraction)));
}

/**
 * All values of a net for one input, by their numbers.
 * @param {LiveProgram} program @param {Record<string, Float32Array>} arrays weights by name @param {LiveValue} input
 * @returns {Map<number, LiveValue>}
 */
export function runLive(program, arrays, input) {
  /** @type {Map<number, LiveValue>} */
  const values = new Map([[program.input, input]]);
  for (const step of program.steps) {
    const given = step.in.map((at) => /** @type {LiveValue} */ (values.get(at)));
    const way = LIVE_STEPS[step.op];
    if (!way || given.some((value) => !value)) throw new Error(`the step ${step.op} is not known here`);
    values.set(step.out, { shape: step.shape, data: way(step, given, arrays, values) });
  }
  return values;
}

/** @type {Record<string, (step: LiveStep, given: LiveValue[], arrays: Record<string, Float32Array>, values: Map<number, LiveValue>) => Float32Array>} */
const LIVE_STEPS = {
  conv: (step, [x], arrays) => liveConv(step, /** @type {LiveValue} */ (x), arrays[step["w"]] ?? new Float32Array(), step["b"] ? arrays[step["b"]] : undefined),
  linear(step, [x], arrays) {
    const w = /** @type {Float32Array} */ (arrays[step["w"]]), b = step["b"] ? arrays[step["b"]] : undefined, data = /** @type {LiveValue} */ (x).data;
    return Float32Array.from({ length: step.shape[0] ?? 0 }, (_, o) => {
      let sum = b?.[o] ?? 0;
      const start = o * data.length;
      for (let i = 0; i < data.length; i++) sum += /** @type {number} */ (w[start + i]) * /** @type {number} */ (data[i]);
      return sum;
    });
  },
  maxpool: (step, [x]) => livePool(step, /** @type {LiveValue} */ (x), false),
  avgpool: (step, [x]) => livePool(step, /** @type {LiveValue} */ (x), true),
  adaptive: (step, [x]) => liveAdaptive(step, /** @type {LiveValue} */ (x)),
  affine(_step, [x], arrays) {
    const { shape, data } = /** @type {LiveValue} */ (x);
    const size = data.length / (shape[0] ?? 1);
    const w = /** @type {Float32Array} */ (arrays[_step["w"]]), b = /** @type {Float32Array} */ (arrays[_step["b"]]);
    return data.map((v, i) => v * (w[Math.floor(i / size)] ?? 1) + (b[Math.floor(i / size)] ?? 0));
  },
  map(step, [x]) {
    const fn = LIVE_POINTWISE[step["fn"]];
    if (!fn) throw new Error(`the function ${step["fn"]} is not known here`);
    return /** @type {LiveValue} */ (x).data.map((v) => fn(v, step));
  },
  same: (_step, [x]) => /** @type {LiveValue} */ (x).data,
  mean: (step, [x]) => liveTotals(step, /** @type {LiveValue} */ (x), true),
  sum: (step, [x]) => liveTotals(step, /** @type {LiveValue} */ (x), false),
  binary(step, _given, arrays, values) {
    const fn = LIVE_BINARY[step["fn"]];
    if (!fn) throw new Error(`the function ${step["fn"]} is not known here`);
    const [a, b] = step["sides"].map((/** @type {any} */ side) => liveSide(side, step.shape, arrays, values));
    const length = step.shape.reduce((product, size) => product * size, 1);
    return Float32Array.from({ length }, (_, i) => fn(a(i), b(i)));
  },
  cat(step, given) {
    const out = new Float32Array(step.shape.reduce((product, size) => product * size, 1));
    let at = 0;
    for (const { data } of given) { out.set(data, at); at += data.length; }
    return out;
  },
  softmax: (_step, [x]) => liveSoftmax(/** @type {LiveValue} */ (x).data),
  log_softmax: (_step, [x]) => liveSoftmax(/** @type {LiveValue} */ (x).data).map(Math.log),
};

/** One side of a sum or product, read at a place of the result; sides of fewer places are repeated. @param {any} side @param {number[]} shape @param {Record<string, Float32Array>} arrays @param {Map<number, LiveValue>} values @returns {(at: number) => number} */
function liveSide(side, shape, arrays, values) {
  if (side.number !== undefined) return () => side.number;
  const { data, shape: own } = typeof side === "number" ? /** @type {LiveValue} */ (values.get(side)) : { data: /** @type {Float32Array} */ (arrays[side.w]), shape: side.shape };
  const sizes = own.slice(-shape.length);
  const length = shape.reduce((product, size) => product * size, 1);
  if (data.length === length) return (at) => /** @type {number} */ (data[at]);
  const rank = shape.length;
  const padded = [...Array(rank - sizes.length).fill(1), ...sizes];
  return (at) => {
    let place = 0, step = 1, rest = at;
    for (let axis = rank - 1; axis >= 0; axis--) {
      const size = shape[axis] ?? 1, mine = padded[axis] ?? 1;
      if (mine > 1) place += (rest % size) * step;
      rest = Math.floor(rest / size);
      step *= mine;
    }
    return /** @type {number} */ (data[place]);
  };
}

/** @param {Float32Array} data */
export function liveSoftmax(data) {
  const most = data.reduce((a, b) => Math.max(a, b), -Infinity);
  const shares = Array.from(data, (v) => Math.exp(v - most));
  const total = shares.reduce((a, b) => a + b, 0);
  return Float32Array.from(shares, (v) => v / total);
}

/** @param {LiveStep} step @param {LiveValue} x @param {Float32Array} w [O, I/g, kh, kw] @param {Float32Array | undefined} b */
function liveConv(step, { shape: [channels = 1, height = 1, width = 1], data }, w, b) {
  const [outs = 1, rows = 1, columns = 1] = step.shape;
  const [kh = 1, kw = 1] = step["kernel"], [sy = 1, sx = 1] = step["stride"], [py = 0, px = 0] = step["pad"], [dy = 1, dx = 1] = step["dilation"];
  const groups = step["groups"], each = channels / groups, per = outs / groups;
  const out = new Float32Array(outs * rows * columns);
  const sums = new Float64Array(rows * columns);
  for (let o = 0; o < outs; o++) {
    sums.fill(b?.[o] ?? 0);
    const first = Math.floor(o / per) * each;
    for (let i = 0; i < each; i++) for (let ky = 0; ky < kh; ky++) for (let kx = 0; kx < kw; kx++) {
      const weight = /** @type {number} */ (w[((o * each + i) * kh + ky) * kw + kx]);
      if (weight === 0) continue;
      const shift = kx * dx - px;
      const from = Math.max(0, Math.ceil(-shift / sx)), to = Math.min(columns, Math.floor((width - 1 - shift) / sx) + 1);
      for (let y = 0; y < rows; y++) {
        const line = y * sy + ky * dy - py;
        if (line < 0 || line >= height) continue;
        const base = ((first + i) * height + line) * width + shift, at = y * columns;
        for (let x = from; x < to; x++) sums[at + x] = /** @type {number} */ (sums[at + x]) + weight * /** @type {number} */ (data[base + x * sx]);
      }
    }
    out.set(sums, o * rows * columns);
  }
  return out;
}

/** @param {LiveStep} step @param {LiveValue} x @param {boolean} average */
function livePool(step, { shape: [channels = 1, height = 1, width = 1], data }, average) {
  const [, rows = 1, columns = 1] = step.shape;
  const [kh = 1, kw = 1] = step["kernel"], [sy = 1, sx = 1] = step["stride"], [py = 0, px = 0] = step["pad"], [dy = 1, dx = 1] = step["dilation"];
  const out = new Float32Array(channels * rows * columns);
  let at = 0;
  for (let c = 0; c < channels; c++) for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
    let most = -Infinity, sum = 0, inside = 0, counted = 0;
    for (let ky = 0; ky < kh; ky++) for (let kx = 0; kx < kw; kx++) {
      const line = y * sy + ky * dy - py, column = x * sx + kx * dx - px;
      if (line < height + py && column < width + px) counted++;
      if (line < 0 || line >= height || column < 0 || column >= width) continue;
      const value = /** @type {number} */ (data[(c * height + line) * width + column]);
      if (value > most || Number.isNaN(value)) most = value;
      sum += value;
      inside++;
    }
    out[at++] = average ? sum / (step["counted"] ? counted : inside) : most;
  }
  return out;
}

/** Means of parts that cover the map, as torch cuts them. @param {LiveStep} step @param {LiveValue} x */
export function liveAdaptive(step, { shape: [channels = 1, height = 1, width = 1], data }) {
  const [, rows = 1, columns = 1] = step.shape;
  const out = new Float32Array(channels * rows * columns);
  let at = 0;
  for (let c = 0; c < channels; c++) for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
    const top = Math.floor((y * height) / rows), bottom = Math.ceil(((y + 1) * height) / rows), left = Math.floor((x * width) / columns), right = Math.ceil(((x + 1) * width) / columns);
    let sum = 0;
    for (let line = top; line < bottom; line++) for (let column = left; column < right; column++) sum += /** @type {number} */ (data[(c * height + line) * width + column]);
    out[at++] = sum / ((bottom - top) * (right - left));
  }
  return out;
}

/** @param {LiveStep} _step @param {LiveValue} x @param {boolean} mean */
function liveTotals(_step, { shape, data }, mean) {
  const channels = shape[0] ?? 1, size = data.length / channels;
  return Float32Array.from({ length: channels }, (_, c) => {
    let sum = 0;
    for (let i = c * size; i < (c + 1) * size; i++) sum += /** @type {number} */ (data[i]);
    return mean ? sum / size : sum;
  });
}
