// What every page of a signed-in operator does: sign out, and ask again when the sign-in has ended.

import { call, SIGNED_OUT } from "../calls.js";
import { find } from "../dom.js";

export function watch() {
  find("#sign-out").addEventListener("click", signOut);
  document.addEventListener(SIGNED_OUT, () => window.location.reload());
}

async function signOut() {
  await call("/operate/session", { method: "DELETE" });
  window.location.assign("/");
}
