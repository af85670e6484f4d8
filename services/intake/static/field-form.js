/* Field app: the fields of the visit form.

   `form.visit` is the visit as filled in so far; `form.change(values)` merges values into it and
   saves the draft. */
"use strict";

((app) => {
  const { make, button, bar } = app.dom;
  const OPTIONS_MAX = 8;
  const PHOTOS_MAX = 9;
  const NOTE_MIN = 5;
  const LOCATION_TIMEOUT_MS = 15_000;
  const IME_KEY_CODE = 229;
  const MODES = { covert: "暗访", announced: "明察" };
  const NO_ROUND = "不属于轮次（明察）";
  const RESULTS = [
    ["pass", "符合"],
    ["fail", "不符合"],
    ["na", "不适用"],
  ];

  const field = (...children) => make("div", { className: "f" }, make("div", {}, ...children));

  /** Call `save` when the text of a field changed, but not while an input method composes. */
  function onText(element, save) {
    element.addEventListener("input", (event) => {
      if (!event.isComposing) save(element.value);
    });
    element.addEventListener("compositionend", () => save(element.value));
    element.addEventListener("change", () => save(element.value));
  }

  function textField(form, name, label, tag) {
    const id = `f-${name}`;
    const value = form.visit[name] ?? "";
    const input = make(tag, { id, name, value, autocomplete: "off" });
    onText(input, (text) => form.change({ [name]: text }));
    const optional = make("span", { className: "opt" }, "（可不填）");
    return field(make("label", { htmlFor: id }, label, optional), input);
  }

  function radio(name, value, isChecked, id, onchange) {
    return make("input", { type: "radio", name, value, checked: isChecked, id, onchange });
  }

  function radios({ name, legend, options, chosen, id, choose }) {
    const labels = options.map(([value, text], index) => {
      const input = radio(name, value, value === chosen, index ? "" : id, () => choose(value));
      return make("label", {}, input, text);
    });
    const choices = make("div", { className: "seg" }, ...labels);
    return make("fieldset", {}, make("legend", {}, legend), choices);
  }

  // ── unit ──────────────────────────────────────────────────────────────────────────────────────

  /** Units whose name matches by 汉字, 全拼 or 首字母. */
  function searchUnits(units, typed) {
    const term = typed.trim().toLowerCase().replace(/['\s]/g, "");
    const matches = ({ search }) => search.split(" ").some((part) => part.includes(term));
    return units.filter((unit) => !term || matches(unit)).slice(0, OPTIONS_MAX);
  }

  function unitInput(value) {
    return make("input", {
      id: "f-unit",
      type: "text",
      autocomplete: "off",
      value,
      attributes: {
        role: "combobox",
        "aria-expanded": "false",
        "aria-controls": "f-unit-l",
        "aria-autocomplete": "list",
      },
    });
  }

  function unitOption(unit, index, choose) {
    const onmousedown = (event) => {
      event.preventDefault();
      choose(unit);
    };
    return make("div", {
      id: `f-unit-l-${index}`,
      textContent: unit.name,
      onmousedown,
      attributes: { role: "option", "aria-selected": String(index === 0) },
    });
  }

  function unitField(form, units, rounds) {
    const input = unitInput(form.visit.unit_name);
    const list = make("div", {
      id: "f-unit-l",
      className: "options",
      hidden: true,
      attributes: { role: "listbox", "aria-label": "被检查单位" },
    });
    const status = make("span", { className: "sr", attributes: { role: "status" } });

    function expand(isExpanded) {
      list.hidden = !isExpanded;
      input.setAttribute("aria-expanded", String(isExpanded));
    }

    function choose(unit) {
      input.value = unit.name;
      expand(false);
      form.change({ unit_id: unit.id, unit_name: unit.name });
    }

    function suggest() {
      const found = searchUnits(unitsOf(units, rounds, form.visit), input.value);
      list.replaceChildren(...found.map((unit, index) => unitOption(unit, index, choose)));
      status.textContent = `${found.length} 个结果`;
      expand(Boolean(found.length));
      return found;
    }

    function onInput(event) {
      if (event.isComposing) return;
      if (input.value !== form.visit.unit_name) {
        form.change({ unit_id: "", unit_name: input.value });
      }
      suggest();
    }

    function onKeydown(event) {
      if (event.isComposing || event.keyCode === IME_KEY_CODE || list.hidden) return;
      if (event.key === "Escape") expand(false);
      if (event.key !== "Enter") return;
      event.preventDefault();
      const [first] = suggest();
      if (first) choose(first);
    }

    input.addEventListener("input", onInput);
    input.addEventListener("compositionend", suggest);
    input.addEventListener("focus", () => {
      if (!input.value) suggest();
    });
    input.addEventListener("blur", () => expand(false));
    input.addEventListener("keydown", onKeydown);
    const combobox = make("div", { className: "combo" }, input, list, status);
    return field(make("label", { htmlFor: "f-unit" }, "被检查单位"), combobox);
  }

  // ── round, time and place ─────────────────────────────────────────────────────────────────────

  const modeName = (mode) => MODES[mode];

  /** Civil day in the zone of the appraisal, such as 2026-11-20. */
  const dayOf = (at) => new Date(at).toLocaleDateString("sv-SE", { timeZone: "Asia/Shanghai" });
  const isOver = ({ ends_on }) => ends_on < dayOf(Date.now());
  const coversDay = (round, day) => round.begins_on <= day && day <= round.ends_on;

  const openRounds = (rounds, at) => rounds.filter((round) => coversDay(round, dayOf(at)));

  /** Every visit belongs to a round of the inspector; an announced one may do without. While
      a round is open nothing is chosen beforehand: a covert visit must not leave as an announced one
      by mistake. */
  function roundField(form, rounds) {
    const open = openRounds(rounds, form.visit.visited_at);
    const choices = open.map((round) => [round.id, `${round.name}（${modeName(round.mode)}）`]);
    return radios({
      name: "round",
      legend: "检查轮次",
      options: [...choices, ["", NO_ROUND]],
      chosen: form.visit.round_id,
      id: "f-round",
      choose: (id) => {
        const mode = open.find((round) => round.id === id)?.mode ?? "announced";
        return form.change({ round_id: id, mode });
      },
    });
  }

  /** The units that the chosen round visits; a round without units visits all. */
  function unitsOf(units, rounds, visit) {
    const ids = rounds.find(({ id }) => id === visit.round_id)?.units ?? [];
    return ids.length ? units.filter(({ id }) => ids.includes(id)) : units;
  }

  const positionSentence = (metres) => `位置 ±${Math.round(metres)} 米`;

  function placeField(form) {
    const { position, visited_at } = form.visit;
    const sentence = position ? positionSentence(position.accuracy_metres) : "没有定位";
    const status = make("span", { attributes: { role: "status" } }, sentence);

    function onLocated({ coords }) {
      const { latitude, longitude, accuracy } = coords;
      form.change({ position: { latitude, longitude, accuracy_metres: accuracy } });
      status.textContent = positionSentence(accuracy);
    }

    function onLocationError() {
      status.textContent = "没有定位成功，请手写地点";
    }

    function locate() {
      status.textContent = "正在定位…";
      const options = { enableHighAccuracy: true, timeout: LOCATION_TIMEOUT_MS };
      navigator.geolocation?.getCurrentPosition(onLocated, onLocationError, options);
    }

    const time = `时间 ${app.format.dateTime(visited_at)}（手机时间）`;
    const locateButton = button("定位", "btn s", locate);
    const place = textField(form, "place", "地点", "input");
    return make("div", {}, bar(time, status, locateButton), place);
  }

  // ── checklist ─────────────────────────────────────────────────────────────────────────────────

  function itemField(form, item, index) {
    const answer = () => form.visit.items[item.id] ?? {};
    const noteId = `f-n-${item.id}`;
    const note = make("textarea", { id: noteId, rows: 2, value: answer().note ?? "" });
    const noteLabel = make("label", { htmlFor: noteId }, "情况说明（不写姓名、电话）");
    const noteBox = make("div", { hidden: answer().result !== "fail" }, noteLabel, note);

    function set(values) {
      const changed = { ...answer(), ...values };
      noteBox.hidden = changed.result !== "fail";
      return form.change({ items: { ...form.visit.items, [item.id]: changed } });
    }

    onText(note, (text) => set({ note: text }));
    const result = radios({
      name: item.id,
      legend: `${index + 1}. ${item.label}`,
      options: RESULTS,
      chosen: answer().result,
      id: `f-i-${item.id}`,
      choose: (value) => set({ result: value }),
    });
    return make("div", { className: "item" }, result, noteBox);
  }

  // ── photos ────────────────────────────────────────────────────────────────────────────────────

  function photoPicker(id, label, isCamera, onFiles) {
    const onchange = (event) => {
      onFiles([...event.target.files]);
      event.target.value = "";
    };
    const input = make("input", {
      id,
      type: "file",
      className: "sr",
      accept: "image/*",
      multiple: !isCamera,
      onchange,
      attributes: isCamera ? { capture: "environment" } : {},
    });
    return make("label", { className: "btn", htmlFor: id }, label, input);
  }

  function photoField(form) {
    const list = make("ul", { className: "photos" });
    const status = make("p", { attributes: { role: "status" } });

    function photoItem({ sha, thumb }, index) {
      const image = make("img", { src: thumb, alt: `照片 ${index + 1}` });
      return make(
        "li",
        {},
        image,
        button("去掉", "btn s", () => remove(sha)),
      );
    }

    function render() {
      const { photos } = form.visit;
      status.textContent = `现场照片 ${photos.length}/${PHOTOS_MAX}`;
      list.replaceChildren(...photos.map(photoItem));
    }

    async function remove(sha) {
      await form.change({ photos: form.visit.photos.filter((photo) => photo.sha !== sha) });
      await app.storage.deletePhoto(form.visit.id, sha);
      render();
    }

    async function addOne(file) {
      const blob = await app.images.shrink(file);
      const photo = await app.storage.savePhoto(form.visit.id, blob);
      if (form.visit.photos.some(({ sha }) => sha === photo.sha)) return;
      const thumb = await app.images.thumbnail(blob);
      await form.change({ photos: [...form.visit.photos, { ...photo, thumb, sent: false }] });
    }

    async function add(files) {
      for (const file of files) {
        if (form.visit.photos.length >= PHOTOS_MAX) {
          status.textContent = `最多 ${PHOTOS_MAX} 张照片`;
          return;
        }
        status.textContent = "正在处理照片…";
        try {
          await addOne(file);
          render();
        } catch (error) {
          status.textContent = error.message;
        }
      }
    }

    render();
    const camera = photoPicker("f-camera", "拍照", true, add);
    const album = photoPicker("f-album", "从相册选", false, add);
    const title = make("h2", {}, "现场照片");
    return make("div", { className: "item" }, title, status, list, bar(camera, album));
  }

  // ── validation ────────────────────────────────────────────────────────────────────────────────

  /** The error of an item as (field, sentence), or null. */
  function itemError(visit, item) {
    const { result, note = "" } = visit.items[item.id] ?? {};
    if (!result) return [`i-${item.id}`, `“${item.label}”还没有填写`];
    const isExplained = note.trim().length >= NOTE_MIN || visit.photos.length > 0;
    if (result !== "fail" || isExplained) return null;
    return [`n-${item.id}`, `“${item.label}”不符合，请写明情况或附照片`];
  }

  function unitError(visit, { units, rounds }) {
    if (!visit.unit_id) return ["unit", "请选择被检查单位"];
    const isVisited = unitsOf(units, rounds, visit).some(({ id }) => id === visit.unit_id);
    return isVisited ? null : ["unit", "这个轮次不检查该单位，请改选单位或轮次"];
  }

  function validate(visit, reference) {
    const { items } = reference;
    const roundErrors = visit.round_id === null ? [["round", "请选择检查轮次"]] : [];
    const unitErrors = [unitError(visit, reference)].filter(Boolean);
    const itemErrors = items.map((item) => itemError(visit, item)).filter(Boolean);
    return [...roundErrors, ...unitErrors, ...itemErrors];
  }

  function errorSummary(errors) {
    const lines = errors.map(([name, sentence]) =>
      make("li", {}, make("a", { href: `#f-${name}` }, sentence)),
    );
    return make(
      "div",
      { className: "errsum", id: "errsum", tabIndex: -1, attributes: { role: "alert" } },
      make("h2", {}, `有 ${errors.length} 处需要更正`),
      make("ul", {}, ...lines),
    );
  }

  app.form = {
    roundField,
    unitField,
    isOver,
    openRounds,
    modeName,
    placeField,
    itemField,
    photoField,
    textField,
    validate,
    errorSummary,
  };
})(window.fieldApp);
