// @ts-check
/** The page: reads the address, opens the net and the run it names, and shows the screen it names. */
import { changedAddress, parseAddress, writeAddress } from "./address.js";
import { ApiError, connect, part } from "./api.js";
import { fill, h, newest, store } from "./store.js";
import { chosenLanguage, LANGUAGES, wordsOf } from "./words.js";
import { dock } from "./ui/dock.js";
import { input } from "./screens/input.js";
import { layer } from "./screens/layer.js";
import { looking } from "./screens/looking.js";
import { map } from "./screens/map.js";
import { neighbours } from "./screens/neighbours.js";
import { networks } from "./screens/networks.js";
import { number } from "./screens/number.js";
import { runs } from "./screens/runs.js";

/**
 * @typedef {import("./address.js").Address} Address
 * @typedef {import("./wire.js").NetCard} NetCard
 * @typedef {import("./wire.js").Run} Run
 * @typedef {{address: Address, net: NetCard | null, run: Run | null, b: Run | null, busy: boolean}} View
 *   what is looked at; `run` and `b` (the second input of A/B) are runs of `net`
 * @typedef {object} Context all that a screen is given
 * @property {(use: (view: View) => void) => void} watch calls `use` now and after each change, until the screen is left
 * @property {(undo: () => void) => void} leave calls `undo` when the screen is left
 * @property {() => View} view what is looked at now
 * @property {(changes: Record<string, string | number | undefined>, options?: {replace?: boolean}) => void} go changes the address
 * @property {(run: Run, options?: {replace?: boolean, b?: boolean}) => void} show a run that the server just answered with
 * @property {import("./api.js").Api} api
 * @property {(key: string, values?: Record<string, string | number>) => string} t words
 * @property {(key: string) => boolean} has whether there is such a word
 * @property {(value: number, options?: Intl.NumberFormatOptions) => string} number a number as the language writes it
 * @property {string} language
 * @property {(text: string) => void} announce says it to those who listen, politely
 * @property {(error: any) => void} fail shows what went wrong in one line; superseded requests are silent
 * @property {(use: () => void) => void} theme calls `use` when light and dark change: canvases paint again
 * @property {Record<string, any>} session what `api/session` answered
 */

/**
 * The screens in the order of their keys 1 to 8; `needs`: a net, or a run as well.
 * @type {{name: string, screen: (context: Context) => HTMLElement, needs: "" | "net" | "run", docked: boolean}[]}
 */
const SCREENS = [
  { name: "networks", screen: networks, needs: "", docked: false },
  { name: "input", screen: input, needs: "net", docked: true },
  { name: "map", screen: map, needs: "run", docked: true },
  { name: "layer", screen: layer, needs: "run", docked: true },
  { name: "number", screen: number, needs: "run", docked: true },
  { name: "looking", screen: looking, needs: "run", docked: true },
  { name: "neighbours", screen: neighbours, needs: "run", docked: true },
  { name: "runs", screen: runs, needs: "", docked: false },
];

const live = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
const banner = h("div", { class: "banner", role: "alert", hidden: true });
const themes = new Set();

