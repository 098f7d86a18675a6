// Small tools of the page's modules, and the way to ask the lab for something.
import { t } from '/texts.js';

export const $ = (id) => document.getElementById(id);
/** Kinds of steps that are words somebody says. */
export const SPOKEN = ['said', 'mine', 'voice'];

/** An element with attributes (`on…`: what happens then) and children; empty ones are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null && child !== ''));
  return node;
}

/** Nothing is touched that is there already: a screen reader would say it again. */
export const set = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

export const pressed = (node, on) => node.setAttribute('aria-pressed', String(on));
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;

/** Asks the lab; gives its answer, or nothing after saying why not. */
export async function ask(path, body = {}) {
  let answer;
  try {
    answer = await fetch(`/lab/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  } catch {
    complain(t('error.offline'));
    return undefined;
  }
  const got = await answer.json().catch(() => ({}));
  if (answer.ok) {
    complain('');
    return got;
  }
  complain(t(`error.${got.error?.code ?? 'bad_request'}`));
  return undefined;
}

/** Shows what is wrong, or nothing more. */
export function complain(text) {
  $('alert').hidden = text === '';
  set($('alert'), text);
}
