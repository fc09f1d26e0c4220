// Marks live in the gallery's store: of each user their own, counted and exported together.

import { clearMarks, mark } from "./api.js";

export class Marks {
  constructor({ right, wrong }) { this.counts = { right, wrong }; }

  /** Keeps what a result is marked as now. */
  async keep(query, result) {
    const { rank, distance, probability } = result;
    this.counts = await mark({
      row: result.id, mark: result.mark ?? "none", rank, distance, probability,
      query_row: query.row, query_sha256: query.row ? null : query.sha256,
      query_file: query.row ? null : query.name, query_modality: query.modality,
    });
  }

  async clear() { this.counts = await clearMarks(); }

  export() {
    const link = document.createElement("a");
    link.href = "api/marks.csv";
    link.download = "";
    link.click();
  }
}
