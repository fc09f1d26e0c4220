// The dialog that lists the people of the gallery, and who may be one person.

import * as api from "./api.js";
import { byId, camShort, count, images, make, percent, personName, show, timeText } from "./dom.js";

export class People {
  constructor({ onPick, onWho, onChanged, mayLabel }) {
    Object.assign(this, { onWho, onChanged, mayLabel, dialog: byId("people") });
    this.onPick = (row) => { this.dialog.close(); onPick(row); };
  }

  get isOpen() { return this.dialog.open; }

  open() {
    if (!this.isOpen) this.dialog.showModal();
    this.load();
    this.propose();
  }

  async load() {
    try {
      const { people, total, unknown } = await api.people();
      byId("people-count").textContent = `${count(total)} ${total === 1 ? "person" : "people"}; ${images(unknown)} of nobody known`;
      byId("people-list").replaceChildren(...people.map((one) => this.line(one)));
    } catch (error) {
      byId("people-count").textContent = error.message;
    }
  }

  line(one) {
    const row = { id: one.row, pid: one.pid, person: one.name };
    const cams = one.cams.filter((cam) => cam >= 0).map(camShort).join(", ");
    return make("li", { className: "person-line" },
      this.picture(row, `Search from ${personName(row)}`),
      make("div", { className: "person-about" },
        make("b", {}, personName(row)),
        make("span", {}, [images(one.rows), cams, one.latest === null ? "" : timeText(one.latest)].filter(Boolean).join(" · ")),
        one.note ? make("span", { className: "note" }, one.note) : null),
      this.mayLabel ? make("button", { type: "button", className: "edit", "aria-label": `Name or note of ${personName(row)}`, onclick: () => this.onWho(row) }, "✎") : null);
  }

  picture(row, label) {
    const button = make("button", { type: "button", className: "mini", "aria-label": label, onclick: () => this.onPick(row) },
      make("img", { alt: "", loading: "lazy", onerror: ({ target }) => { target.hidden = true; }, src: api.pictureOf(row.id) }));
    return button;
  }

  async propose() {
    const list = byId("people-pairs");
    show(byId("people-pairs-box"), false);
    if (!this.mayLabel) return;
    try {
      const { proposals } = await api.proposals();
      list.replaceChildren(...proposals.map((pair) => this.pair(pair)));
      show(byId("people-pairs-box"), proposals.length > 0);
    } catch (error) {
      byId("people-count").textContent = error.message;
    }
  }

  pair(pair) {
    const two = [pair.first, pair.second];
    const said = make("p", { role: "status" });
    const both = two.map((one) => one.told).join(" and ");
    const chance = pair.probability === null ? `distance ${pair.distance.toFixed(3)}` : percent(pair.probability);
    const item = make("li", { className: "pair-line" });
    const decide = (how) => async () => {
      try {
        await how(pair.first.who, pair.second.who);
        item.remove();
        this.onChanged();
        this.open(); // what is left may be said of others now
        byId("people-count").focus();
      } catch (error) {
        said.textContent = error.message;
      }
    };
    item.append(
      ...two.map((one) => this.picture({ id: one.row }, `Search from ${one.told}`)),
      make("div", { className: "person-about" }, make("b", {}, chance), make("span", {}, both), said),
      make("div", { className: "decide" },
        make("button", { type: "button", "aria-label": `One person: ${both}`, onclick: decide(api.merge) }, "One person"),
        make("button", { type: "button", "aria-label": `Two people: ${both}`, onclick: decide(api.apart) }, "Two people")));
    return item;
  }
}
