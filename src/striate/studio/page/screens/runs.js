// @ts-check
/** Screen 8: what a training did and does, its kernels over the checkpoints, runs beside each other. The audit is in audits.js. */
import { part } from "../api.js";
import { colourPixels, wholeRange } from "../core/colour.js";
import { curvesView } from "../ui/curves.js";
import { themeName } from "../ui/channel.js";
import { fill, h, newest } from "../store.js";
import { auditView } from "./audits.js";

/**
 * @typedef {import("../main.js").Context} Context @typedef {import("../ui/curves.js").Curve} Curve
 * @typedef {(number | null)[]} Column
 * @typedef {{id: string, name: string, state: string, task: string, net: string, epochs: number, score: string, value?: number}} RunItem
 * @typedef {{steps: number[], layers: string[], of: number, values: Record<string, Column[]>}} Health
 * @typedef {{run: RunItem, columns: Record<string, Column>, planned?: number, kept?: number, recipe: Record<string, string>,
 *   scores: Record<string, Record<string, {value: number, low: number | null, high: number | null}>>, checkpoints: number[], health?: Health, failure: string}} History
 * @typedef {{run: string, state: string, from: number, columns: Record<string, Column>, checkpoints: number[], health?: Health | null}} Change
 */

const TABS = ["curves", "kernels", "compare", "audit"];

/** @param {Context} context @returns {HTMLElement} */
export function runs(context) {
  const { t, go, api } = context;
  const list = h("ul", { class: "rows runlist" });
  const title = h("h2", { dir: "auto" });
  const line = h("p", { class: "muted", "aria-live": "polite" });
  const tabs = h("p", { class: "tabs" }, TABS.map((name) => h("button", { "data-tab": name, onclick: () => go({ tab: name === "curves" ? undefined : name }, { replace: true }) }, t(`runs.tab_${name}`))));
  const place = h("section", { class: "stack" });
  const element = h("div", { class: "stack runs" }, h("h1", {}, t("screen.runs")), h("div", { class: "split narrow" }, h("section", { class: "stack" }, list), h("section", { class: "card" }, title, line, tabs, place)));
  /** @type {RunItem[]} */
  let items = [];
  /** @type {History | null} */
  let history = null;
  /** @type {(() => void)} */
  let stop = () => {};
  let shown = "";
  /** @type {{element: HTMLElement, draw: (history: History) => void} | null} */
  let view = null;
  const only = newest();
  let loading = ""; // the run whose history is asked for

  /** The list again. */
  const refresh = () => api.get("runs").then((answer) => { items = answer.items; draw(); }, context.fail);
  function draw() {
    const { address, net } = context.view();
    const chosen = chosenRun(items, address.folder, net?.id);
    const compared = (address.with ?? "").split(",").filter(Boolean);
    fill(list, items.length ? items.map((item) => h("li", {}, h("button", { "data-run": item.id, "aria-pressed": String(item.id === chosen?.id), onclick: () => go({ folder: item.id }) },
      h("b", { dir: "auto" }, item.name), h("span", { dir: "auto" }, [item.task, item.net].filter(Boolean).join(" · ")), h("span", { class: "figure" }, t(`runs.state_${item.state}`))),
      h("label", { class: "muted" }, h("input", { type: "checkbox", checked: compared.includes(item.id), "aria-label": t("runs.compare_this", { name: item.name }), onchange: (/** @type {Event} */ event) => tick(item.id, /** @type {HTMLInputElement} */ (event.target).checked) }), t("runs.compare_short"))))
      : h("li", { class: "hint" }, t("runs.none")));
    if (!chosen) { element.dataset.ready = "runs"; return; }
    if (history?.run.id === chosen.id) present();
    else if (loading !== chosen.id) { history = null; load(chosen.id); }
  }
  /** @param {string} id @param {boolean} on */
  function tick(id, on) {
    const now = (context.view().address.with ?? "").split(",").filter((each) => each && each !== id);
    go({ with: [...now, ...(on ? [id] : [])].join(",") || undefined }, { replace: true });
  }
  /** @param {string} id */
  function load(id) {
    stop();
    stop = () => {};
    loading = id;
    only(api.get(`runs/${part(id)}/history`), (answer) => {
      loading = "";
      history = answer;
      shown = "";
      present();
      if (history && history.run.state !== "finished") stop = api.listen(`runs/${part(id)}/events`, { change: (/** @type {Change} */ change) => follow(change) });
    }, (error) => { loading = ""; context.fail(error); });
  }
  /** @param {Change} change */
  function follow(change) {
    if (!history || history.run.id !== change.run) return;
    const before = history.run.state;
    history = { ...history, run: { ...history.run, state: change.state }, columns: joinedColumns(history.columns, change), checkpoints: change.checkpoints, health: change.health ?? history.health };
    element.dataset.events = String(Number(element.dataset.events ?? 0) + 1);
    present();
    if (change.state === "finished") stop();
    if (before !== change.state) { refresh(); if (change.state === "finished") load(change.run); }
  }
  function present() {
    if (!history) return;
    const { address } = context.view();
    const tab = TABS.includes(address.tab ?? "") ? address.tab ?? "" : "curves";
    title.textContent = history.run.name;
    line.textContent = progressLine(context, history);
    for (const button of tabs.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.tab === tab));
    const key = `${history.run.id} ${tab} ${tab === "compare" ? address.with : ""}`;
    if (key !== shown) {
      shown = key;
      view = tab === "curves" ? courseView(context) : tab === "kernels" ? momentView(context) : tab === "audit" ? auditView(context, history.run.id) : compareView(context, (address.with ?? "").split(",").filter(Boolean));
      fill(place, view.element);
    }
    view?.draw(history);
    element.dataset.ready = `${history.run.id} ${tab}`;
  }
  context.watch(() => draw());
  context.leave(() => stop());
  refresh();
  return element;
}

