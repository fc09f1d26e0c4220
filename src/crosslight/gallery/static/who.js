// The dialog that says who is on a picture.

import * as api from "./api.js";
import { byId, images, make, personName, show } from "./dom.js";

export class Who {
  /** `onChanged(row)` when names or labels are others; `onLocked()` where a token is needed. */
  constructor(onChanged, onLocked) {
    Object.assign(this, { onChanged, onLocked, dialog: byId("who") });
    byId("who-form").addEventListener("submit", (event) => { event.preventDefault(); this.save(); });
    byId("who-merge").addEventListener("click", () => this.change(() => api.merge(this.other.pid, this.known.person.pid)));
    for (const id of ["who-name", "who-scope"]) byId(id).addEventListener("input", () => this.tell(""));
  }

  async open(row) {
    try {
      const [known, { people }] = await Promise.all([api.who(row.id), api.people()]);
      Object.assign(this, { row, known, people });
    } catch (error) {
      return error.status === 401 ? this.onLocked() : this.onChanged(row, error.message);
    }
    const { person, track, track_rows: tracked } = this.known;
    byId("who-picture").src = api.pictureOf(row.id);
    byId("who-name").value = person?.name ?? "";
    byId("who-note").value = person?.note ?? "";
    byId("who-names").replaceChildren(...this.people.filter((one) => one.name).map((one) => make("option", { value: one.name })));
    const choices = [
      person ? ["person", `All ${images(person.rows)} of ${personName({ person: person.name, pid: person.pid })}`] : null,
      track && tracked > 1 && tracked !== person?.rows ? ["track", `This track, ${images(tracked)}`] : null,
      person?.rows === 1 ? null : ["row", "This image alone"],
    ].filter(Boolean);
    byId("who-scope").replaceChildren(make("legend", {}, "For"), ...choices.map(([value, text], place) =>
      make("label", {}, make("input", { type: "radio", name: "who-scope", value, checked: place === 0 }), make("span", {}, text))));
    this.tell("");
    this.dialog.showModal();
    byId("who-name").select();
  }

  save() {
    const name = byId("who-name").value.trim();
    const note = byId("who-note").value.trim();
    const scope = byId("who-scope").querySelector(":checked").value;
    const { person } = this.known;
    if (scope === "person") {
      this.other = this.people.find((one) => one.pid !== person.pid && one.name?.toLowerCase() === name.toLowerCase());
      if (this.other) {
        this.tell(`${this.other.name} is another person already, with ${images(this.other.rows)}.`);
        byId("who-merge").textContent = `They are one: merge with ${this.other.name}`;
        return show(byId("who-merge"), true);
      }
      return this.change(() => api.describe(person.pid, { name, note }));
    }
    if (!name && !person) return this.tell("Write a name.");
    return this.change(async () => {
      const whole = scope === "track";
      const moved = person ? await api.split(person.pid, this.row.id, name || null, whole) : await api.label(this.row.id, name, whole);
      if (note && note !== (person?.note ?? "")) await api.describe(moved.person.pid, { note });
    });
  }

  async change(work) {
    const buttons = this.dialog.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    this.tell("Saving …");
    try {
      await work();
      this.dialog.close();
      this.onChanged(this.row);
    } catch (error) {
      this.tell(error.message);
      if (error.status === 401) this.onLocked();
    }
    for (const button of buttons) button.disabled = false;
  }

  tell(text) {
    byId("who-said").textContent = text;
    show(byId("who-merge"), false);
  }
}
