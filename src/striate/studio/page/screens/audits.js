// @ts-check
/** The audit of a run: what was asked and found, tables whose cells open their worst items, and an audit that runs now. */
import { part } from "../api.js";
import { fill, h, newest } from "../store.js";
import { thumbList } from "../ui/thumbs.js";

/**
 * @typedef {import("../main.js").Context} Context
 * @typedef {{check: string, severity: string, text: string, advice: string, value: number | null, low: number | null, high: number | null, limit: number | null}} Finding
 * @typedef {{check: string, title: string, rows: string[], columns: string[], values: (number | null)[][], low: (number | null)[][], high: (number | null)[][], clean?: number, unit: string, opens: boolean}} Grid
 * @typedef {{name: string, asks: string, findings: Finding[]}} Checked
 */

/** @param {Context} context @param {string} run */
export function auditView(context, run) {
  const { t, api, number } = context;
  const line = h("p", { class: "muted", role: "status" });
  const begin = h("button", { class: "primary", onclick: () => start() }, t("runs.audit_begin"));
  const cancel = h("button", { hidden: true, onclick: () => { if (job) api.post(`jobs/${part(job)}/cancel`).catch(context.fail); } }, t("runs.cancel"));
  const budget = h("input", { type: "number", min: 5, max: 3600, value: 60, step: 5 });
  const grids = h("div", { class: "tables" });
  const found = h("div", { class: "stack" });
  const worst = h("section", { class: "stack", tabindex: -1, "aria-live": "polite" });
  const element = h("div", { class: "stack" }, h("div", { class: "row" }, begin, cancel, h("label", {}, t("runs.budget"), budget), line), grids, worst, found);
  /** @type {Checked[]} */
  let checks = [];
  /** @type {Grid[]} */
  let tables = [];
  let job = "";
  let stop = () => {};
  const only = newest();
  context.leave(() => stop());

  api.get(`runs/${part(run)}/audit`).then((record) => {
    checks = record.checks;
    tables = record.grids;
    if (!job) line.textContent = record.time ? t("runs.audited", { when: new Intl.DateTimeFormat(context.language, { dateStyle: "medium", timeStyle: "short" }).format(record.time * 1000) }) : t("runs.not_audited");
    paint();
  }, context.fail);

  async function start() {
    begin.disabled = true;
    try {
      const seconds = Math.max(5, Math.min(3600, Number(budget.value) || 60));
      ({ id: job } = await api.post(`runs/${part(run)}/audit`, { budget: seconds }));
    } catch (error) {
      begin.disabled = false;
      context.fail(error);
      return;
    }
    cancel.hidden = false;
    checks = [];
    tables = [];
    paint();
    const end = (/** @type {string} */ words) => { stop(); job = ""; cancel.hidden = true; begin.disabled = false; line.textContent = words; element.dataset.audit = "over"; };
    stop = api.listen(`jobs/${part(job)}/events`, {
      check: ({ name, done, of }) => { line.textContent = t("runs.asking", { name, done: number(done + 1), of: number(of) }); },
      finding: (told) => { checks.push(told); tables.push(...told.grids); paint(); },
      done: () => end(t("runs.audit_done")),
      cancelled: () => end(t("runs.cancelled")),
      failed: ({ error }) => end(error),
    });
  }

  function paint() {
    fill(grids, tables.map((table) => auditGrid(context, table, (row, column) => open(table, row, column))));
    fill(found, checks.map(({ name, asks, findings }) => h("section", { class: "check" }, h("h3", {}, name), h("p", { class: "muted" }, asks),
      h("ul", {}, findings.map((each) => h("li", { class: `finding ${each.severity}` }, h("b", {}, t(`runs.severity_${each.severity}`)), " ", each.text, each.advice ? h("span", { class: "muted" }, ` ${each.advice}`) : null))))));
    element.dataset.ready = `audit ${checks.length}`;
  }

  /** @param {Grid} table @param {string} row @param {string} column */
  function open(table, row, column) {
    const path = `runs/${part(run)}/cell?check=${part(table.check)}&row=${part(row)}&column=${part(column)}`;
    fill(worst, h("p", { class: "muted" }, t("runs.answering")));
    only(api.arrays(path), ({ meta, arrays }) => {
      const pictures = arrays["pictures"];
      if (!pictures) return;
      const title = [row, column].filter(Boolean).join(" ");
      fill(worst, h("h3", {}, t("runs.worst_of", { cell: title })),
        h("p", { class: "muted" }, meta["wrong"] === null ? t("runs.by_score", { score: meta["score"], of: number(meta["of"]) }) : t("runs.wrong_of", { wrong: number(meta["wrong"]), of: number(meta["of"]), split: meta["split"] })),
        thumbList(pictures, (at) => {
          const item = meta["items"][at];
          const lines = [`${item.truth} → ${item.answer}`, `${number(item.p, { style: "percent", maximumFractionDigits: 1 })} · ${item.name.split("/").pop()}`];
          return { label: t("runs.open_item", { name: item.name, truth: item.truth, answer: item.answer }), lines, wrong: item.bad };
        }, (at) => look(path, at)));
      worst.dataset.ready = `${table.check} ${title}`;
      worst.focus();
    }, (error) => { fill(worst); context.fail(error); });
  }

  /** Gives the net this very picture and goes to its layers. @param {string} path @param {number} at */
  async function look(path, at) {
    try {
      const { arrays } = await api.arrays(`${path}&whole=${at}`);
      const picture = arrays["pictures"];
      if (!picture) return;
      const [, height = 1, width = 1, channels = 3] = picture.shape;
      await api.post("open", { net: run });
      const answer = await api.send(`net/${part(run)}/input`, new Uint8Array(picture.data), { "X-Kind": "u8", "X-Shape": `${height},${width},${channels}` });
      context.go({ net: run });
      context.go({ screen: "layer", net: run });
      context.show(answer, { replace: true });
    } catch (error) { context.fail(error); }
  }
  return { element, draw: () => {} };
}

