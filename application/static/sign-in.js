// Signing in, where the installation asks its visitors for a token.

import { call, post, SIGNED_OUT } from "./calls.js";
import { find, findAll } from "./dom.js";

const BEHIND = "#upload, #history, #result, #problem, #progress";
const hidden = [];

export function start(onSignedIn) {
  document.addEventListener(SIGNED_OUT, ask);
  find("#sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn(onSignedIn);
  });
  find("#sign-out")?.addEventListener("click", signOut);
}

function ask() {
  if (!find("#sign-in").hidden) return;
  for (const part of findAll(BEHIND)) {
    if (part.hidden) continue;
    part.hidden = true;
    hidden.push(part);
  }
  note(false);
  find("#token").focus();
}

async function signIn(onSignedIn) {
  const [field, problem] = [find("#token"), find("#sign-in-problem")];
  problem.textContent = "";
  try {
    await post("/session", { token: field.value });
  } catch (refusal) {
    problem.textContent = `${refusal.message}.`;
    field.select();
    return;
  }
  field.value = "";
  for (const part of hidden.splice(0)) part.hidden = false;
  note(true);
  await onSignedIn();
}

async function signOut() {
  await call("/session", { method: "DELETE" });
  window.location.assign("/");
}

function note(signedIn) {
  find("#sign-in").hidden = signedIn;
  const out = find("#sign-out");
  if (out) out.hidden = !signedIn;
}
