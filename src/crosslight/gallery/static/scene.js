// The dialog for a picture of more than one person: who is meant?

import { boxes } from "./api.js";
import { byId, make, percent, show } from "./dom.js";
import { cut, LONGEST_PX, sendable, whole } from "./uploads.js";

const FILLS = 0.6; // share of a picture, from which its only person is all of it
const DRAG_PX = 6; // a shorter way is a click
const STEP = 0.02; // of the picture, that an arrow key moves a box

export class Scene {
  constructor(gallery, { onPart, onLocked }) {
    Object.assign(this, { gallery, onPart, onLocked, dialog: byId("scene"), turn: 0, frame: null });
    this.place = byId("scene-place");
    byId("scene-whole").addEventListener("click", () => this.pick(whole(this.picture), "whole picture"));
    byId("scene-draw").addEventListener("click", () => this.begin());
    byId("scene-search").addEventListener("click", () => this.pickFrame());
    this.dialog.addEventListener("close", () => this.forget());
    this.place.addEventListener("pointerdown", (event) => this.drag(event));
    byId("scene-frame").addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Shows a picture and looks for people in it; with `known` boxes it only shows them. */
  async open(file, picture, known = null) {
    this.forget();
    Object.assign(this, { file, picture });
    const turn = this.turn;
    const canvas = byId("scene-picture");
    const scale = Math.min(1, LONGEST_PX / Math.max(picture.width, picture.height));
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", `The picture, ${picture.width} x ${picture.height} pixels`);
    if (!this.dialog.open) this.dialog.showModal();
    if (known) return this.show(known);
    this.say("Looking for people …");
    try {
      const sent = await sendable(file, picture, this.gallery);
      if (turn !== this.turn) return;
      const found = await boxes(sent, (share) => {
        if (turn === this.turn) this.say(share < 1 ? `Sending … ${percent(share)}` : "Looking for people …");
      });
      if (turn !== this.turn) return;
      const [x, y] = [picture.width / found.width, picture.height / found.height];
      const people = found.boxes.map((box) => ({ left: box.left * x, top: box.top * y, right: box.right * x, bottom: box.bottom * y }));
      const [only] = people;
      if (people.length === 1 && !this.isSmall(only)) {
        const fills = (only.right - only.left) * (only.bottom - only.top) >= FILLS * picture.width * picture.height;
        return this.pick(fills ? whole(picture) : only, null, people);
      }
      this.show(people);
    } catch (error) {
      if (turn !== this.turn) return;
      if (error.status === 401) { this.dialog.close(); return this.onLocked(); }
      this.say(`${error.message} Draw a box around the person, or search the whole picture.`);
    }
  }

  show(people) {
    this.people = people;
    const { width, height } = this.picture;
    byId("scene-boxes").replaceChildren(...people.map((box, index) => {
      const small = this.isSmall(box);
      const name = `Person ${index + 1} of ${people.length}`;
      const button = make("button", { type: "button", className: small ? "person small" : "person", "aria-label": small ? `${name}, too small` : name }, make("span", { className: "tag" }, String(index + 1)));
      put(button, box, width, height);
      button.addEventListener("click", () => {
        if (this.dragged) return;
        if (small) this.say(this.tooSmall(box)); else this.pick(box, `person ${index + 1}`);
      });
      return button;
    }));
    if (!people.length) return this.say("Nobody was found. Draw a box around the person, or search the whole picture.");
    const usable = people.filter((box) => !this.isSmall(box)).length;
    this.say(usable ? "Choose a person, or draw a box." : "The people in this picture are too small to be recognised.");
    byId("scene-boxes").querySelector(".person:not(.small)")?.focus();
  }

  isSmall = ({ left, top, right, bottom }) =>
    right - left < this.gallery.smallest_width || bottom - top < this.gallery.smallest_height;

  tooSmall({ left, top, right, bottom }) {
    const { smallest_width: width, smallest_height: height } = this.gallery;
    return `This box has ${Math.round(right - left)} x ${Math.round(bottom - top)} pixels; nobody is recognised in fewer than ${width} x ${height}.`;
  }

  /* A box of one's own: with a pointer, or with keys. */

  begin() {
    const { width, height } = this.picture;
    this.setFrame({ left: width * 0.35, top: height * 0.15, right: width * 0.65, bottom: height * 0.85 });
    byId("scene-frame").focus();
  }

  drag(down) {
    if (down.button !== 0 || down.target.closest(".frame") || !this.picture) return;
    const area = this.place.getBoundingClientRect();
    const at = (event) => [
      Math.min(Math.max((event.clientX - area.left) / area.width, 0), 1) * this.picture.width,
      Math.min(Math.max((event.clientY - area.top) / area.height, 0), 1) * this.picture.height,
    ];
    const [x, y] = at(down);
    this.dragged = false;
    const move = (event) => {
      if (!this.dragged && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < DRAG_PX) return;
      this.dragged = true;
      const [u, v] = at(event);
      this.setFrame({ left: Math.min(x, u), top: Math.min(y, v), right: Math.max(x, u), bottom: Math.max(y, v) });
    };
    const end = () => {
      for (const [name, listener] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]]) removeEventListener(name, listener);
      if (this.dragged) byId("scene-frame").focus();
      setTimeout(() => { this.dragged = false; });
    };
    for (const [name, listener] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]]) addEventListener(name, listener);
    down.preventDefault();
  }

  onKey(event) {
    if (event.key === "Enter") { event.preventDefault(); return this.pickFrame(); }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || !this.frame) return;
    event.preventDefault();
    event.stopPropagation();
    const { width, height } = this.picture;
    const [x, y] = [way[0] * STEP * width, way[1] * STEP * height];
    const box = { ...this.frame, right: this.frame.right + x, bottom: this.frame.bottom + y };
    if (!event.shiftKey) { box.left += x; box.top += y; }
    const inside = box.left >= 0 && box.top >= 0 && box.right <= width && box.bottom <= height;
    if (inside && box.right > box.left && box.bottom > box.top) this.setFrame(box);
  }

  setFrame(box) {
    this.frame = box;
    const frame = byId("scene-frame");
    const { width, height } = this.picture;
    put(frame, box, width, height);
    show(frame, true);
    const small = this.isSmall(box);
    byId("scene-search").disabled = small;
    this.say(small ? this.tooSmall(box) : `A box of ${Math.round(box.right - box.left)} x ${Math.round(box.bottom - box.top)} pixels. Arrow keys move it, with Shift its size changes.`);
  }

  pickFrame() { if (this.frame && !this.isSmall(this.frame)) this.pick(this.frame, "drawn box"); }

  async pick(box, what, people = this.people ?? []) {
    const { file, picture, turn } = this;
    const all = box.left <= 0 && box.top <= 0 && box.right >= picture.width && box.bottom >= picture.height;
    const part = all ? await sendable(file, picture, this.gallery) : await cut(picture, box, this.gallery);
    if (turn !== this.turn) return;
    this.dialog.close();
    this.onPart({ file: part, name: [file.name || "pasted picture", what].filter(Boolean).join(", "), scene: { file, people } });
  }

  forget() {
    this.turn += 1;
    this.picture?.close?.();
    Object.assign(this, { file: null, picture: null, people: null, frame: null });
    byId("scene-boxes").replaceChildren();
    show(byId("scene-frame"), false);
    byId("scene-search").disabled = true;
    this.say("");
  }

  say(sentence) { byId("scene-say").textContent = sentence; }
}

function put(element, { left, top, right, bottom }, width, height) {
  Object.assign(element.style, {
    left: `${(100 * left) / width}%`, top: `${(100 * top) / height}%`,
    width: `${(100 * (right - left)) / width}%`, height: `${(100 * (bottom - top)) / height}%`,
  });
}
