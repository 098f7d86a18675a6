// Messages sent, with what became of them.
import { $, ask, h } from '/dom.js';
import { language, t } from '/texts.js';

const FATES = ['', 'delivered', 'read', 'undelivered', 'refused', 'not_joined', 'writes'];

export function drawMessages(now) {
  const list = $('messages');
  $('no-messages').hidden = now.messages.length > 0;
  for (const message of [...now.messages].reverse()) {
    const of = JSON.stringify(message);
    const known = [...list.children].find((one) => one.dataset.sid === message.sid);
    if (known?.dataset.of === of) continue;
    const node = messageNode(message);
    node.dataset.of = of;
    if (known) known.replaceWith(node);
    else list.prepend(node);
  }
}

function messageNode(message) {
  const isWhatsApp = message.to.startsWith('whatsapp:');
  const to = message.to.replace('whatsapp:', '');
  const states = message.history.map((one) => h('li', { 'data-status': one }, t(`messageStatus.${one}`)));
  const option = (fate) => h('option', { value: fate }, t(`fate.${fate}`));
  const change = (event) =>
    event.target.value && ask('recipients', { address: message.to, fate: event.target.value });
  const text = message.body || `${t('template', message.template)} ${message.variables ?? ''}`;
  const wanted = FATES.filter((fate) => isWhatsApp || !['read', 'not_joined', 'writes'].includes(fate));
  return h(
    'li',
    { class: 'message', 'data-sid': message.sid },
    h(
      'div',
      { class: 'message-head' },
      h('strong', {}, isWhatsApp ? 'WhatsApp' : 'SMS'),
      h('span', { class: 'figures' }, `→ ${to}`),
      h('time', { class: 'time' }, new Date(message.at).toLocaleTimeString(language)),
    ),
    h('p', { class: 'words', dir: 'auto' }, text),
    h(
      'ol',
      { class: 'states' },
      ...states,
      message.error ? h('li', { 'data-status': 'failed' }, t('errorCode', message.error)) : undefined,
    ),
    h(
      'label',
      { class: 'fate dim' },
      `${t('fateNext')} `,
      h(
        'select',
        { class: 'input small', 'aria-label': t('fateLabel', to), onchange: change },
        ...wanted.map(option),
      ),
    ),
  );
}
