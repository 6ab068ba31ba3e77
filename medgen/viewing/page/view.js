// Scans side by side in one place: what medgen tells of them (scene.json), shown by niivue.

const { Niivue, DRAG_MODE, SHOW_RENDER, SLICE_TYPE } = niivue;

// Of niivue's planes, by the number that `plane` has in scene.json.
const PLANES = [SLICE_TYPE.AXIAL, SLICE_TYPE.CORONAL, SLICE_TYPE.SAGITTAL];
const MARK = { R: [255, 255], G: [154, 154], B: [31, 31], A: [0, 255], I: [0, 255] };
// Near black has no colour, so that where there is no uncertainty the scan shows.
const MAP = { R: [0, 90, 220, 255], G: [0, 20, 60, 240], B: [60, 110, 60, 160], A: [0, 110, 170, 210], I: [0, 60, 160, 255] };
const MARKS_OPACITY = 0.22, MAPS_OPACITY = 0.75, ZOOM = 1.2;

const $ = (selector, within = document) => within.querySelector(selector);
const say = (sentence) => { $("#status").textContent = sentence; };
const dot = (row, mm) => row[0] * mm[0] + row[1] * mm[1] + row[2] * mm[2] + row[3];

const response = await fetch("scene.json");
const scene = await response.json();
const panes = [];
let mm = scene.panes.at(-1).centre;
let windowed = scene.windows[0];
let planes = false, blinking = false, marksShown = true, mapShown = -1, smooth = false, linking = false;

class Pane {
  constructor(about) {
    this.about = about;
    this.marked = new Set(about.marked);
    this.overlays = new Map();  // file -> volume of niivue
    this.box = $("#pane").content.firstElementChild.cloneNode(true);
    $(".name", this.box).textContent = about.name;
    $(".name", this.box).title = about.summary;
    $(".scan", this.box).setAttribute("aria-label", `${about.name}, ${about.summary}`);
    this.ruler = $("input", this.box);
    this.ruler.max = about.slices - 1;
    this.ruler.style.background = striped(about.slices, this.marked);
    this.ruler.addEventListener("input", () => toSlice(this, Number(this.ruler.value)));
    $("#panes").append(this.box);
  }

  async load() {
    this.nv = await opened($(".scan", this.box), this.about.file);
    await this.lay();
  }

  // The canvas that is in front.
  get front() { return blinking && this.linear ? this.linear : this.nv; }
  get slice() { return dot(this.about.to_slice, mm); }
  get nearest() { return Math.max(0, Math.min(this.about.slices - 1, Math.round(this.slice))); }

  get all() { return this.linear ? [this.nv, this.linear] : [this.nv]; }

  async blink() {
    if (blinking && !this.linear && this.about.linear) {
      const canvas = $(".linear", this.box);
      say(`Interpolating ${scene.panes[0].name} linearly …`);
      canvas.hidden = false;
      this.linear = await opened(canvas, this.about.linear);
      show(this.linear);
      copyView(this.nv, this.linear);
      say("");
    }
    const away = this.front === this.linear ? this.nv : this.linear;
    this.front.canvas.classList.remove("away");
    if (away) away.canvas.classList.add("away");
    this.place();
  }

  // Lay marks and a map of the uncertainty over the scan, or take them away.
  async lay() {
    const map = this.about.maps[mapShown];
    const wanted = [];
    if (marksShown && planes && this.about.marks) {
      wanted.push({ url: `volumes/${this.about.marks}`, colormap: "marks", opacity: MARKS_OPACITY, cal_min: 0, cal_max: 1 });
    }
    if (map) {
      wanted.push({ url: `volumes/${map.file}`, colormap: "map", opacity: MAPS_OPACITY, cal_min: 0, cal_max: map.high });
    }
    for (const [url, volume] of this.overlays) {
      if (!wanted.some((each) => each.url === url)) {
        this.nv.removeVolume(volume);
        this.overlays.delete(url);
      }
    }
    for (const each of wanted) {
      if (!this.overlays.has(each.url)) {
        await this.nv.addVolumeFromUrl({ ...each, name: each.url });
        this.overlays.set(each.url, this.nv.volumes.at(-1));
      }
    }
    const legend = $(".legend", this.box);
    legend.hidden = !map;
    if (map) {
      $(".title", legend).textContent = map.title;
      $(".high", legend).textContent = `${Number(map.high.toPrecision(3))} ${map.unit}`;
      $("i", legend).style.background = gradient();
    }
  }

