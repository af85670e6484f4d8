/* Serves the field app without a network: its page and its files, cached by version.
   It answers no other path and no write. */
"use strict";

const VERSION = {{ version | tojson }};
const SHELL = {{ shell | tojson }};
const FILES = {{ files | tojson }};
const DATA = {{ data | tojson }};

self.addEventListener("install", (event) => event.waitUntil(fillCache()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", (event) => {
  if (event.data === "now") self.skipWaiting();
});
self.addEventListener("fetch", (event) => {
  const answer = answerTo(event.request);
  if (answer) event.respondWith(answer);
});

async function fillCache() {
  const cache = await caches.open(VERSION);
  await cache.addAll([SHELL, ...FILES]);
}

async function takeOver() {
  const names = await caches.keys();
  const outdated = names.filter((name) => name.startsWith("field-") && name !== VERSION);
  await Promise.all(outdated.map((name) => caches.delete(name)));
  await self.clients.claim();
}

function answerTo(request) {
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return null;
  if (request.mode === "navigate" && isAppPage(url.pathname)) return cached(SHELL);
  if (FILES.includes(url.pathname)) return cached(url.pathname);
  return url.pathname === DATA ? fetch(request) : null;
}

function isAppPage(path) {
  return path.startsWith(SHELL) && !path.startsWith(`${SHELL}plans`);
}

async function cached(path) {
  const found = await caches.match(path, { cacheName: VERSION });
  return found ?? fetch(path);
}
