// Asks before something is done that others feel; gives the reason that was typed, or null.

import { find } from "../dom.js";

const dialog = find("#confirm");

export const isOpen = () => dialog.open;

export function confirm(title, text, yes) {
  find("#confirm-title").textContent = title;
  find("#confirm-text").textContent = text;
  find("#confirm-yes").textContent = yes;
  find("#confirm-reason").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = () => resolve(dialog.returnValue === "yes" ? find("#confirm-reason").value : null);
    dialog.addEventListener("close", answer, { once: true });
  });
}
