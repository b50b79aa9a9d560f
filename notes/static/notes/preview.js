// A look at what a link leads to: for a pointer that rests on it, for a link that has
// the focus, and for a finger that stays on it.

const REST = 350; // milliseconds on a link, of a pointer
const FOCUS = 700; // of the focus
const PRESS = 450; // of a finger
const LEAVE = 250; // after which the look goes
const MAX_ELEMENTS = 60;
// A note may be called "v1.25" or "node.js": only what no note is likely to be called.
const FILE = new RegExp(
  "\\.(avif|bmp|csv|docx?|epub|flac|gif|gz|ics|jpe?g|json|m4a|md|mkv|mov|mp[34]|odt|og[gv]" +
    "|pdf|png|pptx?|svg|txt|wav|web[mp]|xlsx?|xml|zip)$",
  "i",
);

const pages = new Map();
const box = document.createElement("div");
box.className = "preview";
box.popover = "manual";
document.body.append(box);

let timer = 0;
let shown = null;
let pressed = null;

const eligible = (target) => {
  const link = target.closest?.("main a[href]");
  if (!link || link.origin !== location.origin) return null;
  if (link.closest(".contents, .near, .around, .preview") || link.matches(".anchor, .tag"))
    return null;
  if (FILE.test(link.pathname)) return null;
  if (link.pathname === location.pathname && !link.hash) return null;
  return link;
};

const fetchPage = async (address) => {
  if (address === location.pathname) return document;
  const ending = new AbortController();
  const answer = await fetch(address, { signal: ending.signal });
  const type = answer.headers.get("Content-Type") ?? "";
  if (!answer.ok || !type.startsWith("text/html")) {
    // Another file, which may be large.
    ending.abort();
    throw new Error(type);
  }
  return new DOMParser().parseFromString(await answer.text(), "text/html");
};

const pageOf = (address) => {
  if (!pages.has(address)) {
    const page = fetchPage(address);
    page.catch(() => pages.delete(address));
    pages.set(address, page);
  }
  return pages.get(address);
};

/** Return the title of a page, and the elements that the link means. */
const partOf = (page, hash) => {
  const title = page.querySelector("main h1")?.textContent ?? page.title;
  const target = hash && page.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target || target.matches("h1")) {
    const text = page.querySelector("main .prose") ?? page.querySelector("main");
    return [title, [...text.children].filter((one) => !one.matches("h1, header"))];
  }
  if (!target.matches("h2, h3, h4, h5, h6")) return [title, [target]];
  const part = [target];
  for (let next = target.nextElementSibling; next; next = next.nextElementSibling) {
    if (/^H[1-6]$/.test(next.tagName) && next.tagName <= target.tagName) break;
    part.push(next);
  }
  return [title, part];
};

const copyOf = (elements) => {
  const text = document.createElement("div");
  text.className = "prose";
  text.dir = "auto";
  for (const one of elements.slice(0, MAX_ELEMENTS)) text.append(document.importNode(one, true));
  for (const one of text.querySelectorAll("[id]")) one.removeAttribute("id");
  for (const one of text.querySelectorAll(".copy, .anchor, .footnote-backref")) one.remove();
  for (const one of text.querySelectorAll("[tabindex]")) one.removeAttribute("tabindex");
  return text;
};

const place = (link) => {
  const rect = link.getClientRects()[0] ?? link.getBoundingClientRect();
  const size = box.getBoundingClientRect();
  const isBelow = rect.bottom + size.height + 8 < innerHeight || rect.top < innerHeight / 2;
  const left = Math.min(Math.max(rect.left, 12), innerWidth - size.width - 12);
  box.style.left = `${left}px`;
  box.style.top = isBelow
    ? `${Math.min(rect.bottom + 6, innerHeight - size.height - 8)}px`
    : `${Math.max(rect.top - size.height - 6, 8)}px`;
};

const show = async (link, isSheet) => {
  let title, elements;
  try {
    [title, elements] = partOf(await pageOf(link.pathname), link.hash);
  } catch {
    return; // the link itself still says what is wrong
  }
  if (shown === link || !link.isConnected || (!isSheet && !isWanted(link))) return;
  hide();
  const heading = document.createElement("p");
  heading.className = "preview-title";
  heading.textContent = title;
  box.replaceChildren(heading, copyOf(elements));
  if (isSheet) {
    const open = document.createElement("a");
    open.className = "open";
    open.href = link.href;
    open.textContent = "Open the note";
    box.append(open);
  }
  box.classList.toggle("sheet", isSheet);
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-label", `Preview: ${title}`);
  box.style.left = box.style.top = "";
  box.showPopover();
  box.scrollTop = 0;
  if (!isSheet) place(link);
  shown = link;
};

const isWanted = (link) => link.matches(":hover") || link === document.activeElement;

const hide = () => {
  if (box.matches(":popover-open")) box.hidePopover();
  shown = null;
};

const later = (delay, action) => {
  clearTimeout(timer);
  timer = setTimeout(action, delay);
};

const onOver = ({ target, pointerType }) => {
  if (pointerType === "touch") return;
  if (box.contains(target)) return clearTimeout(timer);
  const link = eligible(target);
  if (link && link !== shown) later(REST, () => show(link, false));
};

const onOut = ({ target, pointerType }) => {
  if (pointerType === "touch") return;
  if (box.contains(target) || eligible(target)) {
    later(LEAVE, () => {
      if (!box.matches(":hover") && !(shown && isWanted(shown))) hide();
    });
  }
};

const onFocus = ({ target }) => {
  const link = eligible(target);
  if (link?.matches(":focus-visible")) later(FOCUS, () => show(link, false));
  else if (!box.contains(target)) later(LEAVE, hide);
};

const onDown = (event) => {
  // The browser's own way would end it when the finger that brought it is lifted.
  if (box.matches(".sheet:popover-open") && !box.contains(event.target)) hide();
  const link = event.pointerType === "touch" ? eligible(event.target) : null;
  if (!link) return;
  pressed = { link, x: event.clientX, y: event.clientY, isShown: false };
  later(PRESS, () => {
    if (!pressed) return;
    pressed.isShown = true;
    show(link, true);
  });
};

const onMove = (event) => {
  if (!pressed || pressed.isShown) return;
  if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 10) onCancel();
};

const onCancel = () => {
  if (pressed && !pressed.isShown) clearTimeout(timer);
  pressed = null;
};

const onUp = () => {
  if (!pressed) return;
  if (!pressed.isShown) return onCancel();
  // The click that follows is the end of the press, and opens nothing.
  const stop = (event) => event.preventDefault();
  addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", stop, { capture: true }), 50);
  pressed = null;
};

export const start = () => {
  addEventListener("pointerover", onOver, { passive: true });
  addEventListener("pointerout", onOut, { passive: true });
  addEventListener("focusin", onFocus);
  addEventListener("pointerdown", onDown, { passive: true });
  addEventListener("pointermove", onMove, { passive: true });
  addEventListener("pointerup", onUp);
  addEventListener("pointercancel", onCancel);
  addEventListener("contextmenu", (event) => pressed && event.preventDefault());
  addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    clearTimeout(timer);
    hide();
  });
};
