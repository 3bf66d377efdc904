// The page of a session: it sends what the user does, and draws the frames that arrive.

import { Chart, WINDOW, format } from "./charts.js";
import { Hand } from "./hand.js";

const find = (id) => document.getElementById(id);
const MAX_VECTOR_CHARTS = 24;
const MAX_ACTION_LINES = 3;
const RATE_STEPS = 31; // the rate is that of the last steps
const STEPS = { speed: 5, temperature: 0.1, horizon: 5 };
const NUMBER_KEYS = { f: "speed", t: "temperature", o: "horizon" };
const CYCLES = { e: "where", v: "view", l: "latent" };
const PRESSES = { p: "pause", ".": "step", n: "new_start", b: "restart_dreams", x: "full_reset" };
const WHO = { h: "human", r: "random" };

let facts = null, settings = null, hand = null, cards = [], vectorCharts = [];
let frames = [], last = null, dirty = false, times = [], ended = false;

const query = location.search;
const socket = new WebSocket(`ws://${location.host}/socket${query}`);
socket.binaryType = "arraybuffer";
socket.onmessage = ({ data }) => (typeof data === "string" ? receive(JSON.parse(data)) : receiveFrame(data));
socket.onclose = () => {
  ended = true;
  notice("The command has ended. Start it again, and open its new address.", true);
};

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

const change = (name, value) => send({ do: "change", name, value });

function receive(message) {
  if (message.kind === "hello") begin(message);
  if (message.kind === "settings") showSettings(message.settings);
  if (message.kind === "notice") notice(message.text);
}

// The header of a frame, then the pixels of its pictures.
function receiveFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const frame = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let start = 4 + length;
  frame.pixels = frame.pictures.map((size) => {
    if (!size) return null;
    const pixels = new Uint8Array(buffer, start, 3 * size[0] * size[1]);
    start += pixels.length;
    return pixels;
  });
  if (frame.step < (last?.step ?? 0)) { // a full reset, after which the person holds nothing
    frames = [];
    hand.sent = "";
  }
  if (frame.step !== last?.step) count(frame);
  last = frame;
  dirty = true;
}

function count(frame) {
  frames = [...frames.filter((one) => one.step < frame.step), { ...frame, pixels: null }].slice(-WINDOW);
  times = [...times, performance.now()].slice(-RATE_STEPS);
}

// Building the page

function begin(message) {
  facts = message;
  frames = message.history.slice(-WINDOW);
  document.title = `${message.task} · ${message.runs.length ? "dream" : "play"}`;
  find("task").textContent = message.task;
  for (const element of document.querySelectorAll(".dreams")) element.hidden = !message.runs.length;
  find("agent").replaceChildren(...message.runs.map((run, index) => new Option(run.name, index)));
  find("agent").hidden = message.runs.length < 2;
  for (const name of Object.keys(STEPS)) find(name).max = message.limits[name];
  find("clips").replaceChildren(...message.clip_formats.map(clipButton));
  cards = [new Card(null), ...message.runs.map((run, index) => new Card(run, index))];
  find("cards").replaceChildren(...cards.map((card) => card.element));
  find("cards").dataset.count = cards.length;
  find("cards").style.setProperty("--columns", cards.length);
  hand = new Hand(message.actions, (action) => send({ do: "hold", action }), find("inputs"));
  hand.drag(cards[0].canvas);
  showSettings(message.settings);
}

function clipButton(suffix, index) {
  const button = Object.assign(document.createElement("button"), { textContent: `Save ${suffix.slice(1)}` });
  if (!index) button.append(Object.assign(document.createElement("kbd"), { textContent: "C" }));
  button.addEventListener("click", () => saveClip(suffix.slice(1)));
  return button;
}

