// The page: reviews that are typed are scored at once; the token is asked for where one is needed.

import { listen } from "./files.js";
import { bodyOf, models, post } from "./server.js";
import { at, review } from "./show.js";

const MOST = 20, WAIT_MS = 400;
let asked = 0, timer = 0, again = score; // what is done once there is a token

function fail(message, status = 0, retry = score) {
  at("error").textContent = message;
  again = retry;
  if (status === 401) {
    at("secret").hidden = false;
    at("token").focus();
  }
}

async function score() {
  const texts = at("texts").value.split(/\n[ \t]*\n/).map((text) => text.trim())
    .filter((text) => text).slice(0, MOST);
  const mine = ++asked;
  fail("");
  at("legend").hidden = !texts.length;
  at("state").textContent = texts.length ? "Scoring" : "";
  if (!texts.length) {
    at("results").replaceChildren();
    return;
  }
  try {
    const served = await models();
    at("models").textContent = served.map(
      ({ name, model, classes }) => `${name}: ${model}, ${classes.join(" or ")}`).join("; ");
    const answers = await Promise.all(served.map(
      ({ name }) => post("v1/explain", bodyOf(texts, name))));
    if (mine !== asked) return;
    at("secret").hidden = true;
    at("state").textContent = `${texts.length} scored`;
    at("results").replaceChildren();
    texts.forEach((text, number) => review(at("results"), text, answers.map((answer) => ({
      model: answer.model, classes: answer.classes, result: answer.results[number] }))));
  } catch (error) {
    if (mine !== asked) return;
    at("state").textContent = "";
    fail(error.message, error.status);
  }
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  score();
});
at("secret").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  at("secret").hidden = true;
  again();
});
at("texts").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(score, WAIT_MS);
});
at("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
listen(fail);
