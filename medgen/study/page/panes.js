// Pictures side by side, under one window, one zoom and one place in the stack.

const MOST_ZOOM = 16;

export class Panes {
  constructor(root, onChange) {
    this.root = root;
    this.onChange = onChange;
    this.panes = [];
    this.levels = 4096;
    this.grey = new Uint8ClampedArray(this.levels);
    this.show(null, []);
    new ResizeObserver(() => {
      this.draw();
      this.onChange();
    }).observe(root);
  }

  // Take `figures` ([{element, canvas, tag, label, layers: Map(layer -> Uint16Array)}]) of a question.
  show(question, figures) {
    this.question = question;
    this.panes = figures;
    this.alone = null;
    this.layer = 0;
    this.whole();
    for (const pane of figures) {
      pane.source = document.createElement("canvas");
      pane.source.width = question.cols;
      pane.source.height = question.rows;
      this.listen(pane.canvas);
    }
  }

  // Middle and width, in physical units.
  window(level, width) {
    this.level = level;
    this.width = Math.max(width, this.question.step);
    const { low, step } = this.question;
    const dark = this.level - this.width / 2;
    for (let i = 0; i < this.levels; i++) {
      this.grey[i] = (255 * (low + step * i - dark)) / this.width;
    }
    this.fill();
  }

  scroll(by) {
    const { before, behind } = this.question;
    const layer = Math.min(Math.max(this.layer + by, -before), behind);
    if (layer !== this.layer) {
      this.layer = layer;
      this.fill();
    }
  }

  // One pane alone, the next one each time, at the same place on the screen.
  blink() {
    this.alone = this.alone === null ? 0 : (this.alone + 1) % this.panes.length;
    this.arrange();
  }

  sideBySide() {
    this.alone = null;
    this.arrange();
  }

  arrange() {
    this.panes.forEach((pane, i) => {
      pane.element.hidden = this.alone !== null && this.alone !== i;
    });
    this.draw();
    this.onChange();
  }

  whole() {
    this.zoom = 1;
    this.shift = [0, 0]; // of the picture's middle, in shares of the fitted picture
  }

  zoomBy(factor, at = [0, 0]) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    this.shift = this.shift.map((s, i) => at[i] - ((at[i] - s) * zoom) / this.zoom);
    this.zoom = zoom;
    this.keepInside();
    this.draw();
    this.onChange();
  }

  keepInside() {
    const most = (this.zoom - 1) / 2 + (this.zoom > 1 ? 0.25 : 0);
    this.shift = this.shift.map((s) => Math.min(Math.max(s, -most), most));
  }

  // Width and height of the whole picture in a pane, in CSS pixels.
  fitted(canvas) {
    const { rows, cols, spacing } = this.question;
    const [height, width] = [rows * spacing[0], cols * spacing[1]];
    const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
    return [width * scale, height * scale];
  }

  // Screen pixels for each pixel of the picture, at no zoom.
  get sharpness() {
    const pane = this.panes.find((each) => !each.element.hidden);
    if (!pane?.canvas.clientWidth) return 1;
    return (this.fitted(pane.canvas)[0] * devicePixelRatio) / this.question.cols;
  }

  fill() {
    for (const pane of this.panes) {
      const context = pane.source.getContext("2d");
      const image = context.createImageData(this.question.cols, this.question.rows);
      const levels = pane.layers.get(this.layer);
      for (let i = 0, j = 0; i < levels.length; i++, j += 4) {
        const grey = this.grey[levels[i]];
        image.data[j] = image.data[j + 1] = image.data[j + 2] = grey;
        image.data[j + 3] = 255;
      }
      context.putImageData(image, 0, 0);
    }
    this.draw();
    this.onChange();
  }

  draw() {
    for (const { canvas, source, element } of this.panes) {
      if (element.hidden || !canvas.clientWidth || !this.question) continue;
      const ratio = devicePixelRatio;
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
      const [width, height] = this.fitted(canvas).map((side) => side * ratio);
      const left = canvas.width / 2 + (this.shift[0] - this.zoom / 2) * width;
      const top = canvas.height / 2 + (this.shift[1] - this.zoom / 2) * height;
      const context = canvas.getContext("2d", { alpha: false });
      context.imageSmoothingQuality = "medium"; // "high" would smooth pixels where they are enlarged
      context.drawImage(source, left, top, width * this.zoom, height * this.zoom);
    }
  }

  // Dragging: window; with Shift or the middle button: pan. Wheel: scroll; with Ctrl: zoom.
  // Two fingers: pan and zoom.
  listen(canvas) {
    const fingers = new Map();
    let pinch = null;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
      pinch = null;
      event.preventDefault();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        fingers.delete(event.pointerId);
        pinch = null;
      });
    }
    canvas.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      fingers.set(event.pointerId, event);
      const [x, y] = [event.clientX - last.clientX, event.clientY - last.clientY];
      if (fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        const apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        this.pan(canvas, x / 2, y / 2);
        if (pinch) this.zoomBy(apart / pinch, this.at(canvas, event));
        pinch = apart;
      } else if (event.shiftKey || event.buttons & 4) {
        this.pan(canvas, x, y);
      } else {
        const speed = this.width / 400;
        this.window(this.level + y * speed, this.width + x * speed * 2);
      }
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        if (event.ctrlKey) this.zoomBy(Math.exp(-event.deltaY / 300), this.at(canvas, event));
        else if (event.deltaY) this.scroll(Math.sign(event.deltaY));
      },
      { passive: false },
    );
  }

  pan(canvas, x, y) {
    const [width, height] = this.fitted(canvas);
    this.shift = [this.shift[0] + x / width, this.shift[1] + y / height];
    this.keepInside();
    this.draw();
  }

  // Where a pointer is, from the middle of the pane, in shares of the fitted picture.
  at(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const [width, height] = this.fitted(canvas);
    return [
      (event.clientX - box.left - box.width / 2) / width,
      (event.clientY - box.top - box.height / 2) / height,
    ];
  }
}
