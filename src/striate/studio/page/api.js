// @ts-check
/** The one door to the server. Every address is relative; the answers of a run never change, so arrays are kept. */
import { decodeTensors } from "./core/decode.js";

/** @typedef {import("./core/decode.js").Tensors} Tensors */

/** What a request came back with instead of an answer. `status` 0: the server could not be reached. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {string} [field] @param {boolean} [superseded] */
  constructor(status, message, field, superseded = false) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.field = field;
    this.superseded = superseded;
  }
}

const VIEW = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join(""); // this tab
const KEEP = 96; // answers with arrays that stay in the page, the oldest goes first

/**
 * @typedef {object} Api
 * @property {(path: string) => Promise<any>} get JSON of `api/` + path
 * @property {(path: string) => Promise<Tensors>} arrays safetensors of `api/` + path, kept
 * @property {(path: string) => Promise<ArrayBuffer>} raw bytes of `api/` + path
 * @property {(path: string, body?: object) => Promise<any>} post JSON to `api/` + path
 * @property {(path: string, body: BufferSource | Blob, headers: Record<string, string>) => Promise<any>} send bytes to `api/` + path
 * @property {(path: string) => string} picture the address of a picture at `api/` + path
 * @property {(language: string) => Promise<Record<string, string>>} words the catalogue of a language
 * @property {(path: string, events: Record<string, (data: any) => void>) => () => void} listen server events; returns what ends it
 */

/** @type {Api | null} what answers instead of a server, in a saved page */
let source = null;

/** Lets everything be answered by another source; before the page starts. @param {Api} other */
export function useSource(other) {
  source = other;
}

/**
 * The session, and what answers all other requests.
 * @param {(reached: boolean) => void} reached told whether the last request came through
 * @returns {Promise<{session: Record<string, any>, api: Api}>}
 */
export async function connect(reached) {
  const api = source ?? serverSource(reached);
  return { api, session: await api.get("session") };
}

/** @param {(reached: boolean) => void} reached @returns {Api} */
function serverSource(reached) {
  let token = "";
  /** @type {Map<string, Promise<Tensors>>} */
  const kept = new Map();

  /** A token that is no longer taken, as after a restart of the server, is read anew, once. @param {string} path @param {RequestInit} [options] @param {boolean} [again] @returns {Promise<Response>} */
  async function ask(path, options, again = false) {
    /** @type {Response} */
    let answer;
    try {
      answer = await fetch(`api/${path}`, { credentials: "same-origin", ...options, headers: { "X-View": VIEW, ...options?.headers } });
    } catch (error) {
      reached(false);
      throw new ApiError(0, String(error));
    }
    if (answer.status !== 401) reached(true); // a server that was begun anew answers, but does not know this tab
    if (answer.status === 401 && options?.method === "POST" && !again) {
      token = (await (await ask("session")).json()).token;
      return ask(path, { ...options, headers: { ...options.headers, "X-Striate-Token": token } }, true);
    }
    if (!answer.ok) throw await refusal(answer);
    return answer;
  }

  /** @param {string} path */
  function arrays(path) {
    const found = kept.get(path) ?? ask(path).then((answer) => answer.arrayBuffer()).then(decodeTensors);
    kept.delete(path);
    kept.set(path, found);
    found.catch(() => kept.delete(path));
    for (const oldest of kept.keys()) {
      if (kept.size <= KEEP) break;
      kept.delete(oldest);
    }
    return found;
  }

  return {
    arrays,
    get: async (path) => {
      const answer = await (await ask(path)).json();
      if (path === "session") token = answer.token;
      return answer;
    },
    picture: (path) => `api/${path}`,
    words: async (language) => (await fetch(`words/${language}.json`)).json(),
    raw: async (path) => (await ask(path)).arrayBuffer(),
    post: async (path, body = {}) => (await ask(path, {
      method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", "X-Striate-Token": token },
    })).json(),
    send: async (path, body, headers) => (await ask(path, {
      method: "POST", body, headers: { "Content-Type": "application/octet-stream", "X-Striate-Token": token, ...headers },
    })).json(),
    listen(path, events) {
      const stream = new EventSource(`api/${path}`);
      /** @type {ReturnType<typeof setTimeout> | undefined} a stream that ended begins again by itself; only a long silence is a loss */
      let silence;
      stream.addEventListener("open", () => { clearTimeout(silence); reached(true); });
      stream.addEventListener("error", () => { clearTimeout(silence); silence = setTimeout(() => reached(false), 4000); });
      for (const [name, use] of Object.entries(events)) stream.addEventListener(name, (event) => use(JSON.parse(/** @type {MessageEvent} */ (event).data)));
      return () => { clearTimeout(silence); stream.close(); };
    },
  };
}

/** @param {Response} answer */
async function refusal(answer) {
  const text = await answer.text();
  try {
    const { error, field, superseded } = JSON.parse(text);
    return new ApiError(answer.status, error ?? text, field, Boolean(superseded));
  } catch {
    return new ApiError(answer.status, text || answer.statusText);
  }
}

/** @param {string} text a part of a path or a value of a query */
export const part = encodeURIComponent;
