// The page: what the lab tells is shown, what is pressed goes to the lab. Nothing is kept here but the
// choice of call and of whose sound is heard.
import { $, ask, clock, complain, h, pressed, set } from '/dom.js';
import { drawMessages } from '/messages.js';
import { drawPhones } from '/phones.js';
import { Sound } from '/sound.js';
import { stepNode } from '/steps.js';
import { language, speak, t } from '/texts.js';

const sound = new Sound();

/** What the lab last told. */
let now = { numbers: [], calls: [], phones: [], messages: [], speech: false, gateway: '', account: '' };
/** The call that is shown; if null the newest that was not dialled over the trunk. */
let chosen = null;
/** Up to which step the browser's own voice has read aloud. */
let spokenUntil = 0;

// --- what the lab is asked to do -----------------------------------------------------------------

/** Calls that are not the other half of one. */
const heads = () => now.calls.filter((call) => call.parent === null);
/** Somebody at this page called, and was not called over the trunk. */
const isOwn = (call) => ['inbound', 'trunking-originating'].includes(call.direction);
const shown = () => {
  const calls = heads();
  const isShown = (call) => call.direction !== 'trunking-terminating';
  return calls.find((call) => call.sid === chosen) ?? calls.find(isShown) ?? calls[0];
};
const leg = (sid) => now.calls.find((call) => call.sid === sid);
/** The caller's call, if one is under way. */
const calling = () => {
  const call = shown();
  const own = call && isOwn(call) ? call : heads().find(isOwn);
  return own && !own.over ? own : undefined;
};

async function callIn(event) {
  event.preventDefault();
  spokenUntil = Math.max(0, ...now.calls.flatMap((call) => call.steps.map((step) => step.n)));
  const got = await ask('calls', { from: $('from').value, to: $('to').value });
  if (!got) return;
  chosen = null;
  await listenTo(got.sid);
}

/** The sound of this line is heard and spoken into. */
async function listenTo(sid) {
  try {
    await sound.attach(sid);
  } catch (error) {
    complain(t('noMic', error.message));
  }
  draw();
}

async function microphone() {
  try {
    await sound.microphone(!sound.hasMicrophone);
    complain('');
  } catch (error) {
    complain(t('noMic', error.message));
  }
  draw();
}

async function playFile(file) {
  if (!file) return;
  try {
    await sound.play(file, draw);
    complain('');
  } catch {
    complain(t('noFile'));
  }
  draw();
}

async function decide(sid, answers) {
  if (!(await ask(`calls/${sid}/${answers ? 'answer' : 'decline'}`))) return;
  if (answers) await listenTo(sid);
}

// --- what is shown ---------------------------------------------------------------------------------

/** Fixed words, and everything that is made once. */
function dress() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll('[data-text]')) set(node, t(node.dataset.text));
  for (const node of document.querySelectorAll('[data-label]')) {
    node.setAttribute('aria-label', t(node.dataset.label));
  }
  for (const node of document.querySelectorAll('[data-placeholder]')) {
    node.placeholder = t(node.dataset.placeholder);
  }
  for (const node of document.querySelectorAll('[data-lang]')) {
    node.setAttribute('aria-pressed', String(node.dataset.lang === language));
  }
  const sample = (text) => h('button', { type: 'button', class: 'phrase', onclick: () => say(text) }, text);
  $('phrases').replaceChildren(...t('samples').map(sample));
  // Made anew in the other language.
  for (const id of ['steps', 'phones', 'messages']) {
    $(id).replaceChildren();
    delete $(id).dataset.of;
  }
  draw();
}

function draw() {
  drawNumbers();
  set($('account'), t('account', now.account, now.gateway));
  drawCaller();
  drawStory();
  drawPhones(now, { sound, decide, listenTo });
  drawMessages(now);
}

/** The number to call; with a trunk there are two. */
function drawNumbers() {
  set($('number'), now.numbers.map(({ number }) => number).join(', '));
  const select = $('to');
  const known = now.numbers.map(({ number }) => number).join() + language;
  if (select.dataset.of !== known) {
    select.dataset.of = known;
    const before = select.value;
    const option = ({ number, trunk }) =>
      h('option', { value: number }, trunk ? `${number} ${t('overTrunk')}` : number);
    select.replaceChildren(...now.numbers.map(option));
    if (now.numbers.some(({ number }) => number === before)) select.value = before;
  }
  $('to-row').hidden = now.numbers.length < 2;
  set($('dial-hint'), t('dialHint', select.value));
}

function drawCaller() {
  const call = calling();
  const had = !$('talk').hidden;
  $('dial').hidden = call !== undefined;
  $('talk').hidden = call === undefined;
  if (!call) {
    // Whoever hung up by the keyboard goes on from here.
    if (had && (document.activeElement === document.body || !document.activeElement)) $('caller').focus();
    return;
  }
  set($('call-state'), t(`status.${call.status}`));
  $('call-state').dataset.state = call.status;
  set($('call-time'), clock(call.seconds));
  const listens = t(`listens.${call.listens ?? 'none'}`);
  set($('listens'), call.waiting > 0 ? `${listens} (${call.waiting} ${t('waiting')})` : listens);
  $('listens').dataset.on = String(call.listens !== null);
  pressed($('mic'), sound.hasMicrophone);
  set($('mic'), t(sound.hasMicrophone ? 'micOn' : 'mic'));
  pressed($('ear-caller'), sound.sid === call.sid);
  const isDeaf = !now.speech && sound.isTalking && ['speech', 'both'].includes(call.listens);
  $('sound-note').hidden = !isDeaf;
  set($('sound-note'), isDeaf ? t('needsStream') : '');
}

