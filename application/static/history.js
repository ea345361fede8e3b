// The list of this browser's requests.

import { call } from "./calls.js";
import { copyOf, find, say } from "./dom.js";
import { title } from "./result.js";

const LARGEST_THUMBNAIL = 4_000_000;
const PAGE = 12;

let cursor = null;
let open = () => {};

export async function start(onOpen) {
  open = onOpen;
  find("#history-more").addEventListener("click", more);
  await more();
}

export async function refresh() {
  cursor = null;
  find("#history-list").replaceChildren();
  await more();
}

async function more() {
  const query = new URLSearchParams({ limit: PAGE, ...(cursor === null ? {} : { cursor }) });
  const page = await call(`requests?${query}`).catch(() => null);
  if (page === null) return;
  cursor = page.next_cursor;
  find("#history-list").append(...page.requests.map(entry));
  find("#history-more").hidden = cursor === null;
  showWhetherEmpty();
}

function showWhetherEmpty() {
  find("#history-empty").hidden = find("#history-list").childElementCount > 0;
}

function entry(record) {
  const view = copyOf("history-template");
  const item = find("li", view);
  find("[data-what]", view).textContent = `${record.study}: ${title(record)}`;
  find("[data-when]", view).textContent = describe(record);
  const thumbnail = find("[data-thumb]", view);
  if (record.image_url && record.width * record.height <= LARGEST_THUMBNAIL) {
    thumbnail.src = record.image_url;
    thumbnail.hidden = false;
  }
  find("[data-open]", view).addEventListener("click", () => open(record));
  const remove = find("[data-delete]", view);
  remove.setAttribute("aria-label", `Delete the request of ${new Date(record.created_at).toLocaleString()}`);
  remove.addEventListener("click", () => confirmed(remove) && drop(record, item));
  return view;
}

function describe(record) {
  const said = record.screen?.reason ?? record.error ?? "";
  return `${new Date(record.created_at).toLocaleString()}${said ? `, ${said}` : ""}`;
}

// A second click within a few seconds deletes.
function confirmed(button) {
  if (button.dataset.sure) return true;
  button.dataset.sure = "yes";
  button.textContent = "Really delete?";
  setTimeout(() => {
    delete button.dataset.sure;
    button.textContent = "Delete";
  }, 4000);
  return false;
}

async function drop(record, item) {
  try {
    await call(`requests/${record.id}`, { method: "DELETE" });
    item.remove();
    showWhetherEmpty();
    say("Deleted.");
  } catch (problem) {
    say(problem.message);
  }
}
