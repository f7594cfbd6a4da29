// @ts-check
/** What answers in a saved page: the answers that were saved with it, and for small nets the net itself. */
import { ApiError, useSource } from "./api.js";
import { decodeTensors } from "./core/decode.js";
import { liveAdaptive, liveSoftmax, runLive } from "./live.js";

/**
 * @typedef {import("./core/decode.js").Tensors} Tensors @typedef {import("./core/decode.js").Tensor} Tensor @typedef {import("./live.js").LiveValue} LiveValue
 * @typedef {{json?: any, bytes?: string, png?: string}} SavedAnswer
 * @typedef {{words: Record<string, Record<string, string>>, answers: Record<string, SavedAnswer>, net: string, why: string,
 *   live: {program: import("./live.js").LiveProgram, arrays: Record<string, {data: string}>, scale: number[], shift: number[], picture: number[]} | null}} SavedData
 * @typedef {{id: string, picture: Uint8Array, x: Float32Array, values: Map<number, LiveValue>, answer: any}} LiveRun
 */

const SAVED_LIVE = 24; // inputs of one's own that are held

/** A path and its query in one order; the width of a window is left out. @param {string} path */
export function savedKey(path) {
  const [base = "", query = ""] = path.split("?", 2);
  const rest = [...new URLSearchParams(query)].filter(([key]) => key !== "width").map(([key, value]) => `${key}=${value}`).sort();
  return decodeURIComponent(base) + (rest.length ? `?${rest.join("&")}` : "");
}

/** @param {string} text base64 @returns {ArrayBuffer} */
function savedBytes(text) {
  const plain = atob(text);
  const bytes = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) bytes[i] = plain.charCodeAt(i);
  return bytes.buffer;
}

