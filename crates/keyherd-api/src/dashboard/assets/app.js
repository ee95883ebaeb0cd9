// Keeps a page true while it is looked at: asks the server for the page anew when something has changed, and puts in
// what differs. Pages work without it.

'use strict';

const SOON = 150;
let wanted = 0;
let busy = false;
let pressed = false;

const isPage = () => document.querySelector('meta[name="keyherd-kind"]')?.content === 'page';
const live = () => [...document.querySelectorAll('[data-live][id]')];

// A section that a person is about to use stays as it is.
function inUse(section) {
  const active = document.activeElement;
  return pressed || (active && active.matches('select, input') && section.contains(active));
}

function put(next) {
  if (next.querySelector('meta[name="keyherd-kind"]')?.content !== 'page') return location.reload();
  for (const section of live()) {
    const other = next.getElementById(section.id);
    if (!other || section.outerHTML === other.outerHTML || inUse(section)) continue;
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

async function refresh() {
  if (busy || document.hidden) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { 'keyherd-live': '1' }, cache: 'no-store' });
    say('');
    put(new DOMParser().parseFromString(await answer.text(), 'text/html'));
  } catch {
    say('The server cannot be reached. Trying again …');
  } finally {
    busy = false;
  }
}

function soon() {
  clearTimeout(wanted);
  wanted = setTimeout(refresh, SOON);
}

function say(text) {
  const place = document.getElementById('connection');
  if (place && place.textContent !== text) place.textContent = text;
}

// An answer with one click, without leaving the page.
async function send(event) {
  const form = event.target;
  if (!form.matches('form[data-quiet]')) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  for (const button of form.querySelectorAll('button')) button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: 'POST', body });
    document.activeElement?.blur();
    put(new DOMParser().parseFromString(await answer.text(), 'text/html'));
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

// What is counted down. The times are the server's; what this machine's clock is off by is seen when a page comes.
function count() {
  for (const time of document.querySelectorAll('time[data-until]')) {
    const left = Math.floor((Number(time.dataset.until) - Date.now()) / 1000);
    const text = left >= 1 ? `in ${span(left)}` : left > -2 ? 'now' : time.textContent;
    if (time.textContent !== text) time.textContent = text;
  }
}

function begin() {
  if (!isPage()) return;
  document.addEventListener('submit', send);
  document.addEventListener('pointerdown', () => { pressed = true; });
  document.addEventListener('pointerup', () => { setTimeout(() => { pressed = false; }, 0); });
  document.addEventListener('pointercancel', () => { pressed = false; });
  document.addEventListener('visibilitychange', soon);
  new EventSource('/ui/live').onmessage = soon;
  setInterval(count, 1000);
  let since = 0;
  setInterval(() => {
    since += 1000;
    const rests = live().map((section) => Number(section.dataset.live)).filter((rest) => rest > 0);
    if (rests.length && since >= Math.min(...rests)) {
      since = 0;
      refresh();
    }
  }, 1000);
}

begin();
