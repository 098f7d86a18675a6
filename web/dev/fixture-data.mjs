// Invented calls for development. Shapes are those of the operator API.

/** A head line from words such as `busy target=2005`. */
const headline = (...clauses) => ({
  clauses: clauses.map((clause) => {
    const [key, ...args] = clause.split(' ');
    return { key, args: Object.fromEntries(args.map((arg) => arg.split('='))) };
  }),
  en: '',
  de: '',
});

const iso = (ms) => new Date(ms).toISOString();

/** Writes the events of one call with offsets in milliseconds. */
export class Script {
  constructor(id, startedAt) {
    this.id = id;
    this.at0 = startedAt;
    this.events = [];
    this.sipId = `${id.slice(-6)}@192.0.2.10`;
  }
  at(ms) {
    return iso(this.at0 + ms);
  }
  add(ms, event) {
    this.events.push({ id: `ev_${this.id.slice(5)}-${this.events.length + 1}`, at: this.at(ms), ...event });
  }
  fact(ms, label, where = 'switchhook') {
    this.add(ms, { kind: 'fact', from: where, to: where, label });
  }
  provider(ms, label, out = true) {
    const ends = out ? ['switchhook', 'assistant'] : ['assistant', 'switchhook'];
    this.add(ms, { kind: 'fact', from: ends[0], to: ends[1], label });
  }
  sip(ms, from, to, start, extra = {}) {
    const response = /^(\d{3}) (.*)$/.exec(start);
    const method = response ? extra.of : start;
    const host = { caller: '198.51.100.7', switchhook: '192.0.2.10' };
    const user = from === 'switchhook' ? to : from;
    const first = response
      ? `SIP/2.0 ${start}`
      : `${method} sip:${to === 'caller' ? 'caller' : to}@${host[to] ?? '203.0.113.21'}:5060 SIP/2.0`;
    const sdp = extra.sdp
      ? [
          'v=0',
          'o=- 3912 3912 IN IP4 192.0.2.10',
          's=-',
          'c=IN IP4 192.0.2.10',
          't=0 0',
          'm=audio 10042 RTP/AVP 0 8 101',
          'a=rtpmap:0 PCMU/8000',
          'a=rtpmap:8 PCMA/8000',
          'a=rtpmap:101 telephone-event/8000',
          'a=fmtp:101 0-16',
          'a=ptime:20',
          'a=sendrecv',
          '',
        ].join('\r\n')
      : '';
    const text = [
      first,
      `Via: SIP/2.0/UDP ${host[from] ?? '203.0.113.21'}:5060;rport;branch=z9hG4bK${(ms * 7919 + 104729).toString(36)}`,
      'Max-Forwards: 70',
      `From: <sip:${user === 'caller' ? 'anna' : 'assistant'}@192.0.2.10>;tag=${this.id.slice(-5)}`,
      `To: <sip:${user}@192.0.2.10>${response && !start.startsWith('100') ? `;tag=t${this.id.slice(-4)}` : ''}`,
      `Call-ID: ${user}-${this.sipId}`,
      `CSeq: ${method === 'BYE' ? 3 : 1} ${method}`,
      ...(method === 'INVITE' ? [`Contact: <sip:switchhook@192.0.2.10:5060>`] : []),
      ...(sdp ? ['Content-Type: application/sdp'] : []),
      `Content-Length: ${sdp.length}`,
      '',
      sdp,
    ].join('\r\n');
    this.add(ms, {
      kind: 'wire',
      leg: `leg_${this.id.slice(5)}-${user === 'caller' ? 1 : 2}`,
      from,
      to,
      label: start,
      method: response ? null : method,
      status: response ? Number(response[1]) : null,
      text,
    });
  }
  arrive() {
    this.sip(0, 'caller', 'switchhook', 'INVITE', { sdp: true });
    this.sip(4, 'switchhook', 'caller', '100 Trying', { of: 'INVITE' });
    this.sip(41, 'switchhook', 'caller', '180 Ringing', { of: 'INVITE' });
    this.sip(612, 'switchhook', 'caller', '200 OK', { of: 'INVITE', sdp: true });
    this.sip(655, 'caller', 'switchhook', 'ACK');
    this.fact(660, 'call_answered');
    return this;
  }
  dial(ms, target) {
    this.fact(ms - 10, 'attempt_started');
    this.sip(ms, 'switchhook', target, 'INVITE', { sdp: true });
    this.sip(ms + 18, target, 'switchhook', '100 Trying', { of: 'INVITE' });
    this.sip(ms + 140, target, 'switchhook', '180 Ringing', { of: 'INVITE' });
    return this;
  }
  bye(ms, from, to) {
    this.sip(ms, from, to, 'BYE');
    this.sip(ms + 22, to, from, '200 OK', { of: 'BYE' });
    return this;
  }
}

