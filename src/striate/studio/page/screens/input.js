// @ts-check
/** Screen 2: gives the net an input: drawn, a file, an item of the data, one pixel changed; and shows what the net reads of it. */
import { part } from "../api.js";
import { colourPixels } from "../core/colour.js";
import { envelopeOf, opaquePixels, zoomedPixels } from "../core/geometry.js";
import { tilingOf } from "../core/tiles.js";
import { fill, h, newest } from "../store.js";
import { themeName } from "../ui/channel.js";
import { pictureGrid } from "../ui/grid.js";
import { drawingPad } from "../ui/pad.js";
import { typedNumber } from "../words.js";

/**
 * @typedef {import("../main.js").Context} Context @typedef {import("../wire.js").Run} Run @typedef {import("../wire.js").NetCard} NetCard
 * @typedef {import("../core/decode.js").Tensor} Tensor
 */

const ITEMS = 24; // of the data at once

/** @param {Context} context @returns {HTMLElement} */
export function input(context) {
  const { t } = context;
  const given = h("section", { class: "stack" });
  const read = h("section", { class: "card" });
  const element = h("div", { class: "stack" }, h("h1", {}, t("screen.input")), h("div", { class: "split" }, given, read));
  const target = h("select", { "aria-label": t("input.target") }, ["A", "B"].map((name) => h("option", { value: name }, t("input.as", { name }))));
  const give = (/** @type {Run} */ run, replace = false) => context.show(run, { replace, b: target.value === "B" });
  let net = "";
  const reading = readView(context, read, give);
  context.watch((view) => {
    if (!view.net || !view.run) return;
    if (view.net.id !== net) fill(given, waysIn(context, view.net, give, target));
    net = view.net.id;
    element.dataset.ready = view.run.run_id;
    reading(view.run);
  });
  return element;
}

/** @param {Context} context @param {NetCard} net @param {(run: Run, replace?: boolean) => void} give @param {HTMLElement} target */
function waysIn(context, net, give, target) {
  const { t } = context;
  const drawn = net.input.channels > 0 && net.input.shape.length === 3 && way(t("input.draw"), drawWay(context, net, give));
  const file = way(t("input.file"), fileWay(context, net, give));
  const items = net.items > 0 && itemsWay(context, net, give);
  const small = (net.input.shape.at(-1) ?? 0) <= 64; // small enough to be drawn well
  return [
    h("p", { class: "row" }, h("span", { class: "muted" }, t("input.target")), target),
    ...(small ? [drawn, items, file] : [items, file, drawn]),
  ];
}

/** @param {string} title @param {HTMLElement} body */
const way = (title, body) => h("section", { class: "card" }, h("h2", {}, title), body);

/** @param {Context} context @param {NetCard} net @param {(run: Run, replace?: boolean) => void} give */
function drawWay(context, net, give) {
  const { t, api } = context;
  const { channels } = net.input;
  const [, height = 1, width = 1] = net.input.shape;
  /** @type {import("../ui/pad.js").Drawing | null} */
  let waiting = null;
  let flying = false;
  let first = true;
  /** One request at a time; what was drawn meanwhile goes as one, so the last answer is of the last stroke. @param {import("../ui/pad.js").Drawing} drawing */
  async function changed(drawing) {
    waiting = drawing;
    if (flying) return;
    flying = true;
    try {
      while (waiting) {
        const { pixels, height: rows, width: columns, channels: count } = /** @type {import("../ui/pad.js").Drawing} */ (waiting);
        waiting = null;
        give(await api.send(`net/${part(net.id)}/input`, pixels.slice(), { "X-Kind": "u8", "X-Shape": `${rows},${columns},${count}` }), !first);
        first = false;
      }
    } catch (error) {
      if (/** @type {any} */ (error)?.superseded && waiting === null) waiting = drawing;
      context.fail(error);
    } finally {
      flying = false;
    }
  }
  const pad = drawingPad(context, { height, width, channels }, changed);
  const on = h("button", { onclick: () => current((picture) => pad.start(/** @type {Uint8Array} */ (picture.data), picture.shape[2] ?? 1)) }, t("input.draw_on"));
  /** @param {(picture: import("../core/decode.js").Tensor) => void} use */
  const current = (use) => void api.arrays(`run/${part(context.view().run?.run_id ?? "")}/input`).then(({ arrays: { picture } }) => {
    if (picture && picture.shape[0] === height && picture.shape[1] === width) use(picture);
  }, context.fail);
  current((picture) => pad.ground(borderMean(picture) < 128));
  return h("div", { class: "stack" }, pad.element, h("p", { class: "row" }, on));
}

/** The mean of a picture's edge: dark or light ground. @param {import("../core/decode.js").Tensor} picture */
function borderMean({ data, shape: [height = 1, width = 1, channels = 1] }) {
  let [sum, n] = [0, 0];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x += y === 0 || y === height - 1 ? 1 : Math.max(1, width - 1)) {
    sum += data[(y * width + x) * channels] ?? 0;
    n++;
  }
  return sum / n;
}

