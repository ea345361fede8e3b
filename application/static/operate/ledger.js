// The ledger as a table.

import { element, find, percent } from "../dom.js";

export function show(decisions) {
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
