// Keeps a page true while it is looked at: asks the server for the page anew when something has changed, and puts in
// what differs. Pages work without it.

'use strict';

const SOON = 150;
// However much happens, a page is asked for no more often than this.
const APART = 1000;
// When it is asked for next, and when it was last.
let wanted = null;
let asked = -APART;
let busy = false;
let pressed = false;
// Something has changed since the page was last asked for.
let again = false;
// A section was left as it is, although it is another one by now.
let passed = false;
// How often a person has answered: a page that was asked for before that is an old one.
let answers = 0;

const isPage = () => document.querySelector('meta[name="keyherd-kind"]')?.content === 'page';
const live = () => [...document.querySelectorAll('[data-live][id]')];

// A section that a person is about to use stays as it is.
function inUse(section) {
  const [active, selection] = [document.activeElement, getSelection()];
  const isTyping = active?.matches('select, input') && section.contains(active);
  const isSelected = selection && !selection.isCollapsed && section.contains(selection.anchorNode);
  return pressed || isTyping || isSelected;
}

function put(next) {
  if (next.querySelector('meta[name="keyherd-kind"]')?.content !== 'page') return location.reload();
  passed = false;
  for (const section of live()) {
    const other = next.getElementById(section.id);
    if (!other || section.outerHTML === other.outerHTML) continue;
    if (inUse(section)) {
      passed = true;
      continue;
    }
    const focused = section.contains(document.activeElement) ? document.activeElement.id : '';
    const chosen = [...section.querySelectorAll('select[id]')].map((select) => [select.id, select.value]);
    section.replaceWith(document.adoptNode(other));
    for (const [id, value] of chosen) {
      const select = document.getElementById(id);
      if (select) select.value = value;
    }
    if (focused) document.getElementById(focused)?.focus();
  }
  count();
}

const page = async (answer) => new DOMParser().parseFromString(await answer.text(), 'text/html');

async function refresh() {
  if (document.hidden) return;
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  again = false;
  asked = performance.now();
  const before = answers;
  try {
    const next = await page(await fetch(location.href, { headers: { 'keyherd-live': '1' }, cache: 'no-store' }));
    say('');
    if (before === answers) put(next);
    else again = true;
  } catch {
    say('The server cannot be reached. Trying again …');
  } finally {
    busy = false;
  }
  if (again) soon();
}

function soon() {
  wanted ??= setTimeout(() => {
    wanted = null;
    refresh();
  }, Math.max(SOON, asked + APART - performance.now()));
}

function say(text) {
  const place = document.getElementById('connection');
  if (place && place.textContent !== text) place.textContent = text;
}

// What came of it stays until the next answer: a page that asks by itself is told nothing.
function tell(next) {
  const said = next.getElementById('said');
  if (said) document.getElementById('said')?.replaceChildren(...said.childNodes);
}

// An answer with one click, without leaving the page.
async function send(event) {
  const form = event.target;
  if (!form.matches('form[data-quiet]')) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  for (const button of form.querySelectorAll('button')) button.disabled = true;
  try {
    const next = await page(await fetch(form.action, { method: 'POST', body }));
    answers += 1;
    document.activeElement?.blur();
    tell(next);
    put(next);
  } catch {
    say('The server cannot be reached. The answer was not sent.');
    refresh();
  }
}

const two = (number) => String(number).padStart(2, '0');

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

// What is counted down, from when the page had it: this machine's clock may be another one than the server's.
const seen = new WeakMap();

function count() {
  for (const time of document.querySelectorAll('time[data-left]')) {
    if (!seen.has(time)) seen.set(time, performance.now());
    const left = Math.floor((Number(time.dataset.left) - (performance.now() - seen.get(time))) / 1000);
    const text = left >= 1 ? `in ${span(left)}` : left > -2 ? 'now' : time.textContent;
    if (time.textContent !== text) time.textContent = text;
  }
}

// A page that nobody sees listens to nothing: browsers have few connections to one server.
let stream = null;

function listen() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream || stream.readyState === EventSource.CLOSED) {
    stream = new EventSource('/ui/live');
    // It ends now and then, and nobody says what was missed.
    stream.onopen = soon;
    stream.onmessage = soon;
    stream.onerror = () => { if (stream?.readyState === EventSource.CLOSED) soon(); };
  }
}

function begin() {
  if (!isPage()) return;
  document.addEventListener('submit', send);
  document.addEventListener('pointerdown', () => { pressed = true; });
  document.addEventListener('pointerup', () => { setTimeout(() => { pressed = false; }, 0); });
  document.addEventListener('pointercancel', () => { pressed = false; });
  document.addEventListener('visibilitychange', listen);
  listen();
  // A server that was full, or is another one by now, is asked again.
  setInterval(listen, 5000);
  setInterval(count, 1000);
  let since = 0;
  setInterval(() => {
    since += 1000;
    if (passed && !live().some(inUse)) soon();
    const rests = live().map((section) => Number(section.dataset.live)).filter((rest) => rest > 0);
    if (rests.length && since >= Math.min(...rests)) {
      since = 0;
      refresh();
    }
  }, 1000);
}

begin();
