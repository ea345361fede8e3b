// The studies that the server offers, as the page brought them, and what is to be known of each.

import { element, find } from "./dom.js";

const studies = new Map(JSON.parse(document.body.dataset.studies).map((study) => [study.name, study]));

export const known = (name) => studies.get(name);
export const chosen = () => known(find("#study").value);

export function describe(place, study) {
  const failures = study.known_failures.map((textContent) => element("li", { textContent }));
  const datasets = study.datasets.map((each) =>
    element("li", {}, element("cite", { textContent: each.citation }), ` (${each.title}; licence: ${each.licence})`),
  );
  place.replaceChildren(
    element("p", { textContent: study.notice }),
    element(
      "details",
      {},
      element("summary", { textContent: "Known failures and data" }),
      element("ul", { className: "listed" }, ...failures),
      element("ul", { className: "listed" }, ...datasets),
    ),
  );
}
