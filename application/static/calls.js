// The calls of the API. A problem document becomes a Problem; everything else is the parsed answer.

const API = "/api/v1";
const TRIES = 20;
const CSRF = "X-CSRF-Token";
export const SIGNED_OUT = "signed-out";

export class Problem extends Error {
  constructor(body, retryAfter) {
    super(body.detail || body.title);
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path.startsWith("/") ? path : `${API}/${path}`, {
      ...options,
      headers: { ...options.headers, ...proof() },
    });
  } catch {
    throw new Problem({ title: "The server does not answer", detail: "Check the connection and try again." });
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({ title: response.statusText, detail: "The answer is unreadable." }));
  if (!response.ok) throw refused(response.status, body, response.headers.get("Retry-After"));
  return body;
}

// Posts what JSON can hold.
export function post(path, content) {
  const headers = { "Content-Type": "application/json" };
  return call(path, { method: "POST", headers, body: JSON.stringify(content) });
}

// What an operator's page knows and another site cannot: that a change comes from this page.
function proof() {
  const token = document.querySelector("meta[name=csrf-token]")?.content;
  return token ? { [CSRF]: token } : {};
}

// Whatever the call, a visitor who is not signed in is asked to.
function refused(status, body, retryAfter) {
  if (status === 401) document.dispatchEvent(new Event(SIGNED_OUT));
  return new Problem(body, Number(retryAfter));
}

// Uploads a file; `note` hears ("upload", percent), then ("work"), and ("busy") before each new try.
export async function upload(task, fields, note) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== null) form.append(name, value);
  const key = randomKey();
  for (let left = TRIES; ; left -= 1) {
    try {
      return await send(`${API}/${task}`, form, key, note);
    } catch (problem) {
      if (problem.body?.status !== 503 || !problem.retryAfter || left === 1) throw problem;
      note("busy");
      await new Promise((done) => setTimeout(done, problem.retryAfter * 1000));
    }
  }
}

// XMLHttpRequest, because fetch cannot tell how much of the body was sent.
function send(path, form, key, note) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", key);
    for (const [name, value] of Object.entries(proof())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => note("upload", Math.round((100 * event.loaded) / event.total));
    request.upload.onload = () => note("work");
    request.onload = () => {
      if (request.status < 300 && request.response) return resolve(request.response);
      const body = request.response ?? { title: `Error ${request.status}`, detail: "The answer is unreadable." };
      reject(refused(request.status, body, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => {
      const detail = "The connection broke during the upload. Check it, and the size of the file, and try again.";
      reject(new Problem({ title: "The upload failed", detail }));
    };
    request.send(form);
  });
}

function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
