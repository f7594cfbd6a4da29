// @ts-check
/** Elements, and values that tell who watches them when they change. */

/**
 * @typedef {string | number | Node | null | undefined | false} Child
 * @typedef {Record<string, any>} Props
 */

/**
 * An element with its attributes, listeners and children: `h("button", {class: "primary", onclick: save}, "Save")`.
 * A key that begins with "on" is a listener; `style` is an object of CSS properties; `true` is an attribute without
 * value, `false`, `null` and `undefined` leave it out. Text is only ever text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) set(element, key, value);
  element.append(...nodes(children));
  return element;
}

/** @param {HTMLElement} element @param {string} key @param {any} value */
function set(element, key, value) {
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "style") for (const [name, text] of Object.entries(value)) element.style.setProperty(name, String(text));
  else if (value === true) element.setAttribute(key, "");
  else if (value !== false && value != null) element.setAttribute(key, String(value));
}

/** @param {(Child | Child[])[]} children @returns {Node[]} */
function nodes(children) {
  return children.flat().flatMap((child) =>
    child == null || child === false ? [] : [child instanceof Node ? child : document.createTextNode(String(child))]);
}

/**
 * Puts these children in the place of all that an element holds.
 * @param {Element} element @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * A value with watchers. `watch` calls at once and after each change; what it returns stops it.
 * @template T
 * @param {T} first
 */
export function store(first) {
  let value = first;
  /** @type {Set<(value: T) => void>} */
  const watchers = new Set();
  return {
    get: () => value,
    /** @param {T} next */
    set(next) {
      value = next;
      for (const watcher of [...watchers]) if (watchers.has(watcher)) watcher(value);
    },
    /** @param {(value: T) => void} watcher */
    watch(watcher) {
      watchers.add(watcher);
      watcher(value);
      return () => void watchers.delete(watcher);
    },
  };
}

/**
 * Of several calls only the newest counts: `const only = newest(); only(promise, use)` calls `use` with the result
 * unless a later `only` came in between. A failure of the newest goes to `failed`, that of an older one is dropped.
 */
export function newest() {
  let turn = 0;
  /**
   * @template T
   * @param {Promise<T>} promise @param {(value: T) => void} use @param {(error: any) => void} [failed]
   */
  return async (promise, use, failed) => {
    const mine = ++turn;
    try {
      const value = await promise;
      if (mine === turn) use(value);
    } catch (error) {
      if (mine !== turn) return;
      if (!failed) throw error;
      failed(error);
    }
  };
}
