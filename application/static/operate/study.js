// The card of one study: how it stands, what the evidence says, and what can be done.

import { copyOf, element, find } from "../dom.js";
import { courses } from "./course.js";
import { traffic } from "./ledger.js";

const VERDICTS = {
  promote: "Promote",
  rollback: "Roll back",
  continue: "Not decided yet",
  inconclusive: "Inconclusive",
};

const MOVES = {
  step: ["Next share", (of) => `The challenger ${of.challenger} then serves more of the clients of ${of.study}.`],
  promote: ["Promote", (of) => `${of.challenger} becomes the champion of ${of.study} in place of ${of.champion}.`],
  rollback: ["Roll back", rollback],
  stop: ["Stop", (of) => `The rollout of ${of.challenger} ends without a verdict. ${of.champion} serves on.`],
  unfreeze: ["Unfreeze", (of) => `${of.study} takes new versions again. Find out first why they were rolled back.`],
};

function rollback(of) {
  if (of.rollout) return `The rollout of ${of.challenger} ends. ${of.champion} serves everybody.`;
  return `${of.champion} gives way to the champion before it.`;
}

// `move` is called with what is to be done, its title, what it means, and the words of its button.
export function card(standing, versions, move) {
  const view = copyOf("study-template");
  const section = find("section", view);
  section.dataset.study = standing.study;
  section.setAttribute("aria-label", standing.study);
  find("[data-title]", view).textContent = standing.study;
  showVerdict(find("[data-verdict]", view), standing);
  find("[data-facts]", view).append(...facts(standing));
  find("[data-said]", view).append(...said(standing));
  find("[data-courses]", view).append(...courses(standing.course));
  find("[data-actions]", view).append(...buttons(standing, move));
  wireStart(find("[data-start]", view), standing, versions, move);
  return section;
}

function showVerdict(place, { frozen, rollout, verdict }) {
  const told = verdict?.verdict;
  place.dataset.verdict = frozen ? "frozen" : (told ?? "none");
  place.textContent = frozen ? "Frozen" : (VERDICTS[told] ?? (rollout ? "Running" : "No rollout"));
}

function facts(standing) {
  const shown = {
    Champion: standing.champion ?? "none",
    Challenger: standing.challenger,
    Traffic: traffic(standing),
    Pairs: standing.rollout && standing.pairs !== undefined ? `${standing.pairs} (${standing.dropped} dropped)` : null,
    "Live quality": standing.verdict && (standing.verdict.live_quality ? "measured" : "not measured"),
    Revision: String(standing.revision),
  };
  return Object.entries(shown)
    .filter(([, value]) => value)
    .map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
}

function said({ study, rollout, verdict }) {
  const lines = [];
  if (verdict) {
    lines.push(element("p", { textContent: verdict.reason }));
    if (verdict.forecast) lines.push(element("p", { className: "quiet", textContent: `Forecast: ${verdict.forecast}.` }));
  }
  if (rollout) {
    const address = `/operate/review?study=${encodeURIComponent(study)}`;
    lines.push(element("p", {}, element("a", { href: address, textContent: "Review its pairs" })));
  }
  return lines;
}

function buttons(standing, move) {
  return offered(standing).map((action) => {
    const [title, meaning] = MOVES[action];
    const button = element("button", { type: "button", className: action === "rollback" ? "danger" : "plain", textContent: title });
    button.dataset.action = action;
    button.addEventListener("click", () => move({ action }, `${title}: ${standing.study}`, meaning(standing), title));
    return button;
  });
}

function offered({ strategy, share, rollout, frozen, revision }) {
  const running = rollout ? [...(strategy === "canary" && share < 1 ? ["step"] : []), "promote", "rollback", "stop"] : [];
  const idle = !rollout && revision > 0 ? ["rollback"] : [];
  return [...(frozen ? ["unfreeze"] : []), ...running, ...idle];
}

function wireStart(place, standing, versions, move) {
  const others = versions.filter((version) => version !== standing.champion);
  place.hidden = standing.rollout !== null || standing.frozen || others.length === 0;
  const form = find("form", place);
  const { challenger, strategy, share } = form.elements;
  challenger.append(...others.map((version) => element("option", { value: version, textContent: version })));
  strategy.addEventListener("change", () => (find("[data-share]", form).hidden = strategy.value === "shadow"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = { action: "start", strategy: strategy.value, challenger: challenger.value };
    if (strategy.value !== "shadow" && share.value !== "") wanted.share = Number(share.value) / 100;
    const title = `Start: ${standing.study}`;
    const how = strategy.selectedOptions[0].textContent;
    move(wanted, title, `${challenger.value} is tried against ${standing.champion}. ${how}.`, "Start");
  });
}