async function start() {
  /** @type {(reached: boolean) => void} */
  let reached = () => {};
  const { session, api } = await connect((yes) => reached(yes));
  const language = chosenLanguage([localStorage.getItem("language"), ...navigator.languages, session.lang]);
  const words = wordsOf(language, await api.words(language));
  document.documentElement.lang = language;
  const view = store(/** @type {View} */ ({ address: parseAddress(location.hash), net: null, run: null, b: null, busy: true }));
  let lost = false;
  reached = (yes) => {
    if (!yes) fill(banner, words.t("shared.unreached"), h("button", { onclick: () => resolve() }, words.t("shared.again")));
    if (lost === yes) banner.hidden = yes;
    lost = !yes;
  };
  /** @type {Map<string, Run>} runs that were answered already, by id */
  const runs = new Map();
  /** @type {NetCard | null} */
  let card = null;
  const only = newest();

  /** @param {string | undefined} id @returns {Promise<Run | null>} */
  async function runOf(id) {
    if (!id) return null;
    const run = runs.get(id) ?? (await api.get(`run/${part(id)}`));
    runs.set(id, run);
    return run;
  }

  /** @param {Address} address @returns {Promise<View>} */
  async function resolved(address) {
    if (!address.net) return { address, net: null, run: null, b: null, busy: false };
    if (card?.id !== address.net) card = /** @type {NetCard} */ (await api.post("open", { net: address.net }));
    if (card.example) runs.set(card.example.run_id, card.example);
    const [run, b] = await Promise.all([runOf(address.run).catch(gone), runOf(address.b).catch(gone)]);
    return { address, net: card, run: run ?? card.example ?? null, b, busy: false };
  }

  /** A run that the server no longer holds: said, and the example is shown instead. @param {any} error */
  function gone(error) {
    if (error instanceof ApiError && error.status === 404) context.fail(new Error(words.t("shared.gone")));
    else throw error;
    return null;
  }

  function resolve() {
    let address = parseAddress(location.hash);
    if (!address.net && session.open?.[0]) { // what was named when the Studio was started is looked at
      address = { ...address, net: session.open[0] };
      history.replaceState(null, "", writeAddress(address));
    }
    if (address.net && address.net !== view.get().net?.id) view.set({ ...view.get(), address, busy: true });
    return only(resolved(address), (next) => view.set(next), (error) => {
      view.set({ ...view.get(), address, busy: false });
      context.fail(error);
    });
  }

  /** @type {Set<() => void>} what to undo when the screen is left */
  const undo = new Set();
  /** @type {Context} */
  const context = {
    api, language, session,
    t: words.t, has: words.has, number: words.number,
    view: view.get,
    watch: (use) => undo.add(view.watch(use)),
    leave: (act) => undo.add(act),
    theme: (use) => { themes.add(use); undo.add(() => themes.delete(use)); },
    announce: (text) => { live.textContent = text; },
    go(changes, { replace = false } = {}) {
      const hash = writeAddress(changedAddress(parseAddress(location.hash), changes));
      if (hash === location.hash) return;
      history[replace ? "replaceState" : "pushState"](null, "", hash);
      resolve();
    },
    show(run, { replace = false, b = false } = {}) {
      runs.set(run.run_id, run);
      context.go({ [b ? "b" : "run"]: run.run_id }, { replace });
    },
    fail(error) {
      if (error?.superseded || error?.status === 0) return; // the banner says already that nobody answers
      if (error?.status === 401) lost = true; // until something is answered again
      banner.hidden = false;
      fill(banner, String(error?.message ?? error), h("button", { onclick: () => { banner.hidden = true; } }, words.t("shared.close")));
    },
  };
  addEventListener("hashchange", resolve);
  addEventListener("popstate", resolve);
  frame(context, words, view, undo);
  await resolve();
}

/**
 * Head, navigation, dock and the place of the screen.
 * @param {Context} context @param {ReturnType<typeof wordsOf>} words
 * @param {ReturnType<typeof store<View>>} view @param {Set<() => void>} undo
 */
