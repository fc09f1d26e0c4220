// The dialog that compares two pictures.

import { same } from "./api.js";
import { byId, make, percent, show } from "./dom.js";
import { opened, sendable, tooLarge } from "./uploads.js";

const SIDES = ["first", "second"];
const NO_BREAK = "\u00a0";
const BEGIN = "Choose two pictures of a person each.";

export class Pair {
  constructor(gallery, onLocked) {
    Object.assign(this, { gallery, onLocked, dialog: byId("same"), files: {}, turn: 0 });
    for (const side of SIDES) {
      const input = byId(`same-${side}-file`);
      byId(`same-${side}`).addEventListener("click", () => input.click());
      input.addEventListener("change", () => { if (input.files[0]) this.set(side, input.files[0]); input.value = ""; });
    }
    this.dialog.addEventListener("close", () => this.forget());
  }

  get isOpen() { return this.dialog.open; }

  open() { if (!this.isOpen) this.dialog.showModal(); }

  /** Takes pictures that were dropped or pasted, the first free side first. */
  give(...files) {
    for (const file of files.slice(0, 2)) this.set(SIDES.find((side) => !this.files[side]) ?? "second", file);
  }

  set(side, file) {
    this.files[side] = file;
    const image = byId(`same-${side}-picture`);
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(file);
    // What the browser cannot show, TIFF for one, the service may still read.
    image.onerror = () => show(image, false);
    show(image, true);
    this.compare();
  }

  forget() {
    this.turn += 1;
    this.files = {};
    for (const side of SIDES) {
      const image = byId(`same-${side}-picture`);
      URL.revokeObjectURL(image.src);
      image.removeAttribute("src");
      show(image, false);
    }
    this.tell("", BEGIN);
  }

  async compare() {
    const given = SIDES.map((side) => this.files[side]);
    if (!given.every(Boolean)) return;
    const turn = (this.turn += 1);
    const [first, second] = await Promise.all(given.map((file) => this.lighter(file)));
    if (turn !== this.turn) return;
    const large = tooLarge([first, second], this.gallery);
    if (large) return this.tell("bad", large);
    this.tell("", "Comparing …");
    try {
      const reply = await same(first, second);
      if (turn === this.turn) this.answer(reply);
    } catch (error) {
      if (turn !== this.turn) return;
      this.tell("bad", error.message);
      if (error.status === 401) this.onLocked();
    }
  }

  async lighter(file) {
    const picture = await opened(file);
    const sent = picture ? await sendable(file, picture, this.gallery) : file;
    picture?.close();
    return sent;
  }

  answer(reply) {
    if (reply.warning) return this.tell("bad", reply.warning, "This answer means nothing.");
    const [kind, title] = {
      same: ["good", "The same person, it seems."],
      different: ["bad", "Different people, it seems."],
      open: ["", "These pictures do not tell."],
      unknown: ["", "Unknown."],
    }[reply.answer];
    const lights = `The pictures were taken for ${reply.first} and ${reply.second}.`;
    if (!reply.interval) {
      return this.tell(kind, `The gallery's calibration cannot say what these distances mean. To change that: crosslight gallery calibrate. ${lights}`, title);
    }
    const { low, high } = reply.interval;
    const before = reply.prior === 0.5 ? "as likely as not" : percent(reply.prior);
    const [said, from, to] = [reply.probability, low, high].map((one) => percent(one).replaceAll(" ", NO_BREAK));
    this.tell(kind, `${said} (95 %: ${from} to ${to}), if it was ${before} before. ${lights}`, title);
  }

  tell(kind, text, title = null) {
    const box = byId("same-answer");
    box.className = `notice ${kind}`;
    box.replaceChildren(make("p", {}, title ? make("b", {}, title) : null, title ? ` ${text}` : text));
  }
}
