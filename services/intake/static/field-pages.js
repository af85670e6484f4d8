/* Field app: the pages. */
"use strict";

((app) => {
  const { find, make, heading, note, empty, bar, button } = app.dom;
  const DAY_MS = 86_400_000;
  const SENT_SHOWN_DAYS = 7;
  const REFERENCE_TIMEOUT_MS = 8_000;
  const FINAL = "提交后不能修改，如有补充请新建补充记录。";
  const container = find("#app");

  /** Units and checklist of the current campaign and the rounds of the inspector; null until the
      phone was online once. */
  let reference = null;

  async function loadReference() {
    reference = await app.storage.loadReference();
    try {
      const answer = await fetch(`${app.home}data`, {
        signal: AbortSignal.timeout(REFERENCE_TIMEOUT_MS),
        headers: { Accept: "application/json" },
      });
      if (!answer.ok) return;
      reference = await answer.json();
      await app.storage.saveReference(reference);
    } catch {
      // Offline: the stored reference is used.
    }
  }

  const show = (...children) => container.replaceChildren(...children);

  // ── home ──────────────────────────────────────────────────────────────────────────────────────

  async function homePage() {
    const visits = await app.storage.listVisits();
    const unsent = visits.filter(({ state }) => state !== "sent");
    const sent = visits.filter(isRecentlySent);
    show(
      heading("外勤检查"),
      ...roundList(),
      make("p", {}, button("＋ 新的检查", "btn p", startVisit)),
      make("h2", {}, "草稿和待上传"),
      visitList(unsent, "没有未完成的检查，可新建。"),
      make("h2", {}, `已上传 ${sent.length} 份（7 天内）`),
      visitList(sent, "7 天内没有上传的检查。"),
      make("p", { className: "small muted" }, await storageSentence()),
      make("p", {}, make("a", { href: `${app.home}queue` }, "待上传明细")),
    );
  }

  /** The rounds of this inspector that are not over, also without a network. */
  function roundList() {
    const rounds = (reference?.rounds ?? []).filter((round) => !app.form.isOver(round));
    if (!rounds.length) return [];
    const items = rounds.map(({ name, mode, begins_on, ends_on }) => {
      const days = `${app.form.modeName(mode)} · ${begins_on} 至 ${ends_on}`;
      return make("li", {}, make("div", { className: "what" }, make("b", {}, name), days));
    });
    return [make("h2", {}, "我的检查轮次"), make("ul", { className: "records" }, ...items)];
  }

  function isRecentlySent({ state, receipt }) {
    return state === "sent" && receipt.at > Date.now() - SENT_SHOWN_DAYS * DAY_MS;
  }

  async function storageSentence() {
    const estimate = await navigator.storage?.estimate?.().catch(() => null);
    const isPersisted = await navigator.storage?.persisted?.().catch(() => false);
    const parts = [reference?.title ?? "还没有取得评议活动，请联网打开一次。"];
    if (estimate) {
      const usage = app.format.bytes(estimate.usage ?? 0);
      parts.push(`存储 ${usage} / 可用 ${app.format.bytes(estimate.quota ?? 0)}`);
    }
    if (isPersisted) parts.push("已申请长期保存 ✓");
    return parts.join(" · ");
  }

  function visitList(visits, sentence) {
    if (!visits.length) return empty(sentence);
    return make("ul", { className: "records" }, ...visits.map(visitItem));
  }

  function visitItem(visit) {
    const isDraft = visit.state === "draft";
    const parts = [app.format.dateTime(visit.created), app.states[visit.state]];
    if (visit.receipt) parts.push(visit.receipt.number);
    const progress = isDraft && reference ? ` ${progressOf(visit)}%` : "";
    const name = make("b", {}, visit.unit_name || "未选单位");
    const summary = make("div", { className: "what" }, name, `${parts.join(" · ")}${progress}`);
    const href = `${app.home}visit/${visit.id}`;
    return make("li", {}, summary, isDraft ? make("a", { className: "btn", href }, "继续") : null);
  }

  function progressOf(visit) {
    const answered = Object.values(visit.items).filter(({ result }) => result);
    return Math.round((100 * answered.length) / reference.items.length);
  }

  async function startVisit() {
    await navigator.storage?.persist?.().catch(() => {});
    location.assign(`${app.home}visit/${crypto.randomUUID()}`);
  }

  // ── one visit ─────────────────────────────────────────────────────────────────────────────────

  function newVisit(id) {
    return {
      id,
      state: "draft",
      created: Date.now(),
      unit_id: "",
      unit_name: "",
      round_id: app.form.openRounds(reference?.rounds ?? [], Date.now()).length ? null : "",
      mode: "announced",
      visited_at: new Date().toISOString(),
      items: {},
      photos: [],
      place: "",
      remarks: "",
      campaign_id: reference?.campaign_id ?? "",
      account: reference?.account ?? "",
    };
  }

  /** A visit that is saved on every change, one save after the other. */
  class DraftForm {
    constructor(visit) {
      this.visit = visit;
      this.status = make("p", { className: "small muted", attributes: { role: "status" } });
      this.saved = Promise.resolve();
    }

    change(values) {
      this.visit = { ...this.visit, ...values };
      this.saved = this.saved.then(() => this.#save());
      return this.saved;
    }

    async #save() {
      try {
        await app.storage.saveVisit(this.visit);
        this.status.textContent = `草稿已存本机 ${app.format.time(Date.now())}`;
      } catch {
        this.status.textContent = "本机没有保存成功，请勿关闭本页";
      }
    }
  }

  async function visitPage(id) {
    const visit = (await app.storage.loadVisit(id)) ?? newVisit(id);
    if (visit.state !== "draft") {
      const sentence = `${app.states[visit.state]}。${FINAL}`;
      return show(heading("检查记录", app.home), make("p", {}, sentence));
    }
    if (!reference) {
      const sentence = "还没有取得单位名单和检查表，请联网打开一次。";
      return show(heading("检查填报", app.home), make("p", {}, sentence));
    }
    const form = new DraftForm(visit);
    const card = make("div", { className: "card" }, visitForm(form));
    show(heading("检查填报", app.home), form.status, card);
  }

  function visitForm(form) {
    const errors = make("div", {});
    const onsubmit = (event) => {
      event.preventDefault();
      submitVisit(form, errors);
    };
    return make(
      "form",
      { noValidate: true, onsubmit },
      errors,
      app.form.roundField(form, reference.rounds),
      app.form.unitField(form, reference.units, reference.rounds),
      app.form.placeField(form),
      make("h2", {}, "检查项目"),
      ...reference.items.map((item, index) => app.form.itemField(form, item, index)),
      app.form.photoField(form),
      app.form.textField(form, "remarks", "其他情况", "textarea"),
      make("p", { className: "consequence" }, FINAL),
      bar(
        make("button", { className: "btn p" }, "完成并提交"),
        make("a", { className: "btn", href: app.home }, "存草稿"),
      ),
    );
  }

  async function submitVisit(form, errors) {
    await form.saved;
    const found = app.form.validate(form.visit, reference);
    if (found.length) {
      const summary = app.form.errorSummary(found);
      errors.replaceChildren(summary);
      summary.focus();
      return;
    }
    const device_at = new Date().toISOString();
    await app.storage.saveVisit({ ...form.visit, state: "queued", device_at, error: "" });
    location.assign(app.home);
  }

  // ── queue ─────────────────────────────────────────────────────────────────────────────────────

  async function queuePage() {
    const visits = await app.storage.listVisits();
    const queued = visits.filter(({ state }) => state === "queued");
    const items = queued.map(queuedItem);
    show(
      heading("待上传", app.home),
      items.length ? make("ul", { className: "records" }, ...items) : empty("全部已上传。"),
      make("p", {}, button("退出并清除本机记录", "btn", signOut)),
    );
  }

  function queuedItem(visit) {
    const sent = visit.photos.filter((photo) => photo.sent).length;
    const parts = [app.format.dateTime(visit.created), `照片 ${sent}/${visit.photos.length}`];
    if (visit.error) parts.push(visit.error);
    const name = make("b", {}, visit.unit_name);
    const retry = button("重试", "btn", () => app.sync.upload({ requested: true }));
    const remove = sent ? null : button("删除", "btn d", () => removeVisit(visit));
    const summary = make("div", { className: "what" }, name, parts.join(" · "));
    return make("li", {}, summary, retry, remove);
  }

  async function removeVisit(visit) {
    const question = `删除“${visit.unit_name}”的检查记录，不能恢复。请输入“删除”`;
    if (window.prompt(question) !== "删除") return;
    await app.storage.deleteVisit(visit.id);
    await app.refresh();
  }

  /** Sign out and delete what the server has; refused while anything is not uploaded. */
  async function signOut() {
    const visits = await app.storage.listVisits();
    if (visits.some(({ state }) => state !== "sent")) {
      window.alert("还有草稿或待上传的记录，请先上传或删除。");
      return;
    }
    await app.storage.deleteEverything();
    location.assign("/login");
  }

  function storageUnavailable() {
    const sentence = "这个浏览器不能保存数据（可能是无痕模式），请换用普通窗口。";
    show(note("x", sentence));
  }

  app.pages = { loadReference, homePage, visitPage, queuePage, storageUnavailable };
})(window.fieldApp);
