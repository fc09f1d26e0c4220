// Where to look: cameras, light, time, and how many results.

import { byId, camName, count, dateTime, isCalendar, make, secondsOf, show } from "./dom.js";

const PAUSE_MS = 250;

export class Filters {
  constructor(gallery, onChange) {
    this.calendar = gallery.latest !== null && isCalendar(gallery.latest);
    this.fill("cams", gallery.cams.map((one) => [one.cam, one.cam < 0 ? "unknown" : one.name ?? String(one.cam), one.rows, camName(one.cam)]));
    this.fill("lights", gallery.modalities.map((one) => [one.modality, one.modality, one.rows, one.modality]));
    show(byId("times"), gallery.latest !== null);
    for (const id of ["since", "until"]) {
      const field = byId(id);
      field.type = this.calendar ? "datetime-local" : "number";
      field.step = this.calendar ? "1" : "any";
      if (this.calendar) field.title = "UTC";
      else field.placeholder = "seconds";
    }
    if (this.calendar) {
      byId("since").min = byId("until").min = dateTime(gallery.earliest);
      byId("since").max = byId("until").max = dateTime(Math.ceil(gallery.latest));
    }
    let pause;
    const changed = () => { this.tell(); clearTimeout(pause); pause = setTimeout(onChange, PAUSE_MS); };
    byId("filters").addEventListener("change", changed);
    byId("query-light").addEventListener("change", changed);
    this.reset = () => { this.set({}); changed(); };
    byId("reset").addEventListener("click", this.reset);
    byId("nothing-reset").addEventListener("click", this.reset);
    if (window.matchMedia("(max-width: 820px)").matches) byId("filters").open = false;
  }

  fill(id, choices) {
    const icon = (value) => id === "lights" ? make("i", { className: `mark-${value}`, "aria-hidden": "true" }) : null;
    byId(id).append(...choices.map(([value, text, rows, name]) =>
      make("label", { title: `${name}: ${count(rows)} images` },
        make("input", { type: "checkbox", value, "aria-label": name }), make("span", {}, icon(value), text))));
    show(byId(id), choices.length > 1);
  }

  get() {
    const chosen = (id) => [...byId(id).querySelectorAll("input:checked")].map((box) => box.value);
    return {
      queryLight: byId("query-light").querySelector("input:checked").value,
      cams: chosen("cams"), lights: chosen("lights"), top: Number(byId("top").value),
      since: this.time("since", 0), until: this.time("until", 0.999),
    };
  }

  // A date field shows whole seconds: its end includes the whole of the last one.
  time(id, more) {
    const text = byId(id).value;
    if (!text) return null;
    return this.calendar ? secondsOf(text) + more : Number(text);
  }

  set({ cams = [], lights = [], since = null, until = null, top = null }) {
    for (const [id, values] of [["cams", cams], ["lights", lights]]) {
      for (const box of byId(id).querySelectorAll("input")) box.checked = values.includes(box.value);
    }
    for (const [id, value] of [["since", since], ["until", until]]) {
      byId(id).value = value === null ? "" : this.calendar ? dateTime(value) : value;
    }
    if (top !== null) byId("top").value = String(top);
    this.tell();
  }

  /** How many filters are set, for whoever has folded them away. */
  tell() {
    const { cams, lights, since, until } = this.get();
    const number = [cams.length, lights.length, since !== null, until !== null].filter(Boolean).length;
    byId("filter-count").textContent = number;
    byId("filter-count").setAttribute("aria-label", `${number} set`);
    show(byId("filter-count"), number > 0);
    byId("reset").disabled = number === 0;
  }

  toHash() {
    const { cams, lights, since, until, top } = this.get();
    const query = new URLSearchParams();
    cams.forEach((cam) => query.append("cam", cam));
    lights.forEach((light) => query.append("light", light));
    if (since !== null) query.set("since", since);
    if (until !== null) query.set("until", until);
    if (top !== 20) query.set("top", top);
    return query;
  }

  fromHash(query) {
    const number = (name) => query.has(name) && Number.isFinite(Number(query.get(name))) ? Number(query.get(name)) : null;
    this.set({
      cams: query.getAll("cam"), lights: query.getAll("light"), since: number("since"), until: number("until"),
      top: ["10", "20", "50", "100"].includes(query.get("top")) ? query.get("top") : 20,
    });
  }
}
