// One step of a call as a line of the story.
import { $, h, SPOKEN } from '/dom.js';
import { language, t } from '/texts.js';

const QUIET = ['webhook', 'report', 'verb', 'status'];

/** Nothing for a technical step that is not wanted. `gateway` is where the gateway should answer. */
export function stepNode(step, gateway) {
  const time = h('time', { class: 'time' }, new Date(step.at).toLocaleTimeString(language));
  if (SPOKEN.includes(step.kind)) {
    const who = h('span', { class: 'who' }, t(step.kind));
    const words = h('p', { class: 'words', lang: step.detail || undefined, dir: 'auto' }, step.text);
    return h('li', { class: `said said-${step.kind}` }, h('div', { class: 'bubble' }, who, words), time);
  }
  const isBad = step.kind === 'problem' || (step.kind === 'webhook' && !step.detail.startsWith('2'));
  if (!isBad && QUIET.includes(step.kind) && !$('technical').checked) return undefined;
  const words = h('span', { class: 'what' }, stepWords(step));
  const hint = hintOf(step, gateway);
  return h(
    'li',
    { class: `step step-${step.kind}`, 'data-bad': isBad },
    words,
    hint ? h('span', { class: 'hint' }, hint) : undefined,
    time,
  );
}

function stepWords(step) {
  if (step.kind === 'status') return t('step.status', t(`status.${step.text}`));
  if (step.kind === 'leg') return t('step.leg', step.text, t(`status.${step.detail}`));
  if (step.kind === 'verb') return [t(`verb.${step.text}`), step.detail].filter(Boolean).join(' · ');
  if (step.kind === 'webhook' || step.kind === 'report') {
    return `${t(`step.${step.kind}`, step.text)} → ${step.detail}`;
  }
  return t(`step.${step.kind}`, step.text, step.detail);
}

function hintOf(step, gateway) {
  if (step.kind !== 'webhook') return '';
  if (step.detail === '403') return t('refusedHint');
  return step.detail.length > 3 ? t('unreachedHint', gateway) : '';
}
