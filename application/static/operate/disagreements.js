// Pairs on which the two versions differ most, to look at and to label.

import { call } from "../calls.js";
import { copyOf, element, find, findAll, percent, say } from "../dom.js";

export async function show(study) {
  const { pairs, classes } = await call(`rollouts/${encodeURIComponent(study)}/disagreements`);
  find("#disagreement-list").replaceChildren(...pairs.map((pair) => item(pair, classes)));
  find("#disagreements").hidden = pairs.length === 0;
}

function item(pair, classes) {
  const view = copyOf("disagreement-template");
  const made = find("li", view);
  const masks = pair.left_url !== null;
  find("[data-agreement]", view).textContent = masks ? `They agree by ${percent(pair.agreement)} (Dice).` : "They tell different classes.";
  find("[data-image]", view).src = pair.image_url;
  for (const side of ["left", "right"]) {
    find(`[data-of=${side}]`, view).textContent = pair[`${side}_label`] ?? (side === "left" ? "One" : "The other");
    const place = find(`[data-mask=${side}]`, view);
    if (masks) place.src = pair[`${side}_url`];
    else place.closest(".view").remove();
  }
  wire(find("form", view), made, pair, masks, classes);
  return made;
}

function wire(form, made, pair, masks, classes) {
  const [byClass, byMask] = [find("[data-by-class]", form), find("[data-by-mask]", form)];
  if (masks) byClass.remove();
  else byMask.remove();
  (masks ? byMask : byClass).hidden = false;
  if (masks) form.elements.mask.required = true;
  else form.elements.label.append(...classes.map((name) => element("option", { value: name, textContent: name })));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call(pair.feedback_url, { method: "POST", body: new FormData(form) });
      made.remove();
      say("The label is kept.");
    } catch (problem) {
      find("[data-problem]", form).textContent = `${problem.message}.`;
    }
    find("#disagreements").hidden = findAll("#disagreement-list > li").length === 0;
  });
}
