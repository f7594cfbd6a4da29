// @ts-check
/** Screen 6: what a cell reads, how strongly, through which layers; what fires in a region; on what the answer rests. */
import { part } from "../api.js";
import { colourPixels, wholeRange } from "../core/colour.js";
import { baseFrom, heatedPixels, shortName } from "../core/geometry.js";
import { tilingOf } from "../core/tiles.js";
import { fill, h, newest } from "../store.js";
import { paintMap, themeName } from "../ui/channel.js";
import { pictureGrid } from "../ui/grid.js";
import { layerOf } from "./layer.js";

/**
 * @typedef {import("../main.js").Context} Context @typedef {import("../wire.js").Field} Field @typedef {import("../wire.js").ConeLayer} ConeLayer
 * @typedef {import("../wire.js").Region} Region @typedef {import("../wire.js").SaliencyMethod} SaliencyMethod
 * @typedef {import("../core/geometry.js").Base} Base @typedef {import("../core/geometry.js").Heat} Heat
 * @typedef {{heat?: Heat | null, strength?: number, frame?: (number[] | null)[] | null, dashed?: (number[] | null)[] | null}} Over frames: first and last place an axis
 */

const LARGE = 320; // pixels of the longer side of a picture
const SERIES = 96; // pixels of height of a sound or series
const FIRST = "gradient-x-input,grad-cam,occlusion"; // methods that are shown at first

