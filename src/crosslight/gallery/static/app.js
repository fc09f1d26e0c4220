// The page: one query, its filters, its ranked list, and the way back to the queries before.

import * as api from "./api.js";
import { moveFocus, resultCard, skeletons, smallCard } from "./cards.js";
import { byId, camName, count, nameCameras, percent, personName, show } from "./dom.js";
import { Drawn } from "./drawn.js";
import { isCrop, opened, tooLarge } from "./uploads.js";
import { Filters } from "./filters.js";
import { Marks } from "./marks.js";
import { People } from "./people.js";
import { Picker } from "./picker.js";
import { Pair } from "./pair.js";
import { Scene } from "./scene.js";
import { Who } from "./who.js";

const uploads = new Map(); // pictures that were sent, by number, for the way back
let gallery, filters, marks, picker, drawn, pair, scene, people, who;
let mayLabel = true;
let query = null;
let running = null;
let early = null; // what was asked for before the gallery was known

async function begin() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const token = hash.get("token");
  if (token !== null) {
    // The token must not stay where it is copied along with the address.
    hash.delete("token");
    history.replaceState(null, "", hash.size ? `#${hash}` : location.pathname);
  }
  try {
    if (token) await api.unlock(token);
    const [found, visitor] = await Promise.all([api.gallery(), api.visitor()]);
    mayLabel = visitor.role !== "search";
    gallery = found;
  } catch (error) {
    if (error.status === 401) return askToken(token ? error.message : "");
    byId("facts").replaceChildren();
    return trouble(error.message, begin);
  }
  show(byId("trouble"), false);
  nameCameras(gallery.cams);
  tellFacts();
  marks = new Marks(gallery);
  drawn = new Drawn(gallery);
  filters = new Filters(gallery, () => { if (query) { remember(false); search(); } });
  picker = new Picker(gallery, fromRow);
  pair = new Pair(gallery, () => askToken(""));
  scene = new Scene(gallery, { onPart: (part) => { fromPart(part); byId("results").focus({ preventScroll: true }); }, onLocked: () => askToken("") });
  who = new Who(changed, () => askToken(""));
  people = new People({ onPick: fromRow, onWho: (row) => who.open(row), onChanged: () => changed(null), mayLabel });
  tellMarks();
  restore(history.state);
  early?.();
  early = null;
}

function askToken(sentence) {
  byId("wrong-token").textContent = sentence;
  const dialog = byId("locked");
  byId("unlock").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await api.unlock(byId("token").value.trim());
      dialog.close();
      if (gallery) location.reload(); // the service was started anew with another token
      else begin();
    } catch (error) {
      byId("wrong-token").textContent = error.status === 401 ? "That is not the token." : error.message;
    }
  };
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  if (!dialog.open) dialog.showModal();
}

function tellFacts() {
  const name = document.createElement("b");
  name.textContent = gallery.name;
  const people = gallery.people ? `, ${count(gallery.people)} people` : "";
  const cams = gallery.cams.length === 1 ? "1 camera" : `${gallery.cams.length} cameras`;
  byId("facts").replaceChildren(name, ` · ${count(gallery.rows)} images${people}, ${cams} · ${gallery.weights ?? gallery.method}`);
  document.title = `${gallery.name} · crosslight`;
}

/* Queries */

let opening = 0; // files that were given: the last one counts

async function fromFile(file) {
  if (!gallery) { early = () => fromFile(file); return; }
  const mine = (opening += 1);
  const image = await opened(file);
  if (mine !== opening) { image?.close(); return; }
  if (image && !isCrop(image)) { scene.open(file, image); return; }
  image?.close();
  const large = tooLarge([file], gallery);
  if (large) trouble(large); else fromPart({ file, name: file.name || "pasted picture", seen: Boolean(image) });
}

/** A search for the person of a picture; `seen`: whether the browser can show it. */
function fromPart({ file, name, seen = true, scene: whole = null }) {
  ask({ row: null, file, name, scene: whole, modality: null, sha256: null, picture: seen ? URL.createObjectURL(file) : null });
}

async function openScene() {
  const { file, people } = query.scene;
  const image = await opened(file);
  if (image) scene.open(file, image, people);
}

function fromRow(row) {
  ask({ row: row.id, modality: row.modality ?? null, cam: row.cam, pid: row.pid, person: row.person });
}

