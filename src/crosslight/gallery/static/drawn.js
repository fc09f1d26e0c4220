// What the model can draw of the query: the person in the other light, or on another body.

import { draw } from "./api.js";
import { byId, show } from "./dom.js";

export class Drawn {
  constructor(gallery) {
    this.gallery = gallery;
  }

  hide() {
    this.running?.abort();
    show(byId("drawn-figure"), false);
  }

  /** Draws the query beside itself once its results are known. */
  async show(query, reply) {
    const plan = this.plan(query, reply);
    if (!plan) { this.hide(); return; }
    const name = JSON.stringify([query.row ?? query.sha256, query.modality, plan]);
    const figure = byId("drawn-figure");
    if (!figure.hidden && this.name === name) return;
    this.running?.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    this.name = name;
    const [image, wait] = [byId("drawn-picture"), byId("drawn-wait")];
    show(figure, true);
    show(image, false);
    wait.textContent = "Drawing …";
    show(wait, true);
    byId("drawn-caption").textContent = plan.caption;
    try {
      const drawn = await draw(query, plan.kind, plan, signal);
      image.src = drawn.picture;
      image.alt = `${plan.caption} (drawn by the model)`;
      show(image, true);
      show(wait, false);
    } catch (error) {
      if (error.name !== "AbortError") { wait.textContent = error.message; this.name = null; }
    }
  }

  plan(query, reply) {
    const other = query.modality === "infrared" ? "visible light" : "infrared";
    if (this.gallery.translates) {
      return { kind: "translation", light: query.modality, caption: `What this person may look like in ${other}` };
    }
    const body = reply.results.find((result) => result.modality !== query.modality) ?? reply.results[0];
    if (this.gallery.swaps && body) {
      const caption = `What this person may look like in the place of result ${body.rank}`;
      return { kind: "swap", light: query.modality, body: body.id, caption };
    }
    return null;
  }
}
