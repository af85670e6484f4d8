/* Field app: what is stored on the phone, in IndexedDB.

   Visits and photos are encrypted with a key that cannot be exported. A visit is a draft, then
   queued, then sent; once it is queued it is not edited any more. */
"use strict";

((app) => {
  const DATABASE = "fengping-field";
  const CIPHER = { name: "AES-GCM", length: 256 };
  const NONCE_BYTES = 12;

  /** Tells the other open pages which visit changed. */
  const channel = new BroadcastChannel(DATABASE);
  let opening = null;

  /** The database, opened again whenever the browser closed it. */
  function database() {
    opening ??= window.idb
      .openDB(DATABASE, 1, { upgrade, blocking: close, terminated: forget })
      .catch((error) => {
        forget();
        throw error;
      });
    return opening;
  }

  function upgrade(db) {
    db.createObjectStore("visits", { keyPath: "id" });
    db.createObjectStore("photos", { keyPath: ["visit", "sha"] });
    db.createObjectStore("settings", { keyPath: "name" });
  }

  function close(_current, _blocked, event) {
    event.target.close();
    forget();
  }

  function forget() {
    opening = null;
  }

  /** Run `work`, which returns its requests, in a transaction that survives a power cut. */
  async function write(stores, work) {
    const db = await database();
    const transaction = db.transaction(stores, "readwrite", { durability: "strict" });
    const requests = work(...stores.map((name) => transaction.objectStore(name)));
    await Promise.all([...requests, transaction.done]);
  }

  const put = (store, value) => write([store], (target) => [target.put(value)]);

  // ── settings ──────────────────────────────────────────────────────────────────────────────────

  const saveSetting = (name, value) => put("settings", { name, value });

  async function loadSetting(name) {
    const db = await database();
    const setting = await db.get("settings", name);
    return setting?.value;
  }

  // ── encryption ────────────────────────────────────────────────────────────────────────────────

  async function phoneKey() {
    const stored = await loadSetting("key");
    if (stored) return stored;
    const key = await crypto.subtle.generateKey(CIPHER, false, ["encrypt", "decrypt"]);
    await saveSetting("key", key);
    return key;
  }

  async function encrypt(bytes) {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const key = await phoneKey();
    const body = await crypto.subtle.encrypt({ name: CIPHER.name, iv: nonce }, key, bytes);
    return { nonce, body };
  }

  async function decrypt({ nonce, body }) {
    return crypto.subtle.decrypt({ name: CIPHER.name, iv: nonce }, await phoneKey(), body);
  }

  async function sha256(bytes) {
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    const digits = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0"));
    return digits.join("");
  }

  // ── reference data ────────────────────────────────────────────────────────────────────────────

  /** Units, checklist and the inspector's rounds: encrypted, because a round may be covert. */
  async function saveReference(reference) {
    const sealed = await encrypt(new TextEncoder().encode(JSON.stringify(reference)));
    await saveSetting("reference", sealed);
  }

  async function loadReference() {
    const sealed = await loadSetting("reference");
    return sealed ? JSON.parse(new TextDecoder().decode(await decrypt(sealed))) : null;
  }

  // ── visits ────────────────────────────────────────────────────────────────────────────────────

  async function saveVisit({ id, state, created, ...content }) {
    const sealed = await encrypt(new TextEncoder().encode(JSON.stringify(content)));
    await put("visits", { id, state, created, sealed });
    await changed(id);
  }

  async function unsealed({ id, state, created, sealed }) {
    const content = JSON.parse(new TextDecoder().decode(await decrypt(sealed)));
    return { id, state, created, ...content };
  }

  async function loadVisit(id) {
    const db = await database();
    const row = await db.get("visits", id);
    return row ? unsealed(row) : null;
  }

  /** All visits on this phone, the newest first. */
  async function listVisits() {
    const db = await database();
    const visits = await Promise.all((await db.getAll("visits")).map(unsealed));
    return visits.sort((a, b) => b.created - a.created);
  }

  async function deleteVisit(id) {
    await write(["visits", "photos"], (visits, photos) => [
      visits.delete(id),
      photos.delete(photosOf(id)),
    ]);
    await changed(id);
  }

  async function changed(id) {
    channel.postMessage(id);
    await app.status.render();
  }

  // ── photos ────────────────────────────────────────────────────────────────────────────────────

  const photosOf = (visit) => IDBKeyRange.bound([visit], [visit, "\uffff"]);

  async function savePhoto(visit, blob) {
    const bytes = await blob.arrayBuffer();
    const photo = { sha: await sha256(bytes), size: bytes.byteLength };
    await put("photos", { visit, ...photo, sealed: await encrypt(bytes) });
    return photo;
  }

  async function loadPhoto(visit, sha) {
    const db = await database();
    const row = await db.get("photos", [visit, sha]);
    return row ? new Blob([await decrypt(row.sealed)], { type: "image/jpeg" }) : null;
  }

  const deletePhoto = (visit, sha) => write(["photos"], (photos) => [photos.delete([visit, sha])]);
  const deletePhotos = (visit) => write(["photos"], (photos) => [photos.delete(photosOf(visit))]);

  async function deleteEverything() {
    const db = await database();
    db.close();
    forget();
    indexedDB.deleteDatabase(DATABASE);
  }

  app.storage = {
    channel,
    open: database,
    saveSetting,
    loadSetting,
    saveReference,
    loadReference,
    saveVisit,
    loadVisit,
    listVisits,
    deleteVisit,
    savePhoto,
    loadPhoto,
    deletePhoto,
    deletePhotos,
    deleteEverything,
  };
})(window.fieldApp);