const latencyOf = (endpoint, transcribe, think, synthesize, ours) => ({
  endpoint_ms: endpoint,
  transcribe_ms: transcribe,
  think_ms: think,
  tool_ms: 0,
  synthesize_ms: synthesize,
  ours_ms: ours,
  first_audio_ms: endpoint + transcribe + think + synthesize + ours,
});

export function turns(script, list) {
  return list.map(([speaker, from, to, text, latency, interrupted], i) => ({
    id: `turn_${script.id.slice(5)}-${i + 1}`,
    n: i + 1,
    speaker,
    text,
    started_at: script.at(from),
    ended_at: to === null ? null : script.at(to),
    interrupted: interrupted ?? false,
    latency: latency ? latencyOf(...latency) : null,
  }));
}

const base = (script, more) => ({
  id: script.id,
  direction: 'inbound',
  channel: 'sip',
  profile: 'demo',
  assistant: 'Mia',
  callee: 'assistant',
  caller_name: null,
  started_at: script.at(0),
  answered_at: script.at(612),
  ended_at: null,
  outcome: null,
  legs: [],
  transfers: [],
  turns: [],
  latency: null,
  recording: null,
  violations: [],
  ...more,
});

const legMedia = (packets) => ({
  codec: 'pcmu',
  srtp: 'AES_CM_128_HMAC_SHA1_80',
  alarms: [],
  packets_received: packets,
  packets_sent: packets + 3,
  lost: 12,
  loss_percent: 0.16,
  late: 2,
  concealed_ms: 240,
  jitter_ms: 2.31,
  round_trip_ms: 38.4,
  mos: 4.33,
  far: { reports: 24, lost: 40, loss_percent: 0.54, jitter_ms: 4.1, mos: 4.28 },
  unauthentic: 0,
});

const callerLeg = (script, ended, cause = 'normal') => ({
  id: `leg_${script.id.slice(5)}-1`,
  kind: 'sip',
  party: 'caller',
  target: null,
  state: ended === null ? 'answered' : 'ended',
  started_at: script.at(0),
  answered_at: script.at(612),
  ended_at: ended === null ? null : script.at(ended),
  media: legMedia(7356),
  ...(ended === null ? {} : { cause }),
});

const agentLeg = (script, n, target, started, answered, ended, cause, state) => ({
  id: `leg_${script.id.slice(5)}-${n}`,
  kind: 'sip',
  party: 'agent',
  target,
  state: state ?? (ended === null ? (answered === null ? 'ringing' : 'answered') : 'ended'),
  started_at: script.at(started),
  answered_at: answered === null ? null : script.at(answered),
  ended_at: ended === null ? null : script.at(ended),
  ...(cause ? { cause } : {}),
});

const attempt = (script, n, target, started, ended, result, sip_status) => ({
  id: `att_${script.id.slice(5)}-${n}`,
  leg: `leg_${script.id.slice(5)}-${n + 1}`,
  target,
  ring_timeout_s: 20,
  result,
  ...(sip_status ? { sip_status } : {}),
  started_at: script.at(started),
  ended_at: ended === null ? null : script.at(ended),
});

