// @ts-check
/** Screen 7: items that a layer takes for alike, the patches of a channel, mistakes, and all items in a plane. */
import { part } from "../api.js";
import { fill, h, newest } from "../store.js";
import { thumbList } from "../ui/thumbs.js";
import { themeName } from "../ui/channel.js";

/** @typedef {import("../main.js").Context} Context @typedef {import("../core/decode.js").Tensors} Tensors */

const NEIGHBOUR_TABS = ["near", "patches", "mistakes", "plane"];
/** Okabe and Ito 2008, told apart by colour-blind readers; further classes take them again, with another form. */
const CLASS_HUES = { light: ["#0072b2", "#d55e00", "#008566", "#b8578f", "#8a6d00", "#2f8ac4", "#7a5195", "#8c564b", "#666666", "#17807e"], dark: ["#56b4e9", "#ff9a4d", "#3fcfa5", "#e59bc6", "#e0c04a", "#9ad4f5", "#c3a0dd", "#d09a8e", "#b5b5b5", "#5fd0cd"] };

/** @param {Context} context @returns {HTMLElement} */
export function neighbours(context) {
  const { t, go, api, number } = context;
  const pick = h("select", { "aria-label": t("neighbours.layer"), onchange: () => go({ layer: pick.value }) });
  const tabs = h("p", { class: "tabs" }, NEIGHBOUR_TABS.map((name) => h("button", { "data-tab": name, onclick: () => go({ view: name === "near" ? undefined : name }, { replace: true }) }, t(`neighbours.tab_${name}`))));
  const channel = h("input", { type: "number", min: 0, step: 1, "aria-label": t("neighbours.channel"), onchange: () => go({ c: Math.max(0, Number(channel.value) || 0) }, { replace: true }) });
  const channels = h("label", {}, t("neighbours.channel"), channel);
  const order = h("select", { "aria-label": t("neighbours.order"), onchange: () => draw() }, ["sure", "pairs"].map((name) => h("option", { value: name }, t(`neighbours.order_${name}`))));
  const method = h("select", { "aria-label": t("neighbours.method"), onchange: () => draw() }, ["pca", "tsne"].map((name) => h("option", { value: name }, t(`neighbours.method_${name}`))));
  const caption = h("p", { class: "muted", role: "status" });
  const place = h("section", { class: "stack" });
  const element = h("div", { class: "stack neighbours" }, h("h1", {}, t("screen.neighbours")), h("div", { class: "row tools" }, pick, tabs, channels, order, method), caption, place);
  const only = newest();
  let listed = "", asked = "", stop = () => {};
  /** @type {Set<string>} */
  const indexed = new Set();
  /** @type {string} the job that makes the index */
  let job = "";
  context.leave(() => stop());

  function draw() {
    const { address, net, run } = context.view();
    if (!net || !run) return;
    const layers = net.layers;
    const chosen = layers.find(({ id }) => id === address.layer) ?? layers[Math.max(0, layers.length - 2)];
    if (!chosen) return;
    if (listed !== net.id) fill(pick, layers.map((each) => h("option", { value: each.id }, `${each.id} · ${each.op} · ${each.shape.join("×")}`)));
    listed = net.id;
    pick.value = chosen.id;
    const tab = NEIGHBOUR_TABS.includes(address.view ?? "") ? address.view ?? "" : "near";
    for (const button of tabs.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.tab === tab));
    channels.hidden = tab !== "patches";
    order.hidden = tab !== "mistakes";
    method.hidden = tab !== "plane";
    channel.value = address.c ?? "0";
    const layer = `layer=${part(chosen.id)}`;
    const path = /** @type {Record<string, string>} */ ({
      near: `run/${part(run.run_id)}/near?${layer}&k=18`, patches: `net/${part(net.id)}/patches?${layer}&c=${Number(channel.value) || 0}`,
      mistakes: `net/${part(net.id)}/mistakes?${layer}&order=${order.value}`, plane: `net/${part(net.id)}/scatter?${layer}&method=${method.value}`,
    })[tab] ?? "";
    if (path === asked) return;
    asked = path;
    only(answered(net.id, chosen.id, path), (answer) => {
      if (!answer) return;
      paint(tab, answer);
      element.dataset.ready = tab === "near" ? run.run_id : tab;
    }, (error) => {
      asked = "";
      if (error?.status === 409 || error?.status === 400) { caption.textContent = error.message; fill(place); element.dataset.ready = "none"; }
      else context.fail(error);
    });
  }

  /** The answer, or null where the layer has no index yet. @param {string} net @param {string} layer @param {string} path */
  async function answered(net, layer, path) {
    if (indexed.has(`${net} ${layer}`)) return api.arrays(path);
    const { ready, items, why } = await api.get(`net/${part(net)}/index?layer=${part(layer)}`);
    if (!ready) { missing(net, layer, items, why); return null; }
    indexed.add(`${net} ${layer}`);
    return api.arrays(path);
  }

  /** There is no index of this layer yet: it is made when somebody says so. @param {string} net @param {string} layer @param {number} items @param {string} why */
  function missing(net, layer, items, why) {
    asked = "";
    if (!job) {
      caption.textContent = items ? t("neighbours.no_index", { layer, n: items }) : why;
      fill(place, items ? h("p", {}, h("button", { class: "primary", onclick: () => make(net, layer) }, t("neighbours.make"))) : null);
    }
    element.dataset.ready = "no index";
  }
  /** @param {string} net @param {string} layer */
  async function make(net, layer) {
    try { ({ id: job } = await api.post("jobs", { kind: "index", net, layer })); } catch (error) { context.fail(error); return; }
    const bar = h("progress", { max: 1, value: 0, "aria-label": t("neighbours.making") });
    fill(place, h("p", { class: "row" }, bar, h("button", { onclick: () => api.post(`jobs/${part(job)}/cancel`).catch(context.fail) }, t("runs.cancel"))));
    const end = () => { stop(); job = ""; asked = ""; draw(); };
    stop = api.listen(`jobs/${part(job)}/events`, {
      part: ({ done, of }) => { bar.max = of; bar.value = done; caption.textContent = t("neighbours.made", { done: number(done), n: of }); },
      done: end, cancelled: end, failed: ({ error }) => { end(); context.fail(new Error(error)); }, // the caption says what is drawn again
    });
  }

  /** @param {string} tab @param {Tensors} answer */
  function paint(tab, { meta, arrays }) {
    if (tab === "plane") { caption.textContent = planeWords(meta); fill(place, planeView(context, { meta, arrays }, open)); return; }
    const pictures = arrays["thumbs"] ?? arrays["patches"];
    if (!pictures) return;
    caption.textContent = tab === "near" ? t("neighbours.near_of", { n: meta["n"], dim: meta["dim"], split: meta["split"] }) : tab === "patches" ? t("neighbours.patches_of", { c: meta["c"], n: meta["n"], split: meta["split"] })
      : t("neighbours.mistakes_of", { n: meta["wrong"], of: meta["n"], split: meta["split"] });
    const list = thumbList(pictures, (at) => words(tab, meta["items"][at]), (at) => open(meta["items"][at].index));
    fill(place, tab === "mistakes" ? pairsTable(meta["pairs"]) : null, list);
  }
  /** @param {string} tab @param {any} item */
  function words(tab, item) {
    const share = item.p === undefined ? "" : number(item.p, { style: "percent", maximumFractionDigits: 1 });
    const wrong = item.pred !== undefined && item.label !== "" && item.pred !== item.label;
    const first = tab === "near" ? t("neighbours.distance", { d: number(item.d, { maximumSignificantDigits: 3 }) }) : tab === "patches" ? t("neighbours.value", { value: number(item.value, { maximumSignificantDigits: 4 }) }) : `${item.label} → ${item.pred}`;
    const second = tab === "mistakes" ? share : item.label ? (wrong ? `${item.label} → ${item.pred}` : item.label) : item.name.split("/").pop();
    return { label: t("neighbours.open", { name: item.name, what: `${first} ${second}` }), lines: [first, second], wrong };
  }
  /** @param {{truth: string, answer: string, count: number}[]} pairs */
  function pairsTable(pairs) {
    return pairs.length ? h("details", {}, h("summary", {}, t("neighbours.pairs")), h("table", {}, h("tbody", {}, pairs.map(({ truth, answer, count }) => h("tr", {}, h("td", { dir: "auto" }, truth), h("td", { dir: "auto" }, `→ ${answer}`), h("td", { class: "number" }, number(count))))))) : null;
  }
  /** @param {Record<string, any>} meta */
  function planeWords(meta) {
    const kept = typeof meta["kept"] === "number" ? t("neighbours.variance", { share: number(meta["kept"], { style: "percent", maximumFractionDigits: 0 }) }) : t("neighbours.tsne_note");
    return `${t("neighbours.plane_of", { shown: number(meta["n"]), n: meta["of"], split: meta["split"] })} · ${kept}`;
  }
  /** Gives the net an item of the data. @param {number} index */
  function open(index) {
    const { net } = context.view();
    if (net) api.post(`net/${part(net.id)}/item`, { index }).then((run) => context.show(run), context.fail);
  }
  context.watch(() => draw());
  return element;
}

