// Draws the diagrams of a page in the colours that it has; their text stays below them.
// Runs after mermaid.min.js, and only on pages that have a diagram.
(() => {
  "use strict";
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const diagrams = [...document.querySelectorAll("pre.mermaid")].map((source) => ({
    source,
    text: source.textContent,
    figure: null,
  }));
  let drawn = null;

  function isDark() {
    const scheme = getComputedStyle(root).colorScheme;
    // A reader's own choice is one of the two, the page's own is both.
    return /^(dark|light)$/.test(scheme) ? scheme === "dark" : prefersDark.matches;
  }

  function frame(diagram) {
    const figure = document.createElement("figure");
    figure.className = "diagram";
    const picture = document.createElement("div");
    picture.className = "diagram-picture";
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "Text of the diagram";
    diagram.source.replaceWith(figure);
    figure.id = diagram.source.id;
    diagram.source.removeAttribute("id");
    // A class of its own: it is text from now on.
    diagram.source.className = "diagram-text";
    diagram.source.tabIndex = 0;
    details.append(summary, diagram.source);
    figure.append(picture, details);
    diagram.figure = picture;
  }

  async function draw() {
    const theme = isDark() ? "dark" : "default";
    if (drawn === theme) return;
    drawn = theme;
    const body = getComputedStyle(document.body);
    mermaid.initialize({
      startOnLoad: false,
      securityLevel: "strict",
      theme,
      // Words on a line are read as those of the page are.
      themeVariables: { edgeLabelBackground: body.backgroundColor },
      fontFamily: body.fontFamily,
    });
    for (const [number, diagram] of diagrams.entries()) {
      try {
        const { svg } = await mermaid.render(`diagram-${number}`, diagram.text);
        if (!diagram.figure) frame(diagram);
        diagram.figure.innerHTML = svg;
      } catch {
        // What mermaid does not understand stays the text that it is.
        diagram.source.classList.add("diagram-failed");
        document.getElementById(`ddiagram-${number}`)?.remove();
      }
    }
    root.dataset.diagrams = "drawn";
  }

  mermaid.startOnLoad = false;
  draw();
  prefersDark.addEventListener("change", draw);
  document.addEventListener("looks", draw);
})();
