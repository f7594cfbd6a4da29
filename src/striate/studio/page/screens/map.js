// @ts-check
/** Screen 3: the whole net as boxes that open and close; what each reads; what one unit is made of. */
import { part } from "../api.js";
import { wholeRange } from "../core/colour.js";
import { nearestBox, roundedPath, shortName, trueSources } from "../core/geometry.js";
import { fill, h, newest } from "../store.js";
import { paintMap, themeName, tileCanvas } from "../ui/channel.js";
import { paintInput } from "../ui/dock.js";

/**
 * @typedef {import("../main.js").Context} Context @typedef {import("../wire.js").Graph} Graph @typedef {import("../wire.js").MapLayout} MapLayout
 * @typedef {import("../wire.js").MapNode} MapNode @typedef {import("../wire.js").MapGroup} MapGroup @typedef {import("../wire.js").Fan} Fan
 * @typedef {{id: string, name: string, detail: string, kind: string, layer: string, shape: number[], params: number, macs: number | null, group: MapGroup | null, node: MapNode | null}} Box
 */

const THUMB = 24; // pixels of a map in a box, one more to the next
const AT_ONCE = 24; // layers whose maps are asked for at once
const SHOWN_ROWS = 400; // rows of a list before "more"
const SVG_SPACE = "http://www.w3.org/2000/svg";

