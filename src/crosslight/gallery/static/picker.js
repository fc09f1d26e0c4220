// The dialog that shows the whole gallery, a piece at a time.

import { rows } from "./api.js";
import { smallCard, skeletons } from "./cards.js";
import { byId, camName, count, make, show } from "./dom.js";

const PIECE = 48;

export class Picker {
  constructor(gallery, onPick) {
    this.dialog = byId("picker");
    this.cards = byId("picker-cards");
    this.onPick = (row) => {
      this.dialog.close();
      onPick(row);
      byId("results").focus({ preventScroll: true });
    };
    const cam = byId("picker-cam");
    cam.replaceChildren(make("option", { value: "" }, "any"),
      ...gallery.cams.map((one) => make("option", { value: one.cam }, camName(one.cam))));
    for (const choice of [cam, byId("picker-light")]) choice.addEventListener("change", () => this.load(true));
    byId("picker-more").addEventListener("click", () => this.load(false));
  }

  open() {
    if (this.dialog.open) return;
    this.dialog.showModal();
    this.load(true);
  }

  async load(anew) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const [cam, light] = [byId("picker-cam").value, byId("picker-light").value];
    const more = byId("picker-more");
    if (anew) this.cards.replaceChildren(...skeletons(12));
    more.disabled = true;
    try {
      const offset = anew ? 0 : this.cards.children.length;
      const found = await rows({ cams: cam ? [cam] : [], lights: light ? [light] : [], offset, limit: PIECE });
      if (turn !== this.turn) return;
      const cards = found.rows.map((row) => smallCard(row, this.onPick));
      if (anew) this.cards.replaceChildren(...cards); else this.cards.append(...cards);
      byId("picker-count").textContent = found.total
        ? `${count(this.cards.children.length)} of ${count(found.total)} images`
        : "No image fits.";
      show(more, this.cards.children.length < found.total);
      if (!anew && cards.length) cards[0].querySelector(".pick").focus();
    } catch (error) {
      if (turn !== this.turn) return;
      if (anew) this.cards.replaceChildren();
      byId("picker-count").textContent = error.message;
    }
    more.disabled = false;
  }
}