/** The run of the address, that of the net which is open, or the first. @param {RunItem[]} items @param {string | undefined} id @param {string | undefined} net */
function chosenRun(items, id, net) {
  return items.find((item) => item.id === id) ?? items.find((item) => item.id === net) ?? items[0];
}

/** Columns after a change: rows from `from` on are new. @param {Record<string, Column>} before @param {Change} change */
export function joinedColumns(before, change) {
  return Object.fromEntries(Object.entries(change.columns).map(([name, values]) => [name, [...(before[name] ?? []).slice(0, change.from), ...values]]));
}

/** Where a training is, in a line. @param {Context} context @param {History} history */
function progressLine({ t, number }, history) {
  const { columns, planned, run, kept, failure } = history;
  const epochs = columns.epoch ?? [];
  const last = epochs[epochs.length - 1] ?? 0;
  const seconds = columns.seconds ?? [];
  const recent = seconds.slice(-5).filter((value) => value !== null);
  const left = planned && recent.length ? ((planned - last) * recent.reduce((a, b) => a + b, 0)) / recent.length : null;
  const speed = columns.items_per_second?.[epochs.length - 1];
  return [
    t(`runs.state_${run.state}`), planned ? t("runs.epoch_of", { epoch: number(last), of: number(planned) }) : t("runs.epoch", { epoch: number(last) }),
    speed ? t("runs.speed", { speed: number(speed, { maximumFractionDigits: 0 }) }) : "",
    run.state === "training" && left ? t("runs.left", { seconds: number(left, { maximumFractionDigits: 0 }) }) : "",
    kept ? t("runs.kept", { epoch: number(kept) }) : "", failure,
  ].filter(Boolean).join(" · ");
}

