// The graph of notes: drawn on a canvas, laid out by d3-force.

const COLOURS = ["line", "muted", "accent", "text", "page"];
const MAX_NAMES = 60;
const reduced = matchMedia("(prefers-reduced-motion: reduce)");

/** Draw into `box` what its data-links, or that of a link in it, leads to. */
export const draw = async (box) => {
  const source = box.dataset.links ?? box.querySelector("[data-links]").dataset.links;
  const answer = await fetch(source);
  if (!answer.ok) return;
  const { notes, links } = await answer.json();
  if (notes.length < 2) return;
  new Graph(box, notes, links, source !== "/-/links");
};

class Graph {
  constructor(box, notes, links, isLocal) {
    this.box = box;
    this.isLocal = isLocal;
    this.nodes = notes.map(([title, address], id) => ({ id, title, address, degree: 0, near: new Set() }));
    this.links = links.map(([source, target]) => ({ source: this.nodes[source], target: this.nodes[target] }));
    for (const { source, target } of this.links) {
      source.degree += 1;
      target.degree += 1;
      source.near.add(target);
      target.near.add(source);
    }
    for (const node of this.nodes) node.radius = Math.min(2.5 + Math.sqrt(node.degree) * 0.9, 9);
    this.byDegree = [...this.nodes].sort((a, b) => b.degree - a.degree);
    // The note itself is never without its name.
    if (isLocal) this.byDegree = [this.nodes[0], ...this.byDegree.filter((node) => node.id)];
    this.font = getComputedStyle(box).fontFamily;
    this.view = { x: 0, y: 0, scale: 1 };
    this.hovered = null;
    this.makeCanvas();
    this.layOut();
    this.listen();
  }

  makeCanvas() {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    const what = this.isLocal ? `the notes around ${this.nodes[0].title}` : "all notes";
    const list = this.box.matches(".near") ? "" : " The list below names them.";
    this.canvas.setAttribute("aria-label", `Graph of ${what}: ${this.nodes.length} notes.${list}`);
    this.box.append(this.canvas);
    this.pen = this.canvas.getContext("2d");
    new ResizeObserver(() => this.resize()).observe(this.box);
    document.addEventListener("looks", () => this.paint());
    this.resize();
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    this.width = this.box.clientWidth;
    this.height = this.box.clientHeight;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    this.ratio = ratio;
    if (this.simulation) this.paint();
  }

  layOut() {
    const { forceSimulation, forceLink, forceManyBody, forceX, forceY, forceCollide } = d3;
    const count = this.nodes.length;
    const charge = this.isLocal ? (count < 12 ? -160 : -90) : count > 1500 ? -18 : -45;
    this.simulation = forceSimulation(this.nodes)
      .force("link", forceLink(this.links).distance(this.isLocal ? (count < 12 ? 64 : 42) : 30))
      .force("charge", forceManyBody().strength(charge).distanceMax(400))
      .force("x", forceX().strength(0.06))
      .force("y", forceY().strength(0.06))
      .force("collide", forceCollide((node) => node.radius + 2))
      .alphaDecay(count > 1500 ? 0.05 : 0.03)
      .stop();
    if (reduced.matches || count < 200) {
      // At once: nothing moves, and it takes a moment.
      this.simulation.tick(reduced.matches && count > 1500 ? 80 : 200);
      this.fit();
      this.paint();
      this.canvas.dataset.settled = "";
      return;
    }
    this.simulation.tick(20);
    this.simulation.on("tick", () => {
      if (!this.isMoved) this.fit();
      this.paint();
    });
    this.simulation.on("end", () => (this.canvas.dataset.settled = ""));
    this.simulation.restart();
  }

  /** Show all of it. */
  fit() {
    const xs = this.nodes.map((node) => node.x);
    const ys = this.nodes.map((node) => node.y);
    const bounds = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    const [left, right] = bounds(xs);
    const [top, bottom] = bounds(ys);
    const room = 36;
    const scale = Math.min(
      (this.width - 2 * room) / Math.max(right - left, 1),
      (this.height - 2 * room) / Math.max(bottom - top, 1),
      this.isLocal ? 1.4 : 2,
    );
    this.view = {
      scale: Math.max(scale, 0.05),
      x: this.width / 2 - ((left + right) / 2) * scale,
      y: this.height / 2 - ((top + bottom) / 2) * scale,
    };
  }

  paint() {
    const { pen, view, hovered } = this;
    // The custom properties hold light-dark(); what is computed of a colour is one.
    const colours = (this.colours ??= this.makeProbes());
    const colour = (name) => getComputedStyle(colours[name]).color;
    const [line, muted, accent, text, page] = COLOURS.map(colour);
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const at = (node) => [node.x * view.scale + view.x, node.y * view.scale + view.y];
    const isFaint = (node) => hovered && node !== hovered && !hovered.near.has(node);
    for (const { source, target } of this.links) {
      const isLit = hovered && (source === hovered || target === hovered);
      pen.strokeStyle = isLit ? accent : line;
      pen.globalAlpha = hovered && !isLit ? 0.4 : 1;
      pen.lineWidth = isLit ? 1.5 : 1;
      pen.beginPath();
      pen.moveTo(...at(source));
      pen.lineTo(...at(target));
      pen.stroke();
    }
    const zoom = Math.min(Math.max(Math.sqrt(view.scale), 0.5), 1.6);
    for (const node of this.nodes) {
      const [x, y] = at(node);
      const isCentre = this.isLocal && node.id === 0;
      pen.globalAlpha = isFaint(node) ? 0.3 : 1;
      pen.fillStyle = isCentre || node === hovered ? accent : muted;
      pen.beginPath();
      pen.arc(x, y, (isCentre ? Math.max(node.radius, 5) : node.radius) * zoom, 0, 7);
      pen.fill();
    }
    this.paintNames(at, isFaint, zoom, text, page);
  }

