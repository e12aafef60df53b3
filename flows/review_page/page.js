"use strict";
// Texts come ready to be shown; everything is put into the page as text, nothing as markup.

const part = id => document.getElementById(id);
const SECTIONS = ["start", "row", "end", "finished"];
const MOVES = { s: "skip", u: "undo", p: "previous", n: "next", h: "toggle", o: "overview" };
// Digits, then the letters that no other button has.
const KEYS = [..."1234567890", ..."qwertiadfgjklzxcvbmy"];
const MANY = 12; // labels from which on there is a box to find one

const me = { annotator: "", settles: false, suggestion: false };
const view = { token: "", review: null, row: null, passedOver: false, buttons: [], open: 0,
  chosen: new Set() }; // of several labels, those that are chosen and not yet saved

async function ask(name, more = {}) {
  let response;
  try {
    response = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${view.token}` },
      body: JSON.stringify(more),
    });
  } catch {
    throw new Error("The server does not answer. All answers that were saved are kept: give the "
      + "command in the terminal again, and open the address that it shows.");
  }
  const found = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(found.error ?? `The server failed (${response.status}).`);
  return found;
}

let busy = false;

/** Do one thing at a time: a key that is pressed meanwhile was meant for a row not yet seen. */
async function act(work) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    await work();
    part("problem").hidden = true;
  } catch (error) {
    part("problem").textContent = error.message;
    part("problem").hidden = false;
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
}

function show(section) {
  for (const name of SECTIONS) part(name).hidden = name !== section;
  part("progress").hidden = section !== "row" && section !== "end";
}

function made(tag, text, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...properties });
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// ---- who -----------------------------------------------------------------------------------

async function start() {
  view.review = await ask("review", me);
  const { title, labels, people, has_suggestions, several } = view.review;
  part("title").textContent = title;
  document.title = title;
  makeLabels(labels);
  part("save-box").hidden = !several;
  part("take").hidden = several;
  part("toggle").hidden = !has_suggestions;
  part("known").hidden = !people.length;
  part("known-people").replaceChildren(...people.map(own => made(
    "button", own.name, { dir: "auto", onclick: () => act(() => begin(own.name)) })));
  const name = sessionStorage.getItem("annotator");
  if (name) {
    me.annotator = name;
    me.suggestion = sessionStorage.getItem("suggestion") === "true";
    me.settles = sessionStorage.getItem("settles") === "true";
    await openRow();
  } else {
    me.suggestion = view.review.suggestion;
    show("start");
    part("name").focus();
  }
}

async function begin(name, settles = false) {
  Object.assign(me, { annotator: name, settles });
  view.passedOver = false;
  remember();
  await openRow();
}

function remember() {
  for (const [name, value] of Object.entries(me)) sessionStorage.setItem(name, value);
}

// ---- a row ---------------------------------------------------------------------------------

function makeLabels(labels) {
  view.buttons = labels.map(({ label, shown }, place) => {
    const button = made("button", "", { onclick: event => take(label, event) });
    button.append(made("bdi", shown));
    if (place < KEYS.length) {
      button.append(made("kbd", KEYS[place].toUpperCase()));
      button.setAttribute("aria-keyshortcuts", KEYS[place]);
    }
    return { label, shown, button, key: KEYS[place] };
  });
  part("labels").replaceChildren(...view.buttons.map(own => own.button));
  part("filter-box").hidden = labels.length < MANY;
}

/** Answer with a label; where a text may have several, put it in or take it out. */
function take(label, event) {
  if (!view.review.several) return act(() => answer(label));
  if (!view.chosen.delete(label)) view.chosen.add(label);
  // After the mouse, Enter saves; a person who goes through the buttons by keys stays there.
  if (event?.detail) part("row-title").focus({ preventScroll: true });
  return markLabels();
}

function markLabels() {
  for (const { label, button } of view.buttons) {
    button.setAttribute("aria-pressed", String(view.chosen.has(label)));
  }
  const count = view.chosen.size;
  part("chosen").textContent = `Save ${count ? plural(count, "label") : "none of them"}`;
}

const labelsOf = answered => answered === null || answered === undefined || answered === ""
  ? [] : [answered].flat();

const save = () => answer(view.buttons.map(own => own.label).filter(own => view.chosen.has(own)));

async function openRow(place = null) {
  showRow(await ask("row", { ...me, place, passed_over: view.passedOver }));
}

const answer = async label => showRow(await ask("answer",
  { ...me, place: view.row.place, label, passed_over: view.passedOver }));

function showRow(row) {
  part("person").textContent = me.annotator + (me.settles ? ", settling" : "");
  part("bar").value = row.rows ? (row.labeled + row.passed_over) / row.rows : 1;
  part("count").textContent = `${row.labeled.toLocaleString("en")} of ${plural(row.rows, "row")} labeled`
    + (row.passed_over ? `, ${row.passed_over.toLocaleString("en")} skipped` : "");
  if (row.place === null) return overview(row);
  view.row = row;
  part("row-title").textContent = `Row ${(row.place + 1).toLocaleString("en")} of `
    + view.review.rows.toLocaleString("en") + (row.answer === "" ? ", skipped" : "");
  part("texts").replaceChildren(...row.texts.map((own, _, all) => textBlock(own, all.length > 1)));
  part("others").hidden = !row.others.length;
  part("others").textContent = row.others.join("; ");
  showSuggestion(row.suggestion);
  const { several } = view.review;
  // Suggested labels are chosen to begin with: like Enter elsewhere, Save takes them as they are.
  view.chosen = new Set(labelsOf(several && !row.answer ? row.suggestion?.label : row.answer));
  markLabels();
  const suggested = labelsOf(row.suggestion?.label);
  for (const { label, button } of view.buttons) {
    button.classList.toggle("suggested", suggested.includes(label));
  }
  part("undo").disabled = !row.can_undo;
  part("previous").disabled = me.settles || row.place === 0;
  part("next").disabled = me.settles || row.place + 1 === view.review.rows;
  part("filter").value = "";
  filter();
  show("row");
  scrollTo(0, 0);
  part("row-title").focus({ preventScroll: true });
  part("status").textContent = part("row-title").textContent;
  return undefined;
}

function textBlock({ field, text, shown, length }, named) {
  const block = made("div", "", { className: "text", tabIndex: 0 });
  block.setAttribute("role", "region");
  block.setAttribute("aria-label", field);
  if (named) block.append(made("h3", field));
  block.append(made("p", text, { dir: "auto" }));
  if (shown < length) {
    block.append(made("p", `The first ${plural(shown, "character")} of ${length.toLocaleString("en")}.`,
      { className: "quiet" }));
  }
  return block;
}

function showSuggestion(found) {
  part("toggle").setAttribute("aria-pressed", String(me.suggestion));
  part("suggestion").hidden = !found;
  if (!found) return;
  const own = labelsOf(found.label).map(
    label => view.buttons.find(button => button.label === label).shown);
  part("suggested").textContent = own.join(", ") || "none of them";
  part("confidence").textContent = found.confidence && `(confidence ${found.confidence})`;
  part("why").textContent = found.why;
}

function filter() {
  const wanted = part("filter").value.trim().toLowerCase();
  const found = view.buttons.filter(own => {
    own.button.hidden = !own.shown.toLowerCase().includes(wanted);
    return !own.button.hidden;
  });
  part("no-label").hidden = found.length > 0;
  return found;
}

const undo = async () => showRow(await ask("undo", me));

async function toggle() {
  me.suggestion = !me.suggestion;
  remember();
  await openRow(view.row.place);
}

// ---- the end -------------------------------------------------------------------------------

async function overview(progress) {
  view.review = await ask("review", me);
  const { people, agreements, rows, unsettled } = view.review;
  const own = people.find(person => person.name === me.annotator)
    ?? { labeled: 0, passed_over: 0 };
  const open = rows - own.labeled - own.passed_over;
  const settled = me.settles && progress.place === null;
  part("end-title").textContent = settled ? "Nothing is left to settle"
    : open ? `${plural(open, "row")} open` : "All rows are done";
  part("people").replaceChildren(...people.map(person => {
    const line = document.createElement("tr");
    line.append(made("th", person.name, { scope: "row", dir: "auto" }),
      made("td", person.labeled.toLocaleString("en")),
      made("td", person.passed_over.toLocaleString("en")),
      made("td", (rows - person.labeled - person.passed_over).toLocaleString("en")));
    return line;
  }));
  part("agreement").hidden = !agreements.length;
  part("agreements").replaceChildren(...agreements.map(line => made("li", line)));
  view.open = open;
  part("take-back").hidden = !progress.can_undo;
  part("again").hidden = me.settles || !own.passed_over;
  part("settle").hidden = !unsettled;
  part("settle").textContent = `Settle ${plural(unsettled, "disagreement")}`;
  show("end");
  part("end-title").focus();
}

function anotherPerson() {
  sessionStorage.removeItem("annotator");
  Object.assign(me, { annotator: "", settles: false });
  part("name").value = "";
  return start();
}

async function finish() {
  const { lines } = await ask("finish");
  part("outcome").textContent = lines.join("\n");
  show("finished");
  part("finished-title").focus();
}

// ---- buttons and keys ----------------------------------------------------------------------

const DO = {
  save,
  skip: () => answer(""),
  undo,
  "take-back": undo,
  previous: () => openRow(view.row.place - 1),
  next: () => openRow(view.row.place + 1),
  toggle,
  overview: () => overview(view.row),
  back: async () => {
    me.settles = view.passedOver = false;
    remember();
    await openRow(view.open ? null : 0);
  },
  again: () => { view.passedOver = true; return openRow(); },
  settle: () => begin(me.annotator, true),
  another: anotherPerson,
  finish,
};
for (const [id, work] of Object.entries(DO)) part(id).onclick = () => act(work);
for (const [key, id] of Object.entries(MOVES)) part(id).setAttribute("aria-keyshortcuts", key);
part("filter").oninput = filter;
part("name-form").onsubmit = event => {
  event.preventDefault();
  const name = part("name").value.trim();
  if (name) act(() => begin(name));
};

part("filter").onkeydown = event => {
  const [first] = filter();
  const wanted = part("filter").value.trim();
  if (event.key === "Enter" && first && wanted) {
    take(first.label);
    if (view.review.several) { part("filter").value = ""; filter(); }
  } else if (event.key === "Enter" && view.review.several && !wanted) act(save);
  if (event.key === "Escape") { part("filter").value = ""; filter(); part("row-title").focus(); }
};

/** The key's character; on a keyboard of another script, the letter that is printed beside it. */
function keyOf(event) {
  const key = event.key.toLowerCase();
  return /^[\x21-\x7e]$/.test(key) || key.length > 1 ? key
    : event.code.replace(/^(Key|Digit)/, "").toLowerCase();
}

document.addEventListener("keydown", event => {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
  const typing = event.target.matches("input");
  if (!plain || typing || !part("shortcuts").checked) return;
  const key = keyOf(event);
  if (key === "u" && !part("end").hidden && !part("take-back").hidden) act(undo);
  if (part("row").hidden) return;
  const own = view.buttons.find(button => button.key === key);
  const suggestion = view.row.suggestion;
  if (own) take(own.label);
  else if (MOVES[key] && !part(MOVES[key]).disabled && !part(MOVES[key]).hidden) act(DO[MOVES[key]]);
  else if (key === "/" && !part("filter-box").hidden) part("filter").focus();
  else if (key === "enter" && view.review.several && !event.target.matches("button")) act(save);
  else if (key === "enter" && suggestion && !event.target.matches("button")) {
    act(() => answer(suggestion.label));
  } else return;
  event.preventDefault();
});

act(async () => {
  const secret = location.hash.slice(1);
  view.token = sessionStorage.getItem("token") ?? "";
  if (secret) {
    history.replaceState(null, "", location.pathname);
    view.token = (await ask("enter", { secret })).token;
    sessionStorage.setItem("token", view.token);
  }
  await start();
});
