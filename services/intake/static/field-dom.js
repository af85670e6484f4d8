/* Field app: elements, formats and the parts of a page that several pages share. */
"use strict";

window.fieldApp = {};

((app) => {
  const ZONE = { hour12: false, timeZone: "Asia/Shanghai" };
  const MEGABYTE = 1_048_576;
  const GIGABYTE = 1_073_741_824;

  const find = (selector, root = document) => root.querySelector(selector);

  /** Create an element. `dataset` and `attributes` are set one by one; null children are skipped. */
  function make(tag, properties = {}, ...children) {
    const { dataset, attributes, ...own } = properties;
    const element = Object.assign(document.createElement(tag), own);
    Object.assign(element.dataset, dataset ?? {});
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value !== null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const formatTime = (at) => new Date(at).toLocaleTimeString("zh-CN", ZONE);

  function formatDateTime(at) {
    const digits = { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" };
    return new Date(at).toLocaleString("zh-CN", { ...digits, ...ZONE });
  }

  function formatBytes(bytes) {
    if (bytes < GIGABYTE) return `${(bytes / MEGABYTE).toFixed(1)} MB`;
    return `${(bytes / GIGABYTE).toFixed(1)} GB`;
  }

  function heading(text, back = "") {
    const link = back ? make("a", { href: back }, "‹ 返回") : null;
    const crumbs = link ? make("p", { className: "crumbs" }, link) : null;
    return make("div", { className: "head" }, crumbs, make("h1", {}, text));
  }

  const note = (kind, text) => make("div", { className: `note ${kind}` }, make("p", {}, text));
  const empty = (text) => make("div", { className: "empty" }, make("p", {}, text));
  const bar = (...children) => make("p", { className: "bar" }, ...children);
  const button = (text, className, onclick) =>
    make("button", { type: "button", className, onclick }, text);

  app.home = "/intake/field/";
  app.states = { draft: "草稿", queued: "待上传", sent: "已上传" };
  app.dom = { find, make, heading, note, empty, bar, button };
  app.format = { time: formatTime, dateTime: formatDateTime, bytes: formatBytes };
})(window.fieldApp);