/** @param {Context} context @param {NetCard} net @param {(run: Run) => void} give */
function fileWay({ t, api, fail }, net, give) {
  const only = newest();
  const kinds = net.input.kind === "audio" ? ".wav,audio/*" : net.input.channels ? "image/*" : "";
  const send = (/** @type {File | undefined} */ file) => {
    if (!file) return;
    zone.setAttribute("aria-busy", "true");
    void only(api.send(`net/${part(net.id)}/input`, file, { "X-Kind": "file", "X-Name": encodeURIComponent(file.name) }).finally(() => zone.removeAttribute("aria-busy")), give, fail);
  };
  const picker = h("input", { type: "file", accept: kinds, "aria-label": t("input.choose_file"), onchange: () => { send(picker.files?.[0]); picker.value = ""; } });
  const zone = h("div", { class: "drop" }, picker, h("p", { class: "muted" }, t(net.input.kind === "audio" ? "input.drop_sound" : net.input.channels ? "input.drop_picture" : "input.drop_file")));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); send(event.dataTransfer?.files[0]); });
  return zone;
}

/** Items of the data, a page at a time; nothing where there is no data. @param {Context} context @param {NetCard} net @param {(run: Run) => void} give */
function itemsWay({ t, api, fail }, net, give) {
  const list = h("div", { class: "thumbs" });
  const at = h("span", { class: "figure" });
  let from = 0;
  let total = 0;
  const only = newest();
  const page = (/** @type {number} */ by) => {
    from = Math.max(0, from + by);
    void only(api.get(`net/${part(net.id)}/items?from=${from}&count=${ITEMS}`), (answer) => {
      total = answer.total;
      section.hidden = !total;
      at.textContent = t("input.items_shown", { from: from + 1, to: Math.min(total, from + ITEMS), total });
      fill(list, answer.items.map((/** @type {import("../wire.js").Item} */ item) => h("button", { class: "thumb", title: item.name, onclick: () => only(api.post(`net/${part(net.id)}/item`, { index: item.index }), give, fail) },
        h("img", { src: api.picture(item.thumb.replace(/^api\//, "")), alt: "", loading: "lazy", width: 56, height: 56 }), h("span", { dir: "auto" }, item.label ?? item.name))));
      back.disabled = from === 0;
      next.disabled = from + ITEMS >= total;
    }, (error) => { section.hidden = true; if (error.status !== 404) fail(error); });
  };
  const back = h("button", { onclick: () => page(-ITEMS) }, t("shared.previous"));
  const next = h("button", { onclick: () => page(ITEMS) }, t("shared.next"));
  const section = way(t("input.items"), h("div", { class: "stack" }, list, h("p", { class: "row" }, back, at, next)));
  section.hidden = true;
  page(0);
  return section;
}

/**
 * What the net reads of a run: the steps, the picture with its pixels (each can be changed), or the signal.
 * @param {Context} context @param {HTMLElement} element @param {(run: Run, replace?: boolean) => void} give
 */
function readView(context, element, give) {
  const { t, api, fail, number } = context;
  const steps = h("ol", { class: "steps" });
  const signal = h("div", { class: "scroll" });
  const pixel = h("p", { class: "value" });
  const boxes = h("p", { class: "row" });
  /** What is shown, and what is changed of it: the picture's own values, or, where it is none, what the net reads. */
  /** @type {{run: Run, picture: Tensor, x: Tensor | undefined} | null} */
  let shown = null;
  const only = newest();
  const grid = pictureGrid({
    label: t("input.read_picture"), text: (place) => says(place),
    focus: (place) => { pixel.textContent = says(place); edits(place); context.announce(says(place)); },
    point: (spot) => { if (shown) pixel.textContent = says(spot ? spot.place : grid.at()); },
    enter: () => boxes.querySelector("input")?.focus(),
  });
  /** @param {number} place @returns {number[]} */
  function valuesAt(place) {
    if (!shown) return [];
    const { picture, x } = shown;
    const channels = context.view().net?.input.channels || (x?.shape[0] ?? 1);
    if (!x) return Array.from({ length: channels }, (_, c) => picture.data[place * (picture.shape[2] ?? 1) + c] ?? NaN);
    return Array.from({ length: channels }, (_, c) => x.data[(c * x.data.length) / channels + place] ?? NaN);
  }
  /** @param {number} place */
  function says(place) {
    const width = shown?.picture.shape[1] ?? 1;
    return shown ? t("input.pixel", { y: Math.floor(place / width), x: place % width, value: valuesAt(place).map((value) => number(value)).join(", ") }) : "";
  }
  /** @param {number} place */
  function edits(place) {
    const width = shown?.picture.shape[1] ?? 1;
    const inputs = valuesAt(place).map((value, c) => h("input", { inputmode: "decimal", size: 4, value: String(value), "aria-label": t("input.value_of", { c }) }));
    const change = () => {
      const values = inputs.map((box) => typedNumber(box.value));
      const wrong = inputs.find((_, i) => !Number.isFinite(values[i]));
      if (wrong) { fail(new Error(t("input.wrong_value", { value: wrong.value || "—" }))); wrong.focus(); return; }
      if (shown) void only(api.post(`net/${part(shown.run.net)}/edit`, { run_id: shown.run.run_id, y: Math.floor(place / width), x: place % width, values }), (run) => give(run), fail);
    };
    fill(boxes, t("input.change_pixel"), inputs, h("button", { onclick: change }, t("input.change")));
    for (const box of inputs) box.addEventListener("keydown", (event) => { if (event.key === "Enter") change(); });
  }
  const drawPicture = () => {
    if (!shown) return;
    const [height = 1, width = 1, channels = 1] = shown.picture.shape;
    const zoom = Math.max(1, Math.floor(320 / Math.max(height, width)));
    const all = opaquePixels(shown.picture.data, height * width, channels);
    grid.show(tilingOf(height * width, { height: 1, width: 1 }, { zoomY: zoom, zoomX: zoom, gap: 0 }, width * zoom), (band) => zoomedPixels(all, width, zoom, band.row, band.row + band.rows), grid.at(), 360);
    pixel.textContent = says(grid.at());
    edits(grid.at());
  };
  const pictured = h("div", { class: "stack" }, h("div", { class: "scroll" }, grid.element), pixel, boxes);
  fill(element, h("h2", {}, t("input.read")), pictured, signal, steps);
  let painted = "";
  context.theme(() => { painted = ""; const { run } = context.view(); if (run) show(run); });
  /** @param {Run} run */
  function show(run) {
    if (painted === run.run_id) return;
    painted = run.run_id;
    fill(steps, run.input.steps.map((step) => h("li", {}, h("b", {}, context.has(`input.step_${step.name}`) ? t(`input.step_${step.name}`) : step.name), stepText(context, step),
      step.preview ? h("img", { class: "pixels", alt: "", loading: "lazy", src: api.picture(step.preview.replace(/^api\//, "")) }) : null)));
    void only(api.arrays(`run/${part(run.run_id)}/input`), (answer) => {
      const { picture, x, wave } = answer.arrays;
      const drawn = Boolean(context.view().net?.input.channels);
      shown = picture && (drawn || (x?.shape.length === 3 && x.shape[1] === picture.shape[0])) ? { run, picture, x: drawn && run.input.unit !== "values" ? undefined : x } : null;
      pictured.hidden = !shown;
      drawPicture();
      const line = wave ?? (x && x.shape.length === 2 && x.shape[0] === 1 ? x : null);
      const map = x && (x.shape.length === 3 ? x.shape : x.shape.length === 2 && !line ? [1, ...x.shape] : null);
      fill(signal, line && waveCanvas(line.data.subarray(0, line.shape.at(-1)), t("input.wave")), !shown && x && map && mapCanvas({ ...x, shape: map }, t(run.input.kind === "audio" ? "input.spectrogram" : "input.series")));
      element.dataset["ready"] = run.run_id;
    }, fail);
  }
  return show;
}

/** A step in the reader's language where its numbers say it, else in the words of the server. @param {Context} context @param {import("../wire.js").Step} step */
function stepText({ t, has, language }, { name, text, params }) {
  const key = `input.say_${[name, ...Object.keys(params).sort()].join("_")}`;
  return language !== "en" && has(key) ? h("span", {}, t(key, params)) : h("span", { lang: "en" }, text);
}

/** @param {ArrayLike<number>} values @param {string} label */
function waveCanvas(values, label) {
  const [width, height] = [Math.min(560, values.length), 96];
  const { low, high } = envelopeOf(values, width);
  const size = Math.max(high.reduce((a, b) => Math.max(a, b), 0), -low.reduce((a, b) => Math.min(a, b), 0)) || 1;
  const canvas = h("canvas", { width, height, role: "img", "aria-label": label, class: "pixels wave" });
  const pen = canvas.getContext("2d");
  if (pen) {
    pen.fillStyle = themeName() === "dark" ? "#6cb2ff" : "#0b5cad";
    for (let x = 0; x < width; x++) {
      const [above, below] = [Math.max(high[x] ?? 0, low[x - 1] ?? -Infinity), Math.min(low[x] ?? 0, high[x - 1] ?? Infinity)]; // joined to the column before
      const top = (height / 2) * (1 - above / size);
      pen.fillRect(x, top, 1, Math.max(1, (height / 2) * (1 - below / size) - top));
    }
  }
  return canvas;
}

/** The first map of an array, low frequencies below. @param {import("../core/decode.js").Tensor} x @param {string} label */
function mapCanvas({ data, shape: [, height = 1, width = 1] }, label) {
  const values = Float32Array.from(data.subarray(0, height * width));
  const range = { lo: values.reduce((a, b) => Math.min(a, b), Infinity), hi: values.reduce((a, b) => Math.max(a, b), -Infinity) };
  const canvas = h("canvas", { width, height, role: "img", "aria-label": label, class: "pixels spectrogram" });
  const pixels = colourPixels(values, range, themeName());
  const turned = new Uint32Array(pixels.length);
  for (let y = 0; y < height; y++) turned.set(pixels.subarray((height - 1 - y) * width, (height - y) * width), y * width);
  canvas.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(turned.buffer), width, height), 0, 0);
  return canvas;
}
