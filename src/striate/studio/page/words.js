// @ts-check
/** Words in the reader's language: flat catalogues, plural forms by the language's own rules, numbers in its writing. */

/** @typedef {Record<string, string>} Catalogue */
export const LANGUAGES = /** @type {const} */ ({ en: "English", ru: "Русский", pl: "Polski" });

/** @param {(string | null | undefined)[]} wished most wished first @returns {keyof typeof LANGUAGES} */
export function chosenLanguage(wished) {
  for (const tag of wished) {
    const short = /** @type {keyof typeof LANGUAGES} */ ((tag ?? "").slice(0, 2).toLowerCase());
    if (short in LANGUAGES) return short;
  }
  return "en";
}

/**
 * The two functions every screen needs.
 * `t("layer.shown", {n: 5})` is the text of that key with `{n}` replaced; where the catalogue has the key with a plural
 * form behind it (`layer.shown#one`, `#few`, `#many`, `#other`), `n` chooses. `n` and every other number is written as
 * the language writes it. `number(0.12345)` gives 4 significant digits; options are those of Intl.NumberFormat.
 * @param {string} language @param {Catalogue} catalogue
 */
export function wordsOf(language, catalogue) {
  const rules = new Intl.PluralRules(language);
  /** @type {Map<string, Intl.NumberFormat>} */
  const formats = new Map();

  /** @param {number} value @param {Intl.NumberFormatOptions} [options] */
  function number(value, options = {}) {
    if (Number.isNaN(value)) return "NaN";
    const size = Math.abs(value);
    const many = Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 };
    const far = value !== 0 && (size < 1e-4 || size >= 1e9) ? /** @type {const} */ ({ notation: "scientific", maximumSignificantDigits: 4 }) : {};
    const all = Object.keys(options).length ? options : { ...many, ...far };
    const key = JSON.stringify(all);
    const format = formats.get(key) ?? new Intl.NumberFormat(language, all);
    formats.set(key, format);
    return format.format(value);
  }

  /** @param {string} key @param {Record<string, string | number>} [values] */
  function t(key, values = {}) {
    const form = "n" in values ? `${key}#${rules.select(Number(values.n))}` : key;
    const text = catalogue[form] ?? catalogue[key];
    if (text === undefined) {
      console.error(`no word for ${form} in ${language}`);
      return key;
    }
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
      const value = values[name];
      return value === undefined ? whole : typeof value === "number" ? number(value) : value;
    });
  }
  return { t, number, language, has: (/** @type {string} */ key) => key in catalogue };
}

/** A number as a person typed it, with a comma or a point; NaN where it is none. @param {string} text */
export function typedNumber(text) {
  const plain = text.replace(/[\s\u00a0\u202f]/g, "").replace("\u2212", "-").replace(",", ".");
  return plain === "" ? NaN : Number(plain);
}