const recording = (script, ms) => ({
  id: `rec_${script.id.slice(5)}-1`,
  state: 'ready',
  started_at: script.at(612),
  ended_at: script.at(612 + ms),
  duration_ms: ms,
});

const summary = (p50, p95, ours50, ours95) => ({
  first_audio_ms: { p50, p95 },
  ours_ms: { p50: ours50, p95: ours95 },
});

export function bridgedCall(id, startedAt) {
  const s = new Script(id, startedAt).arrive();
  s.provider(664, 'start_assistant');
  s.provider(18290, 'assistant_asked_for_human', false);
  s.fact(18300, 'transfer_requested');
  s.dial(18320, '2001');
  s.sip(24480, '2001', 'switchhook', '200 OK', { of: 'INVITE', sdp: true });
  s.sip(24490, 'switchhook', '2001', 'ACK');
  s.fact(24500, 'bridged');
  s.bye(147720, 'caller', 'switchhook');
  s.bye(147760, 'switchhook', '2001');
  s.fact(147800, 'call_ended');
  return {
    events: s.events,
    call: base(s, {
      headline: headline(
        'asked_for_human seconds=18',
        'answered target=2001 seconds=6',
        'talked seconds=123',
        'ended_by_caller',
      ),
      caller: '+493023125102',
      caller_name: 'Anna Berger',
      agent: '2001',
      status: 'ended',
      ended_at: s.at(147740),
      outcome: {
        code: 'transferred',
        ended_by: 'caller',
        responsible: 'nobody',
        detail: 'The caller talked to 2001 and hung up.',
      },
      legs: [callerLeg(s, 147740), agentLeg(s, 2, '2001', 18320, 24480, 147790, 'normal')],
      transfers: [
        {
          id: `tr_${id.slice(5)}-1`,
          requested_by: 'assistant',
          reason: 'The caller would like to speak to a human agent.',
          summary:
            'Wants to move the delivery of order 4711 from Friday to Monday; the assistant could not change it.',
          department: 'sales',
          closed: false,
          requested_at: s.at(18300),
          ended_at: s.at(24500),
          attempts: [attempt(s, 1, '2001', 18320, 24480, 'answered')],
          outcome: 'bridged',
          notices: [],
        },
      ],
      turns: turns(s, [
        [
          'assistant',
          720,
          4900,
          'Hello, this is Mia, the automatic assistant of Berger Logistics. How can I help you?',
          null,
        ],
        ['caller', 5500, 8790, 'Hi, my order 4711 comes on Friday, can you make that Monday?', null],
        [
          'assistant',
          9890,
          13700,
          'I can see order 4711. I am not able to move it myself, but a colleague',
          [640, 330, 410, 96, 24],
          true,
        ],
        ['caller', 13500, 17200, 'I would like to speak to a human agent please.', null],
        [
          'system',
          18310,
          20900,
          'Of course. I am putting you through, one moment please.',
          [630, 340, 0, 40, 31],
        ],
        ['agent', 25000, 31000, 'Sales, Jonas Weber speaking. You want Monday instead of Friday?', null],
        ['caller', 31400, 34100, 'Exactly, Monday morning if you can.', null],
        [
          'agent',
          34600,
          41000,
          'Monday between eight and ten. I have changed it, you get a mail in a minute.',
          null,
        ],
        [
          'caller',
          41600,
          52300,
          'Could the driver ring me an hour before? We are two floors up, and the lift is being repaired.',
          null,
        ],
        [
          'agent',
          53100,
          66400,
          'I can note that for the driver. You will get the number as a text message on Monday morning.',
          null,
        ],
        ['caller', 67900, 74200, 'And the old machine, is it taken away?', null],
        [
          'agent',
          75000,
          96800,
          'It was not part of the order, I can add it for twenty euros. Shall I?',
          null,
        ],
        ['caller', 98100, 104300, 'Yes please, add it.', null],
        [
          'agent',
          105200,
          131700,
          'Done. So: Monday, eight to ten, a call an hour before, and the old machine goes with the driver.',
          null,
        ],
        ['caller', 133000, 139900, 'Wonderful, thank you very much. Goodbye.', null],
        ['agent', 140600, 145800, 'Goodbye, Ms Berger.', null],
      ]),
      latency: summary(1270, 1500, 27, 31),
      recording: recording(s, 147100),
    }),
    messages: [],
  };
}

