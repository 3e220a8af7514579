// The server that this page comes from; nothing else is ever asked.

const SEAT_BYTES = 12;

/** Kept until the tab is closed; in memory where storage is switched off. */
const memory = new Map();
export const tab = {
  get(name) {
    try {
      return sessionStorage.getItem(name) ?? memory.get(name) ?? null;
    } catch {
      return memory.get(name) ?? null;
    }
  },
  set(name, value) {
    memory.set(name, value);
    try {
      sessionStorage.setItem(name, value);
    } catch {
      // Storage is switched off: it lasts as long as the page.
    }
  },
  forget(name) {
    memory.delete(name);
    try {
      sessionStorage.removeItem(name);
    } catch {
      // Storage is switched off: there was nothing else.
    }
  },
};

/** Why there is no answer, in words for people; `wait` is in seconds. */
export class Refusal extends Error {
  constructor(status, code, message, wait = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.wait = wait;
  }
}

const unreachable = () =>
  new Refusal(0, "unreachable", "The server does not answer. It may have been stopped, or the network is down.");

/** What a part of an address stands for; as it is written where it was not quoted. */
function unquoted(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * What opens the server from now on, under "token" or "class-code"; never both, as an old token
 * beside a right class code would count as a wrong one.
 */
export function openWith(key, value) {
  tab.forget(key === "token" ? "class-code" : "token");
  tab.set(key, value);
}

/** A token in the address goes into the tab's memory and out of the address. */
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found === null) return;
  openWith("token", unquoted(found[1]));
  history.replaceState(null, "", location.pathname + location.search);
}

/** A random name of this tab, which tells the seats of a class apart and nobody's name. */
function seat() {
  if (tab.get("seat") === null) {
    const bytes = crypto.getRandomValues(new Uint8Array(SEAT_BYTES));
    tab.set("seat", Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return tab.get("seat");
}

function headers() {
  const all = { "Content-Type": "application/json" };
  if (tab.get("class-code")) {
    all["X-Class-Code"] = tab.get("class-code");
    all["X-Seat"] = seat();
  } else if (tab.get("token")) {
    all["Authorization"] = `Bearer ${tab.get("token")}`;
  }
  return all;
}

async function refusalOf(response) {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  try {
    const { error } = await response.json();
    return new Refusal(response.status, error.code, error.message, wait);
  } catch {
    return new Refusal(response.status, null, `The server answered with an error (${response.status}).`, wait);
  }
}

async function ask(path, body, signal) {
  const options = { headers: headers(), signal, cache: "no-store" };
  if (body !== null) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
}

/** Who answers here, and what can be asked. */
export async function about() {
  return (await ask("/about", null)).json();
}

/** The references in a text, in order; places count code points. */
export async function citations(text, signal) {
  return (await (await ask("/citations", { text }, signal)).json()).citations;
}

/**
 * The chunks of a streamed answer.
 * Throws a Refusal where it breaks off, an AbortError where the reader stops it.
 */
export async function* chat(body, signal) {
  const response = await ask("/v1/chat/completions", { ...body, stream: true }, signal);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await read(reader);
    if (done) break;
    const events = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      const data = event.slice("data: ".length);
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Refusal(response.status, chunk.error.code, chunk.error.message);
      yield chunk;
    }
  }
  throw new Refusal(0, "broken_off", "The connection to the server was lost.");
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "broken_off", "The connection to the server was lost.");
  }
}