  // Go where the others are, and tell what is there.
  place() {
    const { about, nearest } = this;
    const by = nearest - this.slice;
    const centre = mm.map((x, n) => x + by * about.step[n]);
    for (const nv of this.all) nv.scene.crosshairPos = nv.mm2frac(centre, 0, true);
    this.front.drawScene();
    const synthetic = this.marked.has(nearest), linear = this.front === this.linear;
    this.ruler.value = nearest;
    this.ruler.setAttribute("aria-valuetext", `slice ${nearest + 1}, ${synthetic ? about.word : "acquired"}`);
    this.box.classList.toggle("marked", synthetic && !linear && marksShown);
    this.box.classList.toggle("blinked", linear);
    const what = synthetic ? about.word : "acquired";
    $(".badge", this.box).textContent = linear ? (synthetic ? "linear interpolation" : "linear: acquired") : what;
    const off = Math.abs(this.slice - nearest) * about.spacing_mm;
    const away = off > 0.01 * about.spacing_mm ? `, ${off.toFixed(2)} mm away` : "";
    $(".place", this.box).textContent = `slice ${nearest + 1} of ${about.slices}${away}${valueAt(this.front, centre)}`;
  }
}

function valueAt(nv, place) {
  const volume = nv.volumes[0];
  const value = volume.getValue(...volume.mm2vox(place));
  return Number.isFinite(value) ? ` · ${Number(value.toPrecision(5))} ${scene.unit}` : "";
}

// Grey and orange along the slices.
function striped(count, marked) {
  const stops = [];
  for (let k = 0; k < count; k++) {
    const colour = marked.has(k) ? "var(--synthetic)" : "var(--acquired)";
    stops.push(`${colour} ${(100 * k) / count}% ${(100 * (k + 1)) / count}%`);
  }
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

function gradient() {
  const stops = MAP.I.map((i, n) => `rgba(${MAP.R[n]}, ${MAP.G[n]}, ${MAP.B[n]}, ${MAP.A[n] / 255}) ${(100 * i) / 255}%`);
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

async function opened(canvas, file) {
  const nv = new Niivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [0.3, 0.8, 0.4, 0.6],
    crosshairGap: 12,
    crosshairWidth: 0.25,
    crosshairWidthUnit: "percent",
    dragAndDropEnabled: false,
    isNearestInterpolation: !smooth,
    isRadiologicalConvention: true,
    loadingText: "",
    logLevel: "error",
    mouseEventConfig: {
      leftButton: { primary: DRAG_MODE.crosshair, withShift: DRAG_MODE.pan },
      rightButton: DRAG_MODE.windowing,
      centerButton: DRAG_MODE.pan,
    },
    multiplanarShowRender: SHOW_RENDER.NEVER,
  });
  await nv.attachToCanvas(canvas);
  nv.addColormap("marks", MARK);
  nv.addColormap("map", MAP);
  const answer = await fetch(`volumes/${file}`);
  if (!answer.ok) throw new Error(await answer.text());
  const { low, high } = windowed;
  await nv.loadFromArrayBuffer(await answer.arrayBuffer(), file);
  Object.assign(nv.volumes[0], { cal_min: low, cal_max: high });
  nv.setColormap(nv.volumes[0].id, "gray");
  nv.onLocationChange = (location) => moved(location.mm);
  nv.onIntensityChange = (volume) => {
    if (volume === nv.volumes[0]) setWindow({ name: "window", low: volume.cal_min, high: volume.cal_max }, nv);
  };
  for (const type of ["pointerup", "pointermove"]) {
    canvas.addEventListener(type, (event) => { if (type === "pointerup" || event.buttons) shareView(nv); });
  }
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    zoom(event.deltaY < 0 ? ZOOM : 1 / ZOOM);
  }, { capture: true });
  return nv;
}

function moved(place) {
  if (linking) return;
  linking = true;
  mm = Array.from(place).slice(0, 3);
  for (const pane of panes) pane.place();
  linking = false;
}

function toSlice(pane, slice) {
  const by = slice - pane.slice;
  mm = mm.map((x, n) => x + by * pane.about.step[n]);
  for (const each of panes) each.place();
}

// The pane whose slices are nearest to each other.
function finest() {
  return panes.reduce((best, pane) => (pane.about.spacing_mm < best.about.spacing_mm ? pane : best));
}

function stepBy(by) {
  const pane = finest();
  toSlice(pane, Math.max(0, Math.min(pane.about.slices - 1, pane.nearest + by)));
}

function toNextMarked() {
  const pane = panes.find((each) => each.marked.size);
  if (!pane) return;
  const after = pane.about.marked.find((slice) => slice > pane.nearest);
  toSlice(pane, after ?? pane.about.marked[0]);
}

function copyView(from, to) {
  to.scene.pan2Dxyzmm = [...from.scene.pan2Dxyzmm];
}

function shareView(nv) {
  for (const pane of panes) {
    for (const other of pane.all) {
      if (other === nv || other.scene.pan2Dxyzmm.every((x, n) => x === nv.scene.pan2Dxyzmm[n])) continue;
      copyView(nv, other);
      if (other === pane.front) other.drawScene();
    }
  }
}