export function messageCall(id, startedAt) {
  const s = new Script(id, startedAt).arrive();
  s.fact(18100, 'transfer_requested');
  s.dial(18120, '2001');
  s.sip(38130, 'switchhook', '2001', 'CANCEL');
  s.sip(38148, '2001', 'switchhook', '200 OK', { of: 'CANCEL' });
  s.sip(38160, '2001', 'switchhook', '487 Request Terminated', { of: 'INVITE' });
  s.sip(38166, 'switchhook', '2001', 'ACK');
  s.fact(38170, 'attempt_ended');
  s.fact(57900, 'message_taken');
  s.add(57950, { kind: 'fact', from: 'switchhook', to: 'notices', label: 'notify' });
  s.add(58210, { kind: 'fact', from: 'notices', to: 'switchhook', label: 'notice_accepted' });
  s.bye(64720, 'switchhook', 'caller');
  s.fact(64760, 'call_ended');
  const message = {
    id: `msg_${id.slice(5)}-1`,
    call_id: id,
    channel: 'webhook',
    to: 'https://hooks.example.net/staff',
    text: 'Message from +493023125103 (Karl Sommer): "My heating has failed since this morning, please call me back today, I am at home until six."',
    state: 'accepted',
    attempts: 1,
    error: null,
    created_at: s.at(57950),
    updated_at: s.at(58210),
  };
  return {
    events: s.events,
    messages: [message],
    call: base(s, {
      headline: headline(
        'asked_for_human seconds=17',
        'no_answer target=2001 seconds=20',
        'message_taken',
        `staff_told at=${s.at(58210)}`,
        'ended_by_assistant',
      ),
      caller: '+493023125103',
      caller_name: 'Karl Sommer',
      status: 'ended',
      ended_at: s.at(64742),
      outcome: {
        code: 'message_taken',
        ended_by: 'assistant',
        responsible: 'nobody',
        detail: 'Nobody answered; the caller left a message.',
      },
      legs: [callerLeg(s, 64742), agentLeg(s, 2, '2001', 18120, null, 38160, 'no_answer')],
      transfers: [
        {
          id: `tr_${id.slice(5)}-1`,
          requested_by: 'assistant',
          reason: 'The caller asked for a person.',
          summary: 'Heating failed this morning.',
          closed: false,
          requested_at: s.at(18100),
          ended_at: s.at(57900),
          attempts: [attempt(s, 1, '2001', 18120, 38130, 'no_answer')],
          outcome: 'message_taken',
          notices: [message.id],
        },
      ],
      turns: turns(s, [
        ['assistant', 720, 4700, 'Hello, this is Mia, the automatic assistant. How can I help you?', null],
        ['caller', 5300, 9100, 'My heating has failed since this morning.', null],
        [
          'assistant',
          10400,
          14600,
          'I am sorry to hear that. Should I arrange a visit, or would you like to talk to somebody?',
          [650, 380, 690, 120, 22],
        ],
        ['caller', 15000, 17100, 'I want a real person, please.', null],
        ['system', 18200, 20600, 'One moment, I am trying to reach somebody.', [640, 350, 0, 44, 29]],
        [
          'system',
          38300,
          43900,
          'I am sorry, nobody has answered. Please leave a message after the tone.',
          null,
        ],
        [
          'caller',
          45100,
          56100,
          'My heating has failed since this morning, please call me back today, I am at home until six.',
          null,
        ],
        [
          'system',
          58260,
          63900,
          'Thank you. I have informed the team, they will call you back. Goodbye.',
          null,
        ],
      ]),
      latency: summary(1450, 1862, 25, 29),
      recording: recording(s, 64000),
    }),
  };
}

