"use strict";
const at = (id) => document.getElementById(id);
const MOST = 20, SHOWN = 6, WAIT_MS = 400;
let asked = 0, timer = 0;

function add(parent, tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function words(parent, text, moved) {
  // Offsets count code points, which JavaScript's own do not.
  const points = Array.from(text);
  const cut = (first, last) => points.slice(first, last).join("");
  const strongest = [...moved].sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, SHOWN).filter((word) => Math.abs(word.effect) >= 0.002);
  const most = Math.max(0.01, ...strongest.map((word) => Math.abs(word.effect)));
  let place = 0;
  for (const word of strongest.sort((a, b) => a.start - b.start)) {
    parent.append(cut(place, word.start));
    const mark = add(parent, "mark", word.effect > 0 ? "up" : "down", cut(word.start, word.end));
    mark.style.setProperty("--strength", (0.1 + 0.3 * Math.abs(word.effect) / most).toFixed(2));
    const points100 = (100 * word.effect).toFixed(1);
    mark.title = `${word.effect > 0 ? "+" : ""}${points100} points`;
    place = word.end;
  }
  parent.append(cut(place, points.length));
}

function show(answer, texts) {
  const list = at("results");
  list.replaceChildren();
  const classes = answer.classes, last = classes[classes.length - 1];
  answer.results.forEach((result, number) => {
    const item = add(list, "li");
    const line = add(item, "div", "verdict");
    add(line, "span", "label", result.label);
    const watched = classes.length === 2 ? last : result.label;
    const meter = add(line, "meter");
    meter.value = result.probabilities[watched];
    const percent = `${(100 * result.probabilities[watched]).toFixed(1)} %`;
    meter.setAttribute("aria-label", `probability of ${watched}`);
    add(line, "span", "", `${percent} ${watched}`);
    words(add(item, "p", "text"), texts[number], result.words);
    if (result.n_words === 0) add(item, "p", "note", "There is no word in it.");
    if (result.n_cut) add(item, "p", "note", `${result.n_cut} words of it are not read: it is too long.`);
  });
}

async function score() {
  const texts = at("texts").value.split(/\n[ \t]*\n/).map((text) => text.trim())
    .filter((text) => text).slice(0, MOST);
  const mine = ++asked;
  at("error").textContent = "";
  if (!texts.length) { at("results").replaceChildren(); at("state").textContent = ""; return; }
  at("state").textContent = "Scoring";
  const headers = { "Content-Type": "application/json" };
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  let message = "", answer = null;
  try {
    const response = await fetch("v1/explain",
      { method: "POST", headers, body: JSON.stringify({ texts }) });
    answer = await response.json();
    if (mine !== asked) return;
    if (response.status === 401) {
      at("secret").hidden = false;
      at("token").focus();
    }
    if (!response.ok) message = answer.error || `Status ${response.status}`;
  } catch (error) {
    message = "The server does not answer.";
  }
  if (mine !== asked) return;
  at("error").textContent = message;
  at("state").textContent = message ? "" : `${texts.length} scored`;
  if (!message) { at("secret").hidden = true; show(answer, texts); }
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("token").value) sessionStorage.setItem("token", at("token").value);
  score();
});
at("texts").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(score, WAIT_MS);
});
at("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