function ask(next) {
  query = next;
  if (!next.row) {
    next.number = uploads.size + 1;
    uploads.set(next.number, next);
  }
  remember(true);
  search();
  if (byId("results").getBoundingClientRect().top > innerHeight * 0.7) byId("results").scrollIntoView();
}

function remember(anew) {
  const hash = filters.toHash();
  if (query?.row) hash.set("row", query.row);
  const depth = (history.state?.depth ?? 0) + (anew ? 1 : 0);
  const state = { number: query?.number ?? null, depth };
  history[anew ? "pushState" : "replaceState"](state, "", hash.size ? `#${hash}` : location.pathname);
}

function restore(state) {
  const hash = new URLSearchParams(location.hash.slice(1));
  filters.fromHash(hash);
  const row = hash.get("row");
  query = row ? { row, modality: null } : uploads.get(state?.number) ?? null;
  if (query) search();
  else start();
}

async function search() {
  running?.abort();
  const mine = (running = new AbortController());
  const asked = query;
  const wanted = filters.get();
  const cards = byId("cards");
  waiting(true);
  showQuery();
  for (const id of ["start", "nothing", "trouble"]) show(byId(id), false);
  byId("found-h").textContent = "Ranked by likeness";
  if (cards.children.length) cards.classList.add("stale");
  else {
    // Everything that the answer will fill takes its place now, so that nothing moves then.
    cards.replaceChildren(...skeletons(Math.min(12, wanted.top)));
    byId("status").textContent = "Searching …";
    byId("verdict").className = "notice";
    byId("verdict").replaceChildren();
    show(byId("verdict"), true);
  }
  cards.setAttribute("aria-busy", "true");
  try {
    const reply = await api.search(asked, wanted, mine.signal, (share) => {
      if (mine === running && !asked.row) byId("status").textContent = share < 1 ? `Sending … ${percent(share)}` : "Searching …";
    });
    if (mine !== running) return;
    Object.assign(asked, { modality: reply.query.modality, guessed: reply.query.guessed });
    if (!asked.row) {
      if (asked.picture?.startsWith("blob:")) URL.revokeObjectURL(asked.picture);
      Object.assign(asked, { picture: reply.query.picture, sha256: reply.query.sha256 });
    }
    showQuery();
    showReply(reply);
    drawn.show(asked, reply);
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    cards.replaceChildren();
    byId("found-h").textContent = "No results";
    byId("status").textContent = "";
    byId("query-caption").textContent = asked.row ? "" : asked.name;
    show(byId("verdict"), false);
    drawn.hide();
    if (error.status === 401) askToken("");
    // The same picture would be refused again; a busy or absent service may come back.
    trouble(error.message, [413, 422].includes(error.status) ? null : search);
  }
  cards.classList.remove("stale");
  cards.removeAttribute("aria-busy");
  waiting(false);
}

/* What is shown */

function showQuery() {
  show(byId("back"), (history.state?.depth ?? 0) > 0);
  const figure = byId("query-figure");
  show(byId("drop"), !query);
  show(figure, Boolean(query));
  show(byId("open-scene"), Boolean(query?.scene));
  const light = byId("query-light");
  light.disabled = Boolean(query?.row);
  light.dataset.known = query?.row ? query.modality ?? "" : "";
  if (!query) { drawn.hide(); return; }
  const image = byId("query-picture");
  const address = query.row ? api.pictureOf(query.row) : query.picture;
  show(image, Boolean(address));
  if (address && image.getAttribute("src") !== address) image.src = address;
  image.alt = query.row ? "The query, from the gallery" : "The query, as it was sent";
  const known = query.modality ? `${query.modality}${query.guessed ? ", guessed" : ""}` : "…";
  const from = query.row ? [personName(query), query.cam === undefined ? null : camName(query.cam)] : [query.name];
  byId("query-caption").textContent = [...from, known].filter(Boolean).join(" · ");
}

function showReply(reply) {
  const cards = byId("cards");
  cards.replaceChildren(...reply.results.map((result) => resultCard(result, {
    onPick: fromRow,
    onMark: mayLabel ? keepMark : null,
    onWho: mayLabel ? (row) => who.open(row) : null,
  })));
  const time = `${Math.max(1, Math.round(1000 * reply.seconds))} ms`;
  byId("status").textContent = reply.results.length
    ? `${reply.results.length} nearest of ${count(reply.searched)} images, found in ${time}.` : "";
  const empty = reply.results.length === 0;
  show(byId("nothing"), empty);
  if (empty) tellNothing();
  tellVerdict(reply);
}