/** @param {Context} context @returns {HTMLElement} */
export function looking(context) {
  const { t, number, go, api, announce } = context;
  /** @type {Base | null} */
  let base = null;
  let baseOf = "", strength = 0.75;
  /** @type {SaliencyMethod[]} */
  let methods = [];
  const [onlyBase, onlyField, onlyCone, onlyHeat, onlyMap, onlyUnits] = [newest(), newest(), newest(), newest(), newest(), newest()];
  /** @type {Map<string, {over: () => void, key: string, stop: () => void}>} */
  const tiles = new Map();

  const pick = h("select", { "aria-label": t("layer.layer"), onchange: () => go({ layer: pick.value }, { replace: true }) });
  const channel = numberBox("c", t("looking.channel"));
  const row = numberBox("y", t("looking.row"));
  const column = numberBox("x", t("looking.column"));
  const fieldPicture = h("canvas", { class: "pixels", role: "img", "aria-label": t("looking.reads") });
  const fieldText = h("p", { class: "caption" });
  const heatText = h("p", { class: "muted" });
  const heatOn = h("input", { type: "checkbox", checked: true, onchange: () => drawField() });
  const coneRow = h("ol", { class: "cone" });
  /** @type {{height: number, width: number}} */
  let cells = { height: 1, width: 1 };
  const grid = pictureGrid({
    label: t("looking.cells"), text: (place) => t(cells.height > 1 ? "looking.cell" : "looking.cell1", { y: Math.floor(place / cells.width), x: place % cells.width }),
    focus: (place) => cellChosen(place), enter: ({ place }) => cellChosen(place),
  });
  const regionPicture = h("canvas", { class: "pixels region", role: "img", "aria-label": t("looking.region_picture") });
  const regionText = h("p", { class: "muted" }, t("looking.region_how"));
  const regionBoxes = ["y0", "y1", "x0", "x1"].map((name) => h("input", { type: "number", min: 0, "data-end": name, "aria-label": t(`looking.${name}`), onchange: () => regionTyped() }));
  const unitRows = h("ul", { class: "unitrows" });
  const classes = h("select", { "aria-label": t("looking.class"), onchange: () => go({ class: classes.value || undefined }, { replace: true }) });
  const strengthBox = h("input", { type: "range", min: 0, max: 100, value: 75, "aria-label": t("looking.strength"), oninput: () => { strength = Number(strengthBox.value) / 100; for (const tile of tiles.values()) tile.over(); drawField(); } });
  const random = h("input", { type: "checkbox", onchange: () => go({ random: random.checked ? 1 : undefined }, { replace: true }) });
  const atLayer = h("input", { type: "checkbox", onchange: () => go({ cam: atLayer.checked ? 1 : undefined }, { replace: true }) });
  const wanted = h("details", { class: "menu" });
  const wall = h("div", { class: "saliency" });
  const randomNote = h("p", { class: "muted note", hidden: true }, t("looking.random_note"));
  const element = h("div", { class: "looking stack" }, h("h1", {}, t("screen.looking")),
    h("section", { class: "stack" }, h("h2", {}, t("looking.answer")),
      h("div", { class: "row tools" }, h("label", {}, h("span", { class: "muted" }, t("looking.class")), classes), wanted,
        h("label", {}, h("span", { class: "muted" }, t("looking.strength")), strengthBox), h("label", {}, random, t("looking.random")), h("label", {}, atLayer, t("looking.at_layer"))), randomNote, wall),
    h("section", { class: "stack" }, h("h2", {}, t("looking.field")),
      h("div", { class: "row tools" }, h("label", {}, h("span", { class: "muted" }, t("layer.layer")), pick), channel.label, row.label, column.label, h("label", {}, heatOn, t("looking.effective"))),
      h("div", { class: "lookpair" }, h("div", { class: "stack" }, h("h3", {}, t("looking.choose_cell")), h("div", { class: "scroll" }, grid.element)),
        h("div", { class: "stack" }, h("h3", {}, t("looking.reads")), fieldPicture, fieldText, heatText)),
      h("h3", {}, t("looking.cone")), h("div", { class: "scroll" }, coneRow)),
    h("section", { class: "stack" }, h("h2", {}, t("looking.region")), regionText,
      h("div", { class: "lookpair" }, h("div", { class: "stack" }, regionPicture, h("p", { class: "row" }, regionBoxes.map((box) => h("label", {}, h("span", { class: "muted" }, box.getAttribute("aria-label")), box)))), unitRows)));

  context.watch(({ net, run, address }) => {
    if (!net || !run) return;
    const of = layerOf(net, address.layer ?? "");
    const choices = net.layers.filter((each) => each.shape.length > 1 || each.id === of?.id);
    if (pick.dataset["net"] !== net.id) { pick.dataset["net"] = net.id; fill(pick, choices.map((each) => h("option", { value: each.id }, `${each.path || each.op} · ${each.shape.join("×")}`))); }
    if (of) pick.value = of.id;
    random.checked = address["random"] === "1";
    randomNote.hidden = !random.checked;
    atLayer.checked = address["cam"] === "1";
    fill(classes, h("option", { value: "" }, t("looking.likeliest")), classOptions(net.classes, run.top).map(([index, name]) => h("option", { value: index, selected: address.class === String(index) }, name)));
    if (baseOf !== run.run_id) {
      baseOf = run.run_id;
      base = null;
      void onlyBase(api.arrays(`run/${part(run.run_id)}/input`), (answer) => { base = baseFrom(answer, run.input.kind); if (base) all(); else vector(run.run_id); }, context.fail);
    } else if (base) all();
  });
  api.get("looking/methods").then((answer) => { methods = answer.items; if (base) saliency(); }, context.fail);
  context.theme(() => { if (base) { all(); for (const tile of tiles.values()) tile.over(); } });
  context.leave(() => { for (const tile of tiles.values()) tile.stop(); });

  function all() { cell(); saliency(); region(); }
  /** A net that reads a vector looks at no place. @param {string} run */
  function vector(run) {
    fill(element, h("h1", {}, t("screen.looking")), h("p", { class: "hint" }, t("looking.vector")));
    element.dataset.ready = run;
  }

  // ------------------------------------------------------------------------------------ one cell

  /** @param {string} key @param {string} text */
  function numberBox(key, text) {
    const box = h("input", { type: "number", min: 0, onchange: () => go({ [key]: Math.max(0, Math.round(Number(box.value))) }, { replace: true }) });
    return { box, label: h("label", {}, h("span", { class: "muted" }, text), box) };
  }
  /** The layer and the cell that are looked at. */
  function place() {
    const { net, run, address } = context.view();
    const of = net && layerOf(net, address.layer ?? "");
    if (!run || !of) return null;
    const [count = 1, ...space] = of.shape;
    const [high, wide] = space.length > 1 ? [space.at(-2) ?? 1, space.at(-1) ?? 1] : [1, space[0] ?? 1];
    const within = (/** @type {string | undefined} */ text, /** @type {number} */ size) => Math.min(size - 1, Math.max(0, Number(text ?? Math.floor(size / 2)) || 0));
    const [c, y, x] = [Math.min(count - 1, Math.max(0, Number(address.c ?? 0) || 0)), within(address.y, high), within(address.x, wide)];
    const query = [`layer=${part(of.id)}`, space.length > 2 && `z=${Math.floor((space[0] ?? 1) / 2)}`, space.length > 1 && `y=${y}`, space.length > 0 && `x=${x}`].filter(Boolean).join("&");
    return { run: run.run_id, of, c, y, x, high, wide, count, space, query };
  }
  /** @type {{field: Field | null, heat: Heat | null, key: string}} */
  let seen = { field: null, heat: null, key: "" };
  function cell() {
    const at = place();
    if (!at) return;
    channel.box.value = String(at.c); channel.box.max = String(at.count - 1);
    row.box.value = String(at.y); row.box.max = String(at.high - 1); row.label.hidden = at.space.length < 2;
    column.box.value = String(at.x); column.box.max = String(at.wide - 1); column.label.hidden = at.space.length < 1;
    if (column.label.firstChild) column.label.firstChild.textContent = t(at.space.length > 1 ? "looking.column" : "looking.place");
    drawCells(at);
    const key = `${at.run} ${at.query}`;
    if (seen.key === key) return drawField();
    seen = { field: null, heat: null, key };
    const path = `run/${part(at.run)}`;
    void onlyField(api.get(`${path}/field?${at.query}`), (answer) => { seen.field = answer; drawField(); element.dataset.ready = at.run; element.dataset["cell"] = at.query; }, context.fail);
    void onlyCone(api.get(`${path}/cone?${at.query}`), (answer) => fill(coneRow, answer.layers.map((/** @type {ConeLayer} */ each) => coneStep(each))), context.fail);
    heatText.textContent = "…";
    if (at.of.id.startsWith("#")) { heatText.textContent = t("looking.no_heat"); return; }
    void onlyHeat(api.arrays(`${path}/effective?${at.query}`), (answer) => {
      const values = answer.arrays["map"]?.data ?? new Float32Array();
      const { centre, width } = answer.meta;
      seen.heat = { values, scale: wholeRange(values, values).hi || 1, signed: false };
      const numbers = (/** @type {number[]} */ list) => list.map((each) => number(each, { maximumFractionDigits: 1 })).join(" × ");
      heatText.textContent = centre && width ? t("looking.gaussian", { width: numbers(width), centre: numbers(centre) }) : t("looking.no_gradient");
      drawField();
    }, (error) => { heatText.textContent = ""; context.fail(error); });
  }
  function drawField() {
    if (!base) return;
    const { field, heat } = seen;
    paintOver(fieldPicture, base, { heat: heatOn.checked ? heat : null, strength, frame: field?.box ?? null, dashed: field?.theoretical ?? null });
    if (!field) return;
    const size = field.size?.join(" × ");
    const spans = field.box.map((span) => (span ? `${span[0]}–${span[1]}` : "–")).join(", ");
    fieldText.textContent = [size ? t("looking.size", { size, stride: (field.stride ?? []).map((each) => number(each)).join(" × ") }) : t(`looking.${field.why || "unknown"}`), t("looking.places", { spans }), field.clipped ? t("looking.clipped") : ""].filter(Boolean).join(" ");
    fieldPicture.setAttribute("aria-label", fieldText.textContent);
  }
  /** @param {NonNullable<ReturnType<typeof place>>} at */
  function drawCells(at) {
    cells = { height: at.high, width: at.wide };
    void onlyMap(api.arrays(`run/${part(at.run)}/channel?layer=${part(at.of.id)}&c=${at.c}`), (answer) => {
      const whole = Object.values(answer.arrays)[0]?.data ?? new Float32Array();
      const plane = at.high * at.wide;
      const start = at.space.length > 2 ? Math.floor((at.space[0] ?? 1) / 2) * plane : 0;
      const values = whole.subarray(start, start + plane);
      const zoom = Math.max(1, Math.floor(256 / Math.max(at.high, at.wide)));
      const look = { zoomX: zoom, zoomY: at.high === 1 ? 32 : zoom, gap: 0 };
      const tiling = tilingOf(plane, { height: 1, width: 1 }, look, at.wide * zoom);
      grid.show(tiling, (band) => {
        const colours = colourPixels(values.subarray(band.row * at.wide, (band.row + band.rows) * at.wide), wholeRange(values, values), themeName());
        const pixels = new Uint32Array(tiling.fullWidth * band.height);
        for (let py = 0; py < band.height; py++) for (let px = 0; px < tiling.fullWidth; px++) pixels[py * tiling.fullWidth + px] = colours[Math.floor(py / look.zoomY) * at.wide + Math.floor(px / look.zoomX)] ?? 0;
        return pixels;
      }, at.y * at.wide + at.x);
    }, context.fail);
  }
  /** @param {number} to */
  function cellChosen(to) {
    const at = place();
    if (at) go({ layer: at.of.id, c: at.c, y: Math.floor(to / at.wide), x: to % at.wide }, { replace: true });
  }
  /** @param {ConeLayer} step */
  function coneStep(step) {
    const [high, wide] = step.cells.length > 1 ? step.cells.slice(-2) : [1, step.cells[0] ?? 1];
    const spans = step.box.slice(-2);
    const [vertical, across] = spans.length > 1 ? spans : [[0, 0], spans[0]];
    const share = (/** @type {number[] | null | undefined} */ span, /** @type {number | undefined} */ n) => (span ? { start: (span[0] ?? 0) / (n || 1), size: ((span[1] ?? 0) - (span[0] ?? 0) + 1) / (n || 1) } : { start: 0, size: 1 });
    const [v, a] = [share(vertical, high), share(across, wide)];
    const text = step.box.map((span) => (span ? `${span[0]}–${span[1]}` : "–")).join(", ");
    const name = step.node.startsWith("in") ? t("map.input") : step.layer.startsWith("#") ? step.label : shortName(step.path);
    const inner = h("i", { style: { left: `${100 * a.start}%`, width: `${Math.max(2, 100 * a.size)}%`, top: `${100 * v.start}%`, height: `${Math.max(2, 100 * v.size)}%` } });
    return h("li", {}, h("div", { class: high === 1 ? "extent flat" : "extent" }, inner), h("b", { dir: "auto" }, name), h("span", { class: "muted" }, step.cells.join("×")), h("span", { class: "numeric" }, text));
  }

  // ------------------------------------------------------------------------------------ saliency

  function saliency() {
    const { run, address } = context.view();
    if (!run || !base || !methods.length) return;
    const chosen = (address["methods"] ?? FIRST).split(",").filter((name) => methods.some((each) => each.name === plainMethod(name)));
    fill(wanted, h("summary", {}, t("looking.methods", { n: chosen.length })), h("div", {}, methods.map((each) => {
      const tick = h("input", { type: "checkbox", checked: chosen.some((name) => plainMethod(name) === each.name), onchange: () => go({ methods: (tick.checked ? [...chosen, each.name] : chosen.filter((name) => plainMethod(name) !== each.name)).join(",") || "none" }, { replace: true }) });
      return h("label", {}, tick, each.name, each.long && h("span", { class: "muted" }, t("looking.long")));
    })));
    for (const [name, tile] of tiles) if (!chosen.includes(name)) { tile.stop(); tiles.delete(name); wall.querySelector(`[data-method="${CSS.escape(name)}"]`)?.remove(); }
    for (const name of chosen) {
      const at = methods.find((each) => each.name === plainMethod(name))?.at_layer && address["cam"] && address.layer ? `&layer=${part(address.layer)}` : "";
      const query = `method=${part(name)}${at}${address.class ? `&class=${part(address.class)}` : ""}${address["random"] ? "&random=1" : ""}`;
      const key = `${run.run_id} ${query}`;
      if (tiles.get(name)?.key === key) continue;
      tiles.get(name)?.stop();
      const place = wall.querySelector(`[data-method="${CSS.escape(name)}"]`) ?? wall.appendChild(h("figure", { "data-method": name }));
      tiles.set(name, saliencyTile(/** @type {HTMLElement} */ (place), run.run_id, name, query, key));
    }
  }
  /** @param {HTMLElement} figure @param {string} run @param {string} name @param {string} query @param {string} key */
  function saliencyTile(figure, run, name, query, key) {
    const method = methods.find((each) => each.name === plainMethod(name));
    const picture = h("canvas", { class: "pixels", role: "img", "aria-label": name });
    const text = h("figcaption", { class: "muted" }, "…");
    const cancel = h("button", { hidden: true, onclick: () => { stop(); text.textContent = t("looking.cancelled"); fill(actions, h("button", { onclick: begin }, t("looking.again"))); } }, t("looking.cancel"));
    const actions = h("p", { class: "row" }, cancel);
    const notes = h("details", { hidden: true });
    /** @type {Heat | null} */
    let heat = null;
    let job = "", done = false;
    let quit = () => {};
    fill(figure, h("h3", {}, name), picture, text, actions, notes);
    delete figure.dataset["done"];
    const over = () => { if (base) paintOver(picture, base, { heat, strength }); };
    /** @param {import("../core/decode.js").Tensors} answer */
    function show(answer) {
      if (done) return;
      const { of, score, unit, scale, signed, ms, layer, notes: said } = answer.meta;
      heat = { values: answer.arrays["map"]?.data ?? [], scale, signed };
      const word = `looking.unit_${unit.replace(/ /g, "_")}`;
      const named = /^score of (.*)$/.exec(of);
      text.textContent = [t("looking.says", { of: named ? t("looking.score_of", { class: named[1] ?? "" }) : of, score, unit: context.has(word) ? t(word) : unit, ms }), layer && t("looking.made_at", { layer })].filter(Boolean).join(" ");
      picture.setAttribute("aria-label", `${name}: ${text.textContent}`);
      fill(notes, h("summary", {}, t("looking.notes")), h("ul", {}, said.map((/** @type {string} */ line) => h("li", {}, line))));
      notes.hidden = !said.length;
      fill(actions);
      over();
      figure.dataset["done"] = key;
    }
    const failed = (/** @type {any} */ error) => { if (!done && !error?.superseded) { text.textContent = String(error?.message ?? error); fill(actions); figure.dataset["done"] = key; } };
    const fetched = (/** @type {string} */ path) => api.arrays(path).then(show, failed);
    async function begin() {
      fill(actions, cancel);
      cancel.hidden = false;
      text.textContent = t("looking.waiting");
      const body = Object.fromEntries(new URLSearchParams(query));
      try {
        job = (await api.post("jobs", { kind: "looking", run, ...body })).id;
        if (done) { stop(); return; }
        quit = api.listen(`jobs/${part(job)}/events`, {
          progress: ({ done: count, total }) => { text.textContent = total ? t("looking.progress", { count, total }) : t("looking.passes", { count }); },
          map: ({ path }) => { quit(); job = ""; void fetched(path); },
          failed: ({ error }) => { quit(); job = ""; failed(new Error(error)); },
        });
      } catch (error) { failed(error); }
    }
    function stop() {
      quit();
      quit = () => {};
      if (job) api.post(`jobs/${part(job)}/cancel`).catch(() => {});
      job = "";
    }
    if (method?.long) void begin(); else void fetched(`run/${part(run)}/looking?${query}`);
    over();
    return { over, key, stop: () => { done = true; stop(); } };
  }

  // ------------------------------------------------------------------------------------ region

  /** @returns {number[][] | null} first and last place an axis */
  function regionOf() {
    const text = context.view().address["region"];
    const ends = text?.split(",").map(Number) ?? [];
    if (!base || !ends.length || ends.some((end) => !Number.isInteger(end))) return null;
    return base.series ? [ends.slice(-2)] : [ends.slice(0, 2), ends.slice(2, 4)];
  }
  function region() {
    const at = place();
    if (!base || !at) return;
    const ends = regionOf();
    paintOver(regionPicture, base, { frame: ends });
    const shown = base.series ? [[0, 0], ...(ends ?? [[0, base.width - 1]])] : ends ?? [[0, base.height - 1], [0, base.width - 1]];
    regionBoxes.forEach((box, i) => { box.value = String(shown[i >> 1]?.[i & 1] ?? 0); if (box.parentElement) box.parentElement.hidden = Boolean(base?.series) && i < 2; });
    if (!ends || !at.space.length) return fill(unitRows);
    const names = base.series ? ["x0", "x1"] : ["y0", "y1", "x0", "x1"];
    const query = names.map((name, i) => `${name}=${ends[i >> 1]?.[i & 1] ?? 0}`).join("&");
    void onlyUnits(api.get(`run/${part(at.run)}/units?layer=${part(at.of.id)}&${query}`), (/** @type {Region} */ answer) => {
      regionText.textContent = t("looking.fires", { n: answer.larger, shown: answer.units.length, total: answer.total, layer: at.of.path || at.of.op, cells: answer.cells.map(([a, b]) => `${a}–${b}`).join(", ") });
      announce(regionText.textContent);
      const most = answer.units[0]?.score ?? 1;
      fill(unitRows, answer.units.map((unit) => {
        const tile = h("canvas", { class: "pixels", width: 1, height: 1 });
        paintMap(api, at.run, at.of.id, unit.c, tile).catch(context.fail);
        const text = t("looking.unit", { c: unit.c, inside: unit.inside, outside: unit.outside, score: number(unit.score, { maximumSignificantDigits: 3 }) });
        return h("li", {}, h("button", { title: text, "aria-label": text, onclick: () => go({ screen: "layer", layer: at.of.id, c: unit.c }) }, tile, h("span", {}, String(unit.c)), h("i", { class: "bar", style: { "--share": unit.score / most } })));
      }));
    }, context.fail);
  }
  function regionTyped() {
    if (!base) return;
    const [y0 = 0, y1 = 0, x0 = 0, x1 = 0] = regionBoxes.map((box) => Math.max(0, Math.round(Number(box.value) || 0)));
    const sort = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ n) => [Math.min(a, b, n - 1), Math.min(Math.max(a, b), n - 1)];
    go({ region: (base.series ? sort(x0, x1, base.width) : [...sort(y0, y1, base.height), ...sort(x0, x1, base.width)]).join(",") }, { replace: true });
  }
  /** @type {{y: number, x: number} | null} */
  let from = null;
  /** @param {PointerEvent} event */
  function spot(event) {
    const box = regionPicture.getBoundingClientRect();
    const [v, a] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    const { height, width, flip } = /** @type {Base} */ (base);
    const within = (/** @type {number} */ share, /** @type {number} */ n) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    return { y: within(flip ? 1 - v : v, height), x: within(a, width) };
  }
  regionPicture.addEventListener("pointerdown", (event) => { if (base) { from = spot(event); regionPicture.setPointerCapture(event.pointerId); } });
  regionPicture.addEventListener("pointermove", (event) => {
    if (!from || !base) return;
    const to = spot(event);
    const frame = [[Math.min(from.y, to.y), Math.max(from.y, to.y)], [Math.min(from.x, to.x), Math.max(from.x, to.x)]];
    paintOver(regionPicture, base, { frame: base.series ? frame.slice(1) : frame });
  });
  regionPicture.addEventListener("pointerup", (event) => {
    if (!from || !base) return;
    const to = spot(event);
    [from.y, to.y, from.x, to.x].forEach((end, i) => { const box = regionBoxes[i]; if (box) box.value = String(end); });
    from = null;
    regionTyped();
  });
  return element;
}