function drawStory() {
  const calls = heads();
  const which = $('which');
  which.hidden = calls.length < 2;
  const known = calls.map((call) => `${call.sid} ${call.over}`).join();
  if (which.dataset.of !== known + language) {
    which.dataset.of = known + language;
    const option = (call) => {
      const time = call.steps[0] ? new Date(call.steps[0].at).toLocaleTimeString(language) : '';
      return h('option', { value: call.sid }, `${time} ${call.from} → ${call.to}`);
    };
    which.replaceChildren(...calls.map(option));
  }
  const call = shown();
  if (call) which.value = call.sid;
  const list = $('steps');
  $('no-steps').hidden = call !== undefined;
  list.hidden = call === undefined;
  const id = `${call?.sid} ${$('technical').checked}`;
  if (list.dataset.of !== id) {
    list.dataset.of = id;
    list.dataset.until = '0';
    list.replaceChildren();
  }
  if (!call) return;
  const steps = call.steps.filter((step) => step.n > Number(list.dataset.until));
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  for (const step of steps) {
    const node = stepNode(step, now.gateway);
    if (node) list.append(node);
  }
  if (steps.length > 0) list.dataset.until = String(steps.at(-1).n);
  if (steps.length > 0 && isAtEnd) list.scrollTop = list.scrollHeight;
}

// --- what changes ----------------------------------------------------------------------------------

function told(text) {
  now = JSON.parse(text);
  // A call that was just begun may not have been told of yet.
  if (sound.sid && leg(sound.sid)?.over) {
    // The human has hung up: the caller's sound again, if there is one.
    const caller = calling();
    if (caller && caller.sid !== sound.sid) listenTo(caller.sid);
    else {
      sound.detach();
      // Nobody is listened to without a call.
      sound.microphone(false);
    }
  }
  readAloud();
  draw();
}

/** What the carrier says, by the browser's voice where the lab has none. */
function readAloud() {
  const call = sound.sid && leg(sound.sid);
  if (!call || now.speech || !('speechSynthesis' in window)) return;
  const fresh = call.steps.filter((step) => step.n > spokenUntil);
  for (const step of fresh) {
    if (step.kind === 'mine') speechSynthesis.cancel();
    if (step.kind !== 'said' && step.kind !== 'voice') continue;
    const words = new SpeechSynthesisUtterance(step.text);
    words.lang = step.detail || language;
    speechSynthesis.speak(words);
  }
  if (fresh.length > 0) spokenUntil = fresh.at(-1).n;
}

function connect() {
  const socket = new WebSocket(`ws://${location.host}/lab/live`);
  const state = (name) => {
    $('link').dataset.state = name;
    set($('link'), t(name === 'live' ? 'linkLive' : 'linkOff'));
  };
  socket.onopen = () => state('live');
  socket.onmessage = ({ data }) => told(data);
  socket.onclose = () => {
    state('off');
    setTimeout(connect, 1000);
  };
}

async function say(text) {
  const call = calling();
  if (!call || !text.trim()) return;
  if (await ask(`calls/${call.sid}/say`, { text, language })) $('words').value = '';
}

const press = (key) => {
  const call = calling();
  if (call) ask(`calls/${call.sid}/keys`, { digits: key });
};

const HOT = {
  m: () => calling() && microphone(),
  h: () => $('talk').hidden || $('hangup').click(),
  a: () => document.querySelector('.phone[data-state="ringing"] .button-good')?.click(),
  d: () => document.querySelector('.phone[data-state="ringing"] .button-danger')?.click(),
  '/': () => ($('talk').hidden ? $('from') : $('words')).focus(),
};

function start() {
  // Nobody's number, another one each time.
  $('from').value = `+12025550${100 + Math.floor(Math.random() * 100)}`;
  for (const key of ['1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '0', '#']) {
    $('keys').append(h('button', { type: 'button', class: 'key figures', onclick: () => press(key) }, key));
  }
  $('dial').addEventListener('submit', callIn);
  $('say').addEventListener('submit', (event) => {
    event.preventDefault();
    say($('words').value);
  });
  $('mic').addEventListener('click', microphone);
  $('wav').addEventListener('change', (event) => {
    playFile(event.target.files[0]);
    event.target.value = '';
  });
  $('to').addEventListener('change', draw);
  $('ear-caller').addEventListener('click', () => calling() && listenTo(calling().sid));
  $('hangup').addEventListener('click', () => calling() && ask(`calls/${calling().sid}/hangup`));
  $('which').addEventListener('change', (event) => {
    chosen = event.target.value;
    draw();
  });
  $('technical').addEventListener('change', draw);
  $('add').addEventListener('submit', async (event) => {
    event.preventDefault();
    const name = $('phone-name').value;
    if (name.trim() && (await ask('phones', { name, does: 'by_hand' }))) $('phone-name').value = '';
  });
  for (const node of document.querySelectorAll('[data-lang]')) {
    node.addEventListener('click', () => {
      speak(node.dataset.lang);
      dress();
      set($('link'), t($('link').dataset.state === 'live' ? 'linkLive' : 'linkOff'));
    });
  }
  document.addEventListener('keydown', (event) => {
    const types = event.target.closest?.('input, select, textarea');
    if (event.key === 'Escape') types?.blur();
    if (types || event.ctrlKey || event.metaKey || event.altKey || !(event.key in HOT)) return;
    event.preventDefault();
    HOT[event.key]();
  });
  dress();
  connect();
  $('from').focus();
  $('from').select();
}

start();
