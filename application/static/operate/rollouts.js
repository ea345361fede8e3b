// The page of the rollouts: one card for each study, and the ledger.

import { call, post } from "../calls.js";
import { find, findAll, say } from "../dom.js";
import { confirm, isOpen } from "./confirm.js";
import * as ledger from "./ledger.js";
import * as session from "./session.js";
import { card } from "./study.js";

const REFRESH_MILLISECONDS = 10_000;
const shown = new Map();

async function load() {
  const [{ rollouts }, studies] = await Promise.all([call("rollouts"), call("studies")]);
  const versions = Object.fromEntries(studies.map((study) => [study.name, study.versions]));
  for (const standing of rollouts) show(standing, versions[standing.study] ?? []);
  find("#problem").hidden = true;
}

// A card whose figures have not changed stays, and so does the focus in it.
function show(standing, versions) {
  const seen = JSON.stringify([standing, versions]);
  if (shown.get(standing.study) === seen) return;
  shown.set(standing.study, seen);
  const fresh = card(standing, versions, (...asked) => move(standing, ...asked));
  const former = cardOf(standing.study);
  if (former) former.replaceWith(fresh);
  else find("#studies").append(fresh);
}

function cardOf(study) {
  return findAll("#studies > section").find((section) => section.dataset.study === study);
}

// The revision is the one that the card showed when its button was pressed.
async function move(standing, wanted, title, meaning, yes) {
  const reason = await confirm(title, meaning, yes);
  if (reason === null) return;
  let problem = "";
  try {
    await post(`rollouts/${encodeURIComponent(standing.study)}`, { ...wanted, revision: standing.revision, reason });
    say(`Done: ${title}.`);
  } catch (refusal) {
    problem = `${refusal.body.title}: ${refusal.message}.`;
  }
  await refresh();
  const place = cardOf(standing.study);
  find("[data-problem]", place).textContent = problem;
  place.focus({ preventScroll: true });
}

async function refresh() {
  const report = (problem) => {
    find("#problem").textContent = problem.message;
    find("#problem").hidden = false;
  };
  await Promise.all([load().catch(report), ledger.load()]);
}

// Nobody's typing is overwritten, and nobody decides on figures that changed under the question.
function isBusy() {
  return document.hidden || isOpen() || document.activeElement?.closest("form") || find("details[open]") !== null;
}

session.watch();
await refresh();
setInterval(() => isBusy() || refresh(), REFRESH_MILLISECONDS);