// ---------------------------------------------------------------------------------------- pieces

/** The name of a method that is asked for with a number, such as rise:4000. @param {string} name */
const plainMethod = (name) => name.split(":")[0] ?? name;

/** Indices and names of the classes, the leading ones first. @param {string[]} names @param {import("../wire.js").Class[]} top @returns {[number, string][]} */
function classOptions(names, top) {
  const first = top.map((one) => /** @type {[number, string]} */ ([one.index, one.class]));
  const known = new Set(first.map(([index]) => index));
  return [...first, ...names.map((name, i) => /** @type {[number, string]} */ ([i, name])).filter(([i]) => !known.has(i))];
}

/** The input, grey under a heat map, with frames. @param {HTMLCanvasElement} canvas @param {Base} base @param {Over} over */
function paintOver(canvas, base, { heat = null, strength = 1, frame = null, dashed = null }) {
  const { height, width, series, flip } = base;
  const pixels = heatedPixels(base, heat, strength, themeName() === "dark");
  const small = h("canvas", { width, height });
  small.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
  const zoom = series ? 1 : Math.max(1, LARGE / Math.max(height, width));
  canvas.width = series ? 2 * LARGE : Math.round(width * zoom);
  canvas.height = series ? SERIES : Math.round(height * zoom);
  const brush = canvas.getContext("2d");
  if (!brush) return;
  brush.imageSmoothingEnabled = false;
  brush.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (series) drawSeries(brush, base);
  const [surface, focus] = [getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(canvas).color];
  for (const [spans, dash] of /** @type {[typeof frame, number[]][]} */ ([[dashed, [4, 4]], [frame, []]])) {
    if (!spans || spans.some((span) => !span)) continue;
    const [vertical, across] = series ? [[0, 0], spans[0] ?? [0, 0]] : /** @type {number[][]} */ (spans.slice(-2));
    const [sy, sx] = [canvas.height / height, canvas.width / width];
    let [top, bottom] = [vertical?.[0] ?? 0, (vertical?.[1] ?? 0) + 1];
    if (flip) [top, bottom] = [height - bottom, height - top];
    brush.setLineDash(dash);
    brush.lineWidth = 4;
    brush.strokeStyle = surface;
    const box = /** @type {const} */ ([(across?.[0] ?? 0) * sx, top * sy, ((across?.[1] ?? 0) + 1 - (across?.[0] ?? 0)) * sx, (bottom - top) * sy]);
    brush.strokeRect(...box);
    brush.lineWidth = 2;
    brush.strokeStyle = focus;
    brush.strokeRect(...box);
  }
}

/** The first channels of a series as lines below each other. @param {CanvasRenderingContext2D} brush @param {Base} base */
function drawSeries(brush, { x, channels, width }) {
  const shown = Math.min(4, channels);
  brush.setLineDash([]);
  brush.strokeStyle = getComputedStyle(document.body).color;
  brush.lineWidth = 1;
  for (let c = 0; c < shown; c++) {
    const line = x.subarray(c * width, (c + 1) * width);
    const { lo, hi } = wholeRange(line, line);
    const each = brush.canvas.height / shown;
    brush.beginPath();
    line.forEach((value, i) => brush.lineTo(((i + 0.5) / width) * brush.canvas.width, (c + 0.9 - (0.8 * (value - lo)) / (hi - lo || 1)) * each));
    brush.stroke();
  }
}