/** Points on one canvas; arrows go from item to item, Enter opens. @param {Context} context @param {Tensors} answer @param {(index: number) => void} open */
function planeView(context, { meta, arrays }, open) {
  const { t } = context;
  const points = arrays["points"]?.data ?? [], items = arrays["items"]?.data ?? [], labels = arrays["labels"]?.data ?? [], answers = arrays["answers"]?.data ?? [];
  const count = items.length;
  const classes = /** @type {string[]} */ (meta["classes"]);
  const canvas = h("canvas", { class: "plane", role: "img", tabindex: 0, "aria-label": t("neighbours.plane_label") });
  const told = h("p", { class: "value" }, "\u00a0");
  const image = h("img", { alt: "", class: "pixels", hidden: true });
  const present = [...new Set(Array.from({ length: count }, (_, i) => Number(labels[i])))].filter((k) => k >= 0).sort((a, b) => a - b);
  const legend = h("p", { class: "row legend-lines" }, present.slice(0, 30).map((k) => h("span", { class: "key", dir: "auto", style: { "--hue": classHue(k) } }, classes[k] ?? "")));
  const size = 620, edge = 14;
  let at = -1;
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  for (let i = 0; i < count; i++) for (let a = 0; a < 2; a++) { const value = Number(points[2 * i + a]); low[a] = Math.min(low[a] ?? value, value); high[a] = Math.max(high[a] ?? value, value); }
  const px = (/** @type {number} */ i, /** @type {number} */ a) => edge + ((Number(points[2 * i + a]) - (low[a] ?? 0)) / ((high[a] ?? 1) - (low[a] ?? 0) || 1)) * (size - 2 * edge);
  function paint() {
    canvas.width = canvas.height = size;
    const draw = canvas.getContext("2d");
    if (!draw) return;
    for (let i = 0; i < count; i++) {
      const wrong = Number(answers[i]) >= 0 && Number(labels[i]) >= 0 && answers[i] !== labels[i];
      draw.fillStyle = draw.strokeStyle = classHue(Number(labels[i]));
      draw.beginPath();
      if (wrong) { draw.lineWidth = 2; draw.moveTo(px(i, 0) - 5, px(i, 1) - 5); draw.lineTo(px(i, 0) + 5, px(i, 1) + 5); draw.moveTo(px(i, 0) - 5, px(i, 1) + 5); draw.lineTo(px(i, 0) + 5, px(i, 1) - 5); draw.stroke(); }
      else { draw.arc(px(i, 0), px(i, 1), 3.5, 0, 2 * Math.PI); draw.fill(); }
    }
    if (at >= 0) { draw.lineWidth = 2; draw.strokeStyle = getComputedStyle(canvas).color; draw.beginPath(); draw.arc(px(at, 0), px(at, 1), 8, 0, 2 * Math.PI); draw.stroke(); }
  }
  /** @param {number} to @param {boolean} [aloud] */
  function point(to, aloud = false) {
    if (to === at || !count) return;
    at = Math.max(-1, Math.min(count - 1, to));
    const label = classes[Number(labels[at])] ?? "", answer = classes[Number(answers[at])] ?? "";
    told.textContent = at < 0 ? "\u00a0" : t("neighbours.point", { index: Number(items[at]), label: label || t("shared.unknown"), answer: answer || t("shared.unknown") });
    image.hidden = at < 0;
    const net = context.view().net;
    if (at >= 0 && net) image.src = context.api.picture(`net/${part(net.id)}/items/${Number(items[at])}.png`);
    if (aloud) context.announce(told.textContent ?? "");
    paint();
  }
  canvas.addEventListener("pointermove", (event) => {
    const scale = size / canvas.clientWidth;
    let best = -1, least = 400;
    for (let i = 0; i < count; i++) {
      const far = (px(i, 0) - event.offsetX * scale) ** 2 + (px(i, 1) - event.offsetY * scale) ** 2;
      if (far < least) [best, least] = [i, far];
    }
    if (best >= 0) point(best);
  });
  canvas.addEventListener("click", () => { if (at >= 0) open(Number(items[at])); });
  canvas.addEventListener("keydown", (event) => {
    const step = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 })[event.key];
    if (step) point(Math.max(0, at + step), true);
    else if (event.key === "Enter" && at >= 0) open(Number(items[at]));
    else return;
    event.preventDefault();
  });
  context.theme(paint);
  paint();
  return [legend, h("div", { class: "planes" }, canvas, h("div", { class: "stack" }, told, image)), h("p", { class: "muted" }, t("neighbours.plane_help"))];
}

/** @param {number} k */
const classHue = (k) => (k < 0 ? CLASS_HUES[themeName()][0] : CLASS_HUES[themeName()][k % 10]) ?? "";
