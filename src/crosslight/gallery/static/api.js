// The service's API. Addresses are relative, so that the page also works below a path of a proxy.

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

const ABSENT = "The service does not answer. It may have been stopped, or the network is down.";

async function ask(address, options = {}) {
  let reply;
  try {
    reply = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, ABSENT);
  }
  if (reply.ok) return reply.status === 204 ? null : reply.json();
  let sentence = `The service answered ${reply.status}.`;
  try { sentence = (await reply.json()).error || sentence; } catch { /* a proxy answered */ }
  throw new Refused(reply.status, sentence);
}

/** Sends a form; `onProgress` hears what share of it has left, and with 1 that an answer is awaited. */
function send(address, form, { signal, onProgress } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how far it has come
    const aborted = () => reject(new DOMException("No longer wanted.", "AbortError"));
    if (signal?.aborted) return aborted();
    signal?.addEventListener("abort", () => { request.abort(); aborted(); }, { once: true });
    request.open("POST", address);
    request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) onProgress?.(event.loaded / event.total); });
    request.addEventListener("error", () => reject(new Refused(0, ABSENT)));
    request.addEventListener("load", () => {
      let reply = null;
      try { reply = JSON.parse(request.responseText); } catch { /* a proxy answered */ }
      if (request.status >= 200 && request.status < 300 && reply) resolve(reply);
      else reject(new Refused(request.status, reply?.error || `The service answered ${request.status}.`));
    });
    request.send(form);
  });
}

export const gallery = () => ask("api/gallery");

export const unlock = (token) =>
  ask("api/session", { method: "POST", headers: { authorization: `Bearer ${token}` } });

export function rows({ cams = [], lights = [], offset = 0, limit = 48 }) {
  const query = new URLSearchParams({ offset, limit });
  for (const cam of cams) query.append("cam", cam);
  for (const light of lights) query.append("light", light);
  return ask(`api/rows?${query}`);
}

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined) data.append(name, one);
  }
  return data;
}

const keep = (method, address, fields) => ask(address, { method, body: form(fields) });

export const visitor = () => ask("api/session");
export const people = () => ask("api/people?limit=1000");
export const who = (row) => ask(`api/who?${new URLSearchParams({ row })}`);
export const proposals = () => ask("api/proposals");
export const describe = (person, fields) => keep("PUT", "api/person", { person, ...fields });
export const label = (row, person, wholeTrack) => keep("POST", "api/label", { row, person, whole_track: wholeTrack });
export const split = (person, row, to, wholeTrack) => keep("POST", "api/split", { person, row, to, whole_track: wholeTrack });
export const merge = (...person) => keep("POST", "api/merge", { person });
export const apart = (...person) => keep("POST", "api/apart", { person });
export const mark = (fields) => keep("PUT", "api/mark", fields);
export const clearMarks = () => ask("api/marks/clear", { method: "POST" });

export const pictureOf = (row) => `api/picture?${new URLSearchParams({ row })}`;

function asForm(query) {
  const form = new FormData();
  if (query.row) form.append("row", query.row);
  else form.append("image", query.file, "query");
  return form;
}

export function boxes(file, onProgress) {
  const form = new FormData();
  form.append("image", file, "picture");
  return send("api/boxes", form, { onProgress });
}

// A bare 2026 may be a year as well, and is refused.
const seconds = (number) => (Number.isInteger(number) ? number.toFixed(1) : number);

export function search(query, filters, signal, onProgress) {
  const form = asForm(query);
  if (!query.row) form.append("modality", filters.queryLight);
  form.append("top", filters.top);
  for (const cam of filters.cams) form.append("cam", cam);
  for (const light of filters.lights) form.append("light", light);
  if (filters.since !== null) form.append("since", seconds(filters.since));
  if (filters.until !== null) form.append("until", seconds(filters.until));
  return send("api/search", form, { signal, onProgress });
}

export function same(first, second) {
  const form = new FormData();
  form.append("first", first, "first");
  form.append("second", second, "second");
  return ask("api/same", { method: "POST", body: form });
}

export function draw(query, kind, { light, body }, signal) {
  const form = asForm(query);
  form.append("kind", kind);
  if (!query.row) form.append("modality", light);
  if (body) form.append("body", body);
  return ask("api/draw", { method: "POST", body: form, signal });
}
