/* Keeps the field pages openable without a network: the shell and its files, named by version. Never a write, never another path. */
"use strict";

const VERSION = {{ version_hash | tojson }};
const SHELL = {{ shell | tojson }};
const FILES = {{ files | tojson }};
const DATA = {{ data | tojson }};

self.addEventListener("install", (event) => event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll([SHELL, ...FILES]))));

self.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith("field-") && name !== VERSION) await caches.delete(name);
  await self.clients.claim();
})()));

self.addEventListener("message", (event) => event.data === "now" && self.skipWaiting());

self.addEventListener("fetch", (event) => {
  const { request } = event, url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && url.pathname.startsWith(SHELL) && !url.pathname.startsWith(`${SHELL}plans`)) event.respondWith(kept(SHELL));
  else if (FILES.includes(url.pathname)) event.respondWith(kept(url.pathname));
  else if (url.pathname === DATA) event.respondWith(fetch(request));
});

async function kept(path) {
  return (await caches.match(path, { cacheName: VERSION })) ?? fetch(path);
}
