// @ts-check
/** The dock at the left: the input, what the net says of it, and the second input of A/B. */
import { part } from "../api.js";
import { fill, h, newest } from "../store.js";

/** @typedef {import("../main.js").Context} Context @typedef {import("../wire.js").Run} Run */

/** @param {Context} context @returns {HTMLElement} */
export function dock(context) {
  const { t } = context;
  const a = pane(context, "A");
  const b = pane(context, "B");
  const swap = h("p", { class: "row" },
    h("button", { onclick: () => context.go({ b: context.view().run?.run_id }) }, t("dock.keep")),
    h("button", { onclick: () => { const { run, b: other } = context.view(); if (run && other) context.go({ run: other.run_id, b: run.run_id }); } }, t("dock.swap")),
    h("button", { onclick: () => context.go({ b: undefined }) }, t("dock.drop")));
  const [keep, exchange, drop] = /** @type {HTMLButtonElement[]} */ ([...swap.children]);
  const element = h("aside", { class: "dock", "aria-label": t("dock.title") }, a.element, b.element, swap);
  context.watch(({ run, b: other, net }) => {
    element.hidden = !net || !run;
    a.show(run, Boolean(other));
    b.show(other, true);
    if (keep) keep.hidden = Boolean(other);
    if (exchange) exchange.hidden = !other;
    if (drop) drop.hidden = !other;
  });
  return element;
}

/** @param {Context} context @param {string} name */
function pane(context, name) {
  const { t } = context;
  const canvas = h("canvas", { class: "pixels", role: "img" });
  const caption = h("p", { class: "muted" });
  const list = h("ol", { class: "bars" });
  const label = h("h2", {});
  const element = h("section", { class: "pane" }, label, canvas, caption, list);
  const only = newest();
  let painted = "";
  /** @param {Run} run */
  const paint = (run) => only(context.api.arrays(`run/${part(run.run_id)}/input`), (answer) => {
    paintInput(canvas, answer);
    element.dataset.ready = run.run_id;
  }, context.fail);
  context.theme(() => { painted = ""; });
  return {
    element,
    /** @param {Run | null} run @param {boolean} named */
    show(run, named) {
      element.hidden = !run;
      if (!run) return;
      label.textContent = named ? t("dock.input_named", { name }) : t("dock.input");
      caption.textContent = [run.input.shape.join("×"), run.truth === undefined ? "" : t("dock.truth", { class: run.truth }), run.answer === "places" ? t("dock.places") : "", run.note ?? ""].filter(Boolean).join(" · ");
      canvas.setAttribute("aria-label", t("dock.picture", { shape: run.input.shape.join("×") }));
      bars(context, list, run);
      if (painted !== run.run_id) paint(run);
      painted = run.run_id;
    },
  };
}

/** The leading answers: shares as bars; numbers that are no shares as bars of their size. @param {Context} context @param {HTMLElement} list @param {Run} run */
export function bars(context, list, run) {
  const top = run.top.slice(0, 5);
  const most = Math.max(...top.map((one) => Math.abs(Number(one.logit)) || 0), 0) || 1;
  fill(list, top.map((one) => {
    const [p, logit] = [one.p === undefined ? undefined : Number(one.p), Number(one.logit)]; // "NaN" comes as a text
    return h("li", {},
      h("span", { class: "name", dir: "auto", title: one.class }, one.class),
      h("span", { class: "figure" }, p === undefined ? context.number(logit) : context.number(p, { style: "percent", maximumFractionDigits: 1 })),
      h("span", { class: "bar", style: { "--share": (p ?? Math.abs(logit) / most) || 0 } }));
  }));
}

/** Paints `picture` u8 [H, W, 3] of an answer to run/RUN/input, one canvas pixel a pixel. @param {HTMLCanvasElement} canvas @param {import("../core/decode.js").Tensors} answer */
export function paintInput(canvas, answer) {
  const picture = answer.arrays["picture"];
  if (!picture) return;
  const [height = 1, width = 1, channels = 1] = picture.shape;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = picture.data[channels * i + Math.min(c, channels - 1)] ?? 0;
    image.data[4 * i + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}