/** Loss, scores, learning rate, speed, and the layers' statistics. @param {Context} context */
function courseView(context) {
  const { t } = context;
  const place = h("div", { class: "charts" });
  const scores = h("div", { class: "scroll" });
  const what = h("select", { "aria-label": t("runs.statistic"), onchange: () => last && draw(last) }, ["gradient", "weight", "output", "dead"].map((name) => h("option", { value: name }, t(`runs.health_${name}`))));
  const element = h("div", { class: "stack" }, place, scores);
  const health = curvesView(context, t("runs.health"), t("runs.step"));
  const few = h("p", { class: "muted" });
  const layers = h("div", { class: "stack", hidden: true }, what, health.element, few);
  /** @type {Map<string, ReturnType<typeof curvesView>>} */
  const charts = new Map();
  /** @type {History | null} */
  let last = null;

  /** @param {History} history */
  function draw(history) {
    last = history;
    const epochs = (history.columns.epoch ?? []).map((value) => value ?? 0);
    for (const [title, names] of chartNames(Object.keys(history.columns))) {
      let chart = charts.get(title);
      if (!chart) {
        chart = curvesView(context, ["loss", "lr", "speed"].includes(title) ? t(`runs.chart_${title}`) : title, t("runs.epoch_axis"));
        charts.set(title, chart);
        place.append(chart.element);
      }
      chart.draw(names.map((name, hue) => ({ name, xs: epochs, values: history.columns[name] ?? [], dashed: name.startsWith("train_"), hue })));
    }
    if (!layers.isConnected) place.append(layers);
    if (history.health) {
      layers.hidden = false;
      const { steps, layers: paths, values, of } = history.health;
      const rows = paths.map((path, at) => ({ path, values: values[what.value]?.[at] ?? [] })).filter(({ values: each }) => each.some((value) => value !== null));
      const picked = rows.filter((_, at) => at === 0 || at === rows.length - 1 || at % Math.ceil(rows.length / 5) === 0).slice(0, 6);
      health.draw(picked.map(({ path, values: each }, hue) => ({ name: path, xs: steps, values: each, hue })));
      few.textContent = t("runs.layers_shown", { shown: picked.length, n: of });
    }
    fill(scores, Object.entries(history.scores).map(([split, each]) => scoreTable(context, split, each)));
  }
  return { element, draw };
}

/** Charts and the columns that each has. @param {string[]} columns @returns {[string, string[]][]} */
function chartNames(columns) {
  const scores = columns.filter((name) => name.startsWith("val_") && name !== "val_loss").map((name) => name.slice(4));
  /** @type {[string, string[]][]} */
  const all = [["loss", ["train_loss", "val_loss"]], ...scores.slice(0, 3).map((name) => /** @type {[string, string[]]} */ ([name, [`train_${name}`, `val_${name}`]])), ["lr", ["lr"]], ["speed", ["items_per_second"]]];
  return all.map(([title, names]) => /** @type {[string, string[]]} */ ([title, names.filter((name) => columns.includes(name))])).filter(([, names]) => names.length);
}

/** @param {Context} context @param {string} split @param {History["scores"][string]} scores */
function scoreTable({ t, number }, split, scores) {
  const cell = (/** @type {number | null} */ value) => h("td", { class: "number" }, value === null || value === undefined ? t("shared.unknown") : number(value));
  return h("table", {}, h("caption", {}, t("runs.scores_of", { split })), h("thead", {}, h("tr", {}, ["score", "value", "low", "high"].map((name, at) => h("th", { scope: "col", class: at ? "number" : "" }, t(`runs.${name}`))))),
    h("tbody", {}, Object.entries(scores).map(([name, { value, low, high }]) => h("tr", {}, h("th", { scope: "row" }, name), cell(value), cell(low), cell(high)))));
}

