/* Forms: drafts saved on the server while people type, character counters, comboboxes searched by pinyin. */
"use strict";

(() => {
  const { $, $$, make } = fengping;

  // ----------------------------------------------------------------------------------------------- drafts

  const DRAFT_MS = 3000;
  const LOST = "草稿未能保存，内容仍在本页，请勿关闭";
  const timers = new WeakMap();
  const changed = new WeakSet();

  function noteChange(event) {
    const form = event.target.form;
    if (!form?.dataset?.draft || event.isComposing) return;
    changed.add(form);
    clearTimeout(timers.get(form));
    timers.set(
      form,
      setTimeout(() => keep(form), DRAFT_MS),
    );
  }

  /** Saves the draft. The server returns the status to show (`草稿已保存 14:02:11`). */
  async function keep(form) {
    if (!changed.has(form) || !form.isConnected) return;
    changed.delete(form);
    clearTimeout(timers.get(form));
    const body = new FormData(form);
    body.delete("idempotency_key");
    for (const [name, value] of [...body]) if (value instanceof File) body.delete(name);
    try {
      const answer = await fetch(form.dataset.draft, {
        method: "POST",
        body: new URLSearchParams(body),
        keepalive: true,
        headers: { "X-CSRF-Token": body.get("csrf") ?? "", Accept: "text/plain" },
      });
      if (!answer.ok) throw new Error(String(answer.status));
      say(form, await answer.text());
    } catch {
      changed.add(form);
      say(form, LOST);
    }
  }

  function say(form, words) {
    const place = $(`[data-draft-status]`, form) ?? $("[data-draft-status]");
    if (place) place.textContent = words;
  }

  function keepAll() {
    for (const form of $$("form[data-draft]")) keep(form);
  }

  document.addEventListener("input", noteChange);
  document.addEventListener("change", noteChange);
  document.addEventListener("compositionend", noteChange);
  document.addEventListener(
    "visibilitychange",
    () => document.visibilityState === "hidden" && keepAll(),
  );
  document.addEventListener("fengping:save", () => {
    for (const form of $$("form[data-draft]")) changed.add(form);
    keepAll();
  });

  // --------------------------------------------------------------------------------------------- counters

  /** Counts code points, a newline as one character, as the server does. */
  const lengthOf = (text) => [...text.replace(/\r\n?/g, "\n").trim()].length;

  function count(area) {
    const place = $(`[data-counts="${CSS.escape(area.id)}"]`);
    const over = lengthOf(area.value) - Number(area.dataset.limit);
    const words = over > 0 ? `已超出 ${over} 字` : "";
    if (place && place.textContent !== words) place.textContent = words;
  }

  document.addEventListener("input", (event) => event.target.dataset?.limit && count(event.target));

  // --------------------------------------------------------------------------------------------- combobox

  const WAIT_MS = 150;

  /** A WAI-ARIA combobox with listbox. Keys are ignored while an input method composes. */
  function combobox(box) {
    const input = $("[role=combobox]", box),
      hidden = $("input[type=hidden]", box),
      options = $("[role=listbox]", box),
      status = $("[role=status]", box);
    let timer = 0,
      asked = 0;

    async function ask() {
      const number = ++asked;
      const answer = await fetch(
        `${box.dataset.combo}?q=${encodeURIComponent(input.value.trim())}`,
        { headers: { Accept: "application/json" } },
      ).catch(() => null);
      if (number !== asked) return;
      show(answer?.ok ? await answer.json() : null);
    }

    function show(found) {
      options.replaceChildren(...(found ?? []).map((each, i) => optionOf(each, i)));
      status.textContent =
        found === null
          ? "暂时查不到，可直接输入"
          : found.length
            ? `${found.length} 个结果`
            : `没有找到“${input.value}”。试试单位简称或首字母`;
      expand(Boolean(found?.length));
      if (found?.length) select(0);
    }

    function optionOf({ value, text, hint = "" }, i) {
      const option = make(
        "div",
        { id: `${options.id}-${i}` },
        make("span", {}, text),
        make("small", {}, hint),
      );
      option.setAttribute("role", "option");
      Object.assign(option.dataset, { value, text });
      return option;
    }

    function expand(yes) {
      options.hidden = !yes;
      input.setAttribute("aria-expanded", String(yes));
      if (!yes) input.removeAttribute("aria-activedescendant");
    }

    const at = () =>
      $$("[role=option]", options).findIndex(
        (option) => option.getAttribute("aria-selected") === "true",
      );

    function select(i) {
      const all = $$("[role=option]", options);
      all.forEach((option, j) => {
        option.setAttribute("aria-selected", String(i === j));
      });
      input.setAttribute("aria-activedescendant", all[i].id);
      all[i].scrollIntoView({ block: "nearest" });
    }

    function take(option) {
      asked++;
      clearTimeout(timer);
      input.value = option.dataset.text;
      hidden.value = option.dataset.value;
      expand(false);
      hidden.dispatchEvent(new Event("change", { bubbles: true }));
    }

    function later(event) {
      if (event.isComposing) return;
      hidden.value = "";
      clearTimeout(timer);
      timer = setTimeout(ask, WAIT_MS);
    }

    input.addEventListener("input", later);
    input.addEventListener("compositionend", later);
    input.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      const count = options.children.length,
        open = !options.hidden;
      if (event.key === "ArrowDown" && !open) {
        event.preventDefault();
        ask();
        return;
      }
      if (!open) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp")
        select((at() + (event.key === "ArrowDown" ? 1 : -1) + count) % count);
      else if (event.key === "Enter" && !event.ctrlKey) take(options.children[at()]);
      else if (event.key === "Escape") expand(false);
      else if (event.key === "Tab") return void take(options.children[at()]);
      else return;
      event.preventDefault();
    });
    // Select on press, before the field loses focus.
    options.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const option = event.target.closest("[role=option]");
      if (option) take(option);
    });
    input.addEventListener("blur", () => expand(false));
  }

  const start = () =>
    $$("[data-combo]").forEach((box) => {
      if (!box.started) {
        box.started = true;
        combobox(box);
      }
    });
  const starting = () => {
    start();
    $$("textarea[data-limit]").forEach(count);
  };
  document.addEventListener("DOMContentLoaded", starting);
  document.addEventListener("htmx:after:swap", starting);
})();