function frame(context, words, view, undo) {
  const { t } = context;
  const main = h("main", { id: "main", tabindex: -1 });
  const links = SCREENS.map(({ name }, at) => h("a", { href: "#", "data-screen": name, "aria-keyshortcuts": String(at + 1) }, t(`screen.${name}`)));
  const place = h("p", { class: "place" });
  const side = dock({ ...context, watch: (use) => void view.watch(use), leave: () => {}, theme: (use) => void themes.add(use) });
  document.body.append(
    h("a", { class: "skip", href: "#main", onclick: (/** @type {Event} */ event) => { event.preventDefault(); main.focus(); } }, t("shared.skip")),
    h("header", {}, h("strong", { class: "brand" }, "Striate"), h("nav", { "aria-label": t("shared.screens") }, links), place, languages(words), themeSwitch(context), h("button", { "aria-label": t("keys.title"), onclick: () => keysHelp(context) }, "?")),
    banner, h("div", { class: "body" }, side, main), live);
  let shown = "";
  view.watch(({ address, net, run, busy }) => {
    const found = SCREENS.find(({ name }) => name === address.screen) ?? SCREENS[0];
    for (const link of links) {
      const target = SCREENS.find(({ name }) => name === link.dataset.screen);
      link.setAttribute("href", writeAddress({ ...address, screen: link.dataset.screen ?? "" }));
      link.toggleAttribute("aria-disabled", Boolean(target?.needs) && !address.net);
      if (target === found) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    place.textContent = net ? net.name : "";
    document.title = [t(`screen.${found?.name}`), net?.name, "Striate Studio"].filter(Boolean).join(" · ");
    document.body.toggleAttribute("data-docked", Boolean(found?.docked && net && run));
    const ready = !found?.needs || (net && net.id === address.net && (found.needs === "net" || run));
    const state = ready ? `${found?.name}` : busy ? "busy" : "none";
    if (state === shown) return;
    shown = state;
    queueMicrotask(() => {
      for (const act of undo) act();
      undo.clear();
      main.removeAttribute("data-ready");
      if (ready && found) fill(main, found.screen(context));
      else fill(main, h("p", { class: "hint" }, t(busy ? "shared.opening" : "shared.choose")));
    });
  });
  addEventListener("keydown", (event) => pressed(event, main, context, SCREENS.map(({ name }) => name)));
}

/** @param {ReturnType<typeof wordsOf>} words */
function languages(words) {
  const select = h("select", { "aria-label": words.t("shared.language"), onchange: () => { localStorage.setItem("language", select.value); location.reload(); } },
    Object.entries(LANGUAGES).map(([tag, name]) => h("option", { value: tag, lang: tag, selected: tag === words.language }, name)));
  return select;
}

/** @param {Context} context */
function themeSwitch({ t }) {
  const apply = (/** @type {string} */ theme) => {
    document.documentElement.style.colorScheme = theme === "system" ? "light dark" : theme;
    for (const use of themes) use();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(select.value));
  const kept = localStorage.getItem("theme") ?? "system";
  const select = h("select", { "aria-label": t("shared.theme"), onchange: () => { localStorage.setItem("theme", select.value); apply(select.value); } },
    ["system", "light", "dark"].map((theme) => h("option", { value: theme, selected: theme === kept }, t(`shared.theme_${theme}`))));
  apply(kept);
  return select;
}

// Single keys work while the main view has the focus and nobody types; they can be switched off (WCAG 2.1.4).

/** @type {Record<string, (context: Context) => void>} */
const KEYS = {
  "[": (context) => step(context, -1),
  "]": (context) => step(context, 1),
  "?": (context) => keysHelp(context),
  s: (context) => cycleScale(context),
  c: ({ go, view }) => { const { address, b } = view(); if (b) go({ diff: address.diff ? undefined : 1 }, { replace: true }); },
};

/**
 * @param {KeyboardEvent} event @param {HTMLElement} main
 * @param {Context} context @param {string[]} screens in the order of the keys 1 to 8
 */
function pressed(event, main, context, screens) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("keys") === "off") return;
  const at = /** @type {HTMLElement} */ (event.target);
  if (at !== document.body && !main.contains(at)) return;
  if (at.matches("input, textarea, select, [contenteditable]") && !at.matches("input[type=range], input[type=checkbox], input[type=radio]")) return;
  const screen = screens[Number(event.key) - 1];
  if (screen) context.go({ screen });
  else if (KEYS[event.key]) KEYS[event.key]?.(context);
  else if (event.key === "/") main.querySelector(/** @type {"input"} */ ("input[type=search]"))?.focus();
  else if (event.key === "Backspace") history.back();
  else return;
  event.preventDefault();
}

/** Map, layer, net, and again from the first. @param {Context} context */
function cycleScale({ go, view }) {
  const next = { map: "layer", layer: "net" }[view().address.scale ?? "map"];
  go({ scale: next }, { replace: true });
}

/** The list of keys, and the switch that turns single ones off. @param {Context} context */
function keysHelp({ t }) {
  const box = h("input", { type: "checkbox", checked: localStorage.getItem("keys") !== "off", onchange: () => localStorage.setItem("keys", box.checked ? "on" : "off") });
  const dialog = h("dialog", { "aria-label": t("keys.title"), onclose: () => dialog.remove() }, h("h2", {}, t("keys.title")),
    h("dl", { class: "keys" }, ["screens", "find", "layer", "grid", "enter", "back", "scale", "compare", "step", "list"].map((name) => h("div", {}, h("dt", {}, h("kbd", {}, t(`keys.key_${name}`))), h("dd", {}, t(`keys.${name}`))))),
    h("label", {}, box, t("keys.single")), h("p", { class: "row" }, h("button", { class: "primary", onclick: () => dialog.close() }, t("shared.close"))));
  document.body.append(dialog);
  dialog.showModal();
}

/** The layer before or after the one that is shown. @param {Context} context @param {number} by */
function step(context, by) {
  const { net, address } = context.view();
  if (!net?.layers.length) return;
  const at = net.layers.findIndex(({ id }) => id === address.layer);
  const next = net.layers[Math.min(net.layers.length - 1, Math.max(0, (at < 0 ? 0 : at) + by))];
  if (next) context.go({ layer: next.id });
}

start().catch((error) => document.body.append(h("p", { class: "banner" }, String(error.message ?? error))));
