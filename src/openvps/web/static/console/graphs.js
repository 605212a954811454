// The graphs of a server's page: values from the API by way of the console, drawn by uPlot.
const all = document.getElementById("graphs");
const charts = new Map();
let span = "1h";

const bytes = (value) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  for (; value >= 1000 && step < units.length - 1; step++) value /= 1000;
  return `${value >= 100 || step === 0 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
};
const kinds = {
  cpu: { metrics: ["cpu"], text: (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`, most: () => 100 },
  memory: { metrics: ["memory"], text: bytes, most: () => Number(all.dataset.memory) * 1048576 },
  disk: { metrics: ["disk"], text: bytes, most: () => Number(all.dataset.disk) * 1e9 },
  network: { metrics: ["received", "sent"], text: (value) => `${bytes(value)}/s`, most: null },
};

const language = document.documentElement.lang;
const clock = new Intl.DateTimeFormat(language, { timeZone: "UTC", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(language, { timeZone: "UTC", day: "numeric", month: "short" });
const moment = (at, step) => (step >= 86400 || at % 86400 === 0 ? day : clock).format(new Date(at * 1000));

async function values(metric) {
  const answer = await fetch(`/servers/${all.dataset.server}/metrics.json?metric=${metric}&span=${span}`);
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

// One row of times for all series; a step without a measurement is a gap, not a line across it.
function table(found, rate) {
  const step = found[0].step;
  const times = [];
  const first = Date.parse(found[0].start) / 1000;
  for (let at = first; at < Date.parse(found[0].end) / 1000; at += step) times.push(at);
  const rows = found.map((one) => {
    const known = new Map(one.values.map((each) => [Date.parse(each.at) / 1000, each.value]));
    return times.map((at) => (known.has(at) ? known.get(at) / (rate ? step : 1) : null));
  });
  return [times, ...rows];
}

async function draw(figure) {
  const name = figure.dataset.metric;
  const kind = kinds[name];
  const place = figure.querySelector(".plot");
  const latest = figure.querySelector(".latest");
  const asked = span;
  try {
    const found = await Promise.all(kind.metrics.map(values));
    if (asked !== span) return;
    const data = table(found, name === "network");
    const some = found.some((one) => one.values.length);
    charts.get(name)?.destroy();
    charts.delete(name);
    place.textContent = "";
    latest.textContent = found
      .filter((one) => one.values.length)
      .map((one) => {
        const value = kind.text(one.values.at(-1).value / (name === "network" ? one.step : 1));
        return kind.metrics.length > 1 ? `${figure.dataset[one.metric]} ${value}` : value;
      })
      .join(" · ");
    figure.dataset.points = data.slice(1).reduce((sum, row) => sum + row.filter((one) => one !== null).length, 0);
    if (!some) return tell(place, all.dataset.none);
    charts.set(name, new uPlot(options(figure, kind), data, place));
  } catch {
    tell(place, all.dataset.failed);
  }
}

function tell(place, text) {
  const said = document.createElement("p");
  said.textContent = text;
  place.replaceChildren(said);
}

function options(figure, kind) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  return {
    width: figure.querySelector(".plot").clientWidth,
    height: 180,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [0, kind.most ? kind.most() : Math.max(high * 1.1, 1000)] } },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
    axes: [{ ...axis, values: (_, splits, __, ___, step) => splits.map((at) => moment(at, step)) }, { ...axis, size: 72, values: (_, splits) => splits.map(kind.text) }],
    series: [
      {},
      ...kind.metrics.map((metric, index) => ({
        label: metric,
        stroke: colour(index ? "sent" : "received"),
        width: 2,
        fill: kind.metrics.length > 1 ? undefined : `${colour("received")}22`,
        points: { show: false },
        spanGaps: false,
        value: (_, value) => (value === null ? "" : kind.text(value)),
      })),
    ],
  };
}

function drawAll() {
  for (const figure of all.querySelectorAll("figure")) draw(figure);
}

for (const button of all.querySelectorAll(".span")) {
  button.addEventListener("click", () => {
    span = button.dataset.span;
    for (const one of all.querySelectorAll(".span")) one.setAttribute("aria-pressed", String(one === button));
    drawAll();
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new ResizeObserver(() => {
  for (const [name, chart] of charts) {
    const place = all.querySelector(`[data-metric="${name}"] .plot`);
    if (place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height: 180 });
  }
}).observe(all);
drawAll();
setInterval(() => { if (!document.hidden) drawAll(); }, 60000);
