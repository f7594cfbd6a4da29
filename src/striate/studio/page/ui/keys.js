// @ts-check
/** Single keys, while the main view has the focus and nobody types; they can be switched off (WCAG 2.1.4). */

/** @typedef {import("../main.js").Context} Context */

/** @type {Record<string, (context: Context) => void>} */
const KEYS = {
  "[": (context) => step(context, -1),
  "]": (context) => step(context, 1),
  "?": (context) => context.announce(context.t("keys.list")),
};

/**
 * @param {KeyboardEvent} event @param {HTMLElement} main
 * @param {Context} context @param {string[]} screens in the order of the keys 1 to 8
 */
export function pressed(event, main, context, screens) {
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

/** The layer before or after the one that is shown. @param {Context} context @param {number} by */
function step(context, by) {
  const { net, address } = context.view();
  if (!net?.layers.length) return;
  const at = net.layers.findIndex(({ id }) => id === address.layer);
  const next = net.layers[Math.min(net.layers.length - 1, Math.max(0, (at < 0 ? 0 : at) + by))];
  if (next) context.go({ layer: next.id });
}