/** Kernels, or maps of one item, at a checkpoint; a slider goes through them. @param {Context} context */
function momentView(context) {
  const { t, api, number } = context;
  const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": t("runs.checkpoint"), oninput: () => { pinned = Number(slider.value) < steps.length - 1; ask(); } });
  const layers = h("select", { "aria-label": t("runs.layer"), onchange: () => ask() });
  const what = h("select", { "aria-label": t("runs.what"), onchange: () => { which.hidden = what.value === "kernels"; ask(); } }, ["kernels", "maps"].map((name) => h("option", { value: name }, t(`runs.${name}`))));
  const which = h("label", { hidden: true }, t("runs.item"), h("input", { type: "number", min: 0, value: 0, step: 1, onchange: () => ask() }));
  const play = h("button", { "aria-pressed": "false", onclick: () => toggle() }, t("runs.play"));
  const caption = h("p", { class: "value" });
  const canvas = h("canvas", { class: "pixels moments", role: "img" });
  const element = h("div", { class: "stack" }, h("div", { class: "row" }, layers, what, which, slider, play), caption, canvas, h("p", { class: "muted" }, t("runs.keep_hint")));
  /** @type {number[]} */
  let steps = [];
  let run = "", pinned = false, asked = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  const only = newest();

  function toggle() {
    clearInterval(timer);
    const on = play.getAttribute("aria-pressed") !== "true";
    play.setAttribute("aria-pressed", String(on));
    if (on) timer = setInterval(() => { slider.value = String((Number(slider.value) + 1) % Math.max(1, steps.length)); pinned = true; ask(); }, 400);
  }
  function ask() {
    const step = steps[Number(slider.value)];
    if (step === undefined) { caption.textContent = t("runs.no_checkpoint"); return; }
    const layer = layers.value;
    const item = which.querySelector("input")?.value ?? "0";
    const path = what.value === "maps" && layer ? `runs/${part(run)}/maps?step=${step}&layer=${part(layer)}&item=${part(item)}` : `runs/${part(run)}/kernels?step=${step}${layer ? `&layer=${part(layer)}` : ""}`;
    if (path === asked) return;
    asked = path;
    only(api.arrays(path), ({ meta, arrays }) => {
      if (meta["layers"] && !layers.options.length) fill(layers, meta["layers"].map((/** @type {string} */ name) => h("option", { value: name, selected: name === meta["layer"] }, name)));
      const tensor = arrays["kernels"] ?? arrays["maps"];
      if (!tensor) return;
      paintMoment(canvas, tensor, Boolean(arrays["maps"]));
      const facts = [t("runs.at_step", { step: number(step), at: number(Number(slider.value) + 1), of: number(steps.length) }), t("runs.shown", { shown: number(meta["shown"]), total: number(meta["total"]) })];
      if (meta["correlation"] !== undefined && meta["correlation"] !== null) facts.push(t("runs.correlation", { value: number(Number(meta["correlation"])) }));
      caption.textContent = facts.join(" · ");
      canvas.setAttribute("aria-label", caption.textContent);
      element.dataset.ready = String(step);
    }, (error) => { asked = ""; if (error?.status === 400 || error?.status === 404) caption.textContent = error.message; else context.fail(error); });
  }
  context.theme(() => { asked = ""; ask(); });
  context.leave(() => clearInterval(timer));
  return {
    element,
    /** @param {History} history */
    draw(history) {
      run = history.run.id;
      if (String(steps) === String(history.checkpoints)) return;
      const before = steps[Number(slider.value)];
      steps = history.checkpoints;
      slider.max = String(Math.max(0, steps.length - 1));
      slider.value = String(pinned && before !== undefined ? Math.max(0, steps.indexOf(before)) : Math.max(0, steps.length - 1));
      ask();
    },
  };
}

/** Kernels [O, I, H, W] or maps [C, H, W] as tiles on one canvas; three inputs are red, green and blue. @param {HTMLCanvasElement} canvas @param {import("../core/decode.js").Tensor} tensor @param {boolean} maps */
function paintMoment(canvas, tensor, maps) {
  const [count = 1, inputs = 1, height = 1, width = 1] = maps ? [tensor.shape[0], 1, ...tensor.shape.slice(1)] : tensor.shape;
  const colour = !maps && inputs === 3;
  const tiles = colour ? count : count * Math.min(inputs, maps ? 1 : Math.max(1, Math.floor(1024 / count)));
  const perKernel = tiles / count;
  const range = wholeRange(tensor.data, tensor.data);
  const reach = Math.max(Math.abs(range.lo), Math.abs(range.hi)) || 1;
  const side = colour || range.lo < 0 ? { lo: -reach, hi: reach } : range;
  const columns = Math.max(1, perKernel > 1 ? Math.min(perKernel, 32) : Math.ceil(Math.sqrt(tiles * 2)));
  const zoom = Math.max(1, Math.min(Math.floor(56 / Math.max(height, width)), Math.floor(900 / (columns * (width + 1)))));
  const rows = Math.ceil(tiles / columns);
  canvas.width = columns * (width * zoom + 2);
  canvas.height = rows * (height * zoom + 2);
  const draw = canvas.getContext("2d");
  if (!draw) return;
  draw.clearRect(0, 0, canvas.width, canvas.height);
  const size = height * width;
  for (let tile = 0; tile < tiles; tile++) {
    const kernel = Math.floor(tile / perKernel);
    const start = (kernel * inputs + (tile % perKernel)) * size;
    const pixels = colour ? kernelColours(tensor.data, kernel * 3 * size, size, reach) : colourPixels(Float32Array.from(tensor.data.subarray(start, start + size)), side, themeName());
    const image = new Uint32Array(size * zoom * zoom);
    for (let y = 0; y < height * zoom; y++) for (let x = 0; x < width * zoom; x++) image[y * width * zoom + x] = pixels[Math.floor(y / zoom) * width + Math.floor(x / zoom)] ?? 0;
    draw.putImageData(new ImageData(new Uint8ClampedArray(image.buffer), width * zoom, height * zoom), (tile % columns) * (width * zoom + 2), Math.floor(tile / columns) * (height * zoom + 2));
  }
}

