// The service's API. Addresses are relative, so that the page also works below a path of a proxy.

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function ask(address, options = {}) {
  let reply;
  try {
    reply = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The service does not answer. It may have been stopped, or the network is down.");
  }
  if (reply.ok) return reply.status === 204 ? null : reply.json();
  let sentence = `The service answered ${reply.status}.`;
  try { sentence = (await reply.json()).error || sentence; } catch { /* a proxy answered */ }
  throw new Refused(reply.status, sentence);
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

export const pictureOf = (row) => `api/picture?${new URLSearchParams({ row })}`;

function asForm(query) {
  const form = new FormData();
  if (query.row) form.append("row", query.row);
  else form.append("image", query.file, "query");
  return form;
}

export function search(query, filters, signal) {
  const form = asForm(query);
  if (!query.row) form.append("modality", filters.queryLight);
  form.append("top", filters.top);
  for (const cam of filters.cams) form.append("cam", cam);
  for (const light of filters.lights) form.append("light", light);
  if (filters.since !== null) form.append("since", filters.since);
  if (filters.until !== null) form.append("until", filters.until);
  return ask("api/search", { method: "POST", body: form, signal });
}

export function draw(query, kind, { light, body }, signal) {
  const form = asForm(query);
  form.append("kind", kind);
  if (!query.row) form.append("modality", light);
  if (body) form.append("body", body);
  return ask("api/draw", { method: "POST", body: form, signal });
}