export function violatedCall(id, startedAt) {
  const s = new Script(id, startedAt).arrive();
  s.fact(11800, 'transfer_requested');
  s.fact(11810, 'attempt_started');
  s.sip(11820, 'switchhook', '2005', 'INVITE', { sdp: true });
  s.sip(11850, '2005', 'switchhook', '100 Trying', { of: 'INVITE' });
  s.sip(12310, '2005', 'switchhook', '486 Busy Here', { of: 'INVITE' });
  s.sip(12318, 'switchhook', '2005', 'ACK');
  s.fact(12320, 'attempt_ended');
  s.fact(12330, 'attempt_started');
  s.sip(12340, 'switchhook', '+493023125109', 'INVITE', { sdp: true });
  s.sip(12410, '+493023125109', 'switchhook', '100 Trying', { of: 'INVITE' });
  s.sip(13020, '+493023125109', 'switchhook', '403 Forbidden', { of: 'INVITE' });
  s.sip(13027, 'switchhook', '+493023125109', 'ACK');
  s.fact(13030, 'attempt_ended');
  s.add(27700, { kind: 'fact', from: 'switchhook', to: 'notices', label: 'notify' });
  s.add(28300, { kind: 'fact', from: 'notices', to: 'switchhook', label: 'notice_refused' });
  s.bye(33100, 'caller', 'switchhook');
  s.fact(33140, 'call_ended');
  const message = {
    id: `msg_${id.slice(5)}-1`,
    call_id: id,
    channel: 'webhook',
    to: 'https://hooks.example.net/staff',
    text: 'Missed call from +12025550187: asked for billing, nobody could be reached.',
    state: 'failed',
    attempts: 8,
    error: 'HTTP 500 from hooks.example.net: upstream unavailable',
    created_at: s.at(27700),
    updated_at: s.at(3_700_000),
  };
  return {
    events: s.events,
    messages: [message],
    call: base(s, {
      headline: headline(
        'asked_for_department department=billing seconds=11',
        'busy target=2005 seconds=0',
        'refused target=+493023125109 seconds=1',
        'staff_not_told',
        'ended_by_caller',
      ),
      caller: '+12025550187',
      status: 'ended',
      ended_at: s.at(33122),
      outcome: {
        code: 'transfer_failed',
        ended_by: 'caller',
        responsible: 'called',
        detail: 'No human was reached: 2005 busy, +493023125109 refused (403).',
        remedy:
          'Add TakeMessage and NotifyStaff to the fallback chain, so that the next caller can leave something.',
      },
      legs: [
        callerLeg(s, 33122),
        agentLeg(s, 2, '2005', 11820, null, 12310, 'busy'),
        agentLeg(s, 3, '+493023125109', 12340, null, 13020, 'rejected'),
      ],
      transfers: [
        {
          id: `tr_${id.slice(5)}-1`,
          requested_by: 'assistant',
          reason: 'Billing question.',
          department: 'billing',
          closed: false,
          requested_at: s.at(11800),
          ended_at: s.at(28300),
          attempts: [
            attempt(s, 1, '2005', 11820, 12310, 'busy', 486),
            attempt(s, 2, '+493023125109', 12340, 13020, 'failed', 403),
          ],
          outcome: 'failed',
          notices: [message.id],
        },
      ],
      turns: turns(s, [
        ['assistant', 720, 4700, 'Hello, this is Mia, the automatic assistant. How can I help you?', null],
        ['caller', 5200, 8400, 'I have a question about my last invoice, can I talk to billing?', null],
        ['system', 11900, 14300, 'One moment, I am trying to reach somebody.', [660, 2240, 0, 130, 380]],
        ['system', 14400, 19800, 'I am sorry, nobody is available. I have informed the team.', null],
        ['caller', 21000, 24600, 'All right. When will they call me?', null],
        ['assistant', 27900, 32000, 'I cannot say that exactly, I am', [640, 2480, 160, 110, 402], true],
      ]),
      latency: summary(3410, 3792, 380, 402),
      recording: recording(s, 32500),
      violations: [
        {
          code: 'told_untruth',
          at: s.at(14400),
          detail: 'The caller was told "I have informed the team" 13 s before any notice was accepted.',
          cause: 'The sentence was spoken before the receiver had answered; it then answered 500.',
          cure: 'Check the notice receiver hooks.example.net; until it accepts, callers must hear "saved, not yet delivered".',
        },
        {
          code: 'reply_too_late',
          at: s.at(11900),
          detail: 'The first sound of a reply came 3.4 s after the caller had finished, the limit is 2 s.',
          cause: 'Recognition took 2.2 s.',
          cure: 'See the speech server on the health page; a smaller model or a second core helps.',
        },
      ],
    }),
  };
}