function tellVerdict(reply) {
  const box = byId("verdict");
  const first = reply.results[0];
  const near = reply.results.filter((result) => result.accepted).length;
  const strangers = () => `People who are not in the gallery find somebody as near in ${shareText(reply.alarm)} of their searches of ${count(reply.searched)} images.`;
  const finds = (little) => reply.share_found === null ? ""
    : ` At ${shareText(reply.false_alarms)} false alarms about ${percent(reply.share_found)} of the images of people who are in it are found${little && reply.share_found < TELLING ? ", so this says little" : ""}.`;
  const texts = {
    "in-gallery": () => ["good", near ? `${near} of ${reply.results.length} results are near enough to be the same person.` : "A result behind these is near enough to be the same person.",
      strangers() + finds(false)],
    "not-in-gallery": () => ["bad", "Nobody in the gallery is near enough.", strangers() + finds(true)],
    unknown: () => first.probability === null
      ? ["", "No probabilities.", "This gallery is not calibrated for every pair of lights here, so the list says only what is nearest. To change that: crosslight gallery calibrate."]
      : ["", "In the gallery or not: unknown.", "What people find who are not in it was not measured. To change that: crosslight gallery calibrate."],
  };
  show(box, Boolean(first));
  if (!first) return;
  const [kind, title, text] = reply.warning ? ["bad", "This list means nothing.", reply.warning] : texts[reply.verdict]();
  box.className = `notice ${kind}`;
  const strong = document.createElement("b");
  strong.textContent = title;
  const line = document.createElement("p");
  line.append(strong, ` ${text}`);
  box.replaceChildren(line);
}

const TELLING = 0.5; // of the images of people who are there, found: below it a "no" says little
const shareText = (rate) => (rate < 0.995 ? `${+(100 * rate).toPrecision(2)} %` : "nearly all");

function tellNothing() {
  const bare = gallery.rows === 0;
  byId("nothing-title").textContent = bare ? "This gallery is empty" : "No image fits these filters";
  byId("nothing-text").textContent = bare
    ? "Add people to it: crosslight gallery add STORE IMAGES"
    : "Choose other cameras, another light or a longer time.";
  show(byId("nothing-reset"), !bare);
}

async function start() {
  running?.abort();
  waiting(false);
  showQuery();
  byId("cards").replaceChildren();
  byId("status").textContent = "";
  byId("found-h").textContent = "Find a person across light";
  for (const id of ["verdict", "nothing", "trouble", "back"]) show(byId(id), false);
  show(byId("start"), true);
  show(byId("start-or"), gallery.rows > 0);
  if (!gallery.rows) { show(byId("nothing"), true); tellNothing(); return; }
  const cards = byId("start-cards");
  if (cards.children.length) return;
  const number = Math.min(12, gallery.rows);
  cards.replaceChildren(...skeletons(number));
  const places = Array.from({ length: number }, (_, index) => Math.floor((index * gallery.rows) / number));
  try {
    const found = await Promise.all(places.map((offset) => api.rows({ offset, limit: 1 })));
    cards.replaceChildren(...found.flatMap((one) => one.rows).map((row) => smallCard(row, fromRow)));
  } catch (error) {
    cards.replaceChildren();
    show(byId("start-or"), false);
    trouble(error.message, start);
  }
}

function waiting(now) {
  clearTimeout(waiting.timer);
  // Quick answers need no bar; one that flashes would only disturb.
  if (now) waiting.timer = setTimeout(() => show(byId("working"), true), 200);
  else show(byId("working"), false);
}

function trouble(sentence, again = null) {
  byId("trouble-text").textContent = sentence;
  show(byId("retry"), Boolean(again));
  byId("retry").onclick = () => { show(byId("trouble"), false); again(); };
  show(byId("trouble"), true);
}

function tellMarks() {
  const { right, wrong } = marks.counts;
  byId("marks-count").textContent = `${count(right)} right, ${count(wrong)} wrong`;
  show(byId("marks"), right + wrong > 0);
  show(byId("clear-marks"), mayLabel);
}

async function keepMark(result) {
  try {
    await marks.keep(query, result);
    tellMarks();
    return true;
  } catch (error) {
    if (error.status === 401) askToken("");
    trouble(error.message);
    return false;
  }
}

