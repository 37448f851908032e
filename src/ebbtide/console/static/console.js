// What a page does by itself: looks for something new, keys, theme, the drawer of a number.
// Every page works without it.

const root = document.documentElement;

// -- theme -------------------------------------------------------------------------------------
const toggle = document.querySelector("[data-theme-toggle]");
if (toggle) {
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
  toggle.hidden = false;
  name();
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    document.cookie = `ebbtide_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
    name();
  });
}

// On a phone the screens stand in a row that is wider than it.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// -- time --------------------------------------------------------------------------------------
const range = document.querySelector("[data-slider]");
if (range) {
  range.hidden = false;
  const field = range.form.elements.as_of;
  const now = new Date(range.dataset.now);
  const at = () => new Date(now.getTime() + Number(range.value) * 86400e3);
  range.addEventListener("input", () => { field.value = at().toISOString().slice(0, 16); });
  range.addEventListener("change", () => {
    if (Number(range.value) !== 0) return range.form.requestSubmit();
    const address = new URL(location.href);
    address.searchParams.delete("as_of");
    location.assign(address);
  });
}

// -- the drawer of a number --------------------------------------------------------------------
const drawer = document.getElementById("why-dialog");
const drawerBody = document.querySelector("[data-why-body]");
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-why]");
  if (!link || !drawer || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const answer = await fetch(link.href).catch(() => null);
  const found = answer && !answer.redirected ? read(await answer.text()).getElementById("why") : null;
  if (!found) return location.assign(link.href);
  drawerBody.replaceChildren(document.adoptNode(found));
  drawer.showModal();
});
drawer?.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });

// -- keys --------------------------------------------------------------------------------------
const help = document.getElementById("help");
const helpButton = document.querySelector("[data-help]");
if (helpButton) {
  helpButton.hidden = false;
  helpButton.addEventListener("click", () => help.showModal());
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) return;
  if (event.key === "?" && help) return help.showModal();
  if (event.key === "/") {
    const filter = document.querySelector("[data-filter]");
    if (filter) { event.preventDefault(); filter.focus(); }
    return;
  }
  document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
});

// -- what is wider than its place --------------------------------------------------------------
// Keys scroll only what has the focus; what fits needs no stop on the way through the page.
function reach() {
  document.querySelectorAll(".scroll, .raw").forEach((one) => {
    const isWide = one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight;
    if (isWide) one.tabIndex = 0; else one.removeAttribute("tabindex");
  });
}
reach();
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true);

// -- something new -----------------------------------------------------------------------------
const everyS = Number(document.body.dataset.everyS || 0);
const told = document.querySelector("[data-refreshed]");

function read(text) {
  return new DOMParser().parseFromString(text, "text/html"); // scripts in it never run
}

// Somebody is at work in it: has the focus there, opened something, or marks text.
function isInUse(element) {
  if (element.contains(document.activeElement) && document.activeElement !== document.body) return true;
  const chosen = getSelection();
  return Boolean(chosen && !chosen.isCollapsed && element.contains(chosen.anchorNode));
}

function replace(old, fresh) {
  if (isInUse(old)) return;
  const opened = [...old.querySelectorAll("details")].map((one) => one.open);
  const copy = document.adoptNode(fresh);
  copy.querySelectorAll("details").forEach((one, i) => { if (opened[i]) one.open = true; });
  const before = old.cloneNode(true);
  before.querySelectorAll("[tabindex]").forEach((one) => one.removeAttribute("tabindex"));
  before.querySelectorAll("details").forEach((one, i) => { one.open = copy.querySelectorAll("details")[i]?.open ?? false; });
  if (before.outerHTML !== copy.outerHTML) old.replaceWith(copy);
}

function ids(list) { return [...list.children].map((one) => one.id).join(); }

async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer) { told.textContent = "The server does not answer; this page is as it was."; return; }
  if (answer.redirected) return location.reload(); // the session is over
  if (!answer.ok) { told.textContent = "The last look failed; this page is as it was."; return; }
  const fresh = read(await answer.text());
  for (const list of document.querySelectorAll("[data-live-list]")) {
    const other = fresh.getElementById(list.id);
    if (other && ids(other) !== ids(list) && !isInUse(list)) list.replaceWith(document.adoptNode(other));
  }
  for (const old of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(old.id);
    if (other) replace(old, other);
  }
  reach();
  told.textContent = `Looked for something new at ${new Date().toISOString().slice(11, 16)}.`;
}

if (everyS) {
  let last = Date.now();
  const look = () => {
    if (document.hidden || document.querySelector("dialog[open]")) return;
    if (Date.now() - last < everyS * 1000) return;
    last = Date.now();
    refresh();
  };
  setInterval(look, 1000);
  document.addEventListener("visibilitychange", look);
}
