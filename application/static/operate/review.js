// The blind review: one pair after the other.

import { call, post } from "../calls.js";
import { copyOf, element, find, findAll, say } from "../dom.js";
import { tint } from "../mask.js";
import * as disagreements from "./disagreements.js";
import * as session from "./session.js";

const GONE = ["urn:bioseg:problem:already-judged", "urn:bioseg:problem:unknown-pair"];

let shown = null;
let working = false;

async function chooseStudy() {
  const running = (await call("rollouts")).rollouts.filter((standing) => standing.rollout);
  const [place, list] = [find("#choose"), find("#study")];
  list.replaceChildren(...running.map(({ study }) => element("option", { value: study, textContent: study })));
  place.hidden = running.length < 2;
  if (running.length === 0) return tellNothing("No rollout runs: there is nothing to compare.");
  const asked = new URLSearchParams(window.location.search).get("study");
  if (running.some(({ study }) => study === asked)) list.value = asked;
  list.addEventListener("change", () => open().catch(complain));
  await open();
}

async function open() {
  await Promise.all([next(), disagreements.show(find("#study").value)]);
}

async function next() {
  shown = await call(`rollouts/${encodeURIComponent(find("#study").value)}/review`);
  if (shown === null) return tellNothing("No pair waits. More come with the images that are sent.");
  find("#nothing").hidden = true;
  const view = copyOf(shown.task === "segmentation" ? "masks-template" : "classes-template");
  find("[data-progress]", view).textContent = `${shown.judged} judged, ${shown.waiting} to go.`;
  for (const image of findAll("[data-image]", view)) image.src = shown.image_url;
  if (shown.task === "segmentation") wireMasks(view);
  else wireClasses(view);
  for (const button of findAll("[data-judge]", view)) button.addEventListener("click", () => judge(button.dataset.judge));
  const place = find("#pair");
  place.replaceChildren(view);
  place.hidden = false;
  if (shown.task === "segmentation") await drawMasks(place);
  place.focus({ preventScroll: true });
}

function wireMasks(view) {
  for (const link of findAll("[data-download]", view)) link.href = shown[`${link.dataset.download}_url`];
  const slider = find("[data-opacity]", view);
  const canvases = findAll("canvas", view);
  const apply = () => canvases.forEach((canvas) => (canvas.style.opacity = String(slider.value / 100)));
  slider.addEventListener("input", apply);
  apply();
  find("[data-next]", view).addEventListener("click", () => attempt(next));
  find("[data-correct]", view).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => correct(event.target));
  });
}

async function drawMasks(place) {
  await Promise.all(["left", "right"].map((side) => tint(find(`[data-${side}]`, place), shown[`${side}_url`])));
}

function wireClasses(view) {
  const buttons = shown.classes.map((name, at) => {
    const button = element("button", { className: "plain", type: "button" }, element("kbd", { textContent: at + 1 }), ` ${name}`);
    button.dataset.judge = name;
    return button;
  });
  find("[data-classes]", view).append(...buttons);
}

function judge(chosen) {
  const given = shown.task === "segmentation" ? { preferred: chosen } : { label: chosen };
  return attempt(async () => {
    await post(`pairs/${shown.id}/judgement`, given);
    say("Kept.");
    await next();
  });
}

async function correct(form) {
  await call(`pairs/${shown.id}/judgement`, { method: "POST", body: new FormData(form) });
  form.closest("details").hidden = true;
  find("[data-state]").textContent = "Your mask is kept. You may still say which of the two is better, or go on.";
  find("[data-next]").hidden = false;
}

// One judgement at a time. When somebody else was first the pair is gone, and the next one comes.
async function attempt(what) {
  if (working || shown === null) return;
  working = true;
  await what().catch(async (problem) => {
    if (GONE.includes(problem.body?.type)) await next().catch(complain);
    complain(problem);
  });
  working = false;
}

function complain(problem) {
  const place = find("#pair [data-problem]");
  if (shown === null || place === null) tellNothing(`${problem.message}.`);
  else place.textContent = `${problem.message}.`;
}

function tellNothing(text) {
  shown = null;
  find("#pair").hidden = true;
  find("#nothing").textContent = text;
  find("#nothing").hidden = false;
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea") && event.target.type !== "range";
  if (typing || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  findAll("#pair [data-judge]")[Number(event.key) - 1]?.click();
});

session.watch();
await chooseStudy().catch(complain);