/** @param {SavedData} saved @returns {import("./api.js").Api} */
export function savedSource(saved) {
  let language = "en";
  /** @type {Map<string, LiveRun>} */
  const runs = new Map();
  /** @type {Map<string, Tensors>} */
  const decoded = new Map();
  let count = 0;
  const net = `net/${saved.net}`;
  const say = (/** @type {string} */ key, /** @type {Record<string, string>} */ values = {}) => (saved.words[language]?.[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  const weights = saved.live && Object.fromEntries(Object.entries(saved.live.arrays).map(([name, { data }]) => [name, new Float32Array(savedBytes(data))]));

  /** @param {string} path @param {Record<string, string>} [query] */
  function missing(path, query = {}) {
    const run = /^run\/([^/]+)\/(number|terms|plane)/.exec(path);
    const cells = run ? Object.keys(saved.answers).filter((key) => key.startsWith(`run/${run[1]}/number?`) && key.includes(`layer=${query["layer"] ?? ""}`)).map((key) => /at=([\d,]+)/.exec(key)?.[1] ?? "") : [];
    return new ApiError(404, cells.length ? say("saved.cells", { layer: query["layer"] ?? "", cells: cells.slice(0, 12).join("; ") }) : say("saved.missing"));
  }

  /** @param {string} path */
  const stored = (path) => ofKey(savedKey(path));
  /** @param {string} key @returns {Tensors | null} */
  function ofKey(key) {
    const text = saved.answers[key]?.bytes;
    if (text === undefined) return null;
    const found = decoded.get(key) ?? decodeTensors(savedBytes(text));
    decoded.set(key, found);
    return found;
  }

  /** @param {string} path @returns {Promise<Tensors>} */
  async function arrays(path) {
    const [base = "", text = ""] = path.split("?", 2);
    const query = Object.fromEntries(new URLSearchParams(text));
    const [, run = "", what = ""] = /^run\/([^/]+)\/(\w+)$/.exec(base) ?? [];
    const live = runs.get(run);
    const found = live ? liveArrays(live, what, query) : (stored(path) ?? derived(base, run, what, query));
    if (!found) throw missing(base, query);
    return found;
  }

  /** What can be cut out of something that was saved. @param {string} base @param {string} run @param {string} what @param {Record<string, string>} query @returns {Tensors | null} */
  function derived(base, run, what, query) {
    const layer = query["layer"] ?? "";
    if (what === "channel" || what === "plane") {
      const whole = layer.startsWith("#input") ? stored(`run/${run}/input`)?.arrays["x"] : stored(`run/${run}/channel?layer=${encodeURIComponent(layer)}`)?.arrays["map"];
      const one = whole ? undefined : stored(`run/${run}/channel?layer=${encodeURIComponent(layer)}&c=${query["c"] ?? ""}`);
      return whole ? planeOfWhole(whole, layer, run, query["c"], what === "plane") : one ?? null;
    }
    if (what === "thumbs") {
      const key = Object.keys(saved.answers).find((each) => each.startsWith(`run/${run}/thumbs?`));
      return key ? someThumbs(ofKey(key), query["layers"] ?? "") : null;
    }
    if (base.endsWith("/kernels") && base.startsWith("net/")) {
      const whole = stored(`${base}?layer=${encodeURIComponent(layer)}&from=0&count=65536`);
      return whole ? someKernels(whole, Number(query["from"]), Number(query["count"])) : null;
    }
    return null;
  }

  /** @param {LiveRun} live @param {string} what @param {Record<string, string>} query @returns {Tensors | null} */
  function liveArrays(live, what, query) {
    const program = saved.live?.program;
    const [height = 1, width = 1, channels = 1] = saved.live?.picture ?? [];
    if (!program) return null;
    if (what === "input") {
      const picture = new Uint8Array(height * width * 3);
      for (let i = 0; i < picture.length; i++) picture[i] = live.picture[channels === 3 ? i : Math.floor(i / 3) * channels] ?? 0;
      return { meta: { run_id: live.id }, arrays: { x: { dtype: "F32", shape: [channels, height, width], data: live.x }, picture: { dtype: "U8", shape: [height, width, 3], data: picture } } };
    }
    if (what === "thumbs") return liveThumbs(program, live, (query["layers"] ?? "").split(/,(?=[^,]*[@#]\d+(?:,|$))/));
    const layer = query["layer"] ?? "";
    const value = layer.startsWith("#input") ? { shape: [channels, height, width], data: live.x } : live.values.get(program.layers[layer]?.[0] ?? -1);
    if (!value) return null;
    const whole = { dtype: "F32", shape: value.shape, data: value.data };
    if (what === "maps") return liveMaps(value, layer, live.id);
    return what === "channel" || what === "plane" ? planeOfWhole(whole, layer, live.id, query["c"], what === "plane") : null;
  }

  /** The net on pixels of the picture's own size. @param {Uint8Array} pixels [H, W, C] @param {number} given channels of them */
  function computed(pixels, given) {
    const { live } = saved;
    const [height = 1, width = 1, channels = 1] = live?.picture ?? [];
    if (!live || !weights) throw new ApiError(409, say("saved.not_live", { why: saved.why }));
    if (pixels.length !== height * width * given) throw new ApiError(400, say("saved.size", { size: `${height}×${width}` }));
    const picture = new Uint8Array(height * width * channels);
    for (let i = 0; i < height * width; i++) for (let c = 0; c < channels; c++) picture[i * channels + c] = pixels[i * given + Math.min(c, given - 1)] ?? 0;
    const size = height * width;
    const x = Float32Array.from({ length: size * channels }, (_, at) => (picture[(at % size) * channels + Math.floor(at / size)] ?? 0) * (live.scale[Math.floor(at / size)] ?? 1) + (live.shift[Math.floor(at / size)] ?? 0));
    const begun = performance.now();
    const values = runLive(live.program, weights, { shape: [channels, height, width], data: x });
    const logits = /** @type {LiveValue} */ (values.get(live.program.output)).data;
    const card = saved.answers[net]?.json;
    const shares = liveSoftmax(logits);
    const order = Array.from(logits.keys()).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0)).slice(0, card.example.top.length);
    const id = `live-${++count}`;
    const { item: _item, truth: _truth, ...rest } = card.example;
    const answer = { ...rest, run_id: id, ms: performance.now() - begun, input: { ...card.example.input, steps: [] }, top: order.map((index) => ({ index, class: card.classes[index] ?? String(index), p: shares[index], logit: logits[index] })) };
    runs.set(id, { id, picture, x, values, answer });
    const oldest = runs.keys().next().value;
    if (runs.size > SAVED_LIVE && oldest) runs.delete(oldest);
    return answer;
  }

  /** @param {string} path */
  async function get(path) {
    const key = savedKey(path);
    const base = key.split("?")[0] ?? "";
    const [, run = "", what = ""] = /^run\/([^/]+)(?:\/(\w+))?$/.exec(base) ?? [];
    const live = runs.get(run);
    if (live && !what) return live.answer;
    if (live && what === "ranges" && saved.live) return liveRanges(saved.live.program, live);
    const found = saved.answers[key]?.json;
    if (found !== undefined) return found;
    if (base === `${net}/items`) return saved.answers[`${net}/items`]?.json;
    if (base === `${net}/index`) return { ready: false, items: 0, why: say("saved.missing") };
    if (base === `${net}/graph`) return saved.answers[`${net}/graph`]?.json;
    if (base === `${net}/graph/layout`) return saved.answers[`${net}/graph`]?.json.layout;
    throw missing(base, Object.fromEntries(new URLSearchParams(path.split("?")[1] ?? "")));
  }

  return {
    get, arrays,
    raw: async () => { throw missing(""); },
    words: async (wanted) => { language = wanted; return saved.words[wanted] ?? {}; },
    picture: (path) => { const text = saved.answers[savedKey(path)]?.png; return text ? `data:image/png;base64,${text}` : ""; },
    listen: () => () => {},
    async post(path, body = {}) {
      const given = /** @type {any} */ (body);
      if (path === "open" && given.net === saved.net) return saved.answers[net]?.json;
      const run = path === `${net}/item` ? saved.answers[`${net}/item ${given.index}`]?.json : undefined;
      if (run) return saved.answers[`run/${run}`]?.json;
      const live = path === `${net}/edit` ? runs.get(given.run_id) ?? storedPicture(given.run_id) : null;
      if (!live) throw missing(path);
      const [, width = 1, channels = 1] = saved.live?.picture ?? [];
      const pixels = live.picture.slice();
      given.values.forEach((/** @type {number} */ value, /** @type {number} */ c) => { pixels[(given.y * width + given.x) * channels + c] = Math.max(0, Math.min(255, Math.round(value))); });
      return computed(pixels, channels);
    },
    async send(path, body, headers) {
      if (path !== `${net}/input` || headers["X-Kind"] !== "u8" || body instanceof Blob) throw new ApiError(409, say("saved.drawn_only"));
      const channels = Number((headers["X-Shape"] ?? "").split(",")[2] ?? 1);
      return computed(ArrayBuffer.isView(body) ? new Uint8Array(body.buffer, body.byteOffset, body.byteLength) : new Uint8Array(body), channels);
    },
  };

  /** The picture of a saved run in the channels of the net. @param {string} run */
  function storedPicture(run) {
    const picture = stored(`run/${run}/input`)?.arrays["picture"];
    const channels = saved.live?.picture[2] ?? 3;
    return picture ? { picture: Uint8Array.from({ length: (picture.data.length / 3) * channels }, (_, i) => Number(picture.data[Math.floor(i / channels) * 3 + (i % channels)])) } : null;
  }
}

/** One channel of a layer, or all. @param {Tensor} whole @param {string} layer @param {string} run @param {string | undefined} c @param {boolean} flat of a vector all of it, as rows of one */
function planeOfWhole(whole, layer, run, c, flat) {
  const size = whole.shape.slice(1).reduce((product, side) => product * side, 1);
  const at = c === undefined ? null : Number(c);
  const meta = { layer, run_id: run, shape: whole.shape, total: whole.shape[0] };
  const plane = flat && whole.shape.length < 3 ? { dtype: "F32", shape: [1, whole.data.length], data: whole.data } : null;
  const map = at === null ? whole : { dtype: "F32", shape: whole.shape.length > 1 ? whole.shape.slice(1) : [1], data: whole.data.subarray(at * size, (at + 1) * size) };
  return { meta: at === null ? meta : { ...meta, c: at }, arrays: { map: plane ?? map } };
}

/** Maps as bytes with their range, as the server makes them. @param {LiveValue} value @param {string} layer @param {string} run @returns {Tensors} */
function liveMaps({ shape, data }, layer, run) {
  const channels = shape[0] ?? 1, size = data.length / channels;
  const stats = Object.fromEntries(["lo", "hi", "mean", "std", "zero_frac", "bad"].map((name) => [name, new Float32Array(channels)]));
  const bytes = new Uint8Array(data.length);
  const put = (/** @type {string} */ name, /** @type {number} */ c, /** @type {number} */ number) => { const of = stats[name]; if (of) of[c] = number; };
  for (let c = 0; c < channels; c++) {
    const part = data.subarray(c * size, (c + 1) * size);
    const lo = part.reduce((a, b) => Math.min(a, b), Infinity), hi = part.reduce((a, b) => Math.max(a, b), -Infinity), mean = part.reduce((a, b) => a + b, 0) / size;
    put("lo", c, lo); put("hi", c, hi); put("mean", c, mean);
    put("std", c, Math.sqrt(part.reduce((sum, v) => sum + (v - mean) ** 2, 0) / size));
    put("zero_frac", c, part.reduce((sum, v) => sum + Number(v === 0), 0) / size);
    const span = hi > lo ? hi - lo : 1;
    for (let i = 0; i < size; i++) bytes[c * size + i] = Math.round((((part[i] ?? 0) - lo) / span) * 255);
  }
  const [, height = 1, width = 1] = shape.length === 3 ? shape : [channels, 1, shape[1] ?? 1];
  const kind = shape.length === 3 ? "maps" : shape.length === 2 ? "series" : "vector";
  const told = Object.fromEntries(Object.entries(stats).map(([name, of]) => [name, { dtype: "F32", shape: [channels], data: of }]));
  return { meta: { layer, run_id: run, dtype: "u8", order: "index", kind, shape, shown: channels, total: channels }, arrays: { maps: { dtype: "U8", shape: [channels, height, width], data: bytes }, ...told } };
}

/** @param {import("./live.js").LiveProgram} program @param {LiveRun} live @param {string[]} layers @returns {Tensors} */
function liveThumbs(program, live, layers) {
  /** @type {Tensors} */
  const out = { meta: { run_id: live.id, layers: [] }, arrays: {} };
  layers.forEach((layer, i) => {
    const value = live.values.get(program.layers[layer]?.[0] ?? -1);
    if (!value) return;
    const [channels = 1, height = 1, width = 1] = value.shape;
    const few = Math.min(8, channels), scale = Math.max(height, width) / 32;
    const cut = { shape: [few, height, width], data: value.data.subarray(0, few * height * width) };
    const small = scale > 1 ? [few, Math.max(1, Math.round(height / scale)), Math.max(1, Math.round(width / scale))] : cut.shape;
    const made = liveMaps({ shape: small, data: scale > 1 ? liveAdaptive({ op: "adaptive", in: [], out: 0, shape: small }, cut) : cut.data }, layer, live.id);
    for (const name of ["maps", "lo", "hi"]) out.arrays[`${name}.${i}`] = /** @type {Tensor} */ (made.arrays[name]);
    out.meta["layers"].push({ layer, shown: few, total: channels });
  });
  return out;
}

/** @param {import("./live.js").LiveProgram} program @param {LiveRun} live */
function liveRanges(program, live) {
  const layers = Object.keys(program.layers);
  const ends = layers.map((layer) => {
    let lo = Infinity, hi = -Infinity;
    for (const v of live.values.get(program.layers[layer]?.[0] ?? -1)?.data ?? []) [lo, hi] = [Math.min(lo, v), Math.max(hi, v)];
    return { lo, hi };
  });
  return { layers, lo: ends.map(({ lo }) => lo), hi: ends.map(({ hi }) => hi) };
}

/** Of saved thumbnails those of some layers. @param {Tensors | null} all @param {string} layers @returns {Tensors | null} */
function someThumbs(all, layers) {
  if (!all) return null;
  /** @type {Tensors} */
  const out = { meta: { ...all.meta, layers: [] }, arrays: {} };
  const rows = /** @type {{layer: string}[]} */ (all.meta["layers"]);
  layers.split(/,(?=[^,]*[@#]\d+(?:,|$))/).forEach((layer) => {
    const at = rows.findIndex((row) => row.layer === layer);
    const to = out.meta["layers"].length;
    if (at < 0) return;
    for (const name of ["maps", "lo", "hi"]) out.arrays[`${name}.${to}`] = /** @type {Tensor} */ (all.arrays[`${name}.${at}`]);
    out.meta["layers"].push(rows[at]);
  });
  return out;
}

/** @param {Tensors} whole @param {number} from @param {number} count @returns {Tensors} */
function someKernels({ meta, arrays }, from, count) {
  const weight = /** @type {Tensor} */ (arrays["weight"]);
  const each = weight.shape.slice(1).reduce((product, side) => product * side, 1);
  const shown = Math.max(0, Math.min(count, (weight.shape[0] ?? 0) - from));
  return { meta: { ...meta, from, shown }, arrays: { ...arrays, weight: { ...weight, shape: [shown, ...weight.shape.slice(1)], data: weight.data.subarray(from * each, (from + shown) * each) } } };
}

const savedText = document.getElementById("saved")?.textContent;
if (savedText) {
  const data = /** @type {SavedData} */ (JSON.parse(savedText));
  useSource(savedSource(data));
  if (!location.hash) history.replaceState(null, "", `#/layer?net=${encodeURIComponent(data.net)}`);
}
