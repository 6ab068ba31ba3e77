// One reader's way through a study: code, consent, practice, questions.

import { Panes } from "/panes.js";

const RETRY_MS = 1500;
// A second press of a key must not answer the next question unseen.
const SETTLE_MS = 200;
const LONGEST_S = 86_400;
const WINDOW_KEYS = { lung: "L", "soft tissue": "S", bone: "B", brain: "H", all: "A" };
const FIRST_WINDOW = "soft tissue";
const QUESTIONS = {
  closer: "Which slice is closer to the true one?",
  real: "Which slice is real?",
};
const ABOUT = {
  closer:
    "You will see a true slice of a scan between two that were made by a computer, and choose the one that is closer to it.",
  real: "You will see two slices of the same place: one came from the scanner, the other was made by a computer. Choose the real one.",
};

const $ = (id) => document.getElementById(id);
const SCREENS = ["enter", "begin", "ask", "done"];

let state = null;
let busy = true;
let clock = null; // {seconds, since}; since is null while it stands still
let chosenWindow = null; // {unit, level, width} that the reader set
const panes = new Panes($("panes"), tell);

// === The server ===

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Ask until there is an answer: what is sent twice is stored once.
async function ask(path, body) {
  for (;;) {
    let response = null;
    try {
      response = await fetch(path, {
        method: body ? "POST" : "GET",
        headers: body ? { "Content-Type": "application/json" } : {},
        body: body ? JSON.stringify(body) : undefined,
      });
    } catch {
      // No answer; asked again below.
    }
    if (response && response.status < 500) {
      if (response.ok) {
        const content = path.startsWith("/api/pictures/")
          ? new Uint16Array(await response.arrayBuffer())
          : await response.json();
        if (notice.kind === "lost") notice("");
        return content;
      }
      const { error } = await response.json().catch(() => ({ error: response.statusText }));
      throw new Refused(response.status, error);
    }
    notice("The server does not answer. What you chose is kept here and sent again.", "lost");
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function notice(text, kind = "") {
  notice.kind = text ? kind : "";
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function screenNow() {
  const pane = panes.panes[0];
  return {
    width: screen.width,
    height: screen.height,
    ratio: devicePixelRatio,
    pane: pane ? pane.canvas.clientWidth : 0,
  };
}

// === Which screen ===

function only(name) {
  for (const each of SCREENS) $(each).hidden = each !== name;
  if (name !== "ask" && notice.kind === "small") notice("");
}

async function refresh() {
  busy = true;
  try {
    await take(await ask("/api/state"));
  } catch (error) {
    fail(error);
  }
}

async function fail(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) {
    only("enter");
    $("code").focus();
  } else if (error.status === 409 || error.status === 404) {
    notice("This study has gone on in another window; here is where it stands.", "elsewhere");
    await refresh();
  } else {
    notice(error.message, "refused");
    $("panes").classList.remove("waiting");
    busy = false;
    startClock();
  }
}

async function take(told) {
  state = told;
  document.title = "Reader study";
  for (const button of document.querySelectorAll(".undo")) button.disabled = !state.undoable;
  if (!state.begun) return begin();
  if (!state.question) return done();
  await showQuestion(state.question);
}

function begin() {
  const practice = state.practice ? `${state.practice} to practise first, then ` : "";
  $("begin-about").textContent =
    `${ABOUT[state.design]} There are ${practice}${state.total} questions. ` +
    "Each answer is stored at once; you can pause at any time and go on later.";
  $("consent-part").hidden = !state.consent;
  $("agree").required = Boolean(state.consent);
  $("consent").textContent = state.consent;
  if ($("role").options.length === 1) {
    for (const role of state.roles) $("role").add(new Option(role, role));
  }
  only("begin");
}

function done() {
  $("done-text").textContent =
    `All ${state.total} of your answers are stored. You can close this window.`;
  busy = false;
  only("done");
}

// === A question ===

async function showQuestion(question) {
  $("panes").classList.add("waiting");
  delete $("ask").dataset.ready;
  $("asked").textContent = QUESTIONS[state.design];
  const number = question.practice ? question.number + 1 : state.done + 1;
  const total = question.practice ? state.practice : state.total;
  $("count").textContent = `${question.practice ? "Practice" : "Question"} ${number} of ${total}`;
  $("progress").value = question.practice ? 0 : state.done / state.total;
  document.title = `${$("count").textContent} · Reader study`;
  only("ask");
  let figures;
  try {
    figures = await figuresOf(question);
  } catch (error) {
    return fail(error);
  }
  const focused = [...$("panes").querySelectorAll("button")].indexOf(document.activeElement);
  $("panes").replaceChildren(...figures.map((figure) => figure.element));
  $("panes").querySelectorAll("button")[focused]?.focus(); // who goes by Tab stays where they were
  panes.show(question, figures);
  listWindows(question);
  const start = question.windows.find(({ name }) => name === FIRST_WINDOW) ?? question.windows.at(-1);
  const kept = chosenWindow?.unit && chosenWindow.unit === question.unit ? chosenWindow : start;
  panes.window(kept.level, kept.width);
  $("panes").classList.remove("waiting");
  const before = Number(sessionStorage.getItem(timeKey()) ?? 0);
  clock = { seconds: before, since: performance.now() };
  if (document.hidden || document.querySelector("dialog[open]")) stopClock();
  setTimeout(() => {
    busy = false;
    $("ask").dataset.ready = question.number;
  }, SETTLE_MS);
}

async function figuresOf(question) {
  const names = state.design === "closer" ? ["1", "target", "2"] : ["1", "2"];
  const around = [];
  for (let n = 1; n <= question.before; n++) around.push(-n);
  for (let n = 1; n <= question.behind; n++) around.push(n);
  const get = (what) => ask(`/api/pictures/${question.number}/${what}`);
  const layers = around.map((n) => get(n < 0 ? `${n}` : `+${n}`));
  const own = await Promise.all(names.map(get));
  const context = (await Promise.all(layers)).map((levels, i) => [around[i], levels]);
  return names.map((name, i) => figureOf(name, new Map([...context, [0, own[i]]])));
}

function figureOf(name, layers) {
  const element = document.createElement("figure");
  const frame = document.createElement("div");
  const canvas = document.createElement("canvas");
  const label = name === "target" ? "True slice" : `Slice ${name}`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const tag = document.createElement("span");
  frame.append(canvas, tag);
  element.append(frame);
  if (name === "target") {
    element.className = "target";
    const caption = document.createElement("figcaption");
    caption.textContent = label;
    element.append(caption);
  } else {
    const button = document.createElement("button");
    button.type = "button";
    const keys = name === "1" ? ["1", "←"] : ["2", "→"];
    button.append(`Choose slice ${name} `, ...keys.flatMap((key) => [keyed(key), " "]));
    button.addEventListener("click", () => choose(Number(name) - 1));
    element.append(button);
  }
  return { element, canvas, tag, label, layers };
}

function keyed(key) {
  const element = document.createElement("kbd");
  element.textContent = key;
  return element;
}

function listWindows(question) {
  $("windows").replaceChildren(
    ...question.windows.map(({ name, level, width }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.level = level;
      button.dataset.width = width;
      button.append(`${name[0].toUpperCase()}${name.slice(1)} `);
      if (WINDOW_KEYS[name]) {
        button.append(keyed(WINDOW_KEYS[name]));
        button.dataset.key = WINDOW_KEYS[name];
      }
      button.addEventListener("click", () => panes.window(level, width));
      return button;
    }),
  );
}

// What the panes show now, in words.
function tell() {
  const { question, layer, level, width, zoom, alone } = panes;
  if (!question || level === undefined) return;
  chosenWindow = { unit: question.unit, level, width };
  for (const button of $("windows").children) {
    const same = Number(button.dataset.level) === level && Number(button.dataset.width) === width;
    button.setAttribute("aria-pressed", String(same));
  }
  const digits = width < 20 ? 2 : 0;
  $("values").textContent =
    `Level ${level.toFixed(digits)} · width ${width.toFixed(digits)} ${question.unit} · ` +
    `zoom ${Math.round(100 * zoom)} %`;
  const acquired = `acquired slice, ${Math.abs(layer)} ${layer < 0 ? "above" : "below"}`;
  $("layer").textContent = layer ? acquired : "slice in question";
  for (const { tag, label } of panes.panes) tag.textContent = layer ? acquired : label;
  $("up").disabled = layer === -question.before;
  $("down").disabled = layer === question.behind;
  $("blink").setAttribute("aria-pressed", String(alone !== null));
  const sharp = panes.sharpness;
  if (sharp < 0.99 && !notice.kind) {
    notice(
      `This window shows slices at ${Math.round(100 * sharp)} % of their size; fine detail is ` +
        "lost. Enlarge it, take a larger screen, or zoom in.",
      "small",
    );
  } else if (sharp >= 0.99 && notice.kind === "small") notice("");
}

async function choose(choice) {
  if (busy) return;
  busy = true;
  stopClock();
  const seconds = Math.min(clock.seconds, LONGEST_S);
  if (notice.kind === "elsewhere" || notice.kind === "refused") notice("");
  try {
    const body = {
      turn: state.turn,
      question: state.question.number,
      choice,
      seconds,
      screen: screenNow(),
    };
    $("panes").classList.add("waiting");
    const key = timeKey();
    const told = await ask("/api/answer", body);
    sessionStorage.removeItem(key);
    if (told.feedback) await feedback(told.feedback, told);
    await take(told);
  } catch (error) {
    await fail(error);
  }
}

function feedback({ right, truth }, told) {
  $("feedback-title").textContent = right ? "Right" : "Not this time";
  const which = state.design === "closer" ? "the true slice itself" : "the real slice";
  const first = told.question?.practice === false || !told.question;
  $("feedback-text").textContent =
    `Slice ${truth + 1} is ${which}; the other was smoothed.` +
    (first ? ` That was the practice: ${told.total} questions follow, without an answer shown.` : "");
  $("panes").classList.remove("waiting");
  $("feedback-dialog").showModal();
  return new Promise((resolve) => {
    $("feedback-dialog").addEventListener("close", resolve, { once: true });
  });
}

async function undo() {
  if (busy && state?.question) return;
  if (!state?.undoable) return;
  busy = true;
  try {
    await take(await ask("/api/undo", { turn: state.turn }));
  } catch (error) {
    await fail(error);
  }
}

async function leave() {
  await ask("/api/leave", {});
  location.reload();
}

// === Time ===

function timeKey() {
  return `seconds of turn ${state.turn}`;
}

function stopClock() {
  if (clock?.since == null) return;
  clock.seconds += (performance.now() - clock.since) / 1000;
  clock.since = null;
}

function startClock() {
  if (clock && clock.since === null && !busy) clock.since = performance.now();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) stopClock();
  else if (!document.querySelector("dialog[open]")) startClock();
});
addEventListener("pagehide", () => {
  if (!clock || !state?.question) return;
  stopClock();
  sessionStorage.setItem(timeKey(), String(clock.seconds));
});

