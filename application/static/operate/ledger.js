// The ledger as a table.

import { call } from "../calls.js";
import { element, find, percent } from "../dom.js";

// A ledger that was altered says so here; what serves is shown above all the same.
export async function load() {
  const place = find("#ledger-problem");
  try {
    show((await call("decisions")).decisions);
    place.textContent = "";
  } catch (problem) {
    place.textContent = problem.message;
  }
}

function show(decisions) {
  const newest = [...decisions].sort((one, other) => Date.parse(other.created_at) - Date.parse(one.created_at));
  find("#ledger tbody").replaceChildren(...newest.map(row));
  find("#ledger").hidden = newest.length === 0;
  find("#ledger-empty").hidden = newest.length > 0;
}

function row(decision) {
  const cells = [
    decision.id,
    new Date(decision.created_at).toLocaleString(),
    decision.action,
    decision.champion ?? "none",
    decision.challenger ?? "",
    traffic(decision),
    decision.automatic ? `${decision.actor}, automatically` : decision.actor,
    decision.reason,
  ];
  return element("tr", {}, ...cells.map((content) => element("td", { textContent: content })));
}

export function traffic({ strategy, share }) {
  const names = { single: "all to the champion", shadow: "shadow", canary: "canary", ab: "A/B" };
  return strategy === "canary" || strategy === "ab" ? `${names[strategy]}, ${percent(share, 0)}` : names[strategy];
}
