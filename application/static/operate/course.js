// Draws how an interval ran: the estimate, the confidence sequence around it, and the level at which nothing differs.

import { element } from "../dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [340, 150, 56, 22, 8];

const plain = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(4)}`;
const share = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(100 * value).toFixed(1)} %`;
const ratio = (value) => `${Math.exp(value).toFixed(2)} ×`;

const MEASURES = {
  quality: ["Quality, mean difference", plain],
  winsorised: ["Quality, typical difference", plain],
  tail: ["Bad drops, challenger's more often", share],
  preferences: ["Reviewers preferred the challenger", share],
  failures: ["Failures, challenger's more often", share],
  latency: ["Time, of the champion's", ratio],
  cpu: ["CPU time, of the champion's", ratio],
  memory: ["Peak memory, of the champion's", ratio],
};

export function courses(ran) {
  return Object.entries(MEASURES)
    .filter(([kind]) => ran?.[kind]?.length)
    .map(([kind, [title, format]]) => course(kind, title, format, ran[kind]));
}

function course(kind, title, format, looks) {
  const last = looks.at(-1);
  const told = `${format(last.estimate)}, between ${format(last.low)} and ${format(last.high)}, n = ${last.n}`;
  const caption = element("figcaption", {}, element("strong", { textContent: title }), told);
  const figure = element("figure", { className: "course" }, drawing(`${title}: ${told}`, format, looks), caption);
  figure.dataset.kind = kind;
  return figure;
}

function drawing(description, format, looks) {
  const [low, high] = range(looks);
  const x = (n) => LEFT + ((WIDTH - LEFT) * n) / looks.at(-1).n;
  const y = (value) => {
    const inside = Math.min(high, Math.max(low, value));
    return TOP + ((HEIGHT - TOP - BOTTOM) * (high - inside)) / (high - low);
  };
  const points = (list, of) => list.map((look) => `${x(look.n).toFixed(1)},${y(of(look)).toFixed(1)}`);
  const band = [...points(looks, (look) => look.high), ...points([...looks].reverse(), (look) => look.low)];
  const label = (value, words) => text(words, { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" });
  const drawn = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": description });
  drawn.append(
    shape("polygon", { class: "band", points: band.join(" ") }),
    shape("line", { class: "level", x1: LEFT, x2: WIDTH, y1: y(0), y2: y(0) }),
    shape("polyline", { class: "estimate", points: points(looks, (look) => look.estimate).join(" ") }),
    label(high, format(high)),
    label(0, format === ratio ? ratio(0) : "0"),
    label(low, format(low)),
    text(`${looks[0].n}`, { x: x(looks[0].n), y: HEIGHT - 4, "text-anchor": "middle" }),
    text(`${looks.at(-1).n} pairs`, { x: WIDTH, y: HEIGHT - 4, "text-anchor": "end" }),
  );
  return drawn;
}

// As wide as twice the last interval: the first ones reach far beyond what matters now.
function range(looks) {
  const last = looks.at(-1);
  const width = Math.max(last.high - last.low, 1e-6);
  return [Math.min(0, last.low) - width / 2, Math.max(0, last.high) + width / 2];
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function text(content, attributes) {
  const made = shape("text", attributes);
  made.textContent = content;
  return made;
}