/** Mid grey is zero. @param {ArrayLike<number>} data @param {number} start @param {number} size @param {number} reach */
function kernelColours(data, start, size, reach) {
  const level = (/** @type {number} */ at) => Math.round(((Number(data[at] ?? 0) / reach + 1) / 2) * 255);
  return Uint32Array.from({ length: size }, (_, i) => ((255 << 24) | (level(start + 2 * size + i) << 16) | (level(start + size + i) << 8) | level(start + i)) >>> 0);
}

/** Runs beside each other: one score by epoch, what differs in their settings, the paired differences. @param {Context} context @param {string[]} ids */
function compareView(context, ids) {
  const { t, api, number } = context;
  const score = h("select", { "aria-label": t("runs.score"), onchange: () => paint() });
  const chart = curvesView(context, t("runs.tab_compare"), t("runs.epoch_axis"));
  const tables = h("div", { class: "stack" });
  const element = h("div", { class: "stack" }, ids.length < 2 ? h("p", { class: "hint" }, t("runs.pick_two")) : [score, chart.element, tables]);
  /** @type {History[]} */
  let histories = [];
  function paint() {
    chart.draw(histories.map((each, hue) => ({ name: each.run.name, xs: (each.columns.epoch ?? []).map((value) => value ?? 0), values: each.columns[score.value] ?? [], hue, dashed: hue > 2 })));
  }
  if (ids.length >= 2) {
    Promise.all(ids.map((id) => api.get(`runs/${part(id)}/history`))).then((found) => {
      histories = found;
      const names = [...new Set(histories.flatMap(({ columns }) => Object.keys(columns)))].filter((name) => name !== "epoch");
      fill(score, names.map((name) => h("option", { value: name, selected: name === (histories[0]?.run.score || "val_loss") }, name)));
      paint();
    }).catch(context.fail);
    api.get(`compare?runs=${ids.map(part).join(",")}`).then((found) => {
      const settings = Object.entries(/** @type {Record<string, Record<string, string>>} */ (found.settings));
      const names = /** @type {string[]} */ (found.runs);
      fill(tables, settings.length ? h("div", { class: "scroll" }, h("table", {}, h("caption", {}, t("runs.differ")), h("thead", {}, h("tr", {}, h("th", {}), names.map((name) => h("th", { scope: "col", dir: "auto" }, name)))),
        h("tbody", {}, settings.map(([name, values]) => h("tr", {}, h("th", { scope: "row" }, name), names.map((id) => h("td", { dir: "auto" }, values[id] ?? ""))))))) : h("p", { class: "muted" }, t("runs.same_settings")),
      found.differences.length ? h("div", { class: "scroll" }, h("table", {}, h("caption", {}, t("runs.paired", { items: number(found.items), split: found.split })),
        h("thead", {}, h("tr", {}, ["score", "a", "b", "difference", "low", "high", "p"].map((name) => h("th", { scope: "col" }, t(`runs.${name}`))))),
        h("tbody", {}, found.differences.map((/** @type {any} */ row) => h("tr", {}, h("th", { scope: "row" }, row.score), h("td", { dir: "auto" }, row.a), h("td", { dir: "auto" }, row.b), ["value", "low", "high", "p"].map((key) => h("td", { class: "number" }, typeof row[key] === "number" ? number(row[key]) : t("shared.unknown")))))))) : h("p", { class: "muted" }, found.note));
      element.dataset.ready = "compared";
    }, context.fail);
  }
  return { element, draw: () => {} };
}
