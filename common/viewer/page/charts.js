// Line charts on canvases. A chart draws the last WINDOW numbers of its series; null leaves a gap.

export const WINDOW = 150;
const PAD = 3; // pixels above and below a line

// Colors of the page by the name of their CSS variable; read again when the color scheme changes.
const colors = new Map();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colors.clear());

export function color(name) {
  if (!colors.has(name)) colors.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return colors.get(name);
}

export function format(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return value.toFixed(0);
  return value.toFixed(size >= 100 ? 1 : 2);
}

export class Chart {
  // series: [{color: name of a CSS variable, dashed: bool}, ...]. range: fixed [low, high], or null.
  constructor(what, series, range = null) {
    this.series = series;
    this.range = range;
    this.element = document.createElement("div");
    this.element.className = "chart";
    this.what = Object.assign(document.createElement("span"), { className: "what", textContent: what });
    this.value = Object.assign(document.createElement("span"), { className: "value", textContent: "–" });
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${what} over time`);
    this.element.append(this.what, this.value, this.canvas);
  }

  // lines: one array of numbers for each series. frames: their frames, for shades and marks.
  draw(lines, frames) {
    const ratio = devicePixelRatio || 1;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!width) return;
    if (this.canvas.width !== Math.round(width * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const empty = WINDOW - frames.length; // the newest number is at the right
    const across = (place) => (width * (empty + place + 0.5)) / WINDOW;
    this.drawBackground(pen, frames, across, height, width / WINDOW);
    const [low, high] = this.limits(lines);
    const down = (value) => height - PAD - ((height - 2 * PAD) * (value - low)) / (high - low);
    if (low < 0 && high > 0) line(pen, [[0, down(0)], [width, down(0)]], color("--line"), 1);
    this.series.forEach((one, index) => {
      pen.setLineDash(one.dashed ? [3, 3] : []);
      for (const part of parts(lines[index], across, down)) line(pen, part, color(one.color), one.dashed ? 1.2 : 1.7);
      pen.setLineDash([]);
    });
  }

  // Imagined steps are shaded; a mark is drawn where an episode or a dream begins.
  drawBackground(pen, frames, across, height, step) {
    const left = (place) => across(place) - step / 2;
    let begin = null;
    pen.fillStyle = color("--shade");
    [...frames, {}].forEach((frame, place) => {
      if (frame.imagined) begin ??= place;
      else if (begin !== null) {
        pen.fillRect(left(begin), 0, left(place) - left(begin), height);
        begin = null;
      }
      if (frame.first || frame.imagined === 1) line(pen, [[left(place), 0], [left(place), height]], color("--mark"), 1);
    });
  }

  limits(lines) {
    if (this.range) return this.range;
    const values = lines.flat().filter((value) => value !== null && value !== undefined);
    if (!values.length) return [0, 1];
    const low = Math.min(...values), high = Math.max(...values);
    const least = Math.max(1e-3, 0.02 * Math.abs(high)); // noise in a constant is not stretched to the full height
    const middle = (low + high) / 2;
    return high - low < least ? [middle - least / 2, middle + least / 2] : [low, high];
  }
}

function line(pen, points, stroke, width) {
  pen.strokeStyle = stroke;
  pen.lineWidth = width;
  pen.beginPath();
  points.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  if (points.length === 1) pen.lineTo(points[0][0] + 1, points[0][1]);
  pen.stroke();
}

// The points of a series, split where a number is missing.
function parts(values, across, down) {
  const found = [[]];
  values.forEach((value, place) => {
    if (value === null || value === undefined) found.push([]);
    else found.at(-1).push([across(place), down(value)]);
  });
  return found.filter((points) => points.length);
}
