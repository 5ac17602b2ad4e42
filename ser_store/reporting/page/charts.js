// Charts as SVG, drawn as wide as there is room; what is pointed at, or reached by the arrow keys, is told below them.

const READ = JSON.parse(document.getElementById("read").textContent);
const SVG = "http://www.w3.org/2000/svg";

function draw(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}

// A mark that says something.
function drawMark(parent, name, attributes, say) {
  const mark = draw(parent, name, { ...attributes, class: `mark ${attributes.class}`, "data-say": say });
  draw(mark, "title", {}, say);
  return mark;
}

const scale = (from, to, low, high) => (x) => low + ((x - from) / (to - from || 1)) * (high - low);

function listTicks(from, to, most) {
  const rough = (to - from || 1) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) ticks.push(i * step || 0);
  return ticks;
}

function drawFrame(svg, frame, { ticksX, ticksY, formatX, formatY, x, y }) {
  for (const tick of ticksY) {
    draw(svg, "line", { class: "grid", x1: frame.left, x2: frame.right, y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: frame.left - 8, y: y(tick) + 4, "text-anchor": "end" }, formatY(tick));
  }
  draw(svg, "line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom });
  for (const tick of ticksX) draw(svg, "text", { x: x(tick), y: frame.bottom + 18, "text-anchor": "middle" }, formatX(tick));
}

const setFrame = (width, height) => ({ left: 52, right: width - 14, top: 12, bottom: height - 40 });
const nameAxis = (svg, frame, text) => draw(svg, "text", { x: frame.right, y: frame.bottom + 36, "text-anchor": "end" }, text);

function drawDistribution(svg, width, height) {
  const { choice } = READ, { correct, ensembles } = choice.distribution, frame = setFrame(width, height);
  const bounds = choice.corrected?.bounds ?? [1, 0];
  const shares = [correct[0] / choice.n, choice.apparent, choice.best_single.accuracy, ...(choice.corrected ? [choice.corrected.accuracy] : [])];
  const from = Math.max(0, Math.min(...shares, bounds[0]) - 0.01), to = Math.min(1, Math.max(...shares, bounds[1]) + 0.01);
  const x = scale(from, to, frame.left, frame.right);
  const perBin = Math.max(1, Math.ceil(4 / (x(1 / choice.n) - x(0)))), bins = new Map();
  correct.forEach((right, place) => {
    const bin = Math.floor(right / perBin);
    bins.set(bin, (bins.get(bin) ?? 0) + ensembles[place]);
  });
  const y = scale(0, Math.max(...bins.values()), frame.bottom, frame.top + 6);
  const ticksY = listTicks(0, Math.max(...bins.values()), 4).filter(Number.isInteger);
  drawFrame(svg, frame, { ticksX: listTicks(from, to, width / 90), ticksY, x, y, formatX: (tick) => percent(tick, to - from < 0.08 ? 1 : 0), formatY: (tick) => tick.toLocaleString("en") });
  nameAxis(svg, frame, "accuracy");
  if (choice.corrected?.bounds)
    draw(svg, "rect", { class: "band", x: x(bounds[0]), width: x(bounds[1]) - x(bounds[0]), y: frame.top, height: frame.bottom - frame.top });
  const noun = choice.k === 1 ? "members" : "ensembles";
  for (const [bin, n] of [...bins].sort(([one], [other]) => one - other)) {
    const first = bin * perBin, last = first + perBin - 1, left = x((first - 0.5) / choice.n), right = x((last + 0.5) / choice.n);
    const say = `${first === last ? first : `${first} to ${last}`} of ${choice.n} right (${percent(first / choice.n)}): ${n.toLocaleString("en")} ${noun}`;
    drawMark(svg, "rect", { class: "bar", x: left + 0.5, width: Math.max(1, right - left - 1), y: y(n), height: frame.bottom - y(n) }, say);
  }
  const line = (name, at, say) => drawMark(svg, "line", { class: name, x1: x(at), x2: x(at), y1: frame.top, y2: frame.bottom }, say);
  if (choice.k > 1) line("single", choice.best_single.accuracy, `best member alone, ${choice.best_single.member}: ${percent(choice.best_single.accuracy)}`);
  line("apparent", choice.apparent, `chosen, as it appears: ${percent(choice.apparent)}`);
  if (choice.corrected) line("corrected", choice.corrected.accuracy, `corrected for the choice: ${percent(choice.corrected.accuracy)}`);
}

const drawSteps = (key, format) => (svg, width, height) => {
  const frame = setFrame(width, height);
  const points = READ.curves.flatMap((run) => run.steps).filter((one) => one[key] !== null);
  const values = points.map((one) => one[key]), steps = points.map((one) => one.step);
  const x = scale(Math.min(...steps), Math.max(...steps), frame.left + 6, frame.right - 6);
  const low = Math.min(...values), high = Math.max(...values), pad = (high - low || 0.1) * 0.06;
  const y = scale(low - pad, high + pad, frame.bottom, frame.top);
  drawFrame(svg, frame, { ticksX: listTicks(Math.min(...steps), Math.max(...steps), width / 80), ticksY: listTicks(low, high, 5), x, y, formatX: String, formatY: format });
  nameAxis(svg, frame, "optimizer step");
  READ.curves.forEach((run, place) => {
    const known = run.steps.filter((one) => one[key] !== null);
    const group = draw(svg, "g", { "data-line": place % 7 });
    const dash = ["none", "7 3", "2 3"][Math.floor(place / 7) % 3];
    draw(group, "polyline", { class: "line", points: known.map((one) => `${x(one.step)},${y(one[key])}`).join(" "), "stroke-dasharray": dash });
    for (const one of known) {
      const loss = one.eval_loss === null ? "" : `, evaluation loss ${one.eval_loss.toFixed(3)}`;
      const noted = [one.step === run.selected ? "selected" : "", one.step === run.divergence ? "losses diverge here" : ""].filter(Boolean);
      const say = `${run.run}, step ${one.step}: accuracy ${percent(one.accuracy)}${loss}${noted.length ? ` (${noted.join(", ")})` : ""}`;
      if (one.step === run.selected) draw(group, "circle", { class: "ring", cx: x(one.step), cy: y(one[key]), r: 6 });
      if (one.step === run.divergence) draw(group, "line", { class: "ring", x1: x(one.step), x2: x(one.step), y1: y(one[key]) - 11, y2: y(one[key]) + 11 });
      drawMark(group, "circle", { class: "dot", cx: x(one.step), cy: y(one[key]), r: 3 }, say);
    }
  });
};

function shorten(name, room) {
  const letters = Math.max(4, Math.floor(room / 6.6));
  return name.length <= letters ? name : `${name.slice(0, letters - 1)}…`;
}

function drawDisagreement(svg, width) {
  const { members, shares } = READ.disagreement, side = 26, names = Math.min(260, width * 0.42);
  const cell = Math.min(58, (width - names) / members.length), most = Math.max(...shares.flat()) || 1;
  members.forEach((name, row) => {
    const top = 26 + row * side;
    draw(draw(svg, "text", { x: names - 10, y: top + 17, "text-anchor": "end" }, shorten(`${row + 1} ${name}`, names - 10)), "title", {}, name);
    draw(svg, "text", { x: names + (row + 0.5) * cell, y: 16, "text-anchor": "middle" }, row + 1);
    members.forEach((other, column) => {
      if (row === column) return;
      const share = shares[row][column], left = names + column * cell;
      const style = `fill: color-mix(in srgb, var(--accent) ${((share / most) * 70).toFixed(1)}%, var(--raised))`;
      drawMark(svg, "rect", { class: "cell", x: left, y: top, width: cell, height: side, style }, `${name} and ${other}: on ${percent(share, 1)} of the utterances exactly one is right`);
      if (cell > 26) draw(svg, "text", { class: "on-cell", x: left + cell / 2, y: top + 17, "text-anchor": "middle" }, (share * 100).toFixed(0));
    });
  });
}

function drawDifficulty(svg, width, height) {
  const counts = READ.n_by_right ?? [], frame = setFrame(width, height), most = Math.max(...counts);
  const x = scale(-0.5, counts.length - 0.5, frame.left, frame.right), y = scale(0, most, frame.bottom, frame.top + 14);
  const every = Math.ceil(counts.length / (width / 40));
  drawFrame(svg, frame, { ticksX: counts.map((_, right) => right).filter((right) => right % every === 0), ticksY: listTicks(0, most, 4).filter(Number.isInteger), x, y, formatX: String, formatY: (tick) => tick.toLocaleString("en") });
  nameAxis(svg, frame, "members that are right");
  counts.forEach((n, right) => {
    const wide = x(1) - x(0), say = `right for ${right} of ${counts.length - 1} members: ${n} utterances`;
    if (wide > 34 && n) draw(svg, "text", { x: x(right), y: y(n) - 5, "text-anchor": "middle" }, n.toLocaleString("en"));
    drawMark(svg, "rect", { class: "bar", x: x(right) - wide * 0.42, width: wide * 0.84, y: y(n), height: frame.bottom - y(n) }, say);
  });
}

const CHARTS = {
  distribution: drawDistribution, accuracy: drawSteps("accuracy", (share) => percent(share, 0)),
  loss: drawSteps("eval_loss", (loss) => loss.toFixed(2)), disagreement: drawDisagreement, difficulty: drawDifficulty,
};

function listen(plot, svg) {
  const readout = plot.parentElement.querySelector(".readout"), marks = [...svg.querySelectorAll("[data-say]")];
  let at = -1;
  const tell = (place) => {
    marks[at]?.classList.remove("on");
    at = place;
    marks[at].classList.add("on");
    readout.textContent = marks[at].dataset.say;
  };
  svg.addEventListener("pointerover", (event) => {
    const place = marks.indexOf(event.target);
    if (place >= 0) tell(place);
  });
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (!(event.key in moves) || !marks.length) return;
    event.preventDefault();
    tell((at + moves[event.key] + marks.length) % marks.length);
  });
}

function drawChart(plot) {
  const { width, height } = plot.getBoundingClientRect();
  if (!width) return;
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": plot.dataset.label })) svg.setAttribute(key, value);
  CHARTS[plot.dataset.chart](svg, width, height);
  plot.replaceChildren(svg);
  listen(plot, svg);
}

const watcher = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const width = Math.round(contentRect.width);
    if (target.dataset.drawn === String(width)) continue;
    target.dataset.drawn = width;
    drawChart(target);
  }
});
for (const plot of document.querySelectorAll("[data-chart]")) watcher.observe(plot);