export function ringingTransfer(id, startedAt) {
  const s = new Script(id, startedAt).arrive();
  s.fact(14180, 'transfer_requested');
  s.dial(14200, '2001');
  return {
    events: s.events,
    messages: [],
    call: base(s, {
      headline: headline('asked_for_human seconds=14', 'target_ringing target=2001'),
      caller: '+493023125101',
      caller_name: 'Lena Hoffmann',
      status: 'transferring',
      legs: [callerLeg(s, null), agentLeg(s, 2, '2001', 14200, null, null)],
      transfers: [
        {
          id: `tr_${id.slice(5)}-1`,
          requested_by: 'assistant',
          reason: 'The caller pressed 0.',
          closed: false,
          requested_at: s.at(14180),
          ended_at: null,
          attempts: [attempt(s, 1, '2001', 14200, null, null)],
          outcome: null,
          notices: [],
        },
      ],
      turns: turns(s, [
        ['assistant', 720, 4700, 'Hello, this is Mia, the automatic assistant. How can I help you?', null],
        ['caller', 5200, 7900, 'Is the shop in the old town open on Saturday?', null],
        [
          'assistant',
          9100,
          12400,
          'Yes, on Saturday from ten to four. Anything else?',
          [640, 310, 380, 90, 21],
        ],
        ['system', 14220, 16700, 'One moment, I am trying to reach somebody.', [0, 0, 0, 42, 18]],
      ]),
      latency: summary(1441, 1441, 21, 21),
      recording: { id: `rec_${id.slice(5)}-1`, state: 'recording', started_at: s.at(612), duration_ms: null },
    }),
  };
}

export function talkingCall(id, startedAt) {
  const s = new Script(id, startedAt).arrive();
  return {
    events: s.events,
    messages: [],
    call: base(s, {
      headline: headline('with_assistant'),
      caller: '2005',
      status: 'assistant',
      legs: [callerLeg(s, null)],
      turns: turns(s, [
        ['assistant', 720, 4700, 'Hello, this is Mia, the automatic assistant. How can I help you?', null],
        ['caller', 5200, 7900, 'Book a table for two tomorrow at seven.', null],
        [
          'assistant',
          9100,
          13900,
          'A table for two, tomorrow at seven in the evening. Under which name?',
          [630, 300, 420, 88, 19],
        ],
      ]),
      latency: summary(1457, 1457, 19, 19),
    }),
  };
}