async function saveClip(format) {
  const steps = Math.max(1, Number(find("clip-steps").value) || 100);
  const answer = await fetch(`/clip?steps=${steps}&format=${format}`);
  if (!answer.ok) return notice(await answer.text());
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = `dream_${last.step}.${format}`;
  link.click();
  URL.revokeObjectURL(link.href);
  return notice(`Saved ${link.download}.`);
}

// A card: picture and charts of the environment (run null) or of a run.
class Card {
  constructor(run, index) {
    Object.assign(this, { run, index, own: run ? `--run-${index}` : "--text" });
    this.element = Object.assign(document.createElement("article"), { className: "card" });
    this.element.style.setProperty("--own", `var(${this.own})`);
    this.element.innerHTML =
      '<header><span class="name"><i></i><b></b></span><span class="badge"></span></header>' +
      '<div class="picture"><canvas role="img"></canvas><p hidden></p></div>' +
      (run ? '<p class="sums"><span>predicted return <b></b></span><span>true <b></b></span></p>' : "");
    const title = run ? `${run.name}` : "Environment";
    this.element.querySelector(".name b").textContent = title;
    this.element.querySelector(".name").title = run ? `${run.algo}, ${run.frames.toLocaleString()} frames` : "";
    this.badge = this.element.querySelector(".badge");
    this.canvas = this.element.querySelector("canvas");
    this.canvas.setAttribute("aria-label", run ? `Picture of ${title}` : "Picture of the environment");
    this.sums = this.element.querySelectorAll(".sums b");
    this.missing = this.element.querySelector(".picture p");
    this.charts = run ? this.runCharts() : this.environmentCharts();
    this.element.append(...this.charts.map(({ chart }) => chart.element));
  }

  environmentCharts() {
    const one = (what, get) => ({ chart: new Chart(what, [{ color: "--text" }]), lines: [get], value: get });
    const charts = [one("reward", (frame) => frame.reward), one("return so far", (frame) => frame.return)];
    const count = Math.min(MAX_ACTION_LINES, facts.actions.classes.length || facts.actions.width);
    const lines = [...Array(count).keys()].map((index) => (frame) => frame.action?.[index]);
    const series = ["--text", "--dim", "--mark"].slice(0, count).map((name) => ({ color: name }));
    const named = (frame) => facts.actions.choices[frame.action?.[0]]?.name ?? format(frame.action?.[0]);
    const range = facts.actions.kind === "continuous" ? [-1.05, 1.05] : null;
    const chart = new Chart(count > 1 ? `actions 0 to ${count - 1}` : "action", series, range);
    return [...charts, { chart, lines, value: named }];
  }

  runCharts() {
    const own = (frame) => frame.runs[this.index];
    const solid = { color: this.own }, truth = { color: "--dim", dashed: true };
    const found = [
      { chart: new Chart("reward, true dashed", [truth, solid]), lines: [(f) => own(f).true_reward, (f) => own(f).reward], value: (f) => own(f).reward },
      { chart: new Chart("value", [solid]), lines: [(f) => own(f).value], value: (f) => own(f).value },
      { chart: new Chart("continue", [solid], [-0.02, 1.02]), lines: [(f) => own(f).continue], value: (f) => own(f).continue },
      { chart: new Chart("KL, nats", [{ ...solid, dashed: true }, solid]), lines: [(f) => own(f).entropy, (f) => own(f).kl], value: (f) => own(f).kl ?? own(f).entropy, nats: true },
    ];
    return found.filter(({ chart }) => this.run.learns_continue || chart.what.textContent !== "continue");
  }

  draw(frame, place) {
    const own = this.run ? frame.runs[this.index] : null;
    this.element.dataset.dreams = Boolean(own && frame.imagined);
    this.badge.textContent = this.status(frame, own);
    if (own) [own.return, frame.since].forEach((sum, index) => (this.sums[index].textContent = format(sum)));
    drawPicture(this, frame.pictures[place], frame.pixels[place]);
    for (const { chart, lines, value, nats } of this.charts) {
      if (nats) chart.what.textContent = own.kl === null ? "prior entropy, nats" : "KL, nats";
      const now = value(frame);
      chart.value.textContent = typeof now === "string" ? now : format(now);
      chart.draw(lines.map((get) => frames.map(get)), frames);
    }
  }