function open(dialog) {
  stopClock();
  dialog.showModal();
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("close", startClock);
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
}

// === Keys and buttons ===

const KEYS = [
  [["1", "←"], "choose slice 1"],
  [["2", "→"], "choose slice 2"],
  [["Space"], "one slice alone, the next at the same place each time"],
  [["↑", "↓"], "scroll through the acquired slices around; so does the wheel"],
  [["L", "S", "B", "H", "A"], "window: lung, soft tissue, bone, brain (head), all"],
  [["drag"], "window: across for the width, up and down for the level"],
  [["+", "−"], "zoom; so does the wheel with Ctrl, or two fingers"],
  [["Shift", "drag"], "move the slices"],
  [["0", "Esc"], "the whole slice, side by side"],
  [["Ctrl", "Z"], "take back the last answer"],
  [["P"], "pause"],
];
for (const [keys, text] of KEYS) {
  const [term, description] = [document.createElement("dt"), document.createElement("dd")];
  term.append(...keys.flatMap((key) => [keyed(key), " "]));
  description.textContent = text;
  $("keys").append(term, description);
}

function whole() {
  panes.whole();
  panes.sideBySide();
}

const ACTIONS = {
  1: () => choose(0),
  2: () => choose(1),
  ArrowLeft: () => choose(0),
  ArrowRight: () => choose(1),
  ArrowUp: () => panes.scroll(-1),
  ArrowDown: () => panes.scroll(1),
  " ": () => panes.blink(),
  "+": () => panes.zoomBy(1.25),
  "=": () => panes.zoomBy(1.25),
  "-": () => panes.zoomBy(0.8),
  0: whole,
  Escape: whole,
  P: () => open($("pause-dialog")),
  "?": () => open($("help-dialog")),
};

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "Z" && !event.repeat) {
      event.preventDefault();
      undo();
    }
    return;
  }
  if ($("ask").hidden || !panes.question) return;
  if (event.target.closest("button") && (key === " " || key === "Enter")) return;
  const action = ACTIONS[key] ?? windowAction(key);
  const repeatable = ["ArrowUp", "ArrowDown", "+", "=", "-"].includes(key);
  if (!action || (event.repeat && !repeatable)) return;
  event.preventDefault();
  action();
});