export function withAgentCall(id, startedAt) {
  const s = new Script(id, startedAt).arrive();
  s.fact(9480, 'transfer_requested');
  s.dial(9500, '2005');
  s.sip(14100, '2005', 'switchhook', '200 OK', { of: 'INVITE', sdp: true });
  s.sip(14110, 'switchhook', '2005', 'ACK');
  s.fact(14120, 'bridged');
  return {
    events: s.events,
    messages: [],
    call: base(s, {
      headline: headline('operator_transferred seconds=9', 'answered target=2005 seconds=5', 'with_agent'),
      direction: 'outbound',
      caller: '+493023125107',
      caller_name: 'Praxis Dr. Yilmaz',
      callee: '+493023125107',
      agent: '2005',
      status: 'with_agent',
      legs: [callerLeg(s, null), agentLeg(s, 2, '2005', 9500, 14100, null)],
      transfers: [
        {
          id: `tr_${id.slice(5)}-1`,
          requested_by: 'operator',
          reason: 'operator',
          closed: false,
          requested_at: s.at(9480),
          ended_at: s.at(14120),
          attempts: [attempt(s, 1, '2005', 9500, 14100, 'answered')],
          outcome: 'bridged',
          notices: [],
        },
      ],
      latency: summary(1380, 1620, 23, 28),
      turns: [],
    }),
  };
}

const PEOPLE = [
  ['+493023125104', 'Marie Kluge'],
  ['+493023125105', null],
  ['+12025550142', 'Hôtel du Parc'],
  ['2001', null],
  ['+12025550143', 'Dana Scott'],
  ['+493023125108', null],
  ['anonymous', null],
  ['+493023125106', 'Bäckerei Öztürk & Söhne'],
];
const ENDS = [
  ['completed', 'assistant', true],
  ['caller_hung_up', 'caller', true],
  ['transferred', 'agent', true],
  ['caller_gone', 'caller', true],
  ['no_answer', 'system', false],
  ['message_taken', 'assistant', true],
  ['operator_hangup', 'operator', true],
  ['media_lost', 'system', true],
];

/** A plain ended call, for the length of the list. */
export function plainCall(id, startedAt, n) {
  const s = new Script(id, startedAt);
  const [caller, caller_name] = PEOPLE[n % PEOPLE.length];
  const [code, ended_by, answered] = ENDS[(n * 3 + 1) % ENDS.length];
  const length = 14_000 + ((n * n * 37 + n * 53) % 251) * 1000;
  const outbound = !answered;
  if (answered) s.arrive().bye(length, 'caller', 'switchhook');
  else {
    s.sip(0, 'switchhook', 'caller', 'INVITE', { sdp: true });
    s.sip(130, 'caller', 'switchhook', '180 Ringing', { of: 'INVITE' });
    s.sip(length, 'switchhook', 'caller', 'CANCEL');
    s.sip(length + 20, 'caller', 'switchhook', '487 Request Terminated', { of: 'INVITE' });
    s.sip(length + 28, 'switchhook', 'caller', 'ACK');
  }
  return {
    events: s.events,
    messages: [],
    call: base(s, {
      headline: answered
        ? headline(`talked_to_assistant seconds=${Math.round(length / 1000)}`, `ended_by_${ended_by}`)
        : headline(`not_reached callee=${caller} cause=${code}`),
      direction: outbound ? 'outbound' : 'inbound',
      caller,
      caller_name,
      agent: code === 'transferred' ? '2001' : null,
      status: 'ended',
      answered_at: answered ? s.at(612) : null,
      ended_at: s.at(length),
      outcome: {
        code,
        ended_by,
        responsible: 'nobody',
        detail: '',
        remedy:
          code === 'media_lost'
            ? 'No RTP arrived: check the network path, firewall and the advertised media address.'
            : undefined,
      },
      legs: [
        {
          ...callerLeg(s, length),
          answered_at: answered ? s.at(612) : null,
          cause: answered ? 'normal' : 'no_answer',
        },
      ],
      latency: answered
        ? summary(1180 + ((n * 83) % 700), 1600 + ((n * 83) % 900), 17 + ((n * 5) % 19), 24 + ((n * 5) % 30))
        : null,
    }),
  };
}
