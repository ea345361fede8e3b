// The sign-in of the operators; the page that was asked for comes in its place.

import { post } from "../calls.js";
import { find } from "../dom.js";

const field = find("#token");

find("#sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("#sign-in-problem").textContent = "";
  try {
    await post("/operate/session", { token: field.value });
  } catch (problem) {
    find("#sign-in-problem").textContent = `${problem.message}.`;
    field.select();
    return;
  }
  window.location.reload();
});
field.focus();
