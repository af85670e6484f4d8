/* The command palette (Ctrl+K): pages and actions from the menu, cases and units from the services that know them. Each service answers
   for itself; one that is away is missed, not waited for. */
"use strict";

(() => {
  const { $, $$, make, entries } = fengping;
  const dialog = $("#palette");
  if (!dialog) return;
  const input = $("input", dialog),
    list = $("[role=listbox]", dialog),
    status = $("[role=status]", dialog);
  const GROUPS = ["工单", "单位", "页面", "操作"];
  const WAIT_MS = 150,
    PATIENCE_MS = 2000;
  let timer = 0,
    asked = 0;

  const plain = (text) => text.toLowerCase().replace(/['\s]/g, "");
  const pages = (typed) =>
    entries().filter(
      (entry) => !typed || entry.find.split(" ").some((part) => part.includes(typed)),
    );

  async function find() {
    const number = ++asked,
      typed = plain(input.value);
    show(pages(typed));
    if (!typed) return;
    const sources = dialog.dataset.sources.split(" ").filter(Boolean);
    await Promise.all(
      sources.map(async (source) => {
        const found = await ask(source, input.value.trim());
        if (number === asked && found.length) show([...shown, ...found]);
      }),
    );
    if (number === asked && !shown.length)
      status.textContent = `没有找到“${input.value}”。试试单位简称或首字母`;
  }

  async function ask(source, typed) {
    try {
      const answer = await fetch(`${source}?q=${encodeURIComponent(typed)}`, {
        signal: AbortSignal.timeout(PATIENCE_MS),
        headers: { Accept: "application/json" },
      });
      return answer.ok ? await answer.json() : [];
    } catch {
      return [];
    }
  }

  let shown = [];

  function show(found) {
    const chosen = list.children[at()]?.dataset.url;
    shown = GROUPS.flatMap((group) => found.filter((hit) => hit.group === group)).concat(
      found.filter((hit) => !GROUPS.includes(hit.group)),
    );
    list.replaceChildren(...shown.map(option));
    status.textContent = `${shown.length} 个结果`;
    const options = $$("[role=option]", list);
    if (options.length)
      select(
        Math.max(
          0,
          options.findIndex((each) => each.dataset.url === chosen && typedBefore),
        ),
      );
    else input.removeAttribute("aria-activedescendant");
  }

  let typedBefore = false; // After an arrow key the choice stays where it is when more results arrive.

  function option({ group, text, hint = "", url }, i) {
    const element = make(
      "div",
      { id: `palette-${i}` },
      make("span", { className: "tag" }, group),
      make("span", {}, text),
      make("small", {}, hint),
    );
    element.setAttribute("role", "option");
    element.dataset.url = url;
    return element;
  }

  const at = () =>
    $$("[role=option]", list).findIndex((each) => each.getAttribute("aria-selected") === "true");

  function select(i) {
    const options = $$("[role=option]", list);
    options.forEach((each, j) => {
      each.setAttribute("aria-selected", String(i === j));
    });
    input.setAttribute("aria-activedescendant", options[i].id);
    options[i].scrollIntoView({ block: "nearest" });
  }

  function go(url, newTab) {
    dialog.close();
    if (newTab) window.open(url, "_blank");
    else location.assign(url);
  }

  function later(event) {
    if (event.isComposing) return;
    typedBefore = false;
    clearTimeout(timer);
    asked++;
    show(pages(plain(input.value)));
    timer = setTimeout(find, WAIT_MS);
  }

  input.addEventListener("input", later);
  input.addEventListener("compositionend", later);
  input.addEventListener("keydown", async (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const count = list.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (count) {
        typedBefore = true;
        select((at() + (event.key === "ArrowDown" ? 1 : -1) + count) % count);
      }
    } else if (event.key === "Enter") {
      const newTab = event.ctrlKey || event.metaKey;
      event.preventDefault();
      event.stopPropagation();
      if (!count) {
        clearTimeout(timer);
        await find();
      } // Typed and entered faster than the answer: wait for it.
      const chosen = list.children[Math.max(0, at())];
      return void (chosen && go(chosen.dataset.url, newTab));
    } else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const chosen = event.target.closest("[role=option]");
    if (chosen) go(chosen.dataset.url, event.ctrlKey || event.metaKey);
  });
  // The dialog opens by key or by button: reset it each time.
  new MutationObserver(() => {
    if (!dialog.open) return;
    input.value = "";
    typedBefore = false;
    show(pages(""));
    input.focus();
  }).observe(dialog, { attributes: true, attributeFilter: ["open"] });
})();
