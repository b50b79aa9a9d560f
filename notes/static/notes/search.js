// Search while one types: a combobox over what the server lists.

const DELAY = 120; // milliseconds after a key

const dialog = document.createElement("dialog");
dialog.className = "palette";
dialog.setAttribute("aria-label", "Search");
dialog.innerHTML = `
<form role="search" action="/search">
<input type="search" name="q" role="combobox" placeholder="Search" aria-label="Search"
  aria-autocomplete="list" aria-expanded="false" aria-controls="site:hits"
  autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="200">
<button type="button">Esc</button>
</form>
<div role="listbox" id="site:hits" aria-label="Notes"></div>
<p class="status" role="status"></p>`;
document.body.append(dialog);

const form = dialog.querySelector("form");
const input = dialog.querySelector("input");
const list = dialog.querySelector("[role=listbox]");
const status = dialog.querySelector(".status");
const hint = "Type to search. ↑ and ↓ choose, Enter opens.";

let timer = 0;
let asking = null;
let hasChosen = false;

/** Open the palette; `typed` is what was typed while it was on its way. */
export const open = (typed) => {
  if (!dialog.open) dialog.showModal();
  input.focus();
  input.select();
  if (!list.childElementCount) status.textContent = hint;
  if (!typed) return;
  input.value = typed;
  ask();
};

const options = () => [...list.children];
const chosen = () => list.querySelector("[aria-selected=true]");

const choose = (option) => {
  chosen()?.setAttribute("aria-selected", "false");
  if (!option) {
    input.removeAttribute("aria-activedescendant");
    return;
  }
  option.setAttribute("aria-selected", "true");
  input.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
};

const show = (html, text) => {
  // An answer may come after a reader has chosen from the one before.
  const href = hasChosen ? chosen()?.href : null;
  list.innerHTML = html;
  input.setAttribute("aria-expanded", String(list.childElementCount > 0));
  status.textContent = text;
  choose(options().find((option) => option.href === href) ?? list.firstElementChild);
};

const ask = async () => {
  asking?.abort();
  const query = input.value.trim();
  if (!query) return show("", hint);
  asking = new AbortController();
  const { signal } = asking;
  try {
    const answer = await fetch(`/-/search?q=${encodeURIComponent(query)}`, { signal });
    if (!answer.ok) throw new Error(answer.statusText);
    const html = await answer.text();
    if (signal.aborted) return;
    const count = html.split('role="option"').length - 1;
    show(html, count ? `${count} found. Enter opens, Ctrl+Enter shows all.` : "Nothing was found.");
  } catch (error) {
    if (error.name !== "AbortError") show("", "Search does not answer. Try again in a moment.");
  }
};

input.addEventListener("input", () => {
  hasChosen = false;
  clearTimeout(timer);
  timer = setTimeout(ask, DELAY);
});

input.addEventListener("keydown", (event) => {
  const all = options();
  const place = all.indexOf(chosen());
  const moves = {
    ArrowDown: place + 1,
    ArrowUp: place - 1,
    PageDown: Math.min(place + 5, all.length - 1),
    PageUp: Math.max(place - 5, 0),
  };
  if (event.key === "Escape") {
    // A search field would be emptied first.
    event.preventDefault();
    dialog.close();
  } else if (event.key in moves && all.length) {
    event.preventDefault();
    hasChosen = true;
    choose(all.at(moves[event.key] % all.length));
  } else if (event.key === "Enter" && event.ctrlKey) {
    event.preventDefault();
    form.submit();
  } else if (event.key === "Enter" && chosen() && !event.isComposing) {
    event.preventDefault();
    location.href = chosen().href;
  }
});

list.addEventListener("pointermove", ({ target }) => {
  const option = target.closest("[role=option]");
  if (option && option !== chosen()) choose(option);
});
list.addEventListener("click", () => dialog.close());
dialog.querySelector("button").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
