// Marks live in this browser only, one set for each gallery and model, until they are cleared.

const COLUMNS = ["query_row", "query_file", "query_sha256", "query_modality", "row", "pid", "cam",
  "modality", "time", "rank", "distance", "probability", "mark", "marked_at"];

export class Marks {
  constructor(gallery) {
    this.key = `crosslight-marks:${gallery.name}:${gallery.model}`;
    this.marks = new Map();
    try { this.marks = new Map(JSON.parse(localStorage.getItem(this.key) || "[]")); } catch { /* none */ }
  }

  get(query, result) {
    return this.marks.get(nameOf(query, result))?.mark ?? null;
  }

  /** Sets a mark; the same one again takes it away. */
  toggle(query, result, mark) {
    const name = nameOf(query, result);
    if (this.marks.get(name)?.mark === mark) this.marks.delete(name);
    else {
      this.marks.set(name, {
        query_row: query.row ?? "", query_file: query.row ? "" : query.name, query_sha256: query.sha256 ?? "",
        query_modality: query.modality, row: result.id, pid: result.pid, cam: result.cam,
        modality: result.modality, time: result.time, rank: result.rank, distance: result.distance,
        probability: result.probability, mark, marked_at: new Date().toISOString(),
      });
    }
    this.keep();
    return this.get(query, result);
  }

  counts() {
    const all = [...this.marks.values()];
    return { all: all.length, right: all.filter((one) => one.mark === "right").length };
  }

  clear() {
    this.marks.clear();
    this.keep();
  }

  csv() {
    const lines = [...this.marks.values()].map((one) => COLUMNS.map((name) => cell(one[name])).join(","));
    return `${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`;
  }

  keep() {
    try { localStorage.setItem(this.key, JSON.stringify([...this.marks])); } catch { /* private mode: kept in memory */ }
  }
}

const nameOf = (query, result) => JSON.stringify([query.row ?? query.sha256, result.id]);

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  // A spreadsheet would run a text that begins like a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
