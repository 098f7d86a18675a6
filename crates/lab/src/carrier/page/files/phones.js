// The phones that ring at the page.
import { $, ask, clock, h, pressed, SPOKEN, set } from '/dom.js';
import { language, t } from '/texts.js';

/** Legs that rang when the phones were last drawn. */
let rang = new Set();
/** What the lab last told, whose sound is heard, and what to do when a button is pressed. */
let now;
let sound;
let decide;
let listenTo;

const leg = (sid) => now.calls.find((call) => call.sid === sid);

export function drawPhones(told, of) {
  now = told;
  ({ sound, decide, listenTo } = of);
  const list = $('phones');
  const ringing = new Set();
  for (const phone of now.phones) {
    const card = [...list.children].find((one) => one.dataset.name === phone.name) ?? phoneCard(phone.name);
    if (card.parentNode !== list) list.append(card);
    const ring = phone.rings.find((one) => ['ringing', 'talking'].includes(one.state));
    drawPhone(card, phone, ring);
    if (ring?.state === 'ringing') ringing.add(ring.sid);
    if (ring?.state === 'ringing' && !rang.has(ring.sid)) set($('said-aloud'), t('announce', phone.name));
  }
  rang = ringing;
  drawBar();
}

/** On a small screen the phone that rings may be far below. */
function drawBar() {
  const phone = now.phones.find((one) => one.rings.some((ring) => ring.state === 'ringing'));
  const ring = phone?.rings.find((one) => one.state === 'ringing');
  const bar = $('bar');
  if (bar.dataset.of === `${ring?.sid} ${language}`) return;
  bar.dataset.of = `${ring?.sid} ${language}`;
  bar.hidden = !ring;
  bar.replaceChildren();
  if (!ring) return;
  bar.append(h('strong', {}, `${phone.name}: ${t('rings', ring.from)}`), ...ringButtons(ring.sid));
}

function ringButtons(sid) {
  return [
    h(
      'button',
      { type: 'button', class: 'button button-good', onclick: () => decide(sid, true) },
      t('answer'),
    ),
    h(
      'button',
      { type: 'button', class: 'button button-danger', onclick: () => decide(sid, false) },
      t('decline'),
    ),
  ];
}

const DOES = ['by_hand', 'no_answer', 'busy', 'declines', 'unreachable', 'machine'];

function phoneCard(name) {
  const option = (does) => h('option', { value: does }, t(`does.${does}`));
  const change = (event) => ask('phones', { name, does: event.target.value });
  const does = h(
    'select',
    { class: 'input small', 'aria-label': t('doesLabel', name), onchange: change },
    ...DOES.map(option),
  );
  const head = h('div', { class: 'phone-head' }, h('strong', { class: 'figures' }, name), does);
  const state = h('p', { class: 'phone-state' });
  const controls = h('div', { class: 'phone-controls' });
  return h('li', { class: 'phone', 'data-name': name }, head, state, controls);
}

function drawPhone(card, phone, ring) {
  const [head, state, controls] = card.children;
  const does = head.querySelector('select');
  if (document.activeElement !== does) does.value = phone.does;
  card.dataset.state = ring?.state ?? 'quiet';
  const last = phone.rings[0];
  const words = {
    ringing: () => t('rings', ring.from),
    talking: () => `${ring.from}, ${t('talking')} ${clock(leg(ring.sid)?.seconds ?? 0)}`,
    quiet: () => (last ? t('lastRing', t(`status.${last.state}`)) : t('quiet')),
  };
  set(state, words[card.dataset.state]());
  const id = `${ring?.sid} ${ring?.state}`;
  if (controls.dataset.of !== id) {
    const held = controls.contains(document.activeElement);
    controls.dataset.of = id;
    controls.replaceChildren(...phoneControls(phone.name, ring));
    if (held) (controls.querySelector('input, button') ?? does).focus();
  }
  const heard = controls.querySelector('.heard');
  if (heard) {
    const spoken = (leg(ring.sid)?.steps ?? []).filter((step) => SPOKEN.includes(step.kind)).slice(-3);
    const of = spoken.map((step) => step.n).join();
    if (heard.dataset.of !== of) {
      heard.dataset.of = of;
      const own = (step) => (step.kind === 'mine' ? phone.name : t(step.kind));
      heard.replaceChildren(...spoken.map((step) => h('li', { dir: 'auto' }, `${own(step)}: ${step.text}`)));
    }
  }
  const ear = controls.querySelector('.ear');
  if (ear) pressed(ear, sound.sid === ring.sid);
}

function phoneControls(name, ring) {
  if (ring?.state === 'ringing') {
    return [h('div', { class: 'row' }, ...ringButtons(ring.sid))];
  }
  if (ring?.state !== 'talking') return [];
  const words = h('input', {
    class: 'input',
    maxlength: 1000,
    'aria-label': t('sayAs', name),
    placeholder: t('sayHint'),
  });
  const digits = h('input', {
    class: 'input figures digits',
    maxlength: 32,
    inputmode: 'numeric',
    pattern: '[0-9*#]+',
    'aria-label': t('keysAs', name),
    placeholder: t('keysHint'),
  });
  const send = (input, path, field) => async (event) => {
    event.preventDefault();
    if (
      input.value.trim() &&
      (await ask(`calls/${ring.sid}/${path}`, { [field]: input.value.trim(), language }))
    ) {
      input.value = '';
    }
  };
  return [
    h('ul', { class: 'heard', 'aria-live': 'polite' }),
    h(
      'form',
      { class: 'row', autocomplete: 'off', onsubmit: send(words, 'say', 'text') },
      words,
      h('button', { class: 'button' }, t('send')),
    ),
    h(
      'form',
      { class: 'row', autocomplete: 'off', onsubmit: send(digits, 'keys', 'digits') },
      digits,
      h('button', { class: 'button' }, t('press')),
    ),
    h(
      'div',
      { class: 'row' },
      h('button', { type: 'button', class: 'button ear', onclick: () => listenTo(ring.sid) }, t('ear')),
      h(
        'button',
        { type: 'button', class: 'button button-danger', onclick: () => ask(`calls/${ring.sid}/hangup`) },
        t('hangUp'),
      ),
    ),
  ];
}
