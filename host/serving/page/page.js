// The page: asks the API of the server that it came from, and shows what the clusters do.

import { drawClusters, element } from "/page/cluster.js";

const find = (id) => document.getElementById(id);
const RETRY_MS = 2000;
let properties = { answers: true, examples: [] };
let asking = null; // the AbortController of the answer that comes
let isLooking = false; // whether the events of the live view are read

function headers() {
  const key = sessionStorage.getItem("key");
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function ask(path, settings = {}) {
  const answer = await fetch(path, { ...settings, headers: { ...headers(), ...settings.headers } });
  find("key-form").hidden = answer.status !== 401;
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.error?.message ?? `${answer.status} ${answer.statusText}`);
  }
  return answer;
}

// Yields the data of server-sent events.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6);
  }
}

async function look() {
  if (isLooking) return;
  isLooking = true;
  try {
    for await (const data of events(await ask("/live"))) show(JSON.parse(data));
    state("connection lost", "failed");
  } catch (error) {
    state(error.message, "failed");
  }
  isLooking = false;
  if (find("key-form").hidden) setTimeout(look, RETRY_MS);
}

function show(view) {
  const { clusters } = view;
  const rate = clusters.reduce((sum, cluster) => sum + cluster.tokens_per_second, 0);
  find("model").textContent = [...new Set(clusters.map((cluster) => cluster.model))].join(", ");
  find("rate").textContent = rate.toFixed(1);
  find("waiting").textContent = String(view.waiting);
  const worst = ["failed", "recovering", "loading", "stopped", "ready"]
    .find((each) => clusters.some((cluster) => cluster.state === each));
  state(worst, worst);
  drawClusters(find("clusters"), clusters);
  if (worst === "ready" && !properties.isLoaded) loadProperties().catch(() => {
    properties.isLoaded = false; // the next event asks again
  });
}

function state(text, kind) {
  find("state").textContent = text;
  find("state").className = kind;
}

async function loadProperties() {
  properties.isLoaded = true;
  properties = { ...(await (await ask("/props")).json()), isLoaded: true };
  find("examples").replaceChildren(...properties.examples.slice(0, 6).map((text) => {
    const button = element("button", "", text);
    button.type = "button";
    button.onclick = () => { if (!asking) run(text); };
    return button;
  }));
  if (!properties.answers) find("prompt").placeholder = "Once upon a time";
}

async function run(text) {
  asking = new AbortController();
  find("send").hidden = true;
  find("stop").hidden = false;
  const log = find("log");
  const answer = element("p", "answer"), note = element("p", "note");
  log.append(element("p", "asked", text), answer, note);
  log.scrollTop = log.scrollHeight;
  const body = properties.answers
    ? { messages: [{ role: "user", content: text }], stream: true }
    : { prompt: text, max_tokens: 128, stream: true };
  const path = properties.answers ? "/v1/chat/completions" : "/v1/completions";
  try {
    const came = await ask(path, {
      method: "POST", body: JSON.stringify(body), signal: asking.signal,
      headers: { "Content-Type": "application/json" },
    });
    for await (const data of events(came)) {
      if (data === "[DONE]") break;
      const piece = JSON.parse(data);
      if (piece.error) throw new Error(piece.error.message);
      const choice = piece.choices[0];
      answer.textContent += choice.delta?.content ?? choice.text ?? "";
      if (piece.timings) note.textContent = figures(piece);
      log.scrollTop = log.scrollHeight;
    }
  } catch (error) {
    note.textContent = error.name === "AbortError" ? "stopped" : error.message;
    if (error.name !== "AbortError") note.classList.add("error");
    log.scrollTop = log.scrollHeight;
  }
  asking = null;
  find("send").hidden = false;
  find("stop").hidden = true;
}

function figures(piece) {
  const { predicted_n: count, predicted_per_second: rate } = piece.timings;
  const words = [count === 1 ? "1 token" : `${count} tokens`];
  if (rate) words.push(`${rate.toFixed(1)} a second`);
  if (piece.federation?.refused) words.push(`refused: ${piece.federation.refused}`);
  if (piece.federation?.needs_confirmation) words.push("to be confirmed before it is done");
  return words.join(", ");
}

find("ask").onsubmit = (event) => {
  event.preventDefault();
  const text = find("prompt").value;
  if (!text.trim() || asking) return;
  find("prompt").value = "";
  run(text);
};
find("stop").onclick = () => asking?.abort();
find("key-form").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", find("key").value);
  look();
};
look();
