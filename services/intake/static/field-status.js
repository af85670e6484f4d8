/* Field app: the status bar, which always says what is not uploaded yet. */
"use strict";

((app) => {
  const { find } = app.dom;
  const element = find("#state");
  const text = find("p", element);
  const uploadButton = find("button", element);
  const signInLink = find("a", element);

  const pendingPhotos = (visit) => visit.photos.filter(({ sent }) => !sent);

  function activity() {
    const { uploading, reachable, session } = app.sync.state;
    if (uploading) return `正在上传照片 ${uploading.place}/${uploading.total}`;
    if (reachable === false) return "离线";
    return reachable && !session ? "登录已过期，请登录后继续" : "等待上传";
  }

  function queuedSentence(queued) {
    const photos = queued.flatMap(pendingPhotos);
    const bytes = photos.reduce((sum, { size }) => sum + (size ?? 0), 0);
    const pending = photos.length ? `，照片 ${photos.length} 张，${app.format.bytes(bytes)}` : "";
    return `待上传 ${queued.length} 份（${activity()}${pending}）`;
  }

  function idleSentence(lastUpload) {
    if (app.sync.state.reachable === false) return "无法连接服务器（本机没有待传内容）";
    return lastUpload ? `全部已上传 ${app.format.time(lastUpload)}` : "本机没有待传内容";
  }

  /** The class and the sentence of the bar: the most urgent that holds. */
  function describe(queued, lastUpload) {
    const rejected = queued.filter(({ error }) => error);
    if (rejected.length) {
      return ["failed", `有 ${rejected.length} 份未能上传：${rejected[0].error}`];
    }
    if (queued.length) return ["waiting", queuedSentence(queued)];
    return ["", idleSentence(lastUpload)];
  }

  async function render() {
    const visits = await app.storage.listVisits().catch(() => null);
    if (!visits) return;
    const lastUpload = await app.storage.loadSetting("lastUpload");
    const queued = visits.filter(({ state }) => state === "queued");
    const { uploading, reachable, session } = app.sync.state;
    const [className, sentence] = describe(queued, lastUpload);
    element.className = `state ${className}`;
    if (text.textContent !== sentence) text.textContent = sentence;
    uploadButton.hidden = !queued.length || Boolean(uploading);
    signInLink.hidden = !(queued.length && reachable && !session);
    navigator.setAppBadge?.(queued.length).catch(() => {});
  }

  uploadButton.addEventListener("click", () => app.sync.upload({ requested: true }));

  app.status = { render };
})(window.fieldApp);
