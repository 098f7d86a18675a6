-- Times are milliseconds since 1970-01-01T00:00:00Z. JSON is text. seq keeps the order of arrival.

CREATE TABLE calls (
  id               TEXT PRIMARY KEY,
  status           TEXT NOT NULL,
  direction        TEXT NOT NULL,
  channel          TEXT NOT NULL,
  profile          TEXT NOT NULL,
  assistant        TEXT,
  caller           TEXT NOT NULL,
  caller_name      TEXT,
  callee           TEXT NOT NULL,
  started_at       INTEGER NOT NULL,
  answered_at      INTEGER,
  ended_at         INTEGER,
  outcome          TEXT,
  revision         INTEGER NOT NULL,
  snapshot_version INTEGER NOT NULL,
  snapshot         TEXT NOT NULL,
  view             TEXT NOT NULL
) STRICT;
CREATE INDEX calls_newest ON calls (started_at DESC, id DESC);
CREATE INDEX calls_open ON calls (started_at) WHERE ended_at IS NULL;

CREATE TABLE legs (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE,
  call_id     TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  kind        TEXT NOT NULL,
  party       TEXT NOT NULL,
  target      TEXT NOT NULL,
  state       TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  answered_at INTEGER,
  ended_at    INTEGER,
  cause       TEXT,
  dialog      TEXT
) STRICT;
CREATE INDEX legs_of_call ON legs (call_id);
CREATE INDEX legs_open ON legs (started_at) WHERE ended_at IS NULL;

CREATE TABLE transfers (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  id           TEXT NOT NULL UNIQUE,
  call_id      TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  reason       TEXT NOT NULL,
  department   TEXT,
  requested_at INTEGER NOT NULL,
  ended_at     INTEGER,
  outcome      TEXT
) STRICT;
CREATE INDEX transfers_of_call ON transfers (call_id);

CREATE TABLE attempts (
  seq            INTEGER PRIMARY KEY AUTOINCREMENT,
  id             TEXT NOT NULL UNIQUE,
  transfer_id    TEXT NOT NULL,
  call_id        TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  leg_id         TEXT,
  target         TEXT NOT NULL,
  ring_timeout_s INTEGER NOT NULL,
  result         TEXT,
  sip_status     INTEGER,
  started_at     INTEGER NOT NULL,
  ended_at       INTEGER
) STRICT;
CREATE INDEX attempts_of_call ON attempts (call_id);

CREATE TABLE turns (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE,
  call_id     TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  n           INTEGER NOT NULL,
  speaker     TEXT NOT NULL,
  text        TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  ended_at    INTEGER,
  interrupted INTEGER NOT NULL,
  latency     TEXT
) STRICT;
CREATE INDEX turns_of_call ON turns (call_id, n);

CREATE TABLE recordings (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE,
  call_id     TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  file        TEXT NOT NULL,
  state       TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  ended_at    INTEGER,
  duration_ms INTEGER,
  error       TEXT
) STRICT;
CREATE INDEX recordings_of_call ON recordings (call_id);
CREATE INDEX recordings_unfinished ON recordings (seq) WHERE state = 'recording';

-- No reference to calls: what was sent stays known when a call is erased.
CREATE TABLE messages (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT NOT NULL UNIQUE,
  call_id    TEXT,
  channel    TEXT NOT NULL,
  recipient  TEXT NOT NULL,
  text       TEXT NOT NULL,
  state      TEXT NOT NULL,
  vendor_id  TEXT,
  error      TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_newest ON messages (created_at DESC, id DESC);
CREATE INDEX messages_of_call ON messages (call_id) WHERE call_id IS NOT NULL;

CREATE TABLE events (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  data    TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_call ON events (call_id, id);

-- No reference to calls: the INVITE is on the wire before its call is stored.
CREATE TABLE wire (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  at          INTEGER NOT NULL,
  call_id     TEXT,
  leg_id      TEXT,
  direction   TEXT NOT NULL,
  peer        TEXT NOT NULL,
  summary     TEXT NOT NULL,
  sip_call_id TEXT,
  cseq        TEXT,
  raw         TEXT NOT NULL
) STRICT;
CREATE INDEX wire_of_call ON wire (call_id, id) WHERE call_id IS NOT NULL;

CREATE TABLE violations (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  code    TEXT NOT NULL,
  detail  TEXT NOT NULL,
  at      INTEGER NOT NULL,
  cause   TEXT NOT NULL,
  cure    TEXT NOT NULL,
  UNIQUE (call_id, code, detail)
) STRICT;

-- Outbox and jobs: the same life, told apart by queue.
CREATE TABLE work (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  queue      TEXT NOT NULL,
  key        TEXT NOT NULL,
  kind       TEXT NOT NULL,
  call_id    TEXT,
  payload    TEXT NOT NULL,
  state      TEXT NOT NULL,
  attempts   INTEGER NOT NULL,
  next_at    INTEGER NOT NULL,
  last_error TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (queue, key)
) STRICT;
CREATE INDEX work_due ON work (queue, next_at, id) WHERE state IN ('pending', 'in_flight');

CREATE TABLE users (
  name               TEXT PRIMARY KEY,
  password_hash      TEXT NOT NULL,
  role               TEXT NOT NULL,
  credential_version INTEGER NOT NULL,
  disabled           INTEGER NOT NULL,
  created_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE bindings (
  extension  TEXT NOT NULL,
  contact    TEXT NOT NULL,
  data       TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (extension, contact)
) STRICT;