/** A table as an ARIA grid: one tab stop, arrows go from cell to cell. @param {Context} context @param {Grid} table @param {(row: string, column: string) => void} open */
function auditGrid({ t, number }, table, open) {
  const { rows, columns, values, low, high, opens } = table;
  const known = values.flat().filter((value) => value !== null);
  const most = table.check === "calibration" ? 1 : Math.max(...known.map((value) => Math.abs(Number(value))), 1e-9);
  const share = (/** @type {number | null | undefined} */ value) => (value === null || value === undefined ? 0 : Math.min(1, Math.abs(value) / most));
  const cells = rows.map((row, y) => columns.map((column, x) => {
    const value = values[y]?.[x] ?? null;
    const text = value === null ? t("shared.unknown") : number(value, { maximumFractionDigits: 3 });
    const ends = low[y]?.[x] != null && high[y]?.[x] != null ? t("runs.interval", { low: number(Number(low[y]?.[x]), { maximumFractionDigits: 3 }), high: number(Number(high[y]?.[x]), { maximumFractionDigits: 3 }) }) : "";
    return h("td", { role: "gridcell", class: opens ? "heat opens" : "heat", tabindex: x || y ? -1 : 0, style: { "--share": share(value) }, title: ends, "aria-label": [row, column, text, ends].filter(Boolean).join(", "), onclick: () => { if (opens) open(row, column); } }, text);
  }));
  /** @param {KeyboardEvent} event */
  function moved(event) {
    const y = cells.findIndex((line) => line.includes(/** @type {any} */ (event.target)));
    const x = cells[y]?.indexOf(/** @type {any} */ (event.target)) ?? -1;
    if (y < 0) return;
    if (event.key === "Enter" && opens) { event.preventDefault(); open(rows[y] ?? "", columns[x] ?? ""); return; }
    const [dy = 0, dx = 0] = /** @type {Record<string, number[]>} */ ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] })[event.key] ?? [];
    const next = cells[y + dy]?.[x + dx];
    if (!(dy || dx) || !next) return;
    event.preventDefault();
    cells[y]?.[x]?.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }
  return h("figure", { class: "scroll" }, h("table", { role: "grid", class: "audit", "data-check": table.check, onkeydown: moved }, h("caption", {}, `${table.check}: ${table.title}`, table.clean === undefined ? "" : ` · ${t("runs.clean", { value: number(table.clean, { maximumFractionDigits: 3 }) })}`),
    h("thead", {}, h("tr", { role: "row" }, h("th", {}), columns.map((column) => h("th", { scope: "col" }, column)))),
    h("tbody", {}, rows.map((row, y) => h("tr", { role: "row" }, h("th", { scope: "row" }, row), cells[y] ?? [])))));
}