function windowAction(key) {
  const button = [...$("windows").children].find((each) => each.dataset.key === key);
  return button && (() => button.click());
}

// A button that was pressed by the mouse must not take the next press of Space.
document.addEventListener("click", (event) => {
  const button = event.target.closest("#ask button");
  if (button && event.detail) button.blur();
});

$("up").addEventListener("click", () => panes.scroll(-1));
$("down").addEventListener("click", () => panes.scroll(1));
$("blink").addEventListener("click", () => panes.blink());
$("reset").addEventListener("click", whole);
$("pause").addEventListener("click", () => open($("pause-dialog")));
$("help").addEventListener("click", () => open($("help-dialog")));
for (const button of document.querySelectorAll(".undo")) button.addEventListener("click", undo);
for (const button of document.querySelectorAll(".leave")) button.addEventListener("click", leave);

$("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("/api/enter", { code: $("code").value });
    $("enter-error").textContent = "";
    $("code").value = "";
    await refresh();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    $("enter-error").textContent = error.message;
  }
});

$("begin-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const told = await ask("/api/begin", {
      turn: state.turn,
      role: $("role").value,
      years: Number($("years").value),
      consent: $("agree").checked,
      screen: screenNow(),
    });
    document.activeElement.blur();
    await take(told);
  } catch (error) {
    if (error.status === 400) $("begin-error").textContent = error.message;
    else await fail(error);
  }
});

refresh();
