// @ts-check
/** The address holds all that is looked at: `#/layer?net=lenet5&run=…&layer=…&c=17&scale=layer`. */

/**
 * What the address says. `screen` is the name of a screen; all others are texts, absent where unset.
 * @typedef {{screen: string, net?: string, run?: string, b?: string, layer?: string, c?: string, y?: string, x?: string,
 *   scale?: string, sort?: string, class?: string, [more: string]: string | undefined}} Address
 */

/** @param {string} hash such as `#/layer?net=lenet5` @returns {Address} */
export function parseAddress(hash) {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { ...Object.fromEntries(new URLSearchParams(query)), screen: path || "networks" };
}

/** @param {Address} address @returns {string} the hash of an address */
export function writeAddress(address) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(address)) if (key !== "screen" && value != null && value !== "") query.set(key, value);
  const text = query.toString();
  return `#/${address.screen}${text ? `?${text}` : ""}`;
}

/**
 * The address after some changes; `undefined` takes a key away. Another net takes away all that belonged to the old
 * one, another layer the cell that was chosen in the old one.
 * @param {Address} old @param {Partial<Record<keyof Address, string | number | undefined>>} changes @returns {Address}
 */
export function changedAddress(old, changes) {
  const given = Object.fromEntries(Object.entries(changes).map(([key, value]) => [key, value == null ? undefined : String(value)]));
  /** @type {Address} */
  let next = { ...old };
  if ("net" in given && given.net !== old.net) next = { screen: old.screen };
  else if ("layer" in given && given.layer !== old.layer) next = { ...next, c: undefined, y: undefined, x: undefined };
  return { ...next, ...given, screen: given.screen ?? old.screen };
}
