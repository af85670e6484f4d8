/* Lists: `j k` move, `o` opens, `x` selects, `u` applies what has changed. A list is `[data-list]`; its rows are `tr` or `li` with an id
   and a link. Refreshing never moves a row under the cursor: rows change in place, their order waits. */
"use strict";

(() => {
  const { $, $$, keys, make, visible } = fengping;
  const CALM_MS = 10_000;
  const WHERE = "列表";

  const list = () => $$("[data-list]").find(visible);
  const rowsOf = (element) => $$(":scope > tbody > tr, :scope > li", element);
  const linkOf = (row) => row && ($("a[data-open]", row) ?? $("a[href]", row));
  const current = () =>
    document.activeElement?.closest?.("[data-list] > tbody > tr, [data-list] > li") ??
    $("[data-list] [aria-current=true]");

  function mark(row) {
    for (const other of $$("[data-list] [aria-current=true]"))
      if (other !== row) other.removeAttribute("aria-current");
    row?.setAttribute("aria-current", "true");
  }

  function move(step) {
    const rows = rowsOf(list());
    const at = rows.indexOf(current());
    const row =
      rows[
        at < 0
          ? step > 0
            ? 0
            : rows.length - 1
          : Math.min(rows.length - 1, Math.max(0, at + step))
      ];
    if (!row) return false;
    mark(row);
    (linkOf(row) ?? row).focus();
    row.scrollIntoView({ block: "nearest" });
  }

  const here = () => Boolean(list());
  keys.push(
    { keys: "j", where: WHERE, what: "下一条", when: here, run: () => move(1) },
    { keys: "k", where: WHERE, what: "上一条", when: here, run: () => move(-1) },
    {
      keys: "o",
      where: WHERE,
      what: "打开",
      when: here,
      run: () => (linkOf(current()) ? linkOf(current()).click() : false),
    },
    {
      keys: "x",
      where: WHERE,
      what: "选中",
      when: here,
      run: () => void current()?.querySelector("input[type=checkbox]")?.click(),
    },
    { keys: "u", where: WHERE, what: "应用更新", when: () => Boolean(pending), run: () => apply() },
  );

  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("[data-list] > tbody > tr, [data-list] > li");
    if (row) mark(row);
  });
  document.addEventListener("change", (event) => {
    const row = event.target.closest?.("[data-list] > tbody > tr, [data-list] > li");
    if (!row || event.target.type !== "checkbox") return;
    if (event.target.checked) row.setAttribute("aria-selected", "true");
    else row.removeAttribute("aria-selected");
  });

  // --------------------------------------------------------------------------------- refreshing without a jump

  let pending = null; // {target, text}: the newest answer whose order has not been applied yet.
  let moved = 0;
  // When a list changes under a resting pointer, the browser reports a movement of zero.
  document.addEventListener(
    "pointermove",
    ({ movementX, movementY }) => {
      if (movementX || movementY) moved = Date.now();
    },
    { passive: true },
  );

  const busy = (target) => target.contains(document.activeElement) || Date.now() - moved < CALM_MS;
  const ids = (root) =>
    $$("[data-list] > tbody > tr[id], [data-list] > li[id]", root).map((row) => row.id);

  /** Counts the rows that were added, removed or moved. */
  function difference(before, after) {
    const came = after.filter((id) => !before.includes(id)).length;
    const went = before.filter((id) => !after.includes(id)).length;
    const stayed = before.filter((id) => after.includes(id)),
      now = after.filter((id) => before.includes(id));
    return came + went + stayed.filter((id, i) => now[i] !== id).length;
  }

  /** Returns the response with its rows in the current order: new rows wait, removed rows stay. */
  function inPlace(target, answer) {
    const fresh = new Map(
      $$("[data-list] > tbody > tr[id], [data-list] > li[id]", answer).map((row) => [row.id, row]),
    );
    const shown = $("[data-list]", target),
      coming = $("[data-list]", answer);
    const home = $(":scope > tbody", coming) ?? coming;
    home.replaceChildren(...rowsOf(shown).map((row) => fresh.get(row.id) ?? row.cloneNode(true)));
    return answer.innerHTML;
  }

  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    const target = ctx.target;
    if (
      ctx.sourceEvent?.type !== "every" ||
      ctx.response.status !== 200 ||
      !target?.matches?.("[data-calm]")
    )
      return;
    const answer = make("div", {});
    answer.append(
      new DOMParser().parseFromString(ctx.text, "text/html").getElementById(target.id) ?? "",
    );
    if (!$("[data-list]", answer) || !$("[data-list]", target)) return;
    const changes = difference(ids(target), ids(answer));
    if (!changes || !busy(target)) return void forget();
    pending = { target: target.id, text: ctx.text };
    ctx.text = inPlace(target, answer);
    tell(changes);
  });

  function tell(changes) {
    const bar = $("[data-pending]");
    bar?.replaceChildren(
      `有 ${changes} 条更新 `,
      make(
        "button",
        { type: "button", className: "btn s", onclick: apply },
        "应用 ",
        make("kbd", {}, "u"),
      ),
    );
    if (bar) bar.hidden = false;
  }

  function forget() {
    pending = null;
    const bar = $("[data-pending]");
    if (bar) bar.hidden = true;
  }

  async function apply() {
    if (!pending) return false;
    const { target, text } = pending,
      row = current()?.id;
    forget();
    await htmx.swap({
      sourceElement: document.body,
      target: `#${target}`,
      text,
      swap: "outerMorph",
      response: { headers: new Headers() },
      hx: {},
    });
    const again = row && document.getElementById(row);
    if (again) {
      mark(again);
      (linkOf(again) ?? again).focus();
    }
  }

  document.addEventListener("htmx:after:swap", () => {
    const row = document.activeElement?.closest?.("[data-list] > tbody > tr, [data-list] > li");
    if (row) mark(row);
  });
})();
