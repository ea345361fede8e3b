// The page: choose an image, send it, show what came of it.

import { call, Problem, upload } from "./calls.js";
import { element, find, findAll, say, size } from "./dom.js";
import * as past from "./history.js";
import { show } from "./result.js";
import * as signIn from "./sign-in.js";
import * as studies from "./studies.js";

const WORDS = {
  segmentation: { call: "segment", verb: "Segment", working: "Screening, then drawing the mask", none: "A mask of it" },
  classification: { call: "classify", verb: "Classify", working: "Screening, then telling the class", none: "A class of it" },
};
const MAX_BYTES = Number(document.body.dataset.maxUploadMb) * 2 ** 20;

let chosen = null;
let working = false;

function choose(file) {
  chosen = file;
  find("#problem").hidden = true;
  find("#chosen").textContent = file.name;
  find("#chosen-note").textContent = `${size(file.size)}. Drop or choose another to replace it.`;
  const preview = find("#preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.onload = () => (preview.hidden = false);
  preview.onerror = () => (preview.hidden = true);
  enable();
  find("#run").focus();
}

function enable() {
  for (const button of findAll("#run, [data-screen]")) button.disabled = working || chosen === null;
  for (const button of findAll("[data-example]")) button.disabled = working;
}

async function run(study, file, options = {}) {
  if (working || file === null) return;
  const words = WORDS[study.task];
  if (file.size > MAX_BYTES) {
    const detail = `${file.name} has ${size(file.size)}. Crop, shrink or compress it.`;
    return report(new Problem({ title: "The file is too large", detail }));
  }
  working = true;
  enable();
  clear();
  try {
    const fields = { image: file, study: study.name, label: label(study), override: options.override ? "true" : null };
    const answer = await upload(words.call, fields, (phase, done) => progress(words, phase, done));
    await open(await call(`requests/${answer.id}`));
    say("The result is ready.");
  } catch (problem) {
    report(problem, study, options.override ? null : () => run(study, file, { override: true }));
  } finally {
    working = false;
    find("#progress").hidden = true;
    enable();
    await past.refresh();
  }
}

// The offered labels are those of the chosen study; a screen has others.
function label(study) {
  return study === studies.chosen() ? find("input[name=label]:checked").value || null : null;
}

function clear() {
  find("#problem").hidden = true;
  find("#result").hidden = true;
}

function progress(words, phase, done) {
  const bar = find("#progress-bar");
  const texts = { upload: `Uploading, ${done} %`, work: words.working, busy: "Busy; waiting for a turn" };
  find("#progress").hidden = false;
  find("#progress-text").textContent = texts[phase];
  if (phase === "upload") bar.value = done;
  else bar.removeAttribute("value");
  if (phase !== "upload") say(texts[phase]);
}

async function open(record) {
  clear();
  if (record.status !== "done") return reportStored(record);
  const place = find("#result");
  await show(place, record);
  window.history.replaceState(null, "", `#${record.id}`);
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "start" });
}

function reportStored(record) {
  const titles = { refused: "The image was not accepted", failed: "The image could not be used" };
  report(new Problem({ title: titles[record.status], detail: record.error, screen: record.screen }), record);
}

function report(problem, { task } = {}, insist = null) {
  if (!(problem instanceof Problem)) throw problem;
  if (problem.body.status === 401) return;
  const { title, detail, screen } = problem.body;
  const place = find("#problem");
  place.replaceChildren(element("h2", { textContent: title }), element("p", { textContent: screen ? `This image ${screen.reason}.` : detail }));
  if (screen) place.append(element("p", { className: "quiet", textContent: advice(screen, WORDS[task]) }));
  if (screen?.verdict === "ask" && insist) {
    const button = element("button", { className: "plain", type: "button", textContent: `${WORDS[task].verb} anyway` });
    button.addEventListener("click", insist);
    place.append(element("div", { className: "actions" }, button));
  }
  place.hidden = false;
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "nearest" });
}

function advice(screen, words) {
  const score = `The screen gives it a probability of ${screen.score.toFixed(2)} to be what this model was made for.`;
  return screen.verdict === "ask"
    ? `${score} You may go on; that is recorded with the request.`
    : `${score} ${words.none} would mean nothing, so there is none.`;
}

function showStudy() {
  const study = studies.chosen();
  find("#run").textContent = WORDS[study.task].verb;
  find("#examples").hidden = study.name !== find("#examples").dataset.study;
  studies.describe(find("#about"), study);
  offerLabels(study.classes);
}

function offerLabels(classes) {
  const option = (value, text, checked) =>
    element("label", {}, element("input", { type: "radio", name: "label", value, checked }), element("span", { textContent: text }));
  find("#labels").replaceChildren(...classes.map((name) => option(name, name, false)), option("", "don't say", true));
}

async function tryExample(name) {
  const response = await fetch(find(`[data-example="${name}"] img`).src);
  choose(new File([await response.blob()], name, { type: "image/png" }));
  await run(studies.chosen(), chosen);
}

function wire() {
  find("#file").addEventListener("change", (event) => event.target.files[0] && choose(event.target.files[0]));
  find("#study").addEventListener("change", showStudy);
  find("#upload").addEventListener("submit", (event) => {
    event.preventDefault();
    run(studies.chosen(), chosen);
  });
  for (const button of findAll("[data-screen]")) {
    button.addEventListener("click", () => run(studies.known(button.dataset.screen), chosen));
  }
  for (const button of findAll("[data-example]")) {
    button.addEventListener("click", () => tryExample(button.dataset.example));
  }
  wireDrop();
}

// Images are taken wherever they are dropped or pasted; text is left to the fields.
function wireDrop() {
  const mark = (on) => find("#drop").classList.toggle("over", on);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const [file] = event.dataTransfer.files;
    if (file && !working) choose(file);
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file && !working) choose(file);
  });
}

async function openLinked() {
  const id = window.location.hash.slice(1);
  if (/^[0-9a-f]{32}$/.test(id)) await call(`requests/${id}`).then(open, report);
}

async function begin() {
  await past.refresh();
  await openLinked();
}

showStudy();
wire();
signIn.start(begin);
await past.start(open);
await openLinked();