  status(frame, own) {
    if (!own) return frame.over ? "episode over" : "";
    if (!frame.imagined) return "observes";
    return `dream ${frame.imagined}${settings.horizon ? `/${settings.horizon}` : ""}`;
  }
}

function drawPicture(card, size, pixels) {
  card.canvas.hidden = !pixels;
  card.missing.hidden = Boolean(pixels);
  if (!pixels) {
    const text = card.run ? "This run shows no image. Its vectors are below." : "This environment has no image and draws none.";
    if (card.missing.textContent !== text) card.missing.textContent = text;
    return;
  }
  const [height, width] = size;
  if (card.canvas.width !== width || card.canvas.height !== height) {
    Object.assign(card.canvas, { width, height });
    card.canvas.style.aspectRatio = `${width} / ${height}`;
  }
  const pen = card.canvas.getContext("2d");
  const image = pen.createImageData(width, height);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
    image.data[to] = pixels[from];
    image.data[to + 1] = pixels[from + 1];
    image.data[to + 2] = pixels[from + 2];
    image.data[to + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

// Vectors: one chart for each number, with the truth and the prediction of each run.

function makeVectorCharts(frame) {
  const series = [{ color: "--text", dashed: true }, ...facts.runs.map((_, index) => ({ color: `--run-${index}` }))];
  const places = facts.vectors.flatMap((key) => (frame.vectors[key] ?? []).map((_, place) => [key, place]));
  vectorCharts = places.slice(0, MAX_VECTOR_CHARTS).map(([key, place]) => {
    const alone = frame.vectors[key].length === 1;
    const truth = (f) => f.vectors[key]?.[place];
    const models = facts.runs.map((_, index) => (f) => f.runs[index].vectors[key]?.[place]);
    return { chart: new Chart(alone ? key : `${key} ${place}`, series), lines: [truth, ...models], value: truth };
  });
  find("vectors").hidden = !vectorCharts.length;
  find("vector-charts").replaceChildren(...vectorCharts.map(({ chart }) => chart.element));
  const names = ["truth", ...facts.runs.map((run) => run.name)];
  find("legend").replaceChildren(...names.flatMap((name, index) => {
    const mark = document.createElement("i");
    mark.style.background = `var(${index ? `--run-${index - 1}` : "--text"})`;
    return [mark, name];
  }));
  const more = places.length - vectorCharts.length;
  if (more > 0) find("legend").append(` · ${more} more numbers are not drawn`);
}

function rate() {
  return times.length < 2 ? 0 : (1000 * (times.length - 1)) / Math.max(1, times.at(-1) - times[0]);
}

function draw() {
  requestAnimationFrame(draw);
  if (hand && settings.who === "human") hand.poll();
  if (!dirty || !facts || !last) return;
  dirty = false;
  find("fact-step").textContent = last.step;
  find("fact-episode").textContent = last.episode;
  find("fact-return").textContent = format(last.return);
  find("fact-rate").textContent = settings.paused ? "paused" : rate().toFixed(1);
  if (!vectorCharts.length && Object.keys(last.vectors).length) makeVectorCharts(last);
  cards.forEach((card, place) => card.draw(last, place));
  for (const { chart, lines, value } of vectorCharts) {
    chart.value.textContent = format(value(last));
    chart.draw(lines.map((get) => frames.map(get)), frames);
  }
  if (settings.who !== "human" && last.action) hand.show(last.action);
}

// What the user does

function showSettings(now) {
  if (!now.paused && settings?.paused) times = [];
  settings = now;
  for (const group of document.querySelectorAll("[data-setting]"))
    for (const button of group.children) button.setAttribute("aria-pressed", button.dataset.value === now[group.dataset.setting]);
  find("pause").setAttribute("aria-pressed", now.paused);
  find("pause-text").textContent = now.paused ? "Play" : "Pause";
  find("agent").value = now.agent;
  for (const name of Object.keys(STEPS)) if (document.activeElement !== find(name)) find(name).value = round(now[name]);
  const acts = now.who === "human";
  find("inputs").setAttribute("aria-disabled", !acts);
  find("hand-hint").textContent = acts ? hints() : "shown while another acts; press H to act yourself";
  dirty = true;
}

function hints() {
  if (facts.actions.kind === "continuous") return "sliders, arrow keys, the mouse on the environment's picture, or a gamepad";
  return facts.actions.kind === "multi" ? "sliders" : "keys, buttons or a gamepad; W A S D are also arrows";
}

const round = (value) => Math.round(100 * value) / 100;

function nudge(name, sign) {
  const value = round(settings[name] + sign * STEPS[name]);
  change(name, Math.max(Number(find(name).min), Math.min(facts.limits[name], value)));
}

function nextAgent() {
  if (!facts.runs.length) return change("who", "agent");
  if (settings.who === "agent") change("agent", (settings.agent + 1) % facts.runs.length);
  return change("who", "agent");
}

function press(key, shift) {
  if (key in PRESSES) find(PRESSES[key]).hidden || find(PRESSES[key]).click();
  else if (key in WHO) change("who", WHO[key]);
  else if (key === "g") nextAgent();
  else if (key in CYCLES && facts.runs.length) {
    const choices = facts.choices[CYCLES[key]];
    change(CYCLES[key], choices[(choices.indexOf(settings[CYCLES[key]]) + 1) % choices.length]);
  } else if (key in NUMBER_KEYS && (facts.runs.length || key === "f")) nudge(NUMBER_KEYS[key], shift ? -1 : 1);
  else if (key === "c") saveClip("gif");
  else return false;
  return true;
}

addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") && (event.key === "Enter" || event.key === "Escape")) event.target.blur();
  if (!facts || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const onButton = event.target.matches("button") && (event.code === "Space" || event.code === "Enter");
  if (onButton) return;
  const scrolls = settings.who === "human" && (event.code === "Space" || event.code.startsWith("Arrow"));
  if (scrolls || hand.uses(event.code) || event.code in { KeyW: 1, KeyA: 1, KeyS: 1, KeyD: 1 }) {
    if (settings.who === "human" && !event.repeat) hand.down(event.code);
    event.preventDefault();
  } else if (press(event.key.toLowerCase(), event.shiftKey)) event.preventDefault();
});
addEventListener("keyup", (event) => hand?.up(event.code));
addEventListener("blur", () => hand?.release());
addEventListener("resize", () => (dirty = true));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (dirty = true));
// A button that was clicked with the mouse gives the keyboard back to the game.
addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());

find("pause").addEventListener("click", () => change("paused", !settings.paused));
find("step").addEventListener("click", () => {
  if (!settings.paused) change("paused", true);
  send({ do: "step" });
});
for (const name of ["new_start", "restart_dreams", "full_reset"]) find(name).addEventListener("click", () => send({ do: name }));
for (const name of Object.keys(STEPS)) find(name).addEventListener("change", (event) => change(name, Number(event.target.value)));
find("agent").addEventListener("change", (event) => change("agent", Number(event.target.value)));
document.querySelector("#controls").addEventListener("click", (event) => {
  const button = event.target.closest("[data-value]");
  if (button) change(button.parentElement.dataset.setting, button.dataset.value);
});

let hiding = 0;
function notice(text, stays = false) {
  if (ended && !stays) return;
  find("notice").textContent = text;
  find("notice").hidden = false;
  clearTimeout(hiding);
  if (!stays) hiding = setTimeout(() => (find("notice").hidden = true), 6000);
}

requestAnimationFrame(draw);