/** @param {Context} context @returns {HTMLElement} */
export function map(context) {
  const { t, number, go, api, announce } = context;
  let graph = /** @type {Graph | null} */ (null), layout = /** @type {MapLayout | null} */ (null);
  let elements = /** @type {Map<string, HTMLElement>} */ (new Map());
  let drawnFor = "", chosen = "";
  const [onlyGraph, onlyLayout, onlyFan] = [newest(), newest(), newest()];
  const find = h("input", { type: "search", placeholder: t("map.find"), "aria-label": t("map.find"), oninput: () => found(find.value), onkeydown: (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter") nextFound(); } });
  const results = h("span", { class: "muted", role: "status" });
  const note = h("p", { class: "hint", hidden: true });
  const caption = h("p", { class: "muted caption" });
  const lines = /** @type {SVGSVGElement} */ (document.createElementNS(SVG_SPACE, "svg"));
  lines.setAttribute("aria-hidden", "true");
  lines.classList.add("maplines");
  const boxes = h("div", { class: "mapboxes", role: "group", "aria-label": t("screen.map") });
  const sheet = h("div", { class: "mapsheet" });
  sheet.append(lines, boxes);
  const list = h("div", { class: "maplist", hidden: true });
  const stage = h("div", { class: "mapstage scroll" }, sheet, list);
  const side = h("section", { class: "card mapside" });
  const listed = h("button", { onclick: () => go({ view: context.view().address["view"] === "list" ? undefined : "list" }, { replace: true }) }, t("map.as_list"));
  const element = h("div", { class: "map stack" },
    h("div", { class: "row" }, h("h1", {}, t("screen.map")), caption),
    h("div", { class: "row tools" }, find, results,
      h("button", { onclick: () => open(new Set()) }, t("map.close_all")),
      h("button", { onclick: () => open(null) }, t("map.as_first")), listed),
    note, h("div", { class: "split wide" }, stage, side));

  context.watch(({ net, run, address }) => {
    if (!net) return;
    chosen = address["box"] ?? chosen;
    if (graph?.net !== net.id) { graph = null; layout = null; drawnFor = ""; fill(boxes); fill(side); }
    if (graph) void relayout();
    else void onlyGraph(api.get(`net/${part(net.id)}/graph?${query()}`), (answer) => { graph = answer; layout = answer.layout; draw(); }, context.fail);
    if (run && graph) void thumbs();
  });
  context.theme(() => { for (const canvas of boxes.querySelectorAll("canvas")) delete canvas.dataset["run"]; void thumbs(); fanOut(); });
  const watched = new ResizeObserver(() => { if (layout && Math.abs(roomy() - Number(stage.dataset["width"])) >= 40) void relayout(); });
  watched.observe(element);
  context.leave(() => watched.disconnect());

  function roomy() { return Math.max(240, Math.floor(stage.clientWidth / 40) * 40); }
  function query() {
    const asked = context.view().address["open"];
    stage.dataset["width"] = String(roomy());
    return `width=${roomy()}${asked === undefined ? "" : `&open=${part(asked === "none" ? "" : asked)}`}`;
  }
  function relayout() {
    const { net } = context.view();
    const asked = query();
    if (!net || !graph) return;
    if (asked === drawnFor) return draw();
    return onlyLayout(api.get(`net/${part(net.id)}/graph/layout?${asked}`), (answer) => { layout = answer; drawnFor = asked; draw(); }, context.fail);
  }
  /** @param {Set<string> | null} ids null: as at first */
  const open = (ids) => go({ open: ids ? [...ids].sort().join(",") || "none" : undefined });
  /** Opens or closes a group. @param {string} id @param {boolean} yes */
  function toggle(id, yes) {
    const ids = new Set(layout?.open ?? []);
    if (yes) ids.add(id); else { ids.delete(id); for (const child of below(id)) ids.delete(child); }
    go({ open: [...ids].sort().join(",") || "none", box: yes ? group(id)?.children[0] : id });
  }
  /** @param {string} id @returns {MapGroup | null} */
  const group = (id) => graph?.groups.find((each) => each.id === id) ?? null;
  /** @param {string} id @returns {string[]} groups within a group */
  function below(id) { return (group(id)?.children ?? []).flatMap((child) => [child, ...below(child)]); }
  /** @param {string} id */
  const parent = (id) => graph?.groups.find((each) => each.children.includes(id)) ?? null;
  /** @param {string} id @returns {string[]} ids of the nodes in a box */
  function members(id) { return group(id)?.children.flatMap(members) ?? [id]; }

  /** @param {string} id @returns {Box} */
  function boxOf(id) {
    const of = group(id);
    if (of) {
      const name = of.repeat > 1 ? `${of.name} ×${of.repeat}` : of.name;
      return { id, name, detail: of.label, kind: "group", layer: of.layer, shape: of.shape, params: of.params, macs: of.macs ?? null, group: of, node: null };
    }
    const node = /** @type {MapNode} */ (graph?.nodes.find((each) => each.id === id));
    const tail = node.layer.startsWith("#") || !node.path ? node.label : shortName(node.path);
    return { id, name: node.kind === "input" ? t("map.input") : tail, detail: node.label === tail ? node.path : node.label, kind: node.opaque ? "opaque" : node.kind, layer: node.layer, shape: node.shape, params: node.params, macs: node.macs ?? null, group: null, node };
  }

  // ------------------------------------------------------------------------------------ drawing
  function draw() {
    if (!graph || !layout) return;
    const asList = layout.listed || context.view().address["view"] === "list";
    listed.setAttribute("aria-pressed", String(asList));
    listed.disabled = layout.listed;
    note.hidden = !graph.note && !layout.listed;
    note.textContent = [graph.note, layout.listed ? t("map.too_many", { n: layout.boxes.length }) : ""].filter(Boolean).join(" ");
    caption.textContent = t("map.caption", { n: layout.boxes.length, calls: graph.nodes.length, weights: number(graph.nodes.reduce((sum, node) => sum + node.params, 0)) });
    sheet.hidden = asList;
    list.hidden = !asList;
    elements = new Map();
    if (asList) drawList(); else drawBoxes();
    if (!chosen || !elements.has(chosen)) chosen = visible(chosen) ?? firstChosen();
    choose(chosen, false);
    const place = layout.boxes.find((box) => box.id === chosen);
    if (place && !asList && (place.y < stage.scrollTop || place.y + place.h > stage.scrollTop + stage.clientHeight)) stage.scrollTop = place.y - 120;
    element.dataset.ready = context.view().run?.run_id ?? graph.net;
    void thumbs();
    if (find.value) found(find.value);
  }
  /** The layer of the address, else the first that has weights. */
  function firstChosen() {
    const { layer } = context.view().address;
    const node = graph?.nodes.find((each) => (layer ? each.layer === layer : each.params > 0)) ?? graph?.nodes[0];
    return visible(node?.id ?? "") ?? "";
  }
  /** The box that stands for another that is not seen now. @param {string} id */
  function visible(id) {
    if (!id || !layout) return undefined;
    const wanted = members(id);
    return layout.boxes.find((box) => members(box.id).some((each) => wanted.includes(each)))?.id;
  }
  function drawBoxes() {
    if (!layout) return;
    sheet.style.width = `${layout.w}px`;
    sheet.style.height = `${layout.h}px`;
    lines.setAttribute("viewBox", `0 0 ${layout.w} ${layout.h}`);
    lines.replaceChildren(...layout.lines.map((line) => {
      const path = document.createElementNS(SVG_SPACE, "path");
      path.setAttribute("d", roundedPath(line.points));
      path.dataset["from"] = layout?.boxes[line.from]?.id ?? "";
      path.dataset["to"] = layout?.boxes[line.to]?.id ?? "";
      return path;
    }));
    fill(boxes, layout.boxes.map((place) => {
      const box = boxOf(place.id);
      const drawn = h("div", { class: `mapbox ${box.kind}`, "data-box": box.id, role: "button", tabindex: -1, "aria-label": sentence(box), "aria-expanded": box.group ? "false" : undefined,
        style: { left: `${place.x}px`, top: `${place.y}px`, width: `${place.w}px`, height: `${place.h}px` },
        onclick: () => { choose(box.id, true); go({ box: box.id }, { replace: true }); },
        ondblclick: () => deeper(box.id), onpointerenter: () => light(box.id), onpointerleave: () => light(chosen), onfocus: () => light(box.id),
      }, h("b", { dir: "auto" }, box.name), h("span", { class: "muted", dir: "auto" }, box.detail), h("small", { class: "muted" }, box.shape.join("×")),
      h("canvas", { width: 8 * (THUMB + 1), height: THUMB, "data-layer": box.layer }),
      box.group && h("span", { class: "mapopen", "aria-hidden": "true", title: t("map.open_name", { name: box.name }), onclick: (/** @type {Event} */ event) => { event.stopPropagation(); toggle(box.id, true); } }, "+"));
      elements.set(box.id, drawn);
      return drawn;
    }));
    boxes.onkeydown = (event) => keys(event);
  }
  /** @param {number} [rows] */
  function drawList(rows = SHOWN_ROWS) {
    if (!graph || !layout) return;
    const [all, edges] = [layout.boxes, layout.lines];
    const reads = new Map(all.map((_, at) => [at, /** @type {string[]} */ ([])]));
    for (const line of edges) reads.get(line.to)?.push(boxOf(all[line.from]?.id ?? "").name);
    const body = all.slice(0, rows).map(({ id }, at) => {
      const box = boxOf(id);
      const row = h("tr", { "data-box": id }, h("th", { scope: "row" }, h("button", { dir: "auto", onclick: () => { choose(id, true); go({ box: id }, { replace: true }); } }, box.name),
        box.group && h("button", { "aria-label": t("map.open_name", { name: box.name }), onclick: () => toggle(id, true) }, "+")),
      h("td", { dir: "auto" }, box.detail), h("td", {}, box.shape.join("×")), h("td", { class: "number" }, number(box.params)), h("td", { class: "number" }, box.macs == null ? t("shared.unknown") : number(box.macs)),
      h("td", { class: "muted", dir: "auto" }, (reads.get(at) ?? []).join(", ")));
      elements.set(id, /** @type {HTMLElement} */ (row.querySelector("button")));
      return row;
    });
    fill(list, h("table", {}, h("thead", {}, h("tr", {}, ["name", "does", "gives", "weights", "macs", "reads"].map((key) => h("th", { scope: "col" }, t(`map.col_${key}`))))), h("tbody", {}, body)),
      rows < all.length && h("button", { onclick: () => drawList(rows + 4 * SHOWN_ROWS) }, t("map.more_rows", { n: all.length - rows })));
  }
  async function thumbs() {
    const { run } = context.view();
    if (!run || !layout || sheet.hidden) return;
    const waiting = /** @type {HTMLCanvasElement[]} */ ([...boxes.querySelectorAll("canvas[data-layer]")]).filter((canvas) => canvas.dataset["run"] !== run.run_id && canvas.dataset["layer"]);
    const pictures = waiting.filter((canvas) => canvas.dataset["layer"]?.startsWith("#input"));
    if (pictures.length) api.arrays(`run/${part(run.run_id)}/input`).then((answer) => pictures.forEach((canvas) => inputThumb(canvas, answer, run.run_id)), context.fail);
    const rest = waiting.filter((canvas) => !pictures.includes(canvas));
    for (let at = 0; at < rest.length; at += AT_ONCE) {
      const these = rest.slice(at, at + AT_ONCE);
      const layers = these.map((canvas) => part(canvas.dataset["layer"] ?? "")).join(",");
      try {
        const answer = await api.arrays(`run/${part(run.run_id)}/thumbs?layers=${layers}`);
        if (run.run_id === context.view().run?.run_id) these.forEach((canvas, i) => paintThumbs(canvas, answer, i, run.run_id));
      } catch (error) { context.fail(error); }
    }
  }

  // ------------------------------------------------------------------------------------ choosing, lighting, keys
  /** @param {Box} box */
  const sentence = (box) => [box.name, box.detail, box.shape.join("×"), box.kind === "opaque" ? t("map.opaque") : "", box.group ? t("map.closed", { n: box.group.calls }) : ""].filter(Boolean).join(", ");
  /** @param {string} id @param {boolean} focus */
  function choose(id, focus) {
    elements.get(chosen)?.classList.remove("chosen");
    chosen = id;
    for (const [key, each] of elements) if (!sheet.hidden) each.tabIndex = key === id ? 0 : -1;
    const target = elements.get(id);
    target?.classList.add("chosen");
    if (focus && target) { target.focus({ preventScroll: true }); target.scrollIntoView({ block: "nearest", inline: "nearest" }); announce(sentence(boxOf(id))); }
    light(id);
    details();
  }
  /** Lights the boxes whose maps a box reads, through joins and reshapes to where they were made. @param {string} id */
  function light(id) {
    if (!graph || !layout || sheet.hidden) return;
    const { sources, through } = trueSources(graph, members(id));
    const shown = new Map(layout.boxes.flatMap((box) => members(box.id).map((node) => [node, box.id])));
    const [lit, way] = [new Set(sources.map((node) => shown.get(node))), new Set([...through].map((node) => shown.get(node)))];
    lit.delete(id); way.delete(id);
    for (const [key, each] of elements) { each.classList.toggle("source", lit.has(key)); each.classList.toggle("through", way.has(key) && !lit.has(key)); }
    const ends = new Set([id, ...way]);
    for (const path of lines.children) {
      const line = /** @type {SVGElement} */ (path).dataset;
      path.classList.toggle("lit", ends.has(line["to"] ?? "") && (lit.has(line["from"]) || way.has(line["from"])));
    }
  }
  /** Whether the screen of layers shows it: inputs and mere views are not there. @param {Box} box */
  const hasMaps = (box) => Boolean(context.view().net?.layers.some((each) => each.id === box.layer));
  /** @param {string} id */
  function deeper(id) {
    const box = boxOf(id);
    if (box.group) toggle(id, true);
    else if (hasMaps(box)) go({ screen: "layer", layer: box.layer });
  }
  /** @param {KeyboardEvent} event */
  function keys(event) {
    const here = layout?.boxes.find((box) => box.id === chosen);
    if (!here || !layout || event.altKey || event.ctrlKey || event.metaKey) return;
    const ends = /** @type {Record<string, string | undefined>} */ ({ Home: layout.boxes[0]?.id, End: layout.boxes.at(-1)?.id });
    const target = event.key in ends ? ends[event.key] : nearestBox(layout.boxes, here, event.key);
    if (target) choose(target, true);
    else if (event.key === "Enter" || event.key === " ") deeper(chosen);
    else if (event.key === "+") toggle(chosen, Boolean(group(chosen)));
    else if (event.key === "Backspace" || event.key === "-") { const around = parent(chosen); if (!around) return; toggle(around.id, false); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  let hits = /** @type {string[]} */ ([]), turn = 0;
  /** @param {string} text */
  function found(text) {
    const wanted = text.trim().toLowerCase();
    hits = !wanted || !graph ? [] : graph.nodes.filter((node) => `${node.path} ${node.op} ${node.label} ${node.id}`.toLowerCase().includes(wanted)).map((node) => node.id);
    const places = new Set(hits.map((id) => visible(id)));
    for (const [key, each] of elements) each.classList.toggle("hit", places.has(key));
    results.textContent = wanted ? t("map.found", { n: hits.length }) : "";
  }
  /** Opens what hides the next hit and chooses it. */
  function nextFound() {
    const id = hits[turn++ % Math.max(1, hits.length)];
    if (!id || !layout) return;
    const ids = new Set(layout.open);
    for (let around = parent(id); around; around = parent(around.id)) ids.add(around.id);
    go({ open: [...ids].sort().join(",") || "none", box: id });
  }

  // ------------------------------------------------------------------------------------ one box, one unit
  const fan = h("div", { class: "fan" });
  let fanKey = ""; // what it shows or waits for
  function details() {
    if (!chosen || !graph) return;
    const box = boxOf(chosen);
    const around = parent(chosen);
    const fact = (/** @type {string} */ key, /** @type {string} */ text) => h("div", {}, h("dt", {}, t(`map.col_${key}`)), h("dd", { dir: "auto" }, text));
    fill(side, h("h2", { dir: "auto" }, box.group?.path || box.node?.path || box.name),
      box.kind === "opaque" && h("p", { class: "hint" }, t("map.opaque_long")), box.node && !box.node.used && h("p", { class: "muted" }, t("map.unused")),
      h("dl", {}, fact("does", box.node ? box.node.label : box.detail), fact("gives", box.shape.join(" × ")), fact("weights", number(box.params)), fact("macs", box.macs == null ? t("shared.unknown") : number(box.macs)),
        fact("reads", trueSources(graph, members(chosen)).sources.map((id) => boxOf(id).name).join(", ") || "–")),
      h("p", { class: "row" }, box.group && h("button", { onclick: () => toggle(box.id, true) }, t("map.open", { n: box.group.children.length })),
        around && h("button", { onclick: () => toggle(around.id, false) }, t("map.close_name", { name: around.name })),
        hasMaps(box) && h("button", { class: "primary", onclick: () => go({ screen: "layer", layer: box.layer }) }, t("map.look"))), fan);
    fanOut();
  }
  /**
   * What a unit is made of; of a group past its functions that change each map alone, such as a normalisation.
   * @param {string} run @param {string} layer @param {number} c @param {string[]} inside @returns {Promise<Fan>}
   */
  async function madeOf(run, layer, c, inside) {
    const answer = /** @type {Fan} */ (await api.get(`run/${part(run)}/fan?layer=${part(layer)}&c=${c}`));
    const before = answer.rule === "same" ? answer.edges[0] : undefined;
    const node = before && graph?.nodes.find((each) => each.layer === before.layer);
    return before && node && inside.includes(node.id) ? { ...(await madeOf(run, before.layer, before.c, inside)), layer, c } : answer;
  }
  function fanOut() {
    const { run, address } = context.view();
    const box = chosen && graph ? boxOf(chosen) : null;
    if (!run || !box?.layer || box.kind === "input") { fanKey = ""; return fill(fan); }
    const total = box.shape[0] ?? 1;
    const c = address.layer === box.layer ? Math.min(total - 1, Math.max(0, Number(address.c ?? 0) || 0)) : 0;
    const pick = h("input", { type: "number", min: 0, max: total - 1, value: c, onchange: () => go({ layer: box.layer, c: Math.min(total - 1, Math.max(0, Math.round(Number(pick.value)))), box: chosen }, { replace: true }) });
    const head = h("p", { class: "row" }, h("label", {}, t("map.unit"), pick), h("span", { class: "muted" }, t("map.of", { n: total })));
    const key = `${run.run_id} ${box.layer} ${c} ${themeName()}`;
    if (fanKey === key) return;
    fanKey = key;
    void onlyFan(madeOf(run.run_id, box.layer, c, box.group ? members(box.id) : []), (answer) => {
      fan.dataset["key"] = key;
      const named = (/** @type {string} */ layer) => { const node = graph?.nodes.find((each) => each.layer === layer); return node ? boxOf(node.id).name : layer; };
      fill(fan, head, fanRows(context, run.run_id, answer, named, (layer, channel) => {
        const node = graph?.nodes.find((each) => each.layer === layer);
        go({ box: node ? visible(node.id) ?? node.id : chosen, layer, c: channel });
      }));
    }, (error) => { fanKey = ""; context.fail(error); });
  }
  return element;
}

// ---------------------------------------------------------------------------------------- pieces
/** @param {HTMLCanvasElement} canvas @param {import("../core/decode.js").Tensors} answer @param {string} run */
function inputThumb(canvas, answer, run) {
  const picture = document.createElement("canvas");
  paintInput(picture, answer);
  const brush = picture.width ? canvas.getContext("2d") : null;
  if (!brush) return;
  const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
  brush.drawImage(picture, 0, 0, picture.width * scale, picture.height * scale);
  canvas.dataset["run"] = run;
}

/** The first maps of one layer side by side. @param {HTMLCanvasElement} canvas @param {import("../core/decode.js").Tensors} answer @param {number} at @param {string} run */
function paintThumbs(canvas, answer, at, run) {
  const maps = answer.arrays[`maps.${at}`];
  const brush = canvas.getContext("2d");
  if (!maps || !brush) return;
  const [count = 0, height = 1, width = 1] = maps.shape;
  const flat = height * width === 1;
  canvas.width = 8 * (THUMB + 1); // clears it
  const [lo, hi] = [answer.arrays[`lo.${at}`]?.data ?? [], answer.arrays[`hi.${at}`]?.data ?? []];
  const all = wholeRange(lo, hi);
  for (let c = 0; c < count; c++) {
    const own = { lo: lo[c] ?? 0, hi: hi[c] ?? 0 };
    const tile = tileCanvas(/** @type {Uint8Array} */ (maps.data).subarray(c * height * width, (c + 1) * height * width), height, width, own, flat ? all : own);
    brush.imageSmoothingEnabled = false;
    const scale = THUMB / Math.max(height, width);
    const wide = height === 1 && !flat ? Math.floor(canvas.width / count) - 1 : THUMB;
    brush.drawImage(tile, c * (wide + 1), 0, height === 1 ? wide : Math.max(1, width * scale), height === 1 ? THUMB : Math.max(1, height * scale));
  }
  canvas.dataset["run"] = run;
}

/**
 * The maps that a unit was made of, the largest share first, each with a line to the unit.
 * @param {Context} context @param {string} run @param {Fan} fan @param {(layer: string) => string} named @param {(layer: string, c: number) => void} pick
 */
function fanRows({ t, number, api, fail }, run, fan, named, pick) {
  const percent = (/** @type {number} */ share) => number(share, { style: "percent", maximumSignificantDigits: share < 0.1 ? 2 : 3 });
  if (!fan.edges.length) return h("p", { class: "muted" }, t("map.fan_unknown", { op: fan.op }));
  const [row, high] = [34, Math.max(64, 34 * fan.edges.length)];
  const centre = Math.max(32, Math.min(high / 2, 80));
  const curves = document.createElementNS(SVG_SPACE, "svg");
  curves.setAttribute("viewBox", `0 0 60 ${high}`);
  curves.setAttribute("aria-hidden", "true");
  const most = fan.edges[0]?.share || 1;
  curves.append(...fan.edges.map(({ share }, at) => {
    const path = document.createElementNS(SVG_SPACE, "path");
    const y = at * row + row / 2;
    path.setAttribute("d", `M0 ${y}C30 ${y} 30 ${centre} 60 ${centre}`);
    path.setAttribute("stroke-width", String(0.5 + (6 * share) / most));
    return path;
  }));
  const unit = h("canvas", { class: "pixels fanunit", width: 1, height: 1, style: { top: `${centre - 32}px` } });
  paintMap(api, run, fan.layer, fan.c, unit).catch(fail);
  const rows = fan.edges.map((edge) => {
    const tile = h("canvas", { class: "pixels", width: 1, height: 1 });
    paintMap(api, run, edge.layer, edge.c, tile).catch(fail);
    return h("li", {}, h("button", { onclick: () => pick(edge.layer, edge.c), "aria-label": t("map.fan_says", { layer: named(edge.layer), c: edge.c, share: percent(edge.share) }) }, tile,
      h("span", { dir: "auto" }, `${named(edge.layer)} · ${edge.c}`), h("span", { class: "numeric" }, percent(edge.share)), h("i", { class: "bar", style: { "--share": edge.share / most } })));
  });
  return [h("p", { class: "muted" }, t(`map.fan_${fan.rule}`)),
    h("div", { class: "fanout" }, h("ul", {}, rows), curves, unit),
    fan.more > 0 && h("p", { class: "muted" }, t("map.fan_more", { n: fan.more, share: percent(fan.rest) })),
    fan.bias != null && h("p", { class: "muted" }, t("map.fan_bias", { value: number(fan.bias) }))];
}