/** Shows names and numbers as they are now, with the focus where it was. */
async function changed(row, sentence = "") {
  if (sentence) return trouble(sentence);
  try {
    gallery = await api.gallery();
  } catch (error) {
    return trouble(error.message);
  }
  nameCameras(gallery.cams);
  tellFacts();
  if (people.isOpen) people.load();
  if (!query) return;
  await search();
  const card = row && [...byId("cards").children].find((one) => one.dataset.row === row.id);
  if (!document.querySelector("dialog[open]")) card?.querySelector(".edit")?.focus();
}

/* What is listened to */

function exportMarks() {
  if (marks && marks.counts.right + marks.counts.wrong) marks.export();
}

function openPicker() {
  if (picker) picker.open(); else early = openPicker;
}

function pressOnFocused(selector) {
  document.activeElement.closest?.("#cards .card")?.querySelector(selector)?.click();
}

function listen() {
  const file = byId("file");
  byId("choose").addEventListener("click", () => file.click());
  byId("drop").addEventListener("click", () => file.click());
  file.addEventListener("change", () => { if (file.files[0]) fromFile(file.files[0]); file.value = ""; });
  byId("open-picker").addEventListener("click", openPicker);
  byId("open-scene").addEventListener("click", openScene);
  byId("open-same").addEventListener("click", () => { if (pair) pair.open(); else early = () => pair.open(); });
  byId("open-help").addEventListener("click", () => byId("help").showModal());
  byId("back").addEventListener("click", () => history.back());
  byId("export").addEventListener("click", exportMarks);
  byId("clear-marks").addEventListener("click", async () => {
    if (!confirm("Take away every mark of yours from this gallery?")) return;
    try {
      await marks.clear();
    } catch (error) {
      return trouble(error.message);
    }
    tellMarks();
    if (query) search();
  });
  byId("open-people").addEventListener("click", () => { if (people) people.open(); else early = () => people.open(); });
  for (const dialog of document.querySelectorAll("#picker, #scene, #same, #help, #people, #who")) {
    dialog.addEventListener("click", (event) => {
      const box = dialog.getBoundingClientRect();
      const outside = event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
      if (scene?.dragged) return; // a box whose drawing ended outside
      // A click by keyboard has no place.
      if ((outside && event.detail > 0 && event.target === dialog) || event.target.closest("[data-close]")) dialog.close();
    });
  }
  addEventListener("popstate", (event) => { if (gallery) restore(event.state); });
  addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])][0];
    if (pasted) { event.preventDefault(); given(pasted); }
  });
  listenToDragging();
  addEventListener("keydown", onKey);
}

const given = (file) => { if (pair?.isOpen) pair.give(file); else fromFile(file); };

function listenToDragging() {
  let depth = 0;
  const dragging = (now) => document.body.classList.toggle("dragging", now);
  const holdsFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (holdsFile(event)) { depth += 1; dragging(true); } });
  addEventListener("dragleave", (event) => { if (holdsFile(event)) { depth -= 1; dragging(depth > 0); } });
  addEventListener("dragover", (event) => { if (holdsFile(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    depth = 0;
    dragging(false);
    if (!holdsFile(event)) return;
    event.preventDefault();
    if (pair?.isOpen) pair.give(...event.dataTransfer.files);
    else if (event.dataTransfer.files[0]) fromFile(event.dataTransfer.files[0]);
  });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox], [type=radio]), select, textarea")) return;
  const open = document.querySelector("dialog[open]");
  const arrows = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
  if (arrows.includes(event.key)) {
    if (event.target.closest("[type=radio]")) return;
    const list = open ? open.querySelector(".cards") : byId(byId("start").hidden ? "cards" : "start-cards");
    const inside = list && (list.contains(document.activeElement) || document.activeElement === document.body || document.activeElement === byId("results"));
    if (inside && moveFocus(list, event.key)) event.preventDefault();
    return;
  }
  if (open) return;
  const keys = {
    u: () => byId("file").click(), g: openPicker, n: () => pressOnFocused(".edit"),
    r: () => pressOnFocused('[data-mark="right"]'), w: () => pressOnFocused('[data-mark="wrong"]'),
    e: exportMarks, "?": () => byId("help").showModal(), Backspace: () => { if (!byId("back").hidden) history.back(); },
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
}

listen();
begin();
