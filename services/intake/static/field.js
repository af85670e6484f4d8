/* Inspection visits on a phone, with or without a network.

   Everything is kept on the phone first (IndexedDB, encrypted with a key that cannot be taken out), then sent: photos one by one, named by
   their SHA-256, the report last. A record is removed only when the server has named it and misses nothing. One page at a time sends
   (Web Locks). Three states, one way: draft → queued → sent. What was queued is not edited any more. */
"use strict";

(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const app = $("#app"),
    bar = $("#state");
  const HERE = "/intake/field/",
    API = "/intake/api/visits/",
    PING_WORD = "fengping-field";
  const SIDE_MAX = 1600,
    PHOTOS_MAX = 9,
    NOTE_MIN = 5,
    KEPT_DAYS = 7,
    AGAIN_MS = 60_000,
    BACKOFF_MAX_MS = 300_000,
    PIXELS_MAX = 16_700_000;

  function make(tag, properties = {}, ...children) {
    const { dataset, attributes, ...own } = properties;
    const element = Object.assign(document.createElement(tag), own);
    Object.assign(element.dataset, dataset ?? {});
    for (const [name, value] of Object.entries(attributes ?? {}))
      if (value !== null) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const clock = (at) =>
    new Date(at).toLocaleTimeString("zh-CN", { hour12: false, timeZone: "Asia/Shanghai" });
  const dayAndClock = (at) =>
    new Date(at).toLocaleString("zh-CN", {
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      hour12: false,
      timeZone: "Asia/Shanghai",
    });
  const hex = (bytes) =>
    [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const megabytes = (bytes) =>
    bytes < 1_073_741_824
      ? `${(bytes / 1_048_576).toFixed(1)} MB`
      : `${(bytes / 1_073_741_824).toFixed(1)} GB`;

  // ------------------------------------------------------------------------------------------- the store

  let opened = null;

  /** The database, opened again whenever the system closed it behind our back. */
  function database() {
    opened ??= new Promise((done, fail) => {
      const asked = indexedDB.open("fengping-field", 1);
      asked.onupgradeneeded = () => {
        asked.result.createObjectStore("visits", { keyPath: "id" });
        asked.result.createObjectStore("photos", { keyPath: ["visit", "sha"] });
        asked.result.createObjectStore("kept", { keyPath: "name" });
      };
      asked.onerror = () => {
        opened = null;
        fail(asked.error);
      };
      asked.onsuccess = () => {
        asked.result.onclose = () => (opened = null);
        asked.result.onversionchange = () => {
          asked.result.close();
          opened = null;
        };
        done(asked.result);
      };
    });
    return opened;
  }

  async function within(mode, work, ...stores) {
    const db = await database();
    return new Promise((done, fail) => {
      const transaction = db.transaction(stores, mode, { durability: "strict" });
      let result;
      transaction.oncomplete = () => done(result);
      transaction.onabort = transaction.onerror = () =>
        fail(transaction.error ?? new Error("aborted"));
      const asked = work(...stores.map((store) => transaction.objectStore(store)));
      if (asked) asked.onsuccess = () => (result = asked.result);
    });
  }

  const read = (store, key) => within("readonly", (from) => from.get(key), store);
  const all = (store) => within("readonly", (from) => from.getAll(), store);
  const write = (store, value) => within("readwrite", (to) => void to.put(value), store);
  const remember = (name, value) => write("kept", { name, value });
  const remembered = async (name) => (await read("kept", name))?.value;

  /** The key of this phone: made here, usable here, readable by nobody. */
  async function phoneKey() {
    const found = await remembered("key");
    if (found) return found;
    const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, [
      "encrypt",
      "decrypt",
    ]);
    await remember("key", key);
    return key;
  }

  async function seal(bytes) {
    const nonce = crypto.getRandomValues(new Uint8Array(12));
    return {
      nonce,
      body: await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, await phoneKey(), bytes),
    };
  }

  const open = async ({ nonce, body }) =>
    crypto.subtle.decrypt({ name: "AES-GCM", iv: nonce }, await phoneKey(), body);

  /** Other open pages hear of every change: their bar must be true as well. */
  const told = new BroadcastChannel("fengping-field");

  async function keepVisit(visit) {
    const { id, state, created, ...rest } = visit;
    const sealed = await seal(new TextEncoder().encode(JSON.stringify(rest)));
    await write("visits", { id, state, created, sealed });
    told.postMessage(id);
    await showState();
  }

  async function unsealed(row) {
    const rest = JSON.parse(new TextDecoder().decode(await open(row.sealed)));
    return { id: row.id, state: row.state, created: row.created, ...rest };
  }

  const visitOf = async (id) => {
    const row = await read("visits", id);
    return row ? unsealed(row) : null;
  };
  const visits = async () =>
    (await Promise.all((await all("visits")).map(unsealed))).sort((a, b) => b.created - a.created);

  async function keepPhoto(visit, blob) {
    const bytes = await blob.arrayBuffer(),
      sha = hex(await crypto.subtle.digest("SHA-256", bytes));
    await write("photos", { visit, sha, size: bytes.byteLength, sealed: await seal(bytes) });
    return { sha, size: bytes.byteLength };
  }

  const photoOf = async (visit, sha) => {
    const row = await read("photos", [visit, sha]);
    return row ? new Blob([await open(row.sealed)], { type: "image/jpeg" }) : null;
  };

  async function dropVisit(id) {
    const range = IDBKeyRange.bound([id], [id, "\uffff"]);
    await within(
      "readwrite",
      (visits, photos) => {
        visits.delete(id);
        photos.delete(range);
      },
      "visits",
      "photos",
    );
    told.postMessage(id);
    await showState();
  }

  // ------------------------------------------------------------------------------------- what is to be sent

  let reachable = null,
    session = null,
    sending = null,
    lastSent = null;

  /** Is it really our server? A hotel's sign-in page answers 200 as well, and a service worker can answer without any network. */
  async function ping() {
    try {
      const answer = await fetch(`${HERE}ping`, {
        cache: "no-store",
        signal: AbortSignal.timeout(8000),
      });
      const body = await answer.json();
      reachable = body.word === PING_WORD;
      session = reachable && body.account ? body : null;
    } catch {
      reachable = false;
    }
    await showState();
    return reachable;
  }

  const WORDS = {
    401: "登录已过期，请登录后继续",
    403: "登录已过期，请登录后继续",
    413: "照片超过 10 MB",
  };

  class Refusal extends Error {
    constructor(status, words) {
      super(words);
      this.status = status;
    }
  }

  async function send(method, url, body, type) {
    const answer = await fetch(url, {
      method,
      body,
      cache: "no-store",
      signal: AbortSignal.timeout(60_000),
      headers: {
        "Content-Type": type,
        "X-CSRF-Token": session?.csrf ?? "",
        Accept: "application/json",
      },
    });
    const said = await answer.json().catch(() => null);
    if (answer.status === 200 || answer.status === 201) return said;
    if (answer.status >= 500 || answer.status === 429) throw new Error(`HTTP ${answer.status}`);
    throw new Refusal(
      answer.status,
      WORDS[answer.status] ?? said?.detail ?? `服务器没有接受（${answer.status}）`,
    );
  }

  /** Send one record: every photo the server does not have, then the report, again until nothing is missing. */
  async function sendVisit(visit) {
    let missing = visit.photos.filter(({ sent }) => !sent).map(({ sha }) => sha);
    for (let round = 0; round < 3; round++) {
      for (const [place, photo] of visit.photos.entries()) {
        if (!missing.includes(photo.sha)) continue;
        sending = { id: visit.id, place: place + 1, of: visit.photos.length };
        await showState();
        const said = await send(
          "PUT",
          `${API}${visit.id}/photos/${photo.sha}`,
          await photoOf(visit.id, photo.sha),
          "image/jpeg",
        );
        if (said?.sha256 !== photo.sha) throw new Error("not our server");
        photo.sent = true;
        await keepVisit(visit);
      }
      const receipt = await send(
        "POST",
        `${API}${visit.id}/commit`,
        JSON.stringify(reportOf(visit)),
        "application/json",
      );
      if (receipt?.id !== visit.id || !Array.isArray(receipt.missing))
        throw new Error("not our server");
      if (!receipt.missing.length) return receipt;
      missing = receipt.missing;
    }
    throw new Error("photos are missing after three rounds");
  }

  function reportOf(visit) {
    return {
      campaign_id: visit.campaign_id,
      unit_id: visit.unit_id,
      mode: visit.mode,
      visited_at: visit.visited_at,
      device_at: visit.device_at,
      position: visit.position ?? null,
      place: visit.place ?? "",
      remarks: visit.remarks ?? "",
      photos: visit.photos.map(({ sha }) => sha),
      items: Object.entries(visit.items).map(([item_id, { result, note = "" }]) => ({
        item_id,
        result,
        note,
      })),
    };
  }

  let wait = 0,
    timer = 0;

  /** Send all that is queued, one page at a time. `now`: somebody pressed the button, so what was refused is tried again, too. */
  async function upload(now = false) {
    if (now) wait = 0;
    await navigator.locks.request("field-upload", { ifAvailable: true }, async (lock) => {
      if (!lock) return;
      if (!(await ping()) || !session) return later();
      for (const visit of (await visits()).reverse()) {
        if (
          visit.state !== "queued" ||
          (visit.error && !now) ||
          visit.account !== session.account.id
        )
          continue;
        if (!(await sendOne(visit))) return later();
      }
      wait = 0;
    });
    sending = null;
    await showState();
    await refresh();
  }

  /** True: go on with the next record. */
  async function sendOne(visit) {
    try {
      const receipt = await sendVisit({ ...visit, error: "" });
      const thumbs = visit.photos.map(({ sha, thumb }) => ({ sha, thumb, sent: true }));
      await within(
        "readwrite",
        (photos) => void photos.delete(IDBKeyRange.bound([visit.id], [visit.id, "\uffff"])),
        "photos",
      );
      await remember("lastSent", Date.now());
      await keepVisit({
        ...visit,
        state: "sent",
        error: "",
        photos: thumbs,
        receipt: { number: receipt.number, at: Date.now() },
      });
      return true;
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) {
        session = null;
        return false;
      }
      if (!(error instanceof Refusal)) return false;
      await keepVisit({ ...(await visitOf(visit.id)), error: error.message });
      return true;
    } finally {
      sending = null;
    }
  }

  function later() {
    wait = Math.min(BACKOFF_MAX_MS, wait ? wait * 2 : 1000);
    clearTimeout(timer);
    timer = setTimeout(() => document.visibilityState === "visible" && upload(), wait);
  }

  // ------------------------------------------------------------------------------------- the bar: always true

  /** One of four sentences, the most urgent that holds. */
  async function showState() {
    const rows = await visits().catch(() => null);
    if (!rows) return;
    lastSent = (await remembered("lastSent")) ?? null; // Another page may have sent it.
    const queued = rows.filter(({ state }) => state === "queued"),
      refused = queued.filter(({ error }) => error);
    const photos = queued.reduce(
      (sum, { photos }) => sum + photos.filter(({ sent }) => !sent).length,
      0,
    );
    const bytes = queued.reduce(
      (sum, { photos }) =>
        sum + photos.reduce((size, photo) => size + (photo.sent ? 0 : (photo.size ?? 0)), 0),
      0,
    );
    const [look, words] = stateOf({ queued, refused, photos, bytes });
    bar.className = `state ${look}`;
    const text = $("p", bar);
    if (text.textContent !== words) text.textContent = words;
    $("button", bar).hidden = !queued.length || Boolean(sending);
    $("a", bar).hidden = !(queued.length && reachable && !session);
    navigator.setAppBadge?.(queued.length).catch(() => {});
  }

  function stateOf({ queued, refused, photos, bytes }) {
    if (refused.length) return ["failed", `有 ${refused.length} 份未能上传：${refused[0].error}`];
    if (queued.length) {
      const how = sending
        ? `正在上传照片 ${sending.place}/${sending.of}`
        : reachable === false
          ? "离线"
          : reachable && !session
            ? "登录已过期，请登录后继续"
            : "等待上传";
      return [
        "waiting",
        `待上传 ${queued.length} 份（${how}${photos ? `，照片 ${photos} 张，${megabytes(bytes)}` : ""}）`,
      ];
    }
    if (reachable === false) return ["", "无法连接服务器（本机没有待传内容）"];
    return ["", lastSent ? `全部已上传 ${clock(lastSent)}` : "本机没有待传内容"];
  }

  // --------------------------------------------------------------------------------------------- photos

  /** Shrunk to 1600 px; when a browser makes a blank picture of it (too many pixels), the original. Refuses what is no picture. */
  async function shrunk(file) {
    let bitmap;
    try {
      const probe = await createImageBitmap(file);
      const scale = Math.min(
        1,
        SIDE_MAX / Math.max(probe.width, probe.height),
        Math.sqrt(PIXELS_MAX / (probe.width * probe.height)),
      );
      bitmap =
        scale < 1
          ? await createImageBitmap(file, {
              resizeWidth: Math.round(probe.width * scale),
              resizeHeight: Math.round(probe.height * scale),
              resizeQuality: "high",
            })
          : probe;
    } catch {
      throw new Error("这张图片已损坏或格式不支持，请重新拍摄");
    }
    const canvas = make("canvas", { width: bitmap.width, height: bitmap.height }),
      context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    if (flat(context, canvas)) return file;
    return new Promise((done) => canvas.toBlob((blob) => done(blob ?? file), "image/jpeg", 0.8));
  }

  function flat(context, { width, height }) {
    const points = Array.from({ length: 64 }, (_, i) =>
      context
        .getImageData(
          Math.floor((((i % 8) + 0.5) * width) / 8),
          Math.floor(((Math.floor(i / 8) + 0.5) * height) / 8),
          1,
          1,
        )
        .data.join(),
    );
    return new Set(points).size === 1;
  }

  async function thumbOf(blob) {
    const bitmap = await createImageBitmap(blob, {
      resizeWidth: 96,
      resizeHeight: 96,
      resizeQuality: "medium",
    });
    const canvas = make("canvas", { width: 96, height: 96 });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    return canvas.toDataURL("image/jpeg", 0.6);
  }

  // ----------------------------------------------------------------------------------------------- pages

  const path = location.pathname.slice(HERE.length);
  const STATES = { draft: "草稿", queued: "待上传", sent: "已上传" };
  let refresh = async () => {};
  let reference = null;

  async function loadReference() {
    reference = await remembered("reference");
    try {
      const answer = await fetch(`${HERE}data`, {
        signal: AbortSignal.timeout(8000),
        headers: { Accept: "application/json" },
      });
      if (answer.ok) await remember("reference", (reference = await answer.json()));
    } catch {
      /* Without a network the list kept here is used. */
    }
  }

  const heading = (text, back = "") =>
    make(
      "div",
      { className: "head" },
      back ? make("p", { className: "crumbs" }, make("a", { href: back }, "‹ 返回")) : null,
      make("h1", {}, text),
    );

  async function home() {
    const rows = await visits(),
      sent = rows.filter(
        ({ state, receipt }) =>
          state === "sent" && receipt.at > Date.now() - KEPT_DAYS * 86_400_000,
      );
    const estimate = await navigator.storage?.estimate?.().catch(() => null),
      persisted = await navigator.storage?.persisted?.().catch(() => false);
    app.replaceChildren(
      heading("外勤检查"),
      make(
        "p",
        {},
        make("button", { className: "btn p", type: "button", onclick: begin }, "＋ 新的检查"),
      ),
      make("h2", {}, "草稿和待上传"),
      list(
        rows.filter(({ state }) => state !== "sent"),
        "没有未完成的检查，可新建。",
      ),
      make("h2", {}, `已上传 ${sent.length} 份（7 天内）`),
      list(sent, "7 天内没有上传的检查。"),
      make(
        "p",
        { className: "small muted" },
        `${reference ? reference.title : "还没有取得评议活动，请联网打开一次。"}${estimate ? ` · 存储 ${megabytes(estimate.usage ?? 0)} / 可用 ${megabytes(estimate.quota ?? 0)}` : ""}${persisted ? " · 已申请长期保存 ✓" : ""}`,
      ),
      make("p", {}, make("a", { href: `${HERE}queue` }, "待上传明细")),
    );
  }

  function list(rows, empty) {
    if (!rows.length) return make("div", { className: "empty" }, make("p", {}, empty));
    return make(
      "ul",
      { className: "records" },
      ...rows.map((visit) =>
        make(
          "li",
          {},
          make(
            "div",
            { className: "what" },
            make("b", {}, visit.unit_name || "未选单位"),
            `${dayAndClock(visit.created)} · ${STATES[visit.state]}${visit.receipt ? ` · ${visit.receipt.number}` : ""}${visit.state === "draft" && reference ? ` ${progress(visit)}%` : ""}`,
          ),
          visit.state === "draft"
            ? make("a", { className: "btn", href: `${HERE}visit/${visit.id}` }, "继续")
            : null,
        ),
      ),
    );
  }

  const progress = (visit) =>
    Math.round(
      (100 * Object.values(visit.items).filter(({ result }) => result).length) /
        reference.items.length,
    );

  async function begin() {
    await navigator.storage?.persist?.().catch(() => {});
    location.assign(`${HERE}visit/${crypto.randomUUID()}`);
  }

  // --- one visit

  async function visitPage(id) {
    let visit = (await visitOf(id)) ?? {
      id,
      state: "draft",
      created: Date.now(),
      unit_id: "",
      unit_name: "",
      mode: "covert",
      visited_at: new Date().toISOString(),
      items: {},
      photos: [],
      place: "",
      remarks: "",
      campaign_id: reference?.campaign_id ?? "",
      account: reference?.account ?? "",
    };
    if (visit.state !== "draft")
      return void app.replaceChildren(
        heading("检查记录", HERE),
        make("p", {}, `${STATES[visit.state]}。提交后不能修改，如有补充请新建补充记录。`),
      );
    if (!reference)
      return void app.replaceChildren(
        heading("检查填报", HERE),
        make("p", {}, "还没有取得单位名单和检查表，请联网打开一次。"),
      );

    const kept = make("p", { className: "small muted", attributes: { role: "status" } });
    let saving = Promise.resolve();
    const save = () =>
      (saving = saving
        .then(() => keepVisit(visit))
        .then(
          () => (kept.textContent = `草稿已存本机 ${clock(Date.now())}`),
          () => (kept.textContent = "本机没有保存成功，请勿关闭本页"),
        ));
    const change = (values) => {
      visit = { ...visit, ...values };
      return save();
    };
    const errors = make("div", {});

    const form = make(
      "form",
      {
        noValidate: true,
        onsubmit: (event) => {
          event.preventDefault();
          finish();
        },
      },
      errors,
      unitField(visit, change),
      modeField(visit, change),
      whereField(visit, change),
      make("h2", {}, "检查项目"),
      ...reference.items.map((item, i) => itemField(item, i, visit, change)),
      photoField(() => visit, change),
      textField("remarks", "其他情况", visit, change, true),
      make("p", { className: "consequence" }, "提交后不能修改，如有补充请新建补充记录。"),
      make(
        "p",
        { className: "bar" },
        make("button", { className: "btn p" }, "完成并提交"),
        make("a", { className: "btn", href: HERE }, "存草稿"),
      ),
    );
    app.replaceChildren(heading("检查填报", HERE), kept, make("div", { className: "card" }, form));

    async function finish() {
      await saving;
      const wrong = troubles(visit);
      errors.replaceChildren();
      if (wrong.length) {
        errors.append(
          make(
            "div",
            { className: "errsum", id: "errsum", tabIndex: -1, attributes: { role: "alert" } },
            make("h2", {}, `有 ${wrong.length} 处需要更正`),
            make(
              "ul",
              {},
              ...wrong.map(([field, words]) =>
                make("li", {}, make("a", { href: `#f-${field}` }, words)),
              ),
            ),
          ),
        );
        return errors.firstChild.focus();
      }
      await keepVisit({
        ...visit,
        state: "queued",
        device_at: new Date().toISOString(),
        error: "",
      });
      location.assign(HERE);
    }
  }

  function troubles(visit) {
    const wrong = visit.unit_id ? [] : [["unit", "请选择被检查单位"]];
    for (const item of reference.items) {
      const { result, note = "" } = visit.items[item.id] ?? {};
      if (!result) wrong.push([`i-${item.id}`, `“${item.label}”还没有填写`]);
      else if (result === "fail" && note.trim().length < NOTE_MIN && !visit.photos.length)
        wrong.push([`n-${item.id}`, `“${item.label}”不符合，请写明情况或附照片`]);
    }
    return wrong;
  }

  /** Choose a unit from the list kept on the phone, by 汉字, 全拼 or 首字母. */
  function unitField(visit, change) {
    const input = make("input", {
      id: "f-unit",
      type: "text",
      autocomplete: "off",
      value: visit.unit_name,
      attributes: {
        role: "combobox",
        "aria-expanded": "false",
        "aria-controls": "f-unit-l",
        "aria-autocomplete": "list",
      },
    });
    const options = make("div", {
      id: "f-unit-l",
      className: "options",
      hidden: true,
      attributes: { role: "listbox", "aria-label": "被检查单位" },
    });
    const status = make("span", { className: "sr", attributes: { role: "status" } });
    const show = (yes) => {
      options.hidden = !yes;
      input.setAttribute("aria-expanded", String(yes));
    };
    const take = (unit) => {
      input.value = unit.name;
      show(false);
      change({ unit_id: unit.id, unit_name: unit.name });
    };
    const find = () => {
      const typed = input.value.trim().toLowerCase().replace(/['\s]/g, "");
      const found = reference.units
        .filter(({ search }) => !typed || search.split(" ").some((part) => part.includes(typed)))
        .slice(0, 8);
      options.replaceChildren(
        ...found.map((unit, i) =>
          make("div", {
            id: `f-unit-l-${i}`,
            textContent: unit.name,
            onmousedown: (event) => {
              event.preventDefault();
              take(unit);
            },
            attributes: { role: "option", "aria-selected": String(i === 0) },
          }),
        ),
      );
      status.textContent = `${found.length} 个结果`;
      show(Boolean(found.length));
      return found;
    };
    input.addEventListener("input", (event) => {
      if (event.isComposing) return;
      if (input.value !== visit.unit_name) change({ unit_id: "", unit_name: input.value });
      find();
    });
    input.addEventListener("compositionend", find);
    input.addEventListener("focus", () => !input.value && find());
    input.addEventListener("blur", () => show(false));
    input.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229 || options.hidden) return;
      if (event.key === "Enter") {
        event.preventDefault();
        const [first] = find();
        if (first) take(first);
      }
      if (event.key === "Escape") show(false);
    });
    return make(
      "div",
      { className: "f" },
      make(
        "div",
        {},
        make("label", { htmlFor: "f-unit" }, "被检查单位"),
        make("div", { className: "combo" }, input, options, status),
      ),
    );
  }

  function choices(name, legend, options, chosen, choose, id) {
    return make(
      "fieldset",
      {},
      make("legend", {}, legend),
      make(
        "div",
        { className: "seg" },
        ...options.map(([value, text], i) =>
          make(
            "label",
            {},
            make("input", {
              type: "radio",
              name,
              value,
              checked: value === chosen,
              id: i ? "" : id,
              onchange: () => choose(value),
            }),
            text,
          ),
        ),
      ),
    );
  }

  const modeField = (visit, change) =>
    choices(
      "mode",
      "方式",
      [
        ["covert", "暗访"],
        ["announced", "明察"],
      ],
      visit.mode,
      (mode) => change({ mode }),
      "f-mode",
    );

  function whereField(visit, change) {
    const shown = make(
      "span",
      { attributes: { role: "status" } },
      visit.position ? `位置 ±${Math.round(visit.position.accuracy_metres)} 米` : "没有定位",
    );
    const locate = () => {
      shown.textContent = "正在定位…";
      navigator.geolocation?.getCurrentPosition(
        ({ coords }) => {
          change({
            position: {
              latitude: coords.latitude,
              longitude: coords.longitude,
              accuracy_metres: coords.accuracy,
            },
          });
          shown.textContent = `位置 ±${Math.round(coords.accuracy)} 米`;
        },
        () => (shown.textContent = "没有定位成功，请手写地点"),
        { enableHighAccuracy: true, timeout: 15_000 },
      );
    };
    return make(
      "div",
      {},
      make(
        "p",
        { className: "bar" },
        `时间 ${dayAndClock(visit.visited_at)}（手机时间）`,
        shown,
        make("button", { type: "button", className: "btn s", onclick: locate }, "定位"),
      ),
      textField("place", "地点", visit, change, false),
    );
  }

  function textField(name, label, visit, change, long) {
    const field = make(long ? "textarea" : "input", {
      id: `f-${name}`,
      name,
      value: visit[name] ?? "",
      autocomplete: "off",
      oninput: (event) => !event.isComposing && change({ [name]: field.value }),
      oncompositionend: () => change({ [name]: field.value }),
    });
    field.addEventListener("change", () => change({ [name]: field.value }));
    return make(
      "div",
      { className: "f" },
      make(
        "div",
        {},
        make(
          "label",
          { htmlFor: `f-${name}` },
          label,
          make("span", { className: "opt" }, "（可不填）"),
        ),
        field,
      ),
    );
  }

  function itemField(item, i, visit, change) {
    const kept = () => visit.items[item.id] ?? {};
    const set = (values) => {
      visit.items = { ...visit.items, [item.id]: { ...kept(), ...values } };
      note.parentElement.hidden = kept().result !== "fail";
      return change({ items: visit.items });
    };
    const note = make("textarea", { id: `f-n-${item.id}`, rows: 2, value: kept().note ?? "" });
    note.addEventListener("input", (event) => !event.isComposing && set({ note: note.value }));
    note.addEventListener("change", () => set({ note: note.value }));
    const box = make(
      "div",
      { hidden: kept().result !== "fail" },
      make("label", { htmlFor: note.id }, "情况说明（不写姓名、电话）"),
      note,
    );
    return make(
      "div",
      { className: "item" },
      choices(
        item.id,
        `${i + 1}. ${item.label}`,
        [
          ["pass", "符合"],
          ["fail", "不符合"],
          ["na", "不适用"],
        ],
        kept().result,
        (result) => set({ result }),
        `f-i-${item.id}`,
      ),
      box,
    );
  }

  function photoField(current, change) {
    const shown = make("ul", { className: "photos" }),
      count = make("p", { attributes: { role: "status" } });
    const draw = () => {
      const { photos } = current();
      count.textContent = `现场照片 ${photos.length}/${PHOTOS_MAX}`;
      shown.replaceChildren(
        ...photos.map(({ sha, thumb }, i) =>
          make(
            "li",
            {},
            make("img", { src: thumb, alt: `照片 ${i + 1}` }),
            make(
              "button",
              { type: "button", className: "btn s", onclick: () => drop(sha) },
              "去掉",
            ),
          ),
        ),
      );
    };
    const drop = async (sha) => {
      await change({ photos: current().photos.filter((photo) => photo.sha !== sha) });
      await within("readwrite", (photos) => void photos.delete([current().id, sha]), "photos");
      draw();
    };
    const add = async (files) => {
      for (const file of files) {
        if (current().photos.length >= PHOTOS_MAX) {
          count.textContent = `最多 ${PHOTOS_MAX} 张照片`;
          return;
        }
        count.textContent = "正在处理照片…";
        try {
          const blob = await shrunk(file),
            photo = await keepPhoto(current().id, blob);
          if (!current().photos.some(({ sha }) => sha === photo.sha))
            await change({
              photos: [...current().photos, { ...photo, thumb: await thumbOf(blob), sent: false }],
            });
          draw();
        } catch (error) {
          count.textContent = error.message;
        }
      }
    };
    const picker = (id, label, camera) =>
      make(
        "label",
        { className: "btn", htmlFor: id },
        label,
        make("input", {
          id,
          type: "file",
          className: "sr",
          accept: "image/*",
          multiple: !camera,
          onchange: (event) => {
            add([...event.target.files]);
            event.target.value = "";
          },
          attributes: camera ? { capture: "environment" } : {},
        }),
      );
    draw();
    return make(
      "div",
      { className: "item" },
      make("h2", {}, "现场照片"),
      count,
      shown,
      make(
        "p",
        { className: "bar" },
        picker("f-camera", "拍照", true),
        picker("f-album", "从相册选", false),
      ),
    );
  }

  // --- what is not sent

  async function queuePage() {
    const rows = (await visits()).filter(({ state }) => state === "queued");
    app.replaceChildren(
      heading("待上传", HERE),
      rows.length
        ? make("ul", { className: "records" }, ...rows.map(queued))
        : make("div", { className: "empty" }, make("p", {}, "全部已上传。")),
      make(
        "p",
        {},
        make("button", { type: "button", className: "btn", onclick: wipe }, "退出并清除本机记录"),
      ),
    );
  }

  function queued(visit) {
    const sent = visit.photos.filter(({ sent }) => sent).length;
    return make(
      "li",
      {},
      make(
        "div",
        { className: "what" },
        make("b", {}, visit.unit_name),
        `${dayAndClock(visit.created)} · 照片 ${sent}/${visit.photos.length}${visit.error ? ` · ${visit.error}` : ""}`,
      ),
      make("button", { type: "button", className: "btn", onclick: () => upload(true) }, "重试"),
      sent
        ? null
        : make(
            "button",
            { type: "button", className: "btn d", onclick: () => remove(visit) },
            "删除",
          ),
    );
  }

  async function remove(visit) {
    if (window.prompt(`删除“${visit.unit_name}”的检查记录，不能恢复。请输入“删除”`) !== "删除")
      return;
    await dropVisit(visit.id);
    await refresh();
  }

  /** Signing out wipes what the server has; while something is unsent it is refused. */
  async function wipe() {
    const rows = await visits();
    if (rows.some(({ state }) => state !== "sent"))
      return window.alert("还有草稿或待上传的记录，请先上传或删除。");
    (await database()).close();
    opened = null;
    indexedDB.deleteDatabase("fengping-field");
    location.assign("/login");
  }

  // -------------------------------------------------------------------------------------------- the gate

  function gate() {
    const agent = navigator.userAgent;
    if (/MicroMessenger|DingTalk|AlipayClient/i.test(agent))
      return "请点右上角，用系统浏览器打开。微信、钉钉内置的浏览器不能可靠地拍照和保存。";
    const standalone = navigator.standalone ?? matchMedia("(display-mode: standalone)").matches;
    if (/iPhone|iPad/.test(agent) && !standalone)
      return "请先点“分享”，再点“添加到主屏幕”，然后从主屏幕打开：否则 7 天不打开可能丢失记录。";
    return "";
  }

  async function start() {
    const warning = gate();
    if (warning)
      $("#gate").replaceChildren(make("div", { className: "note w" }, make("p", {}, warning)));
    try {
      await database();
    } catch {
      return void app.replaceChildren(
        make(
          "div",
          { className: "note x" },
          make("p", {}, "这个浏览器不能保存数据（可能是无痕模式），请换用普通窗口。"),
        ),
      );
    }
    await showState();
    await loadReference();
    refresh = path.startsWith("visit/")
      ? async () => {}
      : path.startsWith("queue")
        ? queuePage
        : home;
    await (path.startsWith("visit/") ? visitPage(path.slice(6)) : refresh());
    upload();
  }

  told.onmessage = async () => {
    await showState();
    await refresh();
  };
  $("button", bar).addEventListener("click", () => upload(true));
  for (const event of ["online", "pageshow"]) addEventListener(event, () => upload());
  addEventListener("offline", () => {
    reachable = false;
    showState();
  });
  document.addEventListener(
    "visibilitychange",
    () => document.visibilityState === "visible" && upload(),
  );
  setInterval(() => document.visibilityState === "visible" && upload(), AGAIN_MS);

  // A new version waits until somebody wants it: never in the middle of a form.
  navigator.serviceWorker
    ?.register(`${HERE}sw.js`, { scope: HERE })
    .then((registration) => {
      const offer = () =>
        registration.waiting && navigator.serviceWorker.controller && ($("#update").hidden = false);
      offer();
      registration.addEventListener("updatefound", () =>
        registration.installing?.addEventListener("statechange", offer),
      );
      $("#update button").addEventListener("click", () => registration.waiting?.postMessage("now"));
      let reloaded = false;
      const controlled = Boolean(navigator.serviceWorker.controller);
      navigator.serviceWorker.addEventListener("controllerchange", () => {
        if (controlled && !reloaded) {
          reloaded = true;
          location.reload();
        }
      });
    })
    .catch(() => {});

  start();
})();