function zoom(by) {
  const { nv } = panes[0];
  const place = nv.frac2mm(nv.scene.crosshairPos);
  const before = nv.scene.pan2Dxyzmm;
  const scale = by ? Math.max(1, Math.min(20, before[3] * by)) : 1;
  // What the crosshair points at stays where it is.
  const pan = [0, 1, 2].map((n) => (scale === 1 ? 0 : before[n] + place[n] * (before[3] - scale)));
  nv.scene.pan2Dxyzmm = [...pan, scale];
  shareView(nv);
  nv.drawScene();
}

function setWindow(window, from) {
  windowed = window;
  $("#window").textContent = window.name;
  for (const pane of panes) {
    for (const nv of pane.all) {
      const volume = nv.volumes[0];
      if (nv === from || (volume.cal_min === window.low && volume.cal_max === window.high)) continue;
      Object.assign(volume, { cal_min: window.low, cal_max: window.high });
      nv.updateGLVolume();
    }
  }
}

// The slices themselves, or with both other planes below them.
function show(nv) {
  const own = PLANES[scene.panes.at(-1).plane];
  if (!planes) {
    nv.clearCustomLayout();
    nv.setSliceType(own);
    return;
  }
  const [left, right] = PLANES.filter((plane) => plane !== own);
  nv.setCustomLayout([
    { sliceType: own, position: [0, 0, 1, 0.66] },
    { sliceType: left, position: [0, 0.67, 0.5, 0.33] },
    { sliceType: right, position: [0.5, 0.67, 0.5, 0.33] },
  ]);
}

const pressed = (does, is) => $(`[data-does="${does}"]`).setAttribute("aria-pressed", is);
const everywhere = (does) => Promise.all(panes.map((pane) => does(pane)));

const DOES = {
  async blink() {
    blinking = !blinking;
    pressed("blink", blinking);
    await everywhere((pane) => pane.blink());
  },
  previous: () => stepBy(-1),
  next: () => stepBy(1),
  marked: toNextMarked,
  async marks() {
    marksShown = !marksShown;
    pressed("marks", marksShown);
    await everywhere((pane) => pane.lay());
    for (const pane of panes) pane.place();
  },
  async maps() {
    const most = Math.max(...panes.map((pane) => pane.about.maps.length));
    mapShown = mapShown + 1 < most ? mapShown + 1 : -1;
    pressed("maps", mapShown >= 0);
    await everywhere((pane) => pane.lay());
  },
  async plane() {
    planes = !planes;
    pressed("plane", planes);
    await everywhere((pane) => pane.lay());
    for (const pane of panes) pane.all.forEach(show);
  },
  window() {
    const at = scene.windows.findIndex((each) => each.name === windowed.name);
    setWindow(scene.windows[(at + 1) % scene.windows.length]);
  },
  closer: () => zoom(ZOOM),
  farther: () => zoom(1 / ZOOM),
  reset: () => zoom(0),
  smooth() {
    smooth = !smooth;
    pressed("smooth", smooth);
    for (const pane of panes) for (const nv of pane.all) nv.setInterpolation(!smooth);
  },
};

// One thing after the other, whatever keys come meanwhile.
let queue = Promise.resolve();
function act(does) {
  queue = queue.then(DOES[does]).catch((error) => say(error.message));
}

const buttons = [...document.querySelectorAll("[data-does]")];
for (const button of buttons) button.addEventListener("click", () => act(button.dataset.does));
window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
  if (event.target.matches("input") && event.key.startsWith("Arrow")) return;
  if (event.target.matches("button") && (event.key === " " || event.key === "Enter")) return;
  event.stopPropagation();  // niivue has keys of its own
  const key = event.key === "=" ? "+" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const button = buttons.find((each) => each.dataset.key === key && !each.disabled);
  if (!button) return;
  event.preventDefault();
  act(button.dataset.does);
}, { capture: true });

async function start() {
  for (const about of scene.panes) {
    const pane = new Pane(about);
    await pane.load();
    panes.push(pane);
  }
  const lacking = {
    blink: !scene.panes.some((about) => about.linear),
    marks: !scene.panes.some((about) => about.marks),
    marked: !scene.panes.some((about) => about.marks),
    maps: !scene.panes.some((about) => about.maps.length),
  };
  for (const button of buttons) button.disabled = lacking[button.dataset.does] ?? false;
  for (const pane of panes) show(pane.nv);
  setWindow(windowed);
  toSlice(finest(), finest().nearest);
  say(scene.notes.join(" "));
  document.body.dataset.ready = "true";
}

start().catch((error) => say(`It cannot be shown: ${error.message}`));