  /**
   * Write as many names as do not lie over one another, those with most links first:
   * below the note, or else above it or beside it.
   */
  paintNames(at, isFaint, zoom, text, page) {
    const { pen, hovered, view } = this;
    const taken = [];
    // A name is over no other note; of many notes, looking would take too long.
    const circles =
      this.nodes.length > 200
        ? []
        : this.nodes.map((node) => [...at(node), Math.max(node.radius * zoom, 3), node]);
    pen.font = `11px ${this.font}`;
    pen.textAlign = "center";
    pen.globalAlpha = 1;
    for (const node of hovered ? [hovered, ...hovered.near] : this.byDegree) {
      if (isFaint(node) || taken.length > MAX_NAMES) continue;
      const [x, y] = at(node);
      if (x < 0 || y < 0 || x > this.width || y > this.height) continue;
      if (node !== hovered && view.scale <= 0.4 && taken.length >= 12) break;
      const title = node.title.length > 26 ? `${node.title.slice(0, 25)}…` : node.title;
      const half = pen.measureText(title).width / 2 + 3;
      const inside = (middle) => Math.min(Math.max(middle, half), Math.max(this.width - half, half));
      const radius = node.radius * zoom;
      const places = [
        [inside(x), y + radius + 13],
        [inside(x), y - radius - 5],
        [inside(x + radius + half + 2), y + 4],
        [inside(x - radius - half - 2), y + 4],
      ];
      const isFree = ([middle, base]) =>
        base > 10 &&
        base < this.height - 3 &&
        !taken.some(
          ([left, right, line]) =>
            middle - half < right && middle + half > left && Math.abs(base - line) < 13,
        ) &&
        !circles.some(
          ([cx, cy, size, one]) =>
            (one !== node || middle !== inside(x)) &&
            cx + size > middle - half + 3 &&
            cx - size < middle + half - 3 &&
            cy + size > base - 8 &&
            cy - size < base + 2,
        );
      const isWanted = node === hovered || (this.isLocal && !hovered && node.id === 0);
      const place = places.find(isFree) ?? (isWanted ? places[0] : null);
      if (!place) continue;
      const [middle, base] = place;
      taken.push([middle - half, middle + half, base]);
      // A rim in the colour of the page keeps names apart from lines.
      pen.strokeStyle = page;
      pen.lineWidth = 3;
      pen.strokeText(title, middle, base);
      pen.fillStyle = text;
      pen.fillText(title, middle, base);
    }
    this.canvas.dataset.names = taken.length;
  }

  makeProbes() {
    const made = {};
    for (const name of COLOURS) {
      const span = document.createElement("span");
      span.hidden = true;
      span.style.color = `var(--${name})`;
      this.box.append(span);
      made[name] = span;
    }
    return made;
  }

  find(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const x = (event.clientX - left - this.view.x) / this.view.scale;
    const y = (event.clientY - top - this.view.y) / this.view.scale;
    return this.simulation.find(x, y, 16 / this.view.scale) ?? null;
  }

  listen() {
    const { canvas } = this;
    const fingers = new Map();
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      canvas.setPointerCapture(event.pointerId);
      moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) {
        this.hover(this.find(event));
        return;
      }
      const other = [...fingers.values()].find((one) => one.pointerId !== event.pointerId);
      const dx = event.clientX - before.clientX;
      const dy = event.clientY - before.clientY;
      moved += Math.hypot(dx, dy);
      if (other) {
        const gap = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        this.zoom(gap(event) / Math.max(gap(before), 1), event);
      } else {
        this.view.x += dx;
        this.view.y += dy;
      }
      this.isMoved = true;
      fingers.set(event.pointerId, event);
      this.paint();
    });
    const end = (event) => {
      const wasOne = fingers.size === 1;
      fingers.delete(event.pointerId);
      const node = event.type === "pointerup" && wasOne && moved < 5 ? this.find(event) : null;
      if (node) location.href = node.address;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY * 0.0015), event);
      },
      { passive: false },
    );
  }

  zoom(factor, event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const scale = Math.min(Math.max(this.view.scale * factor, 0.03), 8);
    const ratio = scale / this.view.scale;
    const x = event.clientX - left;
    const y = event.clientY - top;
    this.view = { scale, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.isMoved = true;
    this.paint();
  }

  hover(node) {
    if (node === this.hovered) return;
    this.hovered = node;
    this.canvas.style.cursor = node ? "pointer" : "grab";
    this.canvas.title = node?.title ?? "";
    this.paint();
  }
}
