/* 作风评议: keys, messages, and what htmx needs to know. Pages work without this file; with it they are faster to use.

   One table of keys (`fengping.keys`) drives both the handler and the `?` sheet, so the sheet cannot drift from what the keys do.
   Never bound: Alt+D/E/F, Alt+arrows, Alt+digits, Ctrl+T/N/W, Ctrl+Alt (AltGr), Ctrl+Space, F-keys: browsers, systems and input methods
   own them. */
"use strict";

// biome-ignore lint/correctness/noUnusedVariables: the other scripts of the page use it.
const fengping = (() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const visible = (element) => element?.checkVisibility?.() ?? Boolean(element?.offsetParent);

  // ------------------------------------------------------------------------------------------------ keys

  const EVERYWHERE = "全部页面",
    GO = "前往",
    EDITOR = "编辑",
    PAGE = "本页";

  /** {keys, where, what, run, when?}. If `run` returns false, the key keeps its default action. */
  const keys = [
    { keys: "Ctrl+K", where: EVERYWHERE, what: "搜索或命令", run: () => open("palette") },
    {
      keys: "/",
      where: EVERYWHERE,
      what: "到搜索框",
      run: () => focus($$("input[type=search], [data-search]").find(visible)),
    },
    { keys: "?", where: EVERYWHERE, what: "快捷键", run: () => open("sheet") },
    { keys: "Esc", where: EVERYWHERE, what: "关闭、取消（不清除文字）", run: cancel },
    {
      keys: "Ctrl+Enter",
      where: EDITOR,
      what: "提交",
      run: submit,
      when: (e) => Boolean(e.target.form),
    },
    {
      keys: "Ctrl+S",
      where: EDITOR,
      what: "保存草稿",
      run: saveDraft,
      when: () => Boolean($("form[data-draft]")),
    },
    {
      keys: "1-5",
      where: EDITOR,
      what: "在并排选项中选第几项",
      run: choose,
      when: (e) => e.target.type === "radio" && /^[1-5]$/.test(e.key),
    },
  ];

  const typing = (element) =>
    Boolean(
      element?.isContentEditable ||
        element?.matches?.(
          "textarea, select, input:not([type=radio],[type=checkbox],[type=button],[type=submit])",
        ),
    );

  function nameOf(event) {
    const key =
      event.key === "Escape" ? "Esc" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const bare = !event.ctrlKey && !event.altKey && !event.metaKey;
    if (bare) return key;
    return [
      event.ctrlKey || event.metaKey ? "Ctrl" : "",
      event.altKey ? "Alt" : "",
      key.length === 1 ? key.toUpperCase() : key,
    ]
      .filter(Boolean)
      .join("+");
  }

  const single = (name) => !name.includes("+") && name.length === 1;
  const singlesAllowed = () => document.documentElement.dataset.singleKeys !== "off";

  let leader = 0; // When `g` was pressed: the next letter names a page.

  function onKey(event) {
    if (event.isComposing || event.keyCode === 229) return; // The key belongs to the input method.
    if (
      event.defaultPrevented ||
      event.getModifierState?.("AltGraph") ||
      (event.ctrlKey && event.altKey)
    )
      return;
    const name = nameOf(event);
    if (single(name) && event.target.type === "radio" && /[1-5]/.test(name))
      return use(
        keys.find((key) => key.keys === "1-5"),
        event,
      );
    // The field of a dialog that was just closed keeps the focus until the next frame.
    if (
      single(name) &&
      ((typing(event.target) && visible(event.target)) || !singlesAllowed() || $("dialog[open]"))
    )
      return;
    if (single(name) && goes(name, event)) return;
    const key = keys.find((each) => each.keys === name && (!each.when || each.when(event)));
    if (key && use(key, event)) return;
    press(name, event);
  }

  function use(key, event) {
    if (key.run(event) === false) return false;
    event.preventDefault();
    return true;
  }

  function goes(name, event) {
    const led = Date.now() - leader < 1500;
    leader = 0;
    if (led) {
      const page = entries().find((entry) => entry.hint === `g ${name}`);
      if (page) {
        event.preventDefault();
        location.assign(page.url);
        return true;
      }
    }
    if (name === "g") {
      leader = Date.now();
      event.preventDefault();
      return true;
    }
    return false;
  }

  /** Clicks the element with `data-key`, in the current row of a list first. */
  function press(name, event) {
    const all = $$(`[data-key="${CSS.escape(name)}"]`).filter(visible);
    const row = document.activeElement?.closest?.("[data-list] tr, [data-list] li");
    const element =
      all.find((each) => row?.contains(each)) ?? all.find((each) => !each.closest("[data-list]"));
    if (!element) return;
    event.preventDefault();
    if (element.matches("input, select, textarea")) focus(element);
    else element.click();
  }

  function focus(element) {
    if (!element) return false;
    element.focus();
    element.select?.();
  }

  function cancel(event) {
    if ($("dialog[open]")) return false; // The browser closes it.
    const menu = $("details.who[open]");
    if (menu) {
      menu.open = false;
      $("summary", menu).focus();
      return;
    }
    const close = $$("[data-cancel]").find(visible);
    if (close) return void close.click();
    return event.target.type === "search" ? undefined : false; // A search field would clear its text: never.
  }

  function submit(event) {
    event.target.form.requestSubmit($("button.p", event.target.form) ?? undefined);
  }

  function saveDraft() {
    document.dispatchEvent(new CustomEvent("fengping:save"));
  }

  function choose(event) {
    const options = $$(
      `input[type=radio][name="${CSS.escape(event.target.name)}"]`,
      event.target.form ?? document,
    );
    const option = options[Number(event.key) - 1];
    if (!option || option.disabled) return false;
    option.focus();
    option.click();
  }

  const entries = () => JSON.parse($("#entries")?.textContent ?? "[]");

  // --------------------------------------------------------------------------------------------- dialogs

  function open(id) {
    const dialog = document.getElementById(id);
    if (!dialog || dialog.open) return false;
    if (id === "sheet") fillSheet();
    dialog.showModal();
  }

  function fillSheet() {
    const pages = entries()
      .filter((entry) => entry.hint)
      .map((entry) => ({ keys: entry.hint, where: GO, what: entry.text }));
    const here = $$("[data-key]")
      .filter(visible)
      .map((each) => ({
        keys: each.dataset.key,
        where: PAGE,
        what: each.dataset.keyWhat ?? wordsOf(each),
      }));
    const all = [
      ...keys,
      ...pages,
      ...here.filter((a, i) => here.findIndex((b) => b.keys === a.keys) === i),
    ];
    const sets = Map.groupBy ? Map.groupBy(all, (key) => key.where) : grouped(all);
    $("#sheet .sets").replaceChildren(...[...sets].map(([where, list]) => section(where, list)));
  }

  const grouped = (all) =>
    all.reduce(
      (sets, key) => sets.set(key.where, [...(sets.get(key.where) ?? []), key]),
      new Map(),
    );
  const wordsOf = (element) =>
    (element.labels?.[0] ?? element).textContent.replace(element.dataset.key, "").trim();

  function section(where, list) {
    const section = make("section", { className: "" }, make("h3", {}, where), make("dl", {}));
    for (const { keys, what } of list)
      section.lastChild.append(make("dt", {}, make("kbd", {}, keys)), make("dd", {}, what));
    return section;
  }

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-opens]");
    if (opener) open(opener.dataset.opens);
    if (event.target.closest?.("[data-closes]") || event.target.matches?.("dialog"))
      event.target.closest("dialog").close();
    const menu = $("details.who[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
  });

  // ---------------------------------------------------------------------------- confirmation of consequences

  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      const consequence = event.submitter?.dataset.confirm ?? form.dataset.confirm;
      if (!consequence || form.confirmed) {
        form.confirmed = false;
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      confirm(consequence, form.dataset.word, () => {
        form.confirmed = true;
        form.requestSubmit(event.submitter);
      });
    },
    true,
  );

  function confirm(consequence, word, then) {
    const dialog = $("#confirm"),
      input = $("input", dialog),
      yes = $("[data-yes]", dialog);
    $(".consequence", dialog).textContent = consequence;
    $(".word", dialog).hidden = !word;
    $("label", dialog).textContent = word ? `请输入“${word}”` : "";
    input.value = "";
    yes.onclick = () => {
      if (word && input.value.trim() !== word) return input.focus();
      dialog.close();
      then();
    };
    dialog.showModal();
    (word ? input : $("[data-closes]", dialog)).focus();
  }

  // --------------------------------------------------------------------------------------------- messages

  /** Shows a message at the bottom left: a failure until dismissed, anything else for 6 seconds. */
  function toast(text, { failure = false, action = "", run = null } = {}) {
    const box = make("div", { className: failure ? "toast x" : "toast" }, make("p", {}, text));
    const gone = () => box.remove();
    if (run)
      box.append(
        make("button", {
          type: "button",
          className: "btn s",
          textContent: action,
          onclick: () => {
            gone();
            run();
          },
        }),
      );
    box.append(
      make("button", { type: "button", className: "btn s", textContent: "关闭", onclick: gone }),
    );
    if (!failure) setTimeout(gone, 6000);
    $("#toasts")?.replaceChildren(
      ...$$("#toasts > .toast")
        .filter((other) => other.firstChild.textContent !== text)
        .slice(-2),
      box,
    );
    return gone;
  }

  // ------------------------------------------------------------------------------------------------- htmx

  // The CSP forbids evaluating text, and trigger filters are text: these are all of them, as functions.
  const FILTERS = {
    "!event.isComposing": ({ isComposing }) => !isComposing,
    "document.visibilityState === 'visible'": () => document.visibilityState === "visible",
  };

  function Filter(...names) {
    const code = names.pop().replace(/^return \((.*)\)$/, "$1");
    const check = FILTERS[code];
    if (!check) throw new Error(`no such trigger filter: ${code}`);
    return {
      call: (_, ...values) => check(Object.fromEntries(names.map((name, i) => [name, values[i]]))),
    };
  }

  window.htmx?.registerExtension("fengping", {
    init: (api) => api.initSecurity(null, Filter, Filter),
  });

  const background = (ctx) => ["every", "load"].includes(ctx.sourceEvent?.type);
  const writes = (ctx) => ctx.request.method !== "GET";

  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    if (background(ctx)) ctx.request.headers["X-Background"] = "true";
    else active = Date.now();
  });

  const waiting = new WeakMap();

  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (background(ctx) || !writes(ctx)) return;
    const button = ctx.request.submitter;
    const words = [...(button?.childNodes ?? [])];
    button?.setAttribute("aria-disabled", "true");
    if (button?.dataset.busy) button.textContent = button.dataset.busy;
    const slow = setTimeout(
      () =>
        waiting.set(ctx, {
          ...waiting.get(ctx),
          gone: toast("仍在处理，请勿重复提交", { failure: true }),
        }),
      5000,
    );
    waiting.set(ctx, {
      slow,
      restore: () => {
        button?.removeAttribute("aria-disabled");
        if (button?.dataset.busy) button.replaceChildren(...words);
      },
    });
  });

  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    const wait = waiting.get(ctx);
    if (!wait) return;
    clearTimeout(wait.slow);
    wait.gone?.();
    wait.restore();
  });

  function failed(ctx, number = "") {
    if (!ctx || background(ctx)) return;
    const again = () =>
      ctx.sourceElement.isConnected &&
      (writes(ctx) && ctx.request.form
        ? ctx.request.form.requestSubmit(ctx.request.submitter)
        : ctx.sourceElement.click());
    const text = writes(ctx) ? "保存失败，内容还在" : "没有加载成功";
    toast(number ? `${text}（记录编号 ${number.slice(0, 12)}）` : text, {
      failure: true,
      action: "重试",
      run: again,
    });
  }

  document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
    if (ctx.response.status >= 500) failed(ctx, ctx.response.headers.get("X-Request-Id") ?? "");
    if (ctx.response.status === 401 && background(ctx)) signedOut();
  });
  document.addEventListener("htmx:error", ({ detail: { ctx } }) => failed(ctx));

  /** Moves the focus to the error summary of a rejected form. */
  function toMistake() {
    const mistake = $("#errsum") ?? ($("#refused") && $("#refusal"));
    if (mistake) {
      mistake.focus();
      mistake.scrollIntoView({ block: "nearest" });
    }
  }

  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (!background(ctx)) toMistake();
    reach();
  });
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (background(ctx)) return;
    $("#refusal")?.replaceChildren();
    for (const old of $$("#toasts > .toast.x")) old.remove();
  });

  // ---------------------------------------------------------------------------------------- idle, sign-out

  let active = Date.now(),
    warned = null;

  function signedOut() {
    if (warned) return;
    warned = toast("登录已过期，已填写的内容还在本页", {
      failure: true,
      action: "登录",
      run: () => window.open(`/login?next=${encodeURIComponent(location.pathname)}`, "_blank"),
    });
  }

  /** Offers to extend an idle session five minutes before it ends. Polling does not extend it. */
  function watchIdle() {
    const minutes = Number(document.body.dataset.idleMinutes);
    if (!minutes) return;
    setInterval(() => {
      const left = active + minutes * 60_000 - Date.now();
      if (left > 5 * 60_000 || left < 0 || warned) return;
      warned = toast("长时间没有操作，5 分钟后将自动退出", {
        failure: true,
        action: "延长",
        run: prolong,
      });
    }, 15_000);
  }

  async function prolong() {
    warned = null;
    const answer = await fetch("/me", { redirect: "manual" }).catch(() => null);
    if (answer?.ok) active = Date.now();
    else signedOut();
  }

  // ----------------------------------------------------------------------------------------------- start

  /** Makes tables that scroll sideways reachable with the keyboard. */
  function reach() {
    for (const box of $$(".tw")) {
      if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("DOMContentLoaded", () => {
    for (const opener of $$("[data-opens]")) opener.hidden = false;
    reach();
    toMistake();
    watchIdle();
  });

  return { $, $$, keys, make, toast, typing, visible, entries, open };
})();
