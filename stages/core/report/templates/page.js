const charts = JSON.parse(document.getElementById("charts").textContent);
const look = JSON.parse(document.getElementById("look").textContent);
const buttons = [...document.querySelectorAll("nav button")];
const dark = matchMedia("(prefers-color-scheme: dark)");
let drawn = {};

const chosen = () => buttons.filter((button) => button.getAttribute("aria-pressed") === "true")
  .map((button) => button.dataset.model);

async function draw(id) {
  const theme = dark.matches ? "dark" : "light";
  // Level 1 tells errors only: a chart none of whose models are chosen is empty, which is no fault.
  const options = { config: look[theme], renderer: "svg", actions: false, logLevel: 1, tooltip: { theme } };
  drawn[id]?.finalize();
  drawn[id] = await vegaEmbed(document.getElementById(id), charts[id], options);
  choose(drawn[id].view);
}

function choose(view) {
  if ("chosen" in view.getState({ signals: (name) => name === "chosen" }).signals) {
    view.signal("chosen", chosen()).run();
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
