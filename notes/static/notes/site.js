// What every page can do with a script: it works without one too.
"use strict";

(() => {
  const assets = document.currentScript.dataset;
  const root = document.documentElement;
  const isWide = matchMedia("(min-width: 64rem)");

  /** Load a style sheet once; of what no page shows at first. */
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = assets.more;
  const styled = new Promise((resolve) => {
    sheet.onload = sheet.onerror = resolve;
  });
  document.head.append(sheet);

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // Looks: colours and width, kept in cookies that the server makes a style sheet of.

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const cookie = (name) =>
    document.cookie.match(new RegExp(`(?:^|; )${name}=([^;]*)`))?.[1] ?? "";
  const looks = {
    theme: {
      isOn: () => (cookie("theme") || (prefersDark.matches ? "dark" : "light")) === "dark",
      // Who wants what the system has goes on following the system.
      value: (on) => (on === prefersDark.matches ? "" : on ? "dark" : "light"),
      apply: (value) => (root.style.colorScheme = value || "light dark"),
    },
    width: {
      isOn: () => cookie("width") === "wide",
      value: (on) => (on ? "wide" : ""),
      apply: (value) =>
        root.style.setProperty("--measure", value ? "60rem" : "42rem"),
    },
  };

  const showLook = (button) =>
    button.setAttribute("aria-pressed", String(looks[button.dataset.look].isOn()));

  const changeLook = (button) => {
    const name = button.dataset.look;
    const look = looks[name];
    const value = look.value(!look.isOn());
    const age = value ? 365 * 24 * 60 * 60 : 0;
    document.cookie = `${name}=${value}; path=/; max-age=${age}; SameSite=Lax`;
    look.apply(value);
    showLook(button);
    // The sheet that the browser keeps is of the old choice; not all look at Vary.
    const sheet = document.querySelector('link[href^="/-/look.css"]');
    fetch(sheet.href, { cache: "reload", keepalive: true }).catch(() => {});
    document.dispatchEvent(new CustomEvent("looks"));
  };

  for (const button of document.querySelectorAll("button[data-look]")) {
    showLook(button);
    looks[button.dataset.look].apply(cookie(button.dataset.look));
    button.addEventListener("click", () => changeLook(button));
    prefersDark.addEventListener("change", () => {
      showLook(button);
      document.dispatchEvent(new CustomEvent("looks"));
    });
  }

  // The tree of folders: each is fetched when it is opened.

  const tree = document.querySelector(".tree");
  const menu = document.getElementById("site:nav");
  const remembered = (key) => {
    try {
      return JSON.parse(sessionStorage.getItem(key));
    } catch {
      return null;
    }
  };
  const remember = (key, value) => {
    try {
      sessionStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Without storage the tree is closed again on the next page.
    }
  };
  const opened = new Set(remembered("tree:opened") ?? []);

  const fillBranch = async (list, address) => {
    const answer = await fetch(`/-/tree${address}`);
    if (!answer.ok) return;
    list.innerHTML = await answer.text();
    await Promise.all(
      [...list.querySelectorAll(":scope > .folder")].map((folder) => {
        const inner = new URL(folder.querySelector("a").href).pathname;
        return opened.has(inner) ? openBranch(folder, inner) : null;
      }),
    );
  };

  const openBranch = async (folder, address) => {
    folder.querySelector("button").setAttribute("aria-expanded", "true");
    const list = element("ul");
    await fillBranch(list, address);
    folder.querySelector(":scope > ul")?.remove();
    folder.append(list);
  };

  const markPlace = () => {
    for (const link of tree.querySelectorAll("a")) {
      if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  };

  const fillTree = async () => {
    const kept = remembered("tree");
    if (kept) {
      tree.innerHTML = kept.html;
      markPlace();
      menu.scrollTop = kept.top;
    }
    for (const crumb of document.querySelectorAll(".crumbs a")) opened.add(crumb.pathname);
    if (location.pathname.endsWith("/")) opened.add(location.pathname);
    const list = element("ul");
    await fillBranch(list, "/");
    if (!list.childElementCount) return;
    tree.replaceChildren(...list.children);
    markPlace();
    const place = tree.querySelector("[aria-current]");
    if (!kept && place) {
      menu.scrollTop += place.getBoundingClientRect().top - menu.clientHeight / 2;
    }
  };

  const keepTree = () => {
    if (!tree.childElementCount || tree.querySelector(".plain")) return;
    remember("tree", { html: tree.innerHTML, top: menu.scrollTop });
    remember("tree:opened", [...opened]);
  };

  tree.addEventListener("click", async ({ target }) => {
    if (!target.matches("button")) return;
    const folder = target.parentElement;
    const address = folder.querySelector("a").pathname;
    if (opened.delete(address)) {
      target.setAttribute("aria-expanded", "false");
      folder.querySelector(":scope > ul")?.remove();
    } else {
      opened.add(address);
      await openBranch(folder, address);
      markPlace();
    }
  });
  let isTreeAsked = false;
  const askForTree = () => {
    if (isTreeAsked) return;
    isTreeAsked = true;
    fillTree().catch(() => (isTreeAsked = false));
  };
  if (isWide.matches) askForTree();
  isWide.addEventListener("change", () => isWide.matches && askForTree());
  menu.addEventListener("toggle", askForTree);
  addEventListener("pagehide", keepTree);

  // The contents say where in the text one is.

  const lines = new Map();
  for (const link of document.querySelectorAll(".contents a")) {
    const heading = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (heading) lines.set(heading, link);
  }
  const follow = () => {
    let current = null;
    let last = null;
    for (const [heading, link] of lines) {
      // What is folded away is nowhere.
      if (heading.closest("details:not([open])")) continue;
      if (heading.getBoundingClientRect().top <= innerHeight * 0.3) current = link;
      last = link;
    }
    if (scrollY + innerHeight >= root.scrollHeight - 2) current = last;
    for (const link of lines.values()) {
      if (link === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const box = current?.closest(".contents");
    if (box && box.scrollHeight > box.clientHeight) {
      box.scrollTop +=
        current.getBoundingClientRect().top -
        box.getBoundingClientRect().top -
        box.clientHeight / 2;
    }
  };
  if (lines.size) {
    let isAsked = false;
    const ask = () => {
      if (isAsked) return;
      isAsked = true;
      requestAnimationFrame(() => {
        isAsked = false;
        follow();
      });
    };
    addEventListener("scroll", ask, { passive: true });
    addEventListener("resize", ask, { passive: true });
    addEventListener("toggle", ask, { capture: true, passive: true });
    ask();
  }

  // Code is copied, headings are linked to, images are enlarged.

  for (const block of document.querySelectorAll(".prose pre:has(> code)")) {
    const button = element("button", { type: "button", class: "copy" }, "Copy");
    const wrapper = element("div", { class: "pre" });
    block.replaceWith(wrapper);
    wrapper.append(block, button);
    button.addEventListener("click", async () => {
      const text = block.querySelector("code").textContent.replace(/\n$/, "");
      await navigator.clipboard.writeText(text).then(
        () => (button.textContent = "Copied"),
        () => (button.textContent = "Not copied"),
      );
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }

  for (const heading of document.querySelectorAll(".prose :is(h2, h3, h4)[id]")) {
    const label = `Link to ${heading.textContent}`;
    const link = element("a", { class: "anchor", "aria-label": label }, "#");
    link.href = `#${encodeURIComponent(heading.id)}`;
    heading.append(link);
  }

  for (const part of document.querySelectorAll(".prose :is(pre, .table, .formula)")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }

  const enlarge = async (image) => {
    await styled;
    const copy = element("img", { src: image.currentSrc || image.src, alt: image.alt });
    const close = element("button", { type: "button" }, "Close");
    const dialog = element("dialog", { class: "zoom", "aria-label": "Image" }, copy, close);
    dialog.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      image.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
  };
  for (const image of document.querySelectorAll(".prose img")) {
    if (image.closest("a")) continue;
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.setAttribute("aria-label", `Enlarge: ${image.alt || "image"}`);
    image.addEventListener("click", () => enlarge(image));
    image.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      enlarge(image);
    });
  }

  // What takes more is loaded when it is wanted.

  // Keys that are typed before the palette is there are not lost.
  let typed = null;
  const openPalette = async () => {
    typed ??= "";
    try {
      const [{ open }] = await Promise.all([import(assets.search), styled]);
      open(typed);
    } catch {
      // The page of the search needs no script.
      const { href } = document.querySelector(".find");
      location.assign(typed ? `${href}?q=${encodeURIComponent(typed)}` : href);
    } finally {
      typed = null;
    }
  };
  document.querySelector(".find").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openPalette();
  });
  addEventListener("keydown", (event) => {
    if (typed !== null && event.key.length === 1) {
      event.preventDefault();
      typed += event.key;
      return;
    }
    const isShortcut =
      (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey) ||
      (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey));
    const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (!isShortcut || (event.key === "/" && isTyping)) return;
    event.preventDefault();
    openPalette();
  });

  let previews = null;
  const previewLater = (event) => {
    const link = event.target.closest?.("main a[href]");
    if (!link || previews) return;
    // A finger comes over a link before it is down, and it is the second that counts.
    if (event.type === "pointerover" && event.pointerType === "touch") return;
    previews = Promise.all([import(assets.preview), styled]).then(([module]) => {
      module.start();
      link.dispatchEvent(new event.constructor(event.type, event));
    });
  };
  for (const type of ["pointerover", "pointerdown", "focusin"]) {
    addEventListener(type, previewLater, { passive: true });
  }

  const drawGraphs = async () => {
    const boxes = [...document.querySelectorAll(".graph, .near")].filter(
      (box) => box.matches(".graph") || matchMedia("(min-width: 80rem)").matches,
    );
    if (!boxes.length) return;
    const [{ draw }] = await Promise.all([
      import(assets.graph),
      import(assets.forces),
      styled,
    ]);
    for (const box of boxes) draw(box);
  };
  // A page that draws nothing new may never be told that it is idle.
  if (globalThis.requestIdleCallback) requestIdleCallback(drawGraphs, { timeout: 1000 });
  else setTimeout(drawGraphs);
})();
