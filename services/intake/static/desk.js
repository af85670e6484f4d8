/* The registration desk: panels beside the form that look things up while somebody types. A panel that cannot answer says so and never
   holds up the registration. Nothing of the complainant goes into an address: what is typed is posted. */
"use strict";

(() => {
  const { $, $$ } = fengping;
  const WAIT_MS = 400;
  const form = $("#ticket");
  if (!form) return;

  const body = () => {
    const typed = new FormData(form);
    typed.delete("idempotency_key");
    return new URLSearchParams(typed);
  };
  const ask = (url) =>
    fetch(url, {
      method: "POST",
      body: body(),
      headers: { "X-CSRF-Token": form.elements.csrf.value, "X-Background": "true" },
    });

  // ------------------------------------------------------------------------------------------- panels

  const asked = new WeakMap();

  async function refresh(panel) {
    const place = $("[data-body]", panel),
      number = (asked.get(panel) ?? 0) + 1;
    asked.set(panel, number);
    const answer = await ask(panel.dataset.panel).catch(() => null);
    if (asked.get(panel) !== number) return;
    if (answer?.ok) place.innerHTML = await answer.text();
    else place.textContent = panel.dataset.away;
  }

  const timers = new WeakMap();

  function changed({ target, isComposing }) {
    if (isComposing || !target.name) return;
    for (const panel of $$("[data-panel]")) {
      if (!panel.dataset.needs.split(" ").includes(target.name)) continue;
      clearTimeout(timers.get(panel));
      timers.set(
        panel,
        setTimeout(() => refresh(panel), WAIT_MS),
      );
    }
    if (target.name === "occurred") echo(target);
  }

  // ---------------------------------------------------------------------------------- time and summary

  let spoken = 0;

  function echo(input) {
    clearTimeout(spoken);
    spoken = setTimeout(async () => {
      const answer = await fetch(
        `/intake/desk/occurred?occurred=${encodeURIComponent(input.value)}`,
      ).catch(() => null);
      $("#f-occurred-r").textContent = answer?.ok ? await answer.text() : "";
    }, WAIT_MS);
  }

  async function draft() {
    const field = form.elements.redacted_summary;
    if (field.value.trim() && !window.confirm("用原文重新生成，替换现有摘要？")) return;
    const answer = await ask("/intake/desk/draft-summary").catch(() => null);
    if (!answer?.ok) return fengping.toast("摘要草稿没有生成，请手工填写", { failure: true });
    field.value = await answer.text();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  }

  function anonymous() {
    const name = form.elements.name,
      unknown = form.elements.identity.value === "anonymous";
    name.disabled = unknown;
    if (unknown) name.value = "";
  }

  form.addEventListener("input", changed);
  form.addEventListener("change", (event) => {
    changed(event);
    if (event.target.name === "identity") anonymous();
  });
  form.addEventListener("compositionend", changed);
  document.addEventListener("click", ({ target }) => {
    if (target.closest?.("[data-save]")) document.dispatchEvent(new CustomEvent("fengping:save"));
    if (target.closest?.("[data-draft-summary]")) draft();
  });
  $("#history").addEventListener("click", (event) => {
    if (event.target === event.currentTarget) event.currentTarget.focus();
  });

  function ready() {
    for (const button of $$("[data-save], [data-draft-summary]")) button.hidden = false;
    anonymous();
    for (const panel of $$("[data-panel]")) {
      const needs = panel.dataset.needs.split(" ");
      if (needs.some((name) => form.elements[name]?.value)) refresh(panel);
    }
  }

  document.addEventListener("htmx:after:swap", () => form.isConnected && ready());
  ready();
})();
