/* Field app: upload queued visits.

   Photos are uploaded one by one, named by their SHA-256, and the report last. A record is removed
   from the phone only when the server has confirmed it and misses nothing. One page at a time
   uploads (Web Locks). */
"use strict";

((app) => {
  const API = "/intake/api/visits/";
  const PING_WORD = "fengping-field";
  const PING_TIMEOUT_MS = 8_000;
  const UPLOAD_TIMEOUT_MS = 60_000;
  const BACKOFF_MIN_MS = 1_000;
  const BACKOFF_MAX_MS = 300_000;
  const ROUNDS_MAX = 3;
  const SENTENCES = {
    401: "登录已过期，请登录后继续",
    403: "登录已过期，请登录后继续",
    413: "照片超过 10 MB",
  };

  /** What is known of the server: `reachable` is null before the first ping; `uploading` is the
      photo being uploaded. */
  const state = { reachable: null, session: null, uploading: null };
  let backoff = 0;
  let timer = 0;

  /** An answer that a retry would not change. */
  class RejectedByServer extends Error {
    constructor(status, sentence) {
      super(sentence);
      this.status = status;
    }
  }

  /** Ask for the word that only this server knows: a captive portal answers 200 as well, and the
      service worker answers without any network. */
  async function ping() {
    try {
      const answer = await fetch(`${app.home}ping`, {
        cache: "no-store",
        signal: AbortSignal.timeout(PING_TIMEOUT_MS),
      });
      const body = await answer.json();
      state.reachable = body.word === PING_WORD;
      state.session = state.reachable && body.account ? body : null;
    } catch {
      state.reachable = false;
    }
    await app.status.render();
    return state.reachable;
  }

  async function send(method, url, body, type) {
    const answer = await fetch(url, {
      method,
      body,
      cache: "no-store",
      signal: AbortSignal.timeout(UPLOAD_TIMEOUT_MS),
      headers: {
        "Content-Type": type,
        "X-CSRF-Token": state.session?.csrf ?? "",
        Accept: "application/json",
      },
    });
    const content = await answer.json().catch(() => null);
    if (answer.status === 200 || answer.status === 201) return content;
    if (answer.status >= 500 || answer.status === 429) throw new Error(`HTTP ${answer.status}`);
    const sentence = SENTENCES[answer.status] ?? content?.detail;
    throw new RejectedByServer(answer.status, sentence ?? `服务器没有接受（${answer.status}）`);
  }

  async function uploadPhoto(visit, photo) {
    const url = `${API}${visit.id}/photos/${photo.sha}`;
    const body = await app.storage.loadPhoto(visit.id, photo.sha);
    const answer = await send("PUT", url, body, "image/jpeg");
    if (answer?.sha256 !== photo.sha) throw new Error("not our server");
    photo.sent = true;
    await app.storage.saveVisit(visit);
  }

  async function uploadPhotos(visit, missing) {
    for (const [index, photo] of visit.photos.entries()) {
      if (!missing.includes(photo.sha)) continue;
      state.uploading = { place: index + 1, total: visit.photos.length };
      await app.status.render();
      await uploadPhoto(visit, photo);
    }
  }

  async function uploadReport(visit) {
    const body = JSON.stringify(reportOf(visit));
    const receipt = await send("POST", `${API}${visit.id}/commit`, body, "application/json");
    const isOurs = receipt?.id === visit.id && Array.isArray(receipt.missing);
    if (!isOurs) throw new Error("not our server");
    return receipt;
  }

  function reportOf(visit) {
    const items = Object.entries(visit.items).map(([item_id, { result, note = "" }]) => ({
      item_id,
      result,
      note,
    }));
    return {
      campaign_id: visit.campaign_id,
      round_id: visit.round_id || null,
      unit_id: visit.unit_id,
      mode: visit.mode,
      visited_at: visit.visited_at,
      device_at: visit.device_at,
      position: visit.position ?? null,
      place: visit.place ?? "",
      remarks: visit.remarks ?? "",
      photos: visit.photos.map(({ sha }) => sha),
      items,
    };
  }

  /** Upload the photos that the server misses, then the report, until nothing is missing. */
  async function uploadVisit(visit) {
    let missing = visit.photos.filter(({ sent }) => !sent).map(({ sha }) => sha);
    for (let round = 0; round < ROUNDS_MAX; round++) {
      await uploadPhotos(visit, missing);
      const receipt = await uploadReport(visit);
      if (!receipt.missing.length) return receipt;
      missing = receipt.missing;
    }
    throw new Error("photos are still missing");
  }

  async function markSent(visit, receipt) {
    const photos = visit.photos.map(({ sha, thumb }) => ({ sha, thumb, sent: true }));
    await app.storage.deletePhotos(visit.id);
    await app.storage.saveSetting("lastUpload", Date.now());
    await app.storage.saveVisit({
      ...visit,
      state: "sent",
      error: "",
      photos,
      receipt: { number: receipt.number, at: Date.now() },
    });
  }

  /** Upload one visit; return whether the next one can be tried. */
  async function tryUpload(visit) {
    try {
      const receipt = await uploadVisit({ ...visit, error: "" });
      await markSent(visit, receipt);
      return true;
    } catch (error) {
      if (!(error instanceof RejectedByServer)) return false;
      if (error.status === 401) {
        state.session = null;
        return false;
      }
      await app.storage.saveVisit({
        ...(await app.storage.loadVisit(visit.id)),
        error: error.message,
      });
      return true;
    } finally {
      state.uploading = null;
    }
  }

  async function uploadQueued(retryRejected) {
    if (!(await ping()) || !state.session) return scheduleRetry();
    const visits = await app.storage.listVisits();
    for (const visit of visits.reverse()) {
      const isDue = visit.state === "queued" && (retryRejected || !visit.error);
      if (!isDue || visit.account !== state.session.account.id) continue;
      if (!(await tryUpload(visit))) return scheduleRetry();
    }
    backoff = 0;
  }

  function scheduleRetry() {
    backoff = Math.min(BACKOFF_MAX_MS, backoff ? backoff * 2 : BACKOFF_MIN_MS);
    clearTimeout(timer);
    timer = setTimeout(uploadIfVisible, backoff);
  }

  /** Upload all queued visits. `requested`: the inspector asked for it, so visits that the server
      rejected are tried again. */
  async function upload({ requested = false } = {}) {
    if (requested) backoff = 0;
    await navigator.locks.request("field-upload", { ifAvailable: true }, async (lock) => {
      if (lock) await uploadQueued(requested);
    });
    state.uploading = null;
    await app.status.render();
    await app.refresh();
  }

  function uploadIfVisible() {
    if (document.visibilityState === "visible") upload();
  }

  app.sync = { state, upload, uploadIfVisible };
})(window.fieldApp);
