// Shows one stored request: a segmentation, or a classification.

import { post } from "./calls.js";
import { copyOf, duration, element, find, findAll, percent } from "./dom.js";
import { tint } from "./mask.js";
import * as studies from "./studies.js";

const VERDICTS = { accept: "Accepted", ask: "Doubtful", reject: "Refused" };
const STAGES = ["decode", "screen", "model", "encode"];

export async function show(place, record) {
  const view = copyOf(`${record.task}-template`);
  find("[data-title]", view).textContent = title(record);
  showVerdict(find("[data-verdict]", view), record);
  for (const image of findAll("[data-image]", view)) image.src = record.image_url;
  find("[data-facts]", view).append(...facts(record));
  find("[data-timings]", view).append(timings(record.timings_ms));
  find("[data-downloads]", view).append(...downloads(record));
  if (record.task === "segmentation") wireSegmentation(view, record);
  else showClasses(view, record);
  const canvas = find("[data-mask]", view);
  place.replaceChildren(view, element("p", { className: "quiet", textContent: studies.known(record.study)?.notice ?? "" }));
  place.hidden = false;
  if (canvas) await tint(canvas, record.mask_url);
}

export function title(record) {
  if (record.status !== "done") return record.status === "refused" ? "Not accepted" : "Failed";
  if (record.task === "classification") return record.predicted;
  return `${percent(record.foreground_fraction)} foreground`;
}

function showVerdict(place, record) {
  const { screen } = record;
  place.hidden = screen === null;
  if (screen === null) return;
  place.dataset.verdict = screen.verdict;
  const words = record.overridden ? "Doubtful, done on your word" : VERDICTS[screen.verdict];
  place.replaceChildren(element("strong", { textContent: words }), ` ${screen.reason}`);
}

function facts(record) {
  const model = record.version && `${record.study} ${record.version} (${record.arm}${record.precision ? `, ${record.precision}` : ""})`;
  const { screen } = record;
  const screenedBy = studies.known(record.study)?.screened_by;
  const shown = {
    Foreground: record.foreground_fraction === null ? null : percent(record.foreground_fraction, 2),
    "Screen's score": screen && `${screen.score.toFixed(3)} (${screenedBy} ${screen.version})`,
    Model: model,
    Size: `${record.width} × ${record.height} pixels`,
    "Your label": record.label,
    Time: duration(record.resources.latency_ms),
    "CPU time": `${record.resources.cpu_seconds.toFixed(2)} s`,
    Memory: `${Math.round(record.resources.memory_rss_mb)} MiB`,
    Request: record.id,
  };
  return Object.entries(shown)
    .filter(([, value]) => value)
    .map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
}

function timings(milliseconds) {
  const stages = STAGES.filter((stage) => stage in milliseconds);
  const total = stages.reduce((sum, stage) => sum + milliseconds[stage], 0) || 1;
  const bar = element("div", { className: "stages", ariaHidden: "true" });
  const legend = element("ul", { className: "legend" });
  for (const stage of stages) {
    const part = element("span", { className: `stage-${stage}` });
    part.style.flexGrow = String(milliseconds[stage] / total);
    bar.append(part);
    legend.append(
      element("li", {}, element("span", { className: `dot stage-${stage}` }), `${stage} ${duration(milliseconds[stage])}`),
    );
  }
  return element("details", { className: "timings" }, element("summary", { textContent: "Where the time went" }), bar, legend);
}

function downloads(record) {
  return ["mask", "overlay", "probability", "instances", "heatmap", "image"]
    .filter((what) => record[`${what}_url`])
    .map((what) =>
      element("a", {
        className: "plain",
        href: record[`${what}_url`],
        download: `${record.study}-${record.id.slice(0, 8)}-${record[`${what}_url`].split("/").pop()}`,
        textContent: `Download ${what}`,
      }),
    );
}

function showClasses(view, record) {
  find("[data-probabilities]", view).append(...bars(record.probabilities));
  const heat = find("[data-heat]", view);
  if (record.heatmap_url) find("img", heat).src = record.heatmap_url;
  else heat.remove();
}

function bars(probabilities) {
  return Object.entries(probabilities)
    .sort(([, one], [, other]) => other - one)
    .map(([name, share]) => {
      const fill = element("span", { className: "fill" });
      fill.style.inlineSize = `${100 * share}%`;
      return element(
        "li",
        {},
        element("span", { textContent: name }),
        element("span", { className: "bar", ariaHidden: "true" }, fill),
        element("span", { className: "number", textContent: percent(share) }),
      );
    });
}

function wireSegmentation(view, record) {
  const canvas = find("[data-mask]", view);
  canvas.setAttribute("aria-label", `Mask over the image: ${percent(record.foreground_fraction)} is foreground`);
  const slider = find("[data-opacity]", view);
  const value = find("[data-opacity-value]", view);
  const apply = () => {
    canvas.style.opacity = String(slider.value / 100);
    value.textContent = `${slider.value} %`;
  };
  slider.addEventListener("input", apply);
  apply();
  wireFeedback(find("[data-feedback]", view), record);
}

function wireFeedback(form, record) {
  const state = find("[data-feedback-state]", form);
  const given = record.feedback;
  if (given) {
    if (given.mask_ok !== null) form.elements.mask_ok.value = String(given.mask_ok);
    form.elements.comment.value = given.comment ?? "";
    state.textContent = "Saved earlier.";
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    const judgement = { comment: fields.get("comment") || null };
    if (fields.has("mask_ok")) judgement.mask_ok = fields.get("mask_ok") === "true";
    if (judgement.comment === null && judgement.mask_ok === undefined) {
      state.textContent = "Choose right or wrong, or write a comment.";
      return;
    }
    try {
      await post(`requests/${record.id}/feedback`, judgement);
      state.textContent = "Thank you, saved.";
    } catch (problem) {
      state.textContent = problem.message;
    }
  });
}
