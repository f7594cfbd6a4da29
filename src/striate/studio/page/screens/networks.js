// @ts-check
/** Screen 1: every net that can be opened; the card of the one that is. */
import { fill, h } from "../store.js";

/** @typedef {import("../main.js").Context} Context @typedef {import("../wire.js").NetItem} NetItem @typedef {import("../wire.js").NetCard} NetCard */

const KINDS = ["given", "run", "catalogue"];

/** @param {Context} context @returns {HTMLElement} */
export function networks(context) {
  const { t, api } = context;
  const list = h("div", { class: "netlist" });
  const card = h("section", { class: "card netcard", "aria-live": "polite" });
  const search = h("input", { type: "search", placeholder: t("networks.find"), "aria-label": t("networks.find"), oninput: () => draw() });
  /** @type {NetItem[]} */
  let items = [];
  const draw = () => fill(list, KINDS.map((kind) => group(context, kind, items.filter((item) => item.kind === kind && matches(item, search.value)))));
  api.get("nets").then((answer) => { items = answer.items; draw(); element.dataset.ready = "nets"; }, context.fail);
  context.watch(({ address, net, run, busy }) => {
    if (busy && address.net !== net?.id) return fill(card, h("p", { class: "hint" }, t("shared.opening")));
    fill(card, net ? cardOf(context, net, run) : h("p", { class: "hint" }, t("networks.choose")));
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset["net"] === net?.id));
  });
  const element = h("div", { class: "split" }, h("section", {}, h("div", { class: "row" }, h("h1", {}, t("screen.networks")), search), list), card);
  return element;
}

/** @param {NetItem} item @param {string} text */
const matches = (item, text) => `${item.id} ${item.name} ${item.title ?? ""}`.toLowerCase().includes(text.trim().toLowerCase());

/** @param {Context} context @param {string} kind @param {NetItem[]} items */
function group({ t, number, go, view }, kind, items) {
  if (!items.length) return null;
  return h("section", {}, h("h2", {}, t(`networks.kind_${kind}`)),
    h("ul", { class: "rows" }, items.map((item) => h("li", {},
      h("button", { "data-net": item.id, "aria-pressed": String(item.id === view().net?.id), onclick: () => go({ net: item.id }) },
        h("b", { dir: "auto" }, item.name), h("span", { dir: "auto" }, item.title ?? ""),
        h("span", { class: "figure" }, item.params ? t("networks.params", { count: number(item.params, { notation: "compact" }) }) : ""))))));
}

/** @param {Context} context @param {NetCard} net @param {import("../wire.js").Run | null} run */
function cardOf({ t, number, go }, net, run) {
  return [
    h("h2", { dir: "auto" }, net.name),
    h("dl", {}, fact(t("networks.input"), net.input.shape.join(" × ")), fact(t("networks.weights"), number(net.params)),
      fact(t("networks.macs"), net.macs === undefined ? t("shared.unknown") : number(net.macs)), fact(t("networks.classes"), net.classes.length ? number(net.classes.length) : t("shared.unknown")),
      fact(t("networks.layers"), number(net.layers.length))),
    h("ul", {}, net.sentences.map((sentence) => h("li", { lang: "en" }, sentence))),
    run && h("p", { class: "row" }, h("button", { class: "primary", onclick: () => go({ screen: "layer" }) }, t("networks.look")), h("button", { onclick: () => go({ screen: "input" }) }, t("networks.own"))),
  ];
}

/** @param {string} name @param {string} value */
const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
