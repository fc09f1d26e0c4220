// The ranked list, and the smaller cards of the gallery.

import { pictureOf } from "./api.js";
import { camBadge, camName, lightBadge, make, percent, personName, placeBadge, timeText } from "./dom.js";

const described = (row) => [
  personName(row), camName(row.cam), row.modality,
  row.time === null ? null : timeText(row.time),
].filter(Boolean).join(", ");

function picture(row, label, onPick, eager) {
  const image = make("img", { alt: "", loading: eager ? "eager" : "lazy", decoding: "async", draggable: false });
  const button = make("button", { type: "button", className: "pick", "aria-label": label, onclick: () => onPick(row) }, image);
  image.onerror = () => button.classList.add("missing");
  image.src = pictureOf(row.id);
  return button;
}

/** A row of the gallery to pick. */
export const smallCard = (row, onPick) =>
  make("li", { className: "card", title: row.name },
    picture(row, `Search from ${described(row)}`, onPick, false),
    make("div", { className: "about" },
      make("div", { className: "badges" }, placeBadge(row.modality, row.cam))));

/** A result of the ranked list. */
export function resultCard(result, { onPick, onMark, onWho }) {
  const { mark } = result;
  const sure = result.probability === null ? null : percent(result.probability);
  const said = sure === null ? `distance ${result.distance.toFixed(3)}` : `${sure} the same person`;
  const judge = make("div", { className: "judge", role: "group", "aria-label": `Mark result ${result.rank}` },
    judgement("right", "✓ Right", mark), judgement("wrong", "✗ Wrong", mark));
  const card = make("li", { className: "card", data: { row: result.id, rank: result.rank } },
    make("span", { className: "rank", "aria-hidden": "true" }, String(result.rank)),
    picture(result, `Result ${result.rank}: ${said}, ${described(result)}. Search from it.`, onPick, result.rank <= 12),
    make("div", { className: "about" },
      likelihood(result, sure),
      make("div", { className: "badges" }, lightBadge(result.modality), camBadge(result.cam)),
      make("div", { className: "line", title: result.name },
        make("span", { className: result.person ? "wide named" : "wide" }, personName(result) ?? result.name),
        onWho ? make("button", { type: "button", className: "edit", title: "Who is this? (n)", "aria-label": `Who is result ${result.rank}?`, onclick: () => onWho(result) }, "✎") : null),
      result.time === null ? null : make("div", { className: "line" }, make("span", { className: "wide" }, timeText(result.time))),
      onMark ? judge : null));
  judge.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const before = result.mark;
    // The same mark again takes it away; it is shown at once, and taken back where it was not kept.
    result.mark = before === button.dataset.mark ? null : button.dataset.mark;
    showMark(card, result.mark);
    if (!await onMark(result)) { result.mark = before; showMark(card, before); }
  });
  showMark(card, mark);
  return card;
}

function likelihood(result, sure) {
  const distance = make("span", { title: "Distance of the embeddings; smaller is nearer" }, result.distance.toFixed(3));
  if (sure === null) return make("div", { className: "line" }, make("span", {}, "distance"), make("b", {}, result.distance.toFixed(3)));
  const fill = make("i");
  fill.style.width = `${Math.max(1.5, 100 * result.probability)}%`;
  const meter = make("div", {
    className: result.accepted ? "meter accepted" : "meter", role: "meter", "aria-label": "Probability that it is the same person",
    "aria-valuemin": "0", "aria-valuemax": "1", "aria-valuenow": result.probability.toFixed(3), "aria-valuetext": sure,
  }, fill);
  return make("div", {}, make("div", { className: "line" }, make("b", {}, sure), distance), meter);
}

const judgement = (kind, text, mark) =>
  make("button", { type: "button", data: { mark: kind }, "aria-pressed": String(mark === kind) }, text);

export function showMark(card, mark) {
  card.classList.toggle("is-right", mark === "right");
  card.classList.toggle("is-wrong", mark === "wrong");
  for (const button of card.querySelectorAll(".judge button")) {
    button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
  }
}

/** Cards in the shape of those to come. */
export const skeletons = (number) => Array.from({ length: number }, () =>
  make("li", { className: "card skeleton", "aria-hidden": "true" },
    make("div", { className: "pick" }),
    make("div", { className: "about" }, make("div", { className: "bone" }), make("div", { className: "bone" }),
      make("div", { className: "bone high" }))));

/** Moves the focus through a grid of cards with the arrow keys; true where it did. */
export function moveFocus(list, key) {
  const picks = [...list.querySelectorAll(".pick")];
  const here = picks.indexOf(document.activeElement);
  if (!picks.length) return false;
  if (here < 0) { picks[0].focus(); return true; }
  const top = (pick) => Math.round(pick.getBoundingClientRect().top);
  const columns = picks.filter((pick) => top(pick) === top(picks[0])).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -here, End: picks.length - 1 - here }[key];
  const there = picks[Math.min(picks.length - 1, here + step)];
  if (there) there.focus();
  return Boolean(there);
}
