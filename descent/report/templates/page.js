const charts = JSON.parse(document.getElementById("charts").textContent);
const look = JSON.parse(document.getElementById("look").textContent);
const buttons = [...document.querySelectorAll(".models button")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = {};

// A phone shows the cells of a row with their headings.
for (const table of document.querySelectorAll("table")) {
  const headings = [...table.rows[0].cells].map((cell) => cell.textContent);
  for (const cell of table.querySelectorAll("td")) cell.dataset.heading = headings[cell.cellIndex];
}

const chosen = () => buttons.filter((button) => button.getAttribute("aria-pressed") === "true")
  .map((button) => button.dataset.model);

async function draw(id) {
  const theme = dark.matches ? "dark" : "light";
  // Level 1 logs errors only: a chart without any chosen model is empty, which is no fault.
  const options = { config: look[theme], renderer: "svg", actions: false, logLevel: 1, tooltip: { theme } };
  const spec = { ...charts[id], width: "container", autosize: { type: "fit-x", contains: "padding" } };
  drawn[id]?.finalize();
  drawn[id] = await vegaEmbed(document.getElementById(id), spec, options);
  const { view } = drawn[id];
  await choose(view);
  // What depends on the width is known after the first layout: the height where both directions have the
  // same unit, and which labels are upright.
  const fit = () => {
    const rule = spec.usermeta;
    if (rule) view.height(rule.aspect * view.width() + rule.extra);
    return view.resize().runAsync();
  };
  view.addSignalListener("width", () => view.runAfter(fit));
  await fit();
}

async function choose(view) {
  if ("chosen" in view.getState({ signals: (name) => name === "chosen" }).signals) {
    await view.signal("chosen", chosen()).runAsync();
  }
}

async function drawAll() {
  for (const id of Object.keys(charts)) await draw(id);
  document.body.dataset.drawn = dark.matches ? "dark" : "light";
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    for (const { view } of Object.values(drawn)) choose(view);
  });
}
dark.addEventListener("change", drawAll);
drawAll();

// Vega shows a tooltip when a pointer moves over a mark. A tap does not move, so it is told as a move.
let tapped;
const tell = (type, target, { clientX, clientY }) =>
  target.dispatchEvent(new PointerEvent(type, { bubbles: true, clientX, clientY, pointerType: "touch" }));
document.addEventListener("click", (event) => {
  if (event.pointerType === "mouse") return;
  if (tapped?.isConnected) tell("pointerout", tapped, event);
  tapped = event.target.closest?.(".chart svg") && event.target;
  if (tapped) for (const type of ["pointerover", "pointermove"]) tell(type, tapped, event);
});
