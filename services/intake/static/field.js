/* Field app: record inspections on a phone, with or without a network. This file starts it.

   Everything is stored on the phone first and uploaded afterwards: see field-storage.js and
   field-sync.js. */
"use strict";

((app) => {
  const { find, note } = app.dom;
  const UPLOAD_INTERVAL_MS = 60_000;
  const path = location.pathname.slice(app.home.length);

  /** Render the page again after data changed; the visit form is never replaced while it is used. */
  app.refresh = async () => {};

  function browserWarning() {
    const agent = navigator.userAgent;
    if (/MicroMessenger|DingTalk|AlipayClient/i.test(agent)) {
      return "请点右上角，用系统浏览器打开。微信、钉钉内置的浏览器不能可靠地拍照和保存。";
    }
    const isInstalled = navigator.standalone ?? matchMedia("(display-mode: standalone)").matches;
    if (/iPhone|iPad/.test(agent) && !isInstalled) {
      return "请先点“分享”，再点“添加到主屏幕”，然后从主屏幕打开：否则 7 天不打开可能丢失记录。";
    }
    return "";
  }

  async function showPage() {
    if (path.startsWith("visit/")) {
      await app.pages.visitPage(path.slice("visit/".length));
      return;
    }
    app.refresh = path.startsWith("queue") ? app.pages.queuePage : app.pages.homePage;
    await app.refresh();
  }

  async function start() {
    const warning = browserWarning();
    if (warning) find("#browser-warning").replaceChildren(note("w", warning));
    try {
      await app.storage.open();
    } catch {
      app.pages.storageUnavailable();
      return;
    }
    await app.status.render();
    await app.pages.loadReference();
    await showPage();
    app.sync.upload();
  }

  function listen() {
    app.storage.channel.onmessage = async () => {
      await app.status.render();
      await app.refresh();
    };
    addEventListener("online", () => app.sync.upload());
    addEventListener("pageshow", () => app.sync.upload());
    addEventListener("offline", () => {
      app.sync.state.reachable = false;
      app.status.render();
    });
    document.addEventListener("visibilitychange", app.sync.uploadIfVisible);
    setInterval(app.sync.uploadIfVisible, UPLOAD_INTERVAL_MS);
  }

  /** Offer a new version. It is activated only on request, never while a form is filled in. */
  async function registerServiceWorker() {
    const workers = navigator.serviceWorker;
    if (!workers) return;
    const registration = await workers.register(`${app.home}sw.js`, { scope: app.home });
    const offerUpdate = () => {
      if (registration.waiting && workers.controller) find("#update").hidden = false;
    };
    offerUpdate();
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", offerUpdate);
    });
    find("#update button").addEventListener("click", () => {
      registration.waiting?.postMessage("now");
    });
    reloadOnNewVersion(workers);
  }

  function reloadOnNewVersion(workers) {
    const wasControlled = Boolean(workers.controller);
    let isReloading = false;
    workers.addEventListener("controllerchange", () => {
      if (!wasControlled || isReloading) return;
      isReloading = true;
      location.reload();
    });
  }

  listen();
  registerServiceWorker().catch(() => {});
  start();
})(window.fieldApp);
