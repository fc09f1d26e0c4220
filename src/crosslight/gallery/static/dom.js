// Elements are made from text, never from markup: nothing that comes from a file name can run.

export const byId = (id) => document.getElementById(id);

/** An element with properties, `data`, attributes (`aria-*`, `role`) and children. */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const show = (element, visible) => { element.hidden = !visible; };

/** The light of an image as a badge: colour, shape and word. */
export const lightBadge = (light) =>
  make("span", { className: "badge" },
    make("i", { className: `mark-${light}`, "aria-hidden": "true" }), light);

export const camBadge = (cam) => make("span", { className: "badge", title: camName(cam) }, make("span", { className: "wide" }, camShort(cam)));

/** Light and camera in the room of one badge. */
export const placeBadge = (light, cam) =>
  make("span", { className: "badge", title: `${light}, ${camName(cam)}` },
    make("i", { className: `mark-${light}`, "aria-hidden": "true" }), make("span", { className: "wide" }, cam < 0 ? light : camShort(cam)));

const called = new Map(); // names of cameras, by number

/** Learns what cameras are called. */
export function nameCameras(cams) {
  called.clear();
  for (const { cam, name } of cams) if (name) called.set(cam, name);
}

export const camShort = (cam) => (cam < 0 ? "cam ?" : called.get(cam) ?? `cam ${cam}`);

export const camName = (cam) => (cam < 0 ? "camera unknown" : called.get(cam) ?? `camera ${cam}`);

/** Who is on a row, as far as it is known. */
export const personName = (row) => row.person ?? (row.pid == null ? null : `person ${row.pid}`);

// Times beyond this are seconds since 1970; smaller ones count from the start of a recording.
const CALENDAR_FROM_S = 1e8;
export const isCalendar = (time) => time >= CALENDAR_FROM_S;

export function timeText(time) {
  if (time === null) return "";
  if (!isCalendar(time)) return `${time.toLocaleString("en", { maximumFractionDigits: 1 })} s`;
  return `${dateTime(time).replace("T", " ")} UTC`;
}

/** Seconds since 1970 as a date field takes them, in UTC as everywhere. */
export const dateTime = (time) => new Date(time * 1000).toISOString().slice(0, 19);

/** And back. */
export const secondsOf = (text) => new Date(`${text}Z`).getTime() / 1000;

export function percent(probability) {
  if (probability > 0.995) return "> 99 %";
  if (probability < 0.005) return "< 1 %";
  return `${Math.round(100 * probability)} %`;
}

export const count = (number) => number.toLocaleString("en");

export const images = (number) => `${count(number)} ${number === 1 ? "image" : "images"}`;
