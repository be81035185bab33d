// Light and dark: the system's, until somebody presses the button.
function dark() {
  const wanted = document.documentElement.dataset.theme;
  return wanted ? wanted === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
function theme(switched) {
  if (switched) document.documentElement.dataset.theme = dark() ? "light" : "dark";
  byId("theme").textContent = dark() ? "Light" : "Dark";
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(false));
theme(false);

// The list of keys, shown and hidden.
function help() {
  byId("help").hidden = !byId("help").hidden;
  byId("keys").setAttribute("aria-expanded", !byId("help").hidden);
}
